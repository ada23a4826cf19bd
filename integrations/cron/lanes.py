"""The last day of jobs as swimlanes: a tick for each quarter of an hour in which one ran, or should have.

A job that runs every minute has 1,440 rows a day. They are counted by the database and drawn as dashes, of which any
number in a row is one stroke: a lane is a few hundred bytes at most.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from uuid import UUID

from django.db.models import CharField, Count
from django.db.models.functions import Cast, Coalesce, Substr
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from integrations.cron.models import CronJob, CronRun

Status = CronRun.Status
DAY = timedelta(days=1)
SLOT, SLOTS = timedelta(minutes=15), 96
WIDTH = 6 * SLOTS
"""Units across a lane. The dashes themselves are in the style sheet (`.run-lane`)."""

_TICKS = {
    "down": ("down", 22), "degraded": ("degraded", 18), "skipped": ("unknown", 8), "unknown": ("unknown", 3),
    "healthy": ("healthy", 12),
}  # fmt: skip
"""By kind, the worst first: the tone and how tall the tick is, a second cue beside colour."""
_KINDS: dict[str, str] = {
    Status.FAILED: "down", Status.TIMEOUT: "down", Status.MISSED: "degraded", Status.SKIPPED: "skipped",
    Status.UNKNOWN: "unknown", Status.SUCCESS: "healthy", Status.RUNNING: "healthy",
}  # fmt: skip
_NUMBERS = {
    Status.SUCCESS: ngettext_lazy("{shown} succeeded", "{shown} succeeded", "n"),
    Status.FAILED: ngettext_lazy("{shown} failed", "{shown} failed", "n"),
    Status.TIMEOUT: ngettext_lazy("{shown} timed out", "{shown} timed out", "n"),
    Status.MISSED: ngettext_lazy("{shown} missed", "{shown} missed", "n"),
    Status.SKIPPED: ngettext_lazy("{shown} skipped", "{shown} skipped", "n"),
    Status.UNKNOWN: ngettext_lazy("{shown} unknown", "{shown} unknown", "n"),
    Status.RUNNING: ngettext_lazy("{shown} running", "{shown} running", "n"),
}


@dataclass(frozen=True, slots=True)
class Tally:
    """So many runs of a job that ended alike, at one minute (of their slot, if they have one)."""

    status: str
    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Lane:
    """`bars`: tone, height and path of each. `label` says the same in words; `counts` are by status."""

    bars: tuple[tuple[str, int, str], ...]
    label: str
    counts: Counter[str]


def tallies(jobs: Iterable[CronJob], now: datetime) -> dict[UUID, list[Tally]]:
    """The runs of the last day, counted in one query."""
    at = Coalesce("scheduled_for", "started_at")
    rows = (
        CronRun.objects.filter(job__in=[job.pk for job in jobs], started_at__gt=now - DAY)
        # As text: making a datetime of each takes longer than all the rest.
        .annotate(minute=Substr(Cast(at, CharField()), 1, 16))
        .order_by()
        .values_list("job_id", "status", "minute")
        .annotate(number=Count("pk"))
    )
    found: dict[UUID, list[Tally]] = defaultdict(list)
    for pk, status, minute, number in rows:
        found[pk].append(Tally(status, _moment(minute), number))
    return found


@lru_cache(maxsize=8192)
def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def draw(found: Sequence[Tally], now: datetime) -> Lane:
    """The quarter of an hour that goes on is at the right edge."""
    counts: Counter[str] = Counter()
    worst: dict[int, str] = {}
    order, last = list(_TICKS), _quarter(now)
    for one in found:
        place = SLOTS - 1 - (last - _quarter(one.at))
        if not 0 <= place < SLOTS:
            continue
        counts[one.status] += one.number
        kind = _KINDS[one.status]
        if place not in worst or order.index(kind) < order.index(worst[place]):
            worst[place] = kind
    return Lane(_bars(worst), _label(counts), counts)


def _quarter(moment: datetime) -> int:
    return int(moment.timestamp() // SLOT.total_seconds())


def _bars(worst: dict[int, str]) -> tuple[tuple[str, int, str], ...]:
    paths: dict[str, str] = defaultdict(str)
    start = 0
    for kind, run in groupby(worst.get(place, "") for place in range(SLOTS)):
        length = len(list(run))
        if kind:
            paths[kind] += f"M{start * 6 + 2} 12h{length * 6 - 4}"
        start += length
    return tuple((*_TICKS[kind], path) for kind, path in sorted(paths.items(), reverse=True))


def _label(counts: Counter[str]) -> str:
    told = [words.format(n=n, shown=f"{n:,}") for status, words in _NUMBERS.items() if (n := counts[status])]
    return _("Last 24 hours: {runs}").format(runs=", ".join(told)) if told else _("Last 24 hours: no runs")


def marks(now: datetime) -> list[str]:
    """What the clock showed along a lane, six hours apart."""
    hours = [timezone.localtime(now - timedelta(hours=hours)) for hours in (24, 18, 12, 6)]
    return [date_format(hours[0], "D H:i"), *(f"{at:%H:%M}" for at in hours[1:]), _("now")]
