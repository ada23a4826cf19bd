"""Zoho's retry queue by the API."""

from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.actor import SYSTEM
from integrations.models import Activity
from tests.api.conftest import assert_problem
from webhooks.models import Forward, Webhook, WebhookLog
from webhooks.services import forward, retry

pytestmark = pytest.mark.django_db

PATH = "/zoho/retry-queue"
NOW = timezone.now()
LATER = NOW + timedelta(hours=2)


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)


@pytest.fixture
def crm(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="zoho-crm")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {"status": "failed", "payload": {}, "body": b"{}", "due_at": LATER, "attempts": 2, **fields}
    return WebhookLog.objects.create(webhook=webhook, **fields)


def failed_forward(webhook: Webhook, **fields) -> Forward:
    row = log(webhook, status="processed", due_at=None)
    fields = {"status": "failed", "due_at": LATER, "url": "https://example.com/hook", **fields}
    return Forward.objects.create(log=row, webhook=webhook, **fields)


@pytest.fixture
def answers(monkeypatch) -> list[Forward]:
    """Every forward is taken by its target; those sent."""
    sent: list[Forward] = []

    def send(row: Forward, summary: forward.Summary) -> bool:
        sent.append(row)
        summary.delivered += 1
        return True

    monkeypatch.setattr(forward, "send", send)
    return sent


def test_it_tells_what_waits_and_what_gave_up(api, crm, registry):
    log(crm)
    log(crm, due_at=None)
    failed_forward(crm)
    failed_forward(crm, due_at=None)
    log(crm, status="processed", due_at=None)
    log(Webhook.objects.get(integration__slug="resend"))
    body = api.get(PATH).json()
    assert body["success"] is True
    assert body["data"].pop("timestamp").endswith("Z")
    assert body["data"] == {"dueForRetry": 2, "totalFailed": 4, "maxRetriesExhausted": 2}


def test_it_tries_what_waits_now(api, crm, registry, answers):
    waiting, elsewhere = log(crm), log(Webhook.objects.get(integration__slug="resend"))
    held = log(Webhook.objects.get(integration__slug="zoho-sign"))
    Webhook.objects.filter(integration__slug="zoho-sign").update(is_active=False)
    exhausted, passed_on = log(crm, due_at=None), failed_forward(crm)
    body = api.post(PATH).json()
    assert body["success"] is True
    assert body["data"].pop("timestamp").endswith("Z")
    assert body["data"] == {"processed": 2, "succeeded": 2, "failed": 0}
    statuses = dict(WebhookLog.objects.values_list("pk", "status"))
    assert statuses[waiting.pk] == "processed"
    assert {statuses[row.pk] for row in (elsewhere, held, exhausted)} == {"failed"}
    assert [row.pk for row in answers] == [passed_on.pk]
    entry = Activity.objects.get(action="retry_queue_run")
    assert (entry.username, entry.details) == ("alice", {"processed": 2, "succeeded": 2, "failed": 0})


def test_what_a_worker_has_in_its_hands_is_left_to_it(api, crm, settings, answers):
    now = timezone.now()  # not NOW: the leases below are short, and the module may have been read a while ago
    lease = timedelta(seconds=settings.WEBHOOK_LEASE_SECONDS)
    in_hand = log(crm, started_at=now, due_at=now + lease)
    failed_forward(crm, started_at=now, due_at=now + forward.LEASE)
    assert api.post(PATH).json()["data"]["processed"] == 0
    died = now - timedelta(hours=1)
    WebhookLog.objects.filter(pk=in_hand.pk).update(started_at=died, due_at=died + lease)
    Forward.objects.update(started_at=died, due_at=died + forward.LEASE)
    assert api.post(PATH).json()["data"]["processed"] == 2


def test_what_fails_again_is_told(crm):
    log(crm)
    done = retry.run([crm.integration_id], work=lambda row: None, actor=SYSTEM)
    assert (done.processed, done.succeeded, done.failed) == (1, 0, 1)


def test_a_hundred_at_a_time_the_longest_waiting_first_within_the_budget(crm, monkeypatch):
    monkeypatch.setattr(retry, "MOST", 2)
    rows = [log(crm, due_at=LATER - timedelta(minutes=n)) for n in range(3)]
    tried: list[object] = []
    retry.run([crm.integration_id], work=lambda row: tried.append(row.pk), actor=SYSTEM)
    assert tried == [rows[2].pk, rows[1].pk]
    retry.run([crm.integration_id], work=lambda row: tried.append(row.pk), actor=SYSTEM, budget_seconds=-1)
    assert len(tried) == 2


def test_where_order_is_kept_only_the_foremost_goes(api, crm, answers):
    Webhook.objects.filter(pk=crm.pk).update(forward_in_order=True)
    first, second = failed_forward(crm), failed_forward(crm)
    Forward.objects.filter(pk=second.pk).update(due_at=NOW)
    api.post(PATH)
    assert [row.pk for row in answers] == [first.pk]


def test_a_grant_on_one_integration_sees_and_drives_that_one(calling, charlie, bob, crm, registry):
    log(crm)
    log(Webhook.objects.get(integration__slug="zoho-sign"))
    for perm in ("read", "cron:trigger"):
        assign_perm(f"integrations.{perm}", charlie, registry["zoho-crm"])
    assert calling(charlie).get(PATH).json()["data"]["dueForRetry"] == 1
    assert calling(charlie).post(PATH).json()["data"]["processed"] == 1
    assert_problem(calling(bob).post(PATH), 403, "permission_denied")
