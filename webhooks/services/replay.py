"""Running events once more: new rows from the originals' verified bytes, on the same road as any other.

Many are made in the background, in chunks: one transaction inserts a chunk and moves the batch's cursor, so a worker
that is killed is followed by one that goes on from there. Only so many wait at a time: what comes in meanwhile is not
held up by a replay of everything.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Length
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, ids, mandate
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import Perm
from webhooks.models import ReplayBatch, WebhookLog, WebhookLogQuerySet
from webhooks.services.selection import Selection

Status = WebhookLog.Status

HEAD_START = timedelta(seconds=5)
"""For whoever asked: until then no worker takes the new row."""

MOST = 100_000
"""Events in one batch: more have to be asked for in parts."""
CHUNK = 200
CHUNK_BYTES = 16 * 2**20
AHEAD = 1000
"""Of one batch, rows that wait to be processed."""
LEASE = timedelta(seconds=20)
PAUSE = timedelta(seconds=2)


class NotReplayable(Exception):
    """It was never shown to be genuine, or what it repeats is gone. The text says which."""


class StillPending(Exception):
    """It has not been tried yet: it will run by itself."""


class TooMany(Exception):
    """More than one batch may hold."""


class MoreThanCounted(Exception):
    """More events are meant now than somebody was shown and said yes to. The text says how many."""


class NothingToCancel(Exception):
    """All of it has been processed, or it was cancelled before."""


# --- One -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def one(log: WebhookLog, *, actor: Actor, now: datetime) -> WebhookLog:
    """Make the replay of `log`, due at once; the original stays as it is. Raises NotReplayable and StillPending.

    A duplicate replays what it is a duplicate of. The replay shows the same key and claims none.
    """
    original = _original(log)
    replay = _copy(original, now=now, due_at=now + HEAD_START, asked_by=mandate.of(actor))
    replay.webhook = original.webhook
    replay.save(force_insert=True)
    activity.record(
        actor=actor,
        action="webhook_replayed",
        integration=original.webhook.integration,
        details={"webhook": original.webhook.webhook_url, "log": original.pk, "replay": replay.pk},
    )
    return replay


def _copy(
    original: WebhookLog,
    *,
    now: datetime,
    due_at: datetime,
    asked_by: mandate.Kept,
    batch_id: UUID | None = None,
) -> WebhookLog:
    return WebhookLog(
        id=ids.new(),
        webhook_id=original.webhook_id,
        event_type=original.event_type,
        payload=original.payload,
        body=original.body,
        part_of=original.part_of,
        query_string=original.query_string,
        headers=original.headers,
        verification=f"Replayed; {original.verification}"[:200],
        idempotency_key=original.idempotency_key,
        is_test=original.is_test,
        forwards=original.forwards,
        replay_of=original.pk,
        batch_id=batch_id,
        mandate=asked_by,
        created_at=now,
        stored_at=now,
        due_at=due_at,
    )


def _original(log: WebhookLog) -> WebhookLog:
    found: WebhookLog | None = log
    if log.status == Status.DUPLICATE and log.duplicate_of:
        found = WebhookLog.objects.filter(pk=log.duplicate_of).select_related("webhook__integration").first()
    if found is None:
        raise NotReplayable(_("This is a duplicate, and the event that it repeats has been removed."))
    if not found.verified:
        raise NotReplayable(_("This delivery was never verified: nobody knows whether the provider sent it."))
    if found.status == Status.PENDING:
        raise StillPending(_("This event has not been tried yet; it runs by itself."))
    if found.payload is None:
        words = _("There is nothing in it that could be run.")
        raise NotReplayable(f"{words} {found.error_message}".strip())
    if found.personal_dropped_at:
        raise NotReplayable(_("What is personal in it was dropped: a replay would do half the work."))
    if found.part_of and not WebhookLog.objects.filter(pk=found.part_of, personal_dropped_at=None).exists():
        raise NotReplayable(_("The bytes of its delivery have been removed."))
    return found


# --- Many ------------------------------------------------------------------------------------------------------------


def count(selection: Selection, *, now: datetime) -> int:
    """How many events `many` would replay. Raises TooMany."""
    number = selection.rows(before=now).order_by()[: MOST + 1].count()
    if number > MOST:
        words = _("These are more than {most} events: ask for them in parts, by their dates for instance.")
        raise TooMany(words.format(most=f"{MOST:,}"))
    return number


@transaction.atomic
def many(
    selection: Selection, *, actor: Actor, now: datetime, pk: UUID | None = None, confirmed: int | None = None
) -> ReplayBatch | None:
    """Ask for the replay of all these; None when there are none. `run_due` does it. `confirmed`: so many were counted
    when somebody said yes. Raises TooMany; MoreThanCounted; IntegrityError if there is a batch `pk`: it was asked for
    before."""
    total = count(selection, now=now)
    if confirmed is not None and total > confirmed:
        words = _("When you were asked, {counted} could be replayed; now {total} can. Look again, and decide then.")
        raise MoreThanCounted(words.format(counted=f"{confirmed:,}", total=f"{total:,}"))
    if not total:
        return None
    told = selection.as_json()
    batch = ReplayBatch.objects.create(
        pk=pk or ids.new(), selection=told, total=total, username=actor.username[:150], mandate=mandate.of(actor),
        created_at=now, due_at=now,
    )  # fmt: skip
    chosen = {name: len(value) if name == "log_ids" else value for name, value in told.items() if name != "scope"}
    activity.record(
        actor=actor,
        action="webhooks_replayed",
        integration=_only_integration(selection),
        details={"batch": batch.pk, "events": total, "selection": chosen},
    )
    return batch


def _only_integration(selection: Selection) -> Integration | None:
    """The one whose events these are, if they are of one: then those who may see that one see it in its activity."""
    found = Integration.objects.filter(webhooks__in=selection.receivers()).distinct()[:2]
    return found[0] if len(found) == 1 else None


@dataclass(slots=True)
class Summary:
    """How many rows were made, and when to come back for more."""

    queued: int = 0
    next_due_at: datetime | None = None


def run_due(*, budget_seconds: float = 30.0) -> Summary:
    """Make the rows of every batch that is due, as far as workers keep up with them."""
    summary, ends = Summary(), time.monotonic() + budget_seconds
    for batch in list(ReplayBatch.objects.due(timezone.now())[:20]):
        if ReplayBatch.objects.claim(batch, now=timezone.now(), lease=LEASE):
            _go_on(batch, ends, summary)
    return summary


def _go_on(batch: ReplayBatch, ends: float, summary: Summary) -> None:
    selection = Selection.of_json(batch.selection)
    while batch.due_at is not None:
        if words := _lost(batch, selection):
            _stop(batch, words)
            return
        if time.monotonic() >= ends or _waiting(batch).runnable().count() >= AHEAD:
            again = timezone.now() + PAUSE
            if ReplayBatch.objects.finish(batch, due_at=again, attempts=0):
                summary.next_due_at = min(summary.next_due_at or again, again)
            return
        with transaction.atomic():
            made = _chunk(batch, selection)
        if made is None:
            return
        summary.queued += made


def _chunk(batch: ReplayBatch, selection: Selection) -> int | None:
    """Insert the next rows and move the cursor, both or neither. None: the batch was cancelled, or is another's."""
    originals = _next(batch, selection)
    now = timezone.now()
    changes: dict[str, Any] = {"due_at": now + LEASE, "attempts": 0}
    if originals:
        changes["cursor"] = f"{originals[-1].created_at.astimezone(UTC).isoformat()}~{originals[-1].pk}"
    else:
        changes |= {"due_at": None, "status": ReplayBatch.Status.DONE, "finished_at": now}
        changes["skipped"] = max(0, batch.total - batch.queued)
    bytes_of = WebhookLog.objects.filter(pk__in={row.part_of for row in originals}, personal_dropped_at=None)
    whole = set(bytes_of.values_list("pk", flat=True))
    rows = [
        _copy(original, now=now, due_at=now, asked_by=batch.mandate, batch_id=batch.pk)
        for original in originals
        if original.part_of is None or original.part_of in whole
    ]
    if not ReplayBatch.objects.finish(batch, queued=F("queued") + len(rows), **changes):
        return None
    WebhookLog.objects.bulk_create(rows)
    batch.due_at, batch.cursor, batch.queued = changes["due_at"], changes.get("cursor", ""), batch.queued + len(rows)
    return len(rows)


