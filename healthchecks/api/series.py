"""The API of charts: points over time, and the same by endpoint."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healthchecks import figures, series
from healthchecks.api.health import rounded
from healthchecks.figures import NO_METRICS, Metrics
from integrations.api.base import ApiView, UtcDateTime
from integrations.api.permissions import get_integration
from integrations.permissions import Perm

SECONDS = {"24h": 900, "7d": 3600, "90d": 86400}
SINCE = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}

# --- Over time -------------------------------------------------------------------------------------------------------


class SeriesQuery(serializers.Serializer[Any]):
    window = serializers.ChoiceField(list(SECONDS), default="24h", required=False)
    endpoint = serializers.CharField(
        required=False, max_length=200, help_text="A template as `endpoints` lists them; without it, all of them."
    )
    method = serializers.CharField(required=False, max_length=10)


class PointRow(serializers.Serializer[Any]):
    at = UtcDateTime(help_text="When it begins.")
    requests = serializers.IntegerField(allow_null=True)
    errors = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]  # DRF takes a field out of the class
    errorRate = serializers.FloatField(allow_null=True, help_text="Percent.")
    averageMs = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True, help_text="Milliseconds, within 1 %.")
    p95 = serializers.FloatField(allow_null=True, help_text="Milliseconds, within 1 %.")


class SeriesAnswer(serializers.Serializer[Any]):
    window = serializers.ChoiceField(list(SECONDS))
    stepSeconds = serializers.IntegerField(help_text="How long a point is. A day is one of the installation's zone.")
    points = PointRow(many=True, help_text="The oldest first. Where nothing is recorded, all figures are null.")


class SeriesView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Health"], operation_id="getHealthSeries", parameters=[SeriesQuery], responses=SeriesAnswer)
    def get(self, request: Request, slug: str) -> Response:
        """Requests, errors and response times over time: a day in quarters of an hour, a week in hours, 90 days."""
        row = get_integration(request, slug, Perm.READ)
        asked = self.query(SeriesQuery)
        points = series.of(
            row, asked["window"], now=timezone.now(), endpoint=asked.get("endpoint"), method=asked.get("method")
        )
        rows = [{"at": point.at, **figures_of(point.metrics)} for point in points]
        answer = {"window": asked["window"], "stepSeconds": SECONDS[asked["window"]], "points": rows}
        return Response(SeriesAnswer(answer).data)


def figures_of(metrics: Metrics | None) -> dict[str, Any]:
    found = metrics or NO_METRICS
    return {
        "requests": found.total or None,
        "errors": found.errors if found.total else None,
        "errorRate": rounded(found.error_rate, 2),
        "averageMs": rounded(found.average_ms, 1),
        "p50": rounded(found.p50_ms, 1),
        "p95": rounded(found.p95_ms, 1),
    }


# --- By endpoint -----------------------------------------------------------------------------------------------------


class EndpointsQuery(serializers.Serializer[Any]):
    window = serializers.ChoiceField(list(SINCE), default="24h", required=False)


class EndpointRow(serializers.Serializer[Any]):
    method = serializers.CharField()
    endpoint = serializers.CharField(help_text="The path's template.")
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]  # likewise
    errorRate = serializers.FloatField(help_text="Percent.")
    avgResponseTime = serializers.FloatField(help_text="Milliseconds.")
    p95ResponseTime = serializers.FloatField(help_text="Milliseconds, within 1 %.")


class EndpointsAnswer(serializers.Serializer[Any]):
    window = serializers.ChoiceField(list(SINCE))
    endpoints = EndpointRow(many=True)


class EndpointsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Health"], operation_id="listHealthEndpoints", parameters=[EndpointsQuery], responses=EndpointsAnswer
    )
    def get(self, request: Request, slug: str) -> Response:
        """What was called in the window, endpoint by endpoint, the busiest first."""
        row = get_integration(request, slug, Perm.READ)
        window = self.query(EndpointsQuery)["window"]
        found = figures.by_endpoint(row, since=timezone.now() - SINCE[window])
        rows = [endpoint_row(method, endpoint, one) for (method, endpoint), one in found.items()]
        return Response(EndpointsAnswer({"window": window, "endpoints": rows}).data)


def endpoint_row(method: str, endpoint: str, metrics: Metrics) -> dict[str, Any]:
    return {
        "method": method,
        "endpoint": endpoint,
        "requests": metrics.total,
        "errors": metrics.errors,
        "errorRate": rounded(metrics.error_rate, 2),
        "avgResponseTime": rounded(metrics.average_ms, 1),
        "p95ResponseTime": rounded(metrics.p95_ms, 1),
    }
