"""The API of runs: starting one, ending one, the ledger; and changing when a job runs."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.validators import UniqueValidator

from integrations import activity, actor, permissions
from integrations.accounts.models import User
from integrations.api.base import ApiView, Strict, UtcDateTime, place
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.cron import outside, schedules, services
from integrations.cron.api.jobs import JobRow, JobsListView
from integrations.cron.models import LONGEST_SECONDS, CronJob, CronRun, validate_schedule, validate_timezone
from integrations.permissions import Perm
from integrations.seek import Listing


def get_job(request: Request, pk: UUID, perm: Perm) -> CronJob:
    """The job, if `request`'s user holds `perm` for it: 404 when it can't be seen, 403 when only seen. Those of no
    integration need the permission for all."""
    job = permissions.readable(request.user, CronJob.objects.select_related("integration")).filter(pk=pk).first()
    if job is None:
        raise Http404
    if not permissions.may(request.user, perm, job.integration):
        activity.record_refusal(
            actor=actor.of(request), where=place(request), integration=job.integration,
            details={"path": request.path[:300]},
        )  # fmt: skip
        raise exceptions.PermissionDenied
    return job


# --- Starting and ending ---------------------------------------------------------------------------------------------


class TriggerAsked(Strict):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=300, help_text="Why.")


class TriggerAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    jobId = serializers.UUIDField()
    triggeredAt = UtcDateTime()
    message = serializers.CharField()
    runId = serializers.UUIDField()


class TriggerView(ApiView):
    """`start` tells the workers, and takes seconds at most while the broker is away: the run is announced again.
    `runnable`: whether this version can do a job."""

    permissions = {"POST": Perm.CRON_TRIGGER}
    start: Callable[[UUID], object] = staticmethod(lambda run: None)
    runnable: Callable[[CronJob], bool] = staticmethod(lambda job: True)

    @extend_schema(
        tags=["Jobs"], operation_id="triggerCronJob", request=TriggerAsked,
        responses={
            202: TriggerAnswer,
            409: OpenApiResponse(description="`already_running`; `not_runnable`: this version has no work for it"),
        },
    )  # fmt: skip
    def post(self, request: Request, job_id: UUID) -> Response:
        """Start it now, also while it is switched off. Its slots are not touched."""
        job = get_job(request, job_id, Perm.CRON_TRIGGER)
        asked = TriggerAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        if not self.runnable(job):
            raise Problem(409, "not_runnable", f"This version can't do {job.job_name} yet.")
        now = timezone.now()
        try:
            run = services.ask(
                job, actor=actor.of(request), trigger=CronRun.Trigger.MANUAL,
                reason=asked.validated_data["reason"], now=now,
            )  # fmt: skip
        except services.AlreadyRunning as error:
            raise Problem(409, "already_running", str(error)) from error
        self.start(run.pk)
        told = {
            "success": True, "jobId": job.pk, "triggeredAt": now, "runId": run.pk,
            "message": f"{job.job_name} starts as soon as a worker is free.",
        }  # fmt: skip
        return Response(TriggerAnswer(told).data, status=status.HTTP_202_ACCEPTED)


class CancelAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class CancelView(ApiView):
    permissions = {"POST": Perm.CRON_TRIGGER}

    @extend_schema(
        tags=["Jobs"], operation_id="cancelCronRun", request=None,
        responses={200: CancelAnswer, 409: OpenApiResponse(description="`not_running`: it is over already")},
    )  # fmt: skip
    def post(self, request: Request, job_id: UUID, run_id: UUID) -> Response:
        """End a run: its worker does so within seconds."""
        job = get_job(request, job_id, Perm.CRON_TRIGGER)
        run = CronRun.objects.select_related("job__integration").filter(job=job, pk=run_id).first()
        if run is None:
            raise Http404
        if not services.cancel(run, actor=actor.of(request)):
            raise Problem(409, "not_running", "It is over already.")
        return Response({"success": True, "message": "It is ended within seconds."})


# --- The ledger ------------------------------------------------------------------------------------------------------


class RunsQuery(PageQuery):
    status = serializers.ChoiceField(CronRun.Status.choices, required=False)


class RunRow(serializers.ModelSerializer[CronRun]):
    scheduledFor = UtcDateTime(source="scheduled_for", allow_null=True, help_text="The slot; null: started by hand.")
    executedAt = UtcDateTime(source="started_at", help_text="When it began; of a missed slot: when that was noticed.")
    durationMs = serializers.IntegerField(source="duration_ms", allow_null=True)
    resultSummary = serializers.DictField(source="result_summary")
    errorMessage = serializers.CharField(source="error_message", allow_null=True)
    triggeredBy = serializers.SerializerMethodField()

    class Meta:
        model = CronRun
        fields = ["id", "scheduledFor", "executedAt", "status", "durationMs", "resultSummary", "errorMessage",
                  "trigger", "triggeredBy", "reason"]  # fmt: skip

    def get_triggeredBy(self, run: CronRun) -> str | None:
        return run.triggered_by or None

    def to_representation(self, run: CronRun) -> dict[str, Any]:
        shown = super().to_representation(run)
        return shown if shown["errorMessage"] else {**shown, "errorMessage": None}


class RunsAnswer(serializers.Serializer[Any]):
    logs = RunRow(many=True)
    pagination = Pagination()


class LogsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Jobs"], operation_id="listCronRuns", parameters=[RunsQuery], responses=RunsAnswer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Its runs, newest first: also the slots that were missed or skipped, and why."""
        job, asked = get_job(request, job_id, Perm.READ), self.query(RunsQuery)
        rows = CronRun.objects.filter(job=job).defer("traceback")
        if wanted := asked.get("status"):
            rows = rows.filter(status=wanted)
        page = paginate(Listing(rows, at="started_at"), asked)
        return Response({"logs": RunRow(page.rows, many=True).data, "pagination": page.pagination})


