"""What is personal in an event is shown to who may manage its integration and has just proved who they are; that is
written down."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import activity
from integrations.models import Activity
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook, WebhookLog
from webhooks.services import personal

pytestmark = pytest.mark.django_db

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}
CANARY = "canary@example.com"
SAID = {"type": "email.sent", "data": {"to": [CANARY], "email_id": "e1"}}


def event(registry, slug="resend", said=SAID, **fields) -> WebhookLog:
    webhook = Webhook.objects.get(integration__slug=slug)
    fields = {"webhook": webhook, "payload": said, "body": json.dumps(said).encode(), **fields}
    return WebhookLogFactory(event_type="email.sent", **fields)


def reveal(client, log, **data):
    return client.post(f"{FEED}/{log.pk}/reveal", data, headers=HTMX)


def shown(client, log) -> str:
    return client.get(f"{FEED}/{log.pk}/body", headers=HTMX).content.decode()


def told() -> list[Activity]:
    return list(Activity.objects.filter(action="webhook_personal_shown").order_by("seq"))


def test_it_is_shown_and_each_showing_is_told(client, alice, registry):
    log = event(registry, fetched={"data": {"to": "other-canary"}})
    client.force_login(alice)
    page = shown(client, log)
    assert "Show personal fields" in page
    assert "canary" not in page
    answer = reveal(client, log)
    page = answer.content.decode()
    assert page.count(CANARY) >= 3  # the tree, the raw payload, cURL
    assert "other-canary" in page
    assert "Personal fields are shown." in page
    assert "Personal fields are masked." not in page
    assert answer["Cache-Control"] == "no-store"
    assert not {"HX-Push-Url", "HX-Replace-Url", "ETag"} & set(answer.headers)
    reveal(client, log)
    first, second = told()
    assert first.details == {
        "webhook": "/api/webhooks/resend", "log": str(log.pk), "event_type": "email.sent", "how": "page"
    }  # fmt: skip
    assert (first.username, first.integration_slug, first.outcome) == ("alice", "resend", "success")
    assert first.request_id == answer["X-Request-ID"] != second.request_id
    assert "canary" not in str(list(Activity.objects.values()))
    assert list(activity.verify()) == []
    assert "canary" not in shown(client, log), "the next look is masked again"


def test_without_scripts_it_is_a_page_of_its_own(client, alice, registry):
    log = event(registry)
    client.force_login(alice)
    page = client.post(f"{FEED}/{log.pk}/reveal").content.decode()
    assert CANARY in page
    assert "<title>" in page
    assert client.get(f"{FEED}/{log.pk}/reveal").status_code == 405


def test_it_is_told_before_anything_leaves(client, alice, registry, monkeypatch):
    log = event(registry)
    client.force_login(alice)
    monkeypatch.setattr(activity, "record", lambda **_: (_ for _ in ()).throw(RuntimeError("no room")))
    client.raise_request_exception = False
    answer = reveal(client, log)
    assert answer.status_code == 500
    assert CANARY not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_entry_is_committed_before_the_page_is_made(client, alice, registry, monkeypatch):
    log = event(registry)
    client.force_login(alice)
    seen = []

    def body(*_):
        seen.append((connection.in_atomic_block, len(told())))
        raise RuntimeError("it breaks here")

    monkeypatch.setattr("webhooks.event.body", body)
    client.raise_request_exception = False
    assert reveal(client, log).status_code == 500
    assert seen == [(False, 1)]
    assert len(told()) == 1


def test_who_is_not_fresh_proves_who_they_are_and_comes_back(client, alice, registry):
    log = event(registry)
    client.force_login(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=6), tick=True):
        page = f"http://testserver{FEED}/{log.pk}/body"
        answer = client.post(f"{FEED}/{log.pk}/reveal", headers=HTMX | {"Referer": page})
    assert answer["HX-Redirect"] == f"/accounts/prove/?next=%2Fadmin%2Fintegrations%2Fwebhooks%2F{log.pk}%2Fbody"
    assert CANARY not in answer.content.decode()
    assert told() == []


@pytest.mark.parametrize("granted", [["resend:read"], ["resend:read", "netcash:manage"]])
def test_who_may_not_manage_it_is_not_asked_and_not_answered(client, charlie, registry, granted):
    for one in granted:
        slug, _, perm = one.partition(":")
        assign_perm(f"integrations.{perm}", charlie, registry[slug])
    log = event(registry)
    client.force_login(charlie)
    assert "/reveal" not in shown(client, log)
    answer = reveal(client, log)
    assert answer.status_code == 403
    assert CANARY not in answer.content.decode()
    assert told() == []
    refused = Activity.objects.get(action="permission_denied")
    assert (refused.username, refused.details["permission"]) == ("charlie", "integrations:manage")


def test_what_has_nothing_personal_is_neither_offered_nor_told(client, alice, registry):
    log = event(registry, said={"type": "email.sent", "data": {"email_id": "e1", "to": None}})
    client.force_login(alice)
    assert "/reveal" not in shown(client, log)
    assert "e1" in reveal(client, log).content.decode()
    assert told() == []


def test_what_was_dropped_says_so_instead(client, alice, registry):
    log = event(registry, created_at=timezone.now() - timedelta(days=31))
    personal.run(now=timezone.now())
    client.force_login(alice)
    for page in (shown(client, log), reveal(client, log).content.decode()):
        assert "Personal fields were dropped on " in page
        assert "[dropped]" in page
        assert "/reveal" not in page
        assert "data-replay" not in page
        assert "SHA-256" in page
        assert CANARY not in page
    assert told() == []


# --- To be taken away ------------------------------------------------------------------------------------------------


def taken(client, log) -> bytes:
    answer = reveal(client, log, file="")
    assert answer["Content-Disposition"].startswith("attachment; ")
    assert answer["Cache-Control"] == "no-store"
    return answer.content


def test_its_very_bytes_can_be_taken_away_and_that_is_told_too(client, alice, registry):
    body = json.dumps(SAID).encode() + b"\n"
    log = event(registry, body=body)
    client.force_login(alice)
    assert taken(client, log) == body
    assert [row.details["how"] for row in told()] == ["download"]


@pytest.mark.parametrize(
    ("slug", "said", "body"),
    [
        ("zoho-crm", {"affected_values": [{"values": CANARY}]}, b'{"token": "key", "affected_values": []}'),
        ("clickatell", {"fromNumber": CANARY}, b'{"apiKey": "an older key", "fromNumber": "canary@example.com"}'),
        ("zoho-desk", {"payload": {"email": CANARY}}, b'[{"payload": {"email": "canary@example.com"}}, {"x": "key"}]'),
    ],
)
def test_bytes_that_hold_a_secret_or_somebody_else_stay_here(client, alice, registry, slug, said, body):
    log = event(registry, slug, said, body=body)
    client.force_login(alice)
    content = taken(client, log)
    assert json.loads(content) == said
    assert b"key" not in content


def test_secrets_stay_hidden(client, alice, registry, monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_c2VjcmV0")
    monkeypatch.setenv("RESEND_API_KEY", "re_secret_api_key")
    said = SAID | {"leak": "whsec_c2VjcmV0 and re_secret_api_key"}
    log = event(registry, said=said)
    client.force_login(alice)
    for text in (reveal(client, log).content.decode(), taken(client, log).decode()):
        assert CANARY in text
        assert "c2VjcmV0" not in text
        assert "secret_api_key" not in text


def test_what_could_not_be_read_shows_its_bytes(client, alice, registry):
    log = event(registry, payload=None, body=b"canary \xff", status="failed", error_message="Genuine, but …")
    client.force_login(alice)
    assert "canary" not in shown(client, log)
    assert "canary \ufffd" in reveal(client, log).content.decode()
    assert taken(client, log) == b"canary \xff"
