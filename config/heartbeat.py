"""The heartbeat bar: half a day of checks as an SVG that needs no script."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations.models import HealthStatus

SLOT, SLOTS = timedelta(minutes=15), 48
"""A heartbeat's bar is a quarter of an hour, which is one check at the usual interval; all of it is half a day."""

HEALTHY, DEGRADED, DOWN, UNKNOWN = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.DOWN, HealthStatus.UNKNOWN
_SEVERITY: dict[str, int] = {UNKNOWN: 0, HEALTHY: 1, DEGRADED: 2, DOWN: 3}
_BAR_HEIGHT: dict[str, int] = {UNKNOWN: 4, HEALTHY: 13, DEGRADED: 18, DOWN: 24}
"""In a box 24 high: the second cue beside colour (WCAG 1.4.1)."""
_SAID = {
    (False, False): gettext_noop("Last 12 hours: checked for {hours} h, healthy throughout"),
    (True, False): gettext_noop("Last 12 hours: checked for {hours} h, of these {down} h down"),
    (False, True): gettext_noop("Last 12 hours: checked for {hours} h, of these {degraded} h degraded"),
    (True, True): gettext_noop(
        "Last 12 hours: checked for {hours} h, of these {down} h down and {degraded} h degraded"
    ),
}
"""By whether it was ever down, and ever degraded."""


class Bars(NamedTuple):
    """All bars of one status, drawn as one dashed line as thick as they are high."""

    status: str
    height: int
    path: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    bars: tuple[Bars, ...]
    label: str


def draw(checks: Iterable[tuple[datetime, str]], interval_minutes: int, now: datetime) -> Heartbeat:
    """The last half day of `checks` (oldest first), a bar for each quarter of an hour: the worst that was found in it.

    A verdict holds until the next check is due, so that a longer interval leaves no gaps, but no longer: where nobody
    looked, nothing is claimed.
    """
    worst: dict[int, str] = {}
    latest: dict[int, str] = {}
    for at, status in checks:
        slot = SLOTS - 1 - (now - at) // SLOT
        if slot not in latest or _SEVERITY[status] > _SEVERITY[worst[slot]]:
            worst[slot] = status
        latest[slot] = status
    holds_for = -(-timedelta(minutes=interval_minutes) // SLOT)
    slots: list[str] = []
    current, seen = str(UNKNOWN), min(latest, default=0)
    for slot in range(min(0, seen), SLOTS):
        if slot in latest:
            current, seen = latest[slot], slot
        slots.append(worst.get(slot) or (current if slot - seen <= holds_for else UNKNOWN))
    slots = slots[-SLOTS:]
    return Heartbeat(_bars(slots), _label(slots))


def _bars(slots: list[str]) -> tuple[Bars, ...]:
    """Six units for each slot: a bar of 3.5 and a gap. The dashes themselves are in the style sheet (`.beat`)."""
    paths: dict[str, str] = defaultdict(str)
    start = 0
    for status, run in groupby(slots):
        length = len(list(run))
        paths[status] += f"M{start * 6 + 1.25:g} {24 - _BAR_HEIGHT[status] / 2:g}h{length * 6 - 2.5:g}"
        start += length
    return tuple(Bars(status, _BAR_HEIGHT[status], path) for status, path in paths.items())


def _label(slots: list[str]) -> str:
    known = Counter(status for status in slots if status != UNKNOWN)
    if not known:
        return _("No checks in the last 12 hours")
    hours, down, degraded = (
        f"{number * SLOT / timedelta(hours=1):g}" for number in (known.total(), known[DOWN], known[DEGRADED])
    )
    return _(_SAID[bool(known[DOWN]), bool(known[DEGRADED])]).format(hours=hours, down=down, degraded=degraded)
