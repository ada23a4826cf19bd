"""Figures, charts, endpoints, errors and CSV of an integration, as other systems and the pages read them."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import rollups
from healthchecks.api import calls
from healthchecks.models import CheckResult
from integrations.models import ApiMetric, Integration
from oauth import services as oauth
from tests.api.conftest import Caller, assert_problem
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

NOW = (timezone.now() - timedelta(hours=1)).replace(minute=30)  # in the first minute of an hour, other hours count
HOUR = timedelta(hours=1)
HEALTH = "/health/resend"


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    """The clock stands still."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def resend(registry) -> Integration:
    return registry["resend"]


def call(integration: Integration, ago: timedelta = timedelta(minutes=1), ms: int = 100, **fields) -> ApiMetric:
    fields = {"endpoint": "/emails/{id}", "method": "GET", "status_code": 200, **fields}
    return ApiMetric.objects.create(integration=integration, created_at=NOW - ago, response_time_ms=ms, **fields)


def lived(integration: Integration) -> None:
    """Nine days of calls, most of them rolled up."""
    for n in range(9 * 24):
        call(integration, n * HOUR + timedelta(minutes=1), 100 if n % 20 else 2000, error_message="" if n % 8 else "x")
    rollups.roll(now=NOW - 2 * HOUR)


# --- How one is ------------------------------------------------------------------------------------------------------


def test_both_windows_have_their_percentile(api, resend):
    lived(resend)
    metrics = api.get(HEALTH).json()["metrics"]
    day, week = metrics["last24Hours"], metrics["last7Days"]
    assert (day["totalRequests"], week["totalRequests"]) == (24, 168)
    assert day["p95ResponseTime"] == pytest.approx(2000, rel=0.01)
    assert week["p95ResponseTime"] == pytest.approx(2000, rel=0.01)
    assert week["errorRate"] == pytest.approx(100 * 21 / 168, abs=0.01)
    assert week["successRate"] + week["errorRate"] == pytest.approx(100)


def test_without_a_call_there_is_no_figure(api, registry):
    window = api.get("/health/google-maps").json()["metrics"]["last7Days"]
    assert (window["totalRequests"], window["p95ResponseTime"], window["errorRate"]) == (0, None, None)


@pytest.mark.parametrize("slug", ["zoho-crm", "zoho-sign", "resend", "netcash", "mtn-coverage"])
def test_twelve_queries_do(api, sandbox, registry, slug, django_assert_max_num_queries):
    row = registry[slug]
    oauth.connect_sandbox(row)
    lived(row)
    CheckResult.objects.create(integration=row, status="healthy", rule="checks_passed", reason="", trigger="sweep")
    if row.has_webhooks:
        WebhookLogFactory(webhook=Webhook.objects.get(integration=row))
    api.get(f"/health/{slug}")  # notes that the token is used, once a minute
    with django_assert_max_num_queries(12):
        assert api.get(f"/health/{slug}").status_code == 200


def test_the_list_takes_twelve_at_most_too(api, registry, django_assert_max_num_queries):
    lived(registry["resend"])
    api.get("/health")  # likewise
    with django_assert_max_num_queries(12):
        listed = api.get("/health").json()["integrations"]
    resend = next(row for row in listed if row["slug"] == "resend")
    assert resend["metrics"]["errorRate"] == 12.5


def test_the_rate_limit_is_told_with_what_will_become_of_it(api, registry):
    crm = registry["zoho-crm"]
    for ago, left in ((30, 7_000), (0, 5_000)):
        call(crm, timedelta(minutes=ago), rate_limit_remaining=left)
    stand = api.get("/health/zoho-crm").json()["rateLimits"]
    assert (stand["remaining"], stand["limit"], stand["resetAt"]) == (5_000, 50_000, None)
    assert (stand["usedPercent"], stand["isWarning"], stand["countedBy"]) == (90.0, True, "provider")
    assert stand["callsPerHour"] == pytest.approx(4_000, rel=0.01)
    assert stand["runsOutAt"].endswith("Z")
    assert "nothing is left in 75 min" in stand["message"]


def test_where_no_header_tells_our_own_count_does(api, registry):
    call(registry["google-maps"], timedelta(seconds=5))
    stand = api.get("/health/google-maps").json()["rateLimits"]
    assert (stand["remaining"], stand["limit"], stand["countedBy"]) == (2_999, 3_000, "us")


def test_who_has_no_limit_has_none(api, registry):
    stand = api.get("/health/netcash").json()["rateLimits"]
    assert (stand["remaining"], stand["limit"], stand["isWarning"], stand["message"]) == (None, None, False, None)


# --- Charts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "number", "seconds"), [("24h", 96, 900), ("7d", 168, 3600), ("90d", 90, 86400)])
def test_a_series_has_a_point_for_each_step(api, resend, window, number, seconds):
    lived(resend)
    body = api.get(f"{HEALTH}/series", window=window).json()
    assert (body["window"], body["stepSeconds"], len(body["points"])) == (window, seconds, number)
    shown = [point for point in body["points"] if point["requests"] is not None]
    assert {24: "24h", 168: "7d", 216: "90d"}[sum(point["requests"] for point in shown)] == window
    assert all(point["at"].endswith("Z") for point in body["points"])
    assert {frozenset(point) for point in body["points"]} == {
        frozenset(["at", "requests", "errors", "errorRate", "averageMs", "p50", "p95"])
    }


