"""What is passed on, by the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations import ids
from integrations.models import Activity
from tests.api.conftest import assert_problem
from webhooks.models import Forward, Webhook, WebhookLog
from webhooks.services import forward

pytestmark = pytest.mark.django_db

URL = "https://example.com/in"


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup._forwarder, "wake", lambda: told.append("forward"))
    return told


@pytest.fixture
def webhook(registry) -> Webhook:
    Webhook.objects.filter(integration__slug="resend").update(forward_url=f"{URL}?key=canary")
    return Webhook.objects.get(integration__slug="resend")


def made(webhook: Webhook, **fields: Any) -> Forward:
    log = WebhookLog.objects.create(
        webhook=webhook, body=b"{}", payload={}, status="processed", event_type="email.sent"
    )
    return Forward.objects.create(
        log=log, webhook=webhook, **{"url": "https://u:canary@old.example.com/x?y", **fields}
    )


def path(row: Forward, what: str = "retry") -> str:
    return f"/webhooks/{row.webhook_id}/forwards/{row.pk}/{what}"


# --- The list --------------------------------------------------------------------------------------------------------


def test_it_lists_what_became_of_each_newest_first_and_no_secret_of_the_address(api, webhook):
    now = timezone.now()
    older = made(webhook, status="delivered", status_code=200, attempts=1, created_at=now - timedelta(1), done_at=now)
    newer = made(
        webhook,
        status="failed",
        status_code=500,
        attempts=2,
        error_message="HTTP 500.",
        due_at=now + timedelta(hours=1),
    )
    made(Webhook.objects.get(integration__slug="netcash"))
    answer = api.get(f"/webhooks/{webhook.pk}/forwards")
    assert "canary" not in answer.content.decode()
    first, second = answer.json()["forwards"]
    assert first.pop("createdAt").endswith("Z")
    assert first.pop("nextAttemptAt").endswith("Z")
    assert first == {
        "id": str(newer.pk), "logId": str(newer.log_id), "eventType": "email.sent", "url": "https://old.example.com/x",
        "status": "failed", "attempts": 2, "underWay": False, "deliveredAt": None, "statusCode": 500,
        "error": "HTTP 500.",
    }  # fmt: skip
    assert (second["id"], second["nextAttemptAt"], second["error"]) == (str(older.pk), None, None)
    assert second["deliveredAt"].endswith("Z")
    assert answer.json()["pagination"]["total"] == 2


def test_it_filters_by_status_and_goes_on_by_cursor(api, webhook):
    for _ in range(3):
        made(webhook, status="failed")
    made(webhook, status="stopped")
    where = f"/webhooks/{webhook.pk}/forwards"
    page = api.get(where, status="failed", limit=2).json()
    rest = api.get(where, status="failed", limit=2, cursor=page["pagination"]["nextCursor"]).json()
    seen = [row["id"] for row in page["forwards"] + rest["forwards"]]
    assert len(seen) == len(set(seen)) == 3
    assert {row["status"] for row in page["forwards"] + rest["forwards"]} == {"failed"}
    assert_problem(api.get(where, status="lost"), 400, "invalid")


def test_a_page_costs_as_many_queries_as_one_row(api, webhook):
    made(webhook)
    where = f"/webhooks/{webhook.pk}/forwards"
    api.get(where)
    with CaptureQueriesContext(connection) as one:
        api.get(where)
    for _ in range(9):
        made(webhook)
    with CaptureQueriesContext(connection) as ten:
        api.get(where)
    assert len(ten) == len(one) <= 12


# --- Going on --------------------------------------------------------------------------------------------------------


def test_resuming_lets_go_what_was_stopped_and_wakes_the_workers(api, webhook, woken):
    Webhook.objects.update(forward_stopped_at=timezone.now())
    for _ in range(2):
        made(webhook, status="stopped", attempts=3)
    answer = api.post(f"/webhooks/{webhook.pk}/forwards/resume").json()
    assert answer == {"success": True, "waiting": 2, "message": "Forwarding goes on; 2 waited."}
    webhook.refresh_from_db()
    assert webhook.forward_stopped_at is None
    rows = Forward.objects.all()
    assert [(row.status, row.attempts, row.url) for row in rows] == [("pending", 0, webhook.forward_url)] * 2
    assert Forward.objects.runnable().due(timezone.now()).count() == 2
    assert woken == ["forward"]
    entry = Activity.objects.get(action="forward_resumed")
    assert (entry.username, entry.details["waiting"], entry.details["url"]) == ("alice", 2, URL)


def test_what_was_not_stopped_can_not_be_resumed(api, webhook, woken):
    where = f"/webhooks/{webhook.pk}/forwards/resume"
    assert_problem(api.post(where), 409, "not_stopped")
    Webhook.objects.update(forward_url="", forward_stopped_at=timezone.now())
    assert_problem(api.post(where), 409, "not_forwarding")
    assert woken == []
    assert not Activity.objects.exists()


# --- One once more ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"status": "failed", "attempts": 8}, 0),  # gave up: it begins anew
        ({"status": "failed", "attempts": 3, "due_at": "later"}, 3),
        ({"status": "pending", "due_at": "later"}, 0),
        ({"status": "failed", "attempts": 3, "due_at": "past", "started_at": "before"}, 3),  # its worker died
    ],
)
def test_what_gave_up_or_waits_is_due_now_at_the_address_of_now(api, webhook, woken, fields, attempts):
    now = timezone.now()
    moments = {"later": now + timedelta(hours=1), "past": now - timedelta(seconds=1)}
    moments["before"] = moments["past"] - forward.LEASE
    row = made(webhook, **{name: moments.get(value, value) for name, value in fields.items()})
    answer = api.post(path(row))
    assert answer.json() == {"success": True, "message": "It is sent in the background."}
    row.refresh_from_db()
    assert row.due_at <= timezone.now()
    assert (row.attempts, row.url, woken) == (attempts, webhook.forward_url, ["forward"])
    assert Forward.objects.runnable().due(timezone.now()).get() == row
    entry = Activity.objects.get(action="forward_retried")
    assert (entry.username, entry.details["log"], entry.details["url"]) == ("alice", str(row.log_id), URL)


@pytest.mark.parametrize("code", ["delivered", "stopped", "under_way"])
def test_what_can_not_be_sent_again_says_why(api, webhook, woken, code):
    now = timezone.now()
    fields = {
        "delivered": {"status": "delivered"},
        "stopped": {"status": "stopped"},
        "under_way": {"status": "pending", "started_at": now, "due_at": now + forward.LEASE},
    }[code]
    row = made(webhook, **fields)
    assert_problem(api.post(path(row)), 409, code)
    assert api.get(f"/webhooks/{webhook.pk}/forwards").json()["forwards"][0]["underWay"] is (code == "under_way")
    assert (woken, Activity.objects.count()) == ([], 0)


def test_nothing_goes_where_nothing_is_taken(api, webhook):
    row = made(webhook, status="failed")
    Webhook.objects.update(forward_stopped_at=timezone.now())
    assert "resume" in assert_problem(api.post(path(row)), 409, "stopped")["detail"]
    Webhook.objects.update(forward_url="")
    assert_problem(api.post(path(row)), 409, "not_forwarding")


def test_what_is_switched_off_is_held_and_says_so(api, webhook):
    row = made(webhook, status="failed")
    Webhook.objects.update(is_active=False)
    assert "held" in api.post(path(row)).json()["message"]


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_a_grant_on_one_integration_reaches_that_one(api, calling, bob, charlie, webhook, registry):
    Webhook.objects.update(forward_url=URL, forward_stopped_at=timezone.now())
    mine, theirs = made(webhook, status="failed"), made(Webhook.objects.get(integration__slug="netcash"))
    for perm in ("read", "manage", "webhooks:replay"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    caller = calling(charlie)
    assert caller.get(f"/webhooks/{mine.webhook_id}/forwards").status_code == 200
    assert caller.post(f"/webhooks/{mine.webhook_id}/forwards/resume").status_code == 200
    assert caller.post(path(mine)).status_code == 200
    assert_problem(caller.get(f"/webhooks/{theirs.webhook_id}/forwards"), 404, "not_found")
    assert_problem(caller.post(f"/webhooks/{theirs.webhook_id}/forwards/resume"), 404, "not_found")
    assert_problem(caller.post(path(theirs)), 404, "not_found")
    assert_problem(calling(bob).post(path(mine)), 403, "permission_denied")
    assert_problem(calling(bob).post(f"/webhooks/{webhook.pk}/forwards/resume"), 403, "permission_denied")


def test_another_receivers_forward_is_404(api, webhook):
    other = made(Webhook.objects.get(integration__slug="netcash"), status="failed")
    assert_problem(api.post(f"/webhooks/{webhook.pk}/forwards/{other.pk}/retry"), 404, "not_found")
    assert_problem(api.post(f"/webhooks/{webhook.pk}/forwards/{ids.new()}/retry"), 404, "not_found")
