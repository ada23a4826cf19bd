"""Switched off and on again by the API: what came meanwhile through the lane is held, and then runs in its order."""

from collections.abc import Iterator
from typing import Any

import pytest

from config import wakeup
from integrations.models import Activity
from tests.webhooks.conftest import secrets, signed  # noqa: F401 - a fixture
from tests.webhooks.sender import Sender
from webhooks.models import Webhook, WebhookLog
from webhooks.services import process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("secrets", "registry")]


@pytest.fixture
def sender() -> Iterator[Sender]:
    one = Sender()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup._looker, "wake", lambda: told.append("look"))
    return told


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def deliver(sender: Sender, *numbers: int) -> list[str]:
    answers = [sender.post(signed("resend", delivery_id=f"msg_{number}")) for number in numbers]
    assert {answer.status for answer in answers} == {200}
    return [answer.json["logId"] for answer in answers]


def drain(*, handled: bool) -> list[str]:
    """Process what is due; the ids of the events in the order in which they were worked on."""
    ran: list[str] = []
    handlers: dict[Any, Any] = {("resend", "*"): lambda event: ran.append(str(event.log_id))} if handled else {}
    done = process.drain(process.Table(handlers=handlers))
    assert done.processed == WebhookLog.objects.filter(status="processed").count()
    return ran


def switch(api, webhook: Webhook, what: str, on: bool) -> dict[str, Any]:
    path = f"/webhooks/{webhook.pk}" if what == "webhook" else "/resend"
    answer = api.patch(path, {"isActive": on})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("handled", [True, False])
@pytest.mark.parametrize("what", ["webhook", "integration"])
def test_what_came_while_it_was_off_runs_in_its_order_once_it_is_on(api, sender, webhook, woken, what, handled):
    assert "held" not in switch(api, webhook, what, on=False)
    came = deliver(sender, *range(5))
    assert drain(handled=handled) == []
    assert set(WebhookLog.objects.values_list("status", flat=True)) == {"pending"}
    assert woken == []
    assert switch(api, webhook, what, on=True)["held"] == 5
    assert woken == ["look"]
    assert drain(handled=handled) == (came if handled else [])
    assert set(WebhookLog.objects.values_list("status", flat=True)) == {"processed"}
    entry = Activity.objects.order_by("-seq")[0]
    assert (entry.username, entry.details["held"], entry.details["after"]["is_active"]) == ("alice", 5, True)
    assert "held" not in switch(api, webhook, what, on=True)
    assert woken == ["look"]


def test_with_both_off_they_are_held_until_both_are_on(api, sender, webhook):
    switch(api, webhook, "webhook", on=False)
    first = deliver(sender, 1)
    switch(api, webhook, "integration", on=False)
    second = deliver(sender, 2)
    assert "held" not in switch(api, webhook, "webhook", on=True)  # the integration holds them still
    assert drain(handled=True) == []
    assert switch(api, webhook, "integration", on=True)["held"] == 2
    assert drain(handled=True) == first + second


def test_an_integration_that_is_switched_on_says_nothing_of_a_receiver_that_stays_off(api, sender, webhook):
    switch(api, webhook, "integration", on=False)
    switch(api, webhook, "webhook", on=False)
    deliver(sender, 1)
    assert switch(api, webhook, "integration", on=True)["held"] == 0
    assert drain(handled=True) == []


def test_what_came_before_runs_before_what_comes_after(api, sender, webhook):
    switch(api, webhook, "webhook", on=False)
    before = deliver(sender, 1, 2)
    switch(api, webhook, "webhook", on=True)
    after = deliver(sender, 3)
    assert drain(handled=True) == before + after


def test_a_duplicate_of_a_held_event_runs_nothing_twice(api, sender, webhook):
    switch(api, webhook, "webhook", on=False)
    (first,) = deliver(sender, 1)
    deliver(sender, 1)
    assert switch(api, webhook, "webhook", on=True)["held"] == 1
    process.drain(process.Table())
    assert sorted(WebhookLog.objects.values_list("status", flat=True)) == ["duplicate", "processed"]
    assert str(WebhookLog.objects.get(status="processed").pk) == first
