"""The drill: told once, silence for six hours, told that it is over; by another way where one is shut."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from healthchecks.alerts import alarms, outbox, telling
from healthchecks.models import Alarm, Alert, Delivery, Maintenance, StatusChange
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Activity, Integration
from tests.healthchecks.alerts.conftest import unwell, well
from tests.healthchecks.alerts.receivers import Target

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def alerts() -> list[str]:
    return list(Alert.objects.order_by("created_at", "id").values_list("kind", flat=True))


def test_three_failures_make_one_alert_then_silence_then_one_notice(registry, clock, to_phone, turn):
    resend = registry["resend"]
    for failures in (1, 2):
        unwell(resend, failures=failures)
        turn()
    assert to_phone.got == []
    unwell(resend)
    for _ in range(30):  # every minute, and it stays down
        turn()
        clock.shift(timedelta(minutes=10))
    assert [one.split("] ")[1] for one in to_phone.titles] == ["Resend Email is down"]
    well(resend)
    for _ in range(3):
        turn()
        clock.shift(timedelta(minutes=5))
    assert [one.split("] ")[1] for one in to_phone.titles] == ["Resend Email is down", "Resend Email is healthy again"]
    assert alerts() == ["opened", "recovered"]
    assert [one["type"] for one in to_phone.got] == ["failure", "success"]


def test_what_lasts_is_told_again_after_six_hours(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    clock.shift(6 * HOUR - timedelta(seconds=1))
    turn()
    assert alerts() == ["opened"]
    clock.shift(timedelta(seconds=1))
    turn()
    assert alerts() == ["opened", "lasts"]
    assert "Still so after 6 h: Resend Email is down" in to_phone.titles[1]


def test_the_stamps_come_only_once_a_channel_took_it(registry, clock, to_phone, turn):
    resend = registry["resend"]
    unwell(resend)
    to_phone.answer = 500
    turn()
    resend.refresh_from_db()
    assert to_phone.asked == 1
    assert resend.last_alert_sent_at is None
    assert Alarm.objects.get().told_at is None
    assert StatusChange.objects.filter(alerted_at=None).count() == 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.sent_at, delivery.attempts) == ("waiting", None, 1)
    assert delivery.error
    to_phone.answer = 200
    clock.shift(timedelta(minutes=1))
    turn()
    resend.refresh_from_db()
    now = timezone.now()
    assert resend.last_alert_sent_at == Alarm.objects.get().told_at == Delivery.objects.get().sent_at == now
    assert StatusChange.objects.get(new_status="down").alerted_at == now
    assert len(to_phone.got) == 1


def test_the_waits_grow_and_then_it_has_failed_and_is_told_anew(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    to_phone.answer = 503
    turn()
    for wait in outbox.WAITS:
        clock.shift(timedelta(seconds=wait - 1))
        turn()
        before = to_phone.asked
        clock.shift(timedelta(seconds=1))
        turn()
        assert to_phone.asked == before + 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.due_at, delivery.attempts) == ("failed", None, len(outbox.WAITS) + 1)
    assert delivery.failed_at is not None
    to_phone.answer = 200
    clock.shift(timedelta(hours=6))
    turn()
    assert alerts() == ["opened", "opened"]  # nobody heard the first
    assert len(to_phone.got) == 1


def test_it_is_over_before_anybody_took_the_word_of_it(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    to_phone.answer = 500
    turn()
    well(registry["resend"])
    to_phone.answer = 200
    clock.shift(timedelta(minutes=5))
    turn()
    assert to_phone.got == []
    assert Delivery.objects.get().status == "spared"
    assert alerts() == ["opened"]


def test_a_reopened_alarm_is_no_news_within_six_hours(registry, clock, to_phone, turn):
    resend = registry["resend"]
    unwell(resend)
    turn()
    for _ in range(5):
        clock.shift(HOUR - timedelta(minutes=10))
        well(resend)
        turn()
        clock.shift(timedelta(minutes=10))
        turn()
        unwell(resend)
        turn()
    assert alerts() == ["opened", "recovered"]
    assert Alarm.objects.count() == 6
    clock.shift(HOUR)
    turn()  # it is still down, and six hours are over
    assert alerts() == ["opened", "recovered", "opened"]
    assert len(to_phone.got) == 3


def test_getting_worse_is_news_though_a_warning_was_told(registry, clock, to_phone, turn):
    resend = registry["resend"]
    unwell(resend, status="degraded", rule="api_slow", reason="The API took 7 s.")
    turn()
    clock.shift(HOUR)
    unwell(resend, failures=7)
    turn()
    assert [one["type"] for one in to_phone.got] == ["warning", "failure"]
    clock.shift(HOUR)
    unwell(resend, status="degraded", failures=11)
    turn()
    unwell(resend, failures=15)
    turn()
    assert len(to_phone.got) == 2  # and that was all for six hours


def test_a_warning_about_the_same_integration_waits_and_is_told_with_the_next(registry, clock, to_phone, turn):
    from tests.healthchecks.alerts.test_findings import given_up

    unwell(registry["resend"], status="degraded", rule="throttled")
    turn()
    given_up(registry["resend"], number=2)
    turn()
    assert Alarm.objects.filter(closed_at=None).count() == 2
    assert len(to_phone.got) == 1
    clock.shift(6 * HOUR)
    turn()
    assert "2 events given up" in to_phone.titles[1]
    assert "Also open: Resend Email is degraded." in to_phone.got[1]["message"]


def test_two_workers_at_once_open_one_alarm_and_tell_it_once(registry, to_phone):
    unwell(registry["resend"])
    unwell(registry["clickatell"])
    start = threading.Barrier(6)

    def work() -> None:
        try:
            start.wait()
            alarms.watch(now=timezone.now())
            outbox.run_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Alarm.objects.count() == 2
    assert len(to_phone.got) == 2
    assert Delivery.objects.filter(status="sent", attempts=1).count() == 2


# --- Which way -------------------------------------------------------------------------------------------------------


def test_a_channel_that_is_down_is_replaced_by_the_fallback_at_once(registry, clock, settings, phone, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = phone.url, pager.url
    phone.answer = 502
    unwell(registry["zoho-desk"])
    turn()
    assert phone.asked == 1
    assert "Zoho Desk is down" in pager.titles[0]
    assert Alarm.objects.get().told_at == timezone.now()
    phone.answer = 200
    clock.shift(timedelta(minutes=1))
    turn()
    assert (len(phone.got), len(pager.got)) == (1, 1)  # the first is still tried again: it may be the one that is read


def test_a_fallback_is_spared_where_a_first_route_took_it(registry, clock, settings, phone, pager, turn):
    with Target() as other:
        settings.ALERT_TO, settings.ALERT_FALLBACK_TO = f"{phone.url},{other.url}", pager.url
        phone.answer = 0
        unwell(registry["zoho-desk"])
        turn()
        assert (len(other.got), pager.asked) == (1, 0)
    assert Delivery.objects.get(fallback=True).status == "spared"


def test_where_there_are_only_fallbacks_they_are_the_routes(registry, clock, settings, pager, turn):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "", pager.url
    unwell(registry["zoho-desk"])
    turn()
    assert len(pager.got) == 1
    assert not Delivery.objects.get().fallback


def test_without_a_route_the_alarm_is_open_and_told_once_there_is_one(registry, clock, settings, phone, turn):
    unwell(registry["zoho-desk"])
    turn()
    assert Alarm.objects.get().told_at is None
    assert not Alert.objects.exists()
    settings.ALERT_TO = phone.url
    turn()
    assert len(phone.got) == 1


def test_a_route_that_was_taken_out_of_the_settings_is_not_used_and_the_new_one_hears_of_it(
    registry, clock, settings, phone, pager, turn
):
    settings.ALERT_TO = phone.url
    phone.answer = 500
    unwell(registry["zoho-desk"])
    turn()
    settings.ALERT_TO = pager.url
    turn()  # though the next try would be a minute away
    assert (phone.asked, len(pager.got)) == (1, 1)
    gone = Delivery.objects.get(route__contains=str(phone.port))
    assert (gone.status, gone.due_at) == ("spared", None)
    assert "hold this route no more" in gone.error
    clock.shift(HOUR)
    turn()
    assert len(pager.got) == 1


def test_a_route_that_is_gone_is_not_replaced_where_another_took_it(registry, clock, settings, phone, pager, turn):
    settings.ALERT_TO = f"{phone.url},{pager.url}"
    phone.answer = 500
    unwell(registry["zoho-desk"])
    turn()
    with Target() as other:
        settings.ALERT_TO = other.url
        turn()
        assert (phone.asked, len(pager.got), other.asked) == (1, 1, 0)
    assert alerts() == ["opened"]


def test_the_outbox_alone_finds_that_a_route_is_gone(registry, clock, settings, phone, pager):
    settings.ALERT_TO = phone.url
    unwell(registry["zoho-desk"])
    alarms.watch(now=timezone.now())
    settings.ALERT_TO = pager.url
    outbox.run_due()
    assert (phone.asked, len(pager.got)) == (0, 1)


def test_what_is_over_is_not_told_by_a_route_that_came_later(registry, clock, settings, phone, pager):
    settings.ALERT_TO = phone.url
    unwell(registry["zoho-desk"])
    alarms.watch(now=timezone.now())
    Alarm.objects.update(closed_at=timezone.now())
    settings.ALERT_TO = pager.url
    outbox.run_due()
    assert (phone.asked, pager.asked) == (0, 0)
    assert Delivery.objects.get().status == "spared"


def test_a_first_route_that_is_gone_lets_go_no_fallback_before_the_new_one_was_tried(
    registry, clock, settings, phone, pager, turn
):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = phone.url, pager.url
    unwell(registry["zoho-desk"])
    alarms.watch(now=timezone.now())
    with Target() as other:
        settings.ALERT_TO = other.url
        turn()
        assert (phone.asked, len(other.got), pager.asked) == (0, 1, 0)


def test_without_any_route_what_waits_waits_on(registry, clock, settings, phone, turn):
    settings.ALERT_TO = phone.url
    unwell(registry["zoho-desk"])
    alarms.watch(now=timezone.now())
    settings.ALERT_TO = ""
    turn()
    settings.ALERT_TO = phone.url
    clock.shift(timedelta(minutes=1))
    turn()
    assert len(phone.got) == 1


def test_a_route_that_hangs_holds_up_no_other(registry, settings, phone, pager, monkeypatch):
    monkeypatch.setattr(outbox, "SLOW_SECONDS", 0.0)
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = phone.url, pager.url
    phone.answer = 0
    for slug in ("zoho-desk", "zoho-crm", "netcash"):
        unwell(registry[slug])
    alarms.watch(now=timezone.now())
    outbox.run_due()
    assert phone.asked == 1  # the others count as tried
    assert len(pager.got) == 3


# --- When nobody is told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everybodys", [False, True])
def test_planned_work_opens_nothing_tells_nothing_and_ends_nothing(registry, clock, to_phone, turn, everybodys):
    resend, now = registry["resend"], timezone.now()
    unwell(resend)
    turn()
    Maintenance.objects.create(
        integration=None if everybodys else resend, starts_at=now, ends_at=now + 2 * HOUR, reason="Move", username="a"
    )
    unwell(registry["clickatell"])
    clock.shift(HOUR)
    well(resend)
    turn()
    assert Alarm.objects.get(key="health:resend").closed_at is None
    assert len(to_phone.got) == (1 if everybodys else 2)
    clock.shift(2 * HOUR)
    turn()
    assert Alarm.objects.get(key="health:resend").closed_at is not None
    assert alerts() == ["opened", "opened", "recovered"] if not everybodys else alerts().count("recovered") == 1


def test_what_is_switched_off_ends_without_a_word(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    Integration.objects.filter(slug="resend").update(is_active=False)
    turn()
    assert Alarm.objects.get().closed_at is not None
    assert alerts() == ["opened"]
    unwell(registry["clickatell"])
    Integration.objects.filter(slug="clickatell").update(is_active=False)
    turn()
    assert Alarm.objects.count() == 1


def test_unknown_is_no_recovery(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    turn()
    unwell(registry["resend"], status="unknown", rule="nothing_to_check", failures=0, reason="RESEND_API_KEY not set.")
    turn()
    assert Alarm.objects.get().closed_at is None
    unwell(registry["resend"], status="degraded", rule="throttled", failures=1)
    turn()
    assert Alarm.objects.get().closed_at is None
    assert alerts() == ["opened"]


def test_quiet_hours_hold_warnings_until_morning_and_nothing_that_is_critical(registry, clock, to_phone, turn):
    quiet = {"quietHours": {"from": "22:00", "to": "06:00"}}
    Integration.objects.update(thresholds=quiet)
    clock.shift(11 * HOUR)  # 23:00 in Johannesburg
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    unwell(registry["resend"])
    turn()
    assert [one["type"] for one in to_phone.got] == ["failure"]
    clock.shift(7 * HOUR - timedelta(seconds=1))
    turn()
    assert not Alert.objects.filter(alarm__key="health:zoho-desk").exists()
    clock.shift(timedelta(seconds=1))
    turn()
    assert Alert.objects.get(alarm__key="health:zoho-desk").created_at == timezone.now()


def test_a_recovery_at_night_of_what_was_a_warning_is_told_in_the_morning(registry, clock, to_phone, turn):
    Integration.objects.update(thresholds={"quietHours": {"from": "22:00", "to": "06:00"}})
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    turn()
    clock.shift(12 * HOUR)
    well(registry["zoho-desk"])
    turn()
    assert len(to_phone.got) == 1
    assert alerts() == ["opened", "recovered"]
    clock.shift(6 * HOUR)
    turn()
    assert len(to_phone.got) == 2


def test_word_that_it_is_over_is_taken_back_if_it_begins_again_before_morning(registry, clock, to_phone, turn):
    Integration.objects.update(thresholds={"quietHours": {"from": "22:00", "to": "06:00"}})
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    turn()
    clock.shift(12 * HOUR)
    well(registry["zoho-desk"])
    turn()
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    turn()
    clock.shift(6 * HOUR)
    turn()
    assert [one["type"] for one in to_phone.got] == ["warning", "warning"]


def test_what_is_deleted_while_it_is_sent_harms_no_other(registry, clock, settings, phone, turn, monkeypatch):
    really = outbox.channels.send

    def send(route, message):
        if "Zoho Desk" in message.subject:
            Integration.objects.filter(slug="zoho-desk").delete()
        return really(route, message)

    monkeypatch.setattr(outbox.channels, "send", send)
    settings.ALERT_TO = phone.url
    for slug in ("zoho-desk", "netcash"):
        unwell(registry[slug])
    turn()
    assert len(phone.got) == 2
    assert Delivery.objects.get().status == "sent"


def test_why_nobody_was_told_is_said(registry, clock, to_phone, turn):
    def why(key: str) -> str:
        alarm = Alarm.objects.get(key=key, closed_at=None)
        return alarms.held_back([alarm], now=timezone.now()).get(alarm.pk, "")

    to_phone.answer = 500
    unwell(registry["resend"])
    turn()
    assert why("health:resend") == "No route has taken it yet."
    to_phone.answer = 200
    clock.shift(timedelta(minutes=1))
    turn()
    assert why("health:resend") == ""  # somebody was
    well(registry["resend"])
    turn()
    clock.shift(timedelta(minutes=10))
    turn()
    unwell(registry["resend"])
    turn()
    assert "of this from 2031-11-26 18:00 SAST" in why("health:resend")
    Integration.objects.update(thresholds={"quietHours": {"from": "12:00", "to": "14:00"}})
    unwell(registry["zoho-desk"], status="degraded", rule="api_slow")
    turn()
    assert "Quiet hours: it is told from 2031-11-26 14:00 SAST" in why("health:zoho-desk")
    now = timezone.now()
    Maintenance.objects.create(starts_at=now, ends_at=now + HOUR, reason="Move", username="alice")
    assert "planned work" in why("health:zoho-desk")


def test_old_alarms_are_forgotten_and_open_ones_never(registry, clock, to_phone, turn):
    unwell(registry["resend"])
    unwell(registry["clickatell"])
    turn()
    well(registry["resend"])
    turn()
    clock.shift(timedelta(days=91))
    assert alarms.forget_old(now=timezone.now()) == 1
    assert Alarm.objects.get().key == "health:clickatell"


def test_a_test_of_who_may_no_longer_is_sent_no_more(registry, clock, to_phone, turn, person):
    boss = person("boss", role="System Admin")
    to_phone.answer = 500
    telling.trial(actor=Actor(username="boss", user_id=boss.pk), now=timezone.now())
    turn()
    assert Delivery.objects.get().due_at is not None  # it is tried again
    tried = len(to_phone.got)
    User.objects.filter(pk=boss.pk).update(is_active=False)
    clock.shift(timedelta(minutes=5))
    turn()
    row = Delivery.objects.get()
    assert (row.status, row.due_at, row.error) == ("failed", None, "Stopped: boss was disabled.")
    assert len(to_phone.got) == tried
    assert Activity.objects.get(action="work_stopped").details["what"] == "a test alert"