def _next(batch: ReplayBatch, selection: Selection) -> list[WebhookLog]:
    """The oldest that follow the cursor: so many, not more than fit into memory at once, and of the batch not more
    than were counted: what becomes fit to be replayed while it runs is not among them."""
    rows = selection.rows(before=batch.created_at)
    if batch.cursor:
        at, _, pk = batch.cursor.partition("~")
        moment = datetime.fromisoformat(at)
        rows = rows.filter(created_at__gte=moment).filter(Q(created_at__gt=moment) | Q(pk__gt=UUID(pk)))
    sized = rows.order_by("created_at", "pk").annotate(size=Length("body")).values_list("pk", "size")
    left = max(0, batch.total - batch.queued)
    taken: list[UUID] = []
    room = CHUNK_BYTES
    for pk_, size in sized[: min(CHUNK, left)]:
        room -= size
        if taken and room < 0:
            break
        taken.append(pk_)
    return list(WebhookLog.objects.filter(pk__in=taken).order_by("created_at", "pk"))


def _waiting(batch: ReplayBatch) -> WebhookLogQuerySet:
    return WebhookLog.objects.filter(batch_id=batch.pk, status=Status.PENDING)


# --- How far it is, and stopping it ----------------------------------------------------------------------------------


def progress(batch: ReplayBatch) -> dict[str, Any]:
    """`status`: running until all has been tried. `queued`: rows made so far; `skipped`: gone or changed meanwhile."""
    rows = WebhookLog.objects.filter(batch_id=batch.pk).order_by()
    by_status = dict(rows.values_list("status").annotate(number=Count("pk")))
    pending = by_status.get(Status.PENDING, 0)
    done = batch.status == ReplayBatch.Status.DONE
    return {
        "status": str(ReplayBatch.Status.RUNNING) if done and pending else batch.status,
        "total": batch.total,
        "queued": batch.queued,
        "skipped": batch.skipped,
        "processed": by_status.get(Status.PROCESSED, 0),
        "failed": by_status.get(Status.FAILED, 0),
        "pending": pending,
        "stoppedBecause": batch.stopped_why,
    }


