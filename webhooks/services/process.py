"""Doing something with what was stored: claim, confirm if need be, handle, finish.

The row is the truth. A worker that dies leaves a row that falls due again when its lease is over; a handler is called
again only if it did not finish. What a handler wants written it *returns*, and that runs in the very transaction which
marks the event processed.
"""

import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from integrations import seek
from integrations.models import Integration
from integrations.providers.spec import ProviderError
from webhooks import privacy
from webhooks.models import Attempt, Webhook, WebhookLog
from webhooks.services import forward, standing
from webhooks.services.receive import storable

Status = WebhookLog.Status

BATCH = 200
CONFIRM_SECONDS = 15.0
CONFIRM_PER_MINUTE = 120
"""Questions to providers about deliveries without proof, from all workers together."""
ASK_SECONDS = 15.0
ASK_PER_HOUR = 1800
"""Events whose handlers ask their provider, of each integration, from all workers together: 43,200 a day, so that of
the 50,000 calls that Desk allows some are left for others."""
PAUSE_SECONDS = 60
"""How long a provider that didn't answer is left alone."""
DENIED_KEPT = 500
"""Deliveries that the provider denied, for each webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a handler gets: the event, not the row. `payload` is the provider's own words."""

    log_id: UUID
    integration: Integration
    type: str | None
    payload: Any
    body: bytes
    key: str | None
    is_test: bool
    replay_of: UUID | None
    received_at: datetime


Effect = Callable[[], object]
Handler = Callable[[Event], Effect | None]
"""Looks (and may call out), then returns what to write, or None. Raises ProviderError: to be tried again, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The provider vouches for a delivery. `key` makes it the same event when it comes again, by its own record."""

    words: str
    key: str | None