def test_a_gap_is_a_gap_and_no_nought(api, resend):
    call(resend, HOUR)
    points = api.get(f"{HEALTH}/series").json()["points"]
    empty = [point for point in points if point["requests"] is None]
    assert len(empty) == 95
    assert {tuple(value for name, value in point.items() if name != "at") for point in empty} == {(None,) * 6}
    (full,) = [point for point in points if point["requests"]]
    assert (full["requests"], full["errors"], full["errorRate"], full["averageMs"]) == (1, 0, 0.0, 100.0)


def test_a_series_of_one_endpoint(api, resend):
    call(resend)
    call(resend, endpoint="/domains", method="POST")
    for window in ("24h", "7d", "90d"):
        points = api.get(f"{HEALTH}/series", window=window, endpoint="/domains", method="POST").json()["points"]
        assert sum(point["requests"] or 0 for point in points) == 1


def test_by_endpoint(api, resend):
    for ms in (100, 300):
        call(resend, ms=ms)
    call(resend, endpoint="/domains", error_message="HTTP 500")
    call(resend, 50 * HOUR, endpoint="/domains")
    body = api.get(f"{HEALTH}/endpoints").json()
    assert body["endpoints"][0] == {
        "method": "GET", "endpoint": "/emails/{id}", "requests": 2, "errors": 0, "errorRate": 0.0,
        "avgResponseTime": 200.0, "p95ResponseTime": pytest.approx(300, rel=0.01),
    }  # fmt: skip
    assert [row["requests"] for row in body["endpoints"]] == [2, 1]
    week = api.get(f"{HEALTH}/endpoints", window="7d").json()["endpoints"]
    assert {row["endpoint"]: row["errorRate"] for row in week} == {"/emails/{id}": 0.0, "/domains": 50.0}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("series", {"window": "1y"}, "window"), ("endpoints", {"window": "90d"}, "window"),
        ("series", {"endpoint": "x" * 201}, "endpoint"), ("errors", {"limit": 0}, "limit"),
        ("errors", {"page": "x"}, "page"), ("metrics.csv", {"from": "yesterday"}, "from"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named(api, resend, path, query, field):
    problem = assert_problem(api.get(f"{HEALTH}/{path}", **query), 400, "invalid")
    assert problem["errors"][0]["field"] == field


# --- Errors ----------------------------------------------------------------------------------------------------------


def test_errors_come_newest_first_and_in_pages(api, resend):
    for n in range(5):
        call(resend, timedelta(minutes=n), 40 + n, error_message=f"it broke {n}", status_code=None if n else 500)
    call(resend)
    body = api.get(f"{HEALTH}/errors", limit=2).json()
    assert [row["errorMessage"] for row in body["errors"]] == ["it broke 0", "it broke 1"]
    assert body["pagination"] | {"nextCursor": ""} == {
        "total": 5, "totalIsCapped": False, "page": 1, "limit": 2, "totalPages": 3, "nextCursor": "",
    }  # fmt: skip
    newest = body["errors"][0]
    assert (newest["endpoint"], newest["statusCode"], newest["responseTimeMs"]) == ("GET /emails/{id}", 500, 40)
    assert body["errors"][1]["statusCode"] is None
    assert newest["isProbe"] is False
    following = api.get(f"{HEALTH}/errors", limit=2, cursor=body["pagination"]["nextCursor"]).json()
    assert [row["errorMessage"] for row in following["errors"]] == ["it broke 2", "it broke 3"]
    assert api.get(f"{HEALTH}/errors", page=9).json()["errors"] == []


# --- CSV -------------------------------------------------------------------------------------------------------------


def lines_of(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_the_csv_has_every_call_and_no_formula(api, resend):
    row = call(resend, error_message='=HYPERLINK("x")', rate_limit_remaining=7, rate_limit_reset_at=NOW)
    call(resend, HOUR)
    response = api.get(f"{HEALTH}/metrics.csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="resend-metrics.csv"'
    newest, older = lines_of(response)
    assert tuple(newest) == calls.COLUMNS
    assert (newest["id"], newest["errorMessage"]) == (str(row.pk), '\'=HYPERLINK("x")')
    assert (newest["rateLimitRemaining"], older["rateLimitRemaining"]) == ("7", "")
    assert newest["at"].endswith("Z")


def test_its_pages_follow_each_other_without_gap_or_repeat(api, resend, monkeypatch):
    monkeypatch.setattr(calls, "PAGE", 4)
    rows = [call(resend, timedelta(seconds=n // 3)) for n in range(11)]
    newest_first = sorted(rows, key=lambda row: (row.created_at, row.pk), reverse=True)
    assert [line["id"] for line in lines_of(api.get(f"{HEALTH}/metrics.csv"))] == [str(row.pk) for row in newest_first]


def test_it_may_be_cut_to_a_time(api, resend):
    for days in (0, 2, 4):
        call(resend, timedelta(days=days))
    span = {"from": (NOW - timedelta(days=3)).isoformat(), "to": (NOW - timedelta(days=1)).isoformat()}
    assert len(lines_of(api.get(f"{HEALTH}/metrics.csv", **span))) == 1


# --- Whose -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["series", "endpoints", "errors", "metrics.csv"])
def test_a_grant_on_one_shows_that_one_and_no_others(calling, charlie, registry, path):
    call(registry["netcash"], error_message="canary")
    caller: Caller = calling(charlie)
    assert_problem(caller.get(f"{HEALTH}/{path}"), 403, "permission_denied")
    assign_perm("integrations.read", charlie, registry["resend"])
    caller = calling(charlie)
    assert caller.get(f"{HEALTH}/{path}").status_code == 200
    assert_problem(caller.get(f"/health/netcash/{path}"), 404, "not_found")
