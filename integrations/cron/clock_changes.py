"""What becomes of a schedule where its zone's clock is changed: in cron, which says what slots there are, and in
django-celery-beat, which starts the work. They don't agree (docs/jobs-schedules.md)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim
from django.utils.translation import gettext as _
from django_celery_beat.tzcrontab import TzAwareCrontab

from integrations.cron.fields import both

LONGEST = timedelta(hours=3)
"""Longer than clocks are changed by."""


def runs(schedule: str, tz: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The slots after `after`, in UTC."""
    for run in CronSim(schedule, after.astimezone(tz)):
        yield run.astimezone(UTC)


def beat_zone(schedule: str, tz: ZoneInfo, now: datetime) -> ZoneInfo:
    """The zone that beat is given. UTC for what comes in every hour alike, as it would pause for the hour that comes
    twice; unless the zone is some minutes off whole hours."""
    _minute, *others = schedule.split(" ")
    year = [(now + timedelta(days=30 * months)).astimezone(tz).utcoffset() for months in range(13)]
    whole = all(offset is not None and not offset % timedelta(hours=1) for offset in year)
    return ZoneInfo("UTC") if whole and set(others) == {"*"} else tz


def starts(schedule: str, tz: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """When beat starts the work, by its own arithmetic, if it last did at `after`; in UTC."""
    minute, hour, day, month, weekday = schedule.split(" ")
    tz = beat_zone(schedule, tz, after)
    beat = TzAwareCrontab(minute, hour, weekday, day, month, tz=tz)  # type: ignore[no-untyped-call]  # has no types
    last = after
    while True:
        begin, delta, _ = beat.remaining_delta(last.astimezone(tz))  # what time it is now plays no part in those two
        start = (begin + delta).astimezone(UTC)
        if start <= last:
            return
        yield start
        last = start


def notes(schedule: str, tz: ZoneInfo, now: datetime, moments: list[datetime]) -> dict[datetime, str]:
    """What is odd about those of `moments` (slots in UTC, all that come after `now`) that a changed clock touches."""
    if not moments:
        return {}
    since, until = now - LONGEST, moments[-1] + LONGEST
    wall = since.astimezone(tz).replace(tzinfo=None)
    named = list(_until(iter(CronSim(schedule, wall)), until.astimezone(tz).replace(tzinfo=None)))
    absent = [wall for wall in named if not _exists(wall, tz)]
    twice = [wall for wall in named if _exists(wall, tz) and _utc(wall, tz) != _utc(wall, tz, fold=1)]
    if not absent and not twice:
        return {}
    slots = list(_until(runs(schedule, tz, since), until))
    begun = list(_until(starts(schedule, tz, since), until))
    found = _set_forward(absent, named, tz, now, slots) | _set_back(twice, tz, slots)
    return {slot: f"{found[slot]}{_by_beat(slot, slots, begun, tz)}" for slot in moments if slot in found}


def _until(times: Iterator[datetime], end: datetime) -> Iterator[datetime]:
    for time in times:
        if time > end:
            return
        yield time


def _utc(wall: datetime, tz: ZoneInfo, *, fold: int = 0) -> datetime:
    return wall.replace(tzinfo=tz, fold=fold).astimezone(UTC)


def _exists(wall: datetime, tz: ZoneInfo) -> bool:
    return _utc(wall, tz).astimezone(tz).replace(tzinfo=None) == wall


# --- In cron ---------------------------------------------------------------------------------------------------------


def _set_forward(
    absent: list[datetime], named: list[datetime], tz: ZoneInfo, now: datetime, slots: list[datetime]
) -> dict[datetime, str]:
    """Times that no clock shows: cron moves them to the end of the gap, or skips them where a field begins with *."""
    gaps: dict[datetime, list[datetime]] = {}
    for wall in absent:
        end = wall
        while not _exists(end, tz):
            end += timedelta(minutes=1)
        gaps.setdefault(end, []).append(wall)
    found = {}
    for end, missing in gaps.items():
        at, gone = _utc(end, tz), _gone(missing, end)
        slot = next((slot for slot in slots if slot >= at), None)
        if slot is None or at <= now:
            continue
        if slot == at and end not in named:
            words = _("The clock is set forward: {gone}, so it runs at {time} instead.")
            found[slot] = words.format(gone=gone, time=f"{end:%H:%M}")
        elif not _keeps_its_pace(slot, slots):
            found[slot] = _("Skipped that day: {gone} (the clock is set forward).").format(gone=gone)
    return found


def _keeps_its_pace(slot: datetime, slots: list[datetime]) -> bool:
    """Whether slots are as far apart before it as after it: then nothing is amiss in what the clock left out."""
    place = slots.index(slot)
    near = slots[max(place - 1, 0) : place + 2]
    return len(near) == 3 and near[1] - near[0] == near[2] - near[1]


def _gone(walls: list[datetime], end: datetime) -> str:
    times, date = [f"{wall:%H:%M}" for wall in walls], f"{end:%Y-%m-%d}"
    if len(times) == 1:
        return _("{time} doesn't exist on {date}").format(time=times[0], date=date)
    if len(times) > 3:
        return _("{first} to {last} don't exist on {date}").format(first=times[0], last=times[-1], date=date)
    return _("{times} don't exist on {date}").format(times=both(times), date=date)


def _set_back(twice: list[datetime], tz: ZoneInfo, slots: list[datetime]) -> dict[datetime, str]:
    """Times that come twice: cron runs at the first, or at both where a field begins with *."""
    found = {}
    for wall in twice:
        first, second = _utc(wall, tz), _utc(wall, tz, fold=1)
        if second in slots:
            words = _("The clock is set back on {date}: {time} comes twice, and both are runs.")
        else:
            words = _("The clock is set back on {date}: {time} comes twice; it runs once, the first time.")
        again = _("The clock is set back on {date}: {time} comes twice; this is the second time.")
        date, time = f"{wall:%Y-%m-%d}", f"{wall:%H:%M}"
        found[first], found[second] = words.format(date=date, time=time), again.format(date=date, time=time)
    return found


# --- In beat ---------------------------------------------------------------------------------------------------------


def _by_beat(slot: datetime, slots: list[datetime], begun: list[datetime], tz: ZoneInfo) -> str:
    """What beat makes of a slot, if not the same."""
    if slot in begun:
        return ""
    place = slots.index(slot)
    following = slots[place + 1] if place + 1 < len(slots) else slot + LONGEST
    late = next((start for start in begun if slot < start < following), None)
    if late is not None:
        return " " + _("Beat starts it at {time}.").format(time=f"{late.astimezone(tz):%H:%M}")
    return " " + _("Beat starts nothing then, so this run will be missed.")
