"""Zoho Desk's events are hints: what its own API says of the ticket is kept beside them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from config import handlers
from integrations.clients.base import Refusal
from integrations.providers import samples
from oauth import services as oauth
from tests.factories import WebhookLogFactory
from webhooks import handlers as built_in
from webhooks.models import Webhook, WebhookLog
from webhooks.services import process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(registry, sandbox):
    oauth.connect_sandbox(registry["zoho-desk"])
    return sandbox


def arrived(kind: str = "Ticket_Update", **fields: Any) -> WebhookLog:
    payload = samples.load("zoho-desk", kind)
    if isinstance(payload, list):
        (payload,) = payload
    return WebhookLogFactory(
        webhook=Webhook.objects.get(integration__slug="zoho-desk"), event_type=kind, payload=payload,
        status="pending", due_at=timezone.now(), processed_at=None, **fields,
    )  # fmt: skip


def processed(log: WebhookLog) -> WebhookLog:
    process.drain(handlers.TABLE)
    log.refresh_from_db()
    return log


def asked(sandbox) -> int:
    return sum(
        count
        for endpoint, by_status in sandbox.state.counters.of("zoho-desk").items()
        for count in by_status.values()
        if "tickets" in endpoint
    )


def test_what_desk_says_is_kept_beside_what_was_sent(desk):
    log = arrived()
    sent = log.payload
    processed(log)
    assert log.status == "processed"
    assert log.payload == sent
    assert log.fetched["eventType"] == "Ticket_Update"
    assert log.fetched["payload"]["id"] == sent["payload"]["id"]
    assert log.fetched["payload"]["ticketNumber"]
    assert asked(desk) == 1


@pytest.mark.parametrize("kind", ["Ticket_Comment_Add", "Ticket_Thread_Add"])
def test_of_a_comment_its_ticket_is_asked_for(desk, kind):
    log = processed(arrived(kind))
    assert log.status == "processed"
    assert log.fetched["payload"]["id"] == log.payload["payload"]["ticketId"]


def test_a_ticket_that_desk_does_not_know_was_no_word_of_desks(desk, monkeypatch):
    log = arrived()
    desk.state.remember("zoho-desk", {"eventType": "Ticket_Delete", "payload": {"id": log.payload["payload"]["id"]}})
    processed(log)
    assert (log.status, log.due_at, log.fetched) == ("failed", None, None)
    assert "Desk itself doesn't confirm" in log.error_message


def test_that_a_deleted_one_is_gone_confirms_its_deletion(desk):
    log = arrived("Ticket_Delete")
    desk.state.remember("zoho-desk", log.payload)
    processed(log)
    assert log.status == "processed"
    assert log.fetched["payload"] is None


@pytest.mark.parametrize("odd", ["../../organizations", "1/comments", "x" * 201, "a\nb"])
def test_no_event_leads_us_to_another_address(desk, odd):
    log = arrived()
    WebhookLog.objects.update(payload={"eventType": "Ticket_Update", "payload": {"id": odd}})
    processed(log)
    assert (log.status, log.due_at) == ("failed", None)
    assert desk.state.counters.of("zoho-desk") == {}


@pytest.mark.parametrize("fault", ["fail", "reset", "refuse"])
def test_while_desk_does_not_answer_well_it_is_tried_again_and_the_rest_left_alone(desk, fault):
    logs = [arrived(), arrived(), arrived()]
    desk.set_fault("zoho-desk", fault)
    process.drain(handlers.TABLE)
    states = sorted(WebhookLog.objects.values_list("status", "attempts"))
    assert states == [("failed", 1), ("pending", 0), ("pending", 0)]  # one told that it is away
    assert WebhookLog.objects.filter(due_at=None).count() == 0
    desk.clear_fault("zoho-desk")
    cache.clear()  # the minute is over
    WebhookLog.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    process.drain(handlers.TABLE)
    for log in logs:
        log.refresh_from_db()
        assert log.status == "processed"
        assert log.fetched


def test_nobody_is_asked_before_the_events_of_all_others_are_done(desk):
    arrived()
    other = WebhookLogFactory(
        webhook=Webhook.objects.get(integration__slug="resend"), event_type="email.sent",
        payload={"type": "email.sent"}, status="pending", due_at=timezone.now(), processed_at=None,
    )  # fmt: skip
    done_when_asked = []
    fetch = handlers.TABLE.handlers["zoho-desk", "Ticket_Update"]

    def hangs(event):
        other.refresh_from_db()
        done_when_asked.append(other.status)
        return fetch(event)

    table = replace(handlers.TABLE, handlers={**handlers.TABLE.handlers, ("zoho-desk", "Ticket_Update"): hangs})
    process.drain(table)
    assert done_when_asked == ["processed"]


def test_without_a_connection_the_event_stays_the_hint_that_it_is(registry, sandbox):
    log = processed(arrived())
    assert (log.status, log.fetched) == ("processed", None)
    assert asked(sandbox) == 0


def test_of_a_test_nobody_is_asked(desk):
    log = processed(arrived(is_test=True))
    assert (log.status, log.fetched) == ("processed", None)
    assert asked(desk) == 0


def test_so_many_an_hour_and_no_more(desk, monkeypatch):
    monkeypatch.setattr(process, "ASK_PER_HOUR", 2)
    for _ in range(4):
        arrived()
    process.drain(handlers.TABLE)
    assert WebhookLog.objects.filter(status="processed").count() == 2
    assert WebhookLog.objects.filter(status="pending", due_at__isnull=False).count() == 2
    assert asked(desk) == 2


def test_a_ticket_too_long_to_keep_is_named(desk, monkeypatch):
    monkeypatch.setattr(built_in, "LONGEST", 50)
    log = processed(arrived())
    assert log.fetched["payload"] == {"id": log.payload["payload"]["id"], "tooLong": True}


def test_one_that_desk_does_not_let_us_see_holds_up_no_other(desk, monkeypatch):
    """A department that the connected user may not look into, say."""
    ask = built_in.desk.ticket

    def some(client, *, id):  # noqa: A002 - what Zoho calls it
        if id == hidden.payload["payload"]["id"]:
            raise Refusal("Zoho Desk: HTTP 403.", permanent=True, code="credentials_refused", status=403)
        return ask(client, id=id)

    hidden, seen = arrived(), [arrived(), arrived()]
    WebhookLog.objects.filter(pk__in=[log.pk for log in seen]).update(
        payload={"eventType": "Ticket_Update", "payload": {"id": "1892000000000002"}}
    )
    monkeypatch.setattr(built_in.desk, "ticket", some)
    process.drain(handlers.TABLE)
    hidden.refresh_from_db()
    assert (hidden.status, hidden.due_at is not None) == ("failed", True)
    assert WebhookLog.objects.filter(status="processed").count() == 2


def test_a_mistake_of_ours_is_no_silence_of_desks(desk, monkeypatch):
    def broken(client, *, id):  # noqa: A002 - likewise
        raise KeyError(id)

    monkeypatch.setattr(built_in.desk, "ticket", broken)
    logs = [arrived(), arrived()]
    process.drain(handlers.TABLE)
    assert all(log.attempts == 1 for log in WebhookLog.objects.filter(pk__in=[log.pk for log in logs]))
