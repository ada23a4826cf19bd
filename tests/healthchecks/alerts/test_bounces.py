"""Our own alerts that came back, as Resend and Clickatell tell of them by webhook."""

from datetime import timedelta

import pytest
from django.utils import timezone

from config import handlers
from healthchecks.alerts import bounces
from healthchecks.models import Delivery
from tests.factories import WebhookLogFactory
from tests.healthchecks.alerts.conftest import unwell, well
from webhooks.models import Webhook, WebhookLog
from webhooks.services import process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mailed(sandbox, registry, settings, turn) -> Delivery:
    """An alert that Resend took."""
    settings.ALERT_TO = "mailto:ops@example.com"
    unwell(registry["netcash"])
    turn()
    return Delivery.objects.get()


def deliver(slug: str, kind: str, payload: dict) -> WebhookLog:
    """As it comes in by the receiver, and through the worker."""
    hook = Webhook.objects.get(integration__slug=slug)
    log = WebhookLogFactory(
        webhook=hook, event_type=kind, payload=payload, status="pending", due_at=timezone.now(), processed_at=None
    )
    process.drain(handlers.TABLE)
    log.refresh_from_db()
    assert log.status == "processed", log.error_message
    return log


def email(kind: str, email_id: str, **more: object) -> dict:
    return {"type": kind, "data": {"email_id": email_id, "to": ["ops@example.com"], **more}}


def status(code: int, message_id: str) -> dict:
    entry = {"channel": "sms", "messageId": message_id, "statusCode": code, "status": "DELIVERY_FAILURE"}
    return {"event": {"messageStatusUpdate": [entry]}}


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        (
            "email.bounced",
            {"bounce": {"message": "The mailbox is full.", "type": "Permanent"}},
            "The mailbox is full.",
        ),
        ("email.complained", {}, "complained"),
        ("email.failed", {"failed": {"reason": "reached_daily_quota"}}, "reached_daily_quota"),
        ("email.suppressed", {"suppressed": {"message": "On the list."}}, "On the list."),
    ],
)
def test_an_email_that_came_back_is_recorded_against_its_alert(mailed, kind, more, said):
    deliver("resend", kind, email(kind, mailed.provider_id, **more))
    sent_at = mailed.sent_at
    mailed.refresh_from_db()
    assert (mailed.status, mailed.sent_at) == ("failed", sent_at)
    assert mailed.failed_at is not None
    assert said in mailed.error


def test_if_it_was_the_only_one_the_fallback_is_used(sandbox, registry, settings, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "mailto:ops@example.com", pager.url
    unwell(registry["netcash"])
    turn()
    assert pager.got == []
    mailed = Delivery.objects.get(fallback=False)
    deliver("resend", "email.bounced", email("email.bounced", mailed.provider_id))
    turn()
    assert len(pager.got) == 1
    deliver("resend", "email.bounced", email("email.bounced", mailed.provider_id))  # told twice
    turn()
    assert len(pager.got) == 1


def test_if_another_route_took_it_too_nothing_more_is_sent(sandbox, registry, settings, phone, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = f"mailto:ops@example.com,{phone.url}", pager.url
    unwell(registry["netcash"])
    turn()
    mailed = Delivery.objects.get(position=1)
    deliver("resend", "email.bounced", email("email.bounced", mailed.provider_id))
    turn()
    assert pager.got == []


def test_a_late_bounce_of_what_is_over_wakes_nobody(sandbox, registry, settings, clock, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "mailto:ops@example.com", pager.url
    unwell(registry["netcash"])
    turn()
    mailed = Delivery.objects.get(fallback=False)
    well(registry["netcash"])
    turn()
    clock.shift(timedelta(minutes=10))
    turn()
    over = Delivery.objects.get(fallback=False, alert__kind="recovered")
    assert over.status == "sent"
    clock.shift(timedelta(hours=3))
    deliver("resend", "email.bounced", email("email.bounced", mailed.provider_id))
    turn()
    mailed.refresh_from_db()
    assert (mailed.status, pager.got) == ("failed", [])
    deliver(
        "resend", "email.bounced", email("email.bounced", over.provider_id)
    )  # but that it is over, they shall hear
    turn()
    assert ["NetCash Pay Now is healthy again" in title for title in pager.titles] == [True]


@pytest.mark.parametrize(("code", "fails"), [(23, True), (29, True), (100, True), (5, False), (4, False)])
def test_a_text_message_that_was_not_delivered(sandbox, registry, settings, turn, code, fails):
    settings.ALERT_TO = "sms:+27820000001"
    unwell(registry["netcash"])
    turn()
    sent = Delivery.objects.get()
    deliver("clickatell", "messageStatusUpdate", status(code, sent.provider_id))
    sent.refresh_from_db()
    assert (sent.status == "failed") is fails
    assert (f"could not deliver it: {code}" in sent.error) is fails


@pytest.mark.parametrize(
    ("slug", "kind", "payload"),
    [
        ("resend", "email.bounced", email("email.bounced", "somebody-elses")),
        ("resend", "email.bounced", {"type": "email.bounced"}),
        ("resend", "email.bounced", {"data": {"email_id": {"x": 1}, "bounce": "odd"}}),
        ("clickatell", "messageStatusUpdate", status(23, "somebody-elses")),
        ("clickatell", "messageStatusUpdate", {"event": {"messageStatusUpdate": []}}),
        ("clickatell", "messageStatusUpdate", {"statusCode": "23", "messageId": "platform"}),
    ],
)
def test_what_is_not_about_an_alert_passes_through(mailed, slug, kind, payload):
    deliver(slug, kind, payload)
    mailed.refresh_from_db()
    assert mailed.status == "sent"


def test_what_is_not_ours_costs_one_look(mailed, django_assert_num_queries):
    hook = Webhook.objects.get(integration__slug="resend")
    event = process._event(WebhookLogFactory(webhook=hook, payload=email("email.bounced", "somebody-elses")))
    with django_assert_num_queries(1):
        assert bounces.email(event) is None


def test_a_bounce_of_a_bounce_finds_the_alarm_told_all_the_same(mailed):
    """It was taken once: nobody is told twice within six hours for it."""
    assert bounces.note(mailed, why="x", now=timezone.now() + timedelta(minutes=1))
    assert not bounces.note(mailed, why="again")
    mailed.refresh_from_db()
    assert mailed.error == "x"
