"""Receivers, every delivery that came in, and every attempt to do something with it."""

import hashlib
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations import ids
from integrations.due import Due, DueQuerySet
from integrations.models import Declared, Integration


class Webhook(Declared):
    """A receiver. How its provider signs stands in code; the row holds what admins may change."""

    class Method(models.TextChoices):
        HMAC_SHA256 = "hmac_sha256", _("HMAC-SHA256 signature")
        MD5_HASH = "md5_hash", _("MD5 hash, or status look-up")
        HEADER_SECRET = "header_secret", _("Secret in a header")
        BODY_TOKEN = "body_token", _("Token in the body")
        STANDARD_WEBHOOKS = "standard_webhooks", _("Standard Webhooks")
        JWT = "jwt", _("Signed JWT")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="webhooks")
    webhook_url = models.CharField(max_length=200, unique=True, help_text="Our path, as the provider calls it.")
    event_types = models.JSONField(default=list)
    verification_method = models.CharField(max_length=20, choices=Method.choices)
    secret_env_var = models.CharField(max_length=100, help_text="Name of the variable that holds the secret(s).")
    is_active = models.BooleanField(default=True, help_text="Off: deliveries are stored and held.")
    forward_url = models.URLField(blank=True, help_text="A service of ours that gets each event, signed.")
    forward_event_types = models.JSONField(default=list, blank=True, help_text="Only these; empty: all.")
    forward_in_order = models.BooleanField(
        default=False, help_text="One after the other: a failing one holds the rest."
    )
    forward_secret_env = models.CharField(max_length=100, blank=True, help_text="Name of the variable to sign with.")
    forward_stopped_at = models.DateTimeField(null=True, blank=True, help_text="The target said 410: no more of it.")
    silence_minutes = models.PositiveIntegerField(null=True, blank=True, help_text="Expected rhythm; empty: learned.")
    retention_days = models.PositiveSmallIntegerField(default=90)
    personal_dropped_to = models.DateTimeField(
        null=True, blank=True, help_text="No event before this holds a personal field any more."
    )
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "integration_webhooks"
        ordering = ["webhook_url"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    verification_method__in=[
                        "hmac_sha256", "md5_hash", "header_secret", "body_token", "standard_webhooks", "jwt"
                    ]
                ),
                name="webhook_method_known",
            ),
            models.CheckConstraint(condition=Q(retention_days__gt=0), name="webhook_retention_positive"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.webhook_url


class WebhookLogQuerySet(DueQuerySet["WebhookLog"]):
    def runnable(self) -> Self:
        """Rows whose webhook and integration are switched on; the others are held, and run once they are on again."""
        return self.filter(webhook__is_active=True, webhook__integration__is_active=True)


class WebhookLog(Due):
    """One delivery. `body` is what came, byte for byte; `payload` is what it says, for reading and searching.

    `pending`: never tried yet, or held. `failed` with `due_at`: will be tried again; without: exhausted.
    `claims_key`: this row is the first with its key. Others with the same key are its duplicates.
    `replay_of` and `duplicate_of` are plain ids: retention may remove the row they point at.
    `personal_dropped_at`: since then `payload` and `fetched` lack what is personal, and the bytes are gone; of those
    `body_size` and `body_sha256` tell.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        PROCESSED = "processed", _("Processed")
        FAILED = "failed", _("Failed")
        DUPLICATE = "duplicate", _("Duplicate")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="logs", db_index=False)
    event_type = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - null: the provider named none
    payload = models.JSONField(null=True, blank=True)
    body = models.BinaryField()
    query_string = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    verified = models.BooleanField(default=True)
    verification = models.CharField(max_length=200, blank=True, help_text="What proved it, in words.")
    denied = models.BooleanField(default=False, help_text="The provider itself says that it never sent this.")
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 - null: none could be told
    claims_key = models.BooleanField(default=False)
    processing_time_ms = models.PositiveIntegerField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)
    revived_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the provider says that it sent it.")
    stored_at = models.DateTimeField(null=True, blank=True, help_text="When the database took it in.")
    part_of = models.UUIDField(null=True, blank=True, help_text="The row that holds the bytes of this delivery.")
    batch_id = models.UUIDField(null=True, blank=True, help_text="The bulk replay that made it.")
    forwards = models.BooleanField(default=True, help_text="Off: never forwarded (a test).")
    fetched = models.JSONField(
        null=True, blank=True, help_text="What the provider's API said of it, where its delivery is only a hint."
    )
    personal_dropped_at = models.DateTimeField(null=True, blank=True)
    body_size = models.PositiveIntegerField(null=True, blank=True)
    body_sha256 = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - null: the bytes are there
    is_test = models.BooleanField(default=False)
    replay_of = models.UUIDField(null=True, blank=True)
    duplicate_of = models.UUIDField(null=True, blank=True)

    as_it_came: bool = False
    """Whether `body` is the JSON of `payload`, and a database can keep it. Not a column."""
    mandate = models.JSONField(null=True, blank=True, editable=False, help_text="Who asked for it; null: no person.")

    objects = WebhookLogQuerySet.as_manager()

    class Meta:
        db_table = "integration_webhook_logs"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "idempotency_key"],
                condition=Q(claims_key=True),
                name="webhook_log_key_claimed_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "processed", "failed", "duplicate"]),
                name="webhook_log_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "failed"]) | Q(due_at=None), name="webhook_log_done_is_not_due"
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "status", "-created_at", "-id"], name="webhook_log_by_status"),
            models.Index(fields=["event_type", "status", "-created_at", "-id"], name="webhook_log_by_event"),
            models.Index(fields=["-created_at", "-id"], name="webhook_log_recent"),
            models.Index(fields=["-created_at", "-id"], condition=Q(is_test=True), name="webhook_log_tests"),
            models.Index(fields=["idempotency_key"], condition=Q(claims_key=False), name="webhook_log_key_again"),
            models.Index(
                fields=["webhook", "due_at", "id"], condition=Q(due_at__isnull=False), name="webhook_log_due_in_order"
            ),
            models.Index(
                fields=["webhook", "due_at"],
                condition=Q(due_at__isnull=False, verified=False),
                name="webhook_log_unverified",
            ),
            models.Index(fields=["batch_id"], condition=Q(batch_id__isnull=False), name="webhook_log_batch"),
            models.Index(
                fields=["webhook", "created_at"],
                condition=Q(replay_of__isnull=False, personal_dropped_at=None),
                name="webhook_log_replays_whole",
            ),
            models.Index(
                fields=["webhook", "started_at"],
                condition=Q(status="failed", due_at=None),
                name="webhook_log_given_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type or 'unknown event'} {self.id}"

    def raw_body(self) -> bytes:
        """The bytes as they came: this row's own, or those of the row that holds them for the whole delivery."""
        if self.part_of is None:
            return bytes(self.body)
        whole = WebhookLog.objects.filter(pk=self.part_of).values_list("body", flat=True).first()
        return bytes(whole or b"")

    def what_came(self) -> tuple[int, str]:
        """How many bytes came, and their SHA-256: true also after they were dropped."""
        if self.body_sha256 is not None:
            return self.body_size or 0, self.body_sha256
        body = self.raw_body()
        return len(body), hashlib.sha256(body).hexdigest()

    @property
    def next_attempt_at(self) -> datetime | None:
        """When a failed event will be tried again. One that is held or in a worker's hands has no such time."""
        return self.due_at if self.status == self.Status.FAILED else None


class Attempt(models.Model):
    """One try at an event: by a handler (`target` "handler") or as a forward to a URL."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    log = models.ForeignKey(WebhookLog, on_delete=models.CASCADE, related_name="attempt_rows")
    target = models.CharField(max_length=200)
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)
    answer = models.TextField(blank=True, help_text="The first kilobyte of what the target answered.")

    class Meta:
        db_table = "integration_webhook_attempts"
        ordering = ["at"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.target} at {self.at:%Y-%m-%d %H:%M:%S}"


class ForwardQuerySet(DueQuerySet["Forward"]):
    def runnable(self) -> Self:
        """Those that may go: webhook and integration are on, and the target hasn't said that it is gone."""
        return self.filter(
            webhook__is_active=True, webhook__integration__is_active=True, webhook__forward_stopped_at=None
        )


class Forward(Due):
    """An event on its way to a service of ours. Made in the transaction that processed the event."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")
        STOPPED = "stopped", _("Stopped")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    log = models.OneToOneField(WebhookLog, on_delete=models.CASCADE, related_name="forward")
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="forwards", db_index=False)
    url = models.URLField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)
    mandate = models.JSONField(null=True, blank=True, editable=False, help_text="Who asked for it; null: no person.")

    objects = ForwardQuerySet.as_manager()

    class Meta:
        db_table = "integration_webhook_forwards"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "delivered", "failed", "stopped"]),
                name="webhook_forward_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "failed"]) | Q(due_at=None), name="webhook_forward_done_is_not_due"
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "due_at"], condition=Q(due_at__isnull=False), name="webhook_forward_due"),
            models.Index(fields=["webhook", "id"], condition=Q(due_at__isnull=False), name="webhook_forward_in_order"),
            models.Index(fields=["webhook", "status", "-created_at"], name="webhook_forward_by_status"),
            models.Index(fields=["webhook", "-created_at", "-id"], name="webhook_forward_recent"),
            models.Index(
                fields=["webhook", "started_at"],
                condition=Q(status="failed", due_at=None),
                name="webhook_forward_given_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.log_id} to {self.url}"
