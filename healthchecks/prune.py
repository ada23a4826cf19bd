"""Retention of what checks and calls leave behind, in small transactions, oldest first."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from healthchecks import rollups
from healthchecks.models import CheckResult, DailyRollup, MetricRollup, RolledDay, RolledHour
from integrations import progress
from integrations.models import ApiMetric, Integration

BATCH = 1000
CHECK_DAYS = 180
LEAST_METRIC_DAYS = 2
"""An hour may be rolled up again for a day; its calls must be there then."""
BUDGET_SECONDS = 60.0


def run(*, now: datetime, budget_seconds: float = BUDGET_SECONDS) -> dict[str, int]:
    """Remove what has had its time; how many of what. What the budget doesn't allow is left for the next time.

    Calls go METRICS_RETENTION_DAYS after they were made, but never before their hour is rolled up.
    """
    ends = time.monotonic() + budget_seconds
    removed: Counter[str] = Counter()
    for name, rows, order in _old(now):
        while time.monotonic() < ends and (pks := list(rows.order_by(order).values_list("pk", flat=True)[:BATCH])):
            rows.filter(pk__in=pks).delete()
            removed[name] += len(pks)
            progress.tell(f"{removed.total():,} rows removed so far.", **removed)
    return dict(removed)


def _old(now: datetime) -> Iterator[tuple[str, QuerySet[Any], str]]:
    """Each in the order of an index: of each integration, by time."""
    calls_before, rollups_before = _calls_before(now), now - timedelta(days=rollups.ROLLUP_DAYS)
    days_before = rollups.day_from(rollups_before)  # the day in between has lost some of its hours
    yield "days", RolledDay.objects.filter(day__lt=days_before), "day"  # first: nobody looks for these days then
    for row in Integration.objects.all():
        if calls_before:
            yield "calls", ApiMetric.objects.filter(integration=row, created_at__lt=calls_before), "created_at"
        yield "rollups", MetricRollup.objects.filter(integration=row, hour__lt=rollups_before), "hour"
        yield "rollups", DailyRollup.objects.filter(integration=row, day__lt=days_before), "day"
        checks = CheckResult.objects.filter(integration=row, created_at__lt=now - timedelta(days=CHECK_DAYS))
        yield "checks", checks, "created_at"
    yield "hours", RolledHour.objects.filter(hour__lt=rollups_before), "hour"


def _calls_before(now: datetime) -> datetime | None:
    """Up to where single calls may go; None: nothing is rolled up yet."""
    mark = rollups.mark()
    days = max(LEAST_METRIC_DAYS, settings.METRICS_RETENTION_DAYS)
    return min(rollups.floor(now - timedelta(days=days)), mark + rollups.HOUR) if mark else None
