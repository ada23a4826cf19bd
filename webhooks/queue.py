"""Zoho's retry queue as pages show it: what waits for another try, of each integration, and what gave up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse

from integrations import permissions
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm
from webhooks.feed import Filters
from webhooks.models import Webhook, WebhookLog
from webhooks.services import retry
from webhooks.services.retry import Waiting

VENDOR = "Zoho"


@dataclass(frozen=True, slots=True)
class Line:
    """`receiver` is where its webhooks come in; `may_run`: whether the reader may try now what waits of it."""

    integration: Integration
    waiting: Waiting
    receiver: UUID | None = None
    may_run: bool = False

    @property
    def gave_up(self) -> str:
        """Where to see what gave up: among its failed events or, where forwards alone did, at its receiver."""
        if self.receiver and not self.waiting.exhausted_events:
            return f"{reverse('webhooks:receiver', args=[self.receiver])}?tab=forwards"
        failed = Filters(integration=self.integration.slug, status=WebhookLog.Status.FAILED)
        return f"{reverse('webhooks:feed')}?{failed.query()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`lines` are those of which anything waits or gave up, what is tried next first."""

    lines: tuple[Line, ...]

    @property
    def due(self) -> int:
        return sum(line.waiting.due for line in self.lines)

    @property
    def theirs(self) -> int:
        """How many of those that are due the reader may try now."""
        return sum(line.waiting.due for line in self.lines if line.may_run)

    @property
    def of_others(self) -> str:
        """The names of those of which something is due that the reader may not try."""
        return ", ".join(line.integration.name for line in self.lines if line.waiting.due and not line.may_run)

    @property
    def exhausted(self) -> int:
        return sum(line.waiting.exhausted for line in self.lines)

    @property
    def failed(self) -> int:
        return self.due + self.exhausted

    @property
    def next_at(self) -> datetime | None:
        return min((line.waiting.next_at for line in self.lines if line.waiting.next_at), default=None)


def theirs(user: User | AnonymousUser, perm: Perm) -> QuerySet[Integration]:
    """The vendor's integrations on which `user` holds `perm`."""
    return permissions.visible(user, perm).filter(provider=VENDOR)


def receivers(user: User | AnonymousUser) -> dict[UUID, str]:
    """Those that `user` may read, each with the slug of its integration."""
    rows = Webhook.objects.filter(integration__in=theirs(user, Perm.READ))
    return dict(rows.values_list("pk", "integration__slug"))


def address(user: User) -> str:
    """Where the queue is shown; "" for who may read none of these integrations."""
    return reverse("retry-queue") if theirs(user, Perm.READ).exists() else ""


def read(user: User) -> Queue | None:
    """None for who may read none of these integrations."""
    of_it = Webhook.objects.filter(integration=OuterRef("pk")).values("pk")[:1]
    of_vendor: QuerySet[Any] = theirs(user, Perm.READ).order_by("name")
    of_vendor = of_vendor.annotate(receiver=Subquery(of_it), may_run=permissions.held(user, Perm.CRON_TRIGGER))
    rows = {row.pk: row for row in of_vendor}
    if not rows:
        return None
    waiting = retry.by_integration(list(rows))
    lines = [Line(row, waiting[pk], row.receiver, row.may_run) for pk, row in rows.items() if pk in waiting]
    lines.sort(key=lambda line: (line.waiting.next_at is None, line.waiting.next_at, line.integration.name))
    return Queue(lines=tuple(lines))
