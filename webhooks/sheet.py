"""Deliveries as rows of a table for spreadsheets, without payloads."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.utils import timezone

from integrations.api.base import utc
from integrations.seek import Place
from webhooks.models import Webhook, WebhookLog
from webhooks.services import search
from webhooks.services.listing import Wanted

PAGE = 1000
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
        places = listing.places(0, PAGE)
        while places:
            yield [_cells(log, *receivers[log.webhook_id]) for log in listing.fetch(places)]
            places = listing.older(places[-1]).places(0, PAGE) if len(places) == PAGE else []
        below = found.looked_to
        if below is None:
            return


def _cells(log: WebhookLog, slug: str, url: str) -> Sequence[Any]:
    return (
        log.pk, utc(log.created_at), slug, url, log.event_type, log.status, log.retry_count, log.processing_time_ms,
        utc(log.processed_at), utc(log.next_attempt_at), log.idempotency_key, str(log.is_test).lower(), log.replay_of,
        log.duplicate_of, log.error_message,
    )  # fmt: skip
