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
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import cron_descriptor
from cron_descriptor import Options, get_description
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

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
_DESCRIBED_IN = {path.stem[:2]: path.stem for path in (Path(cron_descriptor.__file__).parent / "locale").glob("*.mo")}
"""The languages that cron-descriptor speaks."""


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
        words = _("it has {n} characters; a schedule has {most} at most")
        raise _refused("long", words.format(n=len(text), most=LONGEST))
    parts = text.upper().split()
    if len(parts) == 1 and parts[0].startswith("@"):
        return _nickname(parts[0].lower())
    if len(parts) == 6:
        words = _("it has six fields; seconds can't be set, so give five: {names}")
        raise _refused("seconds", words.format(names=_names()))
    if not parts:
        raise _refused("fields", _("it is empty; a schedule has five: {names}").format(names=_names()))
    if len(parts) != len(FIELDS):
        words = ngettext(
            "it has {n} field; a schedule has five: {names}",
            "it has {n} fields; a schedule has five: {names}",
            len(parts),
        )
        raise _refused("fields", words.format(n=len(parts), names=_names()))
    return " ".join(fields.tidy(field, part) for field, part in zip(FIELDS, parts, strict=True))


def _names() -> str:
    return ", ".join(field.label for field in FIELDS)


def _nickname(name: str) -> str:
    if name == "@reboot":
        words = _("@reboot is not taken: jobs run by the clock, not when a machine starts; try @daily")
        raise _refused("reboot", words)
    if name not in NICKNAMES:
        words = _("{name} is not known; there are {known}").format(name=name, known=", ".join(NICKNAMES))
        raise _refused("nickname", words)
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
        words = _("it has {n} characters as {schedule}; {most} is the most")
        return _refused("long", words.format(n=len(schedule), schedule=schedule, most=LONGEST)).problems
    parts = schedule.split(" ")
    found = [problem for field, part in zip(FIELDS, parts, strict=True) for problem in fields.problems(field, part)]
    if parts[2] != "*" and parts[4] != "*":
        words = _(
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
    if close:
        words = _("{zone} is no time zone: perhaps {close} is meant")
    else:
        words = _("{zone} is no time zone: give one such as Africa/Johannesburg")
    told = words.format(zone=zone[:64] or _("an empty text"), close=by_lower[close[0]] if close else "")
    return [Problem("timezone", None, "zone", told)]


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
            words = _("{name} starts in the same minute at {n} of the next {all} runs.")
            found.append(words.format(name=name, n=same, all=len(moments)))
    return found


def _every_minute(text: str) -> bool:
    return len(fields.in_cron(MINUTE, read(text).split(" ")[0])) == 60


def _starts_at(at: datetime, schedule: str, tz: ZoneInfo) -> bool:
    return next(clock_changes.runs(schedule, tz, at - timedelta(minutes=1)), None) == at


# --- In words --------------------------------------------------------------------------------------------------------


def describe(text: str) -> str:
    """ "*/15 * * * *" → "Every 15 minutes"; the text itself when nobody can put it into words."""
    try:
        return str(get_description(read(text), _wording(get_language() or "en")))  # type: ignore[no-untyped-call]  # cron-descriptor has no types
    except Exception:  # noqa: BLE001 - the describer raises several of its own
        return text


@cache
def _wording(language: str) -> Options:
    wording = Options()  # type: ignore[no-untyped-call]  # cron-descriptor has no types
    wording.use_24hour_time_format = True
    wording.locale_code = _DESCRIBED_IN.get(language[:2], "en_US")
    return wording
