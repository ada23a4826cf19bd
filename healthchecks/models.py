"""What each check saw, when a status changed, and the outages in between."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy, gettext_noop

from integrations import ids
from integrations.due import Due, DueQuerySet
from integrations.models import HealthStatus, Integration, Stamped

KNOWN = HealthStatus.values
IN_SENTENCES = (gettext_noop("healthy"), gettext_noop("degraded"), gettext_noop("down"), gettext_noop("unknown"))
"""The same for the catalogue of translations: templates translate a status as it stands in a row."""


class CheckResult(models.Model):
    """One check of one integration: the verdict, the rule that decided, and what each layer saw."""

    class Trigger(models.TextChoices):
        SWEEP = "sweep"
        RECHECK = "recheck"
        MANUAL = "manual"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="checks", db_index=False)
    status = models.CharField(max_length=10, choices=HealthStatus.choices)
    rule = models.CharField(max_length=40, help_text="The rule that decided, by name.")
    reason = models.TextField()
    layers = models.JSONField(default=list)
    response_time_ms = models.PositiveIntegerField(null=True, blank=True)
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_health_checks"
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(condition=Q(status__in=KNOWN), name="check_result_status_known")]
        indexes = [models.Index(fields=["integration", "-created_at"], name="check_result_recent")]

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class StatusChange(models.Model):
    """A status became another: what uptime is computed from. `alerted_at`: when somebody was told of it, if ever.

    `gap`: nobody looked from here on (it became unknown), or somebody looks again; it says nothing of the integration.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="status_changes", db_index=False
    )
    old_status = models.CharField(max_length=10, choices=HealthStatus.choices)
    new_status = models.CharField(max_length=10, choices=HealthStatus.choices)
    reason = models.TextField()
    at = models.DateTimeField(help_text="When it began: an outage is dated from its first failing check.")
    alerted_at = models.DateTimeField(null=True, blank=True)
    gap = models.BooleanField(default=False)

    class Meta:
        db_table = "integration_status_changes"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(old_status__in=KNOWN) & Q(new_status__in=KNOWN), name="status_change_statuses_known"
            )
        ]
        indexes = [models.Index(fields=["integration", "-at"], name="status_change_recent")]

    def __str__(self) -> str:
        return f"{self.old_status} → {self.new_status}"


class Incident(models.Model):
    """The time from healthy to healthy again. At most one is open for each integration."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="incidents")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    worst_status = models.CharField(max_length=10, choices=HealthStatus.choices)
    cause = models.TextField()
    rule = models.CharField(max_length=40, blank=True, help_text="The rule that decided when it was at its worst.")
    root = models.CharField(max_length=80, blank=True, help_text="What it shares with others, such as a dead grant.")

    class Meta:
        db_table = "integration_incidents"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["integration"], condition=Q(closed_at=None), name="incident_one_open"),
            models.CheckConstraint(condition=Q(worst_status__in=["degraded", "down"]), name="incident_status_known"),
        ]
        indexes = [models.Index(fields=["integration", "-opened_at"], name="incident_recent")]

    def __str__(self) -> str:
        return f"{self.worst_status} since {self.opened_at:%Y-%m-%d %H:%M}"

    @property
    def lasted(self) -> timedelta | None:
        return self.closed_at - self.opened_at if self.closed_at else None


class IncidentNote(models.Model):
    """What somebody found out or did. Never changed, never taken away."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="notes")
    username = models.CharField(max_length=150)
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_incident_notes"
        default_permissions = ("view",)
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.username} at {self.at:%Y-%m-%d %H:%M}"


class MaintenanceQuerySet(models.QuerySet["Maintenance"]):
    def for_integration(self, integration: Integration) -> Self:
        """Its own, and everybody's."""
        return self.filter(Q(integration=None) | Q(integration=integration))

    def under_way(self, now: datetime) -> Self:
        return self.filter(starts_at__lte=now, ends_at__gt=now)


class Maintenance(Stamped):
    """Planned work: no alert comes of what happens in it, and it counts neither as up nor as down. Without an
    integration it is everybody's."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="maintenance", null=True, blank=True
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=300)
    username = models.CharField(max_length=150, help_text="Who declared it.")

    objects = MaintenanceQuerySet.as_manager()

    class Meta:
        db_table = "integration_maintenance"
        default_permissions = ("view",)
        verbose_name_plural = gettext_lazy("maintenance")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")), name="maintenance_ends_after_it_starts"
            )
        ]
        indexes = [models.Index(fields=["ends_at"], name="maintenance_ends")]

    def __str__(self) -> str:
        return f"{self.reason} ({self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%H:%M})"


class Rollup(models.Model):
    """One endpoint's calls of some time; with neither endpoint nor method, of all of them together. `histogram` counts
    response times in log-spaced buckets: they add up (`healthchecks/histogram.py`)."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    endpoint = models.CharField(max_length=200)
    method = models.CharField(max_length=10)
    requests = models.PositiveIntegerField()
    errors = models.PositiveIntegerField()
    total_ms = models.PositiveBigIntegerField()
    max_ms = models.PositiveIntegerField(default=0)
    histogram = models.JSONField(default=dict)

    class Meta:
        abstract = True


class MetricRollup(Rollup):
    """One hour."""

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="rollups", db_index=False)
    hour = models.DateTimeField()

    class Meta:
        db_table = "integration_metric_rollups"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["integration", "hour", "endpoint", "method"], name="metric_rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} at {self.hour:%Y-%m-%d %H}h"


