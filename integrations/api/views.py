"""The registry's list and the activity log, also as CSV."""

from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import permissions, trail
from integrations.api import export
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.models import Activity, Category, HealthStatus, Integration
from integrations.permissions import Perm

# --- Registry --------------------------------------------------------------------------------------------------------


class RegistryQuery(serializers.Serializer[Any]):
    category = serializers.ChoiceField(Category.choices, required=False)
    healthStatus = serializers.ChoiceField(HealthStatus.choices, required=False)
    hasOAuth = serializers.BooleanField(required=False)
    hasWebhooks = serializers.BooleanField(required=False)
    isActive = serializers.BooleanField(required=False)
    search = serializers.CharField(required=False, max_length=100)


class RegistryRow(serializers.ModelSerializer[Integration]):
    requiresOAuth = serializers.BooleanField(source="requires_oauth")
    hasWebhooks = serializers.BooleanField(source="has_webhooks")
    hasApiClient = serializers.BooleanField(source="has_api_client")
    isActive = serializers.BooleanField(source="is_active")
    healthStatus = serializers.ChoiceField(HealthStatus.choices, source="health_status")
    lastHealthCheckAt = UtcDateTime(source="last_health_check_at", allow_null=True)

    class Meta:
        model = Integration
        fields = ["id", "slug", "name", "category", "provider", "requiresOAuth", "hasWebhooks", "hasApiClient",
                  "isActive", "healthStatus", "lastHealthCheckAt"]  # fmt: skip


class RegistryAnswer(serializers.Serializer[Any]):
    integrations = RegistryRow(many=True)


class RegistryView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Registry"], operation_id="listIntegrations", parameters=[RegistryQuery], responses=RegistryAnswer
    )
    def get(self, request: Request) -> Response:
        """Every integration the caller may see."""
        rows = filtered(permissions.visible(request.user), self.query(RegistryQuery))
        return Response({"integrations": RegistryRow(rows, many=True).data})


REGISTRY_COLUMNS = (
    "slug", "name", "category", "provider", "requiresOAuth", "hasWebhooks", "hasApiClient", "isActive",
    "healthStatus", "healthReason", "healthSince", "lastHealthCheckAt",
)  # fmt: skip


class RegistryCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Registry"], operation_id="exportIntegrations", parameters=[RegistryQuery],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Every integration that the caller may see and that fits the filters. No cell is a formula."""
        rows = filtered(permissions.visible(request.user), self.query(RegistryQuery))
        pages = iter([[_cells(row) for row in rows]])
        return export.stream(request, name="integrations", columns=REGISTRY_COLUMNS, pages=pages)


def _cells(row: Integration) -> list[Any]:
    told = RegistryRow(row).data | {"healthReason": row.health_reason, "healthSince": utc(row.health_since)}
    return [str(told[name]).lower() if isinstance(told[name], bool) else told[name] for name in REGISTRY_COLUMNS]


def filtered(rows: QuerySet[Integration], asked: dict[str, Any]) -> QuerySet[Integration]:
    """`rows` by a validated RegistryQuery."""
    columns = {
        "category": "category",
        "healthStatus": "health_status",
        "hasOAuth": "requires_oauth",
        "hasWebhooks": "has_webhooks",
        "isActive": "is_active",
    }
    rows = rows.filter(**{column: asked[name] for name, column in columns.items() if name in asked})
    if text := asked.get("search"):
        rows = rows.filter(Q(name__icontains=text) | Q(slug__icontains=text) | Q(provider__icontains=text))
    return rows


# --- Activity --------------------------------------------------------------------------------------------------------


class Moment(serializers.DateTimeField):
    """A date ("2026-11-22": that day's first or last instant here) or a full ISO 8601 time."""

    def __init__(self, *, end: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.end = end

    def to_internal_value(self, value: Any) -> datetime:
        try:
            day = datetime.strptime(str(value), "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar day, placed below
        except ValueError:
            day = None
        try:
            if day is None:
                return super().to_internal_value(value).astimezone(UTC)
            return timezone.make_aware(datetime.combine(day, time.max if self.end else time.min)).astimezone(UTC)
        except OverflowError:
            self.fail("overflow")


class ActivityFilter(serializers.Serializer[Any]):
    integration = serializers.SlugField(required=False)
    action = serializers.CharField(required=False, max_length=60)
    actor = serializers.CharField(required=False, max_length=150)
    outcome = serializers.ChoiceField(list(trail.OUTCOMES), required=False)
    request = serializers.CharField(required=False, max_length=64, help_text="A request id, as the logs tell it.")
    to = Moment(required=False, end=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": Moment(required=False)}  # a Python keyword, so not an attribute


class ActivityQuery(ActivityFilter, PageQuery):
    pass


class ActivityRow(serializers.ModelSerializer[Activity]):
    integrationSlug = serializers.SerializerMethodField()
    actor = serializers.CharField(source="username")
    details = serializers.DictField()
    ipAddress = serializers.IPAddressField(source="ip_address", allow_null=True)
    userAgent = serializers.CharField(source="user_agent")
    requestId = serializers.CharField(source="request_id")
    createdAt = UtcDateTime(source="created_at")

    class Meta:
        model = Activity
        fields = [
            "id",
            "integrationSlug",
            "actor",
            "action",
            "outcome",
            "details",
            "ipAddress",
            "userAgent",
            "requestId",
            "createdAt",
        ]

    def get_integrationSlug(self, row: Activity) -> str | None:
        return row.integration_slug or None


class ActivityAnswer(serializers.Serializer[Any]):
    activities = ActivityRow(many=True)
    pagination = Pagination()


class ActivityView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Activity"], operation_id="listActivity", parameters=[ActivityQuery], responses=ActivityAnswer
    )
    def get(self, request: Request) -> Response:
        """Who did what, newest first. With grants on single integrations: what was done to those."""
        asked = self.query(ActivityQuery)
        page = paginate(trail.listing(request.user, _filters(asked)), asked)
        return Response({"activities": ActivityRow(page.rows, many=True).data, "pagination": page.pagination})


class ActivityCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Activity"], operation_id="exportActivity", parameters=[ActivityFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that fit the filters, newest first, with the number that each has in the chain. No cell is a formula."""
        pages = trail.pages(request.user, _filters(self.query(ActivityFilter)))
        return export.stream(request, name="activity", columns=trail.COLUMNS, pages=pages)


def _filters(asked: dict[str, Any]) -> trail.Filters:
    told = {name: asked[name] for name in ("integration", "action", "actor", "outcome", "request") if name in asked}
    return trail.Filters(**told, since=asked.get("from"), until=asked.get("to"))
