from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from integrations.adminsite import AuditedAdmin, ReadOnlyAdmin
from integrations.cron import services
from integrations.cron.models import CronJob, CronRun


@admin.register(CronJob)
class CronJobAdmin(AuditedAdmin[CronJob]):
    list_display = ["job_name", "schedule", "timezone", "is_active", "last_run_at", "last_run_status", "next_run_at"]
    list_filter = ["is_active", "last_run_status"]
    # What an address is called with is changed by the API and our pages, which check it.
    readonly_fields = [
        "job_name", "integration", "job_url", "method", "headers", "secret_env", "expected_status", "last_run_at",
        "last_run_status", "next_run_at",
    ]  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CronJob, form: "ModelForm[CronJob]", change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.follow(obj, runnable=PeriodicTask.objects.filter(name=obj.job_name).exists())


admin.site.unregister([PeriodicTask, CrontabSchedule, IntervalSchedule, SolarSchedule, ClockedSchedule])


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin[PeriodicTask]):
    """Beat's own rows, to look at. They follow our jobs: change it there, where it is recorded who did."""

    list_display = ["name", "enabled", "scheduler", "last_run_at", "total_run_count"]
    list_filter = ["enabled"]
    list_select_related = ["crontab", "interval"]


@admin.register(CronRun)
class CronRunAdmin(ReadOnlyAdmin[CronRun]):
    list_display = ["started_at", "job", "status", "trigger", "duration_ms", "scheduled_for"]
    list_filter = ["status", "trigger", "job"]
    list_select_related = ["job"]
