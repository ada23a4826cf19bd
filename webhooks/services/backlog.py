"""What waits: for a worker, for another try, for its webhook to be switched on, for the provider, for a target.

Nothing is counted further than to `MOST`: what a page shows must not cost more the worse things are.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from integrations import seek
from webhooks.models import Forward, Webhook, WebhookLog

MOST = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """What a worker could take now: how many, and since when the longest of them."""

    number: int
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Events, and forwards of events. `held`: their webhook or integration is switched off; `retrying`: failed, and
    their next try is to come; `pending_since`: when the oldest event came that was never tried."""

    due: Due
    retrying: int
    held: int
    pending_since: datetime | None
    forwards: Due


def read(*, now: datetime) -> Backlog:
    off = Q(webhook__is_active=False) | Q(webhook__integration__is_active=False)
    failed = WebhookLog.objects.runnable().filter(status=WebhookLog.Status.FAILED)
    return Backlog(
        due=due(now=now),
        retrying=_count(failed.filter(due_at__gt=now)),
        held=_count(WebhookLog.objects.filter(off, due_at__isnull=False)),
        pending_since=_oldest_pending(),
        forwards=_due(Forward.objects.filter(due_at__lte=now), _on().filter(forward_stopped_at=None)),
    )


def due(*, now: datetime) -> Due:
    return _due(WebhookLog.objects.filter(due_at__lte=now), _on())


def waiting_at(receivers: QuerySet[Webhook]) -> int:
    """How many events wait at these: when what held them is switched on, they run."""
    return _count(WebhookLog.objects.filter(webhook__in=receivers, due_at__isnull=False))


def _on() -> QuerySet[Webhook]:
    return Webhook.objects.filter(is_active=True, integration__is_active=True)


def _due(rows: QuerySet[Any], webhooks: QuerySet[Webhook]) -> Due:
    """Receiver by receiver, as the index has them: what waits behind the first is counted and not sorted."""
    first = rows.filter(webhook=OuterRef("pk")).order_by("due_at").values("due_at")[:1]
    since = {pk: at for pk, at in webhooks.order_by().values_list("pk", Subquery(first)) if at is not None}
    if not since:
        return Due(0, None)
    number = seek.union([rows.filter(webhook=pk).values_list("pk") for pk in since])[:MOST].count()
    return Due(number, min(since.values()))


def _count(rows: QuerySet[Any]) -> int:
    return rows[:MOST].count()


def _oldest_pending() -> datetime | None:
    """One look into the index for each webhook."""
    pending = WebhookLog.objects.filter(webhook=OuterRef("pk"), status=WebhookLog.Status.PENDING)
    oldest = Subquery(pending.order_by("created_at", "id").values("created_at")[:1])
    return min(
        (at for at in Webhook.objects.values_list(oldest, flat=True).order_by() if at is not None), default=None
    )
