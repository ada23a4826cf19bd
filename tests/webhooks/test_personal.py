"""What is personal in events is dropped when it has had its time; the events stay, and nothing runs without it."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from config import schedule
from integrations import activity
from integrations.actor import Actor
from integrations.models import Activity
from tests.factories import AttemptFactory
from webhooks.models import Forward, Refusal, ReplayBatch, Webhook, WebhookLog
from webhooks.privacy import DROPPED
from webhooks.services import forward, personal, receive, replay
from webhooks.services.selection import Selection

pytestmark = pytest.mark.django_db

NOW = timezone.now()
ALICE = Actor(username="alice")
CANARY = "Thandïwe O'Canary"
SAID = {"type": "email.sent", "data": {"email_id": "e1", "to": [CANARY], "subject": None}}


@pytest.fixture
def resend(registry) -> Webhook:
    return Webhook.objects.select_related("integration").get(integration__slug="resend")


def log(webhook: Webhook, days: float, status: str = "processed", **fields) -> WebhookLog:
    said = {"payload": SAID, "body": json.dumps(SAID).encode(), "created_at": NOW - timedelta(days=days), **fields}
    return WebhookLog.objects.create(webhook=webhook, event_type="email.sent", status=status, **said)


def run(**options) -> dict:
    return personal.run(now=NOW, **options)


def whole() -> set[object]:
    return set(WebhookLog.objects.filter(personal_dropped_at=None).values_list("pk", flat=True))


def everything() -> str:
    """All that is kept of events and attempts, as text."""
    rows = [*WebhookLog.objects.values(), *Forward.objects.values("error_message")]
    for row in WebhookLog.objects.all():
        rows += row.attempt_rows.values()
    return str([{name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()} for row in rows])


def test_after_its_time_what_is_personal_is_gone_and_the_event_is_still_there(resend):
    body = json.dumps(SAID).encode()
    old = log(
        resend, 31, query_string=f"x={CANARY}", error_message=f"KeyError: {CANARY!r}", idempotency_key="evt_1",
        traceback=f"KeyError: {CANARY}", fetched={"data": {"to": CANARY}}, retry_count=2, claims_key=True,
    )  # fmt: skip
    AttemptFactory(log=old, answer=f"thanks, {CANARY}")
    young = log(resend, 29)
    assert run()["dropped"] == {"/api/webhooks/resend": 1}
    old.refresh_from_db()
    assert old.payload == {"type": "email.sent", "data": {"email_id": "e1", "to": DROPPED, "subject": None}}
    assert (old.fetched, bytes(old.body), old.query_string) == ({"data": {"to": DROPPED}}, b"", "")
    assert (old.body_size, old.body_sha256) == old.what_came() == (len(body), hashlib.sha256(body).hexdigest())
    assert (old.idempotency_key, old.status, old.retry_count) == ("evt_1", "processed", 2)
    assert old.personal_dropped_at == NOW
    assert whole() == {young.pk}
    young.delete()
    assert "Canary" not in everything()


def test_what_is_personal_nowhere_keeps_its_bytes(registry, resend):
    plain = Webhook.objects.create(
        integration=registry["mtn-coverage"], webhook_url="/api/webhooks/x", verification_method="hmac_sha256"
    )
    kept = log(plain, 80)
    assert run()["total"] == 0
    assert whole() == {kept.pk}


def test_the_days_are_set_for_all_and_for_a_provider(resend, settings, monkeypatch):
    rows = [log(resend, days) for days in (4, 6, 8)]
    settings.PERSONAL_RETENTION_DAYS = 7
    run()
    assert whole() == {rows[0].pk, rows[1].pk}
    object.__setattr__(spec := resend.integration.spec.webhook, "personal_days", 5)
    try:
        run()
    finally:
        object.__setattr__(spec, "personal_days", None)
    assert whole() == {rows[0].pk}
    settings.PERSONAL_RETENTION_DAYS = 0  # would drop what has just come
    assert personal.keeps_days(resend) == 1


def test_what_still_waits_keeps_everything_and_loses_it_once_it_is_done(resend):
    held = log(resend, 50, status="pending")
    again = log(resend, 45, status="failed", due_at=NOW)
    on_its_way = log(resend, 44)
    Forward.objects.create(log=on_its_way, webhook=resend, url="https://example.com", due_at=NOW)
    holds_bytes = log(resend, 43)
    part = log(resend, 43, status="failed", due_at=NOW, part_of=holds_bytes.pk)
    log(resend, 42)
    assert run()["total"] == 1
    assert whole() == {held.pk, again.pk, on_its_way.pk, holds_bytes.pk, part.pk}
    resend.refresh_from_db()
    assert resend.personal_dropped_to == held.created_at  # below it nothing needs to be looked through again
    WebhookLog.objects.update(status="processed", due_at=None)
    Forward.objects.update(status="delivered", due_at=None)
    assert run()["total"] == 5
    resend.refresh_from_db()
    assert (whole(), resend.personal_dropped_to) == (set(), NOW - timedelta(days=30))
    assert run()["total"] == 0


def test_what_a_410_stopped_keeps_everything_while_it_may_be_resumed(resend):
    where = "https://example.com"
    stopped = log(resend, 50)
    Forward.objects.create(log=stopped, webhook=resend, url=where, status="stopped")
    Webhook.objects.filter(pk=resend.pk).update(forward_url=where)
    assert (run()["total"], whole()) == (0, {stopped.pk})
    Webhook.objects.filter(pk=resend.pk).update(forward_url="")
    assert (run()["total"], whole()) == (1, set())


def test_a_replay_is_no_way_to_keep_it_longer(resend):
    first = log(resend, 31)
    again = log(resend, 2, replay_of=first.pk)
    third = log(resend, 1, replay_of=again.pk)
    of_what_is_gone = log(resend, 1, replay_of=first.webhook_id)
    waiting = log(resend, 1, status="pending", due_at=NOW, replay_of=first.pk)
    of_a_young_one = log(resend, 1, replay_of=log(resend, 3).pk)
    assert run()["total"] == 4
    assert whole() == {waiting.pk, of_a_young_one.pk, of_a_young_one.replay_of}
    assert {first.pk, third.pk, of_what_is_gone.pk}.isdisjoint(whole())
    WebhookLog.objects.filter(pk=waiting.pk).update(status="processed", due_at=None)
    assert run()["total"] == 1


def test_refused_deliveries_do_not_outlast_it(resend, settings):
    settings.PERSONAL_RETENTION_DAYS = 2
    old = Refusal.objects.create(webhook=resend, body=CANARY.encode(), created_at=NOW - timedelta(days=3))
    young = Refusal.objects.create(webhook=resend, body=CANARY.encode(), created_at=NOW - timedelta(days=1))
    run()
    assert set(Refusal.objects.values_list("pk", flat=True)) == {young.pk} != {old.pk}


# --- Batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies_at", range(1, 8))
@pytest.mark.django_db(transaction=True)
def test_killed_anywhere_the_next_one_goes_on_and_each_event_is_told_of_once(resend, monkeypatch, dies_at):
    monkeypatch.setattr(personal, "BATCH", 3)
    monkeypatch.setattr(personal, "READ", 2)
    bodies = {log(resend, 31 + n, body=b"%d" % n).pk: b"%d" % n for n in range(7)}
    original, calls = personal._one, []

    def one(*args):
        calls.append(args)
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(personal, "_one", one)
    with pytest.raises(KeyboardInterrupt):
        run()
    for row in WebhookLog.objects.filter(personal_dropped_at=None):
        assert (bytes(row.body), row.payload, row.body_sha256) == (bodies[row.pk], SAID, None)
    done = WebhookLog.objects.exclude(personal_dropped_at=None).count()
    assert done == (dies_at - 1) // 3 * 3
    assert run()["total"] == 7 - done
    for row in WebhookLog.objects.all():
        assert row.what_came() == (1, hashlib.sha256(bodies[row.pk]).hexdigest())
    told = Activity.objects.filter(action="webhook_personal_dropped")
    assert sum(row.details["events"] for row in told) == 7
    assert list(activity.verify()) == []


def test_what_is_not_reached_in_time_is_left_for_the_next_run(resend, monkeypatch):
    log(resend, 31)
    assert run(budget_seconds=-1) == {"dry_run": False, "dropped": {}, "total": 0, "finished": False}
    with pytest.raises(CommandError, match="Time was up"):
        call_command("drop_personal_fields", seconds=-1)
    assert run()["finished"]


def test_a_dry_run_counts_and_drops_nothing(resend, capsys):
    log(resend, 31)
    assert run(dry_run=True)["dropped"] == {"/api/webhooks/resend": 1}
    call_command("drop_personal_fields", dry_run=True)
    assert "1  events would be cleared" in capsys.readouterr().out
    assert len(whole()) == 1
    assert not Activity.objects.exists()
    call_command("drop_personal_fields", days=31)
    assert len(whole()) == 0
    with pytest.raises(CommandError, match="begins at 1"):
        call_command("drop_personal_fields", days=0)


def test_the_weekly_cleaning_does_it_and_says_so(resend):
    log(resend, 31)
    assert "would be dropped from 1 event." in schedule.clean_up(dry_run=True)["message"]
    assert "was dropped from 1 event." in schedule.clean_up()["message"]
    assert Activity.objects.get().details == {"webhook": "/api/webhooks/resend", "events": 1}


# --- Nothing runs without it -----------------------------------------------------------------------------------------


def test_half_an_event_is_neither_replayed_nor_revived(resend):
    failed, other = log(resend, 31, status="failed"), log(resend, 1)
    duplicate = log(resend, 1, status="duplicate", duplicate_of=failed.pk)
    run()
    for row in (failed, duplicate):
        row.refresh_from_db()
        with pytest.raises(replay.NotReplayable, match="was dropped"):
            replay.one(row, actor=ALICE, now=NOW)
    assert not receive.revive(failed.pk, now=NOW)
    batch = replay.many(Selection(log_ids=(failed.pk, other.pk)), actor=ALICE, now=timezone.now())
    replay.run_due()
    assert ReplayBatch.objects.get(pk=batch.pk).queued == 1
    assert WebhookLog.objects.get(batch_id=batch.pk).replay_of == other.pk


def test_one_of_many_events_is_not_replayed_without_the_bytes_of_its_delivery(resend):
    holds_bytes, part = log(resend, 31), log(resend, 29)
    WebhookLog.objects.filter(pk=part.pk).update(part_of=holds_bytes.pk)
    run()
    part.refresh_from_db()
    with pytest.raises(replay.NotReplayable, match="bytes of its delivery"):
        replay.one(part, actor=ALICE, now=NOW)


def test_half_an_event_is_not_passed_on(resend, monkeypatch):
    monkeypatch.setenv("WEBHOOK_FORWARD_SECRET", "whsec_" + "a" * 32)
    row = Forward.objects.create(log=log(resend, 31), webhook=resend, url="https://example.com/hook", status="stopped")
    run()  # while there was nowhere to send it
    Webhook.objects.filter(pk=resend.pk).update(forward_url="https://example.com/hook")
    forward.resume(resend, actor=ALICE, now=timezone.now())
    row.refresh_from_db()
    assert forward.send(row, forward.Summary())
    row.refresh_from_db()
    assert (row.status, row.due_at, row.error_message) == ("failed", None, forward.DROPPED)
    with pytest.raises(forward.NotNow) as refused:
        forward.again(row, actor=ALICE, now=timezone.now())
    assert refused.value.code == "personal_dropped"
