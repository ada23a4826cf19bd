"""The ledger: a row for every slot that a schedule promised, and for every start by hand.

Who begins a run inserts its row: the slot is unique, and so is a job's running row; of two beats, two workers, a
message that came twice, one gets through. Slots of which nobody made a row are found by `watch`: `missed` when
something of ours ran at the time, `unknown` when nothing did, since then the whole system was off.
"""

import logging
import time
import traceback
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, mandate, progress
from integrations.actor import Actor
from integrations.cron.models import CronJob, CronRun
from integrations.permissions import Perm

log = logging.getLogger(__name__)

Work = Callable[..., dict[str, Any]]
"""A job's work: does it and returns a summary for people."""
Signs = Callable[[datetime, datetime], Sequence[datetime]]
"""When something of ours is known to have run between two moments, the earliest first."""

LONGEST_WAIT = timedelta(minutes=15)
"""A message about a slot is thrown away after that, or just before the next slot."""
SETTLING = timedelta(seconds=10)
AHEAD = timedelta(seconds=30)
"""So far the clock of beat may be ahead of a worker's; of a job that runs every minute half of that."""
LOST_AFTER = timedelta(seconds=60)
"""So long after its time a run that nobody ended is given up."""
UNHEARD_AFTER = timedelta(seconds=30)
"""So long after it was cancelled a run that its worker has not ended has no worker any more."""
UNANNOUNCED = timedelta(seconds=20)
"""A run that was asked for and that nobody picked up by then is announced once more."""
AROUND = timedelta(minutes=6)
"""A sign of life this near says that we ran: the web processes give one every five minutes."""
MOST_SLOTS = 2000
KEPT = timedelta(days=90)
PROGRESS_SECONDS = 1.0
"""How far a run has come is written down so often at most."""
NEWEST_KEPT = 50
"""Of a job that runs once a month three months say little."""
BATCH = 2000

Status, Trigger = CronRun.Status, CronRun.Trigger


class TimedOut(KeyboardInterrupt):
    """Raised into a job's work when its time is up. No Exception: work that goes on after one thing went wrong must
    not take this for another. A KeyboardInterrupt is what psycopg takes for a reason to cancel a query."""


class Cancelled(KeyboardInterrupt):
    """Raised into a job's work when somebody cancelled it. A KeyboardInterrupt as well."""


class NotDone(Exception):
    """A job did what it could, and that wasn't all. The words are for people; `summary` is what it did do."""

    def __init__(self, words: str, summary: dict[str, Any]) -> None:
        super().__init__(words)
        self.summary = summary


class AlreadyRunning(Exception):
    """A run of this job goes on. The text says since when."""


# --- Slots -----------------------------------------------------------------------------------------------------------


def next_run(job: CronJob, now: datetime) -> datetime:
    """The next slot after `now`, in UTC."""
    return next(CronSim(job.schedule, now.astimezone(ZoneInfo(job.timezone)))).astimezone(UTC)


def slot(job: CronJob, now: datetime) -> datetime:
    """The newest slot at or before `now`, in UTC."""
    after = (now + timedelta(seconds=1)).astimezone(ZoneInfo(job.timezone))  # in this order: adding loses `fold`
    return next(CronSim(job.schedule, after, reverse=True)).astimezone(UTC)


def announced(job: CronJob, now: datetime) -> datetime:
    """The slot that a message from beat is about, which doesn't name it: the newest; or the one that is just coming,
    when the newest has its run or is too old to be meant: then beat's clock is a little ahead of ours."""
    last, coming = slot(job, now), next_run(job, now)
    if coming - now > min(AHEAD, (coming - last) / 4):
        return last
    begun = CronRun.objects.filter(job=job, scheduled_for=last).exists()
    return coming if begun or now - last > waits(job, last) else last


def slots(job: CronJob, after: datetime, until: datetime) -> list[datetime]:
    """Those in between, `until` included, in UTC; the first `MOST_SLOTS` of them."""
    each = (one.astimezone(UTC) for one in CronSim(job.schedule, after.astimezone(ZoneInfo(job.timezone))))
    return [one for _, one in zip(range(MOST_SLOTS), takewhile(lambda one: one <= until, each), strict=False)]


def waits(job: CronJob, now: datetime) -> timedelta:
    """How long a message about a slot may wait for a worker."""
    first = next_run(job, now)
    period = next_run(job, first) - first
    return max(timedelta(seconds=10), min(period - timedelta(seconds=5), LONGEST_WAIT))


# --- One run ---------------------------------------------------------------------------------------------------------


