"""Hours are counted whole, once, and again if calls come late; what has had its time goes, and nothing before."""

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.db import connection

from config import schedule
from healthchecks import figures, histogram, prune, rollups
from healthchecks.models import CheckResult, MetricRollup, RolledHour
from healthchecks.rollups import ALL, HOUR
from integrations.models import ApiMetric, Integration
from tests.factories import CheckResultFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 25, 9, 5, tzinfo=UTC)
NINE = NOW.replace(minute=0)


def call(integration: Integration, at: datetime, ms: int = 100, **fields) -> ApiMetric:
    fields = {"endpoint": "/v1/things", "method": "GET", "status_code": 200, **fields}
    return ApiMetric.objects.create(integration=integration, created_at=at, response_time_ms=ms, **fields)


def kept() -> list[dict]:
    """Every roll-up, without its id."""
    rows = MetricRollup.objects.order_by("integration__slug", "hour", "endpoint", "method").values()
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


# --- Counting --------------------------------------------------------------------------------------------------------


def test_an_hour_is_counted_by_endpoint_and_as_a_whole(registry):
    resend, at = registry["resend"], NINE - HOUR
    for ms, error in ((100, ""), (300, "HTTP 500"), (0, "")):
        call(resend, at + timedelta(minutes=10), ms, error_message=error)
    call(resend, at + timedelta(minutes=59, seconds=59.999), 50, endpoint="/v1/other", method="POST")
    call(registry["netcash"], at, 7)
    done = rollups.roll(now=NOW)
    assert (done.hours, done.calls, done.left) == (1, 5, 0)
    assert done.words == "1 hour with 5 calls rolled up."
    whole = MetricRollup.objects.get(integration=resend, **ALL)
    assert (whole.hour, whole.requests, whole.errors, whole.total_ms, whole.max_ms) == (at, 4, 1, 450, 300)
    assert whole.histogram == histogram.of([100, 300, 0, 50])
    things = MetricRollup.objects.get(integration=resend, endpoint="/v1/things", method="GET")
    assert (things.requests, things.errors, things.histogram) == (3, 1, histogram.of([100, 300, 0]))
    assert MetricRollup.objects.filter(integration=registry["netcash"]).count() == 2
    assert RolledHour.objects.get().calls == 5


def test_the_database_puts_every_time_into_the_bucket_that_python_does(registry):
    resend = registry["resend"]
    times = [*range(2000), *(int(1.07**n) for n in range(100, 317))]
    ApiMetric.objects.bulk_create(
        ApiMetric(integration=resend, endpoint="/x", method="GET", response_time_ms=ms, created_at=NINE - HOUR)
        for ms in times
    )
    rollups.roll(now=NOW)
    assert MetricRollup.objects.get(**ALL).histogram == histogram.of(times)


def test_the_present_hour_is_left_until_it_is_over(registry):
    call(registry["resend"], NINE + timedelta(minutes=1))
    assert rollups.roll(now=NOW).hours == 0
    assert rollups.mark() is None
    assert rollups.roll(now=NOW + HOUR).hours == 1


def test_without_a_call_there_is_nothing_to_do(registry):
    assert rollups.roll(now=NOW) == rollups.Rolled()
    assert not RolledHour.objects.exists()


def test_gaps_are_filled_from_the_oldest_call_on_and_quiet_hours_count_too(registry):
    """The job did not run for three days."""
    call(registry["resend"], NINE - 72 * HOUR)
    call(registry["resend"], NINE - 2 * HOUR)
    done = rollups.roll(now=NOW)
    assert (done.hours, done.calls) == (72, 2)
    assert RolledHour.objects.count() == 72
    assert rollups.mark() == NINE - HOUR


def test_a_single_hour_that_is_missing_is_filled_too(registry):
    for n in range(1, 40):
        call(registry["resend"], NINE - n * HOUR)
    rollups.roll(now=NOW)
    before = kept()
    missing = NINE - 30 * HOUR
    RolledHour.objects.filter(hour=missing).delete()
    MetricRollup.objects.filter(hour=missing).delete()
    assert rollups.roll(now=NOW).hours == 1
    assert kept() == before


