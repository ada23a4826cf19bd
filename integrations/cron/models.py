"""Scheduled jobs and the ledger of their runs."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import ids
from integrations.cron import schedules
from integrations.models import Declared, Integration

LONGEST_SECONDS = 3600
"""What a run may take at the most."""


def validate_schedule(text: str) -> None:
    """Five fields that both cron and Celery read alike, written the way both do."""
    if found := schedules.schedule_problems(text):
        words = "; ".join(problem.words for problem in found)
        raise ValidationError(_("This is no cron schedule: {words}.").format(words=words), code="schedule")
    if (stored := schedules.read(text)) != text:
        raise ValidationError(_("Write it as {stored}.").format(stored=stored), code="schedule")


def validate_timezone(name: str) -> None:
    for problem in schedules.zone_problems(name):
        raise ValidationError(f"{problem.words}.", code="zone")


class CronJob(Declared):
    """A job as admins see and change it; django-celery-beat's PeriodicTask follows it (`config/schedule.py`)."""

    class LastStatus(models.TextChoices):
        SUCCESS = "success"
        FAILED = "failed"
        TIMEOUT = "timeout"

    class CatchUp(models.TextChoices):
        NONE = "none", gettext_lazy("Nothing: the next slot does it")
        LATEST = "latest", gettext_lazy("The latest of them runs late")

    class Method(models.TextChoices):
        GET = "GET"
        POST = "POST"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="cron_jobs", null=True, blank=True
    )
    job_name = models.CharField(max_length=100, unique=True)
    job_url = models.CharField(max_length=500, help_text="Our own path for a registered task, or an outside URL.")
    schedule = models.CharField(max_length=100, help_text="Five cron fields.", validators=[validate_schedule])
    timezone = models.CharField(max_length=64, default="Africa/Johannesburg", validators=[validate_timezone])
    timeout_seconds = models.PositiveIntegerField(default=300)
    catch_up = models.CharField(
        max_length=10,
        choices=CatchUp.choices,
        default=CatchUp.NONE,
        help_text="What becomes of slots that were missed.",
    )
    ledger_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Up to here every promised slot has its row."
    )
    method = models.CharField(max_length=4, choices=Method.choices, default=Method.POST)
    headers = models.JSONField(default=dict, blank=True, help_text="For an outside URL; nothing secret.")
    secret_env = models.CharField(
        max_length=100, blank=True, help_text="Variable whose value an outside URL gets as bearer token."
    )
    expected_status = models.CharField(max_length=3, default="2xx", help_text="Of an outside URL: 200, or 2xx.")
    is_active = models.BooleanField(default=True)
    last_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_run_status = models.CharField(  # noqa: DJ001 - null: never ran
        max_length=10, choices=LastStatus.choices, null=True, blank=True, editable=False
    )
    last_run_duration_ms = models.PositiveIntegerField(null=True, blank=True, editable=False)
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "integration_cron_jobs"
        ordering = ["job_name"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(last_run_status=None) | Q(last_run_status__in=["success", "failed", "timeout"]),
                name="cron_job_last_status_known",
            ),
            models.CheckConstraint(condition=Q(timeout_seconds__gt=0), name="cron_job_timeout_positive"),
            models.CheckConstraint(condition=Q(method__in=["GET", "POST"]), name="cron_job_method_known"),
            models.CheckConstraint(condition=Q(catch_up__in=["none", "latest"]), name="cron_job_catch_up_known"),
        ]

    def __str__(self) -> str:
        return self.job_name

    @property
    def is_outside(self) -> bool:
        """Whether it calls an address, rather than being work of ours."""
        return self.job_url.startswith(("https://", "http://"))


class CronRun(models.Model):
    """One slot that the schedule promised, or one start by hand. A slot exists once: two beats can't run it twice; and
    one run of a job goes on at a time.

    `started_at` of a slot that was missed is when that was noticed. A run that was asked for by hand waits, as
    running, until a worker has `picked_up_at`.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        SUCCESS = "success"
        FAILED = "failed"
        TIMEOUT = "timeout"
        MISSED = "missed"
        SKIPPED = "skipped"
        UNKNOWN = "unknown"

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        MANUAL = "manual"
        EXTERNAL = "external"

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    job = models.ForeignKey(CronJob, on_delete=models.CASCADE, related_name="runs", db_index=False)
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="The slot; empty for a start by hand.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.SCHEDULE)
    triggered_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why somebody started it by hand.")
    arguments = models.JSONField(default=dict, blank=True)
    mandate = models.JSONField(null=True, blank=True, editable=False, help_text="Who asked for it; null: no person.")
    picked_up_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    result_summary = models.JSONField(default=dict, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        db_table = "integration_cron_runs"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["job", "scheduled_for"], name="cron_run_slot_once"),
            models.UniqueConstraint(fields=["job"], condition=Q(status="running"), name="cron_run_one_at_a_time"),
            models.CheckConstraint(
                condition=Q(status__in=["running", "success", "failed", "timeout", "missed", "skipped", "unknown"]),
                name="cron_run_status_known",
            ),
            models.CheckConstraint(
                condition=Q(trigger__in=["schedule", "manual", "external"]), name="cron_run_trigger_known"
            ),
        ]
        indexes = [
            models.Index(fields=["job", "-started_at"], name="cron_run_recent"),
            models.Index(fields=["job", "status", "-started_at"], name="cron_run_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.status}"
