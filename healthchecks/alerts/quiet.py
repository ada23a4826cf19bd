"""Quiet hours: what can wait until morning waits. Pure."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

LONGEST = timedelta(hours=16)
"""What is held back must be told within the day."""


def until(thresholds: Any, now: datetime, zone: tzinfo) -> datetime | None:
    """When the quiet hours end that `now` lies in; None: it lies in none.

    `thresholds` are an integration's; their `quietHours` are {"from": "22:00", "to": "06:00"}, local times in `zone`.
    What is written otherwise counts as none.
    """
    hours = thresholds.get("quietHours") if isinstance(thresholds, Mapping) else None
    begins, ends = (clock(hours.get(name) if isinstance(hours, Mapping) else None) for name in ("from", "to"))
    if begins is None or ends is None or begins == ends:
        return None
    local = now.astimezone(zone)
    at = local.time()
    if not (begins <= at < ends if begins < ends else at >= begins or at < ends):
        return None
    day = local.date() if at < ends else local.date() + timedelta(days=1)
    return datetime.combine(day, ends, tzinfo=zone)


def clock(text: object) -> time | None:
    """ "22:00" as a time of day; None for what is none."""
    try:
        return time.fromisoformat(text) if isinstance(text, str) and len(text) == 5 else None
    except ValueError:
        return None


def span(begins: str, ends: str) -> timedelta:
    """How long they are, over midnight if need be; none at all if they begin and end at the same time."""
    first, last = clock(begins), clock(ends)
    if first is None or last is None:
        return timedelta(0)
    minutes = (last.hour - first.hour) * 60 + last.minute - first.minute
    return timedelta(minutes=minutes % (24 * 60))