class DailyRollup(Rollup):
    """One day in UTC: its 24 hours, merged. It counts only while there is a `RolledDay` of that day."""

    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="daily_rollups", db_index=False
    )
    day = models.DateField()

    class Meta:
        db_table = "integration_metric_daily_rollups"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["integration", "day", "endpoint", "method"], name="daily_rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} on {self.day}"


class RolledHour(models.Model):
    """Up to and including this hour every call is in the roll-ups. One row for each hour that was rolled up whole."""

    hour = models.DateTimeField(primary_key=True)
    rolled_at = models.DateTimeField(default=timezone.now)
    calls = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "integration_metric_hours"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h"


class RolledDay(models.Model):
    """The daily roll-ups have every call of this day that the hourly ones have. It goes when an hour of the day is
    counted anew, until they are merged anew too. `until` is the next day: where another one goes on."""

    day = models.DateField(primary_key=True)
    until = models.DateField()
    rolled_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_metric_days"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.day}"


# --- Alerts ----------------------------------------------------------------------------------------------------------


class Alarm(models.Model):
    """Something that people should know is so, from the first look that found it (`opened_at`) to the first that
    didn't (`closed_at`). At most one is open for each `key`, which says what it is about: "health:resend",
    "grant:<id>".

    `told_at`: when people were last told of it, by any channel that took it; empty: not yet, or held back.
    """

    class Kind(models.TextChoices):
        HEALTH = "health", gettext_lazy("Health")
        GRANT = "grant", gettext_lazy("OAuth grant")
        QUOTA = "quota", gettext_lazy("Quota")
        TARGET = "target", gettext_lazy("Target missed")
        WEBHOOKS = "webhooks", gettext_lazy("Webhook events given up")
        SILENCE = "silence", gettext_lazy("Silence")
        JOB = "job", gettext_lazy("Scheduled job")
        SLOTS = "slots", gettext_lazy("Slots missed")
        DRIFT = "drift", gettext_lazy("Registration drift")

    class Severity(models.TextChoices):
        WARNING = "warning", gettext_lazy("Warning")
        CRITICAL = "critical", gettext_lazy("Critical")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="alarms", null=True, blank=True, db_index=False
    )
    slugs = models.JSONField(default=list, help_text="All integrations that it is about.")
    title = models.CharField(max_length=200)
    text = models.TextField()
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "integration_alarms"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(closed_at=None), name="alarm_one_open"),
            models.CheckConstraint(
                condition=Q(
                    kind__in=["health", "grant", "quota", "target", "webhooks", "silence", "job", "slots", "drift"]
                ),
                name="alarm_kind_known",
            ),
            models.CheckConstraint(condition=Q(severity__in=["warning", "critical"]), name="alarm_severity_known"),
        ]
        indexes = [
            models.Index(fields=["-opened_at", "-id"], name="alarm_recent"),
            models.Index(fields=["integration", "-opened_at"], name="alarm_by_integration"),
            models.Index(fields=["key", "-told_at"], name="alarm_told"),
        ]

    def __str__(self) -> str:
        return self.title


class Alert(models.Model):
    """One message to people: of an alarm that opened (or still lasts), of its end, or a test. What becomes of it by
    each channel stands in its deliveries."""

    class Kind(models.TextChoices):
        OPENED = "opened", gettext_lazy("Alert")
        LASTS = "lasts", gettext_lazy("Still so")
        RECOVERED = "recovered", gettext_lazy("Recovery")
        TEST = "test", gettext_lazy("Test")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="alerts", null=True, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    severity = models.CharField(max_length=10, choices=Alarm.Severity.choices)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="alerts", null=True, blank=True, db_index=False
    )
    subject = models.CharField(max_length=200)
    text = models.TextField()
    username = models.CharField(max_length=150, blank=True, help_text="Who asked for a test.")
    mandate = models.JSONField(
        null=True, blank=True, editable=False, help_text="The same, to ask again whether they may."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_alerts"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["opened", "lasts", "recovered", "test"]), name="alert_kind_known"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="alert_recent"),
            models.Index(fields=["integration", "-created_at"], name="alert_by_integration"),
        ]

    def __str__(self) -> str:
        return self.subject


class Delivery(Due):
    """One alert by one channel: the outbox. Stamped `sent_at` only after the channel took it.

    `route` names the channel as the settings do, with whatever is secret in it left out. `sent_at` with `failed_at`:
    it was taken, and came back later (a bounce). `provider_id` is the channel's own name for it.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        SENT = "sent", gettext_lazy("Sent")
        FAILED = "failed", gettext_lazy("Failed")
        SPARED = "spared", gettext_lazy("Not needed")

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    route = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(help_text="Its place in the settings.")
    fallback = models.BooleanField(default=False, help_text="Only if no other took it.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    provider_id = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet.as_manager()

    class Meta:
        db_table = "integration_alert_deliveries"
        default_permissions = ("view",)
        verbose_name_plural = gettext_lazy("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["alert", "position"], name="delivery_once_for_each_route"),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "sent", "failed", "spared"]), name="delivery_status_known"
            ),
            models.CheckConstraint(condition=Q(status="waiting") | Q(due_at=None), name="delivery_done_is_not_due"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="delivery_due"),
            models.Index(fields=["provider_id"], condition=~Q(provider_id=""), name="delivery_by_provider_id"),
        ]

    def __str__(self) -> str:
        return f"{self.status}: {self.route}"


class AlertsSeen(models.Model):
    """How far somebody has read in the bell."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "integration_alerts_seen"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user_id} at {self.seen_at:%Y-%m-%d %H:%M}"
