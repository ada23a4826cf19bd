"""Replaying many by the API."""

from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import schedule, wakeup
from integrations import ids
from integrations.models import Activity
from tests.api.conftest import assert_problem
from webhooks.models import ReplayBatch, Webhook, WebhookLog
from webhooks.services import replay

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    """The tasks that were announced."""
    told: list[str] = []
    monkeypatch.setattr(wakeup, "_send", lambda task, *how: told.append(task))
    monkeypatch.setattr(wakeup._replayer, "wake", lambda: told.append(wakeup.REPLAY))
    return told


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {"status": "failed", "payload": {}, "body": b"{}", "event_type": "email.sent", **fields}
    return WebhookLog.objects.create(webhook=webhook, created_at=timezone.now() - timedelta(hours=1), **fields)


def test_a_filter_is_counted_then_queued_then_done(api, webhook, woken):
    for _ in range(3):
        log(webhook)
    log(webhook, status="processed")
    asked = {"filter": {"webhookId": str(webhook.pk), "status": "failed"}}
    assert api.post("/webhooks/replay?dryRun=true", asked).json() == {"queued": 3, "batchId": None}
    assert not ReplayBatch.objects.exists()
    answer = api.post("/webhooks/replay", asked).json()
    assert (answer["queued"], woken) == (3, [wakeup.REPLAY])
    batch = f"/webhooks/replays/{answer['batchId']}"
    assert api.get(batch).json() | {"batchId": ""} == {
        "batchId": "", "status": "running", "total": 3, "queued": 0, "skipped": 0, "processed": 0, "failed": 0,
        "pending": 0, "stoppedBecause": "",
    }  # fmt: skip
    assert schedule.replay() == {"replayed": 3}
    assert api.get(batch).json()["pending"] == 3
    schedule.drain()
    assert api.get(batch).json()["status"] == "done"
    assert_problem(api.send("DELETE", batch), 409, "nothing_to_cancel")


def test_ids_are_queued(api, webhook):
    rows = [log(webhook) for _ in range(2)]
    log(webhook)
    answer = api.post("/webhooks/replay", {"logIds": [str(row.pk) for row in rows]}).json()
    assert answer["queued"] == 2
    assert api.post("/webhooks/replay", {"logIds": [str(ids.new())]}).json() == {"queued": 0, "batchId": None}


def test_the_job_of_every_minute_goes_on_with_it(api, webhook, woken):
    log(webhook)
    api.post("/webhooks/replay", {"filter": {"integration": "resend"}})
    del woken[:]
    schedule.drain_and_look_ahead()
    assert wakeup.REPLAY in woken


def test_it_can_be_cancelled(api, webhook):
    log(webhook)
    batch = api.post("/webhooks/replay", {"filter": {"integration": "resend"}}).json()["batchId"]
    schedule.replay()
    answer = api.send("DELETE", f"/webhooks/replays/{batch}").json()
    assert (answer["status"], answer["takenBack"], answer["queued"], answer["pending"]) == ("cancelled", 1, 0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"filter": {"status": "failed"}, "logIds": [str(ids.new())]}, ""),
        ({"filter": {}}, "filter"),
        ({"filter": {"status": "pending"}}, "filter.status"),
        ({"filter": {"from": "yesterday"}}, "filter.from"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"webhookId": "7"}}, "filter.webhookId"),
        ({"filter": 7}, "filter"),
        ({"logIds": []}, "logIds"),
        ({"logIds": ["x"]}, "logIds.0"),
        ({"everything": True}, "everything"),
    ],
)
def test_a_bad_request_names_the_field(api, webhook, body, field):
    problem = assert_problem(api.post("/webhooks/replay", body), 400, "invalid")
    assert field in {error["field"] for error in problem["errors"]}


def test_too_many_are_refused(api, webhook, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 1)
    log(webhook)
    log(webhook)
    for path in ("/webhooks/replay", "/webhooks/replay?dryRun=true"):
        assert_problem(api.post(path, {"filter": {"integration": "resend"}}), 400, "too_many")


def test_an_unknown_batch_is_404(api):
    assert_problem(api.get(f"/webhooks/replays/{ids.new()}"), 404, "not_found")


def test_a_grant_on_one_integration_replays_what_is_its_own(api, calling, charlie, bob, webhook, registry):
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    other = Webhook.objects.get(integration__slug="netcash")
    mine, others = log(webhook), log(other)
    caller = calling(charlie)
    answer = caller.post("/webhooks/replay", {"logIds": [str(mine.pk), str(others.pk)]}).json()
    assert answer["queued"] == 1
    assert caller.post("/webhooks/replay", {"filter": {"status": "failed"}}).json()["queued"] == 1
    assert_problem(caller.post("/webhooks/replay", {"filter": {"webhookId": str(other.pk)}}), 404, "not_found")
    assert_problem(caller.post("/webhooks/replay", {"filter": {"integration": "netcash"}}), 404, "not_found")
    assert_problem(calling(bob).post("/webhooks/replay", {"filter": {"status": "failed"}}), 403, "permission_denied")
    assert caller.get(f"/webhooks/replays/{answer['batchId']}").status_code == 200
    assert Activity.objects.filter(action="webhooks_replayed", integration_slug="resend").count() == 2
    everything = api.post("/webhooks/replay", {"filter": {"status": "failed"}}).json()["batchId"]
    assert_problem(caller.get(f"/webhooks/replays/{everything}"), 404, "not_found")
    assert_problem(caller.send("DELETE", f"/webhooks/replays/{everything}"), 404, "not_found")