def run(
    job: CronJob,
    work: Work,
    *,
    scheduled_for: datetime | None,
    trigger: str,
    triggered_by: str = "",
    held: str = "",
    now: datetime,
) -> CronRun | None:
    """Do the run of a slot and keep its record. None when the slot is somebody else's. `held`: why it isn't done."""
    entry = _claim(job, scheduled_for=scheduled_for, trigger=trigger, triggered_by=triggered_by, held=held, now=now)
    if entry is not None and entry.status == Status.RUNNING:
        carry_out(job, entry, work)
    return entry


def ask(
    job: CronJob,
    *,
    actor: Actor,
    trigger: str,
    reason: str = "",
    arguments: Mapping[str, Any] | None = None,
    now: datetime,
) -> CronRun:
    """Somebody wants it to run: the row is there, and waits for a worker. Raises AlreadyRunning."""
    give_up_lost(now=now, job=job)
    try:
        with transaction.atomic():
            entry = CronRun.objects.create(
                job=job, trigger=trigger, triggered_by=actor.username, reason=reason[:300], started_at=now,
                arguments=dict(arguments or {}), mandate=mandate.of(actor),
            )  # fmt: skip
            details = {"job": job.job_name, "run": str(entry.pk), "reason": reason, "arguments": entry.arguments}
            activity.record(actor=actor, action="cron_triggered", integration=job.integration, details=details)
            return entry
    except IntegrityError as error:
        going = CronRun.objects.filter(job=job, status=Status.RUNNING).values_list("started_at", flat=True).first()
        told = _("{name} runs since {time}; one run at a time.") if going else _("{name} runs; one run at a time.")
        time_of_it = f"{timezone.localtime(going):%H:%M:%S %Z}" if going else ""
        raise AlreadyRunning(told.format(name=job.job_name, time=time_of_it)) from error


def pick_up(run_id: UUID | str, *, now: datetime) -> CronRun | None:
    """The right to do a run that was asked for; None when somebody else has it, or it is over."""
    waiting = CronRun.objects.filter(pk=run_id, status=Status.RUNNING, picked_up_at=None)
    if not waiting.update(picked_up_at=now, started_at=now):
        return None
    return CronRun.objects.select_related("job__integration").get(pk=run_id)


def cancel(entry: CronRun, *, actor: Actor) -> bool:
    """Have it ended: within seconds if a worker is at it, at once if none is yet; if its worker is dead, at the next
    look half a minute later. False when it is over already."""
    with transaction.atomic():
        going = CronRun.objects.filter(pk=entry.pk, status=Status.RUNNING)
        if not going.update(cancelled_by=actor.username, cancelled_at=Coalesce("cancelled_at", timezone.now())):
            return False
        words = f"Cancelled by {actor.username} before a worker began."
        going.filter(picked_up_at=None).exclude(trigger=Trigger.SCHEDULE).update(
            status=Status.FAILED, error_message=words
        )
        details = {"job": entry.job.job_name, "run": str(entry.pk)}
        activity.record(actor=actor, action="cron_cancelled", integration=entry.job.integration, details=details)
    return True


def ended_by(job: CronJob) -> str:
    """Why its run that goes on is to end, in words: somebody cancelled it, or whoever started it may no longer; ""
    while it may go on."""
    entry = CronRun.objects.filter(job=job, status=Status.RUNNING).select_related("job__integration").first()
    if entry is None:
        return ""
    return f"Cancelled by {entry.cancelled_by}." if entry.cancelled_by else lost(entry)


def lost(entry: CronRun) -> str:
    """Why whoever started it by hand may no longer, which the log is told; "" while they may."""
    job = entry.job
    words = mandate.lost(entry.mandate, Perm.CRON_TRIGGER, [job.integration_id] if job.integration_id else [])
    if words:
        what, key = f"the job {job.job_name}", f"cron:{entry.pk}"
        mandate.stop(entry.mandate, what, words, key=key, integration=job.integration)
    return words


def carry_out(job: CronJob, entry: CronRun, work: Work) -> None:
    """Do it, and keep what came of it; of one that is ended or breaks, how far it came."""
    started = time.monotonic()
    try:
        with progress.told_to(_Progress(entry)):
            summary = work(**entry.arguments)
        _end(job, entry, Status.SUCCESS, started, result_summary=summary)
    except TimedOut as error:
        _drop_broken_connection()
        _end(job, entry, Status.TIMEOUT, started, error_message=str(error))
    except Cancelled as error:
        _drop_broken_connection()
        _end(job, entry, Status.FAILED, started, error_message=str(error))
    except NotDone as error:
        _end(job, entry, Status.FAILED, started, error_message=str(error), result_summary=error.summary)
    except Exception as error:
        log.exception("The job %s failed", job.job_name)
        words = f"{type(error).__name__}: {error}"
        _end(job, entry, Status.FAILED, started, error_message=words, traceback=traceback.format_exc()[-8000:])


