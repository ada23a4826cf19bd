"""Sending a test by the API."""

import pytest
from guardian.shortcuts import assign_perm

from integrations import ids
from tests.api.conftest import assert_problem
from tests.webhooks.conftest import SECRETS
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def webhook(registry, monkeypatch) -> Webhook:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return Webhook.objects.get(integration__slug="resend")


def test_a_test_is_processed_before_the_answer(api, webhook):
    answer = api.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.sent", "payload": {"type": "email.sent"}})
    body = answer.json()
    assert (answer.status_code, body["success"]) == (200, True)
    assert isinstance(body["processingTimeMs"], int)
    row = WebhookLog.objects.get(pk=body["logId"])
    assert (row.status, row.is_test, row.forwards, row.payload) == ("processed", True, False, {"type": "email.sent"})
    (shown,) = api.get("/webhooks/logs", isTest="true").json()["logs"]
    assert (shown["id"], shown["isTest"], shown["eventType"]) == (body["logId"], True, "email.sent")


@pytest.mark.parametrize("more", [{}, {"payload": None}])
def test_without_a_payload_it_is_the_sample(api, webhook, more):
    body = api.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.bounced", **more}).json()
    assert WebhookLog.objects.get(pk=body["logId"]).payload["type"] == "email.bounced"


def test_it_is_forwarded_when_asked(api, webhook):
    body = api.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.sent", "forward": True}).json()
    assert WebhookLog.objects.get(pk=body["logId"]).forwards is True


def test_at_a_receiver_that_is_switched_off_it_is_held(api, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(is_active=False)
    body = api.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.sent"}).json()
    assert body["success"] is False
    assert "held" in body["message"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"eventType": "email.eaten"}, "unknown_event_type", "eventType"),
        ({"eventType": "email.sent", "payload": {"type": "email.bounced"}}, "payload_mismatch", "payload"),
        ({}, "invalid", "eventType"),
        ({"eventType": 7, "payload": []}, "invalid", "payload"),
        ({"eventType": "email.sent", "isTest": False}, "invalid", "isTest"),
        ({"eventType": "email.sent", "forward": "perhaps"}, "invalid", "forward"),
    ],
)
def test_a_bad_request_names_the_field(api, webhook, body, code, field):
    problem = assert_problem(api.post(f"/webhooks/{webhook.pk}/test", body), 400, code)
    assert field in {error["field"] for error in problem["errors"]}
    assert not WebhookLog.objects.exists()


def test_without_a_secret_it_is_409(api, webhook, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    problem = assert_problem(
        api.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.sent"}), 409, "not_testable"
    )
    assert "RESEND_WEBHOOK_SECRET" in problem["detail"]


def test_the_samples(api, webhook):
    samples = api.get(f"/webhooks/{webhook.pk}/samples").json()["samples"]
    assert {one["eventType"] for one in samples} == set(webhook.event_types)
    assert all(one["payload"]["type"] == one["eventType"] for one in samples)
    assert_problem(api.get(f"/webhooks/{ids.new()}/samples"), 404, "not_found")


def test_a_grant_on_one_integration_tests_that_one(calling, charlie, webhook, registry):
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    other = Webhook.objects.get(integration__slug="netcash")
    caller = calling(charlie)
    assert caller.post(f"/webhooks/{webhook.pk}/test", {"eventType": "email.sent"}).status_code == 200
    assert caller.post(f"/webhooks/{other.pk}/test", {"eventType": other.event_types[0]}).status_code == 404