# --- Changing one ----------------------------------------------------------------------------------------------------


class ScheduleField(serializers.CharField):
    """As people type it, put into the form that is stored."""

    def to_internal_value(self, data: Any) -> str:
        typed = super().to_internal_value(data)
        try:
            return schedules.read(typed)
        except schedules.Refused as error:
            raise serializers.ValidationError(f"This is no cron schedule: {error}.", code="schedule") from error


class Outside(Strict):
    """What an outside URL is called with. What is wrong with it is told by `outside.check`."""

    url = serializers.CharField(source="job_url", required=False, max_length=500, help_text="https://…")
    method = serializers.ChoiceField(CronJob.Method.choices, required=False)
    headers = serializers.DictField(child=serializers.CharField(max_length=500), required=False)
    secretEnv = serializers.CharField(
        source="secret_env", required=False, allow_blank=True, max_length=100,
        help_text="Name of a variable; its value goes along as bearer token. Never CRON_SECRET.",
    )  # fmt: skip
    expectedStatus = serializers.CharField(source="expected_status", required=False, max_length=3)

    def check(self, user: User | AnonymousUser, before: CronJob | None = None) -> None:
        row, given = before or CronJob(), self.validated_data
        try:
            outside.check(
                url=given.get("job_url", row.job_url), headers=given.get("headers", row.headers),
                secret_env=given.get("secret_env", row.secret_env),
                expected_status=given.get("expected_status", row.expected_status),
                trusted=permissions.may(user, Perm.MANAGE) or not set(OUTSIDE) & set(given),
            )  # fmt: skip
        except outside.Refused as error:
            raise serializers.ValidationError({error.field: [str(error)]}, code="outside") from error


OUTSIDE = ("job_url", "method", "headers", "secret_env", "expected_status")


class JobChange(Outside):
    isActive = serializers.BooleanField(source="is_active", required=False)
    schedule = ScheduleField(required=False, validators=[validate_schedule], help_text="Five cron fields, or @daily.")
    timezone = serializers.CharField(required=False, max_length=64, validators=[validate_timezone])
    timeoutSeconds = serializers.IntegerField(
        source="timeout_seconds", required=False, min_value=1, max_value=LONGEST_SECONDS
    )
    catchUp = serializers.ChoiceField(
        CronJob.CatchUp.choices, source="catch_up", required=False, help_text="What becomes of slots that were missed."
    )


