"""Everything that waits is a row with `due_at`, claimed by a conditional UPDATE.

A claim moves `due_at` forward by a lease. Who finishes must still hold the very `due_at` it set: a worker that was
killed simply lets the lease run out and the row falls due again; one that was merely slow finds that its claim is gone
and leaves the row alone. No lock is held while work is done, and a lost Celery message costs a minute, never an event.
"""

from datetime import datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from django.db import models
from django.db.models import F, Q

M = TypeVar("M", bound="Due")


def in_hand(*, now: datetime, lease: timedelta) -> Q:
    """Rows that were claimed for `lease`, and the claim still holds: then `due_at` is when it ends."""
    return Q(started_at__isnull=False, due_at=F("started_at") + lease, due_at__gt=now)


class DueQuerySet(models.QuerySet[M], Generic[M]):
    def due(self, now: datetime) -> Self:
        """Rows whose time has come, the longest waiting first."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def claim(self, row: M, *, now: datetime, lease: timedelta) -> bool:
        """Take `row` for `lease`. True for exactly one caller; counts the attempt before the work is done."""
        until = now + lease
        won = self.filter(pk=row.pk, due_at=row.due_at).update(
            due_at=until, started_at=now, retry_count=F("attempts"), attempts=F("attempts") + 1
        )
        if won:
            row.due_at, row.started_at, row.retry_count, row.attempts = until, now, row.attempts, row.attempts + 1
        return bool(won)

    def finish(self, row: M, **changes: Any) -> bool:
        """Write `changes` if `row`'s claim still holds. False: the lease ran out and somebody else has it now."""
        return bool(self.filter(pk=row.pk, due_at=row.due_at).update(**changes))


class Due(models.Model):
    """A row that waits for its time. `attempts` counts claims, `retry_count` those after the first."""

    due_at = models.DateTimeField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    retry_count = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        abstract = True
