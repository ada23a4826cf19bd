"""Replaying many from the pages: what is chosen is counted first, then it goes on in the background."""

import re
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import handlers, wakeup
from integrations.models import Activity
from integrations.permissions import Perm
from tests.factories import WebhookLogFactory
from webhooks.models import ReplayBatch, Webhook, WebhookLog
from webhooks.services import process, replay

pytestmark = pytest.mark.django_db

FEED = "/admin/integrations/webhooks"
MANY = f"{FEED}/replays"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup, "_send", lambda task, *_: told.append(task))
    return told


@pytest.fixture
def hooks(registry) -> dict[str, Webhook]:
    return {hook.integration.slug: hook for hook in Webhook.objects.select_related("integration")}


def event(hook: Webhook, **fields: Any) -> WebhookLog:
    fields.setdefault("created_at", timezone.now() - timedelta(hours=1))
    return WebhookLogFactory(webhook=hook, **fields)


def confirm(client, query: str = "", **data: Any):
    """Press the button of the page that counts and asks."""
    page = client.post(f"{MANY}{query}", data).content.decode()
    return client.post(f"{MANY}{query}", data | hidden(page) | {"sure": "yes"})


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(batch|counted|counted_at)" value="([^"]*)"', page))


def test_all_that_match_are_counted_and_nothing_is_done_yet(client, alice, hooks):
    for kind, status in (("email.sent", "failed"), ("email.sent", "processed"), ("email.opened", "failed")):
        event(hooks["resend"], event_type=kind, status=status)
    event(hooks["netcash"], status="failed")
    event(hooks["resend"], status="failed", event_type="email.sent", is_test=True)
    client.force_login(alice)
    page = client.get(f"{MANY}?integration=resend&status=failed&event=sen").content.decode()
    assert "Replay 1 event?" in page
    assert not ReplayBatch.objects.exists()


def test_it_begins_when_somebody_is_sure_and_shows_how_far_it_is(client, alice, hooks, woken):
    first = [event(hooks["resend"], event_type="email.sent", status="failed") for _ in range(3)]
    event(hooks["resend"], event_type="email.opened", status="failed")
    client.force_login(alice)
    answer = confirm(client, "?integration=resend&event=email.sent")
    batch = ReplayBatch.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{MANY}/{batch.pk}")
    ends = time.monotonic() + 10
    while not woken and time.monotonic() < ends:  # a thread of its own tells the workers
        time.sleep(0.02)
    assert woken[:1] == [wakeup.REPLAY]
    assert (
        'Still to come</dt><dd class="text-lg font-semibold tabular-nums">3'
        in client.get(f"{MANY}/{batch.pk}").content.decode()
    )
    replay.run_due()
    process.drain(handlers.TABLE)
    made = WebhookLog.objects.filter(batch_id=batch.pk)
    assert {row.replay_of for row in made} == {row.pk for row in first}
    page = client.get(f"{MANY}/{batch.pk}", headers=HTMX).content.decode()
    assert "100 %" in page
    assert "Done" in page
    assert Activity.objects.get(action="webhooks_replayed").username == "alice"


def test_rows_that_were_picked_are_replayed_and_no_others(client, alice, hooks):
    picked = [event(hooks["resend"], status="failed") for _ in range(2)]
    event(hooks["resend"], status="failed")
    client.force_login(alice)
    asked = client.post(MANY, {"log": [row.pk for row in picked]}).content.decode()
    assert "Replay 2 events?" in asked
    assert asked.count('name="log"') == 2
    confirm(client, log=[row.pk for row in picked])
    replay.run_due()
    assert set(WebhookLog.objects.exclude(replay_of=None).values_list("replay_of", flat=True)) == {
        row.pk for row in picked
    }


def test_without_a_filter_nothing_is_offered(client, alice, hooks):
    event(hooks["resend"])
    client.force_login(alice)
    for answer in (client.get(MANY), client.get(f"{MANY}?status=duplicate"), client.get(f"{MANY}?status=pending")):
        page = answer.content.decode()
        assert "Nothing to replay" in page
        assert 'name="sure"' not in page


@pytest.mark.parametrize("query", ["", "?status=duplicate", "?status=pending"])
def test_without_a_filter_nothing_is_done_even_if_somebody_is_sure(client, alice, hooks, query):
    event(hooks["resend"])
    event(hooks["resend"], status="duplicate")
    client.force_login(alice)
    assert confirm(client, query).status_code == 200
    assert not ReplayBatch.objects.exists()


def test_too_many_are_refused_and_say_so(client, alice, hooks, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 1)
    for _ in range(2):
        event(hooks["resend"])
    client.force_login(alice)
    for answer in (
        client.get(f"{MANY}?integration=resend"),
        confirm(client, "?integration=resend"),
    ):
        assert "ask for them in parts" in answer.content.decode()
    assert not ReplayBatch.objects.exists()


def test_what_came_after_it_was_counted_is_not_among_them(client, alice, hooks):
    counted = event(hooks["resend"], status="failed")
    client.force_login(alice)
    told = hidden(client.get(f"{MANY}?integration=resend").content.decode())
    event(hooks["resend"], status="failed", created_at=timezone.now() + timedelta(milliseconds=1))
    time.sleep(0.005)
    answer = client.post(f"{MANY}?integration=resend", {"sure": "yes"} | told, follow=True)
    assert "1 that came since is not among them." in answer.content.decode()
    assert ReplayBatch.objects.get().total == 1
    replay.run_due()
    assert [row.replay_of for row in WebhookLog.objects.exclude(batch_id=None)] == [counted.pk]


def test_more_than_was_counted_is_asked_for_anew(client, alice, hooks):
    event(hooks["resend"], status="failed")
    late = event(hooks["resend"], status="pending")
    client.force_login(alice)
    told = hidden(client.get(f"{MANY}?integration=resend").content.decode())
    WebhookLog.objects.filter(pk=late.pk).update(status="failed")
    page = client.post(f"{MANY}?integration=resend", {"sure": "yes"} | told).content.decode()
    assert "When you were asked, 1 could be replayed; now 2 can." in page
    assert "Replay 2 events?" in page
    assert not ReplayBatch.objects.exists()
    client.post(f"{MANY}?integration=resend", {"sure": "yes"} | hidden(page))
    assert ReplayBatch.objects.get().total == 2


def test_fewer_than_were_counted_are_replayed_and_it_says_so(client, alice, hooks):
    rows = [event(hooks["resend"], status="failed") for _ in range(2)]
    client.force_login(alice)
    told = hidden(client.get(f"{MANY}?integration=resend&status=failed").content.decode())
    WebhookLog.objects.filter(pk=rows[0].pk).update(status="processed")
    answer = client.post(f"{MANY}?integration=resend&status=failed", {"sure": "yes"} | told, follow=True)
    assert "1 that was counted is gone, or has changed since." in answer.content.decode()
    assert ReplayBatch.objects.get().total == 1


def test_what_becomes_fit_while_it_runs_is_not_among_them(client, alice, hooks):
    event(hooks["resend"], status="failed")
    late = event(hooks["resend"], status="pending", created_at=timezone.now() - timedelta(minutes=1))
    client.force_login(alice)
    confirm(client, "?integration=resend")
    WebhookLog.objects.filter(pk=late.pk).update(status="processed")
    replay.run_due()
    assert WebhookLog.objects.exclude(batch_id=None).count() == 1


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"counted": "x", "counted_at": "2026-01-01T00:00:00Z"},
        {"counted": "1", "counted_at": "2026-01-01T00:00"},
        {"counted": "1", "counted_at": "y"},
        {"counted": "1", "counted_at": "2026-13-01T00:00:00Z"},
        {"counted": "1", "counted_at": "0001-01-01T00:00:00+14:00"},
        {"counted": "1", "counted_at": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_yes_to_nothing_that_was_counted_begins_nothing(client, alice, hooks, told):
    event(hooks["resend"], status="failed")
    client.force_login(alice)
    answer = client.post(f"{MANY}?integration=resend", {"sure": "yes"} | told)
    assert "Replay 1 event?" in answer.content.decode()
    assert not ReplayBatch.objects.exists()


def test_a_grant_on_one_integration_replays_that_one_alone(client, charlie, registry, hooks):
    mine, theirs = event(hooks["resend"], status="failed"), event(hooks["netcash"], status="failed")
    for slug in ("resend", "netcash"):
        assign_perm("integrations.read", charlie, registry[slug])
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    client.force_login(charlie)
    page = client.get(FEED, headers=HTMX).content.decode()
    assert f'name="log" value="{mine.pk}"' in page
    assert f'name="log" value="{theirs.pk}"' not in page
    assert "Replay 1 event?" in client.get(f"{MANY}?status=failed").content.decode()
    confirm(client, log=[mine.pk, theirs.pk])
    replay.run_due()
    assert [row.replay_of for row in WebhookLog.objects.exclude(batch_id=None)] == [mine.pk]


def test_what_may_not_be_seen_is_not_replayed_even_by_who_may_replay_everything(client, charlie, registry, hooks):
    event(hooks["resend"], status="failed")
    event(hooks["netcash"], status="failed")
    assign_perm("integrations.webhooks:replay", charlie)
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert "Replay 1 event?" in client.get(f"{MANY}?status=failed").content.decode()


def test_who_may_only_look_sees_no_boxes(client, bob, hooks):
    event(hooks["resend"])
    client.force_login(bob)
    page = client.get(f"{FEED}?integration=resend").content.decode()
    assert 'name="log"' not in page
    assert "Replay all that match" not in page
    assert "Send test" not in page


def test_a_batch_of_others_is_not_found(client, charlie, registry, hooks):
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    batch = ReplayBatch.objects.create(selection={"integration": "netcash"}, total=1)
    client.force_login(charlie)
    for pk in (batch.pk, uuid4()):
        assert client.get(f"{MANY}/{pk}").status_code == 404
        assert client.post(f"{MANY}/{pk}/cancel").status_code == 404


def test_one_that_runs_can_be_stopped(client, alice, hooks):
    event(hooks["resend"], status="failed")
    client.force_login(alice)
    confirm(client, "?integration=resend")
    batch = ReplayBatch.objects.get()
    assert "Replay stopped" in client.post(f"{MANY}/{batch.pk}/cancel", headers=HTMX).content.decode()
    assert "Cancelled" in client.get(f"{MANY}/{batch.pk}").content.decode()
    assert "Not stopped" in client.post(f"{MANY}/{batch.pk}/cancel", headers=HTMX).content.decode()


def test_a_batch_tells_in_one_sentence_of_how_many_by_whom_and_since_when_it_is_over(client, alice, hooks):
    for _ in range(2):
        event(hooks["resend"], status="failed")
    client.force_login(alice)
    confirm(client, "?integration=resend")
    batch = ReplayBatch.objects.get()

    def told() -> str:
        page = client.get(f"{MANY}/{batch.pk}", headers=HTMX).content.decode()
        return re.sub(r"<[^>]+>", "", page)

    assert "2 events, asked for by alice just now." in told()
    client.post(f"{MANY}/{batch.pk}/cancel", headers=HTMX)
    assert "2 events, asked for by alice just now, over just now." in told()


def test_without_scripts_stopping_one_asks_first(client, alice, hooks):
    event(hooks["resend"], status="failed")
    client.force_login(alice)
    confirm(client, "?integration=resend")
    batch = ReplayBatch.objects.get()
    replay.run_due()
    assert "Stop this replay?" in client.post(f"{MANY}/{batch.pk}/cancel").content.decode()
    batch.refresh_from_db()
    assert batch.status != ReplayBatch.Status.CANCELLED
    told = client.post(f"{MANY}/{batch.pk}/cancel", {"sure": "yes"}, follow=True)
    assert told.redirect_chain == [(f"{MANY}/{batch.pk}", 302)]
    assert "1 that had not been tried yet was taken back." in told.content.decode()


def test_what_is_no_id_is_not_found(client, alice, hooks):
    client.force_login(alice)
    assert client.post(MANY, {"log": ["x"]}).status_code == 404


# --- A test ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(monkeypatch) -> None:
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5")


@pytest.mark.django_db(transaction=True)
def test_a_test_is_sent_and_its_row_shown(client, alice, hooks, secret):
    client.force_login(alice)
    hook = hooks["resend"]
    page = client.get(f"{FEED}/test?receiver={hook.pk}").content.decode()
    assert f'<option value="{hook.pk} email.sent"' in page
    answer = client.post(f"{FEED}/test", {"event": f"{hook.pk} email.bounced"})
    row = WebhookLog.objects.get()
    assert (row.is_test, row.event_type, row.forwards, row.status) == (True, "email.bounced", False, "processed")
    assert answer.headers["Location"] == f"{FEED}?integration=resend#log-{row.pk}"
    assert "Sent a test of email.bounced. The event was processed." in client.get(FEED).content.decode()


def test_a_receiver_that_would_refuse_it_says_what_to_do(client, alice, hooks, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET", raising=False)
    client.force_login(alice)
    answer = client.post(f"{FEED}/test", {"event": f"{hooks['resend'].pk} email.sent"})
    assert answer.status_code == 422
    assert "RESEND_WEBHOOK_SECRET is not set" in answer.content.decode()
    assert not WebhookLog.objects.exists()


def test_only_receivers_that_may_be_tested_are_offered_and_taken(client, charlie, registry, hooks, secret):
    for perm in ("read", "webhooks:replay"):
        assign_perm(f"integrations.{perm}", charlie, registry["netcash"])
    client.force_login(charlie)
    page = client.get(f"{FEED}/test").content.decode()
    assert "NetCash Pay Now" in page
    assert "Resend" not in page
    for event_ in (f"{hooks['resend'].pk} email.sent", "x", f"{hooks['netcash'].pk} no.such", ""):
        assert client.post(f"{FEED}/test", {"event": event_}).status_code == 422
    assert not WebhookLog.objects.exists()


def test_a_button_pressed_twice_makes_one_batch(client, alice, hooks, woken):
    event(hooks["resend"], event_type="email.sent", status="failed")
    client.force_login(alice)
    where = f"{MANY}?integration=resend&event=email.sent"
    page = client.get(where).content.decode()
    told = hidden(page)
    wanted = told["batch"]
    first, second = (client.post(where, {"sure": "yes"} | told) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"] == f"{MANY}/{wanted}"
    assert ReplayBatch.objects.count() == 1


def test_who_may_replay_but_not_read_is_shown_no_event(client, person, hooks):
    dana = person("dana")
    assign_perm(Perm.WEBHOOKS_REPLAY.django_name, dana)
    log = event(hooks["resend"], event_type="email.sent", status="failed")
    batch = ReplayBatch.objects.create(selection={"scope": None}, total=1, username="alice", created_at=timezone.now())
    WebhookLog.objects.filter(pk=log.pk).update(batch_id=batch.pk, replay_of=log.pk)
    client.force_login(dana)
    answer = client.get(f"{MANY}/{batch.pk}")
    assert answer.status_code in (403, 404) or "email.sent" not in answer.content.decode()