class NewJob(JobChange):
    """A job that calls an outside URL."""

    jobName = serializers.RegexField(
        outside.JOB_NAME, source="job_name", max_length=100,
        validators=[UniqueValidator(CronJob.objects.all(), message="There is a job of that name.")],
    )  # fmt: skip
    url = serializers.CharField(source="job_url", max_length=500, help_text="https://…")
    schedule = ScheduleField(validators=[validate_schedule], help_text="Five cron fields, or @daily.")
    integration = serializers.SlugField(
        required=False, allow_null=True, default=None, help_text="It is skipped while that is off or not connected."
    )


def _shown(column: str) -> str:
    return {"job_url": "url", "secret_env": "secretEnv", "expected_status": "expectedStatus"}.get(column, column)


class JobAnswer(serializers.Serializer[Any]):
    job = JobRow()


class JobView(ApiView):
    permissions = {"GET": Perm.READ, "PATCH": Perm.MANAGE, "DELETE": Perm.MANAGE}
    runnable: Callable[[CronJob], bool] = staticmethod(lambda job: True)

    @extend_schema(tags=["Jobs"], operation_id="getCronJob", responses=JobAnswer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """One job."""
        return Response({"job": JobRow(get_job(request, job_id, Perm.READ)).data})

    @extend_schema(tags=["Jobs"], operation_id="changeCronJob", request=JobChange, responses=JobAnswer)
    def patch(self, request: Request, job_id: UUID) -> Response:
        """Change what is given and nothing else; beat follows within seconds."""
        job = get_job(request, job_id, Perm.MANAGE)
        asked = JobChange(data=request.data)
        asked.is_valid(raise_exception=True)
        if job.is_outside:
            asked.check(request.user, job)
        elif given := [name for name in OUTSIDE if name in asked.validated_data]:
            words = "This job is work of ours: it calls no address."
            raise serializers.ValidationError({_shown(name): [words] for name in given}, code="not_outside")
        changed = services.change(
            job, actor=actor.of(request), wanted=asked.validated_data, runnable=self.runnable(job)
        )
        return Response({"job": JobRow(changed).data})

    @extend_schema(
        tags=["Jobs"], operation_id="removeCronJob",
        responses={204: None, 409: OpenApiResponse(description="`declared`: it is work of ours")},
    )  # fmt: skip
    def delete(self, request: Request, job_id: UUID) -> Response:
        """Take an outside job away, with its ledger. Work of ours can only be switched off."""
        job = get_job(request, job_id, Perm.MANAGE)
        if not job.is_outside:
            raise Problem(409, "declared", f"{job.job_name} belongs to this system: switch it off instead.")
        services.remove(job, actor=actor.of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobsView(JobsListView):
    """The list, and adding to it. `reserved`: names that this system's own jobs have or will have."""

    permissions = {"GET": Perm.READ, "POST": Perm.MANAGE}

    @extend_schema(tags=["Jobs"], operation_id="addCronJob", request=NewJob, responses={201: JobAnswer})
    def post(self, request: Request) -> Response:
        """A job that calls an outside URL on a schedule. One of no integration needs the permission for all."""
        asked = NewJob(data=request.data)
        asked.is_valid(raise_exception=True)
        asked.check(request.user)
        wanted = dict(asked.validated_data)
        if slug := wanted.pop("integration"):
            wanted["integration"] = get_integration(request, slug, Perm.MANAGE)
        elif not permissions.may(request.user, Perm.MANAGE):
            activity.record_refusal(actor=actor.of(request), where=place(request), details={"path": request.path})
            raise exceptions.PermissionDenied
        job = services.add(actor=actor.of(request), wanted=wanted)
        return Response({"job": JobRow(job).data}, status=status.HTTP_201_CREATED)
