"""Passing events on to services of ours, signed as Standard Webhooks (standardwebhooks.com), at least once.

A forward is a row of its own: an event that was processed stays processed while its target is away. A row is claimed,
sent, and finished by compare-and-swap; a worker that dies between the target's answer and our commit leaves a row that
falls due again, and the target knows it by its `webhook-id`. A target that hangs holds up nobody else: only so many of
its forwards are under way at once, and once it has failed to answer the others wait for a minute.
"""

import logging
import random
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, credentials, http, mandate
from integrations.actor import SYSTEM, Actor
from integrations.due import in_hand
from integrations.permissions import Perm
from integrations.providers import payloads
from integrations.providers.signatures.standard import signature
from integrations.providers.spec import Answer, ProviderError
from webhooks import privacy
from webhooks.models import Attempt, Forward, Webhook, WebhookLog
from webhooks.services.receive import storable

log = logging.getLogger(__name__)

DEFAULT_SECRET_ENV = "WEBHOOK_FORWARD_SECRET"  # noqa: S105 - a name
THREADS = 8
AT_ONCE = 2
"""Forwards under way to one target."""
TIMEOUT_SECONDS = 10.0
LEASE = timedelta(seconds=40)
PAUSE = timedelta(seconds=60)
"""How long the others wait once a target has failed to answer."""
LONGEST_RETRY_AFTER = 3600
ANSWER_KEPT = 1024
DROPPED = "What is personal in it was dropped: half an event is not passed on."

Status = Forward.Status


class NotAnswered(ProviderError):
    """The target could not be reached, or not in time: its other forwards need not find that out one by one."""


@dataclass(slots=True)
class Summary:
    """`next_due_at`: when the first of those that failed is tried again. `unwell`: the targets that did not answer;
    `broken`: those where we could not write down what became of a try."""

    delivered: int = 0
    failed: int = 0
    stopped: int = 0
    next_due_at: datetime | None = None
    unwell: set[UUID] = field(default_factory=set)
    broken: set[UUID] = field(default_factory=set)

    def as_dict(self) -> dict[str, int]:
        return {"forwarded": self.delivered, "forwards_failed": self.failed, "forwards_stopped": self.stopped}


# --- Planning --------------------------------------------------------------------------------------------------------


def plan(log_ids: Iterable[UUID], *, now: datetime) -> int:
    """Make a forward, due now, for each of these events that is to have one; in the caller's transaction.

    Repeatable: an event has one forward in its life. Returns how many were wanted.
    """
    logs = WebhookLog.objects.filter(pk__in=list(log_ids), forwards=True, webhook__forward_stopped_at=None)
    wanted = [
        Forward(log=log, webhook=log.webhook, url=log.webhook.forward_url, due_at=now, created_at=now)
        for log in logs.exclude(webhook__forward_url="").select_related("webhook").order_by("id")
        if not log.webhook.forward_event_types or log.event_type in log.webhook.forward_event_types
    ]
    Forward.objects.bulk_create(wanted, ignore_conflicts=True)
    return len(wanted)


# --- Sending what is due ---------------------------------------------------------------------------------------------


def run_due(*, budget_seconds: float = 45.0) -> Summary:
    """Send every forward that is due, those of all targets side by side, until none is left or time is up.

    What breaks with us costs no other target its turn: what else is due there is left for the next round.
    """
    summary, ends = Summary(), time.monotonic() + budget_seconds
    queues: dict[UUID, deque[Forward]] = {}
    busy: Counter[UUID] = Counter()
    flying: dict[Future[None], UUID] = {}
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="webhook-forward") as threads:
        while True:
            while len(flying) < THREADS and time.monotonic() < ends:
                row = _next(queues, busy, summary)
                if row is None:
                    break
                busy[row.webhook_id] += 1
                flying[threads.submit(copy_context().run, _send_in_thread, row, summary)] = row.webhook_id
            if not flying:
                break
            for done in wait(flying, return_when=FIRST_COMPLETED).done:
                webhook_id = flying.pop(done)
                busy[webhook_id] -= 1
                try:
                    done.result()
                except Exception:
                    log.exception("What became of a forward of webhook %s could not be written down", webhook_id)
                    summary.broken.add(webhook_id)
    for webhook_id in summary.unwell:
        _postpone(webhook_id)
    return summary


