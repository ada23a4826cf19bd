"""Reading: every page and route that lists something, at a small and at a large size of the tables, in one run.

One person, through Django's own stack in this process, against PostgreSQL; everything warm. What counts is that the
second column is like the first: a route whose cost grows with the tables will be too slow one day.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks.filling import fill
from benchmarks.place import Place

ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
SMALLER = 10
"""The small size is this much smaller."""
TIMES = 20
MOST_MS, MOST_QUERIES = 100, 12
API = "/api/admin/integrations"
PAGES = "/admin/integrations"

Ask = Callable[[], Any]


@dataclass(frozen=True)
class Figure:
    """Milliseconds, and how many queries."""

    p50: float
    p95: float
    queries: int


def run(place: Place, *, rows: int = ROWS, times: int = TIMES) -> None:
    set_up(place)
    sizes = (max(1, rows // SMALLER), rows)
    found: dict[str, list[Figure]] = {}
    streams = []
    for size in sizes:
        began = time.monotonic()
        fill(place.connection, size)
        roll_up(place)
        print(f"  {size:,} deliveries and as many calls made in {time.monotonic() - began:.0f} s", flush=True)
        for name, ask in routes():
            found.setdefault(name, []).append(measure(ask, times))
        streams.append(stream())
    report(found, sizes)
    for size, words in zip(sizes, streams, strict=True):
        print(f"CSV of all of {size:,}: {words}")


def set_up(place: Place) -> None:
    """Django in this process, on the benchmark's database, with nobody held up by a rate limit."""
    os.environ.update(place.env, API_READ_RATE="1000000/min", DJANGO_SETTINGS_MODULE="config.settings")
    import django

    django.setup()
    place.manage("collectstatic", "--no-input", "--verbosity", "0")


def roll_up(place: Place) -> None:
    """As the hourly job has done by now."""
    from django.utils import timezone

    from healthchecks import rollups

    began = time.monotonic()
    done = rollups.roll(now=timezone.now(), budget_seconds=3600)
    print(f"  {done.words} {done.calls / (time.monotonic() - began):,.0f} calls/s", flush=True)
    place.connection.execute("VACUUM ANALYZE")


# --- What is asked ---------------------------------------------------------------------------------------------------


