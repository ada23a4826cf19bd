"""What charts are drawn from: the points of a metric chart as JSON, and sparklines as paths. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from healthchecks.figures import Metrics

WIDTH, HEIGHT, MARGIN = 96, 24, 2
MOST_POINTS = 32
"""Of a sparkline: it is 96 pixels wide."""


def sparkline(values: Sequence[float | None]) -> str:
    """A path through `values` from left to right; where one is missing the line has a gap, and alone it is a dot."""
    values = _thinned(values)
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    across, up = WIDTH / max(len(values) - 1, 1), (HEIGHT - 2 * MARGIN) / (high - low) if high > low else 0
    path, pen_down = [], False
    for place, value in enumerate(values):
        if value is not None:
            y = HEIGHT - MARGIN - (value - low) * up if up else HEIGHT / 2
            alone = not pen_down and (place + 1 == len(values) or values[place + 1] is None)
            path.append(f"{'L' if pen_down else 'M'}{place * across:.1f} {y:.1f}{'h.01' if alone else ''}")
        pen_down = value is not None
    return "".join(path)


def _thinned(values: Sequence[float | None]) -> Sequence[float | None]:
    """As many as can be told apart: each the mean of its neighbours."""
    size = -(-len(values) // MOST_POINTS)
    if size <= 1:
        return values
    groups = [[value for value in values[at : at + size] if value is not None] for at in range(0, len(values), size)]
    return [sum(group) / len(group) if group else None for group in groups]


# --- The metric chart ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    colour: str
    unit: str
    values: list[float | None]
    fill: bool = False
    bars: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    at: datetime
    metrics: Metrics

    @property
    def day(self) -> date:
        """In UTC, as the points of a daily chart are."""
        return self.at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What templates/components/metric_chart.html wants. `points`: those at which something was measured, the newest
    first, for the table beside it; `peak` is the slowest of them."""

    data: str
    series: tuple[Series, ...]
    points: tuple[Point, ...]
    peak: Point | None
    percentiles: bool
    daily: bool


def chart(times: Sequence[datetime], found: Mapping[datetime, Metrics], *, step: int, percentiles: bool) -> Chart:
    """`found` has no metrics for a point at which nothing was measured."""

    def values(name: str) -> list[float | None]:
        return [None if (one := found.get(at)) is None else _short(getattr(one, name)) for at in times]

    lines = [Series(_("Average"), "--brand", " ms", values("average_ms"), fill=True)]
    if percentiles:
        lines = [
            Series("p95", "--brand", " ms", values("p95_ms"), fill=True),
            Series("p50", "--foreground", " ms", values("p50_ms")),
        ]
    series = (*lines, Series(_("Errors"), "--danger", "", values("errors"), bars=True))
    daily = step >= 86_400
    points = [Point(at=at, metrics=found[at]) for at in reversed(times) if at in found]
    data = {
        "t": [int(at.timestamp()) for at in times], "step": step,
        "zone": "UTC" if daily else timezone.get_current_timezone_name(),
        "series": [
            {"label": one.label, "colour": one.colour, "unit": one.unit, "values": one.values}
            | ({"fill": True} if one.fill else {}) | ({"bars": True} if one.bars else {})
            for one in series
        ],
    }  # fmt: skip
    peak = max(points, key=lambda point: point.metrics.p95_ms or point.metrics.average_ms or 0, default=None)
    return Chart(
        data=json.dumps(data, separators=(",", ":")), series=series, points=tuple(points), peak=peak,
        percentiles=percentiles, daily=daily,
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else round(value)
