"""What the pages say of jobs: each in a line, what needs a person, and what nobody started lately."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import permissions
from integrations.accounts.models import User
from integrations.cron import lanes, schedules, services
from integrations.cron.lanes import Lane, Tally
from integrations.cron.models import CronJob, CronRun
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm

Status = CronRun.Status
Runnable = Callable[[CronJob], bool]
"""Whether this version has work for a job; it comes from `config`."""

LATE = timedelta(minutes=3)
"""So long after its slot a job should have begun, or the ledger should say why it hasn't."""
NEWEST = 3
"""Runs looked at. What was missed is noted later than it should have begun: the last row needn't be the last run."""

DEGRADED, DOWN = HealthStatus.DEGRADED, HealthStatus.DOWN
TONES: dict[str, tuple[str, str]] = {
    Status.RUNNING: ("active", gettext_noop("Running")),
    Status.SUCCESS: (HealthStatus.HEALTHY, gettext_noop("Success")),
    Status.FAILED: (DOWN, gettext_noop("Failed")),
    Status.TIMEOUT: (DOWN, gettext_noop("Timed out")),
    Status.MISSED: (DEGRADED, gettext_noop("Missed")),
    Status.SKIPPED: (HealthStatus.UNKNOWN, gettext_noop("Skipped")),
    Status.UNKNOWN: (HealthStatus.UNKNOWN, gettext_noop("Unknown")),
}
"""How a run's status looks, and what it is called."""