def _drop_broken_connection() -> None:
    """Work that is interrupted in the middle of a query may leave a connection on which nothing can be asked."""
    if not connection.is_usable():
        connection.close()


class _Progress:
    """Writes how far a run has come into its row, the newest once a second."""

    def __init__(self, entry: CronRun) -> None:
        self.row = CronRun.objects.filter(pk=entry.pk, status=Status.RUNNING)
        self.due = 0.0

    def __call__(self, summary: dict[str, Any]) -> None:
        if (now := time.monotonic()) < self.due:
            return
        self.due = now + PROGRESS_SECONDS
        with suppress(DatabaseError), transaction.atomic():  # no reason for the work to fail
            self.row.update(result_summary=summary)


def _claim(
    job: CronJob, *, scheduled_for: datetime | None, trigger: str, triggered_by: str, held: str, now: datetime
) -> CronRun | None:
    give_up_lost(now=now, job=job)
    if held:
        return _insert(job, scheduled_for, trigger, triggered_by, now, skipped=held)
    late = CronRun.objects.filter(job=job, scheduled_for=scheduled_for, status__in=[Status.MISSED, Status.UNKNOWN])
    try:
        with transaction.atomic():  # its message came after all
            told = {"status": Status.RUNNING, "error_message": "", "started_at": now, "picked_up_at": now}
            if scheduled_for and late.update(**told):
                return CronRun.objects.get(job=job, scheduled_for=scheduled_for)
    except IntegrityError:
        return None  # another run goes on; that it was missed stands there already
    if entry := _insert(job, scheduled_for, trigger, triggered_by, now):
        return entry
    if CronRun.objects.filter(job=job, scheduled_for=scheduled_for).exists():
        return None
    return _insert(job, scheduled_for, trigger, triggered_by, now, skipped="the run before it was still going")


def _insert(
    job: CronJob, scheduled_for: datetime | None, trigger: str, by: str, now: datetime, *, skipped: str = ""
) -> CronRun | None:
    try:
        with transaction.atomic():
            return CronRun.objects.create(
                job=job,
                scheduled_for=scheduled_for,
                trigger=trigger,
                triggered_by=by,
                started_at=now,
                picked_up_at=None if skipped else now,
                status=Status.SKIPPED if skipped else Status.RUNNING,
                error_message=f"Skipped: {skipped.rstrip('.')}." if skipped else "",
            )
    except IntegrityError:
        return None


def _end(job: CronJob, entry: CronRun, outcome: str, started: float, **changes: Any) -> None:
    told = {"status": outcome, "duration_ms": int((time.monotonic() - started) * 1000), **changes}
    for name, value in told.items():
        setattr(entry, name, value)
    with transaction.atomic():
        # What was given up for lost, and came back all the same, is told as it went.
        CronRun.objects.filter(pk=entry.pk, status__in=[Status.RUNNING, Status.TIMEOUT]).update(**told)
        CronJob.objects.filter(pk=job.pk).update(
            last_run_at=entry.started_at,
            last_run_status=outcome,
            last_run_duration_ms=entry.duration_ms,
            next_run_at=next_run(job, timezone.now()) if job.is_active else None,
            updated_at=F("updated_at"),
        )


# --- Watching over it ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watched:
    """What a look found. `catch_up`: slots that were missed and are to run now, by job; `waiting`: runs that were
    asked for and that no worker has picked up."""

    slots_missed: int = 0
    slots_unknown: int = 0
    catch_up: dict[UUID, datetime] = field(default_factory=dict)
    waiting: list[UUID] = field(default_factory=list)


def watch(*, now: datetime, runnable: Collection[str], signs: Signs) -> Watched:
    """Give every promised slot its row, give up what never came back, and find what is to be started (again)."""
    watched = Watched()
    give_up_lost(now=now)
    for job in CronJob.objects.filter(is_active=True, job_name__in=runnable):
        _account(job, watched, now, signs)
    unheard = CronRun.objects.filter(status=Status.RUNNING, picked_up_at=None, started_at__lt=now - UNANNOUNCED)
    watched.waiting = list(unheard.exclude(trigger=Trigger.SCHEDULE).values_list("pk", flat=True)[:100])
    return watched


