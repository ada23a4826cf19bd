"""The ledger: every promised slot has one row, whatever was off, killed, late or there twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from config import schedule, tasks, wakeup
from integrations.actor import Actor
from integrations.cron import ledger as ledger_module
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity, Integration
from oauth import services as oauth
from tests.factories import IntegrationFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALICE = Actor(username="alice")


@pytest.fixture
def job(db) -> CronJob:
    """Every minute, with a ledger that is complete up to ten o'clock."""
    CronJob.objects.exclude(job_name="webhooks-process-due").update(is_active=False)
    CronJob.objects.update(ledger_until=NOW.replace(second=0))
    return CronJob.objects.get(job_name="webhooks-process-due")


def look(now: datetime, *signs: datetime) -> cron.Watched:
    return cron.watch(now=now, runnable=[job.name for job in schedule.JOBS], signs=lambda start, end: sorted(signs))


def runs_at(job: CronJob, at: datetime, work=dict) -> CronRun | None:
    return cron.run(job, work, scheduled_for=cron.slot(job, at), trigger="schedule", now=at)


def ledger(job: CronJob) -> dict[str, str]:
    rows = CronRun.objects.filter(job=job, scheduled_for__isnull=False)
    return {f"{row.scheduled_for:%H:%M}": row.status for row in rows.order_by("scheduled_for")}


# --- Slots that nobody made good on ----------------------------------------------------------------------------------


def test_seven_minutes_without_beat_are_seven_rows_and_each_slot_has_one(job):
    runs_at(job, NOW + MINUTE)
    for minute in range(9, 12):
        runs_at(job, NOW + minute * MINUTE)
    seen = look(NOW + 12 * MINUTE, NOW + 5 * MINUTE)
    assert (seen.slots_missed, seen.slots_unknown) == (7, 0)
    assert ledger(job) == {
        "10:01": "success", **{f"10:0{n}": "missed" for n in range(2, 9)}, "10:09": "success", "10:10": "success",
        "10:11": "success",
    }  # fmt: skip
    assert look(NOW + 12 * MINUTE, NOW).slots_missed == 0


def test_while_nothing_of_ours_ran_it_is_unknown(job):
    seen = look(NOW + 30 * MINUTE)
    assert (seen.slots_missed, seen.slots_unknown) == (0, 29)
    assert "Nothing of ours ran then" in CronRun.objects.first().error_message


def test_each_slot_is_judged_by_the_signs_around_it(job):
    look(NOW + 60 * MINUTE, NOW + 30 * MINUTE)
    found = ledger(job)
    assert found["10:10"] == "unknown"
    assert found["10:31"] == "missed"
    assert found["10:45"] == "unknown"


def test_a_message_may_still_be_on_its_way(job):
    assert look(NOW + MINUTE, NOW).slots_missed == 0  # the slot of 10:01 is thirty seconds old
    assert ledger(job) == {}
    assert look(NOW + 2.5 * MINUTE, NOW).slots_missed == 1


def test_a_message_that_comes_after_all_makes_it_good(job):
    look(NOW + 3 * MINUTE, NOW)
    assert ledger(job)["10:01"] == "missed"
    entry = cron.run(
        job, lambda: {"n": 1}, scheduled_for=NOW.replace(minute=1, second=0), trigger="schedule", now=NOW + 3 * MINUTE
    )
    assert (entry.status, entry.result_summary, entry.error_message) == ("success", {"n": 1}, "")
    assert ledger(job)["10:01"] == "success"


def test_many_at_once_find_each_slot_once(job):
    together, found = Barrier(6), []

    def work():
        together.wait()
        try:
            found.append(look(NOW + 20 * MINUTE, NOW))
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert CronRun.objects.count() == 19
    assert len(ledger(job)) == 19


def test_a_week_off_is_accounted_for_bit_by_bit(job):
    for _ in range(10):
        look(NOW + timedelta(days=7))
    assert CronRun.objects.filter(status="unknown").count() == 7 * 24 * 60 - 1


def test_a_switched_off_job_promises_nothing_and_begins_anew_when_it_is_on(job):
    cron.change(job, actor=ALICE, wanted={"is_active": False}, runnable=True)
    assert look(timezone.now() + timedelta(hours=1)).slots_unknown == 0
    changed = cron.change(job, actor=ALICE, wanted={"is_active": True}, runnable=True)
    changed.refresh_from_db()
    assert abs(changed.ledger_until - timezone.now()) < MINUTE
    assert ledger(job) == {}


