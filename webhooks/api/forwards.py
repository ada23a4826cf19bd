"""The API of what is passed on to services of ours: the list, going on after a stop, one once more."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.problems import Problem
from integrations.permissions import Perm
from webhooks import receiver
from webhooks.api.receivers import get_webhook
from webhooks.models import Forward
from webhooks.services import forward

SHOWN = ("id", "log_id", "log__event_type", "url", "status", "attempts", "created_at", "started_at", "due_at",
         "done_at", "status_code", "error_message")  # fmt: skip


class ForwardsQuery(PageQuery):
    status = serializers.ChoiceField(Forward.Status.choices, required=False)


class ForwardListRow(serializers.ModelSerializer[Forward]):
    logId = serializers.UUIDField(source="log_id")
    eventType = serializers.CharField(source="log.event_type", allow_null=True)
    url = serializers.SerializerMethodField(help_text="Without its query: that may hold a key.")
    attempts = serializers.IntegerField()
    createdAt = UtcDateTime(source="created_at")
    nextAttemptAt = UtcDateTime(
        source="due_at",
        allow_null=True,
        help_text="Null: done, gave up or stopped. While `underWay`, when it is given up.",
    )
    underWay = serializers.SerializerMethodField(help_text="A worker is sending it.")
    deliveredAt = serializers.SerializerMethodField()
    statusCode = serializers.IntegerField(source="status_code", allow_null=True, help_text="Of the last answer.")
    error = serializers.SerializerMethodField()

    class Meta:
        model = Forward
        fields = ["id", "logId", "eventType", "url", "status", "attempts", "createdAt", "nextAttemptAt", "underWay",
                  "deliveredAt", "statusCode", "error"]  # fmt: skip

    def get_url(self, row: Forward) -> str:
        return receiver.bare(row.url)

    def get_underWay(self, row: Forward) -> bool:
        if row.started_at is None or row.due_at is None:
            return False
        return row.due_at == row.started_at + forward.LEASE and row.due_at > timezone.now()

    def get_deliveredAt(self, row: Forward) -> str | None:
        return utc(row.done_at) if row.status == Forward.Status.DELIVERED else None

    def get_error(self, row: Forward) -> str | None:
        return row.error_message or None


class ForwardsAnswer(serializers.Serializer[Any]):
    forwards = ForwardListRow(many=True)
    pagination = Pagination()


class ForwardsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Webhooks"], operation_id="listWebhookForwards", parameters=[ForwardsQuery], responses=ForwardsAnswer
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """What one receiver passed on, newest first."""
        webhook, asked = get_webhook(request, webhook_id, Perm.READ), self.query(ForwardsQuery)
        rows = Forward.objects.filter(webhook=webhook).select_related("log").only(*SHOWN)
        if "status" in asked:
            rows = rows.filter(status=asked["status"])
        page = paginate(rows, asked)
        return Response({"forwards": ForwardListRow(page.rows, many=True).data, "pagination": page.pagination})


class ResumeAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    waiting = serializers.IntegerField(help_text="How many had been held back, and go now.")
    message = serializers.CharField()


class ResumeView(ApiView):
    """`wake` tells the workers; it never blocks."""

    permissions = {"POST": Perm.MANAGE}
    wake: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="resumeWebhookForwards", request=None,
        responses={200: ResumeAnswer, 409: OpenApiResponse(description="`not_forwarding` or `not_stopped`")},
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Forward again after the target had answered 410; what was held back meanwhile goes first."""
        webhook = get_webhook(request, webhook_id, Perm.MANAGE)
        try:
            number = forward.resume(webhook, actor=actor.of(request), now=timezone.now())
        except forward.NotForwarding as error:
            raise Problem(409, "not_forwarding", str(error)) from error
        except forward.NotStopped as error:
            raise Problem(409, "not_stopped", str(error)) from error
        if self.wake:
            self.wake()
        message = f"Forwarding goes on; {number:,} waited."
        return Response(ResumeAnswer({"success": True, "waiting": number, "message": message}).data)


class RetryAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class RetryView(ApiView):
    """`wake` tells the workers; it never blocks."""

    permissions = {"POST": Perm.WEBHOOKS_REPLAY}
    wake: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="retryWebhookForward", request=None,
        responses={
            200: RetryAnswer,
            409: OpenApiResponse(description="`delivered`, `under_way`, `stopped` or `not_forwarding`"),
        },
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID, forward_id: UUID) -> Response:
        """Send one that gave up, or that waits for its next try, now and in the background."""
        webhook = get_webhook(request, webhook_id, Perm.WEBHOOKS_REPLAY)
        row = Forward.objects.filter(webhook=webhook, pk=forward_id).first()
        if row is None:
            raise Http404
        try:
            forward.again(row, actor=actor.of(request), now=timezone.now())
        except forward.NotForwarding as error:
            raise Problem(409, "not_forwarding", str(error)) from error
        except forward.NotNow as error:
            raise Problem(409, error.code, str(error)) from error
        if self.wake:
            self.wake()
        on = webhook.is_active and webhook.integration.is_active
        held = "It is held: the receiver or its integration is switched off."
        return Response(
            RetryAnswer({"success": True, "message": "It is sent in the background." if on else held}).data
        )
