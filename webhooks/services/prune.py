"""Retention: removing what is older than its webhook keeps, in small transactions, and never what still waits."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, Q, QuerySet

from integrations import progress
from webhooks.models import (
    Forward,
    LaneMinute,
    Refusal,
    RefusalTally,
    ReplayBatch,
    Reverification,
    Webhook,
    WebhookLog,
)
from webhooks.services import figures, quarantine

M = TypeVar("M", bound=Model)

BATCH = 1000
DONE = (WebhookLog.Status.PROCESSED, WebhookLog.Status.DUPLICATE, WebhookLog.Status.FAILED)
LANE_DAYS = 30
"""Minutes older than this are added up into one row."""
REPLAY_DAYS = 90


def run(
    *, now: datetime, dry_run: bool = False, days: int | None = None, budget_seconds: float = 240.0
) -> dict[str, Any]:
    """Remove what has had its time, or with `dry_run` count it. `days` stands in for each webhook's own.

    What is not reached within the budget is left for the next time, and the summary says so.
    """
    ends = time.monotonic() + budget_seconds
    removed: dict[str, int] = {}
    for webhook in Webhook.objects.order_by("webhook_url"):
        kept = timedelta(days=webhook.retention_days if days is None else days)
        old = done(webhook, before=now - kept)
        removed[webhook.webhook_url] = sum(
            _each(old.filter(status=status), dry_run, ends, order=("created_at", "id")) for status in DONE
        )
    expired = now - quarantine.LIFE
    others: dict[str, QuerySet[Any]] = {
        "refused": Refusal.objects.filter(created_at__lt=expired),
        "refused_hours": RefusalTally.objects.filter(hour__lt=expired),
        "reverifications": Reverification.objects.filter(due_at=None, created_at__lt=expired),
        "replays": ReplayBatch.objects.filter(due_at=None, created_at__lt=now - timedelta(days=REPLAY_DAYS)),
    }
    for name, rows in others.items():
        removed[name] = _each(rows, dry_run, ends)
    old_minutes = LaneMinute.objects.filter(minute__lt=now - timedelta(days=LANE_DAYS)).exclude(**figures.EARLIER)
    removed["lane_minutes"] = _each(old_minutes, dry_run, ends, keep=figures.fold)
    return {
        "dry_run": dry_run,
        "removed": {name: number for name, number in removed.items() if number},
        "total": sum(removed.values()),
        "finished": time.monotonic() < ends,
    }


def done(webhook: Webhook, *, before: datetime) -> QuerySet[WebhookLog]:
    """What came before that moment and, if it is one of DONE, is done for good: not to be tried again, and not on its
    way to a service of ours. What was stopped on that way may yet be resumed, as long as there is where to.

    The row that holds the bytes of a delivery stays as long as another of its events still waits.
    """
    over = WebhookLog.objects.filter(webhook=webhook, created_at__lt=before, due_at=None)
    goes_yet = Q(due_at__isnull=False)
    if webhook.forward_url:
        goes_yet |= Q(status=Forward.Status.STOPPED)
    on_the_way = Forward.objects.filter(goes_yet, webhook=webhook).values("log_id")
    waiting = WebhookLog.objects.filter(webhook=webhook).exclude(due_at=None).exclude(part_of=None).values("part_of")
    return over.exclude(pk__in=on_the_way).exclude(pk__in=waiting)


def _each(
    rows: QuerySet[M],
    dry_run: bool,
    ends: float,
    *,
    order: Sequence[str] = ("pk",),
    keep: Callable[[QuerySet[M]], None] | None = None,
) -> int:
    """Remove `rows` a thousand at a time; `keep` writes down what must be kept of each thousand, just before.

    `order` is that of the index which has them: then the last look, that finds none, is as short as the others.
    """
    if dry_run:
        return rows.count()
    removed = 0
    while time.monotonic() < ends:
        pks = list(rows.order_by(*order).values_list("pk", flat=True)[:BATCH])
        if not pks:
            break
        with transaction.atomic():
            if keep:
                keep(rows.filter(pk__in=pks))
            rows.filter(pk__in=pks).delete()  # asked anew: one that waits again meanwhile stays
        removed += len(pks)
        progress.tell(f"{removed:,} {rows.model._meta.verbose_name_plural} removed so far.", removed=removed)
    return removed
