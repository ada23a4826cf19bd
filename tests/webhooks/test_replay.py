"""Bulk replays: what they choose, that a killed worker doubles nothing, and that they hold up nobody."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations.actor import Actor
from integrations.models import Activity
from webhooks.models import ReplayBatch, Webhook, WebhookLog
from webhooks.services import process, replay
from webhooks.services.selection import Selection

pytestmark = pytest.mark.django_db

NOW = timezone.now()
ALICE = Actor(username="alice")


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {
        "status": "failed", "payload": {"type": "email.sent"}, "body": b"{}", "event_type": "email.sent",
        "created_at": NOW - timedelta(hours=1), **fields,
    }  # fmt: skip
    return WebhookLog.objects.create(webhook=webhook, **fields)


def chosen(**told) -> set[object]:
    return set(Selection(**told).rows(before=NOW).values_list("pk", flat=True))


def replayed() -> list[object]:
    return list(WebhookLog.objects.exclude(replay_of=None).order_by("pk").values_list("replay_of", flat=True))


# --- Which -----------------------------------------------------------------------------------------------------------


def test_a_filter_takes_what_was_tried_and_came_from_the_provider(webhook):
    failed, done = log(webhook), log(webhook, status="processed")
    log(webhook, status="pending")
    log(webhook, status="duplicate", duplicate_of=failed.pk)
    log(webhook, verified=False)
    log(webhook, payload=None)
    log(webhook, is_test=True)
    log(webhook, replay_of=failed.pk)
    log(webhook, created_at=NOW + timedelta(seconds=1))
    assert chosen(webhook=webhook.pk) == {failed.pk, done.pk}


def test_each_condition_narrows(webhook):
    other = Webhook.objects.get(integration__slug="netcash")
    row, elsewhere = log(webhook, idempotency_key="evt_7"), log(other)
    late = log(webhook, event_type="email.bounced", status="processed", created_at=NOW - timedelta(minutes=5))
    assert chosen(integration="netcash") == {elsewhere.pk}
    assert chosen(webhook=webhook.pk, integration="netcash") == set()
    assert chosen(status="processed") == {late.pk}
    assert chosen(event_type="email.bounced") == {late.pk}
    assert chosen(since=NOW - timedelta(minutes=30)) == {late.pk}
    assert chosen(until=NOW - timedelta(minutes=30), webhook=webhook.pk) == {row.pk}
    assert chosen(search="EVT_7") == {row.pk}
    assert chosen(scope=(other.pk,)) == {elsewhere.pk}


def test_ids_take_tests_and_replays_too_and_of_a_duplicate_its_original(webhook):
    first = log(webhook)
    twin = log(webhook, status="duplicate", duplicate_of=first.pk)
    again, test = log(webhook, replay_of=first.pk), log(webhook, is_test=True)
    pending = log(webhook, status="pending")
    ids = (twin.pk, again.pk, test.pk, pending.pk)
    assert chosen(log_ids=ids) == {first.pk, again.pk, test.pk}
    assert chosen(log_ids=ids, scope=()) == set()


def test_a_selection_comes_back_from_its_json(webhook):
    told = Selection(
        scope=(webhook.pk,), log_ids=(webhook.pk,), webhook=webhook.pk, integration="resend", status="failed",
        event_type="a", since=NOW, until=NOW, search="x",
    )  # fmt: skip
    assert Selection.of_json(told.as_json()) == told
    assert Selection.of_json(Selection().as_json()) == Selection()


# --- Making ----------------------------------------------------------------------------------------------------------


def test_all_are_made_once_oldest_first_and_processed(webhook):
    rows = [log(webhook, created_at=NOW - timedelta(minutes=n), idempotency_key=f"k{n}") for n in range(1, 6)]
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    assert replay.run_due().queued == 5
    assert replayed() == [row.pk for row in reversed(rows)]
    assert set(WebhookLog.objects.exclude(replay_of=None).values_list("claims_key", "batch_id")) == {(False, batch.pk)}
    batch.refresh_from_db()
    assert (batch.status, batch.due_at, batch.queued, batch.skipped) == ("done", None, 5, 0)
    assert replay.progress(batch)["status"] == "running"
    process.drain(process.Table())
    assert replay.progress(batch) == {
        "status": "done", "total": 5, "queued": 5, "skipped": 0, "processed": 5, "failed": 0, "pending": 0,
        "stoppedBecause": "",
    }  # fmt: skip
    assert replay.run_due().queued == 0
    entry = Activity.objects.get(action="webhooks_replayed")
    assert (entry.username, entry.integration_slug, entry.details["events"]) == ("alice", "resend", 5)


def test_nothing_to_replay_makes_no_batch(webhook):
    assert replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW) is None
    assert not ReplayBatch.objects.exists()
    assert not Activity.objects.exists()


def test_too_many_are_refused(webhook, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 2)
    for _ in range(3):
        log(webhook)
    with pytest.raises(replay.TooMany, match="more than 2 events"):
        replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)


def test_a_worker_that_dies_between_chunks_is_followed_without_gap_or_double(webhook, monkeypatch):
    monkeypatch.setattr(replay, "CHUNK", 2)
    rows = [log(webhook, created_at=NOW - timedelta(minutes=9 - n // 2)) for n in range(7)]  # pairs of one instant
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    whole = replay._chunk

    def dies_in_the_third(*args):
        if len(replayed()) == 4:
            raise KeyboardInterrupt
        return whole(*args)

    monkeypatch.setattr(replay, "_chunk", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        replay.run_due()
    monkeypatch.setattr(replay, "_chunk", whole)
    assert replay.run_due().queued == 0  # its lease still runs
    ReplayBatch.objects.filter(pk=batch.pk).update(due_at=timezone.now())
    assert replay.run_due().queued == 3
    assert sorted(replayed()) == sorted(row.pk for row in rows)


def test_a_chunk_that_fails_leaves_the_cursor_where_it_was(webhook, monkeypatch):
    log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)

    def full(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(WebhookLog.objects, "bulk_create", full)
    with pytest.raises(OSError, match="full"):
        replay.run_due()
    batch.refresh_from_db()
    assert (batch.cursor, batch.queued, batch.status) == ("", 0, "running")


def test_large_bodies_go_in_smaller_chunks(webhook, monkeypatch):
    monkeypatch.setattr(replay, "CHUNK_BYTES", 10)
    for size in (8, 8, 30, 1, 1):
        log(webhook, body=b"x" * size)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    assert len(replay._next(batch, Selection(webhook=webhook.pk))) == 1
    assert replay.run_due().queued == 5


def test_workers_that_do_not_keep_up_are_waited_for(webhook, monkeypatch):
    monkeypatch.setattr(replay, "CHUNK", 2)
    monkeypatch.setattr(replay, "AHEAD", 4)
    for _ in range(7):
        log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    done = replay.run_due()
    assert (done.queued, WebhookLog.objects.filter(batch_id=batch.pk).count()) == (4, 4)
    assert timedelta(0) < done.next_due_at - timezone.now() <= replay.PAUSE
    process.drain(process.Table())
    ReplayBatch.objects.update(due_at=timezone.now())
    assert replay.run_due().queued == 3


def test_what_went_meanwhile_is_skipped_and_told(webhook):
    whole = log(webhook, body=b"[]", payload=None)
    log(webhook, body=b"", part_of=whole.pk)
    gone = log(webhook)
    log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    gone.delete()
    whole.delete()
    assert replay.run_due().queued == 1
    batch.refresh_from_db()
    assert (batch.total, batch.queued, batch.skipped) == (3, 1, 2)


def test_a_replay_of_what_is_switched_off_is_held_and_blocks_no_other(webhook, monkeypatch):
    monkeypatch.setattr(replay, "AHEAD", 1)
    Webhook.objects.filter(pk=webhook.pk).update(is_active=False)
    for _ in range(3):
        log(webhook)
    replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    assert replay.run_due().queued == 3
    assert process.drain(process.Table()).processed == 0


# --- Stopping --------------------------------------------------------------------------------------------------------


def test_a_cancelled_batch_makes_no_more_and_takes_back_what_was_not_tried(webhook, monkeypatch):
    monkeypatch.setattr(replay, "CHUNK", 2)
    monkeypatch.setattr(replay, "AHEAD", 2)
    for _ in range(6):
        log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    replay.run_due()
    tried = WebhookLog.objects.filter(batch_id=batch.pk).first()
    process.run(tried, process.Table())
    assert replay.cancel(batch, actor=ALICE, now=NOW) == 1
    batch.refresh_from_db()
    assert (batch.status, batch.due_at, batch.queued) == ("cancelled", None, 1)
    assert replay.run_due().queued == 0
    assert [row.pk for row in WebhookLog.objects.filter(batch_id=batch.pk)] == [tried.pk]
    assert Activity.objects.get(action="webhooks_replay_cancelled").details["taken_back"] == 1
    with pytest.raises(replay.NothingToCancel):
        replay.cancel(batch, actor=ALICE, now=NOW)


def test_who_was_at_work_when_it_was_cancelled_inserts_nothing(webhook):
    log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    at_work = ReplayBatch.objects.get(pk=batch.pk)
    assert ReplayBatch.objects.claim(at_work, now=timezone.now(), lease=replay.LEASE)
    replay.cancel(batch, actor=ALICE, now=NOW)
    assert replay._chunk(at_work, Selection(webhook=webhook.pk)) is None
    assert replayed() == []


def test_a_batch_that_is_done_can_not_be_cancelled(webhook):
    log(webhook)
    batch = replay.many(Selection(webhook=webhook.pk), actor=ALICE, now=NOW)
    replay.run_due()
    process.drain(process.Table())
    with pytest.raises(replay.NothingToCancel):
        replay.cancel(batch, actor=ALICE, now=NOW)
    batch.refresh_from_db()
    assert batch.status == "done"


# --- The command -----------------------------------------------------------------------------------------------------


def test_the_command_counts_asks_and_queues(webhook, capsys, monkeypatch):
    log(webhook)
    log(webhook, status="processed")
    chosen = ("--webhook", webhook.webhook_url, "--status", "failed")
    call_command("replay_webhooks", *chosen, "--dry-run")
    assert capsys.readouterr().out == "Events that fit: 1\n"
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    with pytest.raises(CommandError, match="Nothing was replayed"):
        call_command("replay_webhooks", *chosen)
    assert not ReplayBatch.objects.exists()
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    call_command("replay_webhooks", *chosen)
    assert f"Queued as batch {ReplayBatch.objects.get().pk}" in capsys.readouterr().out
    assert len(replayed()) == 1
    assert Activity.objects.get().username == "command line"


def test_the_command_takes_days_and_times(webhook, capsys):
    log(webhook, event_type="email.bounced")
    today = timezone.localdate(NOW - timedelta(hours=1)).isoformat()
    for chosen, number in (
        (("--from", today, "--to", today), 1),
        (("--from", NOW.isoformat()), 0),
        (("--to", (NOW - timedelta(days=2)).isoformat()), 0),
        (("--event-type", "email.bounced", "--yes"), 1),
        (("--event-type", "email.sent", "--yes"), 0),
    ):
        call_command("replay_webhooks", *chosen, *(() if "--yes" in chosen else ("--dry-run",)))
        assert capsys.readouterr().out.startswith(f"Events that fit: {number}\n"), chosen
    assert len(replayed()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "at least one condition"),
        (("--webhook", "/api/webhooks/nowhere"), "no receiver at"),
        (("--from", "yesterday"), "--from: give a day"),
        (("--to", "2026-13-01"), "--to: give a day"),
        (("--to", "2026-11-20T08:00:00"), "with its zone"),
    ],
)
def test_the_command_says_what_is_wrong(registry, options, words):
    with pytest.raises(CommandError, match=words):
        call_command("replay_webhooks", *options)


def test_the_command_refuses_too_many(webhook, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 0)
    log(webhook)
    with pytest.raises(CommandError, match="more than 0 events"):
        call_command("replay_webhooks", "--status", "failed", "--yes")
