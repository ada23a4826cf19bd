"""Celery's doors: each loads what it needs, calls a service, and bears being run twice."""

from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.utils import timezone

from config import schedule, wakeup
from config.interrupting import within
from healthchecks import services as health
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from webhooks.services import forward as forwards
from webhooks.services import replay as replays

A_MOMENT = timedelta(seconds=5)
WAKE_SECONDS = 330
"""What a wake-up may take at the most: each stops by itself long before."""


@shared_task(name=wakeup.DRAIN, time_limit=WAKE_SECONDS)
def drain() -> None:
    schedule.drain()


@shared_task(name=wakeup.LOOK, time_limit=WAKE_SECONDS)
def look() -> None:
    schedule.drain_and_look_ahead()


@shared_task(name=wakeup.FORWARD, time_limit=WAKE_SECONDS)
def forward() -> None:
    schedule.forward()


@shared_task(name=wakeup.REPLAY, time_limit=WAKE_SECONDS)
def replay() -> None:
    schedule.replay()


@shared_task(name=wakeup.REVERIFY, time_limit=WAKE_SECONDS)
def reverify() -> None:
    schedule.reverify()


@shared_task(name=wakeup.SWEEP, time_limit=WAKE_SECONDS)
def sweep() -> None:
    schedule.sweep()


@shared_task(name=wakeup.ALERT, time_limit=WAKE_SECONDS)
def alert() -> None:
    schedule.send_alerts()


@shared_task(name=cron.TASK)
def run_job(job_id: str, slot: str = "") -> None:
    """Beat says that a slot of this job has come; or that one (ISO 8601) was missed and is to run late."""
    job = CronJob.objects.select_related("integration").filter(pk=job_id, is_active=True).first()
    work = schedule.work_of(job) if job else None
    if job is None or work is None:
        return
    now = timezone.now()
    promised = datetime.fromisoformat(slot) if slot else cron.announced(job, now)
    if not slot and now - promised > cron.waits(job, promised):
        return  # beat is back and makes good on what it missed; whether that is still run is for the job to say
    ending = within(work, job.timeout_seconds, lambda: cron.ended_by(job))
    cron.run(job, ending, scheduled_for=promised, trigger=CronRun.Trigger.SCHEDULE, held=schedule.held(job), now=now)


@shared_task(name=wakeup.START)
def start_run(run_id: str) -> None:
    """A run was asked for; whoever comes first does it."""
    if (entry := cron.pick_up(run_id, now=timezone.now())) is None:
        return
    work = _stopped(words) if (words := cron.lost(entry)) else schedule.work_of(entry.job) or _nothing_to_do
    cron.carry_out(entry.job, entry, within(work, entry.job.timeout_seconds, lambda: cron.ended_by(entry.job)))


def _nothing_to_do(**_: Any) -> dict[str, Any]:
    raise cron.NotDone("This version can't do it.", {})


def _stopped(words: str) -> cron.Work:
    def nothing(**_: Any) -> dict[str, Any]:
        raise cron.Cancelled(words)

    return nothing


@worker_ready.connect
def look_at_once(**_: Any) -> None:
    """A worker that has just started finds what waited while there was none, and as soon as their leases are over what
    the one before it held when it was killed."""
    now = timezone.now()
    wakeup.sweep_at(now)
    wakeup.sweep_at(now + health.LEASE + A_MOMENT)
    wakeup.look()
    for lease in (replays.LEASE, timedelta(seconds=settings.WEBHOOK_LEASE_SECONDS), forwards.LEASE):
        wakeup.look_at(now + lease + A_MOMENT)
