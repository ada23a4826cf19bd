"""Schedules as people type them: what is wrong with one, when it runs next, what it says in words.

Two programs read a job's schedule. cronsim says which slots it promises, which the ledger keeps; django-celery-beat
starts the work. So only that is taken which both read alike.

Pure: no ORM, and `now` is given.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cron_descriptor import Options, get_description

from integrations.cron import clock_changes, fields
from integrations.cron.fields import FIELDS, MINUTE, WEEKDAY, Problem

LONGEST = 100
"""Characters of a schedule, as the column has them."""

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WORDING = Options()  # type: ignore[no-untyped-call]  # cron-descriptor has no types
_WORDING.use_24hour_time_format = True
NAMES = ", ".join(field.name for field in FIELDS)


@dataclass(frozen=True, slots=True)
class Moment:
    """A run: in UTC, on the zone's clock, and what is odd about it."""

    at: datetime
    local: datetime
    note: str = ""


class Refused(ValueError):
    """Not to be read as a schedule, or not in this zone; `problems` say why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.words for problem in problems))
        self.problems = problems


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(text: str) -> str:
    """The five fields that `text` means, the way they are stored: numbers, single spaces, Sunday as 0.

    Raises Refused for what isn't five fields. Their values are `problems`' matter.
    """
    if len(text) > LONGEST:
        raise _refused("long", f"it has {len(text)} characters; a schedule has {LONGEST} at most")
    parts = text.upper().split()
    if len(parts) == 1 and parts[0].startswith("@"):
        return _nickname(parts[0].lower())
    if len(parts) == 6:
        raise _refused("seconds", f"it has six fields; seconds can't be set, so give five: {NAMES}")
    if len(parts) != len(FIELDS):
        count = f"it has {len(parts)} field{'s' * (len(parts) != 1)}" if parts else "it is empty"
        raise _refused("fields", f"{count}; a schedule has five: {NAMES}")
    return " ".join(fields.tidy(field, part) for field, part in zip(FIELDS, parts, strict=True))


def _nickname(name: str) -> str:
    if name == "@reboot":
        raise _refused("reboot", "@reboot is not taken: jobs run by the clock, not when a machine starts; try @daily")
    if name not in NICKNAMES:
        raise _refused("nickname", f"{name} is not known; there are {', '.join(NICKNAMES)}")
    return NICKNAMES[name]


def _refused(code: str, words: str) -> Refused:
    return Refused([Problem("schedule", None, code, words)])


# --- What is wrong ---------------------------------------------------------------------------------------------------


def problems(text: str, zone: str) -> list[Problem]:
    """Everything that keeps `text` from running in `zone`; empty if nothing does."""
    return [*schedule_problems(text), *zone_problems(zone)]


def schedule_problems(text: str) -> list[Problem]:
    try:
        schedule = read(text)
    except Refused as refused:
        return refused.problems
    if len(schedule) > LONGEST:
        return _refused("long", f"it has {len(schedule)} characters as {schedule}; {LONGEST} is the most").problems
    parts = schedule.split(" ")
    found = [problem for field, part in zip(FIELDS, parts, strict=True) for problem in fields.problems(field, part)]
    if parts[2] != "*" and parts[4] != "*":
        words = (
            "the schedule restricts both the day of the month and the weekday, which cron joins by “or” and Celery by "
            "“and”: restrict one of them"
        )
        found.append(WEEKDAY.problem("both", words))
    return found or fields.never(parts[2], parts[3])


def zone_problems(zone: str) -> list[Problem]:
    if zone in _zones():
        return []
    cities = {name.rpartition("/")[2].lower(): name for name in sorted(_zones())}
    by_lower = cities | {name.lower(): name for name in _zones()}
    close = difflib.get_close_matches(zone[:64].strip().lower().replace(" ", "_"), by_lower, n=1, cutoff=0.8)
    hint = f"perhaps {by_lower[close[0]]} is meant" if close else "give one such as Africa/Johannesburg"
    return [Problem("timezone", None, "zone", f"{zone[:64] or 'an empty text'} is no time zone: {hint}")]


@cache
def zones() -> tuple[str, ...]:
    """The names of time zones that people may give, Africa first: those of most of our people."""
    return tuple(sorted(_zones(), key=lambda name: (not name.startswith("Africa/"), name)))


@cache
def _zones() -> frozenset[str]:
    """Not those two that mean another thing on every machine, or nothing."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


# --- When ------------------------------------------------------------------------------------------------------------


def upcoming(text: str, zone: str, now: datetime, n: int = 5) -> list[Moment]:
    """The next `n` runs after `now`. Raises Refused."""
    if found := problems(text, zone):
        raise Refused(found)
    schedule, tz = read(text), ZoneInfo(zone)
    moments = list(islice(clock_changes.runs(schedule, tz, now), n))
    notes = clock_changes.notes(schedule, tz, now, moments)
    return [Moment(at, at.astimezone(tz), notes.get(at, "")) for at in moments]


def clashes(text: str, zone: str, others: Iterable[tuple[str, str, str]], now: datetime) -> list[str]:
    """Those of `others` (name, schedule, zone) that start in the same minute at three or more of the next five runs.

    Jobs that start every minute are left out, and warned of nothing. Raises Refused.
    """
    moments = upcoming(text, zone, now)
    if _every_minute(text):
        return []
    found = []
    for name, schedule, place in others:
        if problems(schedule, place) or _every_minute(schedule):
            continue
        same = sum(_starts_at(moment.at, read(schedule), ZoneInfo(place)) for moment in moments)
        if same >= 3:
            found.append(f"{name} starts in the same minute at {same} of the next {len(moments)} runs.")
    return found


def _every_minute(text: str) -> bool:
    return len(fields.in_cron(MINUTE, read(text).split(" ")[0])) == 60


def _starts_at(at: datetime, schedule: str, tz: ZoneInfo) -> bool:
    return next(clock_changes.runs(schedule, tz, at - timedelta(minutes=1)), None) == at


# --- In words --------------------------------------------------------------------------------------------------------


def describe(text: str) -> str:
    """ "*/15 * * * *" → "Every 15 minutes"; the text itself when nobody can put it into words."""
    try:
        return str(get_description(read(text), _WORDING))  # type: ignore[no-untyped-call]  # cron-descriptor has no types
    except Exception:  # noqa: BLE001 - the describer raises several of its own
        return text
