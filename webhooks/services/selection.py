"""Which events a bulk replay is about: a filter or ids, kept as JSON in its batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import QuerySet

from webhooks.models import Webhook, WebhookLog
from webhooks.services import search

Status = WebhookLog.Status

MOST_IDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to replay: `log_ids`, or what the other fields say (`event_types`: any of these). `scope`: the
    receivers whose events may be replayed by whoever asks, None for all. `before`: the moment at which they were
    counted and confirmed; what came later is not among them."""

    scope: tuple[UUID, ...] | None = None
    log_ids: tuple[UUID, ...] | None = None
    webhook: UUID | None = None
    integration: str | None = None
    status: str | None = None
    event_type: str | None = None
    event_types: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: str | None = None
    before: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: _plain(value) for name, value in told.items() if value is not None}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        def ids_of(name: str) -> tuple[UUID, ...] | None:
            return tuple(UUID(item) for item in told[name]) if name in told else None

        def moment(name: str) -> datetime | None:
            return datetime.fromisoformat(told[name]) if name in told else None

        kinds = told.get("event_types")
        return cls(
            event_types=None if kinds is None else tuple(kinds),
            scope=ids_of("scope"),
            log_ids=ids_of("log_ids"),
            webhook=UUID(told["webhook"]) if "webhook" in told else None,
            since=moment("since"),
            until=moment("until"),
            before=moment("before"),
            **{name: told.get(name) for name in ("integration", "status", "event_type", "search")},
        )

    def receivers(self) -> QuerySet[Webhook]:
        rows = Webhook.objects.all() if self.scope is None else Webhook.objects.filter(pk__in=self.scope)
        if self.webhook:
            rows = rows.filter(pk=self.webhook)
        if self.integration:
            rows = rows.filter(integration__slug=self.integration)
        return rows.filter(pk__in=self._named().values("webhook_id")) if self.log_ids is not None else rows

    def _named(self) -> QuerySet[WebhookLog]:
        return WebhookLog.objects.filter(pk__in=self.log_ids or ())

    def rows(self, *, before: datetime) -> QuerySet[WebhookLog]:
        """Verified events that were tried, made before that moment. By a filter no replays and no tests: those were
        not sent by a provider; by id also those, and for a duplicate its original."""
        before = min(before, self.before or before)
        rows: QuerySet[WebhookLog] = WebhookLog.objects.filter(
            verified=True, payload__isnull=False, personal_dropped_at=None, created_at__lt=before
        )
        rows = rows.filter(status__in=[self.status] if self.status else [Status.PROCESSED, Status.FAILED])
        if self.scope is not None or self.webhook or self.integration:
            rows = rows.filter(webhook__in=list(self.receivers().values_list("pk", flat=True)))
        if self.log_ids is not None:
            originals = self._named().exclude(duplicate_of=None).values_list("duplicate_of", flat=True)
            return rows.filter(pk__in={*self.log_ids, *originals})
        rows = rows.filter(replay_of=None, is_test=False)
        if self.event_type:
            rows = rows.filter(event_type=self.event_type)
        if self.event_types is not None:
            rows = rows.filter(event_type__in=self.event_types)
        if self.since:
            rows = rows.filter(created_at__gte=self.since)
        if self.until:
            rows = rows.filter(created_at__lte=self.until)
        if self.search:
            rows = search.matching(rows, self.search, since=self.since, until=self.until, now=before)
        return rows


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
