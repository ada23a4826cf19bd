"""Roll-ups: each hour that is over is counted once, whole, for each endpoint and for all of them together; and the
hours of each day are merged.

Hours are taken from the oldest on, so that one mark tells how far the roll-ups reach: up to there they count every
call, after it nobody has. An hour in which calls are found to have come in later is counted whole again; what is kept
of an hour is never added to. Single calls are removed only long after their hour was rolled up.

Days are those of UTC, as the hours are, and are merged of all their 24 hours, the newest first: charts of a quarter of
a year read them. An hour that is counted anew takes its day back, in the same transaction, until it is merged anew.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery

from healthchecks import tally
from healthchecks.models import DailyRollup, MetricRollup, RolledDay, RolledHour
from healthchecks.tally import Slot, Tally
from integrations import progress
from integrations.models import ApiMetric, Integration

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURS = 24
"""Of a day: UTC has no summer time."""
LATE = timedelta(hours=24)
"""A call that is written down later than this after its hour is missing in the roll-ups."""
ROLLUP_DAYS = 400
"""Roll-ups are kept for so long, and nothing older is rolled up."""
BUDGET_SECONDS = 200.0

ALL = {"endpoint": "", "method": ""}
"""The roll-up of all endpoints together."""


@dataclass(slots=True)
class Rolled:
    """What was done: `hours` counted, with so many calls, and `days` merged; `left` and `days_left` are for later."""

    hours: int = 0
    calls: int = 0
    left: int = 0
    days: int = 0
    days_left: int = 0

    @property
    def words(self) -> str:
        hours, calls, days = ("" if number == 1 else "s" for number in (self.hours, self.calls, self.days))
        text = f"{self.hours} hour{hours} with {self.calls:,} call{calls} rolled up."
        if self.left:
            text += f" {self.left} more are left for the next run."
        if self.days or self.days_left:
            text += f" {self.days} day{days} merged"
            text += f", {self.days_left} left for the next run." if self.days_left else "."
        return text


def roll(*, now: datetime, budget_seconds: float = BUDGET_SECONDS) -> Rolled:
    """Count every hour that is over and isn't counted yet, or no longer rightly; then merge the days of which the same
    is true. What the budget doesn't allow is left for the next time."""
    ends, done = time.monotonic() + budget_seconds, Rolled()
    RolledDay.objects.filter(day__gte=floor(now).date()).delete()
    RolledHour.objects.filter(hour__gte=floor(now)).delete()  # of a clock that was ahead: they are not over yet
    hours = _wanted(now)
    for hour, empty in hours:
        if time.monotonic() > ends:
            break
        done.calls += _note_empty(hour, now) if empty else roll_hour(hour, now=now)
        done.hours += 1
        progress.tell(f"{done.hours:,} of {len(hours):,} hours rolled up.", hours=done.hours, calls=done.calls)
    done.left = len(hours) - done.hours
    days = _wanted_days(now)
    for day in days:
        if time.monotonic() > ends:
            break
        roll_day(day, now=now)
        done.days += 1
        text = f"{done.days:,} of {len(days):,} days merged."
        progress.tell(text, hours=done.hours, calls=done.calls, days=done.days)
    done.days_left = len(days) - done.days
    return done


def mark() -> datetime | None:
    """The newest hour that is rolled up, and with it every hour before; None: none is."""
    return RolledHour.objects.order_by("-hour").values_list("hour", flat=True).first()


@transaction.atomic
def roll_hour(hour: datetime, *, now: datetime) -> int:
    """Count the calls of one hour anew, and put that in the place of what was counted before. Returns how many."""
    RolledHour.objects.get_or_create(hour=hour)
    # Two at once: the second waits, and then counts all that the first did.
    RolledHour.objects.select_for_update().get(hour=hour)
    pks = _integrations()
    found = tally.group(tally.of_calls(_calls(pks, hour, hour + HOUR), "integration_id", "endpoint", "method"))
    MetricRollup.objects.filter(integration__in=pks, hour=hour).delete()
    MetricRollup.objects.bulk_create(_rows(hour, found))
    calls = sum(one.requests for one in found.values())
    RolledHour.objects.filter(hour=hour).update(calls=calls, rolled_at=now)
    RolledDay.objects.filter(day=hour.astimezone(UTC).date()).delete()
    return calls


def _note_empty(hour: datetime, now: datetime) -> int:
    """The short way for an hour without a call: after a long break there are many."""
    RolledHour.objects.bulk_create([RolledHour(hour=hour, rolled_at=now)], ignore_conflicts=True)
    return 0


def _rows(hour: datetime, found: dict[tally.Key, Tally]) -> Iterator[MetricRollup]:
    whole: dict[UUID, Tally] = {}
    for (integration, endpoint, method), one in found.items():
        whole.setdefault(integration, Tally()).add(one)
        yield MetricRollup(integration_id=integration, hour=hour, endpoint=endpoint, method=method, **_counts(one))
    for integration, one in whole.items():
        yield MetricRollup(integration_id=integration, hour=hour, **ALL, **_counts(one))


