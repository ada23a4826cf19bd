"""A hundred integrations, a third hanging, some resetting, some dripping a byte a second; and fifty sweeps of them."""

import threading
import time
from collections import Counter

import pytest

from integrations.models import Integration
from tests.healthchecks import crowd
from tests.healthchecks.test_sweep import sockets, sweep_twice

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sweep_of_a_hundred_is_over_in_fifteen_seconds_and_right(monkeypatch, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with crowd.served() as url, crowd.gathered(monkeypatch, url, number=100, timeout_s=10.0) as manners:
        began = time.monotonic()
        sweep_twice()
        took = (time.monotonic() - began) / 2
        found = dict(Integration.objects.filter(slug__in=manners).values_list("slug", "health_status"))
    print(f"\n{dict(Counter(manners.values()))}: {took:.1f} s a sweep, {dict(Counter(found.values()))}")
    assert found == {slug: crowd.STATUSES[manner] for slug, manner in manners.items()}
    assert took < 15


def test_fifty_sweeps_leave_nothing_behind(monkeypatch, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with crowd.served() as url, crowd.gathered(monkeypatch, url, number=100, timeout_s=1.0):
        sweep_twice()
        before = threading.active_count(), sockets()
        for _ in range(25):
            sweep_twice()
        after = threading.active_count(), sockets()
    print(f"\nthreads and sockets before {before}, after 50 sweeps {after}")
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 5