def test_doing_it_again_changes_nothing_and_costs_nothing(registry):
    call(registry["resend"], NINE - HOUR)
    rollups.roll(now=NOW)
    before, ids = kept(), set(MetricRollup.objects.values_list("pk", flat=True))
    assert rollups.roll(now=NOW).hours == 0
    rollups.roll_hour(NINE - HOUR, now=NOW)
    assert kept() == before
    assert ids.isdisjoint(MetricRollup.objects.values_list("pk", flat=True)), "it was counted anew, not added to"


def test_an_hour_to_which_calls_came_late_is_counted_again_whole(registry):
    call(registry["resend"], NINE - 3 * HOUR)
    rollups.roll(now=NOW)
    call(registry["resend"], NINE - 3 * HOUR, 900, endpoint="/v1/late")
    done = rollups.roll(now=NOW)
    assert (done.hours, done.calls) == (1, 2)
    assert MetricRollup.objects.get(**ALL, hour=NINE - 3 * HOUR).max_ms == 900


def test_after_a_day_it_is_too_late(registry):
    call(registry["resend"], NINE - 30 * HOUR)
    rollups.roll(now=NOW)
    call(registry["resend"], NINE - 30 * HOUR)
    assert rollups.roll(now=NOW).hours == 0


def test_an_endpoint_that_is_gone_leaves_no_roll_up(registry):
    row = call(registry["resend"], NINE - HOUR, endpoint="/v1/gone")
    call(registry["resend"], NINE - HOUR)
    rollups.roll(now=NOW)
    row.delete()
    rollups.roll(now=NOW)
    assert not MetricRollup.objects.filter(endpoint="/v1/gone").exists()
    assert MetricRollup.objects.get(**ALL).requests == 1


def test_an_integration_that_was_deleted_takes_its_figures_along(registry):
    call(registry["resend"], NINE - HOUR)
    call(registry["netcash"], NINE - HOUR)
    rollups.roll(now=NOW)
    registry["resend"].delete()
    rollups.roll(now=NOW)
    assert set(MetricRollup.objects.values_list("integration__slug", flat=True)) == {"netcash"}
    assert RolledHour.objects.get().calls == 1


def test_a_clock_that_was_wrong_once_does_not_keep_it_busy_for_ever(registry):
    call(registry["resend"], datetime(1990, 1, 1, tzinfo=UTC))
    call(registry["resend"], NINE - HOUR)
    assert rollups.roll(now=NOW, budget_seconds=0.0).left <= rollups.ROLLUP_DAYS * 24 + 1


def test_hours_that_a_clock_ahead_took_for_over_are_taken_back(registry):
    call(registry["resend"], NINE - HOUR)
    rollups.roll(now=NOW + 30 * HOUR)
    call(registry["resend"], NINE + timedelta(minutes=1))
    assert rollups.mark() > NINE
    rollups.roll(now=NOW)
    assert rollups.mark() == NINE - HOUR
    (found,) = figures.windows(registry["resend"], since=[NINE - 2 * HOUR])
    assert found.total == 2


def test_what_the_budget_does_not_allow_is_left_for_the_next_time_the_oldest_first(registry, monkeypatch):
    for n in range(1, 6):
        call(registry["resend"], NINE - n * HOUR)
    monkeypatch.setattr(rollups, "time", SimpleNamespace(monotonic=RolledHour.objects.count))  # a second for each
    done = rollups.roll(now=NOW, budget_seconds=1.5)
    assert (done.hours, done.left) == (2, 3)
    assert done.words == "2 hours with 2 calls rolled up. 3 more are left for the next run."
    assert rollups.mark() == NINE - 4 * HOUR
    assert rollups.roll(now=NOW, budget_seconds=100).hours == 3


