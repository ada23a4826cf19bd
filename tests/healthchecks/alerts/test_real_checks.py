"""The drill once more, with real checks of the simulated providers and the very functions that the jobs call."""

from datetime import timedelta

import pytest
from django.utils import timezone

from config import schedule, wakeup
from healthchecks.models import Alarm, Alert, StatusChange
from integrations.models import Integration
from oauth import services as oauth
from oauth.models import Grant, Token
from tests.healthchecks.alerts.receivers import Target

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


@pytest.fixture
def woken(monkeypatch) -> list[str]:
    """What workers were told."""
    told: list[str] = []
    monkeypatch.setattr(wakeup, "_send", lambda task, *_more: told.append(task))
    return told


@pytest.fixture
def only(registry, sandbox) -> None:
    """One integration alone is watched: a sweep of ten, forty times, takes its time."""
    Integration.objects.exclude(slug__in=["resend", "zoho-crm"]).update(is_active=False)


def live(clock, phone: Target, *minutes: int) -> list[tuple[int, str]]:
    """What the workers do at these minutes from now. What was told, and when."""
    start, before = timezone.now(), len(phone.titles)
    heard: list[tuple[int, str]] = []
    for minute in minutes:
        clock.move_to(start + minute * MINUTE)
        schedule.sweep()
        schedule.send_alerts()
        heard += [(minute, title.split("] ")[1]) for title in phone.titles[before + len(heard) :]]
    return heard


def test_an_outage_is_told_at_the_third_check_and_its_end_within_minutes(only, clock, sandbox, to_phone, woken):
    sandbox.set_fault("resend", "fail")
    assert live(clock, to_phone, 0, 1, 15, 20, 30, 35, 45) == [(30, "Resend Email is down")]
    assert StatusChange.objects.filter(integration__slug="resend", new_status="down", gap=False).count() == 1
    sandbox.clear_fault("resend")
    assert live(clock, to_phone, 1, 3, 5, 12, 13, 15) == [(13, "Resend Email is healthy again")]
    assert wakeup.ALERT in woken


def test_a_grant_that_dies_is_told_at_once_and_once(only, clock, sandbox, to_phone, woken):
    oauth.connect_sandbox(Integration.objects.get(slug="zoho-crm"))
    live(clock, to_phone, 0)
    sandbox.set_fault("zoho-accounts", "invalid_code")
    Token.objects.update(expires_at=timezone.now())
    schedule.keep_tokens_fresh()
    assert Grant.objects.get().state == "needs_reauth"
    assert Alarm.objects.get().kind == "grant"
    assert live(clock, to_phone, 0, 15, 16, 30, 45, 60) == [(0, "Zoho CRM must be connected again")]
    crm = Integration.objects.get(slug="zoho-crm")
    assert (crm.health_status, crm.consecutive_failures >= 3) == ("down", True)
    assert StatusChange.objects.filter(integration=crm, new_status="down").count() == 1
    assert Alert.objects.count() == 1


def test_every_minute_somebody_looks_and_what_waits_is_announced(registry, clock, settings, to_phone, woken):
    to_phone.answer = 500
    Integration.objects.filter(slug="netcash").update(health_status="down", consecutive_failures=3)
    done = schedule.drain_and_look_ahead()
    assert (done["alarms_opened"], done["alerts"]) == (1, 1)
    assert wakeup.ALERT in woken
    woken.clear()
    assert schedule.send_alerts() == {"alerts_sent": 0, "alerts_failed": 1}
    assert woken == []  # the next try is a minute away: then the look of every minute finds it
    clock.shift(MINUTE)
    to_phone.answer = 200
    schedule.drain_and_look_ahead()
    assert wakeup.ALERT in woken
    assert schedule.send_alerts() == {"alerts_sent": 1, "alerts_failed": 0}


def test_a_message_about_alerts_runs_the_outbox(registry, to_phone, woken):
    from config import tasks

    Integration.objects.filter(slug="netcash").update(health_status="down", consecutive_failures=3)
    schedule.look_for_trouble()
    tasks.alert()
    assert len(to_phone.got) == 1
