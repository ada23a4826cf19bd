"""The API of one delivery, with everything that is known of it."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.problems import Problem
from integrations.permissions import Perm
from webhooks import event, receiver, timeline
from webhooks.api.logs import LogRow
from webhooks.api.receivers import get_webhook
from webhooks.models import Attempt, Forward, Webhook, WebhookLog
from webhooks.services import personal

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
    personalDroppedAt = UtcDateTime(
        source="personal_dropped_at",
        allow_null=True,
        help_text="Since then its personal fields say `[dropped]`, and its bytes are gone.",
    )
    bodySize = serializers.IntegerField(help_text="Bytes that came.")
    bodySha256 = serializers.CharField(help_text="Of the bytes that came.")
    headers = serializers.DictField(child=serializers.CharField(), help_text="Redacted.")
    verification = Verification()
    attempts = AttemptRow(many=True)
    forward = ForwardRow(allow_null=True)
    timeline = StepRow(many=True)
    batchId = serializers.UUIDField(source="batch_id", allow_null=True)

    class Meta(LogRow.Meta):
        fields = [*LogRow.Meta.fields, "payload", "fetched", "raw", "personalDroppedAt", "bodySize", "bodySha256",
                  "headers", "verification", "attempts", "forward", "timeline", "batchId"]  # fmt: skip

    def to_representation(self, row: WebhookLog) -> dict[str, Any]:
        shown = LogRow.to_representation(LogRow(), row)
        attempts, forward = list(row.attempt_rows.all()), getattr(row, "forward", None)
        size, sha256 = row.what_came()
        return shown | {
            "payload": event.cleaned(row.payload, row.webhook),
            "fetched": event.cleaned(row.fetched, row.webhook),
            "raw": _text(row.raw_body()) if row.payload is None and not event.guarded(row.webhook) else None,
            "personalDroppedAt": utc(row.personal_dropped_at),
            "bodySize": size,
            "bodySha256": sha256,
            "headers": row.headers,
            "verification": {
                "method": row.webhook.verification_method, "valid": row.verified, "detail": row.verification,
            },
            "attempts": AttemptRow(attempts, many=True).data,
            "forward": ForwardRow(forward).data if forward else None,
            "timeline": StepRow(timeline.of(row, attempts, forward), many=True).data,
            "batchId": str(row.batch_id) if row.batch_id else None,
        }  # fmt: skip


class RevealedLog(LogDetail):
    """With what is personal; secrets are masked as ever."""

    payload = serializers.JSONField(allow_null=True, help_text="With what is personal.")
    fetched = serializers.JSONField(allow_null=True, help_text="The same of what the provider's API said.")
    raw = serializers.CharField(
        allow_null=True, help_text="What came, up to 65,536 characters. Null where that holds, or may hold, a secret."
    )

    class Meta(LogDetail.Meta):
        pass

    def to_representation(self, row: WebhookLog) -> dict[str, Any]:
        content = event.unguarded(row)
        return super().to_representation(row) | {
            "payload": event.revealed(row.payload, row.webhook),
            "fetched": event.revealed(row.fetched, row.webhook),
            "raw": None if content is None else _text(content),
        }


class LogView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="getWebhookLog", responses=LogDetail)
    def get(self, request: Request, webhook_id: UUID, log_id: UUID) -> Response:
        """One delivery: payload, headers, what proved it, each attempt, and what comes next."""
        return Response(LogDetail(_get_log(get_webhook(request, webhook_id, Perm.READ), log_id)).data)


class RevealView(ApiView):
    permissions = {"POST": Perm.MANAGE}
    dangerous = ("POST",)

    @extend_schema(
        tags=["Webhooks"],
        operation_id="revealWebhookLog",
        request=None,
        responses={200: RevealedLog, 409: OpenApiResponse(description="`personal_dropped`")},
    )
    def post(self, request: Request, webhook_id: UUID, log_id: UUID) -> Response:
        """One delivery with its personal fields, until they are dropped. Each call is told in the activity log, before
        it is answered."""
        row = _get_log(get_webhook(request, webhook_id, Perm.MANAGE), log_id)
        if row.personal_dropped_at:
            raise Problem(409, "personal_dropped", f"What was personal was dropped at {utc(row.personal_dropped_at)}.")
        personal.tell(row, actor=actor.of(request), how="api")
        return Response(RevealedLog(row).data)


def _get_log(webhook: Webhook, pk: UUID) -> WebhookLog:
    rows = WebhookLog.objects.filter(webhook=webhook).select_related("webhook__integration", "forward")
    row = rows.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _text(content: bytes) -> str:
    return content[: RAW_CHARACTERS * 4].decode("utf-8", "replace")[:RAW_CHARACTERS]
