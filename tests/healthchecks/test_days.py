"""Days are their hours, merged: no less and no older, and read instead of them where that is exact."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from healthchecks import board as boards
from healthchecks import drawing, figures, histogram, prune, rollups, traffic
from healthchecks.asked import Asked
from healthchecks.figures import Metrics
from healthchecks.models import DailyRollup, MetricRollup, RolledDay, RolledHour
from healthchecks.rollups import ALL, DAY, HOUR, Days
from healthchecks.traffic import RANGES, Endpoint, Traffic
from integrations.accounts.models import User
from integrations.models import ApiMetric, Integration
from tests.factories import IntegrationFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 25, 9, 37, 12, tzinfo=UTC)
TODAY = NOW.date()
QUARTER = RANGES["90d"]
WORDS = "Percentiles of so many hours are read for one integration at a time."

Registry = dict[str, Integration]


def lived(*rows: Integration, days: float = 4.5, number: int = 300) -> None:
    """Fast calls and slow ones, over some days up to now."""
    dice = random.Random(7)
    ApiMetric.objects.bulk_create(
        ApiMetric(
            integration=row, endpoint=f"/v1/{dice.choice('ab')}", method="GET",
            response_time_ms=int(dice.lognormvariate(5 if dice.random() < 0.9 else 8, 0.6)),
            error_message="HTTP 500" if dice.random() < 0.1 else "",
            created_at=NOW - timedelta(seconds=dice.uniform(0, days * 86400)),
        ) for row in rows for _ in range(number)
    )  # fmt: skip


def call(integration: Integration, at: datetime, ms: int = 100, **fields: Any) -> ApiMetric:
    fields = {"endpoint": "/v1/a", "method": "GET", **fields}
    return ApiMetric.objects.create(integration=integration, created_at=at, response_time_ms=ms, **fields)


def kept() -> list[dict[str, Any]]:
    """Every daily roll-up, without its id."""
    rows = DailyRollup.objects.order_by("integration__slug", "day", "endpoint", "method").values()
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


def merged() -> list[dict[str, Any]]:
    """What they should be: the hours of the days that are rolled up, added up one by one."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    days = set(rolled())
    for row in MetricRollup.objects.order_by("integration__slug", "hour", "endpoint", "method"):
        if row.hour.date() not in days:
            continue
        key = {
            "integration_id": row.integration_id, "endpoint": row.endpoint, "method": row.method,
            "day": row.hour.date(),
        }  # fmt: skip
        one = found.setdefault(
            (row.integration.slug, row.hour.date(), row.endpoint, row.method),
            key | {"requests": 0, "errors": 0, "total_ms": 0, "max_ms": 0, "histogram": {}},
        )
        one["requests"] += row.requests
        one["errors"] += row.errors
        one["total_ms"] += row.total_ms
        one["max_ms"] = max(one["max_ms"], row.max_ms)
        one["histogram"] = histogram.merge([one["histogram"], row.histogram])
    return [found[key] for key in sorted(found)]


def rolled() -> list[date]:
    return sorted(RolledDay.objects.values_list("day", flat=True))


def newest() -> Days | None:
    """As a page reads them: in a query of its integrations."""
    first, until = rollups.newest_days()
    row = Integration.objects.annotate(first=first, until=until).values_list("first", "until")[0]
    return Days(*row) if row[0] else None


# --- Merging ---------------------------------------------------------------------------------------------------------


def test_a_day_is_its_hours_merged_by_endpoint_and_as_a_whole(registry: Registry) -> None:
    lived(registry["resend"], registry["netcash"])
    done = rollups.roll(now=NOW)
    assert rolled() == [TODAY - DAY * n for n in (4, 3, 2, 1)]  # neither the first day, which began before, nor today
    assert (done.days, done.days_left) == (4, 0)
    assert done.words.endswith("rolled up. 4 days merged.")
    assert kept() == merged()
    yesterday = ApiMetric.objects.filter(
        integration=registry["resend"], created_at__gte=rollups.midnight(TODAY - DAY),
        created_at__lt=rollups.midnight(TODAY),
    )  # fmt: skip
    of = {"integration": registry["resend"], "day": TODAY - DAY}
    for only in (ALL, {"endpoint": "/v1/a", "method": "GET"}):
        calls = yesterday if only == ALL else yesterday.filter(**only)
        times = list(calls.values_list("response_time_ms", flat=True))
        assert DailyRollup.objects.get(**of, **only).histogram == histogram.of(times)
    assert DailyRollup.objects.filter(**of).count() == 3