def sentence(run: CronRun) -> str:
    """What went wrong with a run, or what it did, or how far it has come; "" when nobody said."""
    summary = run.result_summary if isinstance(run.result_summary, dict) else {}
    words = run.error_message.removeprefix("Skipped: ") or str(summary.get("message", ""))
    return words[:1].upper() + words[1:]  # "the run before it was still going"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run as people read it."""

    run: CronRun

    @property
    def tone(self) -> str:
        return TONES[self.run.status][0]

    @property
    def label(self) -> str:
        return _(TONES[self.run.status][1])

    @property
    def at(self) -> datetime:
        """Its slot, where it didn't begin: `started_at` is then when that was noticed."""
        absent = self.run.status in (Status.MISSED, Status.UNKNOWN)
        return (self.run.scheduled_for if absent else None) or self.run.started_at

    @property
    def words(self) -> str:
        return sentence(self.run)

    @property
    def waits(self) -> bool:
        """Whether it was asked for and no worker has begun."""
        by_hand = self.run.trigger != CronRun.Trigger.SCHEDULE
        return self.run.status == Status.RUNNING and by_hand and self.run.picked_up_at is None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why somebody should look at a job."""

    tone: str
    label: str
    words: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One job. `last` is its newest run that is over. `may_start`: whether the reader may, be it of use or not."""

    job: CronJob
    last: Outcome | None
    running: Outcome | None
    trouble: Trouble | None
    lane: Lane
    next_at: datetime | None
    runnable: bool
    can_change: bool
    may_start: bool

    @property
    def can_start(self) -> bool:
        return self.may_start and self.runnable and self.running is None

    @property
    def words(self) -> str:
        return schedules.describe(self.job.schedule)

    @property
    def missed(self) -> int:
        return self.lane.counts[Status.MISSED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Slots of the last day that nobody made good on, of all jobs together: when beat was off, it was off for all."""

    status: str
    jobs: tuple[tuple[CronJob, int], ...]
    first: datetime
    last: datetime

    @property
    def tone(self) -> str:
        return TONES[self.status][0]

    @property
    def label(self) -> str:
        return _(TONES[self.status][1])

    @property
    def number(self) -> int:
        return sum(number for _, number in self.jobs)


@dataclass(frozen=True, slots=True)
class Board:
    """`soonest` is the line that runs next."""

    lines: tuple[Line, ...]
    gaps: tuple[Gap, ...]
    marks: list[str]

    @property
    def trouble(self) -> list[Line]:
        """Those that somebody should look at, the worst first."""
        bad = [line for line in self.lines if line.trouble]
        return sorted(bad, key=lambda line: line.trouble is not None and line.trouble.tone != DOWN)

    @property
    def running(self) -> list[Line]:
        return [line for line in self.lines if line.running]

    @property
    def active(self) -> int:
        return sum(line.job.is_active for line in self.lines)

    @property
    def soonest(self) -> Line | None:
        due = [(line.next_at, n) for n, line in enumerate(self.lines) if line.next_at]
        return self.lines[min(due)[1]] if due else None

    @property
    def counts(self) -> Counter[str]:
        return sum((line.lane.counts for line in self.lines), Counter())

    @property
    def failed(self) -> int:
        return self.counts[Status.FAILED] + self.counts[Status.TIMEOUT]


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(
    user: User, *, now: datetime, runnable: Runnable, integration: Integration | None = None, only: UUID | None = None
) -> Board:
    """The jobs that `user` may see, by name: all, those of one `integration`, or that one.

    Seven queries at most, however many jobs there are.
    """
    rows = permissions.readable(user, CronJob.objects.select_related("integration"))
    if integration is not None:
        rows = rows.filter(integration=integration)
    jobs: list[Any] = list((rows.filter(pk=only) if only else rows).annotate(**_newest()).order_by("job_name"))
    names = list(_newest())
    over = CronRun.objects.defer("traceback", "arguments").in_bulk(
        [pk for job in jobs for name in names if (pk := getattr(job, name))]
    )
    running = {
        run.job_id: run
        for run in CronRun.objects.filter(status=Status.RUNNING, job__in=[job.pk for job in jobs]).defer("traceback")
    }
    found = lanes.tallies(jobs, now)
    managed, startable = _Held(user, Perm.MANAGE), _Held(user, Perm.CRON_TRIGGER)
    lines = tuple(
        _line(
            job,
            last=[over[pk] for name in names if (pk := getattr(job, name)) in over],
            running=running.get(job.pk),
            lane=lanes.draw(found.get(job.pk, []), now),
            now=now,
            runnable=runnable(job),
            can_change=managed.on(job),
            may_start=startable.on(job),
        )
        for job in jobs
    )
    return Board(lines, _gaps(jobs, found), lanes.marks(now))


def _newest() -> dict[str, Subquery]:
    rows = CronRun.objects.filter(job=OuterRef("pk")).exclude(status=Status.RUNNING).order_by("-started_at")
    return {f"run_{n}": Subquery(rows.values("pk")[n : n + 1]) for n in range(NEWEST)}


class _Held:
    """On which jobs `user` holds `perm`, asked once; of those of no integration who holds it for all."""

    def __init__(self, user: User, perm: Perm) -> None:
        self.everywhere = permissions.may(user, perm)
        self.ids = set() if self.everywhere else set(permissions.visible(user, perm).values_list("pk", flat=True))

    def on(self, job: CronJob) -> bool:
        return self.everywhere or job.integration_id in self.ids


def _line(
    job: CronJob, *, last: Sequence[CronRun], running: CronRun | None, lane: Lane, now: datetime, runnable: bool,
    can_change: bool, may_start: bool,
) -> Line:  # fmt: skip
    newest = max(last, key=lambda run: run.scheduled_for or run.started_at, default=None)
    return Line(
        job=job,
        last=Outcome(newest) if newest else None,
        running=Outcome(running) if running else None,
        trouble=_trouble(job, newest, running, lane, now, runnable=runnable) if job.is_active else None,
        lane=lane,
        next_at=services.next_run(job, now) if job.is_active and runnable else None,
        runnable=runnable,
        can_change=can_change,
        may_start=may_start,
    )


def _trouble(
    job: CronJob, last: CronRun | None, running: CronRun | None, lane: Lane, now: datetime, *, runnable: bool
) -> Trouble | None:
    if not runnable:
        words = _("This version has no work for it, so nothing starts it.")
        return Trouble(DEGRADED, _("No work"), words, now)
    if (slot := overdue(job, last, running, now)) is not None:
        words = _("Nothing began then: beat or the worker may be down, or the broker can't be reached.")
        return Trouble(DOWN, _("Overdue"), words, slot)
    if last is None or last.status == Status.SUCCESS:
        return None
    if lane.counts[last.status] and last.status in (Status.MISSED, Status.UNKNOWN):
        return None  # told of all jobs together
    told = Outcome(last)
    return Trouble(DOWN if told.tone == DOWN else DEGRADED, told.label, told.words or _("Nobody said why."), told.at)


def overdue(job: CronJob, last: CronRun | None, running: CronRun | None, now: datetime) -> datetime | None:
    """The slot that should have begun by now and of which the ledger knows nothing; None where there is none."""
    promised = services.slot(job, now - LATE)
    known = [run.scheduled_for for run in (last, running) if run and run.scheduled_for]
    if job.ledger_until is None or promised <= job.ledger_until or any(slot >= promised for slot in known):
        return None
    return promised


def _gaps(jobs: Iterable[CronJob], found: dict[UUID, list[Tally]]) -> tuple[Gap, ...]:
    return tuple(gap for status in (Status.MISSED, Status.UNKNOWN) if (gap := _gap(status, jobs, found)))


def _gap(status: str, jobs: Iterable[CronJob], found: dict[UUID, list[Tally]]) -> Gap | None:
    slots: dict[UUID, list[Tally]] = defaultdict(list)
    for pk, counted in found.items():
        slots[pk] += [one for one in counted if one.status == status]
    moments = [one.at for counted in slots.values() for one in counted]
    if not moments:
        return None
    told = tuple((job, sum(one.number for one in slots[job.pk])) for job in jobs if slots[job.pk])
    return Gap(status=status, jobs=told, first=min(moments), last=max(moments))
