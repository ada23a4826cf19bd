"""Replaying one event by the API."""

import threading

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import ids
from integrations.actor import SYSTEM
from integrations.models import Activity
from tests.api.conftest import assert_problem
from webhooks import work
from webhooks.models import Webhook, WebhookLog
from webhooks.services import process, replay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {"status": "failed", "payload": {"type": "email.sent"}, "body": b"{}", "idempotency_key": "k", **fields}
    return WebhookLog.objects.create(webhook=webhook, event_type="email.sent", **fields)


def test_an_event_runs_once_more_and_the_original_stays(api, webhook):
    original = log(webhook, error_message="it failed", claims_key=True)
    answer = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(original.pk)}).json()
    assert (answer["success"], answer["message"]) == (True, "The event was processed.")
    made = WebhookLog.objects.get(pk=answer["newLogId"])
    assert (made.status, made.replay_of, made.idempotency_key, made.claims_key) == (
        "processed", original.pk, "k", False,
    )  # fmt: skip
    assert made.raw_body() == b"{}"
    original.refresh_from_db()
    assert (original.status, original.error_message) == ("failed", "it failed")
    entry = Activity.objects.get(action="webhook_replayed")
    assert (entry.username, entry.integration_slug) == ("alice", "resend")


def test_a_duplicate_replays_its_original(api, webhook):
    original = log(webhook, status="processed", claims_key=True)
    twin = log(webhook, status="duplicate", duplicate_of=original.pk)
    answer = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(twin.pk)}).json()
    assert WebhookLog.objects.get(pk=answer["newLogId"]).replay_of == original.pk
    WebhookLog.objects.filter(pk=original.pk).delete()
    gone = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(twin.pk)})
    assert "has been removed" in assert_problem(gone, 409, "not_replayable")["detail"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verified": False}, "not_replayable"),
        ({"payload": None}, "not_replayable"),
        ({"status": "pending", "due_at": timezone.now()}, "still_pending"),
    ],
)
def test_what_can_not_be_replayed_says_why(api, webhook, fields, code):
    row = log(webhook, **fields)
    assert_problem(api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(row.pk)}), 409, code)
    assert WebhookLog.objects.count() == 1


def test_another_webhooks_log_is_404(api, webhook):
    other = log(Webhook.objects.get(integration__slug="netcash"))
    assert_problem(api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(other.pk)}), 404, "not_found")
    assert_problem(api.post(f"/webhooks/{ids.new()}/replay", {"logId": str(other.pk)}), 404, "not_found")
    assert_problem(api.post(f"/webhooks/{webhook.pk}/replay", {"logId": "x"}), 400, "invalid")
    assert_problem(api.post(f"/webhooks/{webhook.pk}/replay", {}), 400, "invalid")


def test_a_grant_on_one_integration_replays_that_one(calling, charlie, webhook, registry):
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    row, other = log(webhook), log(Webhook.objects.get(integration__slug="netcash"))
    assert calling(charlie).post(f"/webhooks/{webhook.pk}/replay", {"logId": str(row.pk)}).status_code == 200
    assert calling(charlie).post(f"/webhooks/{other.webhook_id}/replay", {"logId": str(other.pk)}).status_code == 404


def test_what_takes_long_goes_on_in_the_background(api, webhook, monkeypatch):
    monkeypatch.setattr(work, "SECONDS", 0.05)
    gate, ended = threading.Event(), threading.Event()

    def slow(row: WebhookLog) -> None:
        gate.wait(10)
        ended.set()

    work.for_a_moment(slow, [log(webhook)])
    assert not ended.is_set()
    gate.set()
    assert ended.wait(10)


def test_what_is_switched_off_is_held(api, webhook):
    row = log(webhook)
    Webhook.objects.update(is_active=False)
    answer = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(row.pk)}).json()
    assert answer["success"] is False
    assert "held" in answer["message"]


def test_one_event_of_a_delivery_needs_the_row_with_its_bytes(api, webhook):
    whole = log(webhook, status="processed", body=b"[1,2]")
    part = log(webhook, status="processed", body=b"", part_of=whole.pk)
    made = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(part.pk)}).json()["newLogId"]
    assert WebhookLog.objects.get(pk=made).raw_body() == b"[1,2]"
    WebhookLog.objects.filter(pk=whole.pk).delete()
    gone = api.post(f"/webhooks/{webhook.pk}/replay", {"logId": str(part.pk)})
    assert "have been removed" in assert_problem(gone, 409, "not_replayable")["detail"]


def test_no_worker_takes_it_before_whoever_asked(webhook):
    made = replay.one(log(webhook), actor=SYSTEM, now=timezone.now())
    assert process.drain(process.Table()).processed == 0
    WebhookLog.objects.filter(pk=made.pk).update(due_at=timezone.now())  # the asker died; its head start is over
    assert process.drain(process.Table()).processed == 1
