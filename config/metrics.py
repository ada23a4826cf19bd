"""What Prometheus reads: `GET /metrics`, for whoever has METRICS_TOKEN. Without such a token there is no such page.

The figures come from the database, so any web process tells them for all.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from webhooks.services import backlog, figures

LATELY = timedelta(minutes=5)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """401 for a wrong token; 404 where none is set."""
    if not settings.METRICS_TOKEN:
        raise Http404
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    registry = CollectorRegistry()
    registry.register(_Webhooks())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Webhooks(Collector):
    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield from _done(figures.totals(), figures.recent(LATELY, now=now))
        yield from _waiting(backlog.read(now=now), now)


def _done(ever: figures.Counts, lately: figures.Counts) -> Iterator[Metric]:
    counters: dict[str, tuple[float, str]] = {
        "received": (ever.received, "Deliveries taken in and answered 200"),
        "duplicates": (ever.duplicates, "Deliveries that had come before"),
        "refused": (ever.refused, "Deliveries whose signature did not hold (401)"),
        "turned_away": (ever.turned_away, "Deliveries answered 503: a full queue, no database or no secret"),
    }
    for name, (value, words) in counters.items():
        yield CounterMetricFamily(f"integrations_webhook_{name}", words, value=value)
    yield SummaryMetricFamily(
        "integrations_webhook_commit_seconds", "Commits, each of many deliveries, and how long they took",
        count_value=ever.commits, sum_value=ever.commit_ms_total / 1000,
    )  # fmt: skip
    gauges: dict[str, tuple[float, str]] = {
        "commit_seconds_max": (lately.commit_ms_max / 1000, "The longest commit of the last five minutes"),
        "batch_size": (lately.deliveries_per_commit, "Deliveries for each commit in the last five minutes"),
        "queue_depth_max": (lately.queue_max, "Most deliveries waiting for a commit in the last five minutes"),
    }
    for name, (value, words) in gauges.items():
        yield GaugeMetricFamily(f"integrations_webhook_{name}", words, value=value)


def _waiting(found: backlog.Backlog, now: datetime) -> Iterator[Metric]:
    gauges: dict[str, tuple[float, str]] = {
        "due": (found.due.number, "Events a worker could process now"),
        "due_age_seconds": (_age(found.due.since, now), "How long the longest of them has been due"),
        "retrying": (found.retrying, "Events that failed and will be tried again"),
        "held": (found.held, "Events of webhooks that are switched off"),
        "pending_age_seconds": (_age(found.pending_since, now), "Age of the oldest event that was never tried"),
        "forwards_due": (found.forwards.number, "Events that could be forwarded now"),
        "forwards_due_age_seconds": (_age(found.forwards.since, now), "How long the longest has been due"),
    }
    for name, (value, words) in gauges.items():
        capped = "" if name.endswith("_seconds") else f", counted up to {backlog.MOST}"
        yield GaugeMetricFamily(f"integrations_webhook_{name}", words + capped, value=value)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
