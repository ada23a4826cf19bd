"""The registry of integrations, the activity log, and the record of every outbound call."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations import ids
from integrations.providers import spec

RESERVED_SLUGS = [
    "account",
    "activity",
    "alerts",
    "apis",
    "check",
    "cron",
    "health",
    "incidents",
    "maintenance",
    "oauth",
    "palette",
    "people",
    "schema",
    "webhooks",
    "zoho",
]  # routes use them


class Stamped(models.Model):
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Declared(Stamped):
    """A row that code declares and admins may change. `declared` is what code last told it (`config/declared.py`)."""

    declared = models.JSONField(default=dict, editable=False)

    class Meta:
        abstract = True


class HealthStatus(models.TextChoices):
    HEALTHY = "healthy", _("Healthy")
    DEGRADED = "degraded", _("Degraded")
    DOWN = "down", _("Down")
    UNKNOWN = "unknown", _("Unknown")


class Category(models.TextChoices):
    PAYMENT = "payment", _("Payment")
    CRM = "crm", _("CRM")
    KYC = "kyc", _("KYC")
    COVERAGE = "coverage", _("Coverage")
    COMMUNICATION = "communication", _("Communication")
    LOCATION = "location", _("Location")


class Integration(Declared):
    """One third-party service in use. What it *is* stands in code (`spec`); what admins decide stands here.

    `health_*`, `last_health_check_at`, `consecutive_failures` and `check_due_at` are written by `healthchecks` alone.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    category = models.CharField(max_length=20, choices=Category)
    provider = models.CharField(max_length=50)
    requires_oauth = models.BooleanField(default=False)
    has_webhooks = models.BooleanField(default=False)
    has_api_client = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    health_status = models.CharField(max_length=10, choices=HealthStatus, default=HealthStatus.UNKNOWN)
    health_reason = models.TextField(default="Not checked yet.", editable=False)
    health_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_health_check_at = models.DateTimeField(null=True, blank=True, editable=False)
    health_check_interval_minutes = models.PositiveSmallIntegerField(default=15, validators=[MinValueValidator(15)])
    check_due_at = models.DateTimeField(default=timezone.now, editable=False)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    last_alert_sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    thresholds = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "integration_registry"
        ordering = ["name"]
        default_permissions = ()
        # The customer's names. "oauth:refresh" can't be written in a template: `{% if user|may:"oauth:refresh" %}`.
        permissions = [
            ("read", "See integrations, logs, metrics and activity"),
            ("manage", "Change integrations, connect and revoke, run checks"),
            ("oauth:refresh", "Refresh OAuth tokens"),
            ("webhooks:replay", "Replay and test webhooks"),
            ("cron:trigger", "Start scheduled jobs by hand"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(slug__in=RESERVED_SLUGS), name="integration_slug_not_reserved"),
            models.CheckConstraint(condition=Q(category__in=Category.values), name="integration_category_known"),
            models.CheckConstraint(
                condition=Q(health_status__in=HealthStatus.values), name="integration_status_known"
            ),
        ]
        indexes = [models.Index(fields=["is_active", "check_due_at"], name="integration_check_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def spec(self) -> "spec.Provider | None":
        """What the code knows of this integration's provider; None when the row outlived its declaration."""
        from integrations import providers

        return providers.get(self.slug)

    @property
    def icon(self) -> str:
        """The name, at lucide.dev, of the drawing that stands for it."""
        return self.spec.icon if self.spec else "plug"


class ApiMetric(models.Model):
    """One outbound call or probe, written by the door that made it (`integrations/http.py`)."""

    class Source(models.TextChoices):
        PROBE = "probe"
        CALL = "call"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="metrics", db_index=False)
    endpoint = models.CharField(max_length=200, help_text=_("The path's template; never a query string or body."))
    method = models.CharField(max_length=10)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True, help_text=_("Empty: no answer came."))
    response_time_ms = models.PositiveIntegerField()
    rate_limit_remaining = models.PositiveIntegerField(null=True, blank=True)
    rate_limit_limit = models.PositiveIntegerField(null=True, blank=True)
    rate_limit_reset_at = models.DateTimeField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    source = models.CharField(max_length=5, choices=Source.choices, default=Source.CALL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_api_metrics"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["integration", "-created_at"], name="api_metric_recent"),
            models.Index(
                fields=["integration", "-created_at"], condition=~Q(error_message=""), name="api_metric_errors"
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(source__in=["probe", "call"]), name="api_metric_source_known"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} → {self.status_code or 'no answer'}"


class Activity(models.Model):
    """Who did what. Append-only and chained: written by `activity.record`, proved by `activity.verify`.

    Nothing here is a foreign key: a row must survive what it speaks of, so names are copied.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    seq = models.BigIntegerField(unique=True)
    integration_id = models.UUIDField(null=True, blank=True)
    integration_slug = models.CharField(max_length=50, blank=True)
    admin_user_id = models.UUIDField(null=True, blank=True)
    username = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    outcome = models.CharField(max_length=10)
    details = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    once_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - NULL: many may have none
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "integration_activity_log"
        verbose_name_plural = _("activity")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["once_key"], name="activity_once_key"),
            models.CheckConstraint(condition=Q(seq__gt=0), name="activity_seq_positive"),
            models.CheckConstraint(
                condition=Q(outcome__in=["success", "failure", "refused"]), name="activity_outcome_known"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="activity_recent"),
            models.Index(fields=["integration_slug", "-created_at"], name="activity_by_integration"),
            models.Index(fields=["username", "-created_at"], name="activity_by_actor"),
            models.Index(fields=["action", "-created_at"], name="activity_by_action"),
            models.Index(fields=["request_id", "-created_at"], name="activity_by_request"),
            models.Index(
                fields=["outcome", "-created_at"],
                condition=Q(outcome__in=["failure", "refused"]),
                name="activity_by_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.username} {self.action}"


class ActivityHead(models.Model):
    """The chain's last link, one row: locking it puts appends in line, and a cut tail no longer fits it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")

    class Meta:
        db_table = "integration_activity_head"
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="activity_head_single")]

    def __str__(self) -> str:
        return f"#{self.seq}"


class ActivityAnchor(models.Model):
    """A signed statement of the chain's hash at `seq`. Rows up to the newest anchor may be removed by retention."""

    seq = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_activity_anchor"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"anchor at #{self.seq}"


class RateWindow(models.Model):
    """How many calls were made lately under one provider's limit, where there is no Redis to count them
    (`integrations/limiter.py`). `version` is what writers compare."""

    key = models.CharField(primary_key=True, max_length=200)
    state = models.JSONField(default=dict)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "integration_rate_windows"
        default_permissions = ()

    def __str__(self) -> str:
        return self.key


class KeyCanary(models.Model):
    """A key of the vault that has sealed something. As long as its row opens, what it sealed does: a key that is
    missing or wrong is noticed at start (`integrations/vault.py`), not at the next use of a token."""

    key_id = models.CharField(primary_key=True, max_length=60)
    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "integration_key_canaries"
        default_permissions = ()

    def __str__(self) -> str:
        return f"canary of key {self.key_id}"

    def context(self) -> str:
        return f"key_canary:{self.key_id}"
