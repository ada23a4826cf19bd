"""Uptime: how much of a window an integration was up, of the time for which that is known.

Time-weighted from its status changes. A verdict is believed until the next look is overdue, and no longer: what nobody
watched is unknown, and unknown time counts on neither side, nor does planned work. How much of the window is known
stands beside the figure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from healthchecks.models import Maintenance, StatusChange
from integrations.models import HealthStatus, Integration
from integrations.templatetags.integrations import percent as in_percent

GRACE = timedelta(minutes=10)
"""A sweep may be late by so much before what the last one found is doubted."""

TELLING = 10
"""Percent of a window that must be known before its figure stands alone: three good minutes of a new installation, or
three bad ones, are no uptime of a day."""

Span = tuple[datetime, datetime]
UP = frozenset({HealthStatus.HEALTHY, HealthStatus.DEGRADED})


@dataclass(frozen=True, slots=True)
class Uptime:
    """`percent` is None when nothing is known; `coverage` is how much of the window is (0–100). `down`: the time in
    which it was known to be down; `planned`: maintenance."""

    percent: float | None
    coverage: float
    down: timedelta = timedelta(0)
    planned: timedelta = timedelta(0)

    @property
    def tells(self) -> bool:
        """Whether enough is known for the figure to stand without saying how much."""
        return self.percent is not None and self.coverage >= TELLING

    @property
    def known(self) -> str:
        return known(self.coverage)


def known(coverage: float) -> str:
    """How much of a window is known, in words."""
    if not coverage:
        return _("nobody looked")
    words = _("{share} of it is known") if coverage >= 1 else _("under {share} of it is known")
    return words.format(share=in_percent(max(1, int(coverage))))


def believed_until(integration: Integration) -> datetime | None:
    """How long what the last look found may still be taken for true; None: nobody ever looked."""
    last = integration.last_health_check_at
    if last is None:
        return None
    return last + timedelta(minutes=integration.health_check_interval_minutes) + GRACE


# --- Pure ------------------------------------------------------------------------------------------------------------


def compute(
    changes: Sequence[tuple[datetime, str]],
    before: str,
    *,
    start: datetime,
    end: datetime,
    planned: Sequence[Span] = (),
) -> Uptime:
    """Over [start, end): up is healthy or degraded. `changes` are (when, the new status), oldest first; `before` is
    the status at `start`; `planned` are the windows of planned work, in any order and overlapping as they like."""
    windows = _merged(planned, start, end)
    up = down = timedelta(0)
    status, since = before, start
    for at, becomes in [*changes, (end, before)]:
        moment = min(max(at, start), end)
        length = (moment - since) - _within(windows, since, moment)
        up += length if status in UP else timedelta(0)
        down += length if status == HealthStatus.DOWN else timedelta(0)
        status, since = becomes, max(since, moment)
    set_apart = sum((ends - starts for starts, ends in windows), timedelta(0))
    total, known = end - start - set_apart, up + down
    return Uptime(
        percent=100 * (up / known) if known else None,
        coverage=100 * (known / total) if total > timedelta(0) else 0.0,
        down=down,
        planned=set_apart,
    )


def _merged(spans: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    """Cut to the window, in order, none touching another."""
    merged: list[Span] = []
    for begins, ends in sorted((max(one, start), min(two, end)) for one, two in spans):
        if begins >= ends:
            continue
        if merged and begins <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ends))
        else:
            merged.append((begins, ends))
    return merged


def _within(windows: Sequence[Span], start: datetime, end: datetime) -> timedelta:
    overlaps = (min(end, ends) - max(start, begins) for begins, ends in windows)
    return sum((overlap for overlap in overlaps if overlap > timedelta(0)), timedelta(0))


# --- From the database -----------------------------------------------------------------------------------------------


def of(integrations: Iterable[Integration], *, start: datetime, end: datetime) -> dict[UUID, Uptime]:
    """The uptime of each in the window: two queries for all."""
    return across(integrations, [(start, end)])[0]


def across(integrations: Iterable[Integration], spans: Sequence[Span]) -> list[dict[UUID, Uptime]]:
    """The uptime of each in each of these windows: two queries for all."""
    rows, start = list(integrations), min(start for start, _ in spans)
    changes: dict[UUID, list[StatusChange]] = {row.pk: [] for row in rows}
    # Those after the window too: the first of them says how it stood at its end, and before.
    for change in StatusChange.objects.filter(integration__in=rows, at__gt=start).order_by("at", "id"):
        changes[change.integration_id].append(change)
    planned = windows_of(rows, start=start, end=max(end for _, end in spans))
    return [
        {
            row.pk: _of_one(row, [one for one in changes[row.pk] if one.at > begins], planned[row.pk], begins, ends)
            for row in rows
        }
        for begins, ends in spans
    ]


def over(integration: Integration, *, since: Sequence[datetime], end: datetime) -> list[Uptime]:
    """The uptime of one integration from each of these moments to `end`: two queries for all."""
    start = min(since)
    changes = list(StatusChange.objects.filter(integration=integration, at__gt=start).order_by("at", "id"))
    planned = windows_of([integration], start=start, end=end)[integration.pk]
    return [
        _of_one(integration, [change for change in changes if change.at > begins], planned, begins, end)
        for begins in since
    ]


def day(integrations: Iterable[Integration], now: datetime) -> dict[UUID, Uptime]:
    """Of the last 24 hours: two queries for all."""
    return of(integrations, start=now - timedelta(hours=24), end=now)


def together(uptimes: Iterable[Uptime]) -> float | None:
    """Percent up of several in one window, each weighing as much as is known of it; None: nothing is."""
    known = [(one.percent, one.coverage) for one in uptimes if one.percent is not None]
    weight = sum(coverage for _, coverage in known)
    return sum(percent * coverage for percent, coverage in known) / weight if weight else None


def _of_one(
    row: Integration, changes: list[StatusChange], planned: list[Span], start: datetime, end: datetime
) -> Uptime:
    before = changes[0].old_status if changes else row.health_status
    steps = [(change.at, change.new_status) for change in changes]
    overdue = believed_until(row)
    if overdue is None:
        before, steps = HealthStatus.UNKNOWN, []
    elif overdue < end:  # nobody has looked since: what comes after the last look is not known
        steps = sorted([*steps, (max(overdue, start), str(HealthStatus.UNKNOWN))], key=lambda step: step[0])
    return compute(steps, before, start=start, end=end, planned=planned)


def windows_of(integrations: Iterable[Integration], *, start: datetime, end: datetime) -> Mapping[UUID, list[Span]]:
    """Planned work in the window, by integration; what is everybody's stands with each. One query."""
    pks = [row.pk for row in integrations]
    found: dict[UUID, list[Span]] = defaultdict(list)
    rows = Maintenance.objects.filter(starts_at__lt=end, ends_at__gt=start)
    rows = rows.filter(Q(integration=None) | Q(integration__in=pks))
    for row in rows:
        for pk in pks if row.integration_id is None else [row.integration_id]:
            found[pk].append((row.starts_at, row.ends_at))
    return found
