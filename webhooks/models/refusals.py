"""Deliveries that were refused, judging them once more, and when each secret last proved one genuine."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from integrations import ids
from integrations.due import Due, DueQuerySet
from webhooks import reasons
from webhooks.models.deliveries import Webhook


class Refusal(models.Model):
    """A delivery that was refused, kept for a week: once a secret is mended, what was genuine is released.

    `sealed` holds headers and query, encrypted: a header may carry a secret. `truncated`: the body was longer than is
    kept, so it can be looked at but not judged again.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="refusals", db_index=False)
    reason = models.CharField(max_length=40)
    detail = models.CharField(max_length=300, blank=True)
    body = models.BinaryField()
    sealed = models.TextField()
    truncated = models.BooleanField(default=False)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    released_at = models.DateTimeField(null=True, blank=True)
    log_id = models.UUIDField(null=True, blank=True, help_text="The row that it became when it was released.")

    class Meta:
        db_table = "integration_webhook_quarantine"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["webhook", "-created_at", "-id"], name="webhook_refusal_recent"),
            models.Index(
                fields=["webhook", "created_at", "id"], condition=Q(released_at=None), name="webhook_refusal_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} at {self.created_at:%Y-%m-%d %H:%M:%S}"

    @property
    def named(self) -> str:
        """Its reason, as people read it."""
        return reasons.named(self.reason)


class RefusalTally(models.Model):
    """What was refused in one hour at one webhook: how many were kept, and how many there were for each reason."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="refusal_tallies", db_index=False)
    hour = models.DateTimeField()
    kept = models.PositiveIntegerField(default=0)
    reasons = models.JSONField(default=dict)

    class Meta:
        db_table = "integration_webhook_refusals"
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["webhook", "hour"], name="webhook_refusals_one_per_hour")]

    def __str__(self) -> str:
        return f"{sum(self.reasons.values())} in the hour of {self.hour:%Y-%m-%d %H:%M}"


class Reverification(Due):
    """Judging what a webhook refused once more, in chunks: `cursor` is how far it has come, so that a worker that dies
    is followed by one that goes on from there. `released` counts what proved genuine, of which `duplicates` had come
    another way; `unreadable` can't be judged any more."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="reverifications")
    chosen = models.JSONField(null=True, blank=True, help_text="The ids of the refusals; empty: all.")
    total = models.PositiveIntegerField()
    released = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    cursor = models.CharField(max_length=80, blank=True)
    username = models.CharField(max_length=150)
    admin_user_id = models.UUIDField(null=True, blank=True)
    mandate = models.JSONField(null=True, blank=True, editable=False, help_text="Who asked for it; null: no person.")
    stopped_why = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet.as_manager()

    class Meta:
        db_table = "integration_webhook_reverifications"
        default_permissions = ("view",)
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="webhook_reverify_due")]

    def __str__(self) -> str:
        return f"{self.released} of {self.total} released"


class SecretUse(models.Model):
    """When a secret last proved a delivery genuine. `fingerprint` is a keyed hash: it names the secret, no more."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="secret_uses", db_index=False)
    fingerprint = models.CharField(max_length=16)
    last_matched_at = models.DateTimeField()

    class Meta:
        db_table = "integration_webhook_secret_uses"
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["webhook", "fingerprint"], name="webhook_secret_use_once")]

    def __str__(self) -> str:
        return self.fingerprint