def routes() -> Iterator[tuple[str, Ask]]:
    from django.utils import timezone
    from guardian.shortcuts import assign_perm

    from integrations.cron.models import CronJob
    from integrations.models import Integration
    from integrations.seek import Place
    from webhooks.models import Webhook, WebhookLog

    everybody, one = caller("bench-all", superuser=True), caller("bench-one")
    assign_perm("integrations.read", one.user, Integration.objects.get(slug="didit-kyc"))
    hook = Webhook.objects.get(webhook_url="/api/webhooks/zoho/crm")
    logs = WebhookLog.objects.order_by("-created_at", "-pk")
    newest = logs.only("pk", "created_at", "idempotency_key", "webhook_id").filter(webhook=hook)[0]
    middle = logs.only("pk", "created_at", "idempotency_key").filter(created_at__lt=days_ago(45))[0]
    poll, older = (str(Place(log.created_at, log.pk)) for log in (newest, middle))
    day, week, month = (days_ago(days).isoformat() for days in (1, 6.9, 30))

    yield "overview", everybody.page("")
    for name, query in {
        "": {}, ", one integration": {"integration": "didit-kyc"}, ", failed": {"status": "failed"},
        ", pending": {"status": "pending"}, ", event": {"event": "email.bounced"}, ", event that never came":
        {"event": "no.such.event"}, ", text": {"q": "HTTP 503"}, ", text that is nowhere": {"q": "nowhere-at-all"},
        ", a key": {"q": middle.idempotency_key}, ", all filters": {"integration": "resend", "status": "failed",
        "event": "email", "q": "order"}, ", 45 days down": {"before": older}, ", failed, 45 days down":
        {"before": older, "status": "failed"}, ", poll": {"floor": poll},
    }.items():  # fmt: skip
        yield f"feed{name}", everybody.page("/webhooks", **query)
    yield "feed, by whom one integration was granted", one.page("/webhooks")
    yield "a delivery's fold", everybody.page(f"/webhooks/{newest.pk}/body")

    for name, query in {
        "": {}, ", page 200": {"page": 200}, ", failed": {"status": "failed"}, ", failed, page 200":
        {"status": "failed", "page": 200}, ", pending": {"status": "pending"}, ", tests": {"isTest": "true"},
        ", one integration": {"integration": "didit-kyc"}, ", one integration, page 200":
        {"integration": "resend", "page": 200}, ", event": {"eventType": "email.bounced"},
        ", event that never came": {"eventType": "no.such.event"}, ", event, failed": {"eventType": "email.bounced",
        "status": "failed"}, ", a month": {"from": month}, ", text": {"search": "HTTP 503"}, ", text that is nowhere":
        {"search": "nowhere-to-be-found"}, ", a key": {"search": middle.idempotency_key}, ", text in a day's payloads":
        {"search": "CT-19", "from": day}, ", text in a week's payloads": {"search": "nowhere-to-be-found", "from":
        week}, ", all filters": {"integration": "resend", "status": "failed", "eventType": "email.bounced", "isTest":
        "false", "from": month, "search": "order"},
    }.items():  # fmt: skip
        yield f"logs{name}", everybody.api("/webhooks/logs", **query)
    deep = everybody.json("/webhooks/logs", page=199)["pagination"]["nextCursor"]
    yield "logs, by cursor beyond page 199", everybody.api("/webhooks/logs", cursor=deep or "")
    yield "logs, by whom one integration was granted", one.api("/webhooks/logs")
    yield "a webhook's logs", everybody.api(f"/webhooks/{hook.pk}/logs")
    yield "a webhook's logs, failed", everybody.api(f"/webhooks/{hook.pk}/logs", status="failed")
    yield "a webhook's logs, page 200", everybody.api(f"/webhooks/{hook.pk}/logs", page=200)
    yield "one log", everybody.api(f"/webhooks/{hook.pk}/logs/{newest.pk}")
    yield "logs.csv, first bytes", lambda: next(iter(everybody.api("/webhooks/logs.csv")()))
    yield "logs.csv, first thousand", lambda: first(everybody.api("/webhooks/logs.csv")(), 2)

    yield "registry", everybody.api("")
    yield "one integration", everybody.api("/resend")
    yield "webhooks", everybody.api("/webhooks")
    yield "health", everybody.api("/health")
    yield from figures(everybody)
    yield "retry queue", everybody.api("/zoho/retry-queue")
    yield "cron", everybody.api("/cron")
    job = CronJob.objects.get(job_name="webhooks-process-due").pk
    for name, query in {
        "": {}, ", failed": {"status": "failed"}, ", missed": {"status": "missed"}, ", page 200": {"page": 200}
    }.items():  # fmt: skip
        yield f"runs of a job{name}", everybody.api(f"/cron/{job}/logs", **query)
    yield "activity", everybody.api("/activity")
    yield "activity, filtered", everybody.api("/activity", integration="resend", actor="person1", **{"from": month})
    yield "activity, page 200", everybody.api("/activity", page=200)
    for model, query in {
        "webhooks/webhooklog": {}, "webhooks/webhooklog, failed": {"status__exact": "failed"},
        "webhooks/webhooklog, a key": {"q": middle.idempotency_key}, "webhooks/attempt": {}, "webhooks/forward": {},
        "webhooks/refusal": {}, "integrations/apimetric": {}, "integrations/activity": {},
        "healthchecks/checkresult": {}, "cron/cronrun": {},
    }.items():  # fmt: skip
        yield f"admin {model}", everybody.admin(model.partition(",")[0], **query)
    assert timezone.now() - newest.created_at < timedelta(days=1)


