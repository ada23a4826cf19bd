"""The API of health: how everything is, why, and a check at once."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from healthchecks import figures, quota, services, uptime
from healthchecks.api.calls import RecentError, error_row, failed
from healthchecks.figures import NO_METRICS, Metrics
from healthchecks.uptime import Uptime
from integrations import actor, permissions
from integrations.api import export
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm

DAY = timedelta(hours=24)
MOST_ERRORS = 20

# --- Everything ------------------------------------------------------------------------------------------------------


class Figures(serializers.Serializer[Any]):
    avgResponseTime = serializers.FloatField(allow_null=True, help_text="Milliseconds.")
    errorRate = serializers.FloatField(allow_null=True, help_text="Percent.")
    uptime = serializers.FloatField(allow_null=True, help_text="Percent, time-weighted, of the time that is known.")


class HealthRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()
    healthStatus = serializers.ChoiceField(HealthStatus.choices)
    lastHealthCheckAt = UtcDateTime(allow_null=True)


class HealthRowWithFigures(HealthRow):
    metrics = Figures()


class Summary(serializers.Serializer[Any]):
    healthy = serializers.IntegerField()
    degraded = serializers.IntegerField()
    down = serializers.IntegerField()
    unknown = serializers.IntegerField()


class HealthAnswer(serializers.Serializer[Any]):
    summary = Summary()
    integrations = HealthRowWithFigures(many=True)


class HealthView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Health"], operation_id="getHealth", responses=HealthAnswer)
    def get(self, request: Request) -> Response:
        """How every integration is, with the figures of the last 24 hours."""
        rows = list(permissions.visible(request.user))
        numbers = figures_of(rows, since=timezone.now() - DAY)
        summary = {status: sum(row.health_status == status for row in rows) for status in HealthStatus.values}
        listed = [{**head(row), "metrics": numbers[row.pk]} for row in rows]
        return Response(HealthAnswer({"summary": summary, "integrations": listed}).data)


COLUMNS = (
    "slug", "name", "provider", "status", "since", "reason", "lastCheckedAt", "uptime", "avgResponseTime", "errorRate",
)  # fmt: skip


class HealthCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(tags=["Health"], operation_id="exportHealth", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """How every integration is, with the figures of the last 24 hours. No cell is a formula."""
        rows = list(permissions.visible(request.user).order_by("name", "slug"))
        numbers = figures_of(rows, since=timezone.now() - DAY)
        lines = [_cells(row, numbers[row.pk]) for row in rows]
        return export.stream(request, name="health", columns=COLUMNS, pages=iter([lines]))


def _cells(row: Integration, figure: dict[str, float | None]) -> list[Any]:
    return [
        row.slug, row.name, row.provider, row.health_status, utc(row.health_since), row.health_reason,
        utc(row.last_health_check_at), figure["uptime"], figure["avgResponseTime"], figure["errorRate"],
    ]  # fmt: skip


def figures_of(rows: list[Integration], *, since: datetime) -> dict[Any, dict[str, float | None]]:
    """`Figures` of each row since then: two queries."""
    metrics = figures.metrics(rows, since=since)
    uptimes = uptime.of(rows, start=since, end=timezone.now())
    return {
        row.pk: {
            "avgResponseTime": rounded(metrics.get(row.pk, NO_METRICS).average_ms, 1),
            "errorRate": rounded(metrics.get(row.pk, NO_METRICS).error_rate, 2),
            "uptime": rounded(uptimes[row.pk].percent, 3),
        }
        for row in rows
    }


def head(row: Integration) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "slug": row.slug,
        "healthStatus": row.health_status,
        "lastHealthCheckAt": row.last_health_check_at,
    }


def rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


# --- One -------------------------------------------------------------------------------------------------------------


class Window(serializers.Serializer[Any]):
    totalRequests = serializers.IntegerField()
    successRate = serializers.FloatField(allow_null=True)
    avgResponseTime = serializers.FloatField(allow_null=True)
    p95ResponseTime = serializers.FloatField(
        allow_null=True, help_text="What 19 of 20 calls stayed under, in milliseconds; within 1 %."
    )
    errorRate = serializers.FloatField(allow_null=True)
    uptime = serializers.FloatField(allow_null=True)
    coverage = serializers.FloatField(help_text="How much of the window's time is known, in percent.")


class Windows(serializers.Serializer[Any]):
    last24Hours = Window()
    last7Days = Window()


class RateLimits(serializers.Serializer[Any]):
    remaining = serializers.IntegerField(allow_null=True)
    limit = serializers.IntegerField(allow_null=True, help_text="Null: its provider is known to have none.")
    resetAt = UtcDateTime(allow_null=True)
    usedPercent = serializers.FloatField(allow_null=True)
    isWarning = serializers.BooleanField(help_text="At least 80 % are used, of a window of a minute or more.")
    countedBy = serializers.ChoiceField(
        ["provider", "us"], allow_null=True, help_text="Its headers lately, or else our own count of our calls."
    )
    callsPerHour = serializers.FloatField(allow_null=True)
    runsOutAt = UtcDateTime(
        allow_null=True, help_text="When nothing is left at this speed, if that is before resetAt."
    )
    message = serializers.CharField(allow_null=True)


class LayerRow(serializers.Serializer[Any]):
    layer = serializers.CharField()
    status = serializers.ChoiceField(HealthStatus.choices)
    rule = serializers.CharField()
    seen = serializers.CharField()


class HealthDetailAnswer(serializers.Serializer[Any]):
    integration = HealthRow()
    metrics = Windows()
    recentErrors = RecentError(many=True)
    rateLimits = RateLimits()
    checks = serializers.DictField(help_text="`oauth`, `api`, `webhook`: those that the integration has.")
    reason = serializers.CharField()
    since = UtcDateTime(allow_null=True)
    rule = serializers.CharField(allow_null=True)
    layers = LayerRow(many=True)


class HealthDetailView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Health"], operation_id="getIntegrationHealth", responses=HealthDetailAnswer)
    def get(self, request: Request, slug: str) -> Response:
        """How one integration is, what each layer saw, and the rule that decided."""
        now = timezone.now()
        row: Any = get_integration(request, slug, Perm.READ, reading=partial(figures.with_newest, now=now))
        answer = {
            "integration": head(row),
            "metrics": windows(row, now),
            "recentErrors": [error_row(call) for call in failed(row).order_by("-created_at")[:MOST_ERRORS]],
            "rateLimits": rate_limits(row, now),
            "checks": figures.checks_of(row, now),
            "reason": row.health_reason,
            "since": row.health_since,
            "rule": row.rule,
            "layers": row.layers or [],
        }
        return Response(HealthDetailAnswer(answer).data)


def windows(row: Integration, now: datetime) -> dict[str, dict[str, Any]]:
    since = [now - DAY, now - 7 * DAY]
    found = zip(figures.windows(row, since=since), uptime.over(row, since=since, end=now), strict=True)
    return dict(zip(("last24Hours", "last7Days"), (window(*one) for one in found), strict=True))


def window(metrics: Metrics, uptime: Uptime) -> dict[str, Any]:
    return {
        "totalRequests": metrics.total,
        "successRate": rounded(metrics.success_rate, 2),
        "avgResponseTime": rounded(metrics.average_ms, 1),
        "p95ResponseTime": rounded(metrics.p95_ms, 1),
        "errorRate": rounded(metrics.error_rate, 2),
        "uptime": rounded(uptime.percent, 3),
        "coverage": rounded(uptime.coverage, 1),
    }


def rate_limits(row: Integration, now: datetime) -> dict[str, Any]:
    stand = quota.quotas([row], now=now).get(row.pk)
    return {
        "remaining": stand.remaining if stand else None,
        "limit": stand.limit if stand else None,
        "resetAt": stand.resets_at if stand else None,
        "usedPercent": rounded(stand.used_percent, 1) if stand else None,
        "isWarning": stand.is_warning if stand else False,
        "countedBy": ("provider" if stand.told else "us") if stand else None,
        "callsPerHour": rounded(stand.per_hour, 1) if stand else None,
        "runsOutAt": stand.runs_out_at if stand else None,
        "message": stand.words if stand else None,
    }


# --- Check -----------------------------------------------------------------------------------------------------------


class CheckAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    healthStatus = serializers.ChoiceField(HealthStatus.choices)
    responseTime = serializers.IntegerField(
        help_text="Milliseconds; how long the whole check took where no API was asked."
    )
    message = serializers.CharField()


CHECKED = {200: CheckAnswer, 409: OpenApiResponse(description="`inactive`: it is switched off")}


class CheckView(ApiView):
    permissions = {"POST": Perm.MANAGE}

    @extend_schema(tags=["Health"], operation_id="checkIntegration", request=None, responses=CHECKED)
    def post(self, request: Request, slug: str) -> Response:
        """Check at once: judged without the second look, and counted towards no alert."""
        row = get_integration(request, slug, Perm.MANAGE)
        started = timezone.now()
        try:
            result = services.check(integration=row, actor=actor.of(request))
        except services.Inactive as error:
            raise Problem(409, "inactive", str(error)) from error
        took = int((timezone.now() - started).total_seconds() * 1000)
        return Response(
            CheckAnswer(
                {
                    "success": result.status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED),
                    "healthStatus": result.status,
                    "responseTime": took if result.response_time_ms is None else result.response_time_ms,
                    "message": result.reason,
                }
            ).data
        )


class OlderCheckView(CheckView):
    @extend_schema(tags=["Health"], operation_id="checkIntegrationOlderPath", request=None, responses=CHECKED)
    def post(self, request: Request, slug: str) -> Response:
        """The same call by its older path."""
        return super().post(request, slug)
