"""Lists of deliveries: which parts of the table answer a question in order, so that no list costs more the more there
is. The parts follow the indexes: (receiver, status, time) and (event type, status, time)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Q, QuerySet

from integrations import permissions, seek
from integrations.accounts.models import User
from integrations.permissions import Perm
from integrations.seek import Listing
from webhooks.models import Webhook, WebhookLog

Status = WebhookLog.Status

MOST_KINDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to list: None and "" ask for all. `webhooks` are the receivers it may be of, `event_types` any of these."""

    webhooks: Collection[UUID] | None = None
    event_types: Sequence[str] | None = None
    status: str = ""
    is_test: bool | None = None
    since: datetime | None = None
    until: datetime | None = None

    def rows(self) -> QuerySet[WebhookLog]:
        return self._rows(**self._ranges(), **self._columns())

    def listing(self) -> Listing[WebhookLog]:
        """The same in order. By parts, unless the rows asked for are most of the table, or few enough for an index of
        their own: then one look is best."""
        columns, statuses = self._columns(), [self.status] if self.status else Status.values
        if self.is_test:
            return Listing(self.rows())
        if self.event_types:
            first = [Q(event_type=kind) for kind in self.event_types]
            columns["event_type__in"] = None
        elif self.webhooks:
            first = [Q(webhook=pk) for pk in self.webhooks]
            columns["webhook__in"] = None
        elif self.status:
            first = [Q(webhook=pk) for pk in Webhook.objects.values_list("pk", flat=True)]
        else:
            return Listing(self.rows())
        parts = [part & Q(status=status) for part in first for status in statuses]
        if len(parts) > seek.MOST_PARTS:
            return Listing(self.rows())
        columns["status"] = None
        return Listing(self._rows(**self._ranges(), **columns), parts)

    def _columns(self) -> dict[str, Any]:
        return {
            "webhook__in": self.webhooks, "event_type__in": self.event_types, "status": self.status or None,
        }  # fmt: skip

    def _ranges(self) -> dict[str, Any]:
        return {"is_test": self.is_test, "created_at__gte": self.since, "created_at__lte": self.until}

    @staticmethod
    def _rows(**columns: Any) -> QuerySet[WebhookLog]:
        return WebhookLog.objects.filter(**{name: value for name, value in columns.items() if value is not None})


def readable(user: User | AnonymousUser, slug: str = "") -> list[UUID] | None:
    """The receivers whose deliveries `user` may read, or those of one integration among them; None: all there are."""
    if not slug and permissions.may(user, Perm.READ):
        return None
    rows = permissions.readable(user, Webhook.objects.all())
    return list((rows.filter(integration__slug=slug) if slug else rows).values_list("pk", flat=True))


def kinds(containing: str) -> list[str]:
    """The event types that ever came and hold this text, whatever its case. One look into the index for each type."""
    table = connection.ops.quote_name(WebhookLog._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH RECURSIVE kinds(kind) AS (
                SELECT min(event_type) FROM {table}
                UNION ALL
                SELECT (SELECT min(event_type) FROM {table} WHERE event_type > kind) FROM kinds WHERE kind IS NOT NULL
            ) SELECT kind FROM kinds WHERE kind IS NOT NULL LIMIT {MOST_KINDS}"""  # noqa: S608 - made of our constants
        )
        return [kind for (kind,) in cursor.fetchall() if containing.casefold() in kind.casefold()]