def test_doing_it_again_changes_nothing_and_costs_nothing(registry: Registry) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    before, ids = kept(), set(DailyRollup.objects.values_list("pk", flat=True))
    assert rollups.roll(now=NOW).days == 0
    assert set(DailyRollup.objects.values_list("pk", flat=True)) == ids
    rollups.roll_day(TODAY - DAY, now=NOW)
    assert kept() == before
    assert ids != set(DailyRollup.objects.values_list("pk", flat=True)), "it was merged anew, not added to"


def test_a_quiet_day_is_a_day_too(registry: Registry) -> None:
    call(registry["resend"], NOW - 4 * DAY)
    assert rollups.roll(now=NOW).days == 3
    assert kept() == []
    assert newest() == Days(TODAY - 3 * DAY, TODAY)


def test_a_late_call_takes_its_day_back_and_the_same_run_merges_it_anew(registry: Registry) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    late = rollups.midnight(TODAY) - HOUR
    call(registry["resend"], late, 9000, endpoint="/v1/late")
    rollups.roll_hour(late, now=NOW)
    assert rolled() == [TODAY - DAY * n for n in (4, 3, 2)]
    done = rollups.roll(now=NOW)
    assert (done.hours, done.days) == (0, 1)
    assert kept() == merged()
    assert DailyRollup.objects.get(endpoint="/v1/late").requests == 1
    call(registry["resend"], late, 9000)
    done = rollups.roll(now=NOW)
    assert (done.hours, done.days) == (1, 1)
    assert kept() == merged()


def test_an_hour_that_was_missing_completes_its_day(registry: Registry) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    gap = rollups.midnight(TODAY - 2 * DAY) + 5 * HOUR
    RolledHour.objects.filter(hour=gap).delete()
    RolledDay.objects.filter(day=TODAY - 2 * DAY).delete()
    rollups.roll_day(TODAY - 2 * DAY, now=NOW)
    assert TODAY - 2 * DAY not in rolled()
    assert newest() == Days(TODAY - DAY, TODAY)
    rollups.roll(now=NOW)
    assert newest() == Days(TODAY - 4 * DAY, TODAY)
    assert kept() == merged()


@pytest.mark.parametrize("step", ["update_or_create", "bulk_create"])
def test_killed_within_a_day_it_has_done_nothing_of_it_and_the_next_run_does_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    before, late = kept(), rollups.midnight(TODAY) - HOUR
    call(registry["resend"], late, 9000)
    manager = RolledDay.objects if step == "update_or_create" else DailyRollup.objects

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(manager, step, killed)
        with pytest.raises(SystemExit):
            rollups.roll(now=NOW)
    assert kept() == before
    assert TODAY - DAY not in rolled()
    found = read(registry["resend"])
    assert found.whole.requests == 301  # by its hours, which are right
    assert rollups.roll(now=NOW).days == 1
    assert kept() == merged()
    assert read(registry["resend"]).whole.requests == 301


def test_the_newest_days_come_first_and_what_the_budget_does_not_allow_next_time(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    RolledDay.objects.all().delete()
    DailyRollup.objects.all().delete()  # as after an upgrade
    monkeypatch.setattr(rollups, "time", SimpleNamespace(monotonic=RolledDay.objects.count))  # a second for each
    done = rollups.roll(now=NOW, budget_seconds=1.5)
    assert (done.hours, done.days, done.days_left) == (0, 2, 2)
    assert done.words == "0 hours with 0 calls rolled up. 2 days merged, 2 left for the next run."
    assert newest() == Days(TODAY - 2 * DAY, TODAY)
    assert rollups.roll(now=NOW, budget_seconds=100).days == 2
    assert kept() == merged()


def test_days_that_a_clock_ahead_took_for_over_are_taken_back(registry: Registry) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW + 3 * DAY)
    assert TODAY in rolled()
    rollups.roll(now=NOW)
    assert newest() == Days(TODAY - 4 * DAY, TODAY)


def test_an_integration_that_was_deleted_takes_its_days_along(registry: Registry) -> None:
    lived(registry["resend"], registry["netcash"])
    rollups.roll(now=NOW)
    registry["resend"].delete()
    assert set(DailyRollup.objects.values_list("integration__slug", flat=True)) == {"netcash"}


