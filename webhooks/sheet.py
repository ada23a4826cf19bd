"""Receivers, deliveries, refusals, forwards and what of them failed, as rows of a table for spreadsheets, without what
was sent."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Length
from django.utils import timezone

from integrations.api.base import utc
from integrations.seek import Listing, Place
from webhooks import receiver, state
from webhooks.models import Attempt, Forward, Refusal, Webhook, WebhookLog
from webhooks.receiver import Line
from webhooks.services import quarantine, search, silence
from webhooks.services.listing import Wanted

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
        for rows in listing.pages(PAGE):
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
    for page in Listing(rows.annotate(size=Length("body"))).pages(PAGE):
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
    for page in Listing(rows.only(*needed)).pages(PAGE):
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


# --- What failed, and waits for another try or gave up ---------------------------------------------------------------

QUEUE_COLUMNS = (
    "kind", "id", "logId", "integration", "eventType", "state", "createdAt", "retryCount", "nextAttemptAt", "url",
    "statusCode", "error",
)  # fmt: skip


def queue(receivers: Mapping[UUID, str]) -> Iterator[list[Sequence[Any]]]:
    """The failed events, then the failed forwards of these receivers (each with its integration's slug), each the
    newest first."""
    if not receivers:
        return
    logs = Wanted(webhooks=list(receivers), status=WebhookLog.Status.FAILED).listing()
    for events in replace(logs, rows=logs.rows.only(*FIELDS)).pages(PAGE):
        yield [_failed_event(log, receivers[log.webhook_id]) for log in events]
    rows = Forward.objects.filter(status=Forward.Status.FAILED).select_related("log")
    needed = rows.only("id", "webhook_id", "log_id", "log__event_type", "url", "status", "status_code",
                       "error_message", "created_at", "due_at", "retry_count")  # fmt: skip
    for passed in Listing(needed, [Q(webhook=pk) for pk in receivers]).pages(PAGE):
        yield [_failed_forward(row, receivers[row.webhook_id]) for row in passed]


def _failed_event(log: WebhookLog, slug: str) -> Sequence[Any]:
    return (
        "event", log.pk, log.pk, slug, log.event_type, _waits(log), utc(log.created_at), log.retry_count,
        utc(log.due_at), None, None, log.error_message,
    )  # fmt: skip


def _failed_forward(row: Forward, slug: str) -> Sequence[Any]:
    return (
        "forward", row.pk, row.log_id, slug, row.log.event_type, _waits(row), utc(row.created_at), row.retry_count,
        utc(row.due_at), receiver.bare(row.url), row.status_code, row.error_message,
    )  # fmt: skip


def _waits(row: WebhookLog | Forward) -> str:
    return "waiting" if row.due_at else "gave up"


# --- Receivers -------------------------------------------------------------------------------------------------------

RECEIVER_COLUMNS = (
    "id", "integrationSlug", "integrationName", "webhookUrl", "isActive", "heldBy", "state", "lastReceivedAt",
    "receivedLast24Hours", "failedLast24Hours", "refusedLast24Hours", "expectedMinutes", "rhythm",
)  # fmt: skip


def receivers(lines: Sequence[Line]) -> list[Sequence[Any]]:
    return [_receiver(line) for line in lines]


def _receiver(line: Line) -> Sequence[Any]:
    webhook, expected = line.webhook, silence.expected(line.webhook)
    return (
        line.pk, webhook.integration.slug, line.integration, webhook.webhook_url, str(webhook.is_active).lower(),
        state.held_by(webhook), line.standing.lower(), utc(line.last), line.received, line.failed, line.refused,
        expected.minutes, expected.words,
    )  # fmt: skip
