"""Figures for the pages and the API: from recorded calls and status changes. No sample, no number.

A window is exact at both ends: calls count one by one where an hour is in it only in part, or not rolled up yet; in
between the hourly roll-ups do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Count, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery, Sum

from healthchecks import histogram, look, rollups, tally
from healthchecks.models import CheckResult, MetricRollup
from healthchecks.rollups import Days
from healthchecks.tally import Tally
from integrations.models import ApiMetric, Integration
from oauth import services as oauth

DAY = timedelta(hours=24)
EACH = ("method", "endpoint")
PROBES_WITHIN = timedelta(days=7)
"""How far back the newest probe is looked for."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Calls and probes of a window. Percentages 0–100 and milliseconds; None: no sample, no number."""

    total: int
    average_ms: float | None
    error_rate: float | None
    errors: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def success_rate(self) -> float | None:
        return None if self.error_rate is None else 100 - self.error_rate


NO_METRICS = Metrics(0, None, None)


def of(counts: Tally) -> Metrics:
    """What the pages show of `counts`."""
    if not counts.requests:
        return NO_METRICS
    return Metrics(
        total=counts.requests,
        average_ms=counts.total_ms / counts.requests,
        error_rate=100 * counts.errors / counts.requests,
        errors=counts.errors,
        p50_ms=histogram.quantile(counts.histogram, 0.5),
        p95_ms=histogram.quantile(counts.histogram, 0.95),
    )


