"""Every route answers as API.md has it: these names, these types, nothing missing, nothing secret."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from healthchecks.models import CheckResult, StatusChange
from integrations import activity
from integrations.actor import Actor
from integrations.cron.models import CronJob
from integrations.models import Activity, ApiMetric, Integration
from oauth import flow, services
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Maybe:
    """null, or this."""

    def __init__(self, shape: object) -> None:
        self.shape = shape


class OneOf:
    def __init__(self, *values: object) -> None:
        self.values = values


HEALTH = OneOf("healthy", "degraded", "down", "unknown")
NUMBER = (int, float)


def check(value: object, shape: object, where: str = "$") -> None:
    """`value` has `shape`, with extra fields allowed and none missing."""
    if isinstance(shape, Maybe):
        if value is not None:
            check(value, shape.shape, where)
    elif isinstance(shape, OneOf):
        assert value in shape.values, where
    elif isinstance(shape, dict):
        assert isinstance(value, dict), where
        for name, inner in shape.items():
            assert name in value, f"{where}.{name} is missing"
            check(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        assert value, f"{where} is empty, so nothing is tested"
        for number, item in enumerate(value):
            check(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), where
        assert shape.fullmatch(value), f"{where}: {value}"
    elif shape in (int, NUMBER):
        assert isinstance(value, shape), f"{where}: {value!r}"
        assert not isinstance(value, bool), where
    else:
        assert isinstance(value, shape), f"{where}: {value!r}"


INTEGRATION = {
    "id": UUID, "slug": str, "name": str, "category": str, "provider": str, "requiresOAuth": bool, "hasWebhooks": bool,
    "hasApiClient": bool, "isActive": bool, "healthStatus": HEALTH, "lastHealthCheckAt": Maybe(INSTANT),
}  # fmt: skip
TOKEN = {
    "hasAccessToken": bool, "hasRefreshToken": bool, "expiresAt": Maybe(INSTANT), "lastRefreshedAt": Maybe(INSTANT),
    "refreshCount": int, "autoRefresh": bool,
    "status": OneOf("valid", "expired", "expiring_soon", "revoked", "missing"),
}  # fmt: skip
WEBHOOK = {"id": UUID, "webhookUrl": str, "eventTypes": [str], "verificationMethod": str, "isActive": bool}
FIGURES = {"avgResponseTime": Maybe(NUMBER), "errorRate": Maybe(NUMBER), "uptime": Maybe(NUMBER)}
JOB = {
    "id": UUID, "jobName": str, "schedule": str, "scheduleText": str, "lastRunAt": Maybe(INSTANT),
    "lastRunStatus": Maybe(OneOf("success", "failed", "timeout")), "nextRunAt": Maybe(INSTANT), "isActive": bool,
}  # fmt: skip
PAGINATION = {"total": int, "page": int, "limit": int, "totalPages": int}
LOG = {
    "id": UUID, "eventType": Maybe(str), "status": OneOf("pending", "processed", "failed", "duplicate"),
    "processingTimeMs": Maybe(int), "retryCount": int, "createdAt": INSTANT, "processedAt": Maybe(INSTANT),
    "idempotencyKey": Maybe(str), "isTest": bool, "replayOf": Maybe(UUID), "duplicateOf": Maybe(UUID),
}  # fmt: skip
WINDOW = {
    "totalRequests": int, "successRate": Maybe(NUMBER), "avgResponseTime": Maybe(NUMBER), "errorRate": Maybe(NUMBER),
    "uptime": Maybe(NUMBER),
}  # fmt: skip
HEALTH_HEAD = {"id": UUID, "name": str, "slug": str, "healthStatus": HEALTH, "lastHealthCheckAt": Maybe(INSTANT)}


@pytest.fixture
def lived_in(registry) -> dict[str, Integration]:
    """A registry that something has happened to."""
    now = timezone.now()
    crm, resend = registry["zoho-crm"], registry["resend"]
    grant = flow.Tokens(
        access_token="canary-access",
        refresh_token="canary-refresh",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )
    services.connect(crm, grant, actor=Actor(username="alice"))
    webhook = Webhook.objects.get(integration=resend)
    WebhookLog.objects.create(
        webhook=webhook, body=b"{}", payload={}, status="processed", event_type="email.sent", idempotency_key="k",
        processing_time_ms=5, processed_at=now,
    )  # fmt: skip
    WebhookLog.objects.create(
        webhook=webhook, body=b"", status="failed", due_at=now, error_message="it broke", retry_count=1, attempts=2
    )
    for elapsed, error, code in ((120, "", 200), (240, "HTTP 500", 500), (9000, "no answer", None)):
        ApiMetric.objects.create(
            integration=resend, endpoint="/domains", method="GET", status_code=code, response_time_ms=elapsed,
            error_message=error, source="probe", rate_limit_limit=2, rate_limit_remaining=1, rate_limit_reset_at=now,
        )  # fmt: skip
    CheckResult.objects.create(
        integration=resend, status="down", rule="api_failing", reason="The API fails.", trigger="sweep",
        layers=[{"layer": "api", "status": "down", "rule": "api_failing", "seen": "The API fails."}],
    )  # fmt: skip
    StatusChange.objects.create(
        integration=resend, old_status="healthy", new_status="down", reason="", at=now - timedelta(hours=1)
    )
    Integration.objects.filter(pk=resend.pk).update(
        health_status="down", health_reason="The API fails.", last_health_check_at=now, health_since=now
    )
    CronJob.objects.filter(job_name="integrations-health-check").update(
        last_run_at=now, last_run_status="success", last_run_duration_ms=1200
    )
    activity.record(actor=Actor(username="alice", ip_address="192.0.2.1"), action="login", integration=resend)
    return registry


def test_the_registry(api, lived_in):
    body = api.get("").json()
    check(body, {"integrations": [INTEGRATION]})
    assert len(body["integrations"]) == 10


def test_one_integration_with_oauth_and_webhooks(api, lived_in):
    body = api.get("/zoho-crm").json()
    check(
        body,
        {
            "integration": {
                "id": UUID, "slug": str, "name": str, "category": str, "provider": str, "isActive": bool,
                "healthStatus": HEALTH, "lastHealthCheckAt": Maybe(INSTANT), "metadata": dict, "oauthTokens": TOKEN,
                "webhooks": [WEBHOOK], "recentMetrics": FIGURES,
            }
        },
    )  # fmt: skip
    assert body["integration"]["oauthTokens"]["status"] == "valid"


def test_parts_that_an_integration_has_not_are_left_out(api, lived_in):
    body = api.get("/google-maps").json()["integration"]
    assert not {"oauthTokens", "webhooks", "cronJobs"} & set(body)
    check(api.get("/zoho-billing").json()["integration"]["cronJobs"], [JOB])


def test_the_tokens(api, lived_in):
    body = api.get("/oauth/tokens").json()
    check(
        body,
        {
            "tokens": [
                {
                    "integrationId": UUID,
                    "integrationName": str,
                    "integrationSlug": str,
                    "lastError": Maybe(str),
                    **TOKEN,
                }
            ]
        },
    )
    assert {row["integrationSlug"]: row["status"] for row in body["tokens"]} == {
        "zoho-crm": "valid", "zoho-sign": "missing", "zoho-billing": "missing", "zoho-desk": "missing",
    }  # fmt: skip


def test_the_webhooks_and_their_filters(api, lived_in):
    body = api.get("/webhooks").json()
    check(body, {"webhooks": [{"integrationId": UUID, "integrationName": str, **WEBHOOK}]})
    assert len(body["webhooks"]) == 8
    resend = str(lived_in["resend"].pk)
    assert [row["integrationId"] for row in api.get("/webhooks", integration_id=resend).json()["webhooks"]] == [resend]
    assert api.get("/webhooks", is_active="false").json() == {"webhooks": []}


def test_the_logs_of_one_webhook(api, lived_in):
    webhook = Webhook.objects.get(integration__slug="resend")
    body = api.get(f"/webhooks/{webhook.pk}/logs").json()
    check(body, {"logs": [LOG], "pagination": PAGINATION})
    failed, processed = body["logs"]
    assert failed["errorMessage"] == "it broke"
    assert "errorMessage" not in processed
    assert body["pagination"]["total"] == 2
    only = api.get(f"/webhooks/{webhook.pk}/logs", status="failed").json()
    assert [row["status"] for row in only["logs"]] == ["failed"]


def test_the_logs_of_all_webhooks(api, lived_in):
    check(api.get("/webhooks/logs").json(), {"logs": [LOG], "pagination": PAGINATION})
    assert len(api.get("/webhooks/logs", integration="resend", search="BROKE").json()["logs"]) == 1
    assert api.get("/webhooks/logs", integration="netcash").json()["logs"] == []


def test_health(api, lived_in):
    body = api.get("/health").json()
    check(
        body,
        {
            "summary": {"healthy": int, "degraded": int, "down": int, "unknown": int},
            "integrations": [{**HEALTH_HEAD, "metrics": FIGURES}],
        },
    )
    assert body["summary"] == {"healthy": 0, "degraded": 0, "down": 1, "unknown": 9}
    resend = next(row for row in body["integrations"] if row["slug"] == "resend")
    assert resend["metrics"] == {
        "avgResponseTime": 3120.0,
        "errorRate": 66.67,
        "uptime": pytest.approx(95.83, abs=0.01),
    }


def test_the_health_of_one(api, lived_in):
    body = api.get("/health/resend").json()
    check(
        body,
        {
            "integration": HEALTH_HEAD,
            "metrics": {"last24Hours": WINDOW, "last7Days": WINDOW},
            "recentErrors": [{"timestamp": INSTANT, "endpoint": str, "statusCode": Maybe(int), "errorMessage": str}],
            "rateLimits": {"remaining": Maybe(int), "resetAt": Maybe(INSTANT), "limit": Maybe(int)},
            "checks": {
                "api": {"reachable": bool, "statusCode": Maybe(int)},
                "webhook": {"recentFailureRate": Maybe(NUMBER)},
            },
            "reason": str,
        },
    )
    assert body["reason"] == "The API fails."
    assert body["layers"][0]["rule"] == "api_failing"
    assert "oauth" not in body["checks"]
    crm = api.get("/health/zoho-crm").json()["checks"]["oauth"]
    assert crm["valid"] is True
    assert 3500 < crm["expiresIn"] <= 3600


def test_without_samples_there_are_no_numbers(api, registry):
    window = api.get("/health/netcash").json()["metrics"]["last24Hours"]
    assert (window["successRate"], window["avgResponseTime"], window["errorRate"], window["uptime"]) == (None,) * 4


@pytest.mark.django_db(transaction=True)
def test_a_check(api, sandbox):
    response = api.post("/health/resend/check")
    check(response.json(), {"success": bool, "healthStatus": HEALTH, "responseTime": int, "message": str})
    assert response.json()["success"] is True
    assert api.post("/resend/health").json()["healthStatus"] == "healthy"
    sandbox.set_fault("resend", "fail")
    assert api.post("/health/resend/check").json()["success"] is False


def test_the_jobs(api, lived_in):
    body = api.get("/cron").json()
    check(
        body,
        {
            "jobs": [
                {"integrationId": Maybe(UUID), "integrationName": Maybe(str), "lastRunDurationMs": Maybe(int), **JOB}
            ]
        },
    )
    by_name = {job["jobName"]: job for job in body["jobs"]}
    assert len(by_name) == 7
    assert by_name["integrations-health-check"]["scheduleText"] == "Every 15 minutes"
    assert by_name["zoho-sync"]["integrationName"] == "Zoho Billing"


def test_activity(api, lived_in):
    body = api.get("/activity", actor="alice", action="login").json()
    check(
        body,
        {
            "activities": [
                {
                    "id": UUID, "integrationSlug": Maybe(str), "actor": str, "action": str, "outcome": str,
                    "details": dict, "ipAddress": Maybe(str), "userAgent": str, "createdAt": INSTANT,
                }
            ],
            "pagination": PAGINATION,
        },
    )  # fmt: skip


def test_no_answer_holds_a_secret(api, lived_in, monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "canary-secret")
    monkeypatch.setenv("RESEND_API_KEY", "canary-key")
    webhook = Webhook.objects.get(integration__slug="resend")
    paths = ["", "/zoho-crm", "/resend", "/oauth/tokens", "/webhooks", f"/webhooks/{webhook.pk}/logs",
             "/webhooks/logs", "/health", "/health/zoho-crm", "/health/resend", "/cron", "/activity"]  # fmt: skip
    for path in paths:
        response = api.get(path)
        assert response.status_code == 200, path
        text = json.dumps(response.json())
        assert "canary" not in text, path
        assert "v1.t1." not in text, path


# --- PATCH -----------------------------------------------------------------------------------------------------------


def test_a_change_answers_as_get_does_and_leaves_its_trace(api, registry):
    response = api.patch(
        "/resend",
        {
            "isActive": False,
            "metadata": {"owner": "Thandi", "gone": None},
            "healthCheckIntervalMinutes": 30,
            "thresholds": {"uptime": 99.9},
        },
    )
    assert response.status_code == 200
    assert response.json() == api.get("/resend").json()
    row = Integration.objects.get(slug="resend")
    assert (row.is_active, row.health_check_interval_minutes) == (False, 30)
    assert (row.metadata, row.thresholds) == ({"owner": "Thandi"}, {"uptime": 99.9})
    entry = api.get("/activity", action="integration_changed").json()["activities"][0]
    assert entry["details"]["before"]["is_active"] is True
    assert entry["details"]["after"]["is_active"] is False


def test_metadata_is_merged_at_its_top_level(api, registry):
    api.patch("/resend", {"metadata": {"a": {"x": 1}, "b": 2}})
    api.patch("/resend", {"metadata": {"a": {"y": 1}, "b": None}})
    assert Integration.objects.get(slug="resend").metadata == {"a": {"y": 1}}


def test_metadata_grows_to_a_limit_and_of_a_change_only_what_differs_is_told(api, registry):
    statuses = [api.patch("/resend", {"metadata": {f"key{n}": "x" * 5000}}).status_code for n in range(4)]
    assert statuses == [200, 200, 200, 400]
    entry = Activity.objects.filter(action="integration_changed").latest("seq")
    assert list(entry.details["after"]["metadata"]) == ["key2"]
    assert entry.details["before"]["metadata"] == {}


def test_a_change_of_nothing_leaves_no_trace(api, registry):
    api.patch("/resend", {"isActive": True})
    assert api.get("/activity").json()["activities"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "name"),
        ({"isActive": "maybe"}, "isActive"),
        ({"isActive": None}, "isActive"),
        ({"metadata": []}, "metadata"),
        ({"healthCheckIntervalMinutes": 5}, "healthCheckIntervalMinutes"),
        ({"healthCheckIntervalMinutes": 100000}, "healthCheckIntervalMinutes"),
        ({"thresholds": {"speed": 1}}, "thresholds.speed"),
        ({"thresholds": {"uptime": 101}}, "thresholds.uptime"),
        ({"thresholds": {"uptime": True}}, "thresholds.uptime"),
        ({"thresholds": 5}, "thresholds"),
        ({"metadata": {"note": "x" * 17_000}}, "metadata"),
        ([], ""),
        ("text", ""),
    ],
)
def test_a_bad_change_is_400_and_names_the_field(api, registry, body, field):
    problem = api.patch("/resend", body).json()
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert field in {error["field"] for error in problem["errors"]}
    assert all(error["message"] and error["code"] for error in problem["errors"])
    assert not Integration.objects.filter(slug="resend", is_active=False).exists()
