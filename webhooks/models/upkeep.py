"""Bulk replays, the watch for silence, and what the lane did."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations import ids
from integrations.due import Due, DueQuerySet
from webhooks.models.deliveries import Webhook


class ReplayBatch(Due):
    """A bulk replay, made row by row in the background. `cursor` is how far it has come, so that a worker that dies
    is followed by one that goes on from there."""

    class Status(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        CANCELLED = "cancelled", _("Cancelled")
        STOPPED = "stopped", _("Stopped")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    selection = models.JSONField(help_text="The filter, or the ids.")
    total = models.PositiveIntegerField()
    queued = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    cursor = models.CharField(max_length=80, blank=True)
    username = models.CharField(max_length=150, blank=True)
    mandate = models.JSONField(null=True, blank=True, editable=False, help_text="Who asked for it; null: no person.")
    stopped_why = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet.as_manager()

    class Meta:
        db_table = "integration_webhook_replays"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["running", "done", "cancelled", "stopped"]),
                name="webhook_replay_status_known",
            )
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="webhook_replay_due")]

    def __str__(self) -> str:
        return f"{self.queued} of {self.total} replayed"


class Silence(models.Model):
    """Nothing came for longer than this webhook's rhythm explains. Open until something comes."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="silences")
    last_received_at = models.DateTimeField()
    expected_minutes = models.PositiveIntegerField()
    noticed_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "integration_webhook_silences"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["webhook"], condition=Q(ended_at=None), name="webhook_silence_one_open")
        ]

    def __str__(self) -> str:
        return f"silent since {self.last_received_at:%Y-%m-%d %H:%M}"


class Rhythm(models.Model):
    """How often something comes, as far as is known; kept by the watch for silence (`services/silence.py`).

    `expected_minutes` is learned, null: not yet. It is measured within `busy_hours` only: hours of the week in local
    time, 0 is Monday from midnight to one; none: around the clock. `words` says how that was found. `last_received_at`
    is the newest genuine delivery that the watch saw when it `looked_at` them.
    """

    webhook = models.OneToOneField(Webhook, on_delete=models.CASCADE, primary_key=True, related_name="rhythm")
    looked_at = models.DateTimeField(null=True, blank=True)
    last_received_at = models.DateTimeField(null=True, blank=True)
    learned_at = models.DateTimeField(null=True, blank=True)
    expected_minutes = models.PositiveIntegerField(null=True, blank=True)
    busy_hours = models.JSONField(default=list, blank=True)
    words = models.TextField(blank=True)

    class Meta:
        db_table = "integration_webhook_rhythms"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.words or "not learned yet"


class LaneMinute(models.Model):
    """What one web process's lane did in one minute. Every few minutes there is one even if nothing was done."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    minute = models.DateTimeField()
    process = models.CharField(max_length=40)
    received = models.PositiveBigIntegerField(default=0)
    duplicates = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    turned_away = models.PositiveBigIntegerField(default=0, help_text="Answered 503: a full queue, no database.")
    commits = models.PositiveBigIntegerField(default=0)
    commit_ms_total = models.PositiveBigIntegerField(default=0)
    commit_ms_max = models.PositiveIntegerField(default=0)
    queue_max = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "integration_webhook_lane"
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["minute", "process"], name="webhook_lane_once")]

    def __str__(self) -> str:
        return f"{self.received} in the minute of {self.minute:%Y-%m-%d %H:%M}"