@pytest.mark.django_db(transaction=True)
def test_two_at_once_count_no_call_twice(registry):
    ApiMetric.objects.bulk_create(
        ApiMetric(
            integration=registry["resend"], endpoint=f"/v1/{n % 5}", method="GET", response_time_ms=n,
            created_at=NINE - HOUR * (1 + n % 3),
        ) for n in range(300)
    )  # fmt: skip
    failures = []

    def work() -> None:
        try:
            rollups.roll(now=NOW)
            for n in range(1, 4):
                rollups.roll_hour(NINE - n * HOUR, now=NOW)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(MetricRollup.objects.filter(**ALL).values_list("requests", flat=True)) == [100, 100, 100]
    assert MetricRollup.objects.count() == 3 * (1 + 5)


# --- Retention -------------------------------------------------------------------------------------------------------


def test_calls_go_after_their_days_and_roll_ups_stay(registry, settings):
    settings.METRICS_RETENTION_DAYS = 5
    old, young = call(registry["resend"], NOW - timedelta(days=6)), call(registry["resend"], NOW - timedelta(days=4))
    rollups.roll(now=NOW)
    assert prune.run(now=NOW) == {"calls": 1}
    assert list(ApiMetric.objects.all()) == [young]
    assert MetricRollup.objects.filter(hour=rollups.floor(old.created_at)).count() == 2
    rollups.roll(now=NOW)
    assert MetricRollup.objects.filter(**ALL).count() == 2, "they are not counted anew from what is left"


def test_what_is_not_rolled_up_yet_stays(registry):
    for days in (90, 60, 40):
        call(registry["resend"], NOW - timedelta(days=days))
    assert prune.run(now=NOW) == {}
    rollups.roll_hour(rollups.floor(NOW - timedelta(days=60)), now=NOW)
    assert prune.run(now=NOW) == {"calls": 2}


def test_two_days_are_kept_in_any_case(registry, settings):
    settings.METRICS_RETENTION_DAYS = 0
    call(registry["resend"], NOW - timedelta(hours=47))
    rollups.roll(now=NOW)
    assert prune.run(now=NOW) == {}


def test_old_roll_ups_and_checks_go_too(registry):
    for days in (401, 399):
        hour = rollups.floor(NOW - timedelta(days=days))
        RolledHour.objects.create(hour=hour)
        MetricRollup.objects.create(
            integration=registry["resend"], hour=hour, requests=1, errors=0, total_ms=1, **ALL
        )  # fmt: skip
    for days in (181, 179):
        CheckResultFactory(integration=registry["resend"], created_at=NOW - timedelta(days=days))
    assert prune.run(now=NOW) == {"rollups": 1, "checks": 1, "hours": 1}
    assert (MetricRollup.objects.count(), CheckResult.objects.count(), RolledHour.objects.count()) == (1, 1, 1)


def test_it_goes_in_batches_and_stops_when_its_time_is_up(registry, settings, monkeypatch):
    settings.METRICS_RETENTION_DAYS = 2
    monkeypatch.setattr(prune, "BATCH", 3)
    for n in range(10):
        call(registry["resend"], NOW - timedelta(days=3, minutes=n))
    rollups.roll(now=NOW)
    gone = SimpleNamespace(monotonic=lambda: 10 - ApiMetric.objects.count())  # a second for each
    monkeypatch.setattr(prune, "time", gone)
    assert prune.run(now=NOW, budget_seconds=5) == {"calls": 6}
    assert min(ApiMetric.objects.values_list("created_at", flat=True)) == NOW - timedelta(days=3, minutes=3)


# --- The job ---------------------------------------------------------------------------------------------------------


def test_the_job_rolls_up_and_cleans_up_and_says_so_in_words(registry, settings):
    settings.METRICS_RETENTION_DAYS = 2
    call(registry["resend"], NOW - timedelta(hours=50))
    with time_machine.travel(NOW, tick=False):
        summary = schedule.BY_NAME["metrics-rollup"].work()
    assert summary["message"] == "50 hours with 1 call rolled up. 1 day merged. Removed as too old: 1 call."
    assert (summary["days"], summary["removed"]) == (1, {"calls": 1})
