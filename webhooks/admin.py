from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from integrations.adminsite import AuditedAdmin, ReadOnlyAdmin
from webhooks.models import (
    Attempt,
    Forward,
    Refusal,
    Registration,
    ReplayBatch,
    Rhythm,
    Silence,
    Webhook,
    WebhookLog,
)


@admin.register(Webhook)
class WebhookAdmin(AuditedAdmin[Webhook]):
    list_display = [
        "webhook_url",
        "integration",
        "verification_method",
        "secret_env_var",
        "is_active",
        "retention_days",
    ]
    list_select_related = ["integration"]
    readonly_fields = ["integration", "webhook_url", "verification_method", "secret_env_var", "personal_dropped_to"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # receivers come from the code that knows how their provider signs


@admin.register(WebhookLog)
class WebhookLogAdmin(ReadOnlyAdmin[WebhookLog]):
    """Without payload, body and headers: the pages show those, masked where they are personal."""

    list_display = ["created_at", "webhook", "event_type", "status", "retry_count", "due_at", "is_test"]
    list_filter = ["status", "webhook", "is_test"]
    list_select_related = ["webhook"]
    search_fields = ["idempotency_key", "event_type"]
    exclude = ["payload", "fetched", "body", "headers", "query_string"]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin[Attempt]):
    list_display = ["at", "log", "target", "status_code", "duration_ms", "error"]
    list_select_related = ["log"]


@admin.register(Forward)
class ForwardAdmin(ReadOnlyAdmin[Forward]):
    list_display = ["created_at", "webhook", "url", "status", "status_code", "attempts", "due_at"]
    list_filter = ["status", "webhook"]
    list_select_related = ["webhook"]


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin[Refusal]):
    """Without what was sent: it may be anything."""

    list_display = ["created_at", "webhook", "reason", "detail", "ip_address", "released_at"]
    list_filter = ["reason", "webhook"]
    list_select_related = ["webhook"]
    exclude = ["body", "sealed"]


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin[Registration]):
    """What providers have registered to call."""

    list_display = ["webhook", "url", "ours", "enabled", "expires_at", "code", "finding", "seen_at"]
    list_filter = ["code", "webhook"]
    list_select_related = ["webhook"]


@admin.register(ReplayBatch)
class ReplayBatchAdmin(ReadOnlyAdmin[ReplayBatch]):
    list_display = ["created_at", "username", "status", "total", "queued", "skipped"]


@admin.register(Rhythm)
class RhythmAdmin(ReadOnlyAdmin[Rhythm]):
    list_display = ["webhook", "last_received_at", "expected_minutes", "words", "learned_at"]
    list_select_related = ["webhook"]


@admin.register(Silence)
class SilenceAdmin(ReadOnlyAdmin[Silence]):
    list_display = ["noticed_at", "webhook", "last_received_at", "expected_minutes", "ended_at"]
    list_filter = ["webhook"]
    list_select_related = ["webhook"]
    ordering = ["-noticed_at"]
