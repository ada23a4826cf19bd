"""Slots and runs."""

import signal
import threading
import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.transaction import atomic
from django.utils import timezone

from config import interrupting, tasks
from config.interrupting import within
from integrations.cron import services
from integrations.cron.models import CronJob, CronRun

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 10, 7, 30, tzinfo=UTC)


@pytest.fixture
def job(db):
    return CronJob.objects.get(job_name="integrations-health-check")


def run(job, work=dict, *, at=NOW, **kwargs):
    return services.run(job, work, scheduled_for=services.slot(job, at), trigger="schedule", now=at, **kwargs)


@pytest.mark.parametrize(
    ("schedule", "slot", "following"),
    [
        ("*/15 * * * *", datetime(2026, 11, 22, 10, 0, tzinfo=UTC), datetime(2026, 11, 22, 10, 15, tzinfo=UTC)),
        (
            "0 3 * * 0",
            datetime(2026, 11, 22, 1, 0, tzinfo=UTC),
            datetime(2026, 11, 29, 1, 0, tzinfo=UTC),
        ),  # 03:00 SAST
        ("7 12 * * *", datetime(2026, 11, 22, 10, 7, tzinfo=UTC), datetime(2026, 11, 23, 10, 7, tzinfo=UTC)),
    ],
)
def test_slots_are_in_the_jobs_own_time_zone(job, schedule, slot, following):
    job.schedule = schedule
    assert services.slot(job, NOW) == slot
    assert services.next_run(job, NOW) == following


def test_a_message_that_comes_in_the_very_second_is_about_that_slot(job):
    on_the_dot = datetime(2026, 11, 22, 10, 15, 0, tzinfo=UTC)
    assert services.slot(job, on_the_dot) == on_the_dot


def test_a_run_is_kept_with_its_summary(job):
    entry = run(job, lambda: {"checked": 10})
    job.refresh_from_db()
    assert (entry.status, entry.result_summary, entry.scheduled_for) == (
        "success",
        {"checked": 10},
        NOW.replace(minute=0, second=0),
    )
    assert (job.last_run_status, job.last_run_at) == ("success", NOW)
    assert job.next_run_at > timezone.now()


def test_a_failure_is_kept_with_its_traceback(job):
    def work():
        raise ValueError("no such table")

    entry = run(job, work)
    job.refresh_from_db()
    assert (entry.status, entry.error_message) == ("failed", "ValueError: no such table")
    assert "Traceback" in entry.traceback
    assert job.last_run_status == "failed"


def test_a_run_past_its_time_is_ended_even_if_its_work_bears_every_error(job):
    def work():
        for _ in range(100):
            with suppress(Exception):
                time.sleep(0.1)
        return {}

    entry = run(job, within(work, 0.15, lambda: ""))
    assert (entry.status, entry.error_message) == (
        "timeout",
        "It was ended after 0.15 s, which is all the time it has.",
    )
    assert entry.duration_ms < 5000
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def wait_in_a_query() -> None:
    """SQLite works in our own process: there the wait is ours."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_sleep(60)")
        else:
            time.sleep(60)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize(
    ("seconds", "words", "outcome"),
    [
        (0.2, "", ("timeout", "It was ended after 0.2 s, which is all the time it has.")),
        (60, "Cancelled by alice.", ("failed", "Cancelled by alice.")),
    ],
)
def test_a_run_is_ended_in_the_middle_of_a_query(job, monkeypatch, seconds, words, outcome, transaction):
    monkeypatch.setattr(interrupting, "LOOK_SECONDS", 0.2)

    def work():
        with atomic() if transaction else nullcontext():
            wait_in_a_query()
        return {}

    run(job, within(work, seconds, lambda: words))
    entry = CronRun.objects.get()
    assert (entry.status, entry.error_message) == outcome
    job.refresh_from_db()
    assert job.last_run_status == outcome[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("end", "outcome"), [(services.TimedOut, "timeout"), (services.Cancelled, "failed")])
def test_a_connection_that_an_interruption_broke_is_replaced(job, end, outcome):
    def work():
        connection.ensure_connection()
        if connection.vendor == "postgresql":  # SQLite's can't break
            connection.connection.pgconn.send_query(b"SELECT 1")  # and nobody fetches the answer
        raise end("It was in the middle of a query.")

    run(job, work)
    assert CronRun.objects.get().status == outcome


def test_a_run_within_its_time_leaves_no_alarm_behind(job):
    assert run(job, within(lambda: {"done": 1}, 5, lambda: "")).status == "success"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_slot_runs_once_however_often_it_is_announced(job):
    done = []
    assert run(job, lambda: done.append(1) or {})
    assert run(job, lambda: done.append(2) or {}) is None
    assert done == [1]
    assert CronRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_start_a_slot_once():
    job, done = CronJob.objects.get(job_name="integrations-health-check"), []

    def announce():
        try:
            start.wait()
            run(job, lambda: done.append(1) or {})
        finally:
            connection.close()

    start = threading.Barrier(4)
    threads = [threading.Thread(target=announce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1]


def test_a_run_that_overlaps_is_skipped_and_says_why(job):
    CronRun.objects.create(job=job, scheduled_for=NOW - timedelta(minutes=15), started_at=NOW - timedelta(seconds=20))
    entry = run(job, lambda: pytest.fail("must not run"))
    assert entry.status == "skipped"
    assert "still going" in entry.error_message


def test_a_run_whose_worker_was_killed_blocks_nobody_for_ever(job):
    lost = CronRun.objects.create(job=job, scheduled_for=NOW - timedelta(hours=1), started_at=NOW - timedelta(hours=1))
    assert run(job).status == "success"
    lost.refresh_from_db()
    assert lost.status == "timeout"
    assert "never came back" in lost.error_message


def test_a_job_that_is_switched_off_does_not_run(job):
    CronJob.objects.filter(pk=job.pk).update(is_active=False)
    tasks.run_job(str(job.pk))
    assert not CronRun.objects.exists()


def test_schedules_in_words():
    assert services.in_words("*/15 * * * *") == "Every 15 minutes"
    assert services.in_words("not a schedule") == "not a schedule"
