"""Daylight saving time: what cron does, what beat does, and that a note says where they part."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery.beat import Scheduler
from django_celery_beat import schedulers
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from config.celery import app
from integrations.cron import clock_changes, schedules

BERLIN, NEW_YORK, CAIRO = "Europe/Berlin", "America/New_York", "Africa/Cairo"
FORWARD = "The clock is set forward: "
LATER = "Beat starts it at 03:30."
NOTHING = "Beat starts nothing then, so this run will be missed."


def local(zone, text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def told(schedule, zone, now, n=5):
    """The runs by the zone's clock, with what is said of them."""
    return [
        (moment.local.isoformat(timespec="minutes"), moment.note)
        for moment in schedules.upcoming(schedule, zone, local(zone, now), n)
    ]


# --- Set forward -----------------------------------------------------------------------------------------------------


def test_a_time_that_doesnt_exist_is_moved_to_the_end_of_the_gap():
    assert told("30 2 * * *", BERLIN, "2027-03-27 12:00", 2) == [
        (
            "2027-03-28T03:00+02:00",
            f"{FORWARD}02:30 doesn't exist on 2027-03-28, so it runs at 03:00 instead. {LATER}",
        ),
        ("2027-03-29T02:30+02:00", ""),
    ]


def test_the_same_in_new_york_and_at_midnight_in_cairo():
    assert told("30 2 * * *", NEW_YORK, "2027-03-13 12:00", 1) == [
        ("2027-03-14T03:00-04:00", f"{FORWARD}02:30 doesn't exist on 2027-03-14, so it runs at 03:00 instead. {LATER}")
    ]
    assert told("0 0 * * *", CAIRO, "2027-04-29 12:00", 1) == [
        ("2027-04-30T01:00+03:00", f"{FORWARD}00:00 doesn't exist on 2027-04-30, so it runs at 01:00 instead.")
    ]


def test_several_times_in_the_gap_become_one_run_and_beat_may_leave_that_out():
    assert told("15,45 1-3 * * *", BERLIN, "2027-03-28 01:30", 3) == [
        ("2027-03-28T01:45+01:00", ""),
        (
            "2027-03-28T03:00+02:00",
            f"{FORWARD}02:15 and 02:45 don't exist on 2027-03-28, so it runs at 03:00 instead. {NOTHING}",
        ),
        ("2027-03-28T03:15+02:00", ""),
    ]


def test_where_a_field_begins_with_a_star_a_time_that_doesnt_exist_is_skipped():
    assert told("*/30 2 * * *", BERLIN, "2027-03-27 12:00", 1) == [
        (
            "2027-03-29T02:00+02:00",
            "Skipped that day: 02:00 and 02:30 don't exist on 2027-03-28 (the clock is set forward).",
        )
    ]
    assert told("0 */2 * * *", BERLIN, "2027-03-28 00:30", 2) == [
        ("2027-03-28T04:00+02:00", "Skipped that day: 02:00 doesn't exist on 2027-03-28 (the clock is set forward)."),
        ("2027-03-28T06:00+02:00", ""),
    ]


def test_a_time_that_falls_onto_another_is_one_run():
    assert told("0 2,3 * * *", BERLIN, "2027-03-27 12:00", 2) == [
        ("2027-03-28T03:00+02:00", "Skipped that day: 02:00 doesn't exist on 2027-03-28 (the clock is set forward)."),
        ("2027-03-29T02:00+02:00", ""),
    ]


@pytest.mark.parametrize("schedule", ["*/15 * * * *", "30 * * * *", "* * * * *", "30 1 * * *", "0 4 * * *"])
def test_nothing_is_said_where_nothing_is_amiss(schedule):
    assert {note for _, note in told(schedule, BERLIN, "2027-03-28 01:10", 20)} == {""}


# --- Set back --------------------------------------------------------------------------------------------------------


def test_a_time_that_comes_twice_is_run_once():
    back = "The clock is set back on 2027-10-31: 02:30 comes twice; it runs once, the first time."
    assert told("30 2 * * *", BERLIN, "2027-10-30 12:00", 2) == [
        ("2027-10-31T02:30+02:00", back),
        ("2027-11-01T02:30+01:00", ""),
    ]
    assert told("30 1 * * *", NEW_YORK, "2027-11-06 12:00", 1)[0][0] == "2027-11-07T01:30-04:00"


def test_where_a_field_begins_with_a_star_it_is_run_twice():
    back = "The clock is set back on 2027-10-31: 02:30 comes twice"
    assert told("30 * * * *", BERLIN, "2027-10-31 01:40", 3) == [
        ("2027-10-31T02:30+02:00", f"{back}, and both are runs."),
        ("2027-10-31T02:30+01:00", f"{back}; this is the second time."),
        ("2027-10-31T03:30+01:00", ""),
    ]