def _next(queues: dict[UUID, deque[Forward]], busy: Counter[UUID], summary: Summary) -> Forward | None:
    """The next one to send, each target in its turn."""
    left = summary.unwell | summary.broken
    if not any(queues.values()):
        queues.clear()
        queues.update(_due(exclude=[*left, *(webhook for webhook, number in busy.items() if number)]))
    for webhook_id, waiting in list(queues.items()):
        if webhook_id in left:
            waiting.clear()
        if waiting and busy[webhook_id] < (1 if waiting[0].webhook.forward_in_order else AT_ONCE):
            queues[webhook_id] = queues.pop(webhook_id)  # to the end of the line
            return waiting.popleft()
    return None


def _due(*, exclude: Sequence[UUID]) -> dict[UUID, deque[Forward]]:
    """For each receiver one look whether anything is due, then the first of it: what waits behind costs nothing."""
    now = timezone.now()
    due = Forward.objects.filter(due_at__lte=now).order_by("due_at")
    webhooks = Webhook.objects.filter(is_active=True, integration__is_active=True, forward_stopped_at=None)
    first = Subquery(due.filter(webhook=OuterRef("pk")).values("due_at")[:1])
    found: dict[UUID, deque[Forward]] = {}
    for webhook in webhooks.exclude(pk__in=exclude).annotate(first=first).exclude(first=None):
        rows = due.filter(webhook=webhook).select_related("webhook")[:50]
        found[webhook.pk] = deque(_foremost(webhook, now) if webhook.forward_in_order else rows)
    return found


def _foremost(webhook: Webhook, now: datetime) -> list[Forward]:
    """Where order is kept, only the oldest that isn't done goes, and only when its time has come."""
    waiting = Forward.objects.filter(webhook=webhook).exclude(due_at=None).select_related("webhook")
    return [row for row in waiting.order_by("id")[:1] if row.due_at and row.due_at <= now]


def _postpone(webhook_id: UUID) -> None:
    now = timezone.now()
    waiting = Forward.objects.filter(webhook_id=webhook_id, due_at__lte=now)
    waiting.update(due_at=now + PAUSE, error_message=f"Waits: its target did not answer at {now:%H:%M:%S} UTC.")


def _send_in_thread(row: Forward, summary: Summary) -> None:
    try:
        send(row, summary)
    finally:
        connection.close()


def send(row: Forward, summary: Summary) -> bool:
    """Claim one forward and try it once. False when somebody else has it."""
    if not Forward.objects.claim(row, now=timezone.now(), lease=LEASE):
        return False
    row = Forward.objects.select_related("log", "webhook__integration").get(pk=row.pk)
    if row.attempts > len(settings.WEBHOOK_RETRY_WAITS) + 1:
        died = ProviderError(f"A worker died while sending it, {row.attempts - 1} times.", permanent=True)
        _settle(row, None, died, 0, summary)
        return True
    if words := mandate.lost(row.mandate, Perm.WEBHOOKS_REPLAY, [row.webhook.integration_id]):
        _stop_asked(row, words, summary)
        return True
    started = time.monotonic()
    answer: Answer | None = None
    error: ProviderError | None = None
    try:
        answer = _post(row)
        error = _judge(answer)
    except ProviderError as refused:
        error = refused
        if isinstance(refused, NotAnswered):
            summary.unwell.add(row.webhook_id)
    except Exception as broken:  # noqa: BLE001 - ours; the forward must not vanish for it
        error = ProviderError(f"{type(broken).__name__}: {broken}\n{traceback.format_exc(limit=3)}"[:2000])
    _settle(row, answer, error, int((time.monotonic() - started) * 1000), summary)
    return True


def _stop_asked(row: Forward, words: str, summary: Summary) -> None:
    """It had given up by itself, and who asked for another try may no longer: it gives up again."""
    with transaction.atomic():
        if Forward.objects.finish(row, status=Status.FAILED, due_at=None, error_message=words):
            on = row.webhook.integration
            mandate.stop(row.mandate, "another forward", words, key=f"forward:{row.pk}", integration=on)
            summary.failed += 1


