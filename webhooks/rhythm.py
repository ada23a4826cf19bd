"""How often something usually comes, learned from when it came. Pure: moments in, a rhythm out.

Nights and weekends are no silence. So time is measured in *busy hours*: those hours of the week in which something
came in at least three of the last four weeks. Where too much comes outside of them, or too little is known yet, all
hours count.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

DAYS = 28
"""So far back it is looked: four times each hour of the week."""
STEP = timedelta(minutes=10)
"""Moments closer together than this need not be told apart."""
ENOUGH, ENOUGH_DAYS = 20, 7
"""Different times at which something came, and over how long: a weekend must have been seen."""
THOROUGH_DAYS, WEEKS = 21, 3
RANK = 3
"""The third-longest pause decides: a pause that every week brings counts, two outages of old don't."""
FACTOR = 1.5
LEAST_MINUTES = 30
BUSY_SHARE = 0.9

_HOUR = timedelta(hours=1)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Learned:
    """More than `minutes` (of the busy hours) without anything is too long; None: too little is known."""

    minutes: int | None
    busy: frozenset[int]
    words: str


def learn(moments: Sequence[datetime], *, now: datetime, zone: tzinfo) -> Learned:
    """From `moments` of the last DAYS at which something came, oldest first, at least STEP apart."""
    known_for = now - moments[0] if moments else timedelta()
    if len(moments) < ENOUGH or known_for < timedelta(days=ENOUGH_DAYS):
        seen = f"something came at {len(moments)} different times in {known_for.days} d"
        return Learned(
            None, frozenset(), f"Not learned yet: {seen}; {ENOUGH} times in at least {ENOUGH_DAYS} d are needed."
        )
    thorough = known_for >= timedelta(days=THOROUGH_DAYS)
    busy = _busy(moments, now, zone) if thorough else frozenset()
    pauses = sorted((measured(a, b, busy=busy, zone=zone) for a, b in pairwise(moments)), reverse=True)
    pause = pauses[RANK - 1 if thorough else 0]
    minutes = max(LEAST_MINUTES, math.ceil(pause * FACTOR))
    where = f"in the {len(busy)} hours of the week in which something nearly always comes, " if busy else ""
    which = "third-longest" if thorough else "longest"
    words = (
        f"Learned from {known_for.days} d: {where}the {which} pause was {span(pause)}; "
        f"more than {span(minutes)} is too long."
    )
    return Learned(minutes, busy, words)


def measured(start: datetime, end: datetime, *, busy: Collection[int], zone: tzinfo) -> float:
    """Minutes from `start` to `end`, of the busy hours only; without any, of all."""
    if not busy:
        return max(0.0, (end - start) / timedelta(minutes=1))
    weeks = max(0, (end - start) // _WEEK)
    total, at = weeks * len(busy) * 60.0, start + weeks * _WEEK
    while at < end:
        until = min(end, at.replace(minute=0, second=0, microsecond=0) + _HOUR)
        if _hour(at, zone) in busy:
            total += (until - at) / timedelta(minutes=1)
        at = until
    return total


def span(minutes: float) -> str:
    """ "45 min", "16 h", "3 d": whole units, as people say it."""
    if minutes < 120:
        return f"{round(minutes)} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 1440)} d"


def _busy(moments: Sequence[datetime], now: datetime, zone: tzinfo) -> frozenset[int]:
    """The busy hours; none where they don't hold nearly everything that came, or are all there are."""
    weeks: dict[int, set[int]] = defaultdict(set)
    times: Counter[int] = Counter()
    for moment in moments:
        hour = _hour(moment, zone)
        weeks[hour].add((now - moment) // _WEEK)
        times[hour] += 1
    busy = frozenset(hour for hour, seen in weeks.items() if len(seen) >= WEEKS)
    held = sum(times[hour] for hour in busy)
    return busy if held >= BUSY_SHARE * len(moments) and len(busy) < 7 * 24 else frozenset()


def _hour(moment: datetime, zone: tzinfo) -> int:
    local = moment.astimezone(zone)
    return local.weekday() * 24 + local.hour
