"""Targets that are missed, and quotas that run out.

A figure over a day or a week stays bad long after its cause is mended. So a target counts as missed only while the
last hour (uptime: the last day) misses it too; and while the integration itself is the subject of an alert, its
figures are not.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from healthchecks import figures, look, uptime
from healthchecks.alerts import words
from healthchecks.alerts.scene import Finding, Found, Scene
from healthchecks.figures import NO_METRICS, Metrics
from healthchecks.models import Alarm
from healthchecks.quota import Quota, quotas
from healthchecks.uptime import Uptime
from integrations.models import Integration

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
ENOUGH_CALLS, ENOUGH_FAILURES = 20, 3
"""In a day: fewer say nothing of a rate. Two calls of which one fails are no trend."""
ENOUGH_COVERAGE = 50
"""Percent of the week in which it was watched; less says nothing of its uptime."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What an integration is to keep; None: nothing. Percentages 0-100."""

    response_ms: int | None
    error_rate: float
    webhook_failure_rate: float
    uptime: float


DEFAULTS = Targets(response_ms=None, error_rate=5.0, webhook_failure_rate=5.0, uptime=99.5)


def of(integration: Integration) -> Targets:
    """What an admin has set (`thresholds`), else the defaults; also instead of what is no number."""
    told: Any = integration.thresholds
    given = {name: value for name, value in told.items() if _is_number(value)} if isinstance(told, dict) else {}
    return Targets(
        response_ms=given.get("responseTimeMs", DEFAULTS.response_ms),
        error_rate=given.get("errorRate", DEFAULTS.error_rate),
        webhook_failure_rate=given.get("webhookFailureRate", DEFAULTS.webhook_failure_rate),
        uptime=given.get("uptime", DEFAULTS.uptime),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def find(scene: Scene, *, explained: Collection[str]) -> Found:
    """`explained`: the slugs of those about which something worse is told already."""
    found, rows = Found(), scene.watched
    found.unsure |= {f"target:{row.slug}:{name}" for row in rows if row.slug in explained for name in NAMES}
    with found.judging("targets", "target:"):
        figures_of = _Figures(rows, scene)
        for row in rows:
            if row.slug not in explained:
                with found.judging(f"the targets of {row.name}", f"target:{row.slug}:"):
                    found.findings += figures_of.missed(row)
    with found.judging("quotas", "quota:"):
        standing = quotas(rows, now=scene.now)
        found.findings += [_quota(row, one) for row in rows if (one := standing.get(row.pk)) and one.is_warning]
    return found


NAMES = ("response_time", "error_rate", "webhook_failures", "uptime")


class _Figures:
    """Each read once for all."""

    def __init__(self, rows: list[Integration], scene: Scene) -> None:
        now = scene.now
        self._day = figures.metrics(rows, since=now - DAY)
        self._hour = figures.metrics(rows, since=now - HOUR)
        self._webhooks = look.webhooks_seen(rows, now)
        self._week_up = uptime.of(rows, start=now - WEEK, end=now)
        self._day_up = uptime.of(rows, start=now - DAY, end=now)

    def missed(self, row: Integration) -> Iterable[Finding]:
        wanted = of(row)
        yield from self._calls(row, wanted, self._day.get(row.pk, NO_METRICS), self._hour.get(row.pk, NO_METRICS))
        seen = self._webhooks.get(row.pk)
        if seen and seen.failed >= ENOUGH_FAILURES and seen.received >= ENOUGH_CALLS:
            rate = 100 * seen.failed / seen.received
            if rate > wanted.webhook_failure_rate:
                said = f"{seen.failed} of {seen.received} webhooks of the last 24 h failed"
                yield _finding(
                    row, "webhook_failures", "too many webhooks fail", rate, wanted.webhook_failure_rate, said
                )
        yield from self._uptime(row, wanted, self._week_up[row.pk], self._day_up[row.pk])

    @staticmethod
    def _calls(row: Integration, wanted: Targets, day: Metrics, hour: Metrics) -> Iterable[Finding]:
        if day.total < ENOUGH_CALLS or not hour.total:
            return
        rate, lately = day.error_rate or 0.0, hour.error_rate or 0.0
        enough = rate * day.total >= 100 * ENOUGH_FAILURES
        if enough and rate > wanted.error_rate and lately > wanted.error_rate:
            said = f"{rate:.1f} % of {day.total} calls of the last 24 h failed, {lately:.1f} % in the last hour"
            yield _finding(row, "error_rate", "too many calls fail", rate, wanted.error_rate, said)
        slow, slowly = day.average_ms or 0.0, hour.average_ms or 0.0
        if wanted.response_ms and slow > wanted.response_ms and slowly > wanted.response_ms:
            said = f"{slow:,.0f} ms on average in the last 24 h, {slowly:,.0f} ms in the last hour"
            yield _finding(row, "response_time", "it answers slowly", slow, wanted.response_ms, said, unit="ms")

    @staticmethod
    def _uptime(row: Integration, wanted: Targets, week: Uptime, day: Uptime) -> Iterable[Finding]:
        if week.percent is None or week.coverage < ENOUGH_COVERAGE or week.percent >= wanted.uptime:
            return
        if day.percent is not None and day.percent < wanted.uptime:
            said = f"It was up {week.percent:.2f} % of the last 7 days, {day.percent:.2f} % of the last 24 h"
            yield _finding(row, "uptime", "it is up too little", week.percent, wanted.uptime, said, least=True)


def _finding(
    row: Integration,
    name: str,
    what: str,
    figure: float,
    target: float,
    said: str,
    *,
    unit: str = "%",
    least: bool = False,
) -> Finding:
    bound = f"{'at least' if least else 'at most'} {target:g} {unit}"
    return Finding(
        key=f"target:{row.slug}:{name}",
        kind=Alarm.Kind.TARGET,
        severity=Alarm.Severity.WARNING,
        about=(row.slug,),
        title=f"{row.name}: {what}",
        text=f"{said}; its target is {bound}.\nWhat to do: look at its errors. A target is changed by `thresholds`.",
    )


# --- Quotas ----------------------------------------------------------------------------------------------------------


def _quota(row: Integration, quota: Quota) -> Finding:
    anew = f" It begins anew {words.moment(quota.resets_at)}." if quota.resets_at else ""
    return Finding(
        key=f"quota:{row.slug}",
        kind=Alarm.Kind.QUOTA,
        severity=Alarm.Severity.WARNING,
        about=(row.slug,),
        title=f"{row.name}: {quota.used_percent:.0f} % of its quota is used",
        text=f"{words.sentence(quota.words)}{anew}\nWhat to do: {words.ADVICE['quota_low']}",
    )
