"""The door for outside schedulers: a job started over HTTP with `CRON_SECRET`, through the same ledger as beat's."""

import secrets
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from config import wakeup
from integrations.actor import Actor, client_ip
from integrations.api import problems
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun

WAIT_SECONDS = 50.0
"""Longer than a sweep takes, shorter than proxies wait. A run that takes longer is answered as running."""
LOOK_SECONDS = 0.25
LONGEST_DAYS = 3650


class BadParameter(ValueError):
    """The text says which, and why."""


@csrf_exempt
@require_http_methods(["GET", "POST"])
def health_check(request: HttpRequest) -> HttpResponseBase:
    """`/api/cron/integrations-health-check`."""
    return _door(request, "integrations-health-check", known=())


@csrf_exempt
@require_http_methods(["GET", "POST"])
def clean_up(request: HttpRequest) -> HttpResponseBase:
    """`/api/cron/cleanup-webhook-logs?dryRun=true&retentionDays=90`."""
    return _door(request, "cleanup-webhook-logs", known=("dryRun", "retentionDays"))


def _door(request: HttpRequest, name: str, *, known: tuple[str, ...]) -> HttpResponseBase:
    if not settings.CRON_SECRET:
        return problems.response(503, "no_secret", "CRON_SECRET is not set: nobody can start jobs from outside.")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    right = secrets.compare_digest(given.strip().encode("utf-8", "replace"), settings.CRON_SECRET.encode())
    if scheme.lower() != "bearer" or not right:
        answer = problems.response(401, "not_authenticated", "Send Authorization: Bearer with the CRON_SECRET.")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="cron"'
        return answer
    try:
        arguments = _arguments(request, known)
    except BadParameter as error:
        return problems.response(400, "invalid", str(error))
    return _start(CronJob.objects.select_related("integration").get(job_name=name), request, arguments)


def _arguments(request: HttpRequest, known: tuple[str, ...]) -> dict[str, Any]:
    if unknown := sorted(set(request.GET) - set(known)):
        raise BadParameter(f"{', '.join(unknown)}: no such parameter.")
    found: dict[str, Any] = {}
    if (told := request.GET.get("dryRun")) is not None:
        if told.lower() not in ("true", "false", "1", "0"):
            raise BadParameter("dryRun is true or false.")
        found["dry_run"] = told.lower() in ("true", "1")
    if (told := request.GET.get("retentionDays")) is not None:
        if not told.isascii() or not told.isdigit() or not 1 <= int(told[:6]) <= LONGEST_DAYS:
            raise BadParameter(f"retentionDays is a number from 1 to {LONGEST_DAYS}.")
        found["days"] = int(told)
    return found


def _start(job: CronJob, request: HttpRequest, arguments: dict[str, Any]) -> JsonResponse:
    try:
        run = cron.ask(
            job, actor=_actor(request), trigger=CronRun.Trigger.EXTERNAL, arguments=arguments, now=timezone.now()
        )
    except cron.AlreadyRunning as error:
        return problems.response(409, "already_running", str(error))
    wakeup.start(run.pk)
    run = _over(run)
    told = {
        "success": run.status in (CronRun.Status.SUCCESS, CronRun.Status.RUNNING),
        "jobId": str(job.pk), "runId": str(run.pk), "status": run.status, "resultSummary": run.result_summary,
    }  # fmt: skip
    return JsonResponse(told | ({"errorMessage": run.error_message} if run.error_message else {}))


def _over(run: CronRun) -> CronRun:
    """The run once it is over, or when nobody would wait any longer."""
    ends = time.monotonic() + WAIT_SECONDS
    while run.status == CronRun.Status.RUNNING and time.monotonic() < ends:
        time.sleep(LOOK_SECONDS)
        run.refresh_from_db()
    return run


def _actor(request: HttpRequest) -> Actor:
    return Actor(
        username="external scheduler",
        ip_address=client_ip(request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")),
        user_agent=request.headers.get("User-Agent", "")[:300],
        request_id=getattr(request, "request_id", ""),
    )
