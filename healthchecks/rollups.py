"""Hourly roll-ups: each hour that is over is counted once, whole, for each endpoint and for all of them together.

Hours are taken from the oldest on, so that one mark tells how far the roll-ups reach: up to there they count every
call, after it nobody has. An hour in which calls are found to have come in later is counted whole again; what is kept
of an hour is never added to. Single calls are removed only long after their hour was rolled up.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery

from healthchecks import tally
from healthchecks.models import MetricRollup, RolledHour
from healthchecks.tally import Slot, Tally
from integrations import progress
from integrations.models import ApiMetric, Integration

HOUR = timedelta(hours=1)
LATE = timedelta(hours=24)
"""A call that is written down later than this after its hour is missing in the roll-ups."""
ROLLUP_DAYS = 400
"""Roll-ups are kept for so long, and nothing older is rolled up."""
BUDGET_SECONDS = 200.0

ALL = {"endpoint": "", "method": ""}
"""The roll-up of all endpoints together."""


@dataclass(slots=True)
class Rolled:
    """What was done: `hours` counted, with so many calls; `left` are still to be counted."""

    hours: int = 0
    calls: int = 0
    left: int = 0

    @property
    def words(self) -> str:
        hours, calls = ("" if number == 1 else "s" for number in (self.hours, self.calls))
        text = f"{self.hours} hour{hours} with {self.calls:,} call{calls} rolled up."
        return f"{text} {self.left} more are left for the next run." if self.left else text


def roll(*, now: datetime, budget_seconds: float = BUDGET_SECONDS) -> Rolled:
    """Count every hour that is over and isn't counted yet, or no longer rightly. What the budget doesn't allow is left
    for the next time."""
    ends, done = time.monotonic() + budget_seconds, Rolled()
    RolledHour.objects.filter(hour__gte=floor(now)).delete()  # of a clock that was ahead: they are not over yet
    hours = _wanted(now)
    for hour, empty in hours:
        if time.monotonic() > ends:
            break
        done.calls += _note_empty(hour, now) if empty else roll_hour(hour, now=now)
        done.hours += 1
        progress.tell(f"{done.hours:,} of {len(hours):,} hours rolled up.", hours=done.hours, calls=done.calls)
    done.left = len(hours) - done.hours
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
    return calls


def _note_empty(hour: datetime, now: datetime) -> int:
    """The short way for an hour without a call: after a long break there are many."""
    RolledHour.objects.bulk_create([RolledHour(hour=hour, rolled_at=now)], ignore_conflicts=True)
    return 0


def _rows(hour: datetime, found: dict[tally.Key, Tally]) -> Iterator[MetricRollup]:
    whole: dict[UUID, Tally] = {}
    for (integration, endpoint, method), one in found.items():
        whole.setdefault(integration, Tally()).add(one)
        yield _row(hour, integration, one, endpoint=endpoint, method=method)
    for integration, one in whole.items():
        yield _row(hour, integration, one, **ALL)


def _row(hour: datetime, integration: UUID, counts: Tally, *, endpoint: str, method: str) -> MetricRollup:
    return MetricRollup(
        integration_id=integration, hour=hour, endpoint=endpoint, method=method, requests=counts.requests,
        errors=counts.errors, total_ms=counts.total_ms, max_ms=counts.max_ms, histogram=counts.histogram,
    )  # fmt: skip


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
