"""The five fields of a schedule: what each may hold, what is wrong with one, how cron and Celery read it."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from celery.schedules import ParseException, crontab
from cronsim import CronSim, CronSimError

LONGEST = {4: 64, 5: 64}
"""Characters that beat's own columns have, by position, where the length of a whole schedule doesn't keep to it."""

MONTHS = tuple(name.upper() for name in calendar.month_name[1:])
WEEKDAYS = ("SUNDAY", *(name.upper() for name in calendar.day_name[:6]))

TERM = re.compile(r"(?P<first>\*|[A-Z]+|[0-9]+)(?:-(?P<last>[A-Z]+|[0-9]+))?(?:/(?P<step>[0-9]+))?")
EXTENSION = re.compile(r"\?|L|LW|L-[0-9]+|[0-9]+[LW]|(SUN|MON|TUE|WED|THU|FRI|SAT)L|[^#]*#[^#]*|H(/[0-9]+)?")
SUNDAY = "7"  # as cron's other name for 0, which Celery doesn't know


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `position` is the field's (1–5); None if it isn't one field's. `words` name both."""

    field: str
    position: int | None
    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    position: int
    low: int
    high: int
    celery: str
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        names = f" or {self.names[0][:3]}-{self.names[-1][:3]}" if self.names else ""
        return f"{self.low}-{self.high}{names}"

    def problem(self, code: str, words: str) -> Problem:
        return Problem(self.name, self.position, code, f"{self.name}: {words}")

    def number(self, text: str) -> str:
        """ "7" for "07", "JUL" and "JULY"; what is neither a number nor a name of this field's stays."""
        if text.isdigit():
            return str(int(text))
        for value, name in enumerate(self.names, start=self.low):
            if text in (name, name[:3]):
                return str(value)
        return text


FIELDS = (
    Field("minute", 1, 0, 59, "minute"),
    Field("hour", 2, 0, 23, "hour"),
    Field("day of the month", 3, 1, 31, "day_of_month"),
    Field("month", 4, 1, 12, "month_of_year", MONTHS),
    Field("weekday", 5, 0, 6, "day_of_week", WEEKDAYS),
)
MINUTE, HOUR, DAY, MONTH, WEEKDAY = FIELDS


# --- How they are stored ---------------------------------------------------------------------------------------------


def tidy(field: Field, part: str) -> str:
    """Names as numbers, no leading zeros, Sunday as 0; what isn't understood stays for `problems` to name."""
    terms = [_tidy_term(field, term) for term in part.split(",")]
    tidied = ",".join(terms)
    has_seven = field is WEEKDAY and any(SUNDAY in _ends(term) for term in terms)
    if not has_seven or any(_in_term(field, term) for term in terms):
        return tidied
    days = in_cron(field, tidied)
    # All seven aren't "*": beside a day of the month that would hide what cron and Celery join differently.
    return "0-6" if len(days) == 7 else ",".join(map(str, sorted(days)))


def _tidy_term(field: Field, term: str) -> str:
    match = TERM.fullmatch(term)
    if match is None:
        return term
    first, last, step = match["first"], match["last"], match["step"]
    written = first = field.number(first)
    if last is not None:
        end = field.number(last)
        if field is WEEKDAY and end == "0" and last.startswith("SUN") and first != "0":
            end = SUNDAY  # FRI-SUN: the one at the week's end
        if field is WEEKDAY and first == SUNDAY and end != SUNDAY:
            written = "0"
        written += f"-{end}"
    if step is not None and (written, int(step)) != ("*", 1):
        written += f"/{int(step)}"
    return written


def _ends(term: str) -> list[str]:
    return term.split("/")[0].split("-")


# --- What is wrong ---------------------------------------------------------------------------------------------------


