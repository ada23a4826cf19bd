"""The API of receivers."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor, permissions
from integrations.api.base import ApiView, Strict, UtcDateTime, utc
from integrations.api.permissions import get_integration
from integrations.permissions import Perm
from webhooks import receiver, state
from webhooks.models import Silence, Webhook
from webhooks.services import channels, receivers, silence


def get_webhook(request: Request, pk: UUID, perm: Perm) -> Webhook:
    """The receiver, if `request`'s user holds `perm` on its integration: 404 when it can't be seen, 403 when only
    seen."""
    webhook = Webhook.objects.filter(pk=pk).select_related("integration", "rhythm").first()
    if webhook is None:
        raise Http404
    get_integration(request, webhook.integration.slug, perm)
    return webhook


class WebhooksQuery(serializers.Serializer[Any]):
    integration_id = serializers.UUIDField(required=False)
    is_active = serializers.BooleanField(required=False)


class SilenceRow(serializers.ModelSerializer[Silence]):
    lastReceivedAt = UtcDateTime(source="last_received_at")
    expectedMinutes = serializers.IntegerField(source="expected_minutes", help_text="More than this was too long.")
    noticedAt = UtcDateTime(source="noticed_at")
    endedAt = UtcDateTime(source="ended_at", allow_null=True)

    class Meta:
        model = Silence
        fields = ["lastReceivedAt", "expectedMinutes", "noticedAt", "endedAt"]


class WebhookRow(serializers.ModelSerializer[Webhook]):
    integrationId = serializers.UUIDField(source="integration_id")
    integrationName = serializers.CharField(source="integration.name")
    webhookUrl = serializers.CharField(source="webhook_url")
    eventTypes = serializers.ListField(child=serializers.CharField(), source="event_types")
    verificationMethod = serializers.ChoiceField(Webhook.Method.choices, source="verification_method")
    isActive = serializers.BooleanField(source="is_active")
    forwardUrl = serializers.SerializerMethodField(help_text="Without its query: that may hold a key.")
    forwardEventTypes = serializers.ListField(child=serializers.CharField(), source="forward_event_types")
    forwardInOrder = serializers.BooleanField(source="forward_in_order")
    forwardStoppedAt = UtcDateTime(source="forward_stopped_at", allow_null=True)
    retentionDays = serializers.IntegerField(source="retention_days")
    silenceMinutes = serializers.IntegerField(source="silence_minutes", allow_null=True)
    silence = serializers.SerializerMethodField(help_text="Nothing comes, though it should. Null: all is well.")

    class Meta:
        model = Webhook
        fields = ["id", "integrationId", "integrationName", "webhookUrl", "eventTypes", "verificationMethod",
                  "isActive", "forwardUrl", "forwardEventTypes", "forwardInOrder", "forwardStoppedAt", "retentionDays",
                  "silenceMinutes", "silence"]  # fmt: skip

    @extend_schema_field(SilenceRow(allow_null=True))
    def get_silence(self, row: Webhook) -> dict[str, Any] | None:
        silent = silence.of(row)
        return SilenceRow(silent).data if silent else None

    def get_forwardUrl(self, row: Webhook) -> str | None:
        return receiver.bare(row.forward_url) or None


class WebhooksAnswer(serializers.Serializer[Any]):
    webhooks = WebhookRow(many=True)


class WebhooksView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Webhooks"], operation_id="listWebhooks", parameters=[WebhooksQuery], responses=WebhooksAnswer
    )
    def get(self, request: Request) -> Response:
        """The receivers."""
        asked = self.query(WebhooksQuery)
        rows = permissions.readable(request.user, silence.with_open(Webhook.objects.select_related("integration")))
        return Response({"webhooks": WebhookRow(rows.filter(**asked), many=True).data})


# --- One with all that is known of it --------------------------------------------------------------------------------


class SecretRow(serializers.Serializer[Any]):
    position = serializers.IntegerField(help_text="1: the newest.")
    fingerprint = serializers.CharField(help_text="Names the secret and tells nothing of it.")
    lastMatchedAt = UtcDateTime(source="last_matched_at", allow_null=True)


class RetiredSecret(serializers.Serializer[Any]):
    fingerprint = serializers.CharField()
    lastMatchedAt = UtcDateTime(source="last_matched_at")


class Forwarding(serializers.Serializer[Any]):
    """Counts end at 10,000."""

    stoppedAt = UtcDateTime(allow_null=True)
    stoppedBecause = serializers.CharField(allow_null=True)
    waiting = serializers.IntegerField(help_text="Will be tried.")
    stopped = serializers.IntegerField(help_text="Go again when it is resumed.")
    failed = serializers.IntegerField(help_text="Gave up.")
    deliveredLast24Hours = serializers.IntegerField()


class Reverifying(serializers.Serializer[Any]):
    since = UtcDateTime(source="created_at")
    total = serializers.IntegerField()
    released = serializers.IntegerField()
    refused = serializers.IntegerField()
    unreadable = serializers.IntegerField()


class Quarantine(serializers.Serializer[Any]):
    """`open` and `released` are those kept in the last seven days, and end at 10,000."""

    open = serializers.IntegerField(help_text="Kept, and not released.")
    released = serializers.IntegerField()
    refusedLast24Hours = serializers.IntegerField(help_text="Also those that were only counted.")
    reasonsLast24Hours = serializers.DictField(child=serializers.IntegerField())
    reverifying = Reverifying(allow_null=True, help_text="Judging again that goes on in the background.")


class WebhookDetail(WebhookRow):
    integrationSlug = serializers.CharField(source="integration.slug")
    publicUrl = serializers.CharField(help_text="What the provider calls.")
    unset = serializers.CharField(allow_null=True, help_text="The variable without which nothing is accepted.")
    secretEnvVar = serializers.CharField(source="secret_env_var")
    secrets = SecretRow(many=True)
    retiredSecrets = RetiredSecret(many=True, help_text="Proved deliveries once, and configured no more.")
    heldBy = serializers.ChoiceField([("webhook", "Webhook"), ("integration", "Integration")], allow_null=True)
    held = serializers.IntegerField(help_text="Events that run once it is switched on; to 10,000.")
    waiting = serializers.IntegerField(help_text="Events that will be tried, or are being; to 10,000.")
    forwarding = Forwarding()
    quarantine = Quarantine()

    class Meta(WebhookRow.Meta):
        fields = [*WebhookRow.Meta.fields, "integrationSlug", "publicUrl", "unset", "secretEnvVar", "secrets",
                  "retiredSecrets", "heldBy", "held", "waiting", "forwarding", "quarantine"]  # fmt: skip

    def to_representation(self, row: Webhook) -> dict[str, Any]:
        found = state.read(row, now=timezone.now())
        counts = found.counts
        return WebhookRow().to_representation(row) | {
            "integrationSlug": row.integration.slug,
            "publicUrl": settings.PUBLIC_URL + row.webhook_url,
            "unset": found.unset or None,
            "secretEnvVar": row.secret_env_var,
            "secrets": SecretRow(found.secrets, many=True).data,
            "retiredSecrets": RetiredSecret(found.retired, many=True).data,
            "heldBy": found.held_by or None,
            "held": counts.waiting if found.held_by else 0,
            "waiting": 0 if found.held_by else counts.waiting,
            "forwarding": {
                "stoppedAt": utc(row.forward_stopped_at),
                "stoppedBecause": "The target answered HTTP 410." if row.forward_stopped_at else None,
                "waiting": counts.forwards_waiting,
                "stopped": counts.forwards_stopped,
                "failed": counts.forwards_failed,
                "deliveredLast24Hours": counts.forwards_delivered,
            },
            "quarantine": {
                "open": counts.refused_open,
                "released": max(0, counts.refused_kept - counts.refused_open),
                "refusedLast24Hours": sum(found.refused.values()),
                "reasonsLast24Hours": found.refused,
                "reverifying": Reverifying(found.reverifying).data if found.reverifying else None,
            },
        }


class DetailAnswer(serializers.Serializer[Any]):
    webhook = WebhookDetail()


# --- Changing one ----------------------------------------------------------------------------------------------------


def _event_types(*, allow_empty: bool) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=200), max_length=200, allow_empty=allow_empty, required=False
    )


class WebhookChange(Strict):
    isActive = serializers.BooleanField(source="is_active", required=False)
    eventTypes = _event_types(allow_empty=False)
    forwardUrl = serializers.CharField(
        source="forward_url", required=False, allow_null=True, allow_blank=True, max_length=200,
        help_text="Null: nothing is forwarded.",
    )  # fmt: skip
    forwardEventTypes = _event_types(allow_empty=True)
    forwardInOrder = serializers.BooleanField(source="forward_in_order", required=False)
    retentionDays = serializers.IntegerField(source="retention_days", required=False, min_value=1, max_value=3650)
    silenceMinutes = serializers.IntegerField(
        source="silence_minutes", required=False, allow_null=True, min_value=1, max_value=525_600,
        help_text="Null: learned.",
    )  # fmt: skip
    channel = serializers.ChoiceField(
        [channels.RENEW, channels.OPEN, channels.OFF], required=False,
        help_text="Zoho CRM only: renew the notification channels that are there, open one where none is, or leave "
        "them alone, as workflow rules call us instead.",
    )  # fmt: skip

    def validate_forwardUrl(self, value: str | None) -> str:
        if value:
            try:
                receivers.check_address(value)
            except receivers.BadAddress as error:
                raise serializers.ValidationError(str(error), code="bad_address") from error
        return value or ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        columns = {"eventTypes": "event_types", "forwardEventTypes": "forward_event_types"}
        return {columns.get(name, name): value for name, value in attrs.items()}


class WebhookAnswer(serializers.Serializer[Any]):
    webhook = WebhookRow()
    held = serializers.IntegerField(
        required=False, help_text="When it was switched on: how many events it had held, to 10,000. They run now."
    )


class WebhookView(ApiView):
    """`wake` tells the workers; it never blocks."""

    permissions = {"GET": Perm.READ, "PATCH": Perm.MANAGE}
    wake: Callable[[], object] | None = None

    @extend_schema(tags=["Webhooks"], operation_id="getWebhook", responses=DetailAnswer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """One receiver: its secrets (never themselves), what it holds, passes on and refused."""
        return Response({"webhook": WebhookDetail(get_webhook(request, webhook_id, Perm.READ)).data})

    @extend_schema(tags=["Webhooks"], operation_id="changeWebhook", request=WebhookChange, responses=WebhookAnswer)
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Change what is given and nothing else."""
        webhook = get_webhook(request, webhook_id, Perm.MANAGE)
        asked = WebhookChange(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        channel = wanted.pop("channel", "")
        if channel and not channels.concern(webhook):
            raise serializers.ValidationError(
                {"channel": ["Only Zoho CRM has notification channels."]}, code="invalid"
            )
        changed = receivers.change(webhook, actor=actor.of(request), wanted=wanted, channel=channel)
        if changed.webhook.is_active and not webhook.is_active and self.wake:
            self.wake()
        held = {} if changed.held is None else {"held": changed.held}
        return Response({"webhook": WebhookRow(changed.webhook).data} | held)
