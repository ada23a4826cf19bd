"""Deliveries, refusals and forwards as rows of a table for spreadsheets, without what was sent."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model
from django.db.models.functions import Length
from django.utils import timezone

from integrations.api.base import utc
from integrations.seek import Listing, Place
from webhooks import receiver
from webhooks.models import Attempt, Forward, Refusal, Webhook, WebhookLog
from webhooks.services import quarantine, search
from webhooks.services.listing import Wanted

M = TypeVar("M", bound=Model)

PAGE = 1000

# --- Deliveries ------------------------------------------------------------------------------------------------------

COLUMNS = (
    "id", "receivedAt", "integration", "webhook", "eventType", "status", "retryCount", "processingTimeMs",
    "processedAt", "nextAttemptAt", "idempotencyKey", "isTest", "replayOf", "duplicateOf", "errorMessage",
)  # fmt: skip
FIELDS = (
    "webhook_id", "created_at", "event_type", "status", "retry_count", "processing_time_ms", "processed_at", "due_at",
    "idempotency_key", "is_test", "replay_of", "duplicate_of", "error_message",
)  # fmt: skip


def pages(wanted: Wanted, text: str = "") -> Iterator[list[Sequence[Any]]]:
    """All of it, however far the text has to be looked for."""
    receivers = {
        pk: (slug, url) for pk, slug, url in Webhook.objects.values_list("pk", "integration__slug", "webhook_url")
    }
    below: Place | None = None
    while True:
        if text:
            found = search.look(wanted, text, now=timezone.now(), below=below)
        else:
            found = search.Found(wanted.listing())
        listing = replace(found.listing, rows=found.listing.rows.only(*FIELDS))
        for rows in _by_page(listing):
            yield [_cells(log, *receivers[log.webhook_id]) for log in rows]
        below = found.looked_to
        if below is None:
            return


def _cells(log: WebhookLog, slug: str, url: str) -> Sequence[Any]:
    return (
        log.pk, utc(log.created_at), slug, url, log.event_type, log.status, log.retry_count, log.processing_time_ms,
        utc(log.processed_at), utc(log.next_attempt_at), log.idempotency_key, str(log.is_test).lower(), log.replay_of,
        log.duplicate_of, log.error_message,
    )  # fmt: skip


# --- What a receiver refused -----------------------------------------------------------------------------------------

REFUSAL_COLUMNS = (
    "id", "refusedAt", "reason", "detail", "sizeBytes", "truncated", "releasedAt", "logId", "ipAddress", "userAgent",
)  # fmt: skip


def refusals(webhook: Webhook, *, opens: bool, now: datetime) -> Iterator[list[Sequence[Any]]]:
    """All that are kept. `opens`: its reader may also see from whom they came."""
    rows = Refusal.objects.filter(webhook=webhook, created_at__gt=now - quarantine.LIFE).defer("body", "sealed")
    for page in _by_page(Listing(rows.annotate(size=Length("body")))):
        yield [_refusal(row, opens) for row in page]


def _refusal(row: Any, opens: bool) -> Sequence[Any]:
    return (
        row.pk, utc(row.created_at), row.reason, row.detail, row.size, str(row.truncated).lower(),
        utc(row.released_at), row.log_id, row.ip_address if opens else "", row.user_agent if opens else "",
    )  # fmt: skip


# --- What it passed on -----------------------------------------------------------------------------------------------

FORWARD_COLUMNS = (
    "id", "logId", "eventType", "url", "status", "createdAt", "nextAttemptAt", "deliveredAt", "attempt", "attemptedAt",
    "durationMs", "statusCode", "error",
)  # fmt: skip


def forwards(webhook: Webhook) -> Iterator[list[Sequence[Any]]]:
    """Each with its tries, the newest forward and the oldest try first; one that was not tried yet has a row too."""
    rows = Forward.objects.filter(webhook=webhook).select_related("log")
    needed = ("id", "log_id", "log__event_type", "url", "status", "created_at", "due_at", "done_at")
    for page in _by_page(Listing(rows.only(*needed))):
        tries: dict[UUID, list[Attempt]] = defaultdict(list)
        made = Attempt.objects.filter(log__in=[row.log_id for row in page]).exclude(target="handler")
        for attempt in made.defer("answer").order_by("at"):
            tries[attempt.log_id].append(attempt)
        yield [cells for row in page for cells in _forward(row, tries[row.log_id])]


def _forward(row: Forward, tries: Sequence[Attempt]) -> Iterator[Sequence[Any]]:
    delivered = utc(row.done_at) if row.status == Forward.Status.DELIVERED else None
    told = (
        row.pk, row.log_id, row.log.event_type, receiver.bare(row.url), row.status, utc(row.created_at),
        utc(row.due_at), delivered,
    )  # fmt: skip
    for number, one in enumerate(tries, 1):
        yield (*told, number, utc(one.at), one.duration_ms, one.status_code, one.error)
    if not tries:
        yield (*told, 0, None, None, None, None)


def _by_page(listing: Listing[M]) -> Iterator[list[M]]:
    places = listing.places(0, PAGE)
    while places:
        yield listing.fetch(places)
        places = listing.older(places[-1]).places(0, PAGE) if len(places) == PAGE else []