def figures(everybody: "caller") -> Iterator[tuple[str, Ask]]:
    """What is read of metrics alone."""
    for slug in ("resend", "zoho-crm", "google-maps"):
        yield f"health of {slug}", everybody.api(f"/health/{slug}")
    for window in ("24h", "7d", "90d"):
        yield f"series, {window}", everybody.api("/health/resend/series", window=window)
    one = everybody.json("/health/resend/endpoints")["endpoints"][0]["endpoint"]
    yield "series, 90d, one endpoint", everybody.api("/health/resend/series", window="90d", endpoint=one)
    for window in ("24h", "7d"):
        yield f"endpoints, {window}", everybody.api("/health/resend/endpoints", window=window)
    yield "errors", everybody.api("/health/resend/errors")
    yield "errors, page 50", everybody.api("/health/resend/errors", page=50)
    yield "metrics.csv, first thousand", lambda: first(everybody.api("/health/resend/metrics.csv")(), 2)


class caller:  # noqa: N801 - read as a function
    """Somebody with a session and a token. `page`, `api` and `admin` give what asks once and fails on an error."""

    def __init__(self, username: str, *, superuser: bool = False) -> None:
        from django.test import Client

        from integrations.accounts.models import ApiToken, User

        self.user, _ = User.objects.get_or_create(
            username=username, defaults={"email": f"{username}@example.com", "is_superuser": superuser}
        )
        self.client = Client(SERVER_NAME="localhost")
        self.client.force_login(self.user)
        _, token = ApiToken.issue(user=self.user, name="bench", scopes=[], expires_at=None)
        self.bearer = {"Authorization": f"Bearer {token}"}

    def page(self, path: str, **query: object) -> Ask:
        return self._get(PAGES + path, query, {})

    def api(self, path: str, **query: object) -> Ask:
        return self._get(API + path, query, self.bearer)

    def admin(self, model: str, **query: object) -> Ask:
        return self._get(f"/django-admin/{model}/", query, {})

    def json(self, path: str, **query: object) -> Any:
        return self.api(path, **query)().json()

    def _get(self, path: str, query: dict[str, object], headers: dict[str, str]) -> Ask:
        asked = {name: str(value) for name, value in query.items()}

        def ask() -> Any:
            answer = self.client.get(path, asked, headers=headers)
            if answer.status_code != 200:
                raise RuntimeError(f"{path} {asked}: {answer.status_code}")
            return answer

        return ask


def days_ago(days: float) -> Any:
    from django.utils import timezone

    return timezone.now() - timedelta(days=days)


def first(answer: Any, parts: int) -> list[bytes]:
    return [part for part, _ in zip(answer.streaming_content, range(parts), strict=False)]


# --- Measuring -------------------------------------------------------------------------------------------------------


def measure(ask: Ask, times: int) -> Figure:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        ask()
    queries = len(captured)  # now: the next request empties the list
    took = []
    for _ in range(times + 1):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    took = sorted(took[1:])  # the first makes warm
    return Figure(statistics.median(took), took[min(times - 1, int(times * 0.95))], queries)


def stream() -> str:
    """The whole list as CSV: rows in a second, and how far the process's memory rose."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    answer = caller("bench-all", superuser=True).api("/webhooks/logs.csv")()
    lines = sum(part.count(b"\r\n") for part in answer.streaming_content) - 1
    rate = lines / (time.monotonic() - began)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return f"{rate:,.0f} rows/s, {more:.0f} MB more at its peak"


def report(found: dict[str, list[Figure]], sizes: tuple[int, ...]) -> None:
    """Marked `!`: over 100 ms at p95, or over 12 queries."""
    small, large = (f"{size / 1e6:g} M" for size in sizes)
    print(f"\n{'':46} queries  {small + ': p50':>12} {'p95 ms':>8}  {large + ': p50':>10} {'p95 ms':>8}  ratio")
    for name, (less, more) in found.items():
        bad = max(less.p95, more.p95) > MOST_MS or max(less.queries, more.queries) > MOST_QUERIES
        print(
            f"{name:46} {more.queries:7} {less.p50:13.1f} {less.p95:8.1f} {more.p50:11.1f} {more.p95:8.1f}"
            f" {more.p50 / less.p50:6.1f} {'!' if bad else ''}"
        )
    print(flush=True)
