"""The API of deliveries: lists, and one with everything that is known of it."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.paging import PageQuery, Pagination, decode, paginate
from integrations.api.views import Moment
from integrations.permissions import Perm
from webhooks.api.receivers import get_webhook
from webhooks.models import WebhookLog
from webhooks.services import listing, search
from webhooks.services.listing import Wanted

UNSHOWN = ("payload", "body", "headers", "traceback")


class LogsFilter(serializers.Serializer[Any]):
    status = serializers.ChoiceField(WebhookLog.Status.choices, required=False)
    eventType = serializers.CharField(required=False, max_length=200)
    isTest = serializers.BooleanField(required=False)
    search = serializers.CharField(
        required=False,
        max_length=200,
        help_text="An id, a whole key, or text in event type, key and error; within a week (`from`, `to`) in payloads "
        "too. Text is looked for in so many deliveries at a time: see `pagination.searchedTo`.",
    )
    to = Moment(required=False, end=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": Moment(required=False)}  # a Python keyword, so not an attribute


class AllLogsFilter(LogsFilter):
    integration = serializers.SlugField(required=False)


class LogsQuery(LogsFilter, PageQuery):
    pass


class AllLogsQuery(AllLogsFilter, PageQuery):
    pass


class LogRow(serializers.ModelSerializer[WebhookLog]):
    eventType = serializers.CharField(source="event_type", allow_null=True)
    processingTimeMs = serializers.IntegerField(source="processing_time_ms", allow_null=True)
    errorMessage = serializers.CharField(source="error_message", required=False)
    retryCount = serializers.IntegerField(source="retry_count")
    createdAt = UtcDateTime(source="created_at")
    processedAt = UtcDateTime(source="processed_at", allow_null=True)
    nextAttemptAt = UtcDateTime(source="next_attempt_at", allow_null=True)
    idempotencyKey = serializers.CharField(source="idempotency_key", allow_null=True)
    isTest = serializers.BooleanField(source="is_test")
    replayOf = serializers.UUIDField(source="replay_of", allow_null=True)
    duplicateOf = serializers.UUIDField(source="duplicate_of", allow_null=True)

    class Meta:
        model = WebhookLog
        fields = ["id", "eventType", "status", "processingTimeMs", "errorMessage", "retryCount", "createdAt",
                  "processedAt", "nextAttemptAt", "idempotencyKey", "isTest", "replayOf", "duplicateOf"]  # fmt: skip

    def to_representation(self, row: WebhookLog) -> dict[str, Any]:
        shown = super().to_representation(row)
        if not row.error_message:
            del shown["errorMessage"]
        return shown


class LogsPagination(Pagination):
    searchedTo = UtcDateTime(
        allow_null=True,
        required=False,
        help_text="With `search`: how far back text was looked for; `nextCursor` goes on from there. Null: all.",
    )


class LogsAnswer(serializers.Serializer[Any]):
    logs = LogRow(many=True)
    pagination = LogsPagination()


class LogsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="listWebhookLogs", parameters=[LogsQuery], responses=LogsAnswer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """One webhook's deliveries, newest first."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        asked = self.query(LogsQuery)
        return answer(wanted([webhook.pk], asked), asked)


class AllLogsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Webhooks"], operation_id="listAllWebhookLogs", parameters=[AllLogsQuery], responses=LogsAnswer
    )
    def get(self, request: Request) -> Response:
        """Every webhook's deliveries, newest first."""
        asked = self.query(AllLogsQuery)
        return answer(wanted(listing.readable(request.user, asked.get("integration", "")), asked), asked)


def wanted(webhooks: Collection[UUID] | None, asked: dict[str, Any]) -> Wanted:
    """What a validated LogsFilter asks for, of these receivers."""
    return Wanted(
        webhooks=webhooks,
        event_types=[asked["eventType"]] if "eventType" in asked else None,
        status=asked.get("status", ""),
        is_test=asked.get("isTest"),
        since=asked.get("from"),
        until=asked.get("to"),
    )


def answer(wanted: Wanted, asked: dict[str, Any]) -> Response:
    text = asked.get("search")
    if text:
        below = decode(asked["cursor"]) if "cursor" in asked else None
        found = search.look(wanted, text, now=timezone.now(), below=below)
    else:
        found = search.Found(wanted.listing())
    page = paginate(found.listing.defer(*UNSHOWN), asked, looked_to=found.looked_to)
    if text:
        page.pagination["searchedTo"] = utc(found.looked_to.at) if found.looked_to else None
    return Response({"logs": LogRow(page.rows, many=True).data, "pagination": page.pagination})
