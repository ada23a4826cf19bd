"""Percentiles from histograms: never more than two percent from the exact ones, whatever the times are."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import histogram

LONGEST = 2_147_483_647  # what the column holds
TIMES = st.lists(st.integers(0, LONGEST) | st.integers(0, 300), min_size=1, max_size=300)
PARTS = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0])


def exact(times: list[int], part: float) -> int:
    """The least time that `part` of them don't exceed."""
    return sorted(times)[max(1, math.ceil(part * len(times))) - 1]


def test_a_percentile_is_read_from_counts():
    counts = histogram.of([100] * 95 + [900] * 5)
    assert histogram.quantile(counts, 0.5) == pytest.approx(100, rel=0.01)
    assert histogram.quantile(counts, 0.95) == pytest.approx(100, rel=0.01)
    assert histogram.quantile(counts, 0.96) == pytest.approx(900, rel=0.01)


@given(TIMES, PARTS)
def test_it_is_within_two_percent_of_the_exact_one(times, part):
    found = histogram.quantile(histogram.of(times), part)
    assert found == pytest.approx(exact(times, part), rel=0.02)
    assert found == pytest.approx(exact(times, part), rel=histogram.ERROR + 1e-9), "and indeed within one"


@given(st.lists(TIMES, max_size=5))
def test_histograms_of_hours_add_up_to_that_of_all(hours):
    merged = histogram.merge(histogram.of(times) for times in hours)
    assert merged == histogram.of([ms for times in hours for ms in times])


@given(TIMES)
def test_what_was_json_in_between_is_the_same(times):
    counts = histogram.of(times)
    assert json.loads(json.dumps(counts)) == counts
    assert sum(counts.values()) == len(times)


def test_merging_leaves_what_is_merged_alone():
    one, other = histogram.of([5]), histogram.of([5, 7])
    histogram.merge([one, other])
    assert (one, other) == (histogram.of([5]), histogram.of([5, 7]))


@pytest.mark.parametrize("ms", [1, 2, 3, 10, 99, 100, 4_999, 10_000, 600_000, LONGEST])
def test_every_time_lies_in_its_bucket(ms):
    number = histogram.bucket(ms)
    assert histogram.GAMMA ** (number - 1) < ms * (1 + 1e-12)
    assert ms <= histogram.GAMMA**number * (1 + 1e-12)


def test_no_call_has_no_percentile_and_no_time_is_none():
    assert histogram.quantile({}, 0.95) is None
    assert histogram.quantile(histogram.of([0, 0]), 0.95) == 0.0


def test_a_million_different_times_are_a_few_hundred_numbers():
    assert len(histogram.of(range(60_000))) < 600
