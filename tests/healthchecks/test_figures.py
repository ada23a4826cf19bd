"""Figures of a window are those of its calls, wherever it begins and however much of it is rolled up."""

import math
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import figures, rollups, uptime
from healthchecks.figures import NO_METRICS, Metrics
from healthchecks.models import MetricRollup, StatusChange
from healthchecks.rollups import HOUR, Days
from integrations.models import ApiMetric, Integration
from tests.factories import IntegrationFactory

NOW = datetime(2026, 11, 25, 9, 37, 12, 345678, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENTS = st.datetimes(datetime(2026, 11, 18), datetime(2026, 11, 26), timezones=st.just(UTC))


def exact(rows: list[ApiMetric]) -> Metrics:
    """The same from the calls themselves."""
    if not rows:
        return NO_METRICS
    times = sorted(row.response_time_ms for row in rows)
    errors = sum(bool(row.error_message) for row in rows)
    at = {part: float(times[math.ceil(part * len(times)) - 1]) for part in (0.5, 0.95)}
    return Metrics(len(rows), sum(times) / len(rows), 100 * errors / len(rows), errors, at[0.5], at[0.95])


def assert_same(found: Metrics, wanted: Metrics, *, percentiles: bool = True) -> None:
    assert (found.total, found.errors) == (wanted.total, wanted.errors)
    assert found.average_ms == pytest.approx(wanted.average_ms)
    assert found.error_rate == pytest.approx(wanted.error_rate)
    if percentiles:
        assert found.p50_ms == pytest.approx(wanted.p50_ms, rel=0.02)
        assert found.p95_ms == pytest.approx(wanted.p95_ms, rel=0.02)


def calls(integration: Integration, number: int, *, days: float = 9, seed: int = 1) -> list[ApiMetric]:
    """Fast ones and slow ones, over some days up to now."""
    dice = random.Random(seed)
    rows = [
        ApiMetric(
            integration=integration, endpoint=f"/v1/{dice.choice('abc')}", method=dice.choice(["GET", "POST"]),
            response_time_ms=int(dice.lognormvariate(5 if dice.random() < 0.9 else 8, 0.6)),
            error_message="HTTP 500" if dice.random() < 0.07 else "",
            created_at=NOW - timedelta(seconds=dice.uniform(0, days * 86400)),
        ) for _ in range(number)
    ]  # fmt: skip
    return ApiMetric.objects.bulk_create(rows)


# --- Which part of a window is told by what --------------------------------------------------------------------------


@given(since=MOMENTS, hours=st.integers(0, 220) | st.none(), at=MOMENTS)
def test_every_call_of_a_window_counts_once_and_no_other_does(since, hours, at):
    mark = None if hours is None else datetime(2026, 11, 17, tzinfo=UTC) + HOUR * hours
    part = figures.window(since, mark)
    in_hours = part.hours is not None and holds(part.hours, {"hour": rollups.floor(at)})
    assert in_hours + holds(part.calls, {"created_at": at}) == (at >= since)


@given(start=MOMENTS, length=st.integers(0, 24 * 9), hours=st.integers(0, 220) | st.none(), at=MOMENTS,
       days=st.tuples(st.integers(-2, 12), st.integers(0, 12)))  # fmt: skip
def test_of_days_and_hours_each_call_of_a_window_counts_once_too(start, length, hours, at, days):
    origin = date(2026, 11, 16)
    mark = None if hours is None else datetime(2026, 11, 17, tzinfo=UTC) + HOUR * hours
    end, first = start + HOUR * length, origin + DAY * days[0]
    part = figures.between(start, end, mark, Days(first, first + DAY * days[1]))
    in_hours = part.hours is not None and holds(part.hours, {"hour": rollups.floor(at)})
    in_days = part.days is not None and holds(part.days, {"day": at.date()})
    assert in_days + in_hours + holds(part.calls, {"created_at": at}) == (start <= at < end)
    assert (part.days is None) == (part.whole == 0)


def holds(condition, row) -> bool:
    """What the database would make of it."""
    found = [
        holds(one, row) if not isinstance(one, tuple) else compare(row[one[0].partition("__")[0]], one)
        for one in condition.children
    ]
    return any(found) if condition.connector == "OR" else all(found)


def compare(value, condition) -> bool:
    how, limit = condition[0].partition("__")[2], condition[1]
    return {"gte": value >= limit, "lte": value <= limit, "lt": value < limit}[how]


# --- Windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("behind", [None, 0, 1, 30, 24 * 8], ids=lambda hours: f"{hours} hours behind")
def test_figures_are_exact_however_far_the_roll_ups_are(registry, behind):
    resend, netcash = registry["resend"], registry["netcash"]
    rows = {resend: calls(resend, 900), netcash: calls(netcash, 80, seed=2)}
    if behind is not None:
        rollups.roll(now=NOW - HOUR * behind)
    starts = [NOW - 7 * DAY, NOW - DAY, NOW - timedelta(minutes=20), rollups.floor(NOW - DAY), NOW - 30 * DAY]
    found = figures.windows(resend, since=starts)
    for start, metrics in zip(starts, found, strict=True):
        within = {one: [row for row in made if row.created_at >= start] for one, made in rows.items()}
        assert_same(metrics, exact(within[resend]))
        several = figures.metrics(registry.values(), since=start)
        for one in rows:
            assert_same(several.get(one.pk, NO_METRICS), exact(within[one]), percentiles=False)


@pytest.mark.django_db
def test_p95_over_seven_days_of_roll_ups_is_within_two_percent(registry):
    """The same at a million calls: `python -m benchmarks percentiles`."""
    rows = calls(registry["resend"], 20_000, days=7)
    rollups.roll(now=NOW)
    ApiMetric.objects.filter(created_at__lt=NOW - DAY).delete()  # from here on only roll-ups know
    (found,) = figures.windows(registry["resend"], since=[rollups.floor(NOW - 7 * DAY)])
    assert found.total == 20_000
    assert found.p95_ms == pytest.approx(exact(rows).p95_ms, rel=0.02)
    assert found.p50_ms == pytest.approx(exact(rows).p50_ms, rel=0.02)


@pytest.mark.django_db
def test_the_mean_of_percentiles_would_not_be(registry):
    """Why histograms: an hour of a few slow calls must not weigh as much as one of many fast ones."""
    for n in range(1, 5):
        number, ms = (1000, 50) if n % 2 else (10, 5000)
        ApiMetric.objects.bulk_create(
            ApiMetric(
                integration=registry["resend"], endpoint="/x", method="GET", response_time_ms=ms,
                created_at=rollups.floor(NOW) - n * HOUR,
            ) for _ in range(number)
        )  # fmt: skip
    rollups.roll(now=NOW)
    (found,) = figures.windows(registry["resend"], since=[NOW - DAY])
    assert found.p95_ms == pytest.approx(50, rel=0.02)


@pytest.mark.django_db
def test_no_call_no_figure(registry):
    rollups.roll(now=NOW)
    assert figures.windows(registry["resend"], since=[NOW - DAY]) == [NO_METRICS]
    assert figures.metrics([registry["resend"]], since=NOW - DAY) == {}
    assert figures.by_endpoint(registry["resend"], since=NOW - DAY) == {}
    assert (NO_METRICS.p95_ms, NO_METRICS.success_rate) == (None, None)


@pytest.mark.django_db
def test_three_queries_do_for_any_number_and_any_window(registry, django_assert_num_queries):
    rows = [*registry.values(), *(IntegrationFactory() for _ in range(290))]
    for row in rows[::10]:
        calls(row, 20)
    rollups.roll(now=NOW)
    with django_assert_num_queries(3):
        assert len(figures.metrics(rows, since=NOW - DAY)) > 20
    with django_assert_num_queries(3):
        figures.windows(rows[0], since=[NOW - DAY, NOW - 7 * DAY, NOW - 2 * DAY])
    with django_assert_num_queries(3):
        figures.by_endpoint(rows[0], since=NOW - 7 * DAY)


@pytest.mark.django_db
def test_an_hour_that_is_rolled_up_while_figures_are_read_counts_once(registry, monkeypatch):
    """All parts go by one mark, read once."""
    rows = calls(registry["resend"], 200, days=1)
    rollups.roll(now=NOW - 5 * HOUR)
    before, read = rollups.mark(), MetricRollup.objects.filter

    def later(*args, **kwargs):
        monkeypatch.undo()
        rollups.roll(now=NOW)
        return read(*args, **kwargs)

    monkeypatch.setattr(MetricRollup.objects, "filter", later)
    (found,) = figures.windows(registry["resend"], since=[NOW - DAY])
    assert rollups.mark() > before
    assert found.total == len(rows)


# --- By endpoint -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("rolled", [True, False])
def test_by_endpoint_the_busiest_comes_first_and_all_add_up(registry, rolled):
    rows = calls(registry["resend"], 600)
    if rolled:
        rollups.roll(now=NOW)
    since = NOW - 3 * DAY
    found = figures.by_endpoint(registry["resend"], since=since)
    within = [row for row in rows if row.created_at >= since]
    assert set(found) == {(row.method, row.endpoint) for row in within}
    assert [one.total for one in found.values()] == sorted((one.total for one in found.values()), reverse=True)
    for (method, endpoint), one in found.items():
        assert_same(one, exact([row for row in within if (row.method, row.endpoint) == (method, endpoint)]))
    assert sum(one.total for one in found.values()) == len(within)


# --- Uptime ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_uptime_of_several_windows_is_that_of_each_in_two_queries(registry, django_assert_num_queries):
    resend = registry["resend"]
    for days, old, new in ((6, "healthy", "down"), (5, "down", "healthy"), (0.5, "healthy", "down")):
        StatusChange.objects.create(
            integration=resend, old_status=old, new_status=new, reason="", at=NOW - timedelta(days=days)
        )
    resend.health_status, resend.last_health_check_at = "down", NOW
    starts = [NOW - DAY, NOW - 7 * DAY]
    with django_assert_num_queries(2):  # the changes, and planned work
        found = uptime.over(resend, since=starts, end=NOW)
    assert found == [uptime.of([resend], start=start, end=NOW)[resend.pk] for start in starts]
    assert [round(one.percent, 3) for one in found] == [50.0, round(100 * 5.5 / 7, 3)]
