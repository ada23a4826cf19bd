"""Counting calls, in SQL: raw ones by the bucket of their response time, and hours that were counted before."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Count, F, FloatField, Func, IntegerField, Max, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Cast, Ceil, Ln
from django.db.models.sql.compiler import SQLCompiler

from healthchecks import histogram
from healthchecks.histogram import Histogram
from healthchecks.models import DailyRollup, MetricRollup
from integrations.models import ApiMetric

Key = tuple[Any, ...]


@dataclass(slots=True)
class Tally:
    """Some calls, added up. Times in milliseconds."""

    requests: int = 0
    errors: int = 0
    total_ms: int = 0
    max_ms: int = 0
    histogram: Histogram = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.total_ms += other.total_ms
        self.max_ms = max(self.max_ms, other.max_ms)
        histogram.add(self.histogram, other.histogram)


Counted = Iterator[tuple[Key, Tally]]


def group(counted: Iterable[tuple[Key, Tally]]) -> dict[Key, Tally]:
    """What has the same key, added up."""
    found: dict[Key, Tally] = {}
    for key, one in counted:
        found.setdefault(key, Tally()).add(one)
    return found


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them, added up."""
    whole = Tally()
    for one in tallies:
        whole.add(one)
    return whole


def of_calls(calls: QuerySet[ApiMetric], *keys: str) -> Counted:
    """`calls` by `keys` (fields or annotations): one query, in which the database counts. It gives a few hundred rows
    for each key, however many calls there are."""
    rows = (
        calls.annotate(bucket=BUCKET)
        .order_by()
        .values_list(*keys, "bucket")
        .annotate(
            requests=Count("pk"), errors=ERRORS, total_ms=Sum("response_time_ms"), max_ms=Max("response_time_ms")
        )
    )
    for *key, bucket, requests, errors, total_ms, max_ms in rows:
        yield tuple(key), Tally(requests, errors, total_ms, max_ms, {str(bucket): requests})


def sums_of_calls(calls: QuerySet[ApiMetric], *keys: str) -> Counted:
    """The same without histograms: one row for each key."""
    sums = {"requests": Count("pk"), "errors": ERRORS, "ms": Sum("response_time_ms"), "most": Max("response_time_ms")}
    for *key, requests, errors, total_ms, max_ms in calls.order_by().values_list(*keys).annotate(**sums):
        yield tuple(key), Tally(requests, errors, total_ms, max_ms)


def of_rollups(rollups: QuerySet[MetricRollup] | QuerySet[DailyRollup], *keys: str) -> Counted:
    """`rollups` by `keys`, one by one: one query."""
    fields = ("requests", "errors", "total_ms", "max_ms", "histogram")
    for *key, requests, errors, total_ms, max_ms, counts in rollups.order_by().values_list(*keys, *fields):
        yield tuple(key), Tally(requests, errors, total_ms, max_ms, counts)


# --- In SQL ----------------------------------------------------------------------------------------------------------

ERRORS = Count("pk", filter=~Q(error_message=""))

_NUMBER = Ceil(Ln(Cast("response_time_ms", FloatField())) / Value(histogram.LOG_GAMMA))
BUCKET = Case(
    When(response_time_ms__gt=0, then=Cast(_NUMBER, IntegerField())),
    default=Value(histogram.ZERO),
    output_field=IntegerField(),
)
"""`histogram.bucket` of a call."""


class Slot(Func):
    """Which stretch of so many seconds, counted since 1970 (or from `shift` seconds before it), a time lies in."""

    output_field = IntegerField()
    template = "floor((extract(epoch from %(expressions)s) + %(shift)s) / %(seconds)s)::integer"

    def __init__(self, moment: str, *, seconds: int, shift: int = 0) -> None:
        super().__init__(F(moment), seconds=seconds, shift=shift)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        template = "(CAST(strftime('%%%%s', %(expressions)s) AS integer) + %(shift)s) / %(seconds)s"
        return self.as_sql(compiler, connection, template=template, **context)
