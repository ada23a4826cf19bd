"""Response times counted in buckets, from which percentiles are read that are never off by more than one part in 100.

Each bucket is two percent wider than the one before it, whatever the times are: a histogram of a million calls has a
few hundred numbers. Histograms of different hours and endpoints add up without loss, which percentiles don't. (C.
Masson, J. Rim, H. Lee: DDSketch, VLDB 2019.)
"""

import math
from collections.abc import Iterable, Mapping

ERROR = 0.01
GAMMA = (1 + ERROR) / (1 - ERROR)
LOG_GAMMA = math.log(GAMMA)
ZERO = -1
"""The bucket of what took less than a millisecond. No other number below 0 is used."""

Histogram = dict[str, int]
"""How many by bucket. Keys are text, as in JSON."""


def bucket(ms: int) -> int:
    """The bucket of one response time: number n holds what is over GAMMA ** (n - 1) and up to GAMMA ** n."""
    return math.ceil(math.log(ms) / LOG_GAMMA) if ms > 0 else ZERO


def of(times: Iterable[int]) -> Histogram:
    """The histogram of some response times, in milliseconds."""
    histogram: Histogram = {}
    for ms in times:
        key = str(bucket(ms))
        histogram[key] = histogram.get(key, 0) + 1
    return histogram


def merge(histograms: Iterable[Mapping[str, int]]) -> Histogram:
    """One that counts what all of them do."""
    merged: Histogram = {}
    for one in histograms:
        add(merged, one)
    return merged


def add(histogram: Histogram, other: Mapping[str, int]) -> None:
    """Count in `histogram` what `other` does too."""
    for key, count in other.items():
        histogram[key] = histogram.get(key, 0) + count


def quantile(histogram: Mapping[str, int], part: float) -> float | None:
    """The least time in milliseconds that `part` (0–1) of all calls did not exceed, within 1 %; None of no calls."""
    rank = max(1, math.ceil(part * sum(histogram.values())))
    seen = 0
    for number in sorted(map(int, histogram)):
        seen += histogram[str(number)]
        if seen >= rank:
            return middle(number)
    return None


def middle(number: int) -> float:
    """What stands for all times of a bucket: not over 1 % from any of them."""
    return 0.0 if number == ZERO else 2 * GAMMA**number / (GAMMA + 1)