def _counts(one: Tally) -> dict[str, Any]:
    return {
        "requests": one.requests, "errors": one.errors, "total_ms": one.total_ms, "max_ms": one.max_ms,
        "histogram": one.histogram,
    }  # fmt: skip


# --- Days ------------------------------------------------------------------------------------------------------------


class Days(NamedTuple):
    """All days from `first` on, `until` not included."""

    first: date
    until: date


def newest_days() -> tuple[Subquery, Subquery]:
    """Of the newest days that are rolled up without a gap: the first, and the one after the last. To be selected in
    one query, each None if there are none."""
    days = RolledDay.objects.order_by("-day")
    first = days.exclude(day__in=RolledDay.objects.values("until"))
    return Subquery(first.values("day")[:1]), Subquery(days.values("until")[:1])


@transaction.atomic
def roll_day(day: date, *, now: datetime) -> None:
    """Merge the hours of one day anew, and put that in the place of what was merged before. Nothing is done of a day
    that hasn't all its hours."""
    hours = {"hour__gte": midnight(day), "hour__lt": midnight(day + DAY)}
    # Who counts one of them anew at the same time comes after this, and takes the day back; or this comes after him.
    locked = RolledHour.objects.filter(**hours).order_by("hour").select_for_update()
    if len(locked) < HOURS:
        return
    pks = _integrations()
    DailyRollup.objects.filter(integration__in=pks, day=day).delete()
    for pk in pks:  # one by one: a day of all of them may be more than fits into memory
        rows = MetricRollup.objects.filter(integration=pk, **hours)
        found = tally.group(tally.of_rollups(rows, "endpoint", "method"))
        DailyRollup.objects.bulk_create(
            DailyRollup(integration_id=pk, day=day, endpoint=endpoint, method=method, **_counts(one))
            for (endpoint, method), one in found.items()
        )
    RolledDay.objects.update_or_create(day=day, defaults={"until": day + DAY, "rolled_at": now})


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def day_from(moment: datetime) -> date:
    """The first day that begins at `moment` or after it."""
    day = moment.astimezone(UTC).date()
    return day if midnight(day) == moment else day + DAY


def _wanted_days(now: datetime) -> list[date]:
    """Those that have all their hours and aren't merged yet, or no longer; the newest first."""
    first = day_from(now - timedelta(days=ROLLUP_DAYS))
    hours = RolledHour.objects.filter(hour__gte=midnight(first)).annotate(slot=Slot("hour", seconds=86_400))
    found = hours.order_by().values_list("slot").annotate(number=Count("pk")).filter(number=HOURS)
    whole = {date(1970, 1, 1) + DAY * slot for slot, _ in found}
    return sorted(whole - set(RolledDay.objects.values_list("day", flat=True)), reverse=True)


# --- Which hours -----------------------------------------------------------------------------------------------------


def _wanted(now: datetime) -> list[tuple[datetime, bool]]:
    """From the oldest call on: hours that were never counted, each with whether it has no call at all; and those of
    the last day that have another number of calls than was counted."""
    over, oldest = floor(now), _oldest()
    if oldest is None:
        return []
    first = max(floor(oldest), floor(now - timedelta(days=ROLLUP_DAYS)))
    counted = dict(RolledHour.objects.filter(hour__gte=first).values_list("hour", "calls"))
    missing = [hour for hour in _hours(first, over) if hour not in counted]
    recent = max(first, over - LATE)
    numbers = _numbers(min([recent, *missing]), over)
    changed = [hour for hour in _hours(recent, over) if hour in counted and counted[hour] != numbers.get(hour, 0)]
    return sorted([*((hour, hour not in numbers) for hour in missing), *((hour, False) for hour in changed)])


def _oldest() -> datetime | None:
    """When the first call that is still kept was made."""
    first = ApiMetric.objects.filter(integration=OuterRef("pk")).order_by("created_at").values("created_at")[:1]
    found = Integration.objects.annotate(first=Subquery(first)).values_list("first", flat=True)
    return min((at for at in found if at is not None), default=None)


def _numbers(start: datetime, end: datetime) -> dict[datetime, int]:
    """How many calls each hour has."""
    calls = _calls(_integrations(), start, end).annotate(slot=Slot("created_at", seconds=3600))
    found = calls.order_by().values_list("slot").annotate(Count("pk"))
    return {datetime.fromtimestamp(slot * 3600, UTC): number for slot, number in found}


def _calls(integrations: list[UUID], start: datetime, end: datetime) -> QuerySet[ApiMetric]:
    # Naming them all is what lets the index serve, which has each one's calls by time.
    return ApiMetric.objects.filter(integration__in=integrations, created_at__gte=start, created_at__lt=end)


def _integrations() -> list[UUID]:
    return list(Integration.objects.values_list("pk", flat=True))


def floor(moment: datetime) -> datetime:
    """The hour that `moment` is in, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR
