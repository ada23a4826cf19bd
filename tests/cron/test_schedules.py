"""What people type as a schedule: what is taken, what is refused and in which words, when it runs."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from cronsim import CronSim
from django.core.exceptions import ValidationError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrations.cron import fields, schedules
from integrations.cron.models import validate_schedule, validate_timezone

NOW = datetime(2026, 11, 22, 10, 7, 30, tzinfo=UTC)  # a Sunday
ZONES = ["Europe/Berlin", "America/New_York", "Africa/Johannesburg"]
FIVE = "a schedule has five: minute, hour, day of the month, month, weekday"
IN_DAYS = "is not known to Celery, which starts the jobs; allowed are *, 1-31, ranges, lists and steps"
IN_WEEKDAYS = "is not known to Celery, which starts the jobs; allowed are *, 0-6 or SUN-SAT, ranges, lists and steps"
BOTH = (
    "weekday: the schedule restricts both the day of the month and the weekday, which cron joins by “or” and Celery "
    "by “and”: restrict one of them"
)


# --- Taken -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("*/15 * * * *", "*/15 * * * *"),
        ("  5   4\t* * *\n", "5 4 * * *"),
        ("05 07 * * *", "5 7 * * *"),
        ("*/1 */1 * * *", "* * * * *"),
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        (" @Weekly ", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 9 * jan,JUL mon-fri", "0 9 * 1,7 1-5"),
        ("0 9 * March Tuesday", "0 9 * 3 2"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * FRI-SUN", "0 0 * * 0,5,6"),
        ("0 0 * * SUN-WED", "0 0 * * 0-3"),
        ("0 0 * * 7-3", "0 0 * * 0-3"),
        ("0 0 * * 1-7/2", "0 0 * * 0,1,3,5"),
        ("0 0 * * 0-7", "0 0 * * 0-6"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0-59/7,3 9-17/2 1-7,31 */3 *", "0-59/7,3 9-17/2 1-7,31 */3 *"),
    ],
)
def test_what_is_taken_and_how_it_is_stored(typed, stored):
    assert schedules.problems(typed, "Europe/Berlin") == []
    assert schedules.read(typed) == stored
    assert schedules.read(stored) == stored
    assert len(schedules.upcoming(typed, "Europe/Berlin", NOW)) == 5


def test_sunday_by_its_other_name_would_stop_beat():
    with pytest.raises(ValueError, match="7 > 6"):
        crontab(day_of_week="7")


@pytest.mark.parametrize(
    ("typed", "words"),
    [("*/15 * * * *", "Every 15 minutes"), ("@weekly", "At 00:00, only on Sunday"), ("never", "never")],
)
def test_in_words(typed, words):
    assert schedules.describe(typed) == words


# --- Refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "position", "code", "words"),
    [
        ("", None, "fields", f"it is empty; {FIVE}"),
        ("5", None, "fields", f"it has 1 field; {FIVE}"),
        ("* * * *", None, "fields", f"it has 4 fields; {FIVE}"),
        ("* * * * * * *", None, "fields", f"it has 7 fields; {FIVE}"),
        (
            "0 * * * * *",
            None,
            "seconds",
            "it has six fields; seconds can't be set, so give five: minute, hour, day of the month, month, weekday",
        ),
        (
            "@reboot",
            None,
            "reboot",
            "@reboot is not taken: jobs run by the clock, not when a machine starts; try @daily",
        ),
        (
            "@noon",
            None,
            "nickname",
            "@noon is not known; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually",
        ),
        (f"{'1,' * 50}1 * * * *", None, "long", "it has 109 characters; a schedule has 100 at most"),
        ("61 * * * *", 1, "range", "minute: 61 is out of range 0-59"),
        ("0 24 * * *", 2, "range", "hour: 24 is out of range 0-23"),
        ("0 0 0 * *", 3, "range", "day of the month: 0 is out of range 1-31"),
        ("0 0 1 13 *", 4, "range", "month: 13 is out of range 1-12"),
        ("0 0 * * 8", 5, "range", "weekday: 8 is out of range 0-6"),
        ("0 0 * * 7,9", 5, "range", "weekday: 9 is out of range 0-6"),
        ("1-70 * * * *", 1, "range", "minute: 70 is out of range 0-59"),
        ("MON * * * *", 1, "name", "minute: MON is no minute; allowed is 0-59"),
        ("0 0 * FRI *", 4, "name", "month: FRI is no month; allowed is 1-12 or JAN-DEC"),
        ("0 0 * * Freitag", 5, "name", "weekday: FREITAG is no weekday; allowed is 0-6 or SUN-SAT"),
        ("*/0 * * * *", 1, "step", "minute: a step of 0 is out of range 1-60"),
        ("*/90 * * * *", 1, "step", "minute: a step of 90 is out of range 1-60"),
        ("0 17-9 * * *", 2, "reversed", "hour: 17-9 runs backwards; write 17-23,0-9 if it goes round"),
        ("0 0 * * FRI-MON", 5, "reversed", "weekday: 5-1 runs backwards; write 5-6,0-1 if it goes round"),
        (
            "5/15 * * * *",
            1,
            "unsupported",
            "minute: Celery can't read 5/15, a step without a range; write 5-59/15",
        ),
        ("5-5/2 * * * *", 1, "differs", "minute: cron and Celery read 5-5/2 differently; list the values"),
        ("0 0 ? * *", 3, "unsupported", "day of the month: ? is not known to Celery, which starts the jobs; write *"),
        (
            "0 0 L * *",
            3,
            "unsupported",
            f"day of the month: L {IN_DAYS}",
        ),
        (
            "0 0 15W * *",
            3,
            "unsupported",
            f"day of the month: 15W {IN_DAYS}",
        ),
        (
            "0 0 * * 5L",
            5,
            "unsupported",
            f"weekday: 5L {IN_WEEKDAYS}",
        ),
        (
            "0 0 * * MON#2",
            5,
            "unsupported",
            f"weekday: MON#2 {IN_WEEKDAYS}",
        ),
        ("1,,2 * * * *", 1, "syntax", "minute: a list has an empty place; take away the comma that is too many"),
        (
            "1-5-7 * * * *",
            1,
            "syntax",
            "minute: 1-5-7 is not a number, a range, a list or a step; allowed is 0-59",
        ),
        ("-1 * * * *", 1, "syntax", "minute: -1 is not a number, a range, a list or a step; allowed is 0-59"),
        ("0 0 30 2 *", 3, "never", "day of the month: 30 never comes in February, so it would never run"),
        (
            "0 0 31 2,4,6 *",
            3,
            "never",
            "day of the month: 31 never comes in February, April or June, so it would never run",
        ),
        ("0 0 1 * 1", 5, "both", BOTH),
        ("0 0 1 * 0-7", 5, "both", BOTH),
        (
            f"0 0 * {','.join(['1'] * 33)} *",
            4,
            "long",
            "month: it has 65 characters; 64 is the most that beat keeps",
        ),
    ],
)
def test_what_is_refused_and_in_which_words(typed, position, code, words):
    names = [field.name for field in fields.FIELDS]
    field = names[position - 1] if position else "schedule"
    assert schedules.problems(typed, "UTC") == [schedules.Problem(field, position, code, words)]
    with pytest.raises(schedules.Refused, match=re.escape(words)):
        schedules.upcoming(typed, "UTC", NOW)


def test_everything_that_is_wrong_is_told_at_once():
    found = schedules.problems("61,99 25 0 * *", "Mars/Olympus")
    assert [(problem.position, problem.code) for problem in found] == [
        (1, "range"), (1, "range"), (2, "range"), (3, "range"), (None, "zone"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("africa/johanesburg", "africa/johanesburg is no time zone: perhaps Africa/Johannesburg is meant"),
        ("Berlin", "Berlin is no time zone: perhaps Europe/Berlin is meant"),
        ("Mars/Olympus", "Mars/Olympus is no time zone: give one such as Africa/Johannesburg"),
        ("Europe", "Europe is no time zone: give one such as Africa/Johannesburg"),
        ("localtime", "localtime is no time zone: give one such as Africa/Johannesburg"),
        ("", "an empty text is no time zone: give one such as Africa/Johannesburg"),
    ],
)
def test_zones_that_there_are_not(zone, words):
    assert schedules.problems("@daily", zone) == [schedules.Problem("timezone", None, "zone", words)]


def test_the_model_refuses_with_the_same_words_and_wants_it_as_it_is_stored():
    validate_schedule("0 9 * * 1-5")
    validate_timezone("Europe/Berlin")
    for typed, words in [
        ("61 * * * *", "This is no cron schedule: minute: 61 is out of range 0-59."),
        ("@daily", "Write it as 0 0 * * *."),
        ("0 0 * * 7", "Write it as 0 0 * * 0."),
    ]:
        with pytest.raises(ValidationError) as refused:
            validate_schedule(typed)
        assert (refused.value.messages, refused.value.code) == ([words], "schedule")
    with pytest.raises(ValidationError) as refused:
        validate_timezone("Berlin")
    assert (refused.value.messages, refused.value.code) == (
        ["Berlin is no time zone: perhaps Europe/Berlin is meant."], "zone",
    )  # fmt: skip


# --- Whatever is typed -----------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=120) | st.text("0123456789*/,-#LW?@ MONJAsundfri\t", max_size=60)


@settings(max_examples=300, deadline=None, database=None)
@given(TEXTS, st.sampled_from([*ZONES, "UTC"]) | st.text(max_size=20))
@example("0 0 * * ß", "UTC")
@example("9" * 90 + " * * * *", "UTC")
def test_any_text_gives_problems_or_runs(typed, zone):
    if found := schedules.problems(typed, zone):
        assert all(problem.words and problem.code for problem in found)
    else:
        assert len(schedules.upcoming(typed, zone, NOW)) == 5


@st.composite
def terms(draw, low, high):
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high - low + 1))
    return draw(st.sampled_from(["*", f"{first}", f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}"]))


@st.composite
def five(draw):
    parts = [",".join(draw(st.lists(terms(field.low, field.high), min_size=1, max_size=3))) for field in fields.FIELDS]
    parts[draw(st.sampled_from([2, 4]))] = "*"
    return " ".join(parts)


@settings(max_examples=200, deadline=None, database=None)
@given(five(), st.sampled_from(ZONES), st.integers(0, 2 * 365 * 24 * 60))
@example("30 2 * * *", "Europe/Berlin", 0)
@example("* * * * *", "America/New_York", 0)
@example("0 1 * 9-11 0", "America/New_York", 0)
def test_runs_are_cronsims_and_both_read_each_field_alike(typed, zone, minutes):
    found = {problem.code for problem in schedules.problems(typed, zone)}
    assert found <= {"differs", "never"}
    if found:
        return
    now, stored = NOW + timedelta(minutes=minutes), schedules.read(typed)
    moments = schedules.upcoming(typed, zone, now, n=12)
    expected = islice(CronSim(stored, now.astimezone(ZoneInfo(zone))), 12)
    assert [moment.at for moment in moments] == [run.astimezone(UTC) for run in expected]
    # Compared in UTC: of a time that comes twice Python holds no other zone's to be the same (PEP 495).
    assert all(moment.local.astimezone(UTC) == moment.at and moment.at.tzinfo == UTC for moment in moments)
    beat = crontab.from_string(stored)
    day = moments[0].local
    assert day.month in beat.month_of_year
    for field, part in zip(fields.FIELDS, stored.split(" "), strict=True):
        assert fields.in_cron(field, part) == getattr(beat, field.celery)


# --- Others in the same minute ---------------------------------------------------------------------------------------


def test_jobs_that_start_in_the_same_minute_are_named():
    others = [
        ("quarter-hourly", "*/15 * * * *", "Europe/Berlin"),
        ("every-minute", "* * * * *", "UTC"),
        ("the-same-elsewhere", "0 5 * * *", "Africa/Johannesburg"),
        ("never-with-it", "30 3 * * *", "UTC"),
        ("once-a-week", "0 3 * * 1", "UTC"),
        ("broken", "61 * * * *", "UTC"),
    ]
    assert schedules.clashes("0 3 * * *", "UTC", others, NOW) == [
        "quarter-hourly starts in the same minute at 5 of the next 5 runs.",
        "the-same-elsewhere starts in the same minute at 5 of the next 5 runs.",
    ]


def test_three_of_five_are_enough_and_two_are_not():
    assert schedules.clashes("0 3 * * *", "UTC", [("three", "0 3 * * 1-3", "UTC")], NOW) == [
        "three starts in the same minute at 3 of the next 5 runs."
    ]
    assert schedules.clashes("0 3 * * *", "UTC", [("two", "0 3 * * 1,2", "UTC")], NOW) == []


def test_who_runs_every_minute_is_warned_of_nothing():
    assert schedules.clashes("* * * * *", "UTC", [("other", "*/5 * * * *", "UTC")], NOW) == []
