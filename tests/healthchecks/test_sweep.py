"""A sweep of many, of which some hang, reset or drip: right about each, quick, and nothing stays behind."""

import threading
from collections import Counter
from pathlib import Path

import pytest
from django.utils import timezone

from healthchecks import services
from healthchecks.models import CheckResult
from integrations.models import Integration
from tests.healthchecks import crowd

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def url():
    with crowd.served() as there:
        yield there


def sockets() -> int:
    return sum("socket:" in str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def sweep_twice() -> None:
    """The second confirms what the first suspects."""
    for _ in range(2):
        Integration.objects.filter(is_active=True).update(check_due_at=timezone.now())
        services.sweep()


def test_each_of_thirty_is_judged_rightly_whatever_the_others_do(url, monkeypatch, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with crowd.gathered(monkeypatch, url, number=30, timeout_s=0.6) as manners:
        sweep_twice()
        found = dict(Integration.objects.filter(slug__in=manners).values_list("slug", "health_status"))
        assert found == {slug: crowd.STATUSES[manner] for slug, manner in manners.items()}
        assert Counter(manners.values()).keys() == crowd.MANNERS.keys()
        down = CheckResult.objects.filter(status="down").values_list("reason", flat=True)
        assert all("The API can't be reached: " in reason for reason in down)


def test_nothing_stays_behind(url, monkeypatch, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    with crowd.gathered(monkeypatch, url, number=12, timeout_s=0.3) as manners:
        well = sum(manner == "ok" for manner in manners.values())
        sweep_twice()  # what is opened once, is
        threads, open_sockets = threading.active_count(), sockets()
        for _ in range(5):
            sweep_twice()
        assert threading.active_count() <= threads
        # One is kept alive for each that is well; of the others, ten sweeps would have left ten for each.
        assert sockets() <= open_sockets + well
