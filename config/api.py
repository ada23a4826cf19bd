"""The API's routes, all of them, and what is put together from several apps."""

import math
from datetime import timedelta
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import schedule, switch, wakeup
from healthchecks.api import alerts, calls, health, incidents, maintenance, series
from healthchecks.api import export as health_export
from integrations import actor, services
from integrations.api import views as registry
from integrations.api.base import ApiView, Strict, UtcDateTime
from integrations.api.permissions import get_integration
from integrations.cron.api import export as cron_export
from integrations.cron.api import jobs as cron
from integrations.cron.api import runs
from integrations.cron.api import validate as cron_validate
from integrations.cron.models import CronJob
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm
from oauth.api import authorize, events, refresh, revoke
from oauth.api import export as tokens_export
from oauth.api import tokens as oauth
from oauth.models import Token
from webhooks.api import detail as log_detail
from webhooks.api import (
    export,
    forwards,
    logs,
    receivers,
    refusals,
    registrations,
    replays,
    retries,
    rhythm,
    trials,
)
from webhooks.models import Webhook
from webhooks.services import silence

CHECK_PERIOD_MINUTES = 15

# --- One integration -------------------------------------------------------------------------------------------------


class OAuthPart(serializers.Serializer[Any]):
    hasAccessToken = serializers.BooleanField()
    hasRefreshToken = serializers.BooleanField()
    expiresAt = UtcDateTime(allow_null=True)
    lastRefreshedAt = UtcDateTime(allow_null=True)
    refreshCount = serializers.IntegerField()
    status = serializers.ChoiceField(["valid", "expired", "expiring_soon", "revoked", "missing"])
    autoRefresh = serializers.BooleanField()


class IntegrationDetail(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    category = serializers.CharField()
    provider = serializers.CharField()
    isActive = serializers.BooleanField()
    healthStatus = serializers.ChoiceField(HealthStatus.choices)
    lastHealthCheckAt = UtcDateTime(allow_null=True)
    healthCheckIntervalMinutes = serializers.IntegerField()
    thresholds = serializers.DictField()
    metadata = serializers.DictField()
    oauthTokens = OAuthPart(required=False)
    webhooks = receivers.WebhookRow(many=True, required=False)
    recentMetrics = health.Figures()
    cronJobs = cron.JobRow(many=True, required=False)


class IntegrationAnswer(serializers.Serializer[Any]):
    integration = IntegrationDetail()


class ChangedAnswer(IntegrationAnswer):
    held = serializers.IntegerField(
        required=False,
        help_text="When it was switched on: how many webhook events it had held, to 10,000. They run now.",
    )


class Percent(serializers.FloatField):
    def __init__(self) -> None:
        super().__init__(min_value=0, max_value=100, allow_null=True, required=False)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):  # a number to Python, not to whoever wrote it
            self.fail("invalid")
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class Thresholds(Strict):
    """Targets, and the hours in which warnings wait; null takes one back to its default."""

    responseTimeMs = serializers.IntegerField(min_value=1, max_value=600_000, allow_null=True, required=False)
    errorRate = Percent()
    webhookFailureRate = Percent()
    uptime = Percent()
    quietHours = alerts.QuietHours(allow_null=True, required=False)


