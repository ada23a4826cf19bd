"""Points for the charts: what was called in each quarter of an hour of a day, hour of a week, or day of a quarter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Literal

from django.db.models import Q
from django.utils import timezone

from healthchecks import figures, rollups, tally
from healthchecks.figures import Metrics
from healthchecks.tally import Slot, Tally
from integrations.models import ApiMetric, Integration

Window = Literal["24h", "7d", "90d"]

QUARTER = timedelta(minutes=15)
QUARTERS, HOURS, DAYS = 96, 168, 90


@dataclass(frozen=True, slots=True)
class Point:
    """What was called from `at` on, up to the next point; None: nothing is recorded, which is no nought."""

    at: datetime
    metrics: Metrics | None


def of(
    integration: Integration, window: Window, *, now: datetime, endpoint: str | None = None, method: str | None = None
) -> list[Point]:
    """All of the window, the oldest first: 96 quarters of an hour, 168 hours, or 90 days in the installation's time
    zone. The last is the present one, which isn't over. `endpoint` and `method` narrow it down."""
    only = {name: value for name, value in (("endpoint", endpoint), ("method", method)) if value is not None}
    match window:
        case "24h":
            return _quarters(integration, now, only)
        case "7d":
            return _hours(integration, now, only)
        case "90d":
            return _days(integration, now, only)


# --- By the length of a point ----------------------------------------------------------------------------------------


def _quarters(integration: Integration, now: datetime, only: Mapping[str, str]) -> list[Point]:
    """Of single calls: roll-ups know hours only."""
    last = rollups.floor(now) + QUARTER * (now.minute // 15)
    starts = [last - QUARTER * n for n in reversed(range(QUARTERS))]
    return _points(starts, _raw(integration, Q(created_at__gte=starts[0]), QUARTER, only))


def _hours(integration: Integration, now: datetime, only: Mapping[str, str]) -> list[Point]:
    starts = [rollups.floor(now) - rollups.HOUR * n for n in reversed(range(HOURS))]
    return _points(starts, _by_hour(integration, starts[0], only))


def _days(integration: Integration, now: datetime, only: Mapping[str, str]) -> list[Point]:
    today = timezone.localtime(now).date()
    starts = {day: _midnight(day) for day in (today - timedelta(days=n) for n in reversed(range(DAYS)))}
    counted = _by_hour(integration, min(starts.values()), only)
    by_day = ((starts.get(timezone.localtime(hour).date(), hour), one) for hour, one in counted)
    return _points(list(starts.values()), by_day)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)


# --- From the database -----------------------------------------------------------------------------------------------

At = Iterable[tuple[datetime, Tally]]


def _by_hour(integration: Integration, since: datetime, only: Mapping[str, str]) -> At:
    """By whole hours: roll-ups, and single calls where there are none yet."""
    mark = rollups.mark()
    rolled = figures.rolled(integration, since, mark, "hour", **(only or rollups.ALL))
    calls = figures.window(since, mark).calls
    return chain(((hour, one) for (hour,), one in rolled), _raw(integration, calls, rollups.HOUR, only))


def _raw(integration: Integration, calls: Q, length: timedelta, only: Mapping[str, str]) -> At:
    seconds = int(length.total_seconds())
    found = ApiMetric.objects.filter(calls, integration=integration, **only)
    slots = tally.of_calls(found.annotate(slot=Slot("created_at", seconds=seconds)), "slot")
    return ((datetime.fromtimestamp(slot * seconds, UTC), one) for (slot,), one in slots)


def _points(starts: Iterable[datetime], counted: At) -> list[Point]:
    found = {at: figures.of(one) for (at,), one in tally.group(((at,), one) for at, one in counted).items()}
    return [Point(at, found.get(at)) for at in starts]