# --- Windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """All since a moment: which hours of the roll-ups it is (None: none), and which calls besides. Of a long one also
    which days, `whole` of them, are in it instead of their hours."""

    hours: Q | None
    calls: Q
    days: Q | None = None
    whole: int = 0


def window(since: datetime, mark: datetime | None) -> Window:
    """Pure: `mark` is the newest hour that is rolled up."""
    first = rollups.floor(since) + (rollups.HOUR if since != rollups.floor(since) else timedelta(0))
    if mark is None or mark < first:
        return Window(None, Q(created_at__gte=since))
    after = Q(created_at__gte=mark + rollups.HOUR)
    calls = after | Q(created_at__gte=since, created_at__lt=first) if since < first else after
    return Window(Q(hour__gte=first, hour__lte=mark), calls)


def between(start: datetime, end: datetime, mark: datetime | None, days: Days | None = None) -> Window:
    """Pure: the same of what lies in [start, end). Of `days` those are taken that are in it from midnight to midnight
    and whose hours all are."""
    first = rollups.floor(start) + (rollups.HOUR if start != rollups.floor(start) else timedelta(0))
    until = min(rollups.floor(end), mark + rollups.HOUR) if mark else first
    if until <= first:
        return Window(None, Q(created_at__gte=start, created_at__lt=end))
    calls = Q(created_at__gte=until, created_at__lt=end) | Q(created_at__gte=start, created_at__lt=first)
    day, last = (max(days.first, rollups.day_from(first)), min(days.until, until.date())) if days else (None, None)
    if day is None or last is None or day >= last:
        return Window(Q(hour__gte=first, hour__lt=until), calls)
    edges = [(first, rollups.midnight(day)), (rollups.midnight(last), until)]
    hours = [Q(hour__gte=since, hour__lt=to) for since, to in edges if since < to]
    return Window(reduce(or_, hours) if hours else None, calls, Q(day__gte=day, day__lt=last), (last - day).days)


def metrics(integrations: Iterable[Integration], *, since: datetime) -> dict[UUID, Metrics]:
    """Requests, average response time and error rate of each integration since then: three queries for all, and no
    percentiles."""
    pks = [one.pk for one in integrations]
    part = window(since, rollups.mark())
    calls = ApiMetric.objects.filter(part.calls, integration__in=pks).values_list("integration")
    sums = list(calls.annotate(requests=Count("pk"), errors=tally.ERRORS, total_ms=Sum("response_time_ms")))
    if part.hours is not None:
        hours = MetricRollup.objects.filter(part.hours, integration__in=pks, **rollups.ALL).values_list("integration")
        sums += hours.annotate(Sum("requests"), Sum("errors"), Sum("total_ms"))
    counts: dict[UUID, Tally] = {}
    for pk, requests, errors, total_ms in sums:
        counts.setdefault(pk, Tally()).add(Tally(requests, errors, total_ms))
    return {pk: of(one) for pk, one in counts.items()}


def windows(integration: Integration, *, since: Sequence[datetime]) -> list[Metrics]:
    """Of one integration, since each of these moments, with percentiles: three queries for all."""
    mark = rollups.mark()
    parts = [window(moment, mark) for moment in since]
    calls = list(_calls(integration, parts))
    hours = list(rolled(integration, min(since), mark, "hour", **rollups.ALL))
    return [
        of(tally.total([
            *(one for flags, one in calls if flags[position]),
            *(one for (hour,), one in hours if hour >= moment),
        ]))
        for position, moment in enumerate(since)
    ]  # fmt: skip


def by_endpoint(integration: Integration, *, since: datetime) -> dict[tuple[str, str], Metrics]:
    """Of each (method, endpoint) that was called since then, the busiest first: three queries."""
    mark = rollups.mark()
    calls = ApiMetric.objects.filter(window(since, mark).calls, integration=integration)
    counted = chain(tally.of_calls(calls, *EACH), rolled(integration, since, mark, *EACH))
    counts = tally.group((key, one) for key, one in counted if any(key))  # without the roll-up of all of them
    busiest = sorted(counts.items(), key=lambda item: (-item[1].requests, item[0]))
    return {(method, endpoint): of(one) for (method, endpoint), one in busiest}


def rolled(integration: Integration, since: datetime, mark: datetime | None, *keys: str, **only: str) -> tally.Counted:
    """What the roll-ups count of the window, by `keys`; `only` narrows it down."""
    hours = window(since, mark).hours
    if hours is None:
        return iter(())
    return tally.of_rollups(MetricRollup.objects.filter(hours, integration=integration, **only), *keys)


def _calls(integration: Integration, parts: Sequence[Window]) -> tally.Counted:
    """The calls that some of `parts` count one by one: by which of them do."""
    flags = {f"in_{n}": ExpressionWrapper(part.calls, BooleanField()) for n, part in enumerate(parts)}
    some = reduce(or_, (part.calls for part in parts))
    return tally.of_calls(ApiMetric.objects.filter(some, integration=integration).annotate(**flags), *flags)


# --- What the checks saw ---------------------------------------------------------------------------------------------


def with_newest(rows: QuerySet[Integration], *, now: datetime) -> QuerySet[Integration]:
    """Each with what is asked of it here: its token, what its newest check found, and how its newest probe went."""
    checks = CheckResult.objects.filter(integration=OuterRef("pk")).order_by("-created_at")
    probes = ApiMetric.objects.filter(integration=OuterRef("pk"), source=ApiMetric.Source.PROBE)
    newest = probes.filter(created_at__gte=now - PROBES_WITHIN).order_by("-created_at")
    return rows.select_related("token__grant").annotate(
        rule=Subquery(checks.values("rule")[:1]),
        layers=Subquery(checks.values("layers")[:1]),
        probe_status=Subquery(newest.values("status_code")[:1]),
    )


def checks_of(row: Any, now: datetime) -> dict[str, dict[str, Any]]:
    """The newest sight of each layer that `row` (of `with_newest`) has, as API.md names them: oauth, api, webhook."""
    checks: dict[str, dict[str, Any]] = {}
    if row.requires_oauth:
        token = getattr(row, "token", None)
        valid = oauth.status(token, now) in (oauth.Status.VALID, oauth.Status.EXPIRING_SOON)
        expires_at = token.expires_at if token and valid else None
        left = int((expires_at - now).total_seconds()) if expires_at else None
        checks["oauth"] = {"valid": valid, "expiresIn": left}
    if row.spec and row.spec.probe:
        checks["api"] = {"reachable": row.probe_status is not None, "statusCode": row.probe_status}
    if row.has_webhooks:
        received, failed = look.deliveries([row.pk], now).get(row.pk, (0, 0))
        checks["webhook"] = {"recentFailureRate": round(100 * failed / received, 2) if received else None}
    return checks
