"""Silence: noticed once, ended by what comes, and never our own absence."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config import schedule
from integrations import ids
from integrations.models import Integration
from webhooks.models import LaneMinute, Rhythm, Silence, Webhook, WebhookLog
from webhooks.services import silence

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=250_000)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def webhook(registry) -> Webhook:
    """Something should come every hour."""
    Webhook.objects.filter(integration__slug="resend").update(silence_minutes=60)
    return Webhook.objects.select_related("integration").get(integration__slug="resend")


@pytest.fixture(autouse=True)
def present(db):
    """A web process was there all the time."""
    pulse(since=NOW - 3 * DAY)


def pulse(*, since: datetime, until: datetime = NOW, process: str = "a") -> None:
    minutes = [since + n * 5 * MINUTE for n in range(int((until - since) / (5 * MINUTE)) + 1)]
    LaneMinute.objects.bulk_create(LaneMinute(minute=at, process=process) for at in minutes)


def came(webhook: Webhook, at: datetime, **fields) -> WebhookLog:
    fields = {"status": "processed", **fields}
    return WebhookLog.objects.create(webhook=webhook, body=b"x", created_at=at, **fields)


def watch(at: datetime = NOW) -> tuple[int, int]:
    found = silence.watch(now=at)
    return found.silences_opened, found.silences_ended


# --- Beginning and end -----------------------------------------------------------------------------------------------


def test_silence_is_noticed_once_and_ends_with_what_comes(webhook):
    came(webhook, NOW - 61 * MINUTE)
    assert watch() == (1, 0)
    row = Silence.objects.get()
    assert (row.webhook, row.last_received_at, row.expected_minutes) == (webhook, NOW - 61 * MINUTE, 60)
    assert (row.noticed_at, row.ended_at) == (NOW, None)
    assert watch(NOW + 5 * MINUTE) == (0, 0)
    came(webhook, NOW + 6 * MINUTE)
    came(webhook, NOW + 8 * MINUTE)
    assert watch(NOW + 10 * MINUTE) == (0, 1)
    row.refresh_from_db()
    assert row.ended_at == NOW + 6 * MINUTE


def test_within_the_rhythm_nothing_is_said(webhook):
    came(webhook, NOW - 59 * MINUTE)
    assert watch() == (0, 0)


@pytest.mark.parametrize("status", ["pending", "processed", "failed", "duplicate"])
def test_whatever_became_of_it_it_came(webhook, status):
    came(webhook, NOW - 2 * HOUR)
    came(webhook, NOW - 5 * MINUTE, status=status)
    assert watch() == (0, 0)


@pytest.mark.parametrize("ours", [{"is_test": True}, {"replay_of": ids.new()}, {"verified": False}])
def test_tests_replays_and_what_nobody_vouched_for_break_no_silence(webhook, ours):
    came(webhook, NOW - 2 * HOUR)
    came(webhook, NOW - 5 * MINUTE, **ours)
    assert watch() == (1, 0)
    assert watch(NOW + 5 * MINUTE) == (0, 0)


def test_another_webhooks_deliveries_break_no_silence(webhook):
    came(webhook, NOW - 2 * HOUR)
    came(Webhook.objects.get(integration__slug="netcash"), NOW)
    assert watch() == (1, 0)


def test_where_nothing_ever_came_there_is_no_silence_but_a_beginning(webhook):
    assert watch() == (0, 0)
    assert Rhythm.objects.get(webhook=webhook).last_received_at is None


def test_what_was_confirmed_long_after_it_came_counts(webhook):
    came(webhook, NOW - 2 * HOUR)
    late = came(webhook, NOW - 50 * MINUTE, verified=False)
    assert watch(NOW - 65 * MINUTE) == (0, 0)
    assert watch(NOW - 35 * MINUTE) == (1, 0)
    Silence.objects.all().delete()
    WebhookLog.objects.filter(pk=late.pk).update(verified=True)
    assert watch() == (0, 0)


# --- Who is watched --------------------------------------------------------------------------------------------------


def test_what_is_switched_off_is_not_watched(webhook):
    came(webhook, NOW - 2 * HOUR)
    Webhook.objects.filter(pk=webhook.pk).update(is_active=False)
    assert watch() == (0, 0)
    Webhook.objects.filter(pk=webhook.pk).update(is_active=True)
    Integration.objects.filter(pk=webhook.integration_id).update(is_active=False)
    assert watch(NOW + 5 * MINUTE) == (0, 0)


def test_switching_off_ends_a_silence(webhook):
    came(webhook, NOW - 2 * HOUR)
    watch()
    Integration.objects.filter(pk=webhook.integration_id).update(is_active=False)
    assert watch(NOW + 5 * MINUTE) == (0, 1)
    assert Silence.objects.get().ended_at == NOW + 5 * MINUTE


def test_more_patience_ends_a_silence(webhook):
    came(webhook, NOW - 2 * HOUR)
    watch()
    Webhook.objects.filter(pk=webhook.pk).update(silence_minutes=240)
    assert watch(NOW + 5 * MINUTE) == (0, 1)


def test_without_a_rhythm_nothing_is_too_long(webhook):
    Webhook.objects.filter(pk=webhook.pk).update(silence_minutes=None)
    came(webhook, NOW - 20 * DAY)
    assert watch() == (0, 0)
    assert Rhythm.objects.get(webhook=webhook).words.startswith("Not learned yet")


# --- Our own absence -------------------------------------------------------------------------------------------------


def test_while_no_web_process_was_there_nothing_could_come(webhook):
    came(webhook, NOW - 2 * HOUR)
    LaneMinute.objects.filter(minute__gt=NOW - 110 * MINUTE, minute__lt=NOW - 50 * MINUTE).delete()
    assert watch() == (0, 0)
    pulse(since=NOW + 5 * MINUTE, until=NOW + 20 * MINUTE)
    assert watch(NOW + 20 * MINUTE) == (1, 0)


def test_nobody_there_now_is_no_silence(webhook):
    came(webhook, NOW - 2 * HOUR)
    LaneMinute.objects.filter(minute__gt=NOW - 20 * MINUTE).delete()
    assert watch() == (0, 0)


def test_nobody_there_yet_is_no_silence(webhook):
    came(webhook, NOW - 2 * HOUR)
    LaneMinute.objects.filter(minute__lt=NOW - 58 * MINUTE).delete()
    assert watch() == (0, 0)


def test_a_restart_is_no_absence_and_one_process_stands_in_for_another(webhook):
    came(webhook, NOW - 2 * HOUR)
    LaneMinute.objects.filter(minute__gt=NOW - 30 * MINUTE, minute__lt=NOW - 20 * MINUTE).delete()
    LaneMinute.objects.filter(minute__gt=NOW - 80 * MINUTE, minute__lt=NOW - 50 * MINUTE).update(process="b")
    assert watch() == (1, 0)


# --- Two workers, and cost -------------------------------------------------------------------------------------------


def test_a_webhook_is_looked_at_every_few_minutes_and_no_oftener(webhook):
    came(webhook, NOW - 61 * MINUTE)
    watch(NOW - 2 * MINUTE)
    assert watch() == (0, 0)
    assert not Silence.objects.exists()
    assert watch(NOW + 4 * MINUTE) == (1, 0)


def test_of_two_that_watch_at_once_one_looks_at_each(webhook, monkeypatch):
    came(webhook, NOW - 2 * HOUR)
    look, looked_at, other = silence._look, [], []

    def looked_at_while_another_watches(row, **rest):
        looked_at.append(row.pk)
        if len(looked_at) == 1:  # the first has its list, and one of it in hand; the other takes all the rest
            other.append(watch())
        look(row, **rest)

    monkeypatch.setattr(silence, "_look", looked_at_while_another_watches)
    mine = watch()
    assert sorted(looked_at) == sorted(Webhook.objects.values_list("pk", flat=True))
    assert {mine, *other} == {(1, 0), (0, 0)}


def test_the_database_lets_only_one_silence_be_open(webhook, monkeypatch):
    came(webhook, NOW - 2 * HOUR)
    watch()
    rule = silence.expected(webhook)
    assert silence._open(webhook, rule, NOW - 2 * HOUR, NOW) == 0
    assert Silence.objects.count() == 1


def test_when_it_is_nobodys_turn_two_queries_do(webhook):
    watch()
    with CaptureQueriesContext(connection) as queries:
        watch(NOW + MINUTE)
    assert len(queries) == 2


def test_the_clock_watches(webhook):
    pulse(since=timezone.now() - 3 * HOUR, until=timezone.now(), process="b")
    came(webhook, timezone.now() - 2 * HOUR)
    summary = schedule.drain_and_look_ahead()
    assert (summary["silences_opened"], summary["silences_ended"]) == (1, 0)


# --- Learning --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hourly(webhook) -> Webhook:
    """Something came every hour for three weeks, the last time an hour ago; nobody has set a rhythm."""
    Webhook.objects.filter(pk=webhook.pk).update(silence_minutes=None)
    WebhookLog.objects.bulk_create(
        WebhookLog(webhook=webhook, body=b"x", status="processed", created_at=NOW - n * HOUR)
        for n in range(1, 21 * 24 + 1)
    )
    pulse(since=NOW, until=NOW + 3 * HOUR, process="b")
    return Webhook.objects.get(pk=webhook.pk)


def test_a_rhythm_is_learned_and_silence_measured_against_it(hourly):
    assert watch() == (0, 0)
    rhythm = Rhythm.objects.get(webhook=hourly)
    assert (rhythm.expected_minutes, rhythm.busy_hours, rhythm.learned_at) == (90, [], NOW)
    assert rhythm.last_received_at == NOW - HOUR
    assert watch(NOW + 25 * MINUTE) == (0, 0)
    assert watch(NOW + 31 * MINUTE) == (1, 0)
    assert Silence.objects.get().expected_minutes == 90


def test_what_an_admin_sets_comes_before_what_was_learned(hourly):
    watch()
    hourly.silence_minutes = 20
    rule = silence.expected(hourly)
    assert (rule.minutes, rule.known_by) == (20, "set")
    hourly.silence_minutes = None
    rule = silence.expected(hourly)
    assert (rule.minutes, rule.known_by) == (90, "learned")


def test_it_is_learned_anew_once_a_day(hourly):
    watch()
    WebhookLog.objects.all().delete()
    watch(NOW + 23 * HOUR)
    assert Rhythm.objects.get(webhook=hourly).expected_minutes == 90
    watch(NOW + 24 * HOUR)
    assert Rhythm.objects.get(webhook=hourly).expected_minutes is None


def test_a_learned_rhythm_that_is_forgotten_ends_no_silence(hourly):
    watch()
    assert watch(NOW + 40 * MINUTE) == (1, 0)
    Rhythm.objects.update(expected_minutes=None, learned_at=NOW + 40 * MINUTE)
    assert watch(NOW + 50 * MINUTE) == (0, 0)
    assert Silence.objects.get().ended_at is None


def test_no_time_left_puts_learning_off(hourly, monkeypatch):
    monkeypatch.setattr(silence, "LEARN_SECONDS", -1)
    watch()
    assert Rhythm.objects.get(webhook=hourly).learned_at is None


def test_moments_are_ten_minutes_apart_however_much_comes(webhook):
    start = NOW - 2 * HOUR
    WebhookLog.objects.bulk_create(
        WebhookLog(webhook=webhook, body=b"x", status=status, created_at=start + n * timedelta(seconds=20))
        for n, status in enumerate(["processed", "failed", "duplicate", "pending"] * 60)
    )
    came(webhook, NOW - 10 * MINUTE)
    came(webhook, NOW - 5 * MINUTE, is_test=True)
    came(webhook, NOW - 40 * DAY)
    heard = silence.heard(webhook.pk, since=NOW - 28 * DAY)
    assert heard == [start + n * 10 * MINUTE for n in range(8)] + [NOW - 10 * MINUTE]
    assert silence.heard(webhook.pk, since=NOW) == []