@pytest.mark.django_db(transaction=True)
def test_hours_and_days_at_once_leave_no_day_that_is_not_its_hours(registry: Registry) -> None:
    lived(registry["resend"], days=3, number=200)
    rollups.roll(now=NOW)
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for n in range(4):
                hour = rollups.midnight(TODAY - DAY) + HOUR * (5 * number + n)
                call(registry["resend"], hour, 5000)
                rollups.roll_hour(hour, now=NOW)
                rollups.roll_day(TODAY - DAY, now=NOW)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    rollups.roll(now=NOW)
    assert kept() == merged()
    assert DailyRollup.objects.get(**ALL, day=TODAY - DAY).requests >= 16


# --- Retention -------------------------------------------------------------------------------------------------------


def test_days_go_when_the_first_of_their_hours_does(registry: Registry) -> None:
    border = (NOW - timedelta(days=rollups.ROLLUP_DAYS)).date()  # has some of its hours
    for n in (-1, 0, 1):
        day = border + DAY * n
        RolledDay.objects.create(day=day, until=day + DAY)
        DailyRollup.objects.create(
            integration=registry["resend"], day=day, requests=1, errors=0, total_ms=1, **ALL
        )  # fmt: skip
    RolledHour.objects.bulk_create(RolledHour(hour=rollups.midnight(border) + HOUR * n) for n in range(48))
    assert prune.run(now=NOW) == {"days": 2, "rollups": 2, "hours": 10}
    assert rolled() == [border + DAY]
    assert DailyRollup.objects.get().day == border + DAY
    assert rollups.roll(now=NOW).days == 0


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(*rows: Integration, now: datetime = NOW, days: bool = True, **asked: Any) -> Traffic:
    pks = [row.pk for row in rows]
    return traffic.read(pks, QUARTER, mark=rollups.mark(), days=newest() if days else None, now=now, **asked)


MOMENTS = {
    "within a day": NOW,
    "at midnight": rollups.midnight(TODAY + DAY),
    "a second later": rollups.midnight(TODAY + DAY) + timedelta(seconds=1),
    "the window begins within a day": NOW + 88 * DAY,
    "and at its midnight": rollups.midnight(TODAY + 88 * DAY),
    "the window before begins within a day": NOW + 178 * DAY + HOUR / 3,
}


@pytest.mark.parametrize("histograms", [10_000, 0], ids=["percentiles", "averages"])
@pytest.mark.parametrize("only", [None, Endpoint("GET", "/v1/a")], ids=["all", "one endpoint"])
@pytest.mark.parametrize("now", MOMENTS.values(), ids=MOMENTS)
def test_by_days_and_by_hours_it_is_the_same_and_that_of_its_calls(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, now: datetime, only: Endpoint | None, histograms: int
) -> None:
    monkeypatch.setattr(traffic, "MOST_HISTOGRAMS", histograms)
    rows = registry["resend"], registry["netcash"]
    lived(*rows)
    rollups.roll(now=NOW)
    by_days, by_hours = read(*rows, now=now, only=only), read(*rows, now=now, days=False, only=only)
    assert (by_days.by_time, by_days.by_integration) == (by_hours.by_time, by_hours.by_integration)
    assert (by_days.before, by_days.trends, by_days.times) == (by_hours.before, by_hours.trends, by_hours.times)
    calls = ApiMetric.objects.filter(**({"endpoint": only.path} if only else {}))
    since = now - QUARTER.length
    times = list(calls.filter(created_at__gte=since).values_list("response_time_ms", flat=True))
    assert by_days.whole.requests == len(times)
    assert by_days.whole.histogram == (histogram.of(times) if histograms else {})
    before = calls.filter(created_at__lt=since, created_at__gte=since - QUARTER.length)
    assert by_days.before.requests == before.count()
    assert by_days.whole.requests or by_days.before.requests
    if histograms:
        assert figures.of(by_days.whole).p95_ms == histogram.quantile(histogram.of(times), 0.95)


def test_whole_days_are_read_from_days_and_the_edges_from_hours_and_calls(registry: Registry) -> None:
    """Each source says something else here, so that it can be told which was read."""
    lived(registry["resend"])
    rollups.roll(now=NOW)
    DailyRollup.objects.update(requests=1000)
    MetricRollup.objects.update(requests=10)
    found = read(registry["resend"])
    counts = [found.by_time[rollups.midnight(TODAY - DAY * n)].requests for n in range(5)]
    assert counts[1:] == [1000] * 4
    hours = MetricRollup.objects.filter(**ALL, hour__gte=rollups.midnight(TODAY)).count()
    assert counts[0] == 10 * hours + ApiMetric.objects.filter(created_at__gte=rollups.floor(NOW)).count()


