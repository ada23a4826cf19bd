"""Where a delivery's time went."""

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations import ids
from integrations.providers.spec import ProviderError
from tests.webhooks.conftest import signed
from webhooks.models import Attempt, Webhook, WebhookLog
from webhooks.services import latency, process, receive

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SINCE = NOW - timedelta(hours=24)


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


def log(
    webhook: Webhook, *, sent: float | None = 300, commit: float = 4, pickup: float = 50, work: float = 20, **rest
):
    """A delivery that took so many milliseconds in each part, in one try."""
    at = rest.pop("at", NOW - timedelta(hours=1))
    stored = at + ms(commit)
    fields = {
        "status": "processed", "attempts": 1, "created_at": at, "sent_at": at - ms(sent) if sent is not None else None,
        "stored_at": stored, "started_at": stored + ms(pickup), "processed_at": stored + ms(pickup + work),
    } | rest  # fmt: skip
    return WebhookLog.objects.create(webhook=webhook, body=b"x", **fields)


def tried(row: WebhookLog, *after_ms: float) -> None:
    for after in after_ms:
        Attempt.objects.create(log=row, target="handler", at=row.stored_at + ms(after))


def split(webhook: Webhook) -> latency.Split:
    return latency.split(webhook.pk, since=SINCE)


def test_each_part_has_its_median_its_95th_percentile_and_its_worst(webhook):
    for n in range(1, 101):
        log(webhook, sent=n * 10, commit=n, pickup=n * 100, work=n * 1000)
    found = split(webhook)
    assert (found.counted, found.capped) == (100, False)
    assert found.provider == latency.Part(counted=100, p50=500, p95=950, max=1000)
    assert found.commit == latency.Part(counted=100, p50=50, p95=95, max=100)
    assert found.pickup == latency.Part(counted=100, p50=5000, p95=9500, max=10_000)
    assert found.work == latency.Part(counted=100, p50=50_000, p95=95_000, max=100_000)


def test_without_deliveries_there_are_no_figures(webhook):
    found = split(webhook)
    assert found.counted == 0
    assert found.provider == found.commit == found.pickup == found.work == latency.Part()


def test_clocks_that_disagree_are_told_apart(webhook):
    log(webhook, sent=200)
    log(webhook, sent=-700)
    log(webhook, sent=-1500)
    found = split(webhook).provider
    assert found == latency.Part(counted=1, p50=200, p95=200, max=200, backwards=2, backwards_max=1500)


def test_a_provider_that_does_not_say_when_it_sent_has_no_time(webhook):
    log(webhook, sent=None)
    found = split(webhook)
    assert (found.provider.counted, found.commit.counted) == (0, 1)


def test_an_event_tried_again_was_picked_up_when_it_was_first_tried(webhook):
    row = log(webhook, pickup=7_200_000, work=30, attempts=3)
    tried(row, 40, 5_000, 7_200_000)
    found = split(webhook)
    assert found.pickup.max == 40
    assert found.work.max == 30


def test_a_first_try_that_nobody_wrote_down_counts_for_nothing(webhook):
    killed = log(webhook, pickup=30_000, attempts=2)
    tried(killed, 30_000)
    forwarded = log(webhook, pickup=30_000, attempts=2)
    tried(forwarded, 30_000)
    Attempt.objects.create(log=forwarded, target="https://example.com", at=NOW)
    assert split(webhook).pickup.counted == 0


def test_an_event_that_was_revived_was_picked_up_long_before(webhook):
    row = log(webhook, pickup=90_000_000, attempts=1, revived_at=NOW)
    tried(row, 60, 90_000_000)
    assert split(webhook).pickup.max == 60


def test_what_is_not_done_has_no_work_and_what_waits_was_never_picked_up(webhook):
    log(webhook, status="failed", processed_at=None)
    log(webhook, status="pending", started_at=None, processed_at=None, attempts=0)
    found = split(webhook)
    assert [p.counted for p in (found.provider, found.commit, found.pickup, found.work)] == [2, 2, 1, 0]


def test_only_what_a_provider_sent_lately_to_this_webhook_counts(webhook):
    log(webhook, is_test=True)
    log(webhook, replay_of=ids.new())
    log(webhook, status="duplicate")
    log(webhook, verified=False)
    log(webhook, at=SINCE - timedelta(seconds=1))
    log(Webhook.objects.get(integration__slug="netcash"))
    assert split(webhook).counted == 0


def test_the_newest_are_counted_and_it_is_said_that_there_are_more(webhook, monkeypatch):
    monkeypatch.setattr(latency, "MOST", 3)
    for n, status in enumerate(["processed", "failed", "pending", "processed"]):
        log(webhook, commit=n, at=NOW - timedelta(minutes=n), status=status)
    found = split(webhook)
    assert (found.counted, found.capped, found.commit.max) == (3, True, 2)


def test_it_fits_what_is_written_when_events_are_really_processed(route, webhook):
    (row,) = receive.admit(route("resend"), signed("resend"), now=timezone.now())
    receive.store([row])
    refusals = [ProviderError("away")]

    def handler(event):
        if refusals:
            raise refusals.pop()

    table = process.Table(handlers={("resend", "*"): handler})
    process.drain(table)
    first_try = WebhookLog.objects.get(pk=row.pk).started_at
    WebhookLog.objects.filter(pk=row.pk).update(due_at=timezone.now())
    process.drain(table)
    found, row = split(webhook), WebhookLog.objects.get(pk=row.pk)
    assert (row.status, row.attempts) == ("processed", 2)
    assert found.pickup.max == (first_try - row.stored_at) / ms(1)
    assert found.work.max == (row.processed_at - row.started_at) / ms(1)
    assert found.commit.counted == found.provider.counted + found.provider.backwards == 1
