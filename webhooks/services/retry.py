"""What of one vendor waits for another try, and trying it now instead of later."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from integrations import activity
from integrations.actor import Actor
from integrations.due import in_hand
from webhooks.models import Forward, WebhookLog
from webhooks.services import backlog, forward

MOST = 100

Work = Callable[[WebhookLog], object]


@dataclass(slots=True)
class Done:
    """How many were tried, and what became of them."""

    processed: int = 0
    succeeded: int = 0
    failed: int = 0


def figures(integrations: Sequence[UUID]) -> dict[str, int]:
    """Failed events and forwards: how many will be tried again, how many gave up. Each kind is counted to 10,000."""
    logs = WebhookLog.objects.filter(webhook__integration__in=integrations, status=WebhookLog.Status.FAILED)
    forwards = Forward.objects.filter(webhook__integration__in=integrations, status=Forward.Status.FAILED)
    due = sum(_capped(rows.exclude(due_at=None)) for rows in (logs, forwards))
    exhausted = sum(_capped(rows.filter(due_at=None)) for rows in (logs, forwards))
    return {"dueForRetry": due, "totalFailed": due + exhausted, "maxRetriesExhausted": exhausted}


@dataclass(slots=True)
class Waiting:
    """What of one integration failed: so many events and forwards wait for another try, the soonest at `next_at`
    (which is past where a worker is about to take it up, or where it is switched off); so many gave up."""

    events: int = 0
    forwards: int = 0
    exhausted_events: int = 0
    exhausted_forwards: int = 0
    next_at: datetime | None = None

    @property
    def due(self) -> int:
        return self.events + self.forwards

    @property
    def exhausted(self) -> int:
        return self.exhausted_events + self.exhausted_forwards


def by_integration(integrations: Sequence[UUID]) -> dict[UUID, Waiting]:
    """Of those that have any: four queries. Each kind is counted to 10,000, the soonest first."""
    found: dict[UUID, Waiting] = defaultdict(Waiting)
    failed: tuple[tuple[str, QuerySet[Any]], ...] = (
        ("events", WebhookLog.objects.filter(status=WebhookLog.Status.FAILED)),
        ("forwards", Forward.objects.filter(status=Forward.Status.FAILED)),
    )
    for kind, of_all in failed:
        rows = of_all.filter(webhook__integration__in=integrations)
        for pk, number, soonest in _grouped(rows.exclude(due_at=None).order_by("due_at")):
            one = found[pk]
            setattr(one, kind, number)
            one.next_at = min(filter(None, [one.next_at, soonest]))
        for pk, number, _ in _grouped(rows.filter(due_at=None).order_by()):
            setattr(found[pk], f"exhausted_{kind}", number)
    return dict(found)


def _grouped(rows: QuerySet[Any]) -> Iterable[tuple[UUID, int, datetime | None]]:
    counted = rows.model.objects.filter(pk__in=rows.values("pk")[: backlog.MOST]).order_by()
    found: QuerySet[Any, tuple[UUID, int, datetime | None]]
    found = counted.values_list("webhook__integration").annotate(Count("pk"), Min("due_at"))
    return found


def _capped(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: backlog.MOST].count()


def run(integrations: Sequence[UUID], *, work: Work, actor: Actor, budget_seconds: float = 20.0) -> Done:
    """Try what waits, at most a hundred, the longest waiting first; begin nothing once the budget is spent.

    What a worker has in its hands right now, or what is switched off, is left alone.
    """
    done, ends = Done(), time.monotonic() + budget_seconds
    _logs(integrations, work, done, ends)
    _forwards(integrations, done, ends - forward.TIMEOUT_SECONDS)
    activity.record(
        actor=actor,
        action="retry_queue_run",
        details={"processed": done.processed, "succeeded": done.succeeded, "failed": done.failed},
    )
    return done


def _logs(integrations: Sequence[UUID], work: Work, done: Done, ends: float) -> None:
    waiting = WebhookLog.objects.runnable().filter(
        webhook__integration__in=integrations, status=WebhookLog.Status.FAILED, due_at__isnull=False
    )
    waiting = waiting.exclude(in_hand(now=timezone.now(), lease=timedelta(seconds=settings.WEBHOOK_LEASE_SECONDS)))
    tried: list[UUID] = []
    for pk, due_at in list(waiting.order_by("due_at").values_list("pk", "due_at")[:MOST]):
        if time.monotonic() >= ends:
            break
        work(WebhookLog(pk=pk, due_at=due_at))
        tried.append(pk)
    failed = WebhookLog.objects.filter(pk__in=tried, status=WebhookLog.Status.FAILED).count()
    done.processed += len(tried)
    done.failed += failed
    done.succeeded += len(tried) - failed


def _forwards(integrations: Sequence[UUID], done: Done, ends: float) -> None:
    """A target that doesn't answer is left alone after the first; where order is kept, only the foremost goes."""
    waiting = Forward.objects.runnable().filter(webhook__integration__in=integrations, due_at__isnull=False)
    failed = (
        waiting.filter(status=Forward.Status.FAILED)
        .exclude(in_hand(now=timezone.now(), lease=forward.LEASE))
        .select_related("webhook")
    )
    summary = forward.Summary()
    for row in list(failed.order_by("due_at")[: MOST - done.processed]):
        if time.monotonic() >= ends:
            break
        ahead = waiting.filter(webhook=row.webhook_id, pk__lt=row.pk)
        if row.webhook_id in summary.unwell or (row.webhook.forward_in_order and ahead.exists()):
            continue
        if forward.send(row, summary):
            done.processed += 1
    done.succeeded += summary.delivered
    done.failed += summary.failed + min(summary.stopped, 1)
