"""What the page of API health shows: of all integrations that somebody may see, or of one and its endpoints.

A dozen queries at most, however many integrations there are. The same serves a single integration's own page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import Http404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from healthchecks import drawing, failed, figures, incidents, quota, rollups, traffic, uptime
from healthchecks.alerts import targets, words
from healthchecks.asked import SORTS, Asked
from healthchecks.drawing import Chart
from healthchecks.figures import NO_METRICS, Metrics
from healthchecks.models import CheckResult, Incident, RolledHour
from healthchecks.rollups import Days
from healthchecks.status import WORST_FIRST
from healthchecks.tally import Tally
from healthchecks.traffic import RANGES, Endpoint, Range, Traffic
from healthchecks.uptime import Uptime
from integrations import permissions
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.seek import Place

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)
QUOTAS, INCIDENTS = 8, 20
MOST_LINES = 50
TREND, MOST_TRENDS = 24, 60
"""Availability over time: of how many parts, and of how many integrations at most."""
FULL_PERCENT = 95


# --- What templates get ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A key figure. `value` is "" when nothing is known; `change`: how it was in the window before."""

    key: str
    label: str
    value: str
    unit: str
    more: str
    change: str
    trend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One integration. `check` is where to post for a check at once, "" for who may not; `missed`: its targets that
    the window's figures miss."""

    integration: Integration
    icon: str
    day: Uptime
    week: Uptime
    metrics: Metrics
    trend: str
    missed: frozenset[str]
    check: str
    href: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLine:
    integration: Integration
    quota: quota.Quota
    calls: int
    used: int
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLine:
    method: str
    path: str
    metrics: Metrics
    query: str
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be kept; `found` says how it is in the window, "" where that isn't known here."""

    label: str
    bound: str
    found: str
    missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why an integration is as it is, with the rule that decided and what helps."""

    integration: Integration
    rule: str
    layers: tuple[dict[str, Any], ...]
    advice: str
    targets: tuple[Target, ...]
    check: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """`one` is the integration that was asked for, if any; then `lines` has it alone and `endpoints` what it was
    asked."""

    asked: Asked
    range: Range
    one: Integration | None
    verdict: Verdict | None
    names: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    chart: Chart | None
    lines: tuple[Line, ...]
    lines_more: int
    quotas: tuple[QuotaLine, ...]
    quotas_more: int
    endpoints: tuple[EndpointLine, ...]
    errors: failed.Errors
    incidents: tuple[Incident, ...]
    csv: str

    @property
    def ranges(self) -> list[tuple[Range, str]]:
        return [(one, self.asked.query(range=one.key)) for one in RANGES.values()]

    @property
    def sorts(self) -> list[tuple[str, str, str]]:
        return [(key, _(label), self.asked.query(sort=key)) for key, label in SORTS]

    @property
    def all_endpoints(self) -> str:
        return self.asked.query(endpoint="")


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(user: User, asked: Asked, *, before: Place | None = None, floor: Place | None = None, now: datetime) -> Board:
    """`before` and `floor` are as in `failed.log`. Raises Http404 when `asked` names an integration that `user` may
    not see."""
    known = list(_integrations(user, asked))
    rows = [row for row in known if asked.integration in ("", row.slug)]
    if not rows and asked.integration:
        raise Http404
    one, length = rows[0] if asked.integration else None, RANGES[asked.range]
    # A quarter of a year of each endpoint's hours is more than a page can wait for.
    each = one is not None and length.length <= WEEK
    pks, mark, days = [row.pk for row in rows], known[0].mark if known else None, _days(known)
    found = traffic.read(pks, length, mark=mark, days=days, now=now, only=asked.only, endpoints=each)
    up = _Uptimes(rows, length, now)
    stand = quota.quotas(rows, now=now)
    quotas = sorted((_quota(row, stand[row.pk]) for row in rows if _counts(stand.get(row.pk))), key=lambda q: -q.used)
    lines = tuple(_Lines(found, up, asked).of(row) for row in _worst(rows, found))
    return Board(
        asked=asked,
        range=length,
        one=one,
        verdict=_verdict(one, lines[0], length) if one else None,
        names=tuple((row.slug, row.name) for row in known),
        figures=_figures(found, up, length),
        chart=_chart(found) if found.by_time else None,
        lines=lines,
        lines_more=len(rows) - len(lines),
        quotas=tuple(quotas[:QUOTAS]),
        quotas_more=len(quotas[QUOTAS:]),
        endpoints=_endpoints(found, asked) if each else (),
        errors=failed.log(rows, asked, before=before, floor=floor, now=now),
        incidents=_incidents(rows, now),
        csv=reverse("api-health-metrics-csv", args=[one.slug]) if one else reverse("api-health-csv"),
    )


def _integrations(user: User, asked: Asked) -> QuerySet[Any, Any]:
    """With what their lines need, and how far the roll-ups reach."""
    rolled = RolledHour.objects.order_by("-hour").values("hour")[:1]
    rows = permissions.visible(user, Perm.READ).annotate(
        mark=Subquery(rolled), may_manage=permissions.held(user, Perm.MANAGE)
    )
    if RANGES[asked.range].by_days:
        first, until = rollups.newest_days()
        rows = rows.annotate(days_first=first, days_until=until)
    if asked.integration:
        checks = CheckResult.objects.filter(integration=OuterRef("pk")).order_by("-created_at")
        rows = rows.annotate(rule=Subquery(checks.values("rule")[:1]), layers=Subquery(checks.values("layers")[:1]))
    return rows.order_by("name", "slug")


def _days(known: Sequence[Any]) -> Days | None:
    """The days that are rolled up, if the window has any use for them."""
    first = getattr(known[0], "days_first", None) if known else None
    return Days(first, known[0].days_until) if first else None


class _Uptimes:
    """Of every window that the page tells of; two queries."""

    def __init__(self, rows: Sequence[Integration], length: Range, now: datetime) -> None:
        since, part = now - length.length, length.length / TREND
        spans = [(now - DAY, now), (now - WEEK, now), (since, now), (since - length.length, since)]
        if len(rows) <= MOST_TRENDS:
            spans += [(since + part * n, since + part * (n + 1)) for n in range(TREND)]
        self.day, self.week, at_all, before, *parts = uptime.across(rows, spans)
        self.now, self.before = uptime.together(at_all.values()), uptime.together(before.values())
        self.known = sum(one.coverage for one in at_all.values()) / len(rows) if rows else 0.0
        self.trend = drawing.sparkline([uptime.together(one.values()) for one in parts])


# --- Key figures and the chart ---------------------------------------------------------------------------------------


def _figures(found: Traffic, up: _Uptimes, length: Range) -> tuple[Figure, ...]:
    now, was = figures.of(found.whole), figures.of(found.before)
    points = [found.by_time.get(at) for at in found.times]
    before = _("{number} in the {length} before").format(number=f"{was.total:,}", length=length.label)
    failed_of_all = ngettext("{errors} of {n} call", "{errors} of {n} calls", now.total)
    return (
        Figure(
            key="availability", label=_("Availability"), value=_percent(up.now), unit="%",
            more=uptime.known(up.known), trend=up.trend,
            change=_change(up.now, up.before, "pt", 2, length),
        ),
        Figure(
            key="response", label=_("Average response"), value=_number(now.average_ms), unit="ms",
            more=f"p95 {_number(now.p95_ms)} ms" if found.percentiles and now.total else "",
            change=_change(now.average_ms, was.average_ms, "ms", 0, length),
            trend=drawing.sparkline([_average(one) for one in points]),
        ),
        Figure(
            key="errors", label=_("Error rate"), value=_percent(now.error_rate), unit="%",
            more=failed_of_all.format(errors=f"{now.errors:,}", n=f"{now.total:,}") if now.total else "",
            change=_change(now.error_rate, was.error_rate, "pt", 2, length),
            trend=drawing.sparkline([100 * one.errors / one.requests if one else None for one in points]),
        ),
        Figure(
            key="calls", label=_("Calls"), value=f"{now.total:,}", unit="", more=_("probes included"),
            change=before,
            trend=drawing.sparkline([one.requests if one else 0 for one in points]),
        ),
    )  # fmt: skip


def _average(counts: Tally | None) -> float | None:
    return counts.total_ms / counts.requests if counts else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    """Cut, not rounded: 99.999 is not 100."""
    return "" if value is None else f"{int(value * 100) / 100:g}"


def _change(now: float | None, was: float | None, unit: str, digits: int, length: Range) -> str:
    if now is None or was is None:
        return ""
    difference = round(now - was, digits)
    if not difference:
        return _("as in the {length} before").format(length=length.label)
    by = f"{'+' if difference > 0 else '−'}{abs(difference):,.{digits}f} {unit}"
    return _("{difference} on the {length} before").format(difference=by, length=length.label)


def _chart(found: Traffic) -> Chart:
    points = {at: figures.of(counts) for at, counts in found.by_time.items()}
    return drawing.chart(found.times, points, step=found.step, percentiles=found.percentiles)


# --- Rows ------------------------------------------------------------------------------------------------------------


def _worst(rows: Sequence[Any], found: Traffic) -> Sequence[Any]:
    """All of them, by name; of more than a page bears those that need somebody most."""
    if len(rows) <= MOST_LINES:
        return rows
    rank = {status: place for place, status in enumerate(WORST_FIRST)}
    errors = {pk: counts.errors for pk, counts in found.by_integration.items()}
    return sorted(rows, key=lambda row: (rank[row.health_status], -errors.get(row.pk, 0)))[:MOST_LINES]


class _Lines:
    """Addresses are resolved once, not once for each of 300 rows."""

    def __init__(self, found: Traffic, up: _Uptimes, asked: Asked) -> None:
        self._found, self._up, self._asked = found, up, asked
        self._check, self._detail = reverse("check", args=["_"]), reverse("overview") + "/_"

    def of(self, row: Any) -> Line:
        trend = self._found.trends.get(row.pk, {})
        counts = self._found.by_integration.get(row.pk)
        times = [trend.get(at) for at in self._found.times] if trend else []
        metrics, week = figures.of(counts) if counts else NO_METRICS, self._up.week[row.pk]
        return Line(
            integration=row,
            icon=row.icon,
            day=self._up.day[row.pk],
            week=week,
            metrics=metrics,
            trend=drawing.sparkline([_average(one) for one in times]),
            missed=_missed(row, metrics, week),
            check=self._check.replace("/_/", f"/{row.slug}/") if row.may_manage and row.is_active else "",
            href=f"{self._detail[:-1]}{row.slug}",
            query=self._asked.query(integration=row.slug, endpoint=""),
        )


def _counts(stand: quota.Quota | None) -> bool:
    """Two calls a second say nothing of the next second."""
    return stand is not None and stand.window.total_seconds() >= quota.SHORTEST_SECONDS


def _quota(row: Integration, stand: quota.Quota) -> QuotaLine:
    used = int(stand.used_percent)
    tone = ("down" if used >= FULL_PERCENT else "degraded") if stand.is_warning else ""
    return QuotaLine(integration=row, quota=stand, calls=stand.limit - stand.remaining, used=used, tone=tone)


def _endpoints(found: Traffic, asked: Asked) -> tuple[EndpointLine, ...]:
    def rank(item: tuple[Endpoint, Tally]) -> tuple[float, int, Endpoint]:
        endpoint, counts = item
        by = {"errors": counts.errors, "slow": counts.total_ms / counts.requests, "calls": counts.requests}
        return -by[asked.sort], -counts.requests, endpoint

    return tuple(
        EndpointLine(
            method=endpoint.method,
            path=endpoint.path,
            metrics=figures.of(counts),
            query=asked.query(endpoint="" if endpoint == asked.only else f"{endpoint.method} {endpoint.path}"),
            here=endpoint == asked.only,
        )
        for endpoint, counts in sorted(found.by_endpoint.items(), key=rank)
    )


# --- Incidents -------------------------------------------------------------------------------------------------------


def _incidents(rows: Sequence[Integration], now: datetime) -> tuple[Incident, ...]:
    """What is open, and what was within a month, the newest first."""
    of_these = Incident.objects.filter(integration__in=[row.pk for row in rows])
    found = incidents.recent(of_these, days=MONTH.days, now=now)
    return tuple(
        found.select_related("integration").order_by(F("closed_at").desc(nulls_first=True), "-opened_at")[:INCIDENTS]
    )


# --- One integration: why it is as it is, and what it is to keep -----------------------------------------------------


def _verdict(row: Any, line: Line, length: Range) -> Verdict:
    return Verdict(
        integration=row,
        rule=row.rule or "",
        layers=tuple(layer for layer in row.layers or [] if isinstance(layer, dict) and "layer" in layer),
        advice=_(words.ADVICE[row.rule]) if row.rule in words.ADVICE else "",
        targets=_targets(row, line, length),
        check=line.check,
        change=reverse("apis-thresholds", args=[row.slug]) if row.may_manage else "",
    )


def _missed(row: Integration, metrics: Metrics, week: Uptime) -> frozenset[str]:
    kept = targets.of(row)
    found = {
        "response": kept.response_ms and metrics.average_ms and metrics.average_ms > kept.response_ms,
        "errors": metrics.error_rate is not None and metrics.error_rate > kept.error_rate,
        "uptime": week.percent is not None and week.percent < kept.uptime,
    }
    return frozenset(name for name, missed in found.items() if missed)


def _targets(row: Integration, line: Line, length: Range) -> tuple[Target, ...]:
    kept, found, up = targets.of(row), line.metrics, line.week.percent
    slow, rate = found.average_ms, found.error_rate
    return (
        Target(
            label=_("Average response"),
            bound=_at_most(f"{kept.response_ms:,} ms") if kept.response_ms else _("none set"),
            found="" if slow is None else _in_these(f"{slow:,.0f} ms", length),
            missed="response" in line.missed,
        ),
        Target(
            label=_("Error rate"),
            bound=_at_most(f"{kept.error_rate:g} %"),
            found="" if rate is None else _in_these(f"{_percent(rate)} %", length),
            missed="errors" in line.missed,
        ),
        Target(
            label=_("Uptime"),
            bound=_("at least {figure}").format(figure=f"{kept.uptime:g} %"),
            found="" if up is None else _("{figure} over 7 days").format(figure=f"{_percent(up)} %"),
            missed="uptime" in line.missed,
        ),
        Target(
            label=_("Webhooks that fail"), bound=_at_most(f"{kept.webhook_failure_rate:g} %"), found="", missed=False
        ),
    )


def _at_most(figure: str) -> str:
    return _("at most {figure}").format(figure=figure)


def _in_these(figure: str, length: Range) -> str:
    return _("{figure} in these {length}").format(figure=figure, length=length.words)
