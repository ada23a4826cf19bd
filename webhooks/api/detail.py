"""The API of one delivery, with everything that is known of it."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api.base import ApiView, UtcDateTime
from integrations.permissions import Perm
from webhooks import event, receiver, timeline
from webhooks.api.logs import LogRow
from webhooks.api.receivers import get_webhook
from webhooks.models import Attempt, Forward, Webhook, WebhookLog

RAW_CHARACTERS = 65_536


class Verification(serializers.Serializer[Any]):
    method = serializers.ChoiceField(Webhook.Method.choices)
    valid = serializers.BooleanField()
    detail = serializers.CharField()


class AttemptRow(serializers.ModelSerializer[Attempt]):
    at = UtcDateTime()
    statusCode = serializers.IntegerField(source="status_code", allow_null=True)
    durationMs = serializers.IntegerField(source="duration_ms", allow_null=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Attempt
        fields = ["at", "target", "statusCode", "durationMs", "error"]

    def get_error(self, row: Attempt) -> str | None:
        return row.error or None


class ForwardRow(serializers.ModelSerializer[Forward]):
    url = serializers.SerializerMethodField()
    dueAt = UtcDateTime(source="due_at", allow_null=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Forward
        fields = ["status", "url", "dueAt", "error"]

    def get_url(self, row: Forward) -> str:
        return receiver.bare(row.url)

    def get_error(self, row: Forward) -> str | None:
        return row.error_message or None


class StepRow(serializers.Serializer[Any]):
    at = UtcDateTime()
    what = serializers.CharField()


class LogDetail(LogRow):
    payload = serializers.JSONField(
        allow_null=True, help_text="Personal fields are masked, and the receiver's secrets."
    )
    fetched = serializers.JSONField(
        allow_null=True,
        help_text="What the provider's API said of it, in the shape of the payload, where its delivery is only a hint "
        "(Zoho Desk). Personal fields are masked.",
    )
    raw = serializers.CharField(
        allow_null=True,
        help_text="What came, where it could not be read as an event. Null where that may hold personal data, or a "
        "token that proves deliveries.",
    )
    headers = serializers.DictField(child=serializers.CharField(), help_text="Redacted.")
    verification = Verification()
    attempts = AttemptRow(many=True)
    forward = ForwardRow(allow_null=True)
    timeline = StepRow(many=True)
    batchId = serializers.UUIDField(source="batch_id", allow_null=True)

    class Meta(LogRow.Meta):
        fields = [*LogRow.Meta.fields, "payload", "fetched", "raw", "headers", "verification", "attempts", "forward",
                  "timeline", "batchId"]  # fmt: skip

    def to_representation(self, row: WebhookLog) -> dict[str, Any]:
        shown = LogRow.to_representation(LogRow(), row)
        attempts, forward = list(row.attempt_rows.all()), getattr(row, "forward", None)
        return shown | {
            "payload": event.cleaned(row.payload, row.webhook),
            "fetched": event.cleaned(row.fetched, row.webhook),
            "raw": _raw(row) if row.payload is None and not event.guarded(row.webhook) else None,
            "headers": row.headers,
            "verification": {
                "method": row.webhook.verification_method, "valid": row.verified, "detail": row.verification,
            },
            "attempts": AttemptRow(attempts, many=True).data,
            "forward": ForwardRow(forward).data if forward else None,
            "timeline": StepRow(timeline.of(row, attempts, forward), many=True).data,
            "batchId": str(row.batch_id) if row.batch_id else None,
        }  # fmt: skip


class LogView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="getWebhookLog", responses=LogDetail)
    def get(self, request: Request, webhook_id: UUID, log_id: UUID) -> Response:
        """One delivery: payload, headers, what proved it, each attempt, and what comes next."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        rows = WebhookLog.objects.filter(webhook=webhook).select_related("webhook__integration", "forward")
        row = rows.filter(pk=log_id).first()
        if row is None:
            raise Http404
        return Response(LogDetail(row).data)


def _raw(row: WebhookLog) -> str:
    return row.raw_body()[: RAW_CHARACTERS * 4].decode("utf-8", "replace")[:RAW_CHARACTERS]
