"""Judging again what a webhook refused, after its secret was mended: with the secrets of now, by the clock of then.

Each genuine delivery goes the way that it should have gone, in a transaction of its own; whoever gets there first
releases it. Whoever asks waits a moment; what is left goes on in the background, chunk by chunk, and a worker that is
killed is followed by one that goes on from there.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, crypto, mandate
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.providers import spec
from webhooks.models import Refusal, Reverification, WebhookLog
from webhooks.services import keys, quarantine, receive

log = logging.getLogger(__name__)

AT_ONCE_SECONDS = 2.0
"""How long whoever asks is kept waiting."""
CHUNK = 50
"""Refusals read at a time: a body has up to 64 KB."""
LEASE = timedelta(seconds=60)
PAUSE = timedelta(seconds=60)
"""Between two tries to get the provider's keys."""


@dataclass(slots=True)
class Found:
    """What judging says: `unreadable` can't be judged any more."""

    genuine: int = 0
    refused: int = 0
    unreadable: int = 0

    @property
    def judged(self) -> int:
        return self.genuine + self.refused + self.unreadable


@dataclass(slots=True)
class Summary:
    """How many were released, and when to come back for more."""

    released: int = 0
    next_due_at: datetime | None = None


def kept(webhook_id: UUID, *, now: datetime, chosen: Sequence[UUID] | None = None) -> QuerySet[Refusal]:
    """What could be judged again: kept, not released, of the last seven days; confined to `chosen`."""
    rows = Refusal.objects.filter(
        webhook=webhook_id, released_at=None, created_at__gt=now - quarantine.LIFE, created_at__lte=now
    )
    return rows if chosen is None else rows.filter(pk__in=chosen)


def preview(
    route: receive.Route,
    *,
    now: datetime,
    chosen: Sequence[UUID] | None = None,
    budget_seconds: float = AT_ONCE_SECONDS,
) -> Found:
    """Judge and release nothing; as far as the budget goes. Raises KeysUnavailable."""
    found, ends = Found(), time.monotonic() + budget_seconds
    for refusal in _each(kept(route.webhook_id, now=now, chosen=chosen)):
        if time.monotonic() >= ends:
            break
        found.genuine += _judge(refusal, route, found) is not None
    return found


def ask(
    route: receive.Route,
    *,
    actor: Actor,
    now: datetime,
    chosen: Sequence[UUID] | None = None,
    budget_seconds: float = AT_ONCE_SECONDS,
) -> Reverification:
    """Judge all again and release what is genuine. With `due_at` the answer goes on in the background.

    Raises KeysUnavailable.
    """
    if route.webhook.method == "jwt":
        keys.fetched(route)  # before anything is promised
    row = Reverification.objects.create(
        webhook_id=route.webhook_id,
        chosen=None if chosen is None else [str(pk) for pk in chosen],
        total=kept(route.webhook_id, now=now, chosen=chosen).count(),
        username=actor.username[:150],
        admin_user_id=actor.user_id,
        mandate=mandate.of(actor),
        created_at=now,
        started_at=now,
        due_at=now + LEASE,
        attempts=1,
    )
    _go_on(row, route, actor, ends=time.monotonic() + budget_seconds)
    row.refresh_from_db()
    if row.due_at is not None:
        _told(row, route, actor)
    return row


def run_due(*, budget_seconds: float = 30.0) -> Summary:
    """Go on with what was left, and with what somebody who was killed had begun."""
    summary, ends = Summary(), time.monotonic() + budget_seconds
    routes = {route.webhook_id: route for route in receive.routes().values()}
    for row in list(Reverification.objects.due(timezone.now())[:20]):
        route = routes.get(row.webhook_id)
        if route is None or not Reverification.objects.claim(row, now=timezone.now(), lease=LEASE):
            continue
        before, actor = row.released, Actor(username=row.username, user_id=row.admin_user_id)
        try:
            _go_on(row, route, actor, ends=ends)
        except keys.KeysUnavailable as error:
            log.warning("%s: what it refused can't be judged: %s", route.path, error)
            Reverification.objects.finish(row, due_at=timezone.now() + PAUSE)
        row.refresh_from_db()
        summary.released += row.released - before
        if row.due_at is not None:
            summary.next_due_at = min(summary.next_due_at or row.due_at, row.due_at)
    return summary


def words(row: Reverification) -> str:
    """What came of it, for people."""
    told = _("{released} released, {refused} still refused, {unreadable} can't be judged any more.").format(
        released=f"{row.released:,}", refused=f"{row.refused:,}", unreadable=f"{row.unreadable:,}"
    )
    if row.stopped_why:
        return f"{told} {row.stopped_why}"
    return told if row.due_at is None else " ".join([told, _("The rest goes on in the background.")])


def unprovable(unset: str) -> str:
    """Why nothing can be judged while the environment has no variable `unset`, for people."""
    return _("{variable} is not set.").format(variable=unset) if unset else _("What proves it is not set.")


