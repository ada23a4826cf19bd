"""What Prometheus reads."""

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import WebhookFactory
from webhooks.models import Forward, LaneMinute, WebhookLog

pytestmark = pytest.mark.django_db

TOKEN = "metrics-token-of-the-tests"


@pytest.fixture
def scrape(client, settings):
    settings.METRICS_TOKEN = TOKEN

    def read() -> dict[str, float]:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(answer.content.decode())
        return {
            sample.name.removeprefix("integrations_webhook_"): sample.value for f in families for sample in f.samples
        }

    return read


def test_there_is_no_such_page_without_a_token(client):
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("given", ["", TOKEN, "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \u00e9"])
def test_the_token_must_hold(client, settings, given):
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", headers={"Authorization": given})
    assert (answer.status_code, answer.content) == (401, b"")


def test_it_tells_what_the_lanes_did(scrape):
    now = timezone.now().replace(second=0, microsecond=0)
    counted = {"received": 600, "duplicates": 3, "refused": 2, "turned_away": 1, "commits": 40}
    LaneMinute.objects.create(minute=now, process="a", commit_ms_total=400, commit_ms_max=90, queue_max=7, **counted)
    LaneMinute.objects.create(minute=now - timedelta(hours=2), process="b", received=1000, commit_ms_max=4000)
    told = scrape()
    assert (told["received_total"], told["duplicates_total"], told["refused_total"]) == (1600, 3, 2)
    assert (told["turned_away_total"], told["commit_seconds_count"], told["commit_seconds_sum"]) == (1, 40, 0.4)
    assert (told["batch_size"], told["queue_depth_max"], told["commit_seconds_max"]) == (15, 7, 0.09)


def test_it_tells_what_waits(scrape):
    empty = scrape()
    assert {name for name, value in empty.items() if value} == set()
    webhook, off = WebhookFactory(), WebhookFactory(is_active=False)
    now = timezone.now()

    def log(webhook, ago: timedelta, **fields) -> WebhookLog:
        fields = {"status": "pending", "due_at": now - ago, "created_at": now - ago, **fields}
        return WebhookLog.objects.create(webhook=webhook, body=b"", **fields)

    log(webhook, timedelta(minutes=10), status="failed")
    log(webhook, timedelta(minutes=5))
    log(webhook, timedelta(minutes=-5), status="failed")
    log(off, timedelta(minutes=60))
    done = log(webhook, timedelta(minutes=90), status="processed", due_at=None)
    Forward.objects.create(log=done, webhook=webhook, url="https://example.com", due_at=now - timedelta(minutes=2))
    told = scrape()
    assert (told["due"], told["retrying"], told["held"], told["forwards_due"]) == (2, 1, 1, 1)
    for name, minutes in {"due": 10, "pending": 60, "forwards_due": 2}.items():
        assert told[f"{name}_age_seconds"] == pytest.approx(minutes * 60, abs=30)