def give_up_lost(*, now: datetime, job: CronJob | None = None) -> None:
    """Runs whose worker was killed, and those for which none ever came."""
    running = CronRun.objects.filter(status=Status.RUNNING)
    rows = running.filter(job=job) if job else running
    for entry in rows.filter(cancelled_at__lt=now - UNHEARD_AFTER):
        words = f"Cancelled by {entry.cancelled_by}. Its worker was stopped or killed before."
        running.filter(pk=entry.pk).update(status=Status.FAILED, error_message=words)
    never_began = Q(picked_up_at=None) & ~Q(trigger=Trigger.SCHEDULE)
    for pk, began, timeout in rows.values_list("pk", "started_at", "job__timeout_seconds"):
        if began < now - timedelta(seconds=timeout) - LOST_AFTER:
            one = running.filter(pk=pk)
            one.filter(never_began).update(status=Status.TIMEOUT, error_message="No worker picked it up.")
            one.update(status=Status.TIMEOUT, error_message="It never came back: its worker was stopped or killed.")


def forget_old(*, now: datetime, dry_run: bool = False) -> int:
    """Take away, or with `dry_run` count, what ended three months ago; of each job its newest runs stay."""
    old = CronRun.objects.filter(started_at__lt=now - KEPT).exclude(status=Status.RUNNING)
    newest = CronRun.objects.filter(job=OuterRef("job")).order_by("-started_at").values("started_at")
    old = old.annotate(limit=Subquery(newest[NEWEST_KEPT - 1 : NEWEST_KEPT])).filter(started_at__lt=F("limit"))
    if dry_run:
        return old.count()
    removed = 0
    while pks := list(old.values_list("pk", flat=True)[:BATCH]):
        removed += CronRun.objects.filter(pk__in=pks).delete()[0]
        progress.tell(f"{removed:,} runs removed so far.", removed=removed)
    return removed


def _account(job: CronJob, watched: Watched, now: datetime, signs: Signs) -> None:
    mine = CronJob.objects.filter(pk=job.pk, ledger_until=job.ledger_until)
    if job.ledger_until is None or job.ledger_until > now + AROUND:  # it begins now; or a clock was wrong
        mine.update(ledger_until=now)
        return
    patience = waits(job, now) + SETTLING
    promised = slots(job, job.ledger_until, now - patience)
    if not promised:
        return
    known = CronRun.objects.filter(job=job, scheduled_for__gt=job.ledger_until, scheduled_for__lte=promised[-1])
    there = set(known.values_list("scheduled_for", flat=True))
    lacking = [one for one in promised if one not in there]
    until = promised[-1]
    if lacking and lacking[-1] == slot(job, now) and job.catch_up == CronJob.CatchUp.LATEST:
        watched.catch_up[job.pk] = late = lacking.pop()
        until = late - timedelta(seconds=1)  # until it runs, it is looked for again
    rows = _absent(job, lacking, now, patience, signs)
    with transaction.atomic():
        if not mine.update(ledger_until=until):
            return  # somebody else was at it
        CronRun.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    watched.slots_missed += sum(row.status == Status.MISSED for row in rows)
    watched.slots_unknown += sum(row.status == Status.UNKNOWN for row in rows)


def _absent(
    job: CronJob, lacking: Sequence[datetime], now: datetime, patience: timedelta, signs: Signs
) -> list[CronRun]:
    if not lacking:
        return []
    seen = signs(lacking[0] - AROUND, lacking[-1] + patience + AROUND)
    rows = []
    for promised in lacking:
        place = bisect_left(seen, promised - AROUND)
        ran = place < len(seen) and seen[place] <= promised + AROUND
        words = (
            "Nobody started it: beat was off, or its message was lost." if ran
            else "Nothing of ours ran then, so nothing could have started it."
        )  # fmt: skip
        status = Status.MISSED if ran else Status.UNKNOWN
        rows.append(CronRun(job=job, scheduled_for=promised, status=status, started_at=now, error_message=words))
    return rows


def signs_of_runs(start: datetime, end: datetime) -> list[datetime]:
    """When runs began, by schedule or otherwise: beat or a worker was there."""
    rows = CronRun.objects.filter(started_at__gte=start, started_at__lte=end, picked_up_at__isnull=False)
    return sorted(rows.filter(~Q(status__in=[Status.MISSED, Status.UNKNOWN])).values_list("started_at", flat=True))