def without_keys(error: keys.KeysUnavailable) -> str:
    """Why nothing can be judged just now, for people."""
    return _("The provider's public keys can't be had: {error}").format(error=error)


def due(*, now: datetime) -> bool:
    return Reverification.objects.due(now).exists()


# --- Chunk by chunk --------------------------------------------------------------------------------------------------


def _go_on(row: Reverification, route: receive.Route, actor: Actor, *, ends: float) -> None:
    """Until all is judged or time is up. Then the row is due at once for the next worker."""
    chosen = None if row.chosen is None else [UUID(pk) for pk in row.chosen]
    rows = kept(row.webhook_id, now=row.created_at, chosen=chosen)
    while chunk := _chunk(rows, row.cursor):
        if words := mandate.lost(row.mandate, Perm.MANAGE, [route.integration_id]):
            _stop(row, route, actor, words)
            return
        found = Found()
        for refusal in chunk:
            _release(refusal, route, row, found)
            row.cursor = _cursor(refusal)
            if time.monotonic() >= ends:
                break
        now = timezone.now()
        more = time.monotonic() >= ends
        due_at = now if more else now + LEASE
        held = Reverification.objects.finish(
            row, cursor=row.cursor, due_at=due_at, attempts=0,
            refused=F("refused") + found.refused, unreadable=F("unreadable") + found.unreadable,
        )  # fmt: skip
        if more or not held:
            return
        row.due_at = due_at
    with transaction.atomic():
        if Reverification.objects.finish(row, due_at=None, finished_at=timezone.now()):
            row.refresh_from_db()
            _told(row, route, actor)


def _stop(row: Reverification, route: receive.Route, actor: Actor, words: str) -> None:
    """Who asked for it may no longer: what was released stays, the rest waits for somebody who may."""
    with transaction.atomic():
        if Reverification.objects.finish(row, due_at=None, finished_at=timezone.now(), stopped_why=words):
            row.refresh_from_db()
            on = Integration(pk=route.integration_id, slug=route.slug)
            mandate.stop(row.mandate, "judging refused events", words, key=f"reverify:{row.pk}", integration=on)
            _told(row, route, actor)


def _told(row: Reverification, route: receive.Route, actor: Actor) -> None:
    activity.record(
        actor=actor,
        action="webhook_reverified",
        integration=Integration(pk=route.integration_id, slug=route.slug),
        details={
            "webhook": route.path, "kept": row.total, "released": row.released, "duplicates": row.duplicates,
            "still_refused": row.refused, "unreadable": row.unreadable,
            "finished": row.due_at is None and not row.stopped_why,
        },
    )  # fmt: skip


def _each(rows: QuerySet[Refusal]) -> Iterator[Refusal]:
    cursor = ""
    while chunk := _chunk(rows, cursor):
        yield from chunk
        cursor = _cursor(chunk[-1])


def _chunk(rows: QuerySet[Refusal], cursor: str) -> list[Refusal]:
    if cursor:
        at, _, pk = cursor.partition("~")
        moment = datetime.fromisoformat(at)
        rows = rows.filter(created_at__gte=moment).filter(Q(created_at__gt=moment) | Q(pk__gt=UUID(pk)))
    return list(rows.order_by("created_at", "pk")[:CHUNK])


def _cursor(refusal: Refusal) -> str:
    return f"{refusal.created_at.astimezone(UTC).isoformat()}~{refusal.pk}"


# --- One -------------------------------------------------------------------------------------------------------------


def _judge(refusal: Refusal, route: receive.Route, found: Found) -> list[WebhookLog] | None:
    """The rows that it would have become; None, and counted, if it isn't genuine or can't be judged."""
    try:
        return keys.admit(route, quarantine.opened(refusal), refusal.created_at)
    except (spec.Refused, receive.NoSecret):
        found.refused += 1
    except (crypto.CannotDecrypt, quarantine.Truncated):
        found.unreadable += 1
    return None


def _release(refusal: Refusal, route: receive.Route, row: Reverification, found: Found) -> None:
    rows = _judge(refusal, route, found)
    if rows is None:
        return
    now = timezone.now()
    for made in rows:
        made.created_at = now
        made.due_at = now if made.due_at else None
        how = f"{made.verification}; refused at {refusal.created_at:%Y-%m-%d %H:%M} UTC, then released"
        made.verification = how[:200]
    try:
        with transaction.atomic():
            mine = Refusal.objects.filter(pk=refusal.pk, released_at=None)
            if mine.update(released_at=now, log_id=rows[0].pk):
                receive.store(rows)
                again = rows[0].duplicate_of is not None
                Reverification.objects.filter(pk=row.pk).update(
                    released=F("released") + 1, duplicates=F("duplicates") + int(again)
                )
    except receive.TooManyUnconfirmed:
        found.refused += 1  # it stays, and can be released once others were confirmed
    except (DataError, IntegrityError) as error:  # one that can't be stored must not keep back the others
        log.warning("Refusal %s is genuine, but can't be stored: %s", refusal.pk, type(error).__name__)
        found.unreadable += 1
