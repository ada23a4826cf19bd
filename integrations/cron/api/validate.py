"""The API that tells what a schedule means before anybody saves it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api.base import ApiView, Strict, UtcDateTime, utc
from integrations.cron import preview, schedules
from integrations.cron.models import CronJob
from integrations.permissions import Perm


class Question(Strict):
    schedule = serializers.CharField(allow_blank=True, max_length=1000)
    timezone = serializers.CharField(default=CronJob._meta.get_field("timezone").default, max_length=100)
    jobId = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="The job it is for, which doesn't clash with itself."
    )


class ScheduleErrorRow(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="minute … weekday; schedule or timezone as a whole.")
    position = serializers.IntegerField(allow_null=True, min_value=1, max_value=5)
    code = serializers.CharField()
    detail = serializers.CharField(source="words")


class RunNoteRow(serializers.Serializer[Any]):
    at = UtcDateTime()
    local = serializers.DateTimeField(help_text="The same moment by the zone's clock.")
    detail = serializers.CharField(source="note", help_text="What a change of the clock does to this run.")


class ValidateAnswer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    description = serializers.CharField(allow_blank=True)
    nextRuns = serializers.ListField(child=serializers.DateTimeField(), help_text="Five, or none.")
    errors = ScheduleErrorRow(many=True)  # type: ignore[assignment]  # DRF takes fields off the class, `errors` stays its own
    schedule = serializers.CharField(allow_null=True, help_text="As it would be stored.")
    notes = RunNoteRow(many=True)
    warnings = serializers.ListField(child=serializers.CharField(), help_text="Jobs that start in the same minutes.")


class ValidateView(ApiView):
    permissions = {"POST": Perm.READ}

    @extend_schema(tags=["Jobs"], operation_id="validateSchedule", request=Question, responses=ValidateAnswer)
    def post(self, request: Request) -> Response:
        """What a schedule means, its next five runs, or everything that is wrong with it. Nothing is stored."""
        asked = Question(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        told = preview.of(
            given["schedule"], given["timezone"], user=request.user, now=timezone.now(), job_id=given["jobId"]
        )
        return Response(
            {
                "valid": not told.problems,
                "description": told.words,
                "nextRuns": [utc(run.at) for run in told.runs],
                "errors": ScheduleErrorRow(told.problems, many=True).data,
                "schedule": told.stored or None,
                "notes": [_note(run) for run in told.runs if run.note],
                "warnings": told.warnings,
            }
        )


def _note(run: schedules.Moment) -> dict[str, Any]:
    return {"at": utc(run.at), "local": run.local.isoformat(), "detail": run.note}
