"""The API of single calls: those that failed, and all of them as CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api import export
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.api.views import Moment
from integrations.models import ApiMetric, Integration
from integrations.permissions import Perm
from integrations.seek import Listing

PAGE = 1000
COLUMNS = (
    "id", "at", "method", "endpoint", "statusCode", "responseTimeMs", "errorMessage", "source", "rateLimit",
    "rateLimitRemaining", "rateLimitResetAt",
)  # fmt: skip

# --- Errors ----------------------------------------------------------------------------------------------------------


class RecentError(serializers.Serializer[Any]):
    timestamp = UtcDateTime()
    endpoint = serializers.CharField(help_text="Method and the path's template.")
    statusCode = serializers.IntegerField(allow_null=True, help_text="Null: no answer came.")
    errorMessage = serializers.CharField()


class ErrorRow(RecentError):
    id = serializers.UUIDField()
    responseTimeMs = serializers.IntegerField()
    isProbe = serializers.BooleanField(help_text="Made by a health check.")


class ErrorsAnswer(serializers.Serializer[Any]):
    errors = ErrorRow(many=True)  # type: ignore[assignment]  # DRF takes a field out of the class
    pagination = Pagination()


class ErrorsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Health"], operation_id="listHealthErrors", parameters=[PageQuery], responses=ErrorsAnswer)
    def get(self, request: Request, slug: str) -> Response:
        """Calls and probes that failed, newest first: refused, unanswered, or with an error inside a 200."""
        row = get_integration(request, slug, Perm.READ)
        page = paginate(Listing(failed(row)), self.query(PageQuery))
        errors = [error_row(call) for call in page.rows]
        return Response(ErrorsAnswer({"errors": errors, "pagination": page.pagination}).data)


def failed(integration: Integration) -> QuerySet[ApiMetric]:
    return ApiMetric.objects.filter(integration=integration).exclude(error_message="")


def error_row(call: ApiMetric) -> dict[str, Any]:
    return {
        "id": call.pk,
        "timestamp": call.created_at,
        "endpoint": f"{call.method} {call.endpoint}",
        "statusCode": call.status_code,
        "errorMessage": call.error_message,
        "responseTimeMs": call.response_time_ms,
        "isProbe": call.source == ApiMetric.Source.PROBE,
    }


# --- CSV -------------------------------------------------------------------------------------------------------------


class CallsFilter(serializers.Serializer[Any]):
    to = Moment(required=False, end=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": Moment(required=False)}  # a Python keyword, so not an attribute


class MetricsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Health"], operation_id="exportHealthMetrics", parameters=[CallsFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request, slug: str) -> StreamingHttpResponse:
        """Every call and probe that is still kept, newest first. No cell is a formula."""
        row = get_integration(request, slug, Perm.READ)
        asked = self.query(CallsFilter)
        columns = {"from": "created_at__gte", "to": "created_at__lte"}
        calls = ApiMetric.objects.filter(**{columns[name]: moment for name, moment in asked.items()}, integration=row)
        return export.stream(request, name=f"{row.slug}-metrics", columns=COLUMNS, pages=pages(Listing(calls)))


def pages(listing: Listing[ApiMetric]) -> Iterator[list[Sequence[Any]]]:
    places = listing.places(0, PAGE)
    while places:
        yield [_cells(call) for call in listing.fetch(places)]
        places = listing.older(places[-1]).places(0, PAGE) if len(places) == PAGE else []


def _cells(call: ApiMetric) -> Sequence[Any]:
    return (
        call.pk, utc(call.created_at), call.method, call.endpoint, call.status_code, call.response_time_ms,
        call.error_message, call.source, call.rate_limit_limit, call.rate_limit_remaining,
        utc(call.rate_limit_reset_at),
    )  # fmt: skip
