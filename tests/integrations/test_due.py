"""Rows that wait are claimed by exactly one."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from integrations import ids
from webhooks.models import Webhook, WebhookLog

LEASE = timedelta(seconds=30)


@pytest.fixture
def row(db):
    return WebhookLog.objects.create(webhook=Webhook.objects.first(), body=b"{}", due_at=timezone.now())


def test_a_claim_counts_the_attempt_and_moves_the_row_out_of_reach(row):
    now = timezone.now()
    assert WebhookLog.objects.claim(row, now=now, lease=LEASE)
    row.refresh_from_db()
    assert (row.attempts, row.retry_count, row.due_at, row.started_at) == (1, 0, now + LEASE, now)
    assert not WebhookLog.objects.due(now).exists()


def test_who_saw_an_older_state_gets_nothing(row):
    other = WebhookLog.objects.get(pk=row.pk)
    assert WebhookLog.objects.claim(row, now=timezone.now(), lease=LEASE)
    assert not WebhookLog.objects.claim(other, now=timezone.now(), lease=LEASE)


def test_who_outstayed_the_lease_can_no_longer_finish(row):
    slow = WebhookLog.objects.get(pk=row.pk)
    now = timezone.now()
    WebhookLog.objects.claim(slow, now=now, lease=LEASE)
    quick = WebhookLog.objects.get(pk=row.pk)
    assert WebhookLog.objects.claim(quick, now=now + 2 * LEASE, lease=LEASE)
    assert not WebhookLog.objects.finish(slow, status="processed", due_at=None)
    assert WebhookLog.objects.finish(quick, status="processed", due_at=None)
    row.refresh_from_db()
    assert (row.attempts, row.retry_count) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_one_wins():
    row = WebhookLog.objects.create(webhook=Webhook.objects.first(), body=b"{}", due_at=timezone.now())
    wins = []

    def try_it():
        try:
            mine = WebhookLog.objects.get(pk=row.pk)
            start.wait()
            wins.append(WebhookLog.objects.claim(mine, now=timezone.now(), lease=LEASE))
        finally:
            connection.close()

    start = threading.Barrier(8)
    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == [False] * 7 + [True]


def test_ids_are_in_the_order_in_which_they_were_made():
    made = [ids.new() for _ in range(1000)]
    assert made == sorted(made)
    assert made[0].version == 7
