"""What was called, over time, of however many integrations: two queries, one of roll-ups and one of single calls.

A window is exact at both ends, as in `figures`. A long one has days of the daily roll-ups, and hours only where a day
is in it in part or not merged yet. Percentiles want the histogram of each; where those are more than a page can wait
for there are averages only, and somebody who wants percentiles looks at fewer integrations.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, Case, ExpressionWrapper, F, JSONField, Max, Q, QuerySet, Sum, When
from django.db.models.expressions import Combinable
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from healthchecks import figures, rollups, tally
from healthchecks.models import DailyRollup, MetricRollup
from healthchecks.rollups import Days
from healthchecks.tally import Slot, Tally
from integrations.models import ApiMetric

QUARTER, HOUR, DAY = 900, 3600, 86_400
MOST_HISTOGRAMS = 2500
MOST_SUMS = 9000
"""More are not fetched: points get longer instead."""
BY_DAYS = timedelta(days=30)
"""Windows of that length, and longer ones, are read by days: those of UTC, as the roll-ups are."""


@dataclass(frozen=True, slots=True)
class Range:
    """A window that may be asked for. `steps`: how many seconds a point of its charts may be, the finest first."""

    key: str
    label: str
    name: str
    length: timedelta
    steps: tuple[int, ...]

    @property
    def words(self) -> str:
        """Its length as people read it."""
        return _(self.name)

    @property
    def by_days(self) -> bool:
        return self.length >= BY_DAYS


RANGES = {
    one.key: one
    for one in (
        Range("24h", "24 h", gettext_noop("24 hours"), timedelta(hours=24), (HOUR, 2 * HOUR)),
        Range("7d", "7 d", gettext_noop("7 days"), timedelta(days=7), (HOUR, 6 * HOUR)),
        Range("90d", "90 d", gettext_noop("90 days"), timedelta(days=90), (DAY, 3 * DAY)),
    )
}


class Endpoint(NamedTuple):
    method: str
    path: str


ALL = Endpoint("", "")
"""All of them together: so roll-ups name it."""


@dataclass(slots=True)
class Traffic:
    """The window's calls, added up in several ways; `before`: those of the window before it.

    `times` are the chart's points, `step` seconds each; `by_time` has those at which something was called.
    """

    step: int
    times: list[datetime]
    percentiles: bool
    before: Tally = field(default_factory=Tally)
    by_time: dict[datetime, Tally] = field(default_factory=lambda: defaultdict(Tally))
    by_integration: dict[UUID, Tally] = field(default_factory=lambda: defaultdict(Tally))
    by_endpoint: dict[Endpoint, Tally] = field(default_factory=lambda: defaultdict(Tally))
    trends: dict[UUID, dict[datetime, Tally]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Tally)))

    @property
    def whole(self) -> Tally:
        return tally.total(self.by_integration.values())


def read(
    pks: Sequence[UUID],
    asked: Range,
    *,
    mark: datetime | None,
    days: Days | None = None,
    now: datetime,
    only: Endpoint | None = None,
    endpoints: bool = False,
) -> Traffic:
    """Of the integrations `pks`; with `only` of that endpoint. `endpoints`: count each of them, too.

    `mark` is the newest hour that is rolled up, `days` those that are: a long window has them instead of their hours.
    A day of one integration comes in quarters of an hour.
    """
    since, days = now - asked.length, days if asked.by_days else None
    fine = asked.key == "24h" and len(pks) == 1
    # Roll-ups know whole hours only: for quarters all calls are counted one by one.
    window = figures.between(since, now + rollups.HOUR, None if fine else mark, days)
    before = figures.between(since - asked.length, since, mark, days)
    histograms = int(asked.length.total_seconds()) // HOUR - window.whole * rollups.HOURS + window.whole
    percentiles = len(pks) * histograms <= MOST_HISTOGRAMS
    step = QUARTER if fine else _step(asked, 1 if percentiles else len(pks))
    query = _Query(pks, asked, step, percentiles=percentiles, only=only, endpoints=endpoints, now=now)
    found = Traffic(step, query.times, percentiles)
    for rolled, counted in ((False, query.calls(window, before)), (True, query.rollups(window, before))):
        for one, counts in counted:
            _add(found, one, counts, rolled=rolled, only=only, endpoints=endpoints)
    return found


def _step(asked: Range, integrations: int) -> int:
    length = asked.length.total_seconds()
    return next((step for step in asked.steps if integrations * length / step <= MOST_SUMS), asked.steps[-1])


class _Key(NamedTuple):
    integration: UUID
    at: datetime
    before: bool
    endpoint: Endpoint


def _add(found: Traffic, one: _Key, counts: Tally, *, rolled: bool, only: Endpoint | None, endpoints: bool) -> None:
    if endpoints and one.endpoint != ALL and not one.before:
        found.by_endpoint[one.endpoint].add(counts)
    # A single call is of an endpoint and of all of them; a roll-up is of one of these.
    if endpoints and one.endpoint != (only or (ALL if rolled else one.endpoint)):
        return
    if one.before:
        found.before.add(counts)
        return
    found.by_time[one.at].add(counts)
    found.by_integration[one.integration].add(counts)
    if not endpoints:
        found.trends[one.integration][one.at].add(Tally(counts.requests, counts.errors, counts.total_ms))


class _Query:
    def __init__(
        self, pks: Sequence[UUID], asked: Range, step: int, *,
        percentiles: bool, only: Endpoint | None, endpoints: bool, now: datetime,
    ) -> None:  # fmt: skip
        self.since = now - asked.length
        self._pks, self._step, self._percentiles = pks, step, percentiles
        self._only, self._endpoints = only, endpoints
        offset = timezone.localtime(now).utcoffset() or timedelta(0)
        # Parts of days begin where people's do; whole days where the roll-ups' do.
        self._shift = 0 if asked.by_days else int(offset.total_seconds())
        first, last = (self._slot(moment) for moment in (self.since, now))
        self.times = [self._time(slot) for slot in range(first, last + 1)]

    def _slot(self, moment: datetime) -> int:
        return int(moment.timestamp() + self._shift) // self._step

    def _time(self, slot: int) -> datetime:
        return datetime.fromtimestamp(slot * self._step - self._shift, UTC)

    def _of(self, moment: str) -> tuple[dict[str, Combinable], list[str]]:
        """Which annotations tell the point that a row belongs to, and the keys to count by."""
        old = ExpressionWrapper(Q(**{f"{moment}__lt": self._since(moment)}), BooleanField())
        each = ["method", "endpoint"] if self._endpoints else []
        slot = Slot(moment, seconds=self._step, shift=self._shift)
        return {"slot": slot, "old": old}, ["integration_id", "slot", "old", *each]

    def _since(self, moment: str) -> datetime | date:
        return rollups.day_from(self.since) if moment == "day" else self.since

    def calls(self, window: figures.Window, before: figures.Window) -> Iterator[tuple[_Key, Tally]]:
        rows = ApiMetric.objects.filter(window.calls | before.calls, integration__in=self._pks)
        if self._only and not self._endpoints:
            rows = rows.filter(method=self._only.method, endpoint=self._only.path)
        annotations, keys = self._of("created_at")
        rows = rows.annotate(**annotations)
        counted = tally.of_calls(rows, *keys) if self._percentiles else tally.sums_of_calls(rows, *keys)
        for (pk, slot, old, *endpoint), counts in counted:
            yield _Key(pk, self._time(slot), bool(old), Endpoint(*endpoint) if endpoint else ALL), counts

    def rollups(self, window: figures.Window, before: figures.Window) -> Iterator[tuple[_Key, Tally]]:
        rows = [
            *self._rolled(MetricRollup.objects.all(), "hour", window.hours, before.hours),
            *self._rolled(DailyRollup.objects.all(), "day", window.days, before.days),
        ]
        if not rows:
            return
        for pk, slot, old, *rest in reduce(lambda one, other: one.union(other, all=True), rows):
            endpoint, numbers = (Endpoint(*rest[:2]), rest[2:]) if self._endpoints else (ALL, rest)
            requests, errors, total_ms, max_ms, *histogram = numbers
            counts = Tally(requests, errors, total_ms, max_ms, histogram[0] or {} if histogram else {})
            yield _Key(pk, self._time(slot), bool(old), endpoint), counts

    def _rolled(
        self, rows: QuerySet[Any, Any], moment: str, window: Q | None, before: Q | None
    ) -> Iterator[QuerySet[Any, Any]]:
        """Those of hours or of days (`moment`) that are of either window; nothing if neither has any."""
        wanted = self._only or ALL
        whole = Q(method=wanted.method, endpoint=wanted.path)
        of_window = Q() if self._endpoints else whole
        parts = [part & which for part, which in ((window, of_window), (before, whole)) if part is not None]
        if not parts:
            return
        annotations, keys = self._of(moment)
        rows = rows.filter(reduce(or_, parts), integration__in=self._pks).annotate(**annotations).order_by()
        if self._percentiles:
            recent = When(**{f"{moment}__gte": self._since(moment)}, then=F("histogram"))
            shape = Case(recent, output_field=JSONField())
            yield rows.values_list(*keys, "requests", "errors", "total_ms", "max_ms", shape)
        else:
            yield rows.values_list(*keys).annotate(Sum("requests"), Sum("errors"), Sum("total_ms"), Max("max_ms"))
