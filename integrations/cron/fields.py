"""The five fields of a schedule: what each may hold, what is wrong with one, how cron and Celery read it."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from celery.schedules import ParseException, crontab
from cronsim import CronSim, CronSimError
from django.utils import dates
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

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
    def label(self) -> str:
        """Its name as people read it."""
        return _(self.name)

    @property
    def allowed(self) -> str:
        numbers = f"{self.low}-{self.high}"
        if not self.names:
            return numbers
        return _("{numbers} or {names}").format(numbers=numbers, names=f"{self.names[0][:3]}-{self.names[-1][:3]}")

    def problem(self, code: str, words: str) -> Problem:
        return Problem(self.name, self.position, code, f"{self.label}: {words}")

    def number(self, text: str) -> str:
        """ "7" for "07", "JUL" and "JULY"; what is neither a number nor a name of this field's stays."""
        if text.isdigit():
            return str(int(text))
        for value, name in enumerate(self.names, start=self.low):
            if text in (name, name[:3]):
                return str(value)
        return text


FIELDS = (
    Field(gettext_noop("minute"), 1, 0, 59, "minute"),
    Field(gettext_noop("hour"), 2, 0, 23, "hour"),
    Field(gettext_noop("day of the month"), 3, 1, 31, "day_of_month"),
    Field(gettext_noop("month"), 4, 1, 12, "month_of_year", MONTHS),
    Field(gettext_noop("weekday"), 5, 0, 6, "day_of_week", WEEKDAYS),
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
        words = _("it has {n} characters; {most} is the most that beat keeps")
        return [field.problem("long", words.format(n=len(part), most=longest))]
    if found := [problem for term in part.split(",") for problem in _in_term(field, term)]:
        return found
    try:
        alike = in_cron(field, part) == in_celery(field, part)
    except (CronSimError, ParseException, ValueError, KeyError) as error:
        words = _("{part} is not read by both cron and Celery ({error})")
        return [field.problem("unsupported", words.format(part=part, error=error))]
    if not alike:
        words = _("cron and Celery read {part} differently; list the values")
        return [field.problem("differs", words.format(part=part))]
    return []


def _in_term(field: Field, term: str) -> list[Problem]:
    if not term:
        return [field.problem("syntax", _("a list has an empty place; take away the comma that is too many"))]
    if EXTENSION.fullmatch(term):
        if term == "?":
            words = _("? is not known to Celery, which starts the jobs; write *")
        else:
            words = _(
                "{term} is not known to Celery, which starts the jobs; allowed are *, {allowed}, ranges, lists and "
                "steps"
            )
        return [field.problem("unsupported", words.format(term=term, allowed=field.allowed))]
    match = TERM.fullmatch(term)
    if match is None or (match["first"] == "*" and match["last"] is not None):
        words = _("{term} is not a number, a range, a list or a step; allowed is {allowed}")
        return [field.problem("syntax", words.format(term=term, allowed=field.allowed))]
    ends = [end for end in _ends(term) if end != "*"]
    if found := [problem for end in ends for problem in _in_end(field, end)]:
        return found
    return _in_range(field, term, [int(end) for end in ends], match["step"])


def _in_end(field: Field, end: str) -> list[Problem]:
    if not end.isdigit():
        words = _("{end} is no {field}; allowed is {allowed}")
        return [field.problem("name", words.format(end=end, field=field.label, allowed=field.allowed))]
    if field is WEEKDAY and end == SUNDAY:
        return []
    if not field.low <= int(end) <= field.high:
        words = _("{end} is out of range {range}")
        return [field.problem("range", words.format(end=end, range=f"{field.low}-{field.high}"))]
    return []


def _in_range(field: Field, term: str, ends: list[int], step: str | None) -> list[Problem]:
    if len(ends) == 2 and ends[1] < ends[0]:
        halves = f"{ends[0]}-{field.high},{field.low}-{ends[1]}"
        words = _("{range} runs backwards; write {halves} if it goes round")
        return [field.problem("reversed", words.format(range=f"{ends[0]}-{ends[1]}", halves=halves))]
    count = field.high - field.low + 1
    if step is not None and not 1 <= int(step) <= count:
        words = _("a step of {step} is out of range {range}")
        return [field.problem("step", words.format(step=step, range=f"1-{count}"))]
    if step is not None and len(ends) == 1:
        better = f"{ends[0] % (field.high + 1)}-{field.high}/{step}"
        words = _("Celery can't read {term}, a step without a range; write {better}")
        return [field.problem("unsupported", words.format(term=term, better=better))]
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
    which = either([str(dates.MONTHS[number]) for number in months])
    words = _("{days} never comes in {months}, so it would never run")
    return [DAY.problem("never", words.format(days=either(days), months=which))]


def either(things: list[str] | list[int]) -> str:
    """ "April, June or July"."""
    *others, last = map(str, things)
    return _("{others} or {last}").format(others=", ".join(others), last=last) if others else last


def both(things: list[str]) -> str:
    """ "April, June and July"."""
    *others, last = things
    return _("{others} and {last}").format(others=", ".join(others), last=last) if others else last
