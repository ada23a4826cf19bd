"""The API of scheduled jobs."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import permissions
from integrations.api import export
from integrations.api.base import ApiView, UtcDateTime
from integrations.cron import services
from integrations.cron.models import CronJob
from integrations.permissions import Perm


class JobsQuery(serializers.Serializer[Any]):
    integration_id = serializers.UUIDField(required=False)
    is_active = serializers.BooleanField(required=False)


class JobRow(serializers.ModelSerializer[CronJob]):
    integrationId = serializers.UUIDField(source="integration_id", allow_null=True)
    integrationName = serializers.CharField(source="integration.name", default=None, allow_null=True)
    jobName = serializers.CharField(source="job_name")
    scheduleText = serializers.SerializerMethodField()
    isActive = serializers.BooleanField(source="is_active")
    lastRunAt = UtcDateTime(source="last_run_at", allow_null=True)
    lastRunStatus = serializers.ChoiceField(CronJob.LastStatus.choices, source="last_run_status", allow_null=True)
    lastRunDurationMs = serializers.IntegerField(source="last_run_duration_ms", allow_null=True)
    nextRunAt = UtcDateTime(source="next_run_at", allow_null=True)

    class Meta:
        model = CronJob
        fields = ["id", "integrationId", "integrationName", "jobName", "schedule", "scheduleText", "timezone",
                  "isActive", "lastRunAt", "lastRunStatus", "lastRunDurationMs", "nextRunAt"]  # fmt: skip

    def get_scheduleText(self, job: CronJob) -> str:
        return services.in_words(job.schedule)


class JobsAnswer(serializers.Serializer[Any]):
    jobs = JobRow(many=True)


class JobsListView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Jobs"], operation_id="listCronJobs", parameters=[JobsQuery], responses=JobsAnswer)
    def get(self, request: Request) -> Response:
        """The scheduled jobs. Those of no integration need the global permission."""
        rows = permissions.readable(request.user, CronJob.objects.select_related("integration"))
        return Response({"jobs": JobRow(rows.filter(**self.query(JobsQuery)), many=True).data})


class JobsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Jobs"], operation_id="exportCronJobs", parameters=[JobsQuery],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The scheduled jobs. No cell is a formula."""
        rows = permissions.readable(request.user, CronJob.objects.select_related("integration"))
        told = JobRow(rows.filter(**self.query(JobsQuery)), many=True).data
        columns = JobRow.Meta.fields
        return export.stream(
            request, name="jobs", columns=columns, pages=iter([[[row[name] for name in columns] for row in told]])
        )