@pytest.mark.parametrize("key", ["24h", "7d"])
def test_shorter_windows_are_read_by_hours(registry: Registry, key: str) -> None:
    lived(registry["resend"])
    rollups.roll(now=NOW)
    expected, asked = [], {"mark": rollups.mark(), "now": NOW}
    for days in (None, newest()):
        found = traffic.read([registry["resend"].pk], RANGES[key], days=days, **asked)
        expected.append(found.by_time)
        DailyRollup.objects.update(requests=1000)
    assert expected[0] == expected[1]


def test_a_day_that_is_taken_back_while_a_page_is_read_counts_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which days there are is read once; what was merged stays until it is merged anew."""
    lived(registry["resend"])
    rollups.roll(now=NOW)
    days, mark = newest(), rollups.mark()
    late = rollups.midnight(TODAY) - HOUR
    call(registry["resend"], late)
    rollups.roll_hour(late, now=NOW)
    found = traffic.read([registry["resend"].pk], QUARTER, mark=mark, days=days, now=NOW)
    assert found.whole.requests == 300
    assert read(registry["resend"]).whole.requests == 301


def test_a_day_after_the_mark_is_not_read(registry: Registry) -> None:
    """The mark was read before the days were."""
    lived(registry["resend"])
    rollups.roll(now=NOW - DAY)
    mark = rollups.mark()
    rollups.roll(now=NOW)
    found = traffic.read([registry["resend"].pk], QUARTER, mark=mark, days=newest(), now=NOW)
    assert found.whole.requests == 300


@pytest.mark.parametrize("zone", ["Africa/Johannesburg", "America/Los_Angeles"])
def test_a_daily_chart_names_its_days_as_utc_does(zone: str) -> None:
    day = datetime(2026, 11, 24, tzinfo=UTC)
    with timezone.override(zone):
        chart = drawing.chart([day], {day: Metrics(4, 120.4, 25.0, 1)}, step=86_400, percentiles=False)
        page = render_to_string("components/metric_chart.html", {"chart": chart, "id": "chart"})
    assert json.loads(chart.data)["zone"] == "UTC"
    assert "<td>24 Nov 2026</td>" in page
    assert "Days begin at midnight UTC." in page


# --- How many are read -----------------------------------------------------------------------------------------------


@pytest.fixture
def quarter() -> Callable[[], None]:
    """Half a year in which nothing was called is rolled up."""

    def fill() -> None:
        days = [TODAY - DAY * n for n in range(1, 181)]
        RolledDay.objects.bulk_create(RolledDay(day=day, until=day + DAY) for day in days)
        RolledHour.objects.create(hour=rollups.floor(NOW) - HOUR)

    return fill


def test_the_limit_counts_what_is_read(registry: Registry, quarter: Callable[[], None]) -> None:
    """89 days and the 24 hours of both edges, instead of 2,160 hours."""
    rows = [IntegrationFactory() for _ in range(23)]
    assert read(rows[0]).percentiles
    assert not read(*rows[:2]).percentiles
    quarter()
    assert traffic.MOST_HISTOGRAMS // (89 + 24) == 22
    assert read(*rows[:22]).percentiles
    assert not read(*rows).percentiles
    RolledDay.objects.filter(day__lt=TODAY - 30 * DAY).delete()  # the job is on its way
    assert not read(*rows[:22]).percentiles
    assert read(rows[0]).percentiles


def test_a_quarter_of_all_integrations_has_percentiles_and_where_the_limit_bites_its_words(
    registry: Registry, alice: User, client: Client, quarter: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    quarter()
    call(registry["resend"], NOW - HOUR / 3, 300)
    call(registry["netcash"], NOW - HOUR / 3, 100)
    board = boards.read(alice, Asked(range="90d"), now=NOW)
    assert board.chart is not None
    assert board.chart.percentiles
    assert board.figures[1].more == "p95 302 ms"  # within one part in 100
    monkeypatch.setattr(boards.traffic, "MOST_HISTOGRAMS", 100)
    board = boards.read(alice, Asked(range="90d"), now=NOW)
    assert board.chart is not None
    assert not board.chart.percentiles


def test_the_page_says_whose_days_they_are(registry: Registry, alice: User, client: Client) -> None:
    client.force_login(alice)
    call(registry["resend"], datetime.now(UTC))

    def page(length: str) -> str:
        answer: HttpResponse = client.get(f"/admin/integrations/apis?range={length}")
        return answer.content.decode()

    assert "Days begin at midnight UTC." in page("90d")
    assert WORDS in page("90d")  # nothing is rolled up here
    assert "midnight UTC" not in page("7d")