def test_in_between_the_two_the_second_is_told():
    now = datetime(2027, 10, 31, 0, 45, tzinfo=UTC)  # 02:45 for the first time
    (moment,) = schedules.upcoming("30 * * * *", BERLIN, now, 1)
    assert moment.at == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)
    assert "this is the second time" in moment.note


def test_beat_is_given_a_zone_in_which_it_does_not_pause():
    def zone(schedule: str, name: str) -> str:
        return clock_changes.beat_zone(schedule, ZoneInfo(name), datetime(2027, 6, 1, tzinfo=UTC)).key

    assert {zone(schedule, BERLIN) for schedule in ("*/15 * * * *", "30 * * * *", "* * * * *")} == {"UTC"}
    for schedule in ("0 */2 * * *", "0 5 * * *", "*/5 * * * 1", "*/5 * 1 * *", "*/5 * * 6 *"):
        assert zone(schedule, BERLIN) == BERLIN
    # Minutes off whole hours, always or for half the year: it would start at the wrong ones.
    for name in ("Asia/Kolkata", "Australia/Lord_Howe"):
        assert zone("30 * * * *", name) == name


# --- No change, and beat itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["30 2 * * *", "*/30 2 * * *", "0 */2 * * *", "15,45 1-3 * * *", "0 0 29 2 *"])
def test_in_johannesburg_no_clock_is_ever_changed_and_beat_starts_what_cron_says(schedule):
    zone, now = ZoneInfo("Africa/Johannesburg"), datetime(2026, 12, 31, 22, tzinfo=UTC)
    moments = schedules.upcoming(schedule, zone.key, now, 800)
    assert {moment.note for moment in moments} == {""}
    begun = clock_changes.starts(schedule, zone, now)
    assert [next(begun) for _ in moments] == [moment.at for moment in moments]


CHANGES = [
    ("30 2 * * *", "2027-03-28", ["03:30+02:00"]),
    ("15,45 2 * * *", "2027-03-28", ["03:15+02:00"]),
    ("15,45 1-3 * * *", "2027-03-28", ["01:15+01:00", "01:45+01:00", "03:15+02:00", "03:45+02:00"]),
    ("*/30 2 * * *", "2027-03-28", ["03:00+02:00"]),
    ("0 */2 * * *", "2027-03-28", ["03:00+02:00", "04:00+02:00"]),
    ("*/30 * * * *", "2027-03-28", ["01:00+01:00", "01:30+01:00", "03:00+02:00", "03:30+02:00", "04:00+02:00"]),
    ("30 2 * * *", "2027-10-31", ["02:30+02:00"]),
    ("*/30 2 * * *", "2027-10-31", ["02:00+02:00", "02:30+02:00"]),
    ("0 */2 * * *", "2027-10-31", ["02:00+02:00", "04:00+01:00"]),
    ("30 * * * *", "2027-10-31", ["01:30+02:00", "02:30+02:00", "02:30+01:00", "03:30+01:00"]),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("schedule", "day", "expected"), CHANGES)
def test_the_real_beat_does_what_the_notes_take_it_to_do(schedule, day, expected, monkeypatch):
    """django-celery-beat's own scheduler, ticking from 00:50 to 04:10 of that night."""
    zone, begin, end = ZoneInfo(BERLIN), local(BERLIN, f"{day} 00:50"), local(BERLIN, f"{day} 04:10")
    begun = []
    monkeypatch.setattr(
        Scheduler, "apply_entry", lambda self, entry, producer=None: begun.append((entry.name, datetime.now(UTC)))
    )
    monkeypatch.setattr(schedulers, "close_old_connections", lambda: None)
    minute, hour, *_ = schedule.split()
    zoned = clock_changes.beat_zone(schedule, zone, begin).key
    crontab = CrontabSchedule.objects.create(minute=minute, hour=hour, timezone=zoned)
    PeriodicTask.objects.all().delete()
    with time_machine.travel(begin, tick=False) as clock:
        PeriodicTask.objects.create(name="it", task="cron.run", crontab=crontab, last_run_at=begin)
        beat, now = schedulers.DatabaseScheduler(app=app, lazy=True, max_interval=300), begin
        while now < end:
            now += timedelta(seconds=max(beat.tick(), 0.02))
            clock.move_to(now)
    starts = [start for name, start in begun if name == "it"]
    assert [start.astimezone(zone).isoformat(timespec="minutes")[11:] for start in starts] == expected
    taken = clock_changes.starts(schedule, zone, begin)
    predicted = [next(taken) for _ in starts]
    assert [start.replace(second=0, microsecond=0) for start in starts] == predicted
