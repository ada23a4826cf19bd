"""The quarantine by the API: who sees what of it, and judging again."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations import ids
from integrations.actor import Actor
from integrations.models import Activity
from integrations.providers import spec
from tests.api.conftest import assert_problem
from tests.webhooks.conftest import SECRETS, signed
from webhooks.models import Refusal, RefusalTally, Webhook, WebhookLog
from webhooks.privacy import MASK, without
from webhooks.services import keys, quarantine, receive, reverify

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup._looker, "wake", lambda: told.append("look"))
    monkeypatch.setattr(wakeup._reverifier, "wake", lambda: told.append("reverify"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return told


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def refuse(slug: str, delivery: spec.Delivery, *, minutes: int = 5, reason: str = "mismatch") -> Refusal:
    """As the lane does."""
    at = timezone.now() - timedelta(minutes=minutes)
    route = next(one for one in receive.routes().values() if one.slug == slug)
    one = quarantine.Refused(
        route=route, delivery=delivery, reason=reason, detail="No secret fits.", at=at, keep=True, note=False,
        caller=Actor(username="anonymous", ip_address="192.0.2.1", user_agent="curl"),
    )  # fmt: skip
    quarantine.keep([one], {one.place: {reason: 1}})
    return Refusal.objects.latest("id")


def genuine(number: int = 1, **more: Any) -> Refusal:
    return refuse("resend", signed("resend", delivery_id=f"msg_{number}"), **more)


def where(webhook: Webhook, what: str = "") -> str:
    return f"/webhooks/{webhook.pk}/refusals{what}"


# --- Looking ---------------------------------------------------------------------------------------------------------


def test_the_list_tells_when_why_and_from_where_the_newest_first(api, webhook):
    older, newer = genuine(1, minutes=9), refuse("resend", spec.Delivery(body=b"x" * 70_000), reason="missing_header")
    refuse("netcash", spec.Delivery(body=b"y"))
    Refusal.objects.filter(pk=older.pk).update(released_at=timezone.now(), log_id=ids.new())
    first, second = api.get(where(webhook)).json()["refusals"]
    assert first.pop("createdAt").endswith("Z")
    assert first == {
        "id": str(newer.pk), "reason": "missing_header", "detail": "No secret fits.", "sizeBytes": 65_536,
        "truncated": True, "releasedAt": None, "logId": None, "ipAddress": "192.0.2.1", "userAgent": "curl",
    }  # fmt: skip
    assert second["releasedAt"].endswith("Z")
    assert second["logId"]
    for query, found in (({"released": "false"}, newer), ({"reason": "mismatch"}, older)):
        (only,) = api.get(where(webhook), **query).json()["refusals"]
        assert only["id"] == str(found.pk)
    assert_problem(api.get(where(webhook), released="perhaps"), 400, "invalid")


def test_the_list_goes_on_by_cursor_in_few_queries(api, webhook):
    for number in range(3):
        genuine(number, minutes=number)
    with CaptureQueriesContext(connection) as queries:
        page = api.get(where(webhook), limit=2).json()
    assert len(queries) <= 12
    rest = api.get(where(webhook), limit=2, cursor=page["pagination"]["nextCursor"]).json()
    assert len({row["id"] for row in page["refusals"] + rest["refusals"]}) == 3


def test_hours_tell_what_was_counted_too(api, webhook):
    hour = quarantine.hour_of(timezone.now())
    RefusalTally.objects.create(webhook=webhook, hour=hour, kept=100, reasons={"mismatch": 4000, "stale": 2})
    RefusalTally.objects.create(webhook=webhook, hour=hour - timedelta(hours=2), kept=1, reasons={"stale": 1})
    RefusalTally.objects.create(webhook=webhook, hour=hour - quarantine.LIFE, reasons={"stale": 1})
    first, second = api.get(where(webhook, "/hours")).json()["hours"]
    assert (first["total"], first["kept"], first["reasons"]) == (4002, 100, {"mismatch": 4000, "stale": 2})
    assert second["total"] == 1


def test_one_shows_what_it_would_have_been_with_personal_fields_masked(api, webhook, registry):
    row = genuine()
    shown = api.get(where(webhook, f"/{row.pk}")).json()
    assert shown["headers"]["svix-id"] == "msg_1"
    assert shown["payload"]["type"] == registry["resend"].spec.webhook.event_types[0]
    assert MASK in json.dumps(shown["payload"], ensure_ascii=False)
    assert (shown["raw"], shown["note"]) == (None, None)


@pytest.mark.parametrize("place", ["header", "basic", "body"])
def test_a_secret_that_was_sent_is_never_shown(api, registry, monkeypatch, place):
    """A delivery is refused with a genuine secret in it when ours is the wrong one, or when it stands elsewhere."""
    slug = "zoho-crm" if place == "body" else "clickatell"
    delivery = {
        "header": spec.Delivery(body=b'{"a": "canary"}', headers={"x-webhook-secret": "canary"}),
        "basic": spec.Delivery(body=b"{}", headers={"authorization": "Basic canary", "x-other": "canary"}),
        "body": spec.Delivery(body=b'{"token": "canary", "module": "Leads", "note": "it is canary!"}'),
    }[place]
    webhook = Webhook.objects.get(integration__slug=slug)
    monkeypatch.setenv(webhook.secret_env_var, "other,canary")
    answer = api.get(where(webhook, f"/{refuse(slug, delivery).pk}"))
    assert answer.status_code == 200
    assert "canary" not in answer.content.decode()


def test_what_can_not_be_read_and_may_be_personal_is_not_shown(api, registry):
    webhook = Webhook.objects.get(integration__slug="didit-kyc")
    for body in (b"canary \xff", b'{"canary": "' + b"x" * 70_000 + b'"}'):
        answer = api.get(where(webhook, f"/{refuse('didit-kyc', spec.Delivery(body=body)).pk}"))
        assert "canary" not in answer.content.decode()
        assert "may hold personal data" in answer.json()["note"]


def test_where_nothing_is_personal_the_bytes_are_shown(api, webhook, registry, monkeypatch):
    import dataclasses

    from integrations import providers

    declared = registry["resend"].spec
    public = dataclasses.replace(declared, webhook=dataclasses.replace(declared.webhook, personal=()))
    monkeypatch.setattr(providers, "get", lambda slug: public)
    row = refuse("resend", spec.Delivery(body=b"o\xc3\xb9 \xff " + SECRETS["RESEND_WEBHOOK_SECRET"].encode()))
    assert api.get(where(webhook, f"/{row.pk}")).json()["raw"] == f"où \ufffd {MASK}"


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b'"\\ud800"', b'{"a": "\\ud800\\u0000"}', b"[" * 5000, b"1e999", b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_whatever_was_sent_can_be_looked_at(api, registry, body):
    for slug in ("resend", "zoho-desk", "netcash"):
        webhook = Webhook.objects.get(integration__slug=slug)
        assert api.get(where(webhook, f"/{refuse(slug, spec.Delivery(body=body)).pk}")).status_code == 200


def test_what_was_sealed_with_a_lost_key_says_so(api, webhook, settings):
    row = genuine()
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    shown = api.get(where(webhook, f"/{row.pk}")).json()
    assert shown["headers"] is None
    assert "can't be decrypted" in shown["note"]


def test_readers_see_when_and_why_but_neither_sender_nor_content(calling, bob, webhook):
    row = genuine()
    listed = calling(bob).get(where(webhook)).json()["refusals"][0]
    shown = calling(bob).get(where(webhook, f"/{row.pk}")).json()
    for found in (listed, shown):
        assert (found["reason"], found["ipAddress"], found["userAgent"]) == ("mismatch", None, None)
    assert (shown["headers"], shown["payload"], shown["raw"]) == (None, None, None)
    assert "integrations:manage" in shown["note"]
    assert_problem(calling(bob).post(where(webhook, "/reverify")), 403, "permission_denied")


def test_a_grant_on_one_integration_opens_that_one(api, calling, charlie, webhook, registry):
    mine, theirs = genuine(), refuse("netcash", spec.Delivery(body=b"y"))
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    caller, other = calling(charlie), theirs.webhook
    assert caller.get(where(webhook, f"/{mine.pk}")).json()["payload"]
    assert caller.post(where(webhook, "/reverify")).status_code == 200
    for what in ("", "/hours", f"/{theirs.pk}"):
        assert_problem(caller.get(where(other, what)), 404, "not_found")
    assert_problem(caller.post(where(other, "/reverify")), 404, "not_found")
    assert_problem(api.get(where(webhook, f"/{theirs.pk}")), 404, "not_found")


def test_to_manage_another_integration_opens_nothing_here(calling, charlie, webhook, registry):
    row = genuine()
    assign_perm("integrations.read", charlie, registry["resend"])
    assign_perm("integrations.manage", charlie, registry["netcash"])
    shown = calling(charlie).get(where(webhook, f"/{row.pk}")).json()
    assert (shown["ipAddress"], shown["headers"]) == (None, None)


def test_a_token_that_may_only_read_opens_nothing(calling, alice, webhook):
    row = genuine()
    caller = calling(alice, scopes=["integrations:read"])
    assert caller.get(where(webhook, f"/{row.pk}")).json()["headers"] is None


# --- Judging again ---------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_would_be_released(api, webhook, woken):
    genuine(1)
    refuse("resend", spec.Delivery(body=b"forged"))
    answer = api.post(where(webhook, "/reverify"), {"dryRun": True}).json()
    assert answer.pop("message") == "1 would be released."
    assert answer == {
        "success": True, "dryRun": True, "total": 2, "released": 1, "duplicates": 0, "stillRefused": 1,
        "unreadable": 0, "finished": True,
    }  # fmt: skip
    assert (WebhookLog.objects.count(), Activity.objects.count(), woken) == (0, 0, [])


def test_what_is_genuine_is_released_and_the_workers_are_woken(api, webhook, woken):
    genuine(1)
    refuse("resend", spec.Delivery(body=b"forged"))
    answer = api.post(where(webhook, "/reverify")).json()
    assert (answer["total"], answer["released"], answer["stillRefused"], answer["finished"]) == (2, 1, 1, True)
    assert woken == ["look"]
    assert WebhookLog.objects.get().status == "pending"
    entry = Activity.objects.get(action="webhook_reverified")
    assert (entry.username, entry.integration_slug, entry.details["released"]) == ("alice", "resend", 1)
    assert api.post(where(webhook, "/reverify"), {}).json()["released"] == 0
    assert woken == ["look"]


def test_only_those_named(api, webhook):
    rows = [genuine(number) for number in range(3)]
    answer = api.post(where(webhook, "/reverify"), {"ids": [str(rows[0].pk), str(ids.new())]}).json()
    assert (answer["total"], answer["released"]) == (1, 1)


def test_what_takes_long_goes_on_in_the_background_and_says_so(api, webhook, woken, monkeypatch):
    for number in range(3):
        genuine(number)
    monkeypatch.setattr(reverify.ask, "__kwdefaults__", {"chosen": None, "budget_seconds": -1})
    answer = api.post(where(webhook, "/reverify")).json()
    assert (answer["released"], answer["finished"]) == (1, False)
    assert "goes on in the background" in answer["message"]
    assert woken == ["look", "reverify"]
    going_on = api.get(f"/webhooks/{webhook.pk}").json()["webhook"]["quarantine"]["reverifying"]
    assert (going_on["total"], going_on["released"]) == (3, 1)
    reverify.run_due()
    assert WebhookLog.objects.count() == 3
    assert api.get(f"/webhooks/{webhook.pk}").json()["webhook"]["quarantine"]["reverifying"] is None


def test_without_a_secret_or_keys_nothing_can_be_judged(api, webhook, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    problem = assert_problem(api.post(where(webhook, "/reverify")), 409, "no_secret")
    assert "RESEND_WEBHOOK_SECRET" in problem["detail"]

    def away(route: receive.Route) -> Any:
        raise keys.KeysUnavailable("https://desk.example.com gave no keys a moment ago")

    monkeypatch.setattr(keys, "fetched", away)
    desk = Webhook.objects.get(integration__slug="zoho-desk")
    assert_problem(api.post(where(desk, "/reverify")), 504, "provider_unreachable")


@pytest.mark.parametrize("asked", [{"ids": []}, {"ids": ["x"]}, {"ids": "x"}, {"dryRun": "perhaps"}, {"colour": 1}])
def test_a_bad_request_says_where(api, webhook, asked):
    problem = assert_problem(api.post(where(webhook, "/reverify"), asked), 400, "invalid")
    assert next(iter(asked)) in {error["field"].split(".")[0] for error in problem["errors"]}


def test_without_leaves_what_it_was_given_alone():
    given = {"a": ["x secret y", 1, None], "secret": True}
    assert without(given, ["secret"]) == {"a": [f"x {MASK} y", 1, None], MASK: True}
    assert given == {"a": ["x secret y", 1, None], "secret": True}
