"""How far a run has come stands in the ledger while it goes on, and stays there if it never ends well."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from config import schedule
from config.interrupting import within
from integrations import progress
from integrations.cron import ledger
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import ApiMetric
from tests.factories import ApiMetricFactory, IntegrationFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)


@pytest.fixture
def job() -> CronJob:
    return CronJob.objects.get(job_name="metrics-rollup")


@pytest.fixture
def always(monkeypatch):
    """Each word is written, not one a second."""
    monkeypatch.setattr(ledger, "PROGRESS_SECONDS", 0.0)


def run(job: CronJob, work) -> CronRun:
    entry = cron.run(job, work, scheduled_for=cron.slot(job, NOW), trigger="schedule", now=NOW)
    assert entry is not None
    entry.refresh_from_db()
    return entry


def test_it_is_seen_while_the_run_goes_on_and_the_summary_takes_its_place(job, always):
    seen = []

    def work():
        for number in (1, 2):
            progress.tell(f"{number} of 2 done.", done=number)
            row = CronRun.objects.get(job=job)
            seen.append((row.status, row.result_summary))
        return {"message": "All done."}

    entry = run(job, work)
    assert seen == [("running", {"message": f"{n} of 2 done.", "done": n}) for n in (1, 2)]
    assert (entry.status, entry.result_summary) == ("success", {"message": "All done."})


def test_it_is_written_once_a_second_at_most(job, monkeypatch):
    clock = {"now": 100.0}
    monkeypatch.setattr(ledger.time, "monotonic", lambda: clock["now"])
    seen = []

    def work():
        for number, at in ((1, 100.0), (2, 100.4), (3, 101.1)):
            clock["now"] = at
            progress.tell(str(number))
            seen.append(CronRun.objects.get(job=job).result_summary["message"])
        return {}

    run(job, work)
    assert seen == ["1", "1", "3"]


@pytest.mark.parametrize("ending", ["breaks", "time"])
def test_how_far_it_came_stays_when_it_breaks_or_its_time_is_up(job, ending):
    def work():
        progress.tell("3 of 40 done.")
        if ending == "breaks":
            raise RuntimeError("the disk is full")
        time.sleep(30)

    entry = run(job, within(work, 0.3, lambda: ""))
    assert entry.status == {"breaks": "failed", "time": "timeout"}[ending]
    assert entry.result_summary == {"message": "3 of 40 done."}


def test_nobody_listens_outside_of_a_run_nor_after_it(job, always):
    progress.tell("Nobody hears this.")
    run(job, dict)
    progress.tell("Nor this.")
    assert CronRun.objects.get(job=job).result_summary == {}


def test_a_run_that_is_over_is_not_told_of_again(job, always):
    """Its worker was thought dead; what it says now must not stand in a row that ended."""

    def work():
        CronRun.objects.filter(job=job).update(status="timeout", result_summary={"message": "given up"})
        progress.tell("I am still here.")
        assert CronRun.objects.get(job=job).result_summary == {"message": "given up"}
        return {"message": "Done after all."}

    assert run(job, work).result_summary == {"message": "Done after all."}


def test_a_database_that_can_not_write_it_fails_no_job(job, always, monkeypatch):
    def refuses(self, **_):
        raise DatabaseError("locked")

    def work():
        with monkeypatch.context() as patch:
            patch.setattr("django.db.models.query.QuerySet.update", refuses)
            progress.tell("half")
        return {"message": "whole"}

    assert run(job, work).result_summary == {"message": "whole"}


def test_the_roll_up_tells_of_its_hours(job, always, monkeypatch):
    integration = IntegrationFactory()
    now = timezone.now()
    for hours in (3, 2):
        metric = ApiMetricFactory(integration=integration)
        ApiMetric.objects.filter(pk=metric.pk).update(created_at=now - timedelta(hours=hours))
    told = []
    with progress.told_to(told.append):
        summary = schedule.roll_up()
    assert told[0]["message"].startswith("1 of ")
    assert told[-1]["hours"] == summary["hours"] >= 2