def judge_thresholds(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a form may be written down, and by field what is wrong: the rules are those of `PATCH`."""
    asked = Thresholds(data=given)
    return (dict(asked.validated_data), {}) if asked.is_valid() else ({}, dict(asked.errors))


class Change(Strict):
    isActive = serializers.BooleanField(required=False)
    metadata = serializers.DictField(required=False)
    healthCheckIntervalMinutes = serializers.IntegerField(
        required=False,
        min_value=CHECK_PERIOD_MINUTES,
        max_value=1440,
        error_messages={
            "min_value": f"The job that checks runs every {CHECK_PERIOD_MINUTES} minutes; shorter can't be kept."
        },
    )
    thresholds = Thresholds(required=False)


class IntegrationView(ApiView):
    permissions = {"GET": Perm.READ, "PATCH": Perm.MANAGE}

    @extend_schema(tags=["Registry"], operation_id="getIntegration", responses=IntegrationAnswer)
    def get(self, request: Request, slug: str) -> Response:
        """One integration with its tokens, webhooks, jobs and the figures of the last 24 hours."""
        return Response({"integration": detail(get_integration(request, slug, Perm.READ))})

    @extend_schema(tags=["Registry"], operation_id="changeIntegration", request=Change, responses=ChangedAnswer)
    def patch(self, request: Request, slug: str) -> Response:
        """Change what is given and nothing else. `metadata` is merged at its top level; null removes a key."""
        integration = get_integration(request, slug, Perm.MANAGE)
        asked = Change(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        held = switch.held(integration, on=given.get("isActive"))
        try:
            changed = services.change(
                integration,
                actor=actor.of(request),
                is_active=given.get("isActive"),
                metadata=given.get("metadata"),
                interval_minutes=given.get("healthCheckIntervalMinutes"),
                thresholds=given.get("thresholds"),
                noted=held,
            )
        except services.TooLarge as error:
            raise serializers.ValidationError({"metadata": [str(error)]}, code="too_large") from error
        if held:
            wakeup.look_soon()
        return Response({"integration": detail(changed)} | held)


def detail(row: Integration) -> dict[str, Any]:
    """`row` as API.md has it, with the parts that its kind of integration has."""
    answer = {
        **registry.RegistryRow(row).data,
        "healthCheckIntervalMinutes": row.health_check_interval_minutes,
        "thresholds": row.thresholds,
        "metadata": row.metadata,
        "recentMetrics": health.figures_of([row], since=timezone.now() - timedelta(hours=24))[row.pk],
    }
    if row.requires_oauth:
        token = Token.objects.filter(integration=row).first()
        answer["oauthTokens"] = OAuthPart(oauth.row(row, token)).data
    if row.has_webhooks:
        rows = silence.with_open(Webhook.objects.filter(integration=row).select_related("integration"))
        answer["webhooks"] = receivers.WebhookRow(rows, many=True).data
    if jobs := CronJob.objects.filter(integration=row).select_related("integration"):
        answer["cronJobs"] = cron.JobRow(jobs, many=True).data
    return answer


# --- Routes: fixed words before slugs (the words are reserved, `integrations.models.RESERVED_SLUGS`) -----------------

BASE = "api/admin/integrations"
urlpatterns = [
    path(BASE, registry.RegistryView.as_view(), name="api-integrations"),
    path(f"{BASE}.csv", registry.RegistryCsvView.as_view(), name="api-integrations-csv"),
    path(f"{BASE}/activity", registry.ActivityView.as_view(), name="api-activity"),
    path(f"{BASE}/activity.csv", registry.ActivityCsvView.as_view(), name="api-activity-csv"),
    path(f"{BASE}/alerts", alerts.AlertsView.as_view(), name="api-alerts"),
    path(f"{BASE}/alerts.csv", health_export.AlarmsCsvView.as_view(), name="api-alerts-csv"),
    path(f"{BASE}/alerts/test", alerts.AlertTestView.as_view(), name="api-alerts-test"),
    path(f"{BASE}/alerts/seen", alerts.AlertsSeenView.as_view(), name="api-alerts-seen"),
    path(f"{BASE}/oauth/tokens.csv", tokens_export.TokensCsvView.as_view(), name="api-oauth-tokens-csv"),
    path(f"{BASE}/oauth/tokens", oauth.TokensView.as_view(), name="api-oauth-tokens"),
    path(
        f"{BASE}/oauth/refresh",
        refresh.RefreshAllView.as_view(look_at=wakeup.check_soon),
        name="api-oauth-refresh-all",
    ),
    path(f"{BASE}/oauth/<slug:slug>", oauth.TokenView.as_view(), name="api-oauth-token"),
    path(
        f"{BASE}/oauth/<slug:slug>/refresh",
        refresh.RefreshView.as_view(look_at=wakeup.check_soon),
        name="api-oauth-refresh",
    ),
    path(
        f"{BASE}/oauth/<slug:slug>/revoke",
        revoke.RevokeView.as_view(look_at=wakeup.check_soon),
        name="api-oauth-revoke",
    ),
    path(f"{BASE}/oauth/<slug:slug>/events.csv", events.EventsCsvView.as_view(), name="api-oauth-events-csv"),
    path(f"{BASE}/oauth/<slug:slug>/events", events.EventsView.as_view(), name="api-oauth-events"),
    path(f"{BASE}/oauth/<slug:slug>/authorize", authorize.AuthorizeView.as_view(), name="api-oauth-authorize"),
    path(f"{BASE}/webhooks", receivers.WebhooksView.as_view(), name="api-webhooks"),
    path(f"{BASE}/webhooks.csv", export.ReceiversCsvView.as_view(), name="api-webhooks-csv"),
    path(f"{BASE}/webhooks/logs.csv", export.LogsCsvView.as_view(), name="api-webhook-logs-csv"),
    path(f"{BASE}/webhooks/logs", logs.AllLogsView.as_view(), name="api-webhook-logs-all"),
    path(f"{BASE}/webhooks/<uuid:webhook_id>/logs", logs.LogsView.as_view(), name="api-webhook-logs"),
    path(f"{BASE}/webhooks/<uuid:webhook_id>/rhythm", rhythm.RhythmView.as_view(), name="api-webhook-rhythm"),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/registrations",
        registrations.RegistrationsView.as_view(),
        name="api-webhook-registrations",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/registrations/check",
        registrations.CheckRegistrationsView.as_view(follow=schedule.look_for_trouble),
        name="api-webhook-registrations-check",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/backfill",
        registrations.BackfillView.as_view(wake=wakeup.look_soon),
        name="api-webhook-backfill",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>",
        receivers.WebhookView.as_view(wake=wakeup.look_soon),
        name="api-webhook",
    ),
    path(f"{BASE}/webhooks/<uuid:webhook_id>/forwards", forwards.ForwardsView.as_view(), name="api-webhook-forwards"),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/forwards/resume",
        forwards.ResumeView.as_view(wake=wakeup.forward_soon),
        name="api-webhook-forwards-resume",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/forwards/<uuid:forward_id>/retry",
        forwards.RetryView.as_view(wake=wakeup.forward_soon),
        name="api-webhook-forward-retry",
    ),
    path(f"{BASE}/webhooks/<uuid:webhook_id>/refusals", refusals.RefusalsView.as_view(), name="api-webhook-refusals"),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/refusals/hours",
        refusals.HoursView.as_view(),
        name="api-webhook-refused-hours",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/refusals/reverify",
        refusals.ReverifyView.as_view(wake=wakeup.look_soon, go_on=wakeup.reverify),
        name="api-webhook-reverify",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/refusals/<uuid:refusal_id>",
        refusals.RefusalView.as_view(),
        name="api-webhook-refusal",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/logs/<uuid:log_id>", log_detail.LogView.as_view(), name="api-webhook-log"
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/logs/<uuid:log_id>/reveal",
        log_detail.RevealView.as_view(),
        name="api-webhook-log-reveal",
    ),
    path(
        f"{BASE}/webhooks/replay", replays.BulkReplayView.as_view(wake=wakeup.replay), name="api-webhook-replay-many"
    ),
    path(f"{BASE}/webhooks/replays/<uuid:batch_id>", replays.BatchView.as_view(), name="api-webhook-replays"),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/replay",
        replays.ReplayView.as_view(run=schedule.work_on),
        name="api-webhook-replay",
    ),
    path(
        f"{BASE}/webhooks/<uuid:webhook_id>/test",
        trials.TestView.as_view(run=schedule.work_on),
        name="api-webhook-test",
    ),
    path(f"{BASE}/webhooks/<uuid:webhook_id>/samples", trials.SamplesView.as_view(), name="api-webhook-samples"),
    path(
        f"{BASE}/zoho/retry-queue", retries.RetryQueueView.as_view(run=schedule.work_on), name="api-zoho-retry-queue"
    ),
    path(f"{BASE}/zoho/retry-queue.csv", export.RetryQueueCsvView.as_view(), name="api-zoho-retry-queue-csv"),
    path(f"{BASE}/health.csv", health.HealthCsvView.as_view(), name="api-health-csv"),
    path(f"{BASE}/health", health.HealthView.as_view(), name="api-health"),
    path(f"{BASE}/health/<slug:slug>", health.HealthDetailView.as_view(), name="api-health-detail"),
    path(f"{BASE}/health/<slug:slug>/check", health.CheckView.as_view(), name="api-health-check"),
    path(f"{BASE}/health/<slug:slug>/series", series.SeriesView.as_view(), name="api-health-series"),
    path(f"{BASE}/health/<slug:slug>/endpoints", series.EndpointsView.as_view(), name="api-health-endpoints"),
    path(f"{BASE}/health/<slug:slug>/errors", calls.ErrorsView.as_view(), name="api-health-errors"),
    path(f"{BASE}/health/<slug:slug>/metrics.csv", calls.MetricsCsvView.as_view(), name="api-health-metrics-csv"),
    path(
        f"{BASE}/health/<slug:slug>/incidents",
        incidents.IntegrationIncidentsView.as_view(),
        name="api-health-incidents",
    ),
    path(f"{BASE}/incidents", incidents.IncidentsView.as_view(), name="api-incidents"),
    path(f"{BASE}/incidents.csv", health_export.IncidentsCsvView.as_view(), name="api-incidents-csv"),
    path(f"{BASE}/incidents/<uuid:incident_id>", incidents.IncidentView.as_view(), name="api-incident"),
    path(f"{BASE}/incidents/<uuid:incident_id>/notes", incidents.NotesView.as_view(), name="api-incident-notes"),
    path(f"{BASE}/maintenance", maintenance.MaintenanceListView.as_view(), name="api-maintenance-list"),
    path(f"{BASE}/maintenance.csv", health_export.MaintenanceCsvView.as_view(), name="api-maintenance-csv"),
    path(
        f"{BASE}/maintenance/<uuid:maintenance_id>",
        maintenance.MaintenanceView.as_view(),
        name="api-maintenance",
    ),
    path(f"{BASE}/cron/validate", cron_validate.ValidateView.as_view(), name="api-cron-validate"),
    path(f"{BASE}/cron.csv", cron.JobsCsvView.as_view(), name="api-cron-jobs-csv"),
    path(f"{BASE}/cron", runs.JobsView.as_view(), name="api-cron"),
    path(
        f"{BASE}/cron/<uuid:job_id>",
        runs.JobView.as_view(runnable=schedule.is_runnable),
        name="api-cron-job",
    ),
    path(
        f"{BASE}/cron/<uuid:job_id>/trigger",
        runs.TriggerView.as_view(start=wakeup.start, runnable=schedule.is_runnable),
        name="api-cron-trigger",
    ),
    path(f"{BASE}/cron/<uuid:job_id>/logs", runs.LogsView.as_view(), name="api-cron-logs"),
    path(f"{BASE}/cron/<uuid:job_id>/logs.csv", cron_export.RunsCsvView.as_view(), name="api-cron-logs-csv"),
    path(f"{BASE}/cron/<uuid:job_id>/runs/<uuid:run_id>/cancel", runs.CancelView.as_view(), name="api-cron-cancel"),
    path(f"{BASE}/<slug:slug>", IntegrationView.as_view(), name="api-integration"),
    path(
        f"{BASE}/<slug:slug>/health",
        health.OlderCheckView.as_view(),
        name="api-health-check-older",
    ),
]
