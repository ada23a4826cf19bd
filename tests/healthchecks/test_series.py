"""Points for the charts: each its own calls, gaps where nothing is recorded."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from healthchecks import rollups, series
from healthchecks.rollups import HOUR
from integrations.models import ApiMetric, Integration

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 25, 9, 37, 12, tzinfo=UTC)  # 11:37 in Johannesburg


def call(integration: Integration, ago: timedelta, ms: int = 100, **fields) -> None:
    fields = {"endpoint": "/v1/a", "method": "GET", **fields}
    ApiMetric.objects.create(integration=integration, created_at=NOW - ago, response_time_ms=ms, **fields)


def shown(points) -> dict[str, int]:
    """How many calls each point has that has any, by its time."""
    return {f"{point.at:%d %H:%M}": point.metrics.total for point in points if point.metrics}


def test_a_day_in_quarters_of_an_hour(registry):
    resend = registry["resend"]
    for ago, ms, error in ((timedelta(0), 100, ""), (timedelta(minutes=7), 300, "HTTP 500"), (23.7 * HOUR, 50, "")):
        call(resend, ago, ms, error_message=error)
    call(registry["netcash"], timedelta(0))
    call(resend, 25 * HOUR)
    points = series.of(resend, "24h", now=NOW)
    assert len(points) == 96
    assert [points[0].at, points[-1].at] == [
        datetime(2026, 11, 24, 9, 45, tzinfo=UTC), datetime(2026, 11, 25, 9, 30, tzinfo=UTC),
    ]  # fmt: skip
    assert shown(points) == {"24 09:45": 1, "25 09:30": 2}
    newest = points[-1].metrics
    assert (newest.errors, newest.average_ms) == (1, 200)
    assert newest.p95_ms == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize("rolled", [True, False])
def test_a_week_in_hours_rolled_up_or_not(registry, rolled):
    resend = registry["resend"]
    for ago in (timedelta(0), timedelta(minutes=40), 50 * HOUR, 50 * HOUR, 167.5 * HOUR, 169 * HOUR):
        call(resend, ago)
    if rolled:
        rollups.roll(now=NOW)
    points = series.of(resend, "7d", now=NOW)
    assert len(points) == 168
    assert {second.at - first.at for first, second in pairwise(points)} == {HOUR}
    assert shown(points) == {"18 10:00": 1, "23 07:00": 2, "25 08:00": 1, "25 09:00": 1}
    assert points[-1].at == rollups.floor(NOW)


@pytest.mark.parametrize("rolled", [True, False])
def test_ninety_days_of_the_installations_own_zone(registry, rolled):
    resend = registry["resend"]
    midnight = timedelta(hours=11, minutes=37, seconds=12)  # ago, in Johannesburg
    for ago in (midnight, midnight + timedelta(seconds=1), timedelta(days=89), timedelta(days=91)):
        call(resend, ago)
    if rolled:
        rollups.roll(now=NOW)
    points = series.of(resend, "90d", now=NOW)
    assert len(points) == 90
    assert shown(points) == {"27 22:00": 1, "23 22:00": 1, "24 22:00": 1}
    assert points[-1].at.astimezone(ZoneInfo("Africa/Johannesburg")).hour == 0


def test_days_are_those_of_the_calendar_where_clocks_change(registry):
    """25 October 2026 has 25 hours in Berlin."""
    now = datetime(2026, 10, 26, 12, tzinfo=UTC)
    with timezone.override("Europe/Berlin"):
        ApiMetric.objects.create(
            integration=registry["resend"], endpoint="/x", method="GET", response_time_ms=1,
            created_at=datetime(2026, 10, 25, 22, 30, tzinfo=UTC),
        )  # fmt: skip
        points = series.of(registry["resend"], "90d", now=now)
    assert len({point.at for point in points}) == 90
    assert points[-1].at - points[-2].at == timedelta(hours=25)
    assert [point.metrics.total for point in points[-2:] if point.metrics] == [1]
    assert points[-2].metrics


@pytest.mark.parametrize("window", ["24h", "7d", "90d"])
@pytest.mark.parametrize("rolled", [True, False])
def test_one_endpoint_alone(registry, window, rolled):
    for n, (endpoint, method) in enumerate([("/v1/a", "GET"), ("/v1/a", "POST"), ("/v1/b", "GET")]):
        for _ in range(n + 1):
            call(registry["resend"], 2 * HOUR, endpoint=endpoint, method=method)
    if rolled:
        rollups.roll(now=NOW)

    def total(**only) -> int:
        return sum(shown(series.of(registry["resend"], window, now=NOW, **only)).values())

    assert total() == 6
    assert total(endpoint="/v1/a") == 3
    assert total(method="GET") == 4
    assert total(endpoint="/v1/a", method="POST") == 2
    assert total(endpoint="/v1/nothing") == 0


@pytest.mark.parametrize("window", ["24h", "7d", "90d"])
def test_where_nothing_is_recorded_there_is_no_figure(registry, window):
    assert {point.metrics for point in series.of(registry["resend"], window, now=NOW)} == {None}


@pytest.mark.parametrize(("window", "queries"), [("24h", 1), ("7d", 3), ("90d", 3)])
def test_it_takes_three_queries_at_most(registry, window, queries, django_assert_num_queries):
    call(registry["resend"], 5 * HOUR)
    rollups.roll(now=NOW)
    with django_assert_num_queries(queries):
        series.of(registry["resend"], window, now=NOW)
