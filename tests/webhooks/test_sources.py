"""Counting what is refused, by source."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from webhooks import sources
from webhooks.sources import Sources, source_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_source_has_so_many_a_minute_at_each_receiver():
    one, other = uuid4(), uuid4()
    counts = Sources(2)
    assert not counts
    assert [counts.failed(one, "192.0.2.1", NOON) for _ in range(3)] == [False, False, True]
    assert counts
    assert counts.exhausted(one, "192.0.2.1", NOON)
    assert not counts.exhausted(one, "192.0.2.2", NOON)
    assert not counts.exhausted(other, "192.0.2.1", NOON)
    assert not counts.exhausted(one, "192.0.2.1", NOON + timedelta(minutes=1))
    assert not counts.failed(one, "192.0.2.1", NOON + timedelta(minutes=1))


def test_without_a_limit_nobody_has_too_many():
    counts, webhook = Sources(0), uuid4()
    assert not any(counts.failed(webhook, "192.0.2.1", NOON) for _ in range(500))
    assert not counts.exhausted(webhook, "192.0.2.1", NOON)


def test_a_flood_from_everywhere_fills_no_memory(monkeypatch):
    monkeypatch.setattr(sources, "MOST_SOURCES", 5)
    counts, webhook = Sources(3), uuid4()
    late = [counts.failed(webhook, f"192.0.2.{n}", NOON) for n in range(20)]
    assert len(counts._refused) == 6
    assert late.count(True) == 20 - 5 - 3
    assert not counts.failed(webhook, "192.0.2.0", NOON)  # it has a count of its own


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
    ],
)
def test_a_source_is_what_one_party_can_have(address, source):
    assert source_of(address) == source