def _post(row: Forward) -> Answer:
    try:
        return http.send(request(row, now=timezone.now()), networks=settings.OUTBOUND_ALLOWED_NETWORKS)
    except http.AddressRefused:
        raise
    except http.Unreachable as error:
        if error.permanent:
            raise
        raise NotAnswered(error.words) from error


def request(row: Forward, *, now: datetime) -> http.Request:
    """The delivery as the target gets it: the provider's own JSON, or our reading of it where that isn't JSON or was
    one event among several."""
    log = row.log
    if log.personal_dropped_at:
        raise ProviderError(DROPPED, permanent=True, code="personal_dropped")
    body = bytes(log.body) if log.part_of is None and bytes(log.body[:1]) == b"{" else payloads.compact(log.payload)
    name = row.webhook.forward_secret_env or DEFAULT_SECRET_ENV
    secrets = credentials.secrets(name)
    if not secrets:
        raise ProviderError(f"{name} is not set: there is nothing to sign with.", code="no_secret")
    timestamp = int(now.timestamp())
    signed = [signature(secret, id=str(log.pk), timestamp=timestamp, body=body) for secret in secrets]
    headers = {
        "content-type": "application/json",
        "webhook-id": str(log.pk),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signed),
        "x-integration": row.webhook.integration.slug,
        "x-event-type": (log.event_type or "").encode("ascii", "replace").decode()[:200],
        **({"x-test": "true"} if log.is_test else {}),
    }
    return http.Request(
        url=row.url, endpoint="forward", method="POST", headers=headers, body=body, timeout_s=TIMEOUT_SECONDS,
        max_bytes=65_536,
    )  # fmt: skip


def _judge(answer: Answer) -> ProviderError | None:
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "elsewhere")[:200]
        return ProviderError(f"HTTP {answer.status}: it points to {where}; redirects are not followed.")
    return ProviderError(f"The target answered HTTP {answer.status}.", status=answer.status)


# --- Writing down ----------------------------------------------------------------------------------------------------


@transaction.atomic
def _settle(
    row: Forward, answer: Answer | None, error: ProviderError | None, duration_ms: int, summary: Summary
) -> None:
    now = timezone.now()
    code = answer.status if answer else None
    told = partial(privacy.struck, payload=row.log.payload, paths=privacy.personal(row.webhook.integration.spec))
    words = told(storable(error.words))[:2000] if error else ""
    changes: dict[str, Any] = {"status_code": code, "error_message": words}
    if error is None:
        held = Forward.objects.finish(row, status=Status.DELIVERED, due_at=None, done_at=now, **changes)
        summary.delivered += held
    elif code == 410:
        webhook = Webhook.objects.select_for_update(of=("self",)).select_related("integration").get(pk=row.webhook_id)
        held = Forward.objects.finish(row, status=Status.STOPPED, due_at=None, done_at=now, **changes)
        if held:
            summary.stopped += 1 + _stop(webhook, now)
    else:
        again = _next_try(row, answer, error, now)
        held = Forward.objects.finish(row, status=Status.FAILED, due_at=again, **changes)
        if held:
            summary.failed += 1
            if again:
                summary.next_due_at = min(summary.next_due_at or again, again)
    if held:
        Attempt.objects.create(
            log_id=row.log_id,
            target=_shown(row.url),
            at=row.started_at or now,
            duration_ms=duration_ms,
            status_code=code,
            error=words,
            answer=told(storable(answer.body.decode("utf-8", "replace")))[:ANSWER_KEPT] if answer else "",
        )