def problems(field: Field, part: str) -> list[Problem]:
    """What is wrong with a tidied field; nothing is if cron and Celery make the same of it."""
    longest = LONGEST.get(field.position, len(part))
    if len(part) > longest:
        return [field.problem("long", f"it has {len(part)} characters; {longest} is the most that beat keeps")]
    if found := [problem for term in part.split(",") for problem in _in_term(field, term)]:
        return found
    try:
        alike = in_cron(field, part) == in_celery(field, part)
    except (CronSimError, ParseException, ValueError, KeyError) as error:
        return [field.problem("unsupported", f"{part} is not read by both cron and Celery ({error})")]
    if not alike:
        return [field.problem("differs", f"cron and Celery read {part} differently; list the values")]
    return []


def _in_term(field: Field, term: str) -> list[Problem]:
    if not term:
        return [field.problem("syntax", "a list has an empty place; take away the comma that is too many")]
    if EXTENSION.fullmatch(term):
        say = "write *" if term == "?" else f"allowed are *, {field.allowed}, ranges, lists and steps"
        return [field.problem("unsupported", f"{term} is not known to Celery, which starts the jobs; {say}")]
    match = TERM.fullmatch(term)
    if match is None or (match["first"] == "*" and match["last"] is not None):
        say = f"{term} is not a number, a range, a list or a step; allowed is {field.allowed}"
        return [field.problem("syntax", say)]
    ends = [end for end in _ends(term) if end != "*"]
    if found := [problem for end in ends for problem in _in_end(field, end)]:
        return found
    return _in_range(field, term, [int(end) for end in ends], match["step"])


def _in_end(field: Field, end: str) -> list[Problem]:
    if not end.isdigit():
        return [field.problem("name", f"{end} is no {field.name}; allowed is {field.allowed}")]
    if field is WEEKDAY and end == SUNDAY:
        return []
    if not field.low <= int(end) <= field.high:
        return [field.problem("range", f"{end} is out of range {field.low}-{field.high}")]
    return []


def _in_range(field: Field, term: str, ends: list[int], step: str | None) -> list[Problem]:
    if len(ends) == 2 and ends[1] < ends[0]:
        halves = f"{ends[0]}-{field.high},{field.low}-{ends[1]}"
        return [field.problem("reversed", f"{ends[0]}-{ends[1]} runs backwards; write {halves} if it goes round")]
    count = field.high - field.low + 1
    if step is not None and not 1 <= int(step) <= count:
        return [field.problem("step", f"a step of {step} is out of range 1-{count}")]
    if step is not None and len(ends) == 1:
        better = f"{ends[0] % (field.high + 1)}-{field.high}/{step}"
        return [field.problem("unsupported", f"Celery can't read {term}, a step without a range; write {better}")]
    return []


# --- What they hold --------------------------------------------------------------------------------------------------


def in_cron(field: Field, part: str) -> set[int]:
    """What cronsim makes of a field; raises CronSimError."""
    alone = ["*"] * 5
    alone[field.position - 1] = part
    read = CronSim(" ".join(alone), datetime(2000, 1, 1, tzinfo=UTC))
    if field is WEEKDAY:
        return {day % 7 for day in read.weekdays if isinstance(day, int)}
    return [read.minutes, read.hours, read.days, read.months][field.position - 1]


def in_celery(field: Field, part: str) -> set[int]:
    """What beat makes of it; raises ParseException, ValueError or KeyError."""
    found: set[int] = getattr(crontab(**{field.celery: part}), field.celery)
    return found


def never(day: str, month: str) -> list[Problem]:
    """A day that none of the months has."""
    days, months = sorted(in_cron(DAY, day)), sorted(in_cron(MONTH, month))
    # 2000 had a 29th of February.
    if days[0] <= max(calendar.monthrange(2000, number)[1] for number in months):
        return []
    which = joined([calendar.month_name[number] for number in months], "or")
    return [DAY.problem("never", f"{joined(days, 'or')} never comes in {which}, so it would never run")]


def joined(things: list[str] | list[int], by: str) -> str:
    """ "April, June and July"."""
    words = [str(thing) for thing in things]
    return f" {by} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
