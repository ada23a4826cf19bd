from django.contrib import admin

from healthchecks.models import (
    Alarm,
    Alert,
    CheckResult,
    DailyRollup,
    Delivery,
    Incident,
    Maintenance,
    MetricRollup,
    StatusChange,
)
from integrations.adminsite import ReadOnlyAdmin


@admin.register(CheckResult)
class CheckResultAdmin(ReadOnlyAdmin[CheckResult]):
    list_display = ["created_at", "integration", "status", "rule", "response_time_ms", "trigger"]
    list_filter = ["status", "rule", "integration"]
    list_select_related = ["integration"]


@admin.register(StatusChange)
class StatusChangeAdmin(ReadOnlyAdmin[StatusChange]):
    list_display = ["at", "integration", "old_status", "new_status", "reason"]
    list_filter = ["new_status", "integration"]
    list_select_related = ["integration"]


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin[Incident]):
    list_display = ["opened_at", "integration", "worst_status", "closed_at", "cause"]
    list_filter = ["worst_status", "integration"]
    list_select_related = ["integration"]
    ordering = ["-opened_at"]


@admin.register(MetricRollup)
class MetricRollupAdmin(ReadOnlyAdmin[MetricRollup]):
    list_display = ["hour", "integration", "method", "endpoint", "requests", "errors"]
    list_filter = ["integration"]
    list_select_related = ["integration"]


@admin.register(DailyRollup)
class DailyRollupAdmin(ReadOnlyAdmin[DailyRollup]):
    list_display = ["day", "integration", "method", "endpoint", "requests", "errors"]
    list_filter = ["integration"]
    list_select_related = ["integration"]


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin[Alarm]):
    list_display = ["opened_at", "title", "kind", "severity", "integration", "told_at", "closed_at"]
    list_filter = ["kind", "severity", "integration"]
    list_select_related = ["integration"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    list_display = ["created_at", "subject", "kind", "severity", "integration"]
    list_filter = ["kind", "severity", "integration"]
    list_select_related = ["integration"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    """The outbox."""

    list_display = ["alert", "route", "status", "attempts", "due_at", "sent_at", "failed_at", "error"]
    list_filter = ["status", "route"]
    list_select_related = ["alert"]


@admin.register(Maintenance)
class MaintenanceAdmin(ReadOnlyAdmin[Maintenance]):
    list_display = ["starts_at", "ends_at", "integration", "reason", "username"]
    list_filter = ["integration"]
    list_select_related = ["integration"]
