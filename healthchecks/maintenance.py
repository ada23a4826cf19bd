"""Planned work: declared before, or while it goes on; ended early, or taken back before it begins."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext as _

from healthchecks.models import Maintenance
from integrations import activity
from integrations.actor import Actor
from integrations.models import Integration

LONGEST = timedelta(days=14)
"""Longer than that nobody means it: alerts would be silent and forgotten."""


class Invalid(ValueError):
    """It can't be declared like that. `field` is the one to change."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


@transaction.atomic
def declare(
    *,
    integration: Integration | None,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Maintenance:
    """Plan work on one integration, or on all. It may have begun already, by an hour at most: history isn't rewritten.

    Raises Invalid.
    """
    judge(starts_at=starts_at, ends_at=ends_at, now=now)
    row = Maintenance.objects.create(
        integration=integration, starts_at=starts_at, ends_at=ends_at, reason=reason, username=actor.username
    )
    details = {"id": str(row.pk), "starts_at": starts_at, "ends_at": ends_at, "reason": reason}
    activity.record(actor=actor, action="maintenance_declared", integration=integration, details=details)
    return row


def judge(*, starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    """Whether work may be planned for then. Raises Invalid."""
    if ends_at <= starts_at:
        raise Invalid("endsAt", _("It ends before it starts."))
    if ends_at <= now:
        raise Invalid("endsAt", _("It would be over already."))
    if starts_at < now - timedelta(hours=1):
        raise Invalid("startsAt", _("Work is declared before it begins, or within its first hour."))
    if ends_at - starts_at > LONGEST:
        raise Invalid("endsAt", _("Work lasts {n} days at most.").format(n=LONGEST.days))


@transaction.atomic
def end(row: Maintenance, *, actor: Actor, now: datetime) -> None:
    """It is over now; one that hasn't begun is taken back. What is over already stays as it was."""
    current = Maintenance.objects.select_for_update(of=("self",)).filter(pk=row.pk, ends_at__gt=now).first()
    if current is None:
        return
    begun = current.starts_at < now
    details = {"id": str(current.pk), "begun": begun, "planned_end": current.ends_at}
    if begun:
        current.ends_at = now
        current.save(update_fields=["ends_at", "updated_at"])
    else:
        current.delete()
    activity.record(actor=actor, action="maintenance_ended", integration=row.integration, details=details)


def until(now: datetime) -> Subquery:
    """When the work that goes on ends, to annotate a query of integrations with; NULL where there is none."""
    own_or_all = Q(integration=None) | Q(integration=OuterRef("pk"))
    rows = Maintenance.objects.under_way(now).filter(own_or_all)
    return Subquery(rows.order_by("-ends_at").values("ends_at")[:1])