def _next_try(row: Forward, answer: Answer | None, error: ProviderError, now: datetime) -> datetime | None:
    waits = settings.WEBHOOK_RETRY_WAITS
    if error.permanent or row.attempts > len(waits):
        return None
    seconds = waits[row.attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311 - so that they don't all come at once
    asked = answer.headers.get("retry-after", "") if answer else ""
    if asked.isascii() and asked.isdigit():
        seconds = max(seconds, min(int(asked[:9]), LONGEST_RETRY_AFTER))
    return now + timedelta(seconds=seconds)


def _shown(url: str) -> str:
    """Without what may be secret in it: credentials and query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"[:200]


def _stop(webhook: Webhook, now: datetime) -> int:
    """The target is gone: no more of this webhook's events go there until somebody says so. Returns how many waited.

    Its row is locked, then its forwards, and the log's head last, as whoever resumes does: none waits in a circle.
    """
    waiting = Forward.objects.filter(webhook=webhook).exclude(due_at=None)
    number = waiting.update(status=Status.STOPPED, due_at=None, error_message="Stopped: the target answered HTTP 410.")
    if Webhook.objects.filter(pk=webhook.pk, forward_stopped_at=None).update(forward_stopped_at=now):
        activity.record(
            actor=SYSTEM,
            action="forward_stopped",
            integration=webhook.integration,
            details={"webhook": webhook.webhook_url, "url": _shown(webhook.forward_url), "reason": "HTTP 410"},
        )
    return number


# --- Asked for by people ---------------------------------------------------------------------------------------------


class NotForwarding(Exception):
    """This receiver has no address to forward to."""


class NotStopped(Exception):
    """Nothing was stopped, so there is nothing to resume."""


class NotNow(Exception):
    """It can't be sent again: the text says why. `code` is a stable word."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


@transaction.atomic
def resume(webhook: Webhook, *, actor: Actor, now: datetime) -> int:
    """Forward again, and first what was stopped meanwhile. Returns how many those are.

    Raises NotForwarding and NotStopped.
    """
    row = Webhook.objects.select_for_update(of=("self",)).select_related("integration").get(pk=webhook.pk)
    if not row.forward_url:
        raise NotForwarding(_("This receiver forwards nowhere: give it an address first."))
    stopped = Forward.objects.filter(webhook=row, status=Status.STOPPED)
    number = stopped.update(
        status=Status.PENDING, due_at=now, done_at=None, started_at=None, attempts=0, url=row.forward_url
    )
    if not number and row.forward_stopped_at is None:
        raise NotStopped(_("Forwarding was not stopped, and nothing was held back."))
    Webhook.objects.filter(pk=row.pk).update(forward_stopped_at=None)
    activity.record(
        actor=actor,
        action="forward_resumed",
        integration=row.integration,
        details={"webhook": row.webhook_url, "url": _shown(row.forward_url), "waiting": number},
    )
    return number


@transaction.atomic
def again(row: Forward, *, actor: Actor, now: datetime) -> None:
    """Let one that waits, or that gave up, be due now, at the address of now. One that gave up gets all its tries.

    Raises NotForwarding, and NotNow with the code delivered, under_way, stopped or personal_dropped.
    """
    webhook = Webhook.objects.select_for_update(of=("self",)).select_related("integration").get(pk=row.webhook_id)
    if not webhook.forward_url:
        raise NotForwarding(_("This receiver forwards nowhere: give it an address first."))
    if webhook.forward_stopped_at:
        raise NotNow("stopped", _("Its target said that it is gone (HTTP 410): resume forwarding first."))
    if WebhookLog.objects.filter(pk=row.log_id).exclude(personal_dropped_at=None).exists():
        raise NotNow("personal_dropped", _("What is personal in it was dropped: half an event is not passed on."))
    open_ = Forward.objects.filter(pk=row.pk, status__in=[Status.PENDING, Status.FAILED])
    idle = open_.exclude(in_hand(now=now, lease=LEASE))
    changes = {"due_at": now, "started_at": None, "url": webhook.forward_url}
    # What waits by itself is only hastened, and stays nobody's: it must go on whoever may no longer.
    hastened = idle.filter(due_at__isnull=False).update(**changes)
    if not hastened and not idle.filter(due_at=None).update(**changes, attempts=0, mandate=mandate.of(actor)):
        raise _why_not(row)
    activity.record(
        actor=actor,
        action="forward_retried",
        integration=webhook.integration,
        details={"webhook": webhook.webhook_url, "log": row.log_id, "url": _shown(webhook.forward_url)},
    )


def _why_not(row: Forward) -> NotNow:
    row.refresh_from_db()
    if row.status == Status.DELIVERED:
        return NotNow("delivered", _("It was delivered."))
    if row.status == Status.STOPPED:
        return NotNow("stopped", _("It was stopped with all that waited: resume forwarding."))
    return NotNow("under_way", "A worker is sending it right now.")