def test_another_schedule_does_not_promise_the_past(job):
    changed = cron.change(job, actor=ALICE, wanted={"schedule": "*/5 * * * *"}, runnable=True)
    changed.refresh_from_db()
    assert abs(changed.ledger_until - timezone.now()) < MINUTE
    entry = Activity.objects.get(action="cron_changed")
    assert entry.details == {
        "job": job.job_name, "before": {"schedule": "* * * * *"}, "after": {"schedule": "*/5 * * * *"},
    }  # fmt: skip


@pytest.mark.parametrize("off", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_clock_that_jumps_makes_no_slot_run_twice(job, off):
    done = []
    moments = [NOW, NOW + MINUTE, NOW + MINUTE + off, NOW + 2 * MINUTE + off, NOW + 2 * MINUTE, NOW + 3 * MINUTE]
    for moment in moments:
        runs_at(job, moment, lambda: done.append(1) or {})
        look(moment)
    counts = Counter(CronRun.objects.filter(status="success").values_list("scheduled_for", flat=True))
    assert set(counts.values()) == {1}
    assert len(done) == len(counts) == len({cron.slot(job, moment) for moment in moments})


def test_a_ledger_that_a_wrong_clock_drove_ahead_begins_again_now(job):
    CronJob.objects.update(ledger_until=NOW + timedelta(days=30))
    look(NOW)
    job.refresh_from_db()
    assert job.ledger_until == NOW


# --- Clocks that differ, and are changed -----------------------------------------------------------------------------


@pytest.fixture
def no_work(monkeypatch) -> None:
    monkeypatch.setattr(schedule, "work_of", lambda job: dict)


def tell(job: CronJob, at: datetime) -> dict[str, str]:
    """Beat's message, picked up when the worker's clock says `at`."""
    with time_machine.travel(at, tick=False):
        tasks.run_job(str(job.pk))
    return ledger(job)


@pytest.mark.parametrize(
    ("promised", "behind", "before"),
    [
        ("* * * * *", 0.1, True), ("* * * * *", 4, False), ("* * * * *", 14, True), ("*/15 * * * *", 3, False),
        ("*/15 * * * *", 29, True), ("5 12 * * *", 29, False),
    ],
)  # fmt: skip
def test_a_worker_whose_clock_is_behind_beats_does_the_slot_that_is_meant(job, no_work, promised, behind, before):
    job.schedule, slot = promised, NOW.replace(minute=15 if "15" in promised else 5, second=0)
    job.save()
    if before:
        CronRun.objects.create(job=job, scheduled_for=cron.slot(job, slot - MINUTE), started_at=NOW, status="success")
    told = tell(job, slot - timedelta(seconds=behind))
    assert told[f"{slot:%H:%M}"] == "success"
    assert len(told) == 1 + before
    assert tell(job, slot) == told  # no second run


def test_a_message_that_waited_is_about_its_own_slot_not_the_one_that_is_coming(job, no_work):
    assert tell(job, NOW + timedelta(seconds=20)) == {"10:00": "success"}


def test_no_message_takes_a_slot_that_is_not_about_to_come(job, no_work):
    job.schedule = "*/15 * * * *"
    job.save()
    assert tell(job, NOW) == {"10:00": "success"}
    for seconds in (60, 600, 838):
        assert tell(job, NOW + timedelta(seconds=seconds)) == {"10:00": "success"}


def test_each_quarter_of_an_hour_that_comes_twice_has_its_run(job, no_work):
    """In Berlin, where two o'clock comes at 00:00 UTC and again at 01:00."""
    start = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)
    CronJob.objects.filter(pk=job.pk).update(
        timezone="Europe/Berlin", schedule="*/15 * * * *", ledger_until=start - MINUTE
    )
    job.refresh_from_db()
    moments = [start + timedelta(minutes=15 * n) for n in range(13)]
    for moment in moments:
        assert cron.slot(job, moment) == cron.slot(job, moment + timedelta(minutes=14)) == moment
        tell(job, moment + timedelta(seconds=1))
    look(moments[-1] + 20 * MINUTE, *moments)
    assert ledger(job) == {f"{moment:%H:%M}": "success" for moment in moments}


# --- Catching up -----------------------------------------------------------------------------------------------------


@pytest.fixture
def nightly(job) -> CronJob:
    """At three in the morning of Johannesburg; the ledger is complete up to ten o'clock, two days before."""
    CronJob.objects.filter(job_name="cleanup-webhook-logs").update(
        is_active=True, schedule="0 3 * * *", ledger_until=NOW - timedelta(days=3), catch_up="latest"
    )
    CronJob.objects.filter(pk=job.pk).update(is_active=False)
    return CronJob.objects.get(job_name="cleanup-webhook-logs")


