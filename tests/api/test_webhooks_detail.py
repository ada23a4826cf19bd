"""One delivery by the API, with everything that is known of it."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import ids
from tests.api.conftest import assert_problem
from tests.factories import WebhookFactory
from webhooks.models import Attempt, Forward, Webhook, WebhookLog
from webhooks.privacy import MASK

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {"status": "processed", "payload": {"type": "email.sent"}, "body": b"{}", "created_at": NOW, **fields}
    return WebhookLog.objects.create(webhook=webhook, event_type="email.sent", **fields)


def shown(api, row: WebhookLog) -> dict:
    return api.get(f"/webhooks/{row.webhook_id}/logs/{row.pk}").json()


def test_it_shows_what_came_and_what_became_of_it(api, webhook):
    row = log(
        webhook,
        headers={"svix-id": "msg_1", "svix-signature": "[redacted]"},
        verification="v1 in svix-signature",
        sent_at=NOW - timedelta(seconds=2),
        stored_at=NOW + timedelta(seconds=1),
        started_at=NOW + timedelta(seconds=9),
        processed_at=NOW + timedelta(seconds=10),
        retry_count=1,
    )
    tried = {"log": row, "target": "handler"}
    Attempt.objects.create(at=NOW + timedelta(seconds=3), error="away\ntrace", duration_ms=7, **tried)
    Attempt.objects.create(at=NOW + timedelta(seconds=9), duration_ms=5, **tried)
    body = shown(api, row)
    assert body["payload"] == {"type": "email.sent"}
    assert body["headers"] == {"svix-id": "msg_1", "svix-signature": "[redacted]"}
    assert body["verification"] == {"method": "standard_webhooks", "valid": True, "detail": "v1 in svix-signature"}
    first, second = body["attempts"]
    assert (first["target"], first["statusCode"], first["durationMs"]) == ("handler", None, 7)
    assert first["error"] == "away\ntrace"
    assert second["error"] is None
    assert (body["forward"], body["raw"]) == (None, None)
    assert [step["what"] for step in body["timeline"]] == [
        "Sent by the provider", "Received", "Stored", "Handled: away", "Handled: done", "Picked up by a worker",
        "Done",
    ]  # fmt: skip
    assert all(step["at"].endswith("Z") for step in body["timeline"])
    assert body["retryCount"] == 1


def test_what_comes_next_ends_the_timeline(api, webhook):
    row = log(webhook, status="failed", due_at=NOW + timedelta(minutes=5), error_message="away")
    assert [step["what"] for step in shown(api, row)["timeline"]] == ["Received", "Next try"]
    assert [step["what"] for step in shown(api, log(webhook, replay_of=row.pk))["timeline"]] == ["Replay asked for"]
    assert [step["what"] for step in shown(api, log(webhook, is_test=True))["timeline"]] == ["Test made"]


def test_its_forward_is_told_without_what_may_be_secret(api, webhook):
    row = log(webhook)
    url = "https://user:canary@example.com:8443/hook?token=canary"
    due = NOW + timedelta(minutes=5)
    Forward.objects.create(log=row, webhook=webhook, url=url, status="failed", error_message="HTTP 500", due_at=due)
    Attempt.objects.create(log=row, target="https://example.com:8443/hook", at=NOW, status_code=500, error="HTTP 500")
    body = shown(api, row)
    assert body["forward"] | {"dueAt": ""} == {
        "status": "failed", "url": "https://example.com:8443/hook", "dueAt": "", "error": "HTTP 500",
    }  # fmt: skip
    assert body["forward"]["dueAt"].endswith("Z")
    assert body["timeline"][-1]["what"] == "Next try to forward it"
    assert "Forwarded to https://example.com:8443/hook: HTTP 500" in {step["what"] for step in body["timeline"]}
    assert "canary" not in json.dumps(body)


def test_personal_fields_are_masked(api, webhook, registry):
    didit = Webhook.objects.get(integration__slug="didit-kyc")
    path = registry["didit-kyc"].spec.webhook.personal[0].split(".")
    payload: object = "canary"
    for name in reversed(path):
        payload = {name: payload}
    body = shown(api, log(didit, payload=payload))
    assert MASK in json.dumps(body["payload"], ensure_ascii=False)
    assert "canary" not in json.dumps(body)


def test_what_could_not_be_read_shows_its_bytes_only_where_nothing_is_personal(api, webhook, registry):
    unread = {"status": "failed", "payload": None, "body": b"canary \xff", "error_message": "Genuine, but …"}
    public, private = WebhookFactory(), Webhook.objects.get(integration__slug="didit-kyc")
    assert shown(api, log(public, **unread))["raw"] == "canary \ufffd"
    body = shown(api, log(private, **unread))
    assert (body["payload"], body["raw"]) == (None, None)


def test_a_token_that_proves_deliveries_is_shown_by_no_byte_and_in_no_field(api, webhook, registry, monkeypatch):
    crm = Webhook.objects.get(integration__slug="zoho-crm")
    assert crm.verification_method == Webhook.Method.BODY_TOKEN
    monkeypatch.setenv(crm.secret_env_var, "canary-token,older-canary-token")
    unread = {
        "status": "failed",
        "payload": None,
        "body": b'{"token": "canary-token"',
        "error_message": "Genuine, but …",
    }
    body = shown(api, log(crm, **unread))
    assert (body["payload"], body["raw"]) == (None, None)
    said = {"token": "older-canary-token", "note": "it is canary-token", "module": "Leads"}
    body = shown(api, log(crm, payload=said, fetched={"token": "canary-token"}))
    assert body["payload"]["module"] == "Leads"
    assert "canary" not in json.dumps(body)


def test_who_may_not_see_it_gets_404(api, calling, charlie, webhook, registry):
    row, other = log(webhook), log(Webhook.objects.get(integration__slug="netcash"))
    assign_perm("integrations.read", charlie, registry["resend"])
    assert calling(charlie).get(f"/webhooks/{webhook.pk}/logs/{row.pk}").status_code == 200
    for pair in ((webhook.pk, other.pk), (webhook.pk, ids.new()), (ids.new(), row.pk)):
        assert_problem(api.get("/webhooks/{}/logs/{}".format(*pair)), 404, "not_found")
    assert_problem(calling(charlie).get(f"/webhooks/{other.webhook_id}/logs/{other.pk}"), 404, "not_found")


def test_it_takes_few_queries(api, webhook):
    row = log(webhook)
    for n in range(20):
        Attempt.objects.create(log=row, target="handler", at=NOW, duration_ms=n)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        shown(api, row)
    assert len(queries) <= 12
