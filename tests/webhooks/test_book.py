"""What the lane writes down of refusals, when things go wrong: no reason goes untold, no refusal uncounted."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from integrations.models import Activity
from integrations.providers import spec
from tests.webhooks.conftest import signed
from tests.webhooks.sender import Sender
from webhooks import lane
from webhooks.models import Refusal, RefusalTally
from webhooks.services import figures, quarantine
from webhooks.sources import Sources

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("secrets")]

NOON = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)


@pytest.fixture
def sender(monkeypatch) -> Iterator[Sender]:
    monkeypatch.setattr(lane.timezone, "now", lambda: NOON)
    one = Sender()
    yield one
    one.stop()


def forged() -> spec.Delivery:
    genuine = signed("resend", now=NOON)
    return spec.Delivery(body=genuine.body + b" ", headers=genuine.headers)


UNSIGNED = spec.Delivery(body=b"{}")


def reasons_told() -> Counter[str]:
    return Counter(row.details["reason"] for row in Activity.objects.filter(action="webhook_verification_failed"))


def counted() -> Counter[str]:
    return sum((Counter(tally.reasons) for tally in RefusalTally.objects.all()), Counter[str]())


def test_a_reason_that_first_comes_from_who_failed_too_often_is_told_too(sender):
    sender.lane._sources = Sources(2)
    assert [sender.post(forged()).status for _ in range(4)] == [401, 401, 429, 429]
    assert [sender.post(UNSIGNED).status for _ in range(3)] == [429] * 3
    assert reasons_told() == {"mismatch": 1, "missing_header": 1}  # at the first, not when figures are written
    assert Refusal.objects.count() == 2
    sender.run(sender.lane._book.write())
    assert counted() == {"mismatch": 4, "missing_header": 3}


def test_what_could_not_be_told_is_told_by_the_next_of_its_minute(sender, monkeypatch):
    keep = quarantine.keep

    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(quarantine, "keep", away)
    assert sender.post(forged()).status == 503
    monkeypatch.setattr(quarantine, "keep", keep)
    assert sender.post(forged()).status == 401
    assert reasons_told() == {"mismatch": 1}
    assert counted() == {"mismatch": 2}


def test_who_gave_up_waiting_leaves_it_to_be_told_by_the_next(sender, monkeypatch):
    assert sender.post(UNSIGNED).status == 401
    monkeypatch.setattr(lane, "STORE_SECONDS", 0.0)
    assert sender.post(forged()).status == 503
    assert {reason for _, reason, _ in sender.lane._book._noted} == {"missing_header"}
    monkeypatch.setattr(lane, "STORE_SECONDS", 5.0)
    assert sender.post(forged()).status == 401
    assert reasons_told() == {"missing_header": 1, "mismatch": 1}
    sender.run(sender.lane._book.write())
    assert counted() == {"missing_header": 1, "mismatch": 2}


@pytest.mark.parametrize("broken", ["keep", "write"])
def test_counts_outlast_a_database_that_is_away(sender, monkeypatch, broken):
    sender.lane._sources = Sources(1)
    for _ in range(5):
        sender.post(forged())
    with monkeypatch.context() as patch:
        patch.setattr(quarantine if broken == "keep" else figures, broken, lambda *_, **__: 1 / 0)
        sender.run(sender.lane._book.write())
    sender.run(sender.lane._book.write())
    assert counted() == {"mismatch": 5}