def test_the_latest_of_those_that_were_missed_runs_late_and_the_others_are_missed(nightly):
    seen = look(NOW, NOW)
    assert seen.catch_up == {nightly.pk: NOW.replace(hour=1, minute=0, second=0)}
    assert Counter(CronRun.objects.values_list("status", flat=True)) == {"unknown": 2}
    assert look(NOW + MINUTE, NOW).catch_up == seen.catch_up  # its message may have been lost
    tasks.run_job(str(nightly.pk), seen.catch_up[nightly.pk].isoformat())
    latest = CronRun.objects.get(scheduled_for=seen.catch_up[nightly.pk])
    assert latest.status == "success"
    assert look(NOW + 2 * MINUTE, NOW).catch_up == {}
    tasks.run_job(str(nightly.pk), seen.catch_up[nightly.pk].isoformat())
    assert CronRun.objects.filter(status="success").count() == 1


def test_beat_that_is_back_after_an_hour_does_not_say_what_runs_late(nightly):
    """It makes good on what it missed, whatever the job says of that."""
    slot = NOW.replace(hour=1, minute=0, second=0)
    with time_machine.travel(slot + timedelta(minutes=61), tick=False):
        tasks.run_job(str(nightly.pk))
    assert not CronRun.objects.exists()
    with time_machine.travel(slot + timedelta(minutes=14), tick=False):
        tasks.run_job(str(nightly.pk))
    assert CronRun.objects.get().scheduled_for == slot


def test_what_is_not_caught_up_before_its_next_slot_is_missed_itself(nightly):
    first = look(NOW, NOW).catch_up[nightly.pk]
    later = NOW + timedelta(days=1)
    second = look(later, first).catch_up[nightly.pk]
    assert second == first + timedelta(days=1)
    assert CronRun.objects.get(scheduled_for=first).status == "missed"


def test_a_job_that_does_not_catch_up_has_its_slot_missed(nightly):
    CronJob.objects.filter(pk=nightly.pk).update(catch_up="none")
    seen = look(NOW, NOW.replace(hour=1, minute=0))
    assert seen.catch_up == {}
    assert Counter(CronRun.objects.values_list("status", flat=True)) == {"unknown": 2, "missed": 1}


def test_the_look_of_every_minute_starts_what_is_to_be_caught_up(nightly, monkeypatch):
    told = []
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown, *args: told.append((task, *args)))
    CronJob.objects.filter(pk=nightly.pk).update(ledger_until=timezone.now() - timedelta(days=3))
    schedule.watch_ledger()
    assert [(task, args[0]) for task, *args in told] == [("cron.run", str(nightly.pk))]


# --- Started by hand -------------------------------------------------------------------------------------------------


def test_what_was_asked_for_waits_for_a_worker_and_is_done_once(job):
    entry = cron.ask(job, actor=ALICE, trigger="manual", reason="after the outage", now=NOW)
    assert (entry.status, entry.triggered_by, entry.reason) == ("running", "alice", "after the outage")
    tasks.start_run(str(entry.pk))
    tasks.start_run(str(entry.pk))
    entry.refresh_from_db()
    assert entry.status == "success"
    assert "processed" in entry.result_summary
    assert Activity.objects.get(action="cron_triggered").details["reason"] == "after the outage"


def test_while_it_runs_nobody_starts_another(job):
    cron.ask(job, actor=ALICE, trigger="manual", now=NOW)
    with pytest.raises(cron.AlreadyRunning, match="runs since"):
        cron.ask(job, actor=ALICE, trigger="manual", now=NOW)
    skipped = runs_at(job, NOW + MINUTE)
    assert (skipped.status, skipped.error_message) == ("skipped", "Skipped: the run before it was still going.")
    assert Activity.objects.filter(action="cron_triggered").count() == 1


def test_one_of_many_who_ask_at_once_gets_it(job):
    together, got = Barrier(6), []

    def work():
        together.wait()
        try:
            got.append(cron.ask(job, actor=ALICE, trigger="manual", now=NOW).pk)
        except cron.AlreadyRunning:
            got.append(None)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert sum(one is not None for one in got) == 1


