"""How often something usually comes: learned from moments, without a database."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from webhooks import rhythm

ZONE = ZoneInfo("Africa/Johannesburg")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)  # a Monday, noon in Johannesburg
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def every(step: timedelta, *, days: float, until: datetime = NOW) -> list[datetime]:
    start = until - timedelta(days=days)
    return [start + n * step for n in range(int((until - start) / step) + 1)]


def office(days: int = 28) -> list[datetime]:
    """Every twenty minutes from 8 to 17 o'clock, Monday to Friday."""
    moments = every(timedelta(minutes=20), days=days)
    return [at for at in moments if (local := at.astimezone(ZONE)).weekday() < 5 and 8 <= local.hour < 17]


def learned(moments: list[datetime]) -> rhythm.Learned:
    return rhythm.learn(moments, now=NOW, zone=ZONE)


def test_what_comes_around_the_clock_is_expected_a_half_more_than_its_usual_pause():
    found = learned(every(HOUR, days=28))
    assert (found.minutes, found.busy) == (90, frozenset())
    assert found.words == "Learned from 28 d: the third-longest pause was 60 min; more than 90 min is too long."


def test_nobody_is_called_for_less_than_half_an_hour():
    assert learned(every(timedelta(minutes=10), days=28)).minutes == rhythm.LEAST_MINUTES


def test_nights_and_weekends_count_for_nothing():
    found = learned(office())
    assert found.busy == {day * 24 + hour for day in range(5) for hour in range(8, 17)}
    assert found.minutes == rhythm.LEAST_MINUTES
    assert "in the 45 hours of the week in which something nearly always comes" in found.words
    friday_evening, monday_morning = NOW - 2 * DAY - 19 * HOUR, NOW - 4 * HOUR + timedelta(minutes=10)
    quiet = {"busy": found.busy, "zone": ZONE}
    assert rhythm.measured(friday_evening, monday_morning, **quiet) == 10
    assert rhythm.measured(friday_evening, monday_morning + HOUR, **quiet) == 70


def test_what_comes_a_few_times_a_day_has_no_busy_hours_but_long_pauses():
    moments = sorted(NOW - n * DAY - (n * 7 % 24) * HOUR for n in range(27))
    found = learned(moments)
    assert found.busy == frozenset()
    assert found.minutes > 24 * 60


def test_two_outages_of_old_do_not_make_it_patient():
    moments = every(HOUR, days=28)
    del moments[50:90], moments[300:340]
    assert learned(moments).minutes == 90
    del moments[400:440]
    assert learned(moments).minutes > 40 * 60


def test_a_week_must_have_been_seen():
    assert learned(every(HOUR, days=6.9)).minutes is None
    assert learned(every(HOUR, days=7)).minutes == 90


def test_until_three_weeks_are_known_the_longest_pause_decides():
    moments = every(HOUR, days=14)
    del moments[50:90]
    found = learned(moments)
    assert found.minutes == 41 * 60 * 1.5
    assert "the longest pause was 41 h" in found.words


def test_twenty_different_times_are_needed():
    assert learned(every(DAY, days=18)).minutes is None
    assert learned(every(DAY, days=19)).minutes == 36 * 60
    found = learned([])
    assert (found.minutes, found.words) == (
        None,
        "Not learned yet: something came at 0 different times in 0 d; 20 times in at least 7 d are needed.",
    )


@pytest.mark.parametrize("weeks", [0, 1, 5, 300])
def test_long_spans_are_measured_week_by_week(weeks):
    busy = {0, 1, 30}  # Monday 0–2, Tuesday 6–7
    monday = datetime(2026, 11, 23, 0, 0, tzinfo=ZONE)
    end = monday + timedelta(weeks=weeks) + timedelta(minutes=90)
    assert rhythm.measured(monday, end, busy=busy, zone=ZONE) == weeks * 180 + 90
    assert rhythm.measured(end, monday, busy=busy, zone=ZONE) == 0


@pytest.mark.parametrize(
    ("minutes", "said"), [(45, "45 min"), (119, "119 min"), (120, "2 h"), (16 * 60, "16 h"), (3 * 1440, "3 d")]
)
def test_spans_are_said_as_people_say_them(minutes, said):
    assert rhythm.span(minutes) == said
