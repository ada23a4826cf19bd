"""The runs of one job, newest first, a page at a time; and one of them with everything that is known of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from integrations.cron import schedules
from integrations.cron.board import TONES, Outcome
from integrations.cron.models import CronJob, CronRun
from integrations.cron.schedules import Moment
from integrations.seek import Listing, Place

PAGE = 50
LIMIT = 200
"""How far a list may grow by itself before it starts anew from the top."""
MOST_FIGURES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """`floor` is where its last row stands; `older` and `newest` are query strings, `older` "" when that was all."""

    status: str
    runs: tuple[Outcome, ...]
    floor: str
    older: str
    newest: str
    starts_anew: bool
    statuses: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Told:
    """A run in full. `figures` is its summary without the sentence; `traceback` is "" for who may not manage it."""

    outcome: Outcome
    figures: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, str], ...]
    traceback: str


def read(job: CronJob, status: str, *, before: Place | None, floor: Place | None) -> Journal:
    """The newest runs; with `before` the page that is older; with `floor` all from the newest down to that row.

    A poll names the last row that its page shows as `floor`: what is new comes on top and nothing drops out below.
    """
    status = status if status in CronRun.Status.values else ""
    rows = CronRun.objects.filter(job=job).defer("traceback", "arguments")
    listing = Listing(rows.filter(status=status) if status else rows, at="started_at")
    places, more = _places(listing, before, floor if before is None else None)
    grew_too_long = floor is not None and before is None and more
    if grew_too_long:
        places, more = _places(listing, None, None)
    last = places[-1] if places else None
    return Journal(
        status=status,
        runs=tuple(Outcome(run) for run in listing.fetch(places)),
        floor=str(last) if last else "",
        older=_query(status=status, before=str(last)) if more else "",
        newest=_query(status=status),
        starts_anew=floor is None or grew_too_long,
        statuses=[(value, _(label)) for value, (_tone, label) in TONES.items()],
    )


def _query(**told: str) -> str:
    return urlencode({name: value for name, value in told.items() if value})


def _places(listing: Listing[CronRun], before: Place | None, floor: Place | None) -> tuple[list[Place], bool]:
    """A page of places, or with `floor` all down to it; and whether there are more than may be shown."""
    size = LIMIT if floor else PAGE
    if before:
        listing = listing.older(before)
    elif floor:
        listing = listing.down_to(floor)
    found = listing.places(0, size + 1)
    return found[:size], len(found) > size


def tell(run: CronRun, *, may_manage: bool) -> Told:
    summary = run.result_summary if isinstance(run.result_summary, dict) else {}
    figures = {name: value for name, value in summary.items() if name != "message"}
    return Told(Outcome(run), _cells(figures), _cells(run.arguments), run.traceback if may_manage else "")


def _cells(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Nothing that is empty: a summary names all it could have been."""
    told = [
        (name.replace("_", " "), _shown(value)) for name, value in values.items() if value not in ("", [], {}, None)
    ]
    return tuple(told[:MOST_FIGURES])


def _shown(value: Any) -> str:
    match value:
        case bool():
            return _("yes") if value else _("no")
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(_parts(value)) or _("none")
        case dict():
            return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return str(value)[:500]


def _parts(values: list[Any]) -> Iterator[str]:
    yield from (_shown(value) for value in values[:20])
    if len(values) > 20:
        yield _("{n} more").format(n=len(values) - 20)


def upcoming(job: CronJob, now: datetime) -> list[Moment]:
    """The next five runs; none of what is no longer a schedule."""
    try:
        return schedules.upcoming(job.schedule, job.timezone, now)
    except schedules.Refused:
        return []
