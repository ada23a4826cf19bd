"""Scheduled jobs: what their schedules mean, and the PeriodicTask that makes django-celery-beat follow a row."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from integrations import activity
from integrations.actor import Actor
from integrations.cron import clock_changes
from integrations.cron.ledger import (
    AlreadyRunning,
    Cancelled,
    NotDone,
    Signs,
    TimedOut,
    Watched,
    Work,
    announced,
    ask,
    cancel,
    carry_out,
    ended_by,
    forget_old,
    lost,
    next_run,
    pick_up,
    run,
    signs_of_runs,
    slot,
    waits,
    watch,
)
from integrations.cron.models import CronJob
from integrations.cron.schedules import describe as in_words

__all__ = [
    "TASK", "AlreadyRunning", "Cancelled", "NotDone", "Signs", "TimedOut", "Watched", "Work", "add", "announced",
    "ask", "cancel", "carry_out", "change", "ended_by", "follow", "forget_old", "in_words", "lost", "next_run",
    "pick_up", "remove", "run", "signs_of_runs", "slot", "waits", "watch",
]  # fmt: skip

TASK = "cron.run"


# --- Beat ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def add(*, actor: Actor, wanted: Mapping[str, Any]) -> CronJob:
    """A job that calls an outside URL, switched on unless `wanted` says otherwise."""
    job = CronJob.objects.create(**wanted)
    follow(job, runnable=True)
    job.refresh_from_db()
    details = {"job": job.job_name, "after": dict(_told(wanted))}
    activity.record(actor=actor, action="cron_added", integration=job.integration, details=details)
    return job


@transaction.atomic
def remove(job: CronJob, *, actor: Actor) -> None:
    """Take away an outside job and its ledger."""
    PeriodicTask.objects.filter(name=job.job_name).delete()
    details = {"job": job.job_name, "runs": job.runs.count()}
    activity.record(actor=actor, action="cron_removed", integration=job.integration, details=details)
    job.delete()


def _told(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """For the log, which is for good: without an address's query, which may hold a key, and what headers say."""
    hidden: dict[str, Callable[[Any], Any]] = {
        "job_url": lambda url: str(url).partition("?")[0],
        "headers": sorted,
        "integration": lambda row: row.slug if row else None,
    }
    return {name: hidden[name](value) if name in hidden else value for name, value in values.items()}


@transaction.atomic
def change(job: CronJob, *, actor: Actor, wanted: Mapping[str, Any], runnable: bool) -> CronJob:
    """Write those columns that differ, with one activity row that says from what to what; beat follows."""
    row = CronJob.objects.select_for_update(of=("self",)).select_related("integration").get(pk=job.pk)
    before = {name: getattr(row, name) for name, value in wanted.items() if value != getattr(row, name)}
    if not before:
        return row
    after = {name: wanted[name] for name in before}
    for name, value in after.items():
        setattr(row, name, value)
    row.save(update_fields=[*after, "updated_at"])
    follow(row, runnable=runnable)
    row.refresh_from_db(fields=["next_run_at"])
    details = {"job": row.job_name, "before": _told(before), "after": _told(after)}
    activity.record(actor=actor, action="cron_changed", integration=row.integration, details=details)
    return row


def follow(job: CronJob, *, runnable: bool) -> None:
    """Make beat do what the row says. `runnable`: this version has work for the job."""
    if not runnable:
        PeriodicTask.objects.filter(name=job.job_name).delete()
        return
    minute, hour, day, month, weekday = job.schedule.split()
    now = timezone.now()
    zone = clock_changes.beat_zone(job.schedule, ZoneInfo(job.timezone), now)
    crontab, _ = CrontabSchedule.objects.get_or_create(
        minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=zone.key
    )
    wanted = {
        "task": TASK,
        "crontab": crontab,
        "args": f'["{job.pk}"]',
        "enabled": job.is_active,
        # A message that waited longer than that would run beside its successor.
        "expire_seconds": int(waits(job, now).total_seconds()),
    }
    current = PeriodicTask.objects.filter(name=job.job_name).first()
    if current is None or any(getattr(current, name) != value for name, value in wanted.items()):
        PeriodicTask.objects.update_or_create(name=job.job_name, defaults=wanted)
        CronJob.objects.filter(pk=job.pk).update(ledger_until=now)  # what was promised before is no longer
    CronJob.objects.filter(pk=job.pk).update(
        next_run_at=next_run(job, now) if job.is_active else None, updated_at=F("updated_at")
    )