Confirmer = Callable[[Event], Confirmation]
"""Asks the provider whether a delivery is genuine. Raises ProviderError when it says no, or nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """Who does what, handed in by `config`: handlers by (slug, event type or "*"), confirmers by slug.

    `asking`: slugs whose handlers ask their provider, which takes time.
    """

    handlers: Mapping[tuple[str, str], Handler] = field(default_factory=dict)
    confirmers: Mapping[str, Confirmer] = field(default_factory=dict)
    asking: frozenset[str] = frozenset()

    def handler(self, event: Event) -> Handler | None:
        slug = event.integration.slug
        return self.handlers.get((slug, event.type or "")) or self.handlers.get((slug, "*"))

    def handles(self, slug: str, kind: str | None) -> bool:
        return (slug, kind or "") in self.handlers or (slug, "*") in self.handlers


@dataclass(slots=True)
class Summary:
    """How many events were processed, failed (to be tried again or not), and turned out to be duplicates.

    `unanswered`: of those that failed, where whoever was asked said nothing. `planned`: to be
    forwarded. `heard_from` are the slugs of those processed; `next_due_at` is when the first of those that failed is
    tried again.
    """

    processed: int = 0
    failed: int = 0
    duplicates: int = 0
    unanswered: int = 0
    planned: int = 0
    heard_from: set[str] = field(default_factory=set)
    next_due_at: datetime | None = None

    def as_dict(self) -> dict[str, int]:
        return {"processed": self.processed, "failed": self.failed, "duplicates": self.duplicates}


def drain(table: Table, *, budget_seconds: float = 45.0) -> Summary:
    """Process every due event, the longest waiting first, until none is left or the budget is spent.

    Events that nobody handles are finished by the hundred. Those about which a provider is asked come after all
    others, each integration with a share of its own; what only the provider can vouch for comes last: strangers can
    send it.
    """
    summary, ends = Summary(), time.monotonic() + budget_seconds
    while time.monotonic() < ends:
        seen = _due(_receivers(but=table.asking), timezone.now(), verified=True, most=BATCH)
        if not seen:
            break
        _record([pk for pk, _, slug, kind in seen if not table.handles(slug, kind)], summary)
        for pk, due_at, slug, kind in seen:
            if table.handles(slug, kind) and time.monotonic() < ends:
                run(WebhookLog(pk=pk, due_at=due_at), table, summary)
    for slug in sorted(table.asking):
        _ask(slug, table, summary, ends=min(ends, time.monotonic() + ASK_SECONDS))
    _confirm(table, summary, ends=min(ends, time.monotonic() + CONFIRM_SECONDS))
    return summary


def _due(
    receivers: Mapping[UUID, str], now: datetime, *, verified: bool, most: int
) -> list[tuple[UUID, datetime, str, str | None]]:
    """Id, `due_at`, slug and event type of those that may run, the longest waiting first.

    Each receiver has its stretch of an index, and these are merged: neither what waits behind nor what others hold is
    looked at, however much that is. The id settles ties: the events of one delivery run in their order.
    """
    rows = WebhookLog.objects.filter(due_at__lte=now, verified=verified)
    due = [rows.filter(webhook=pk).values_list("due_at", "id", "webhook_id", "event_type") for pk in receivers]
    found = seek.merged(due, "due_at", "id", stop=most) if due else []
    return [(pk, due_at, receivers[webhook], kind) for due_at, pk, webhook, kind in found]


def _receivers(*, only: Collection[str] | None = None, but: Collection[str] = ()) -> dict[UUID, str]:
    """Those that are switched on, and their slugs."""
    rows = Webhook.objects.filter(is_active=True, integration__is_active=True).exclude(integration__slug__in=but)
    if only is not None:
        rows = rows.filter(integration__slug__in=only)
    return dict(rows.values_list("pk", "integration__slug"))


def _record(pks: Sequence[UUID], summary: Summary) -> None:
    """Finish events that have no handler: claimed and done in one transaction, nothing can go wrong in between."""
    if not pks:
        return
    somebodys = WebhookLog.objects.runnable().filter(pk__in=pks, mandate__isnull=False, due_at__lte=timezone.now())
    _turn_away(list(somebodys.select_related("webhook__integration").defer("payload", "body")), summary)
    with transaction.atomic():
        mine = WebhookLog.objects.filter(pk__in=pks, due_at__lte=(now := timezone.now())).runnable()
        if connection.features.has_select_for_update_skip_locked:
            mine = mine.select_for_update(skip_locked=True, of=("self",))
        taken = dict(mine.values_list("pk", "webhook__integration__slug"))
        WebhookLog.objects.filter(pk__in=list(taken)).update(
            status=Status.PROCESSED, due_at=None, started_at=now, processed_at=now, processing_time_ms=0,
            retry_count=F("attempts"), attempts=F("attempts") + 1, error_message="", traceback="",
        )  # fmt: skip
        planned = forward.plan(taken, now=now)
    summary.processed += len(taken)
    summary.planned += planned
    summary.heard_from.update(taken.values())


def _turn_away(rows: Sequence[WebhookLog], summary: Summary) -> int:
    """Stop those that are a replay or a test of somebody who may no longer; returns how many those were."""
    lost = standing.lost(rows)
    stopped = sum(standing.stop(row, lost[row.pk], now=timezone.now()) for row in rows if row.pk in lost)
    summary.failed += stopped
    return stopped


def _ask(slug: str, table: Table, summary: Summary, *, ends: float) -> None:
    """Work on the events of an integration whose handlers ask its provider: so many an hour, and once it doesn't
    answer no more for a while."""
    while time.monotonic() < ends and not _is_away(slug):
        seen = _due(_receivers(only=(slug,)), timezone.now(), verified=True, most=BATCH)
        if not seen:
            return
        _record([pk for pk, _, _, kind in seen if not table.handles(slug, kind)], summary)
        for pk, due_at in [(pk, due_at) for pk, due_at, _, kind in seen if table.handles(slug, kind)]:
            if time.monotonic() >= ends or not _may_ask(slug, ASK_PER_HOUR, 3600):
                return
            unanswered = summary.unanswered
            run(WebhookLog(pk=pk, due_at=due_at), table, summary)
            if summary.unanswered > unanswered:
                _leave_alone(slug)
                return


def _confirm(table: Table, summary: Summary, *, ends: float) -> None:
    """Ask providers about deliveries that carry no proof: so many a minute, and no more once one doesn't answer."""
    for pk, due_at, _, _ in _due(_receivers(), timezone.now(), verified=False, most=CONFIRM_PER_MINUTE):
        if time.monotonic() >= ends or not _may_ask("", CONFIRM_PER_MINUTE, 60):
            return
        unanswered = summary.unanswered
        run(WebhookLog(pk=pk, due_at=due_at), table, summary)
        if summary.unanswered > unanswered:
            return


