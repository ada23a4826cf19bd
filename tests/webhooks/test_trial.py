"""Test deliveries: every provider's own signature, through the receiving code, and never mistaken for an event."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import providers
from integrations.actor import Actor
from integrations.models import Activity
from tests.factories import WebhookFactory
from tests.webhooks.conftest import signed
from webhooks.models import Forward, Webhook, WebhookLog
from webhooks.services import process, receive, trial

pytestmark = pytest.mark.django_db

NOW = timezone.now()
ALICE = Actor(username="alice")
SLUGS = [provider.slug for provider in providers.PROVIDERS if provider.webhook]


@pytest.fixture
def send(registry, secrets):
    def test(slug: str, event_type: str | None = None, payload=None, *, forwards: bool = False, now=None):
        webhook = Webhook.objects.select_related("integration").get(integration__slug=slug)
        kind = event_type or webhook.event_types[0]
        return trial.send(
            webhook, event_type=kind, payload=payload, forwards=forwards, actor=ALICE, now=now or timezone.now()
        )

    return test


@pytest.mark.parametrize("slug", SLUGS)
def test_each_sample_of_each_provider_becomes_an_event_of_its_type(send, slug):
    for kind in providers.get(slug).webhook.event_types:
        (row,) = send(slug, kind)
        row.refresh_from_db()
        assert (row.event_type, row.status, row.is_test, row.forwards, row.verified) == (
            kind, "pending", True, False, True,
        )  # fmt: skip
        assert row.verification.startswith("Not signed") == (slug == "zoho-desk")


@pytest.mark.parametrize("slug", SLUGS)
def test_no_test_is_a_duplicate_not_even_of_the_same_payload_at_the_same_instant(send, slug):
    payload = {"note": "the same"} if slug != "netcash" else {"RequestTrace": "t-1", "Reference": "7"}
    rows = [row for _ in range(2) for given in (None, payload) for row in send(slug, payload=given, now=NOW)]
    assert {row.status for row in rows} == {"pending"}
    assert len({row.idempotency_key for row in rows}) == 4


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("payload", [{}, {"a": [1, {"b": None}]}, {"type": 7, "data": [], "event": {"x": "é\u2028"}}])
def test_any_object_is_taken_or_refused_in_words(send, slug, payload):
    try:
        rows = send(slug, payload=payload)
    except (trial.CannotTest, trial.Unfit) as error:
        assert len(str(error)) > 20  # noqa: PT017 - both are right
    else:
        assert all(row.is_test for row in rows)


def test_a_test_claims_no_key_so_the_event_it_copies_still_comes(send, route):
    delivery = signed("zoho-billing", now=NOW)
    genuine = receive.admit(route("zoho-billing"), delivery, now=NOW)
    (copied,) = send("zoho-billing", genuine[0].event_type, genuine[0].payload)
    assert not copied.claims_key
    receive.store(genuine)
    assert genuine[0].status == "pending"


def test_a_payload_that_names_no_type_is_of_the_type_asked_for(send):
    (row,) = send("resend", "email.bounced", {"hello": "world"})
    assert row.event_type == "email.bounced"
    with pytest.raises(trial.Unfit, match=r"'email\.sent', not 'email\.bounced'"):
        send("resend", "email.bounced", {"type": "email.sent"})


def test_what_is_unknown_or_has_no_sample_is_told(send):
    with pytest.raises(trial.UnknownEvent, match="knows no event type"):
        send("resend", "email.eaten")
    Webhook.objects.filter(integration__slug="resend").update(event_types=["email.framed"])
    with pytest.raises(trial.UnknownEvent, match="give a payload"):
        send("resend", "email.framed")
    assert send("resend", "email.framed", {"x": 1})[0].event_type == "email.framed"
    assert not WebhookLog.objects.filter(event_type="email.eaten").exists()


def test_without_a_secret_nothing_can_be_tested_and_what_to_set_is_named(send, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    with pytest.raises(trial.CannotTest, match="RESEND_WEBHOOK_SECRET is not set"):
        send("resend")
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_?!")
    with pytest.raises(trial.CannotTest, match="can't be signed with RESEND_WEBHOOK_SECRET"):
        send("resend")
    assert not Activity.objects.exists()


def test_netcash_without_a_secret_is_tested_unsigned_and_nobody_is_asked(send, monkeypatch):
    monkeypatch.delenv("NETCASH_WEBHOOK_SECRET")
    (row,) = send("netcash")
    assert row.verification.startswith("Not signed: NETCASH_WEBHOOK_SECRET is not set")
    process.run(row, process.Table())  # without anybody to confirm it
    row.refresh_from_db()
    assert (row.status, row.claims_key) == ("processed", False)


def test_what_the_receiver_would_refuse_is_told(send):
    Webhook.objects.filter(integration__slug="netcash").update(metadata={"hash_fields": ["Amount"]})
    with pytest.raises(trial.CannotTest, match="refuses it"):
        send("netcash")


def test_a_receiver_that_the_code_does_not_know_can_not_be_tested(secrets):
    with pytest.raises(trial.CannotTest, match="doesn't know how"):
        trial.send(WebhookFactory(), event_type="message.sent", payload={}, forwards=False, actor=ALICE, now=NOW)


def test_the_newest_secret_signs(send, monkeypatch):
    new = "whsec_" + base64.b64encode(b"a newer secret, 24 bytes").decode()
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{new},whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5")
    (row,) = send("resend")
    webhook = providers.get("resend").webhook
    again = webhook.sign(row.payload, new, now=row.sent_at.timestamp(), delivery_id=row.headers["svix-id"])
    assert (again.body, again.headers) == (bytes(row.body), row.headers)


def test_it_is_forwarded_only_when_asked(send):
    Webhook.objects.filter(integration__slug="resend").update(forward_url="https://example.com/hook")
    for row in (*send("resend"), *send("resend", forwards=True)):
        process.run(row, process.Table())
    assert Forward.objects.get().log.forwards is True


def test_a_worker_takes_it_when_whoever_asked_died(send):
    (row,) = send("resend")
    assert process.drain(process.Table()).processed == 0
    assert timedelta(0) < row.due_at - timezone.now() <= trial.HEAD_START


def test_it_is_told_in_the_activity_log(send):
    (row,) = send("resend", forwards=True)
    entry = Activity.objects.get()
    assert (entry.username, entry.action, entry.integration_slug) == ("alice", "webhook_tested", "resend")
    assert entry.details == {
        "webhook": "/api/webhooks/resend", "event_type": row.event_type, "log": str(row.pk), "forwarded": True,
        "own_payload": False,
    }  # fmt: skip
