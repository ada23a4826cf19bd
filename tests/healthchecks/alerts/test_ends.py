"""Word that it is over: when it has settled, never while it is down again, and never instead of what is so."""

from datetime import timedelta

import pytest
from django.utils import timezone

from healthchecks.alerts import alarms, outbox
from healthchecks.models import Alarm, Alert, Delivery
from integrations.models import Integration
from oauth.models import Grant
from tests.factories import GrantFactory, TokenFactory
from tests.healthchecks.alerts.conftest import unwell, well

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def told(phone) -> list[str]:
    return [title.split("] ")[1] for title in phone.titles]


def minutes(clock, turn, number: int) -> None:
    for _ in range(number):
        clock.shift(MINUTE)
        turn()


def test_it_is_told_once_it_was_healthy_for_ten_minutes(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    well(registry["resend"])
    turn()
    minutes(clock, turn, 9)
    assert told(to_phone) == ["Resend Email is down"]
    minutes(clock, turn, 1)
    assert told(to_phone) == ["Resend Email is down", "Resend Email is healthy again"]


def test_what_goes_down_again_before_is_not_called_healthy_and_its_end_is_told(registry, clock, to_phone, turn):
    resend = registry["resend"]
    unwell(resend)
    turn()
    for _ in range(3):
        clock.shift(20 * MINUTE)
        well(resend)
        turn()
        minutes(clock, turn, 5)
        unwell(resend)
        turn()
        minutes(clock, turn, 15)
    assert told(to_phone) == ["Resend Email is down"]  # which is what they believe, and it is so
    assert set(Delivery.objects.filter(alert__kind="recovered").values_list("status", flat=True)) == {"spared"}
    well(resend)
    minutes(clock, turn, 12)
    assert told(to_phone) == ["Resend Email is down", "Resend Email is healthy again"]


def test_it_waits_on_while_a_first_check_finds_it_down_again(registry, clock, to_phone, turn):
    """No alarm yet: that takes three."""
    resend = registry["resend"]
    unwell(resend)
    turn()
    well(resend)
    turn()
    minutes(clock, turn, 5)
    unwell(resend, failures=1)
    minutes(clock, turn, 20)
    assert told(to_phone) == ["Resend Email is down"]
    well(resend)
    minutes(clock, turn, 11)
    assert told(to_phone) == ["Resend Email is down", "Resend Email is healthy again"]
    assert Alarm.objects.count() == 1


def test_it_waits_on_while_its_grant_is_dead(registry, clock, to_phone, turn):
    grant = GrantFactory()
    TokenFactory(integration=registry["zoho-crm"], grant=grant)
    unwell(registry["zoho-crm"])
    turn()
    well(registry["zoho-crm"])
    turn()
    Grant.objects.update(state="needs_reauth")
    minutes(clock, turn, 15)
    assert told(to_phone) == ["Zoho CRM is down"]


def test_a_notice_that_failed_once_is_not_tried_again_while_it_is_down(registry, clock, to_phone, turn):
    resend = registry["resend"]
    unwell(resend)
    turn()
    well(resend)
    turn()
    to_phone.answer = 500
    minutes(clock, turn, 10)
    notice = Delivery.objects.get(alert__kind="recovered")
    assert (notice.status, notice.attempts) == ("waiting", 1)
    to_phone.answer = 200
    unwell(resend)
    minutes(clock, turn, 30)
    notice.refresh_from_db()
    assert notice.status == "spared"
    assert told(to_phone) == ["Resend Email is down"]


def in_hand(**which: object) -> Delivery:
    row = Delivery.objects.get(**which)
    assert Delivery.objects.claim(row, now=timezone.now(), lease=outbox.LEASE)
    return row


def test_a_try_that_fails_after_its_end_is_not_made_again(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    alarms.watch(now=timezone.now())
    row = in_hand()
    well(registry["resend"])
    alarms.watch(now=timezone.now())
    assert outbox.settle(row, name="", trouble="It hangs.") is None
    minutes(clock, turn, 15)
    row.refresh_from_db()
    assert (row.status, row.error) == ("spared", "It was over before a channel took it. It hangs.")
    assert to_phone.asked == 0


def test_a_notice_that_fails_once_it_is_down_again_is_not_tried_again(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    well(registry["resend"])
    turn()
    clock.shift(10 * MINUTE)
    row = in_hand(alert__kind="recovered")
    unwell(registry["resend"])
    alarms.watch(now=timezone.now())
    assert outbox.settle(row, name="", trouble="It hangs.") is None
    row.refresh_from_db()
    assert row.status == "spared"


# --- When nobody knows -----------------------------------------------------------------------------------------------


def test_of_what_is_unknown_nobody_is_reminded_and_it_ends_without_a_word(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    clock.shift(3 * HOUR)
    unwell(registry["resend"], status="unknown", rule="nothing_to_check", failures=0, reason="RESEND_API_KEY not set.")
    Integration.objects.filter(slug="resend").update(health_since=timezone.now())
    clock.shift(6 * HOUR - MINUTE)
    turn()
    assert Alarm.objects.get().closed_at is None
    assert told(to_phone) == ["Resend Email is down"]
    clock.shift(MINUTE)
    turn()
    assert Alarm.objects.get().closed_at == timezone.now()
    minutes(clock, turn, 15)
    assert told(to_phone) == ["Resend Email is down"]
    assert Alert.objects.count() == 1