def _may_ask(whom: str, most: int, seconds: int) -> bool:
    """Count one question; False when those of this stretch of time are spent. Without a cache nobody is held up."""
    name = f"webhooks:asked:{whom}:{int(time.time() // seconds)}"
    try:
        cache.add(name, 0, timeout=2 * seconds)
        return cache.incr(name) <= most
    except Exception:  # noqa: BLE001 - whatever the cache's client raises
        return True


def _leave_alone(slug: str) -> None:
    with suppress(Exception):  # whatever the cache's client raises
        cache.set(f"webhooks:away:{slug}", True, timeout=PAUSE_SECONDS)


def _is_away(slug: str) -> bool:
    try:
        return bool(cache.get(f"webhooks:away:{slug}"))
    except Exception:  # noqa: BLE001 - likewise
        return False


def next_due(now: datetime) -> datetime | None:
    """When the next event falls due that nobody has been told of: one that a killed worker held, say."""
    waiting = [WebhookLog.objects.filter(webhook=pk, due_at__gt=now).values_list("due_at") for pk in _receivers()]
    return min((at for (at,) in seek.merged(waiting, "due_at", stop=1)), default=None) if waiting else None


def run(seen: WebhookLog, table: Table, summary: Summary | None = None) -> bool:
    """Claim the event that `seen` (its id and the `due_at` it was seen with) stands for, and work on it once.

    False when somebody else has it.
    """
    summary = summary or Summary()
    mine = WebhookLog.objects.filter(pk=seen.pk, due_at=seen.due_at).runnable()
    log = mine.select_related("webhook__integration").first()
    now = timezone.now()
    if log is None or not WebhookLog.objects.claim(
        log, now=now, lease=timedelta(seconds=settings.WEBHOOK_LEASE_SECONDS)
    ):
        return False
    if log.attempts > len(settings.WEBHOOK_RETRY_WAITS) + 1:
        died = ProviderError(f"A worker died while processing it, {log.attempts - 1} times.", permanent=True)
        _failed(log, died, "", summary)
        return True
    if _turn_away([log], summary):
        return True
    started = time.monotonic()
    try:
        _work(log, table, started, summary)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is the event's failure, not the worker's
        _failed(log, error, traceback.format_exc(), summary, _ms(started))
    return True


def _work(log: WebhookLog, table: Table, started: float, summary: Summary) -> None:
    event = _event(log)
    changes: dict[str, Any] = {}
    if not log.verified:
        changes = _confirmed(log, table.confirmers[event.integration.slug](event))
    handler = table.handler(event)
    effect = handler(event) if handler else None
    try:
        with transaction.atomic():
            if _finish(log, _ms(started), **changes):
                if handler:
                    _attempt(log, duration_ms=_ms(started))
                if effect:
                    effect()
                summary.planned += forward.plan([log.pk], now=timezone.now())
                summary.processed += 1
                summary.heard_from.add(event.integration.slug)
    except IntegrityError:
        if not changes.get("claims_key") or not _is_duplicate(log, changes["idempotency_key"]):
            raise
        summary.duplicates += 1


