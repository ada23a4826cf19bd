"""What was called, over time, of however many integrations: two queries, one of roll-ups and one of single calls.

A window is exact at both ends, as in `figures`. Percentiles want each hour's histogram; where those are more than a
page can wait for there are averages only, and somebody who wants percentiles looks at fewer integrations.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import BooleanField, Case, ExpressionWrapper, F, JSONField, Max, Q, Sum, When
from django.db.models.expressions import Combinable
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from healthchecks import figures, rollups, tally
from healthchecks.models import MetricRollup
from healthchecks.tally import Slot, Tally
from integrations.models import ApiMetric

QUARTER, HOUR, DAY = 900, 3600, 86_400
MOST_HISTOGRAMS = 2500
MOST_SUMS = 9000
"""More are not fetched: points get longer instead."""


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
    now: datetime,
    only: Endpoint | None = None,
    endpoints: bool = False,
) -> Traffic:
    """Of the integrations `pks`; with `only` of that endpoint. `endpoints`: count each of them, too.

    `mark` is the newest hour that is rolled up. A day of one integration comes in quarters of an hour.
    """
    hours = int(asked.length.total_seconds()) // HOUR
    percentiles = len(pks) * hours <= MOST_HISTOGRAMS
    fine = asked.key == "24h" and len(pks) == 1
    step = QUARTER if fine else _step(asked, 1 if percentiles else len(pks))
    query = _Query(pks, asked, step, percentiles=percentiles, only=only, endpoints=endpoints, now=now)
    found = Traffic(step, query.times, percentiles)
    # Roll-ups know whole hours only: for quarters all calls are counted one by one.
    window = figures.between(query.since, now + rollups.HOUR, None if fine else mark)
    before = figures.between(query.since - asked.length, query.since, mark)
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
        self._shift = int(offset.total_seconds())  # days and parts of days begin where people's do
        first, last = (self._slot(moment) for moment in (self.since, now))
        self.times = [self._time(slot) for slot in range(first, last + 1)]

    def _slot(self, moment: datetime) -> int:
        return int(moment.timestamp() + self._shift) // self._step

    def _time(self, slot: int) -> datetime:
        return datetime.fromtimestamp(slot * self._step - self._shift, UTC)

    def _of(self, moment: str) -> tuple[dict[str, Combinable], list[str]]:
        """Which annotations tell the point that a row belongs to, and the keys to count by."""
        old = ExpressionWrapper(Q(**{f"{moment}__lt": self.since}), BooleanField())
        each = ["method", "endpoint"] if self._endpoints else []
        slot = Slot(moment, seconds=self._step, shift=self._shift)
        return {"slot": slot, "old": old}, ["integration_id", "slot", "old", *each]

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
        wanted = self._only or ALL
        whole = Q(method=wanted.method, endpoint=wanted.path)
        parts = [hours & which for hours, which in (
            (window.hours, Q() if self._endpoints else whole), (before.hours, whole)
        ) if hours is not None]  # fmt: skip
        if not parts:
            return
        some = parts[0] | parts[1] if len(parts) > 1 else parts[0]
        rows = MetricRollup.objects.filter(some, integration__in=self._pks)
        annotations, keys = self._of("hour")
        rows = rows.annotate(**annotations).order_by()
        if self._percentiles:
            shape = Case(When(hour__gte=self.since, then=F("histogram")), output_field=JSONField())
            found = rows.values_list(*keys, "requests", "errors", "total_ms", "max_ms", shape)
        else:
            found = rows.values_list(*keys).annotate(Sum("requests"), Sum("errors"), Sum("total_ms"), Max("max_ms"))
        for pk, slot, old, *rest in found:
            endpoint, numbers = (Endpoint(*rest[:2]), rest[2:]) if self._endpoints else (ALL, rest)
            requests, errors, total_ms, max_ms, *histogram = numbers
            counts = Tally(requests, errors, total_ms, max_ms, histogram[0] or {} if histogram else {})
            yield _Key(pk, self._time(slot), bool(old), endpoint), counts