@transaction.atomic
def cancel(batch: ReplayBatch, *, actor: Actor, now: datetime) -> int:
    """Make no more rows, and take back those that were never tried; returns how many. Raises NothingToCancel."""
    alive = ReplayBatch.objects.filter(pk=batch.pk, status__in=[ReplayBatch.Status.RUNNING, ReplayBatch.Status.DONE])
    was_running = alive.filter(status=ReplayBatch.Status.RUNNING).exists()
    stopped = alive.update(status=ReplayBatch.Status.CANCELLED, due_at=None, finished_at=now)
    taken_back = _take_back(batch)
    if not stopped or not (was_running or taken_back):
        raise NothingToCancel(_("Nothing of it is left to be cancelled."))
    activity.record(
        actor=actor,
        action="webhooks_replay_cancelled",
        integration=_only_integration(Selection.of_json(batch.selection)),
        details={"batch": batch.pk, "taken_back": taken_back},
    )
    return taken_back


def _lost(batch: ReplayBatch, selection: Selection) -> str:
    """Why who asked for it may no longer, on all that it may touch."""
    if batch.mandate is None:
        return ""
    on = Integration.objects.filter(webhooks__in=selection.receivers()).values_list("pk", flat=True)
    return mandate.lost(batch.mandate, Perm.WEBHOOKS_REPLAY, set(on))


@transaction.atomic
def _stop(batch: ReplayBatch, words: str) -> None:
    """What was made and never tried is taken back, as if it were cancelled."""
    stopped = {"status": ReplayBatch.Status.STOPPED, "due_at": None, "finished_at": timezone.now()}
    if not ReplayBatch.objects.finish(batch, stopped_why=words, **stopped):
        return
    _take_back(batch)
    integration = _only_integration(Selection.of_json(batch.selection))
    mandate.stop(batch.mandate, "a replay", words, key=f"replay:{batch.pk}", integration=integration)


def _take_back(batch: ReplayBatch) -> int:
    untried = _waiting(batch).filter(attempts=0)
    if connection.features.has_select_for_update_skip_locked:
        untried = untried.select_for_update(skip_locked=True)  # a worker that has one right now keeps it
    taken_back = list(untried.values_list("pk", flat=True))
    WebhookLog.objects.filter(pk__in=taken_back).delete()
    ReplayBatch.objects.filter(pk=batch.pk).update(queued=F("queued") - len(taken_back))
    return len(taken_back)