def test_what_no_worker_picks_up_is_announced_again_and_given_up_in_the_end(job):
    entry = cron.ask(job, actor=ALICE, trigger="manual", now=NOW)
    assert look(NOW + timedelta(seconds=10)).waiting == []
    assert look(NOW + timedelta(seconds=30)).waiting == [entry.pk]
    look(NOW + timedelta(minutes=3))
    entry.refresh_from_db()
    assert (entry.status, entry.error_message) == ("timeout", "No worker picked it up.")


def test_one_whose_worker_was_killed_is_ended_half_a_minute_after_it_was_cancelled(job):
    entry = cron.ask(job, actor=ALICE, trigger="manual", now=NOW)
    assert cron.pick_up(entry.pk, now=NOW)
    for seconds in (0, 20):  # pressed again: it counts from the first
        with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
            assert cron.cancel(entry, actor=ALICE)
    look(NOW + timedelta(seconds=29))
    entry.refresh_from_db()
    assert entry.status == "running"
    look(NOW + timedelta(seconds=31))
    entry.refresh_from_db()
    told = "Cancelled by alice. Its worker was stopped or killed before."
    assert (entry.status, entry.error_message) == ("failed", told)
    assert cron.ask(job, actor=ALICE, trigger="manual", now=NOW + timedelta(seconds=32))


def test_one_that_is_cancelled_before_it_began_never_begins(job):
    entry = cron.ask(job, actor=ALICE, trigger="manual", now=NOW)
    assert cron.cancel(entry, actor=ALICE)
    assert cron.pick_up(entry.pk, now=NOW) is None
    entry.refresh_from_db()
    assert (entry.status, entry.error_message) == ("failed", "Cancelled by alice before a worker began.")
    assert not cron.cancel(entry, actor=ALICE)
    assert Activity.objects.filter(action="cron_cancelled").count() == 1


# --- Held ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(job, registry) -> CronJob:
    """A job of Zoho CRM."""
    CronJob.objects.filter(pk=job.pk).update(integration=registry["zoho-crm"], ledger_until=timezone.now())
    return CronJob.objects.select_related("integration").get(pk=job.pk)


def begin(job: CronJob) -> None:
    """Its newest slot, named: without a name a message is late in the last five seconds of each minute."""
    tasks.run_job(str(job.pk), cron.slot(job, timezone.now()).isoformat())


def test_a_job_of_an_integration_that_is_off_is_skipped_and_says_so(theirs):
    Integration.objects.filter(slug="zoho-crm").update(is_active=False)
    begin(theirs)
    entry = CronRun.objects.get()
    assert (entry.status, entry.error_message) == ("skipped", "Skipped: Zoho CRM is switched off.")


def test_a_job_whose_grant_is_dead_is_skipped_and_runs_once_it_is_connected(theirs, sandbox, registry):
    begin(theirs)
    assert CronRun.objects.get().error_message == "Skipped: Zoho CRM has to be connected first."
    CronRun.objects.all().delete()
    oauth.connect_sandbox(registry["zoho-crm"])
    begin(theirs)
    assert CronRun.objects.get().status == "success"


def test_one_that_looks_itself_is_not_held(registry, job):
    sync = CronJob.objects.select_related("integration").get(job_name="zoho-sync")
    Integration.objects.filter(slug="zoho-billing").update(is_active=False)
    sync.refresh_from_db()
    assert schedule.held(sync) == ""


def test_a_job_of_no_provider_that_needs_no_grant_is_not_held(job):
    job.integration = IntegrationFactory(slug="plain", requires_oauth=False)
    assert schedule.held(job) == ""


# --- Retention -------------------------------------------------------------------------------------------------------


def test_old_runs_leave_and_the_newest_of_each_job_stay(job, monkeypatch):
    monkeypatch.setattr(ledger_module, "BATCH", 7)
    rare = CronJob.objects.get(job_name="cleanup-webhook-logs")
    for row, number, days in ((job, 70, 0), (job, 30, 100), (rare, 3, 200)):
        moments = [NOW - timedelta(days=days, minutes=n) for n in range(number)]
        CronRun.objects.bulk_create(
            CronRun(job=row, status="success", scheduled_for=at, started_at=at) for at in moments
        )
    CronRun.objects.create(job=rare, status="running", started_at=NOW - timedelta(days=300))
    assert cron.forget_old(now=NOW, dry_run=True) == 30
    assert cron.forget_old(now=NOW) == 30
    assert cron.forget_old(now=NOW) == 0
    assert CronRun.objects.filter(job=job).count() == 70
    assert CronRun.objects.filter(job=rare).count() == 4