def _finish(log: WebhookLog, elapsed_ms: int, **changes: Any) -> bool:
    return WebhookLog.objects.finish(
        log,
        status=Status.PROCESSED,
        due_at=None,
        processed_at=timezone.now(),
        processing_time_ms=elapsed_ms,
        error_message="",
        traceback="",
        **changes,
    )


def _confirmed(log: WebhookLog, confirmation: Confirmation) -> dict[str, Any]:
    changes: dict[str, Any] = {"verified": True, "verification": confirmation.words[:200]}
    if confirmation.key:
        changes |= {"idempotency_key": confirmation.key, "claims_key": True}
    return changes


def _is_duplicate(log: WebhookLog, key: str) -> bool:
    """A confirmed delivery found its key taken: an earlier one said the same, and this row becomes its duplicate."""
    claimed = WebhookLog.objects.filter(webhook_id=log.webhook_id, idempotency_key=key, claims_key=True)
    first_id = claimed.values_list("pk", flat=True).first()
    return first_id is not None and WebhookLog.objects.finish(
        log,
        status=Status.DUPLICATE,
        due_at=None,
        verified=True,
        idempotency_key=key,
        duplicate_of=first_id,
        processed_at=timezone.now(),
    )


def _failed(log: WebhookLog, error: Exception, trace: str, summary: Summary, elapsed_ms: int | None = None) -> None:
    """Say at once that it failed, and when it will be tried again: never, if permanent or if tries are spent."""
    waits = settings.WEBHOOK_RETRY_WAITS
    permanent = isinstance(error, ProviderError) and error.permanent
    spent = permanent or log.attempts > len(waits)
    again = None if spent else timezone.now() + timedelta(seconds=waits[log.attempts - 1])
    denied = permanent and not log.verified
    told = partial(privacy.struck, payload=log.payload, paths=privacy.personal(log.webhook.integration.spec))
    words = told(storable(error.words if isinstance(error, ProviderError) else f"{type(error).__name__}: {error}"))
    with transaction.atomic():
        if WebhookLog.objects.finish(
            log,
            status=Status.FAILED,
            due_at=again,
            error_message=words[:2000],
            traceback=told(storable(trace))[-8000:],
            processing_time_ms=elapsed_ms,
            denied=denied,
        ):
            _attempt(log, duration_ms=elapsed_ms, error=words[:2000])
            summary.failed += 1
            summary.unanswered += _is_silence(error)
            if again:
                summary.next_due_at = min(summary.next_due_at or again, again)
            if denied:
                _forget_denied(log)


def _is_silence(error: Exception) -> bool:
    """Whether whoever was asked says nothing to anybody just now: it is away, throttles, or our token is no good. That
    it doesn't let us see one thing says nothing of the next.
    """
    if not isinstance(error, ProviderError) or error.permanent:
        return False
    return error.status is None or error.status >= 500 or error.status in (401, 408, 425, 429)


def _forget_denied(log: WebhookLog) -> None:
    """Anybody can post what only the provider can vouch for: of what it denied the newest are kept, and no more."""
    denied = WebhookLog.objects.filter(webhook_id=log.webhook_id, denied=True)
    oldest_kept = denied.order_by("-created_at").values_list("created_at", flat=True)[DENIED_KEPT - 1 : DENIED_KEPT]
    if oldest_kept:
        denied.filter(created_at__lt=oldest_kept[0]).delete()


def _attempt(log: WebhookLog, *, duration_ms: int | None, error: str = "") -> None:
    Attempt.objects.create(
        log_id=log.pk, target="handler", at=log.started_at or timezone.now(), duration_ms=duration_ms, error=error
    )


def _event(log: WebhookLog) -> Event:
    return Event(
        log_id=log.pk,
        integration=log.webhook.integration,
        type=log.event_type,
        payload=log.payload,
        body=log.raw_body(),
        key=log.idempotency_key,
        is_test=log.is_test,
        replay_of=log.replay_of,
        received_at=log.created_at,
    )


def _ms(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
