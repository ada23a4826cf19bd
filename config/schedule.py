"""The whole clock: the declared jobs. They become rows, which admins may change, which drive django-celery-beat."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from config import handlers, wakeup, words
from healthchecks import deadman, rollups
from healthchecks import prune as prune_calls
from healthchecks import services as health
from healthchecks.alerts import alarms, outbox
from integrations import retention
from integrations.cron import outside
from integrations.cron import services as cron
from integrations.cron.models import CronJob
from oauth import services as oauth
from oauth.models import Token
from webhooks.models import LaneMinute, WebhookLog
from webhooks.services import backfill, personal, process, prune, registrations, silence
from webhooks.services import forward as forwards
from webhooks.services import replay as replays
from webhooks.services import reverify as reverifications


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`schedule` is five cron fields in `timezone`; `work` does it and returns a summary for people.

    `catches_up`: of slots that were missed the latest runs late. `alone`: it looks itself whether its integration is
    on and connected; else it is skipped while that isn't so.

    Without `work` the job is known but this version can't do it yet: its row is there, switched off.
    """

    name: str
    schedule: str
    work: Callable[..., dict[str, Any]] | None = None
    integration: str | None = None
    timezone: str = "Africa/Johannesburg"
    timeout_seconds: int = 300
    catches_up: bool = False
    alone: bool = False

    @property
    def url(self) -> str:
        return f"/api/cron/{self.name}"


def check_health() -> dict[str, Any]:
    """The sweep at its turn, and what follows from it; then whoever waits outside for a sign of life gets one.

    Raises cron.NotDone when a check broke.
    """
    done = sweep()
    deadman.call()
    if done["broken"]:
        raise cron.NotDone(done["message"], done)
    return done


def sweep() -> dict[str, Any]:
    done = health.sweep()
    wakeup.sweep_at(done.recheck_at)
    summary = done.as_dict() | look_for_trouble()
    return {"message": words.of_sweep(summary)} | summary


def look_for_trouble() -> dict[str, Any]:
    """Open alarms and close them, and wake whoever sends what people are to be told."""
    done = alarms.watch(now=timezone.now())
    if outbox.due(now=timezone.now()):
        wakeup.alert_at(timezone.now())
    return asdict(done)


def send_alerts() -> dict[str, Any]:
    """Send what is due, and come back for what failed in it."""
    done = outbox.run_due()
    wakeup.alert_at(done.next_due_at)
    return done.as_dict()


def keep_tokens_fresh() -> dict[str, Any]:
    """Renew tokens; of a grant that turns out to be dead people are told at once."""
    done = oauth.keep_fresh()
    if done["failed"]:
        look_for_trouble()
    return done


def drain() -> dict[str, Any]:
    """Process what is due, and come back for what failed in it; not for all that waits: wake-ups would multiply."""
    done = process.drain(handlers.TABLE)
    wakeup.drain_at(done.next_due_at)
    if done.planned:
        wakeup.forward_at(timezone.now())
    if health.heard_from(done.heard_from, now=timezone.now()):
        wakeup.sweep()
    return done.as_dict()


def work_on(log: WebhookLog) -> None:
    """Process one event that is due, now, and come back for what follows from it."""
    done = process.Summary()
    process.run(log, handlers.TABLE, done)
    wakeup.drain_at(done.next_due_at)
    if done.planned:
        wakeup.forward_at(timezone.now())


def forward() -> dict[str, Any]:
    """Pass on what is due, and come back for what failed in it."""
    done = forwards.run_due()
    wakeup.forward_at(done.next_due_at)
    return done.as_dict()


def replay() -> dict[str, Any]:
    """Go on with bulk replays, and come back when workers have caught up with them."""
    done = replays.run_due()
    if done.queued:
        wakeup.drain_at(timezone.now())
    wakeup.replay_at(done.next_due_at)
    return {"replayed": done.queued}


def reverify() -> dict[str, Any]:
    """Go on with judging again what was refused, and come back for the rest."""
    done = reverifications.run_due()
    if done.released:
        wakeup.drain_at(timezone.now())
    wakeup.reverify_at(done.next_due_at)
    return {"released": done.released}


def drain_and_look_ahead() -> dict[str, Any]:
    """The same, and once more within the minute if something falls due that no message announces.

    Then a look whether something that should have come didn't (at each webhook every few minutes), and whether people
    should be told of anything.
    """
    summary = drain()
    wakeup.drain_at(process.next_due(timezone.now()))
    wakeup.forward_at(timezone.now())
    wakeup.replay_at(timezone.now())
    if reverifications.due(now=timezone.now()):
        wakeup.reverify_at(timezone.now())
    if health.outage_to_look_at(timezone.now()):
        wakeup.sweep()
    summary |= watch_ledger() | asdict(silence.watch(now=timezone.now())) | look_for_trouble()
    return {"message": words.of_drain(summary)} | summary


def clean_up(*, dry_run: bool = False, days: int | None = None) -> dict[str, Any]:
    """`days` stands in for what each webhook says itself; `dry_run` only counts. Then what is personal in the events
    that stay goes, once it has had its own time."""
    now = timezone.now()
    done = prune.run(now=now, dry_run=dry_run, days=days, budget_seconds=160) | {
        "runs_forgotten": cron.forget_old(now=now, dry_run=dry_run)
    }
    dropped = personal.run(now=now, dry_run=dry_run)
    done |= {"personal_dropped": dropped["dropped"], "finished": done["finished"] and dropped["finished"]}
    if not dry_run:
        done["alarms_forgotten"] = alarms.forget_old(now=now)
    return {"message": words.of_cleaning(done)} | done


def roll_up() -> dict[str, Any]:
    """Count the hours that are over, then remove what has had its time."""
    now = timezone.now()
    done, removed = rollups.roll(now=now), prune_calls.run(now=now)
    return {"message": words.of_roll_up(done.words, removed), **asdict(done), "removed": removed}


def sync_zoho() -> dict[str, Any]:
    """Renew Zoho CRM's channels and see what the others have registered; then take in what Zoho Billing told nobody.

    Raises cron.NotDone when something may be missing still. That there is nothing to ask with is told elsewhere.
    """
    now = timezone.now()
    looked, filled = registrations.look_at_all(now=now), backfill.run(now=now)
    if filled.number:
        wakeup.look_soon()
    told = f"{looked.words} {filled.words}"
    done = {"message": told} | looked.as_dict() | filled.as_dict() | look_for_trouble()
    if looked.failed or filled.failed:
        raise cron.NotDone(told, done)
    return done


def watch_ledger() -> dict[str, Any]:
    """Slots that nobody made good on; runs that were asked for and that nobody has begun."""
    now = timezone.now()
    others = CronJob.objects.filter(is_active=True).exclude(job_name__in=list(BY_NAME))
    names = [job.name for job in JOBS if job.work] + [job.job_name for job in others if job.is_outside]
    seen = cron.watch(now=now, runnable=names, signs=_signs)
    for job, slot in seen.catch_up.items():
        wakeup.catch_up(job, slot)
    for run in seen.waiting:
        wakeup.start(run)
    return {"slots_missed": seen.slots_missed, "slots_unknown": seen.slots_unknown}


def _signs(start: datetime, end: datetime) -> list[datetime]:
    """When we are known to have run: each web process says so every few minutes, and so do runs."""
    minutes = LaneMinute.objects.filter(minute__gte=start, minute__lte=end).values_list("minute", flat=True)
    return sorted({*minutes.distinct(), *cron.signs_of_runs(start, end)})


def held(job: CronJob) -> str:
    """Why a job isn't done just now, "" where nothing speaks against it."""
    declared, row = BY_NAME.get(job.job_name), job.integration
    if row is None or (declared and declared.alone):
        return ""
    if not row.is_active:
        return _("{name} is switched off").format(name=row.name)
    token = Token.objects.select_related("grant").filter(integration=row).first() if row.requires_oauth else None
    if row.requires_oauth and oauth.needs_connecting(token):
        return _("{name} has to be connected first").format(name=row.name)
    return ""


def let_go() -> dict[str, Any]:
    """Each night: drop what is personal in events that have had its time, then remove old entries of the activity log.
    Raises cron.NotDone when those were tampered with: then they stay."""
    now = timezone.now()
    dropped = personal.run(now=now, budget_seconds=80)
    done = retention.run(now=now, budget_seconds=160)
    done |= {
        "message": words.of_letting_go(done["message"], dropped),
        "personal_dropped": dropped["dropped"],
        "finished": done["finished"] and dropped["finished"],
    }
    if done["findings"]:
        raise cron.NotDone(done["message"], done)
    return done


JOBS = (
    Job(name="integrations-health-check", schedule="*/15 * * * *", work=check_health),
    Job(name="webhooks-process-due", schedule="* * * * *", work=drain_and_look_ahead, timeout_seconds=60),
    Job(name="oauth-auto-refresh", schedule="*/5 * * * *", work=keep_tokens_fresh),
    Job(name="cleanup-webhook-logs", schedule="0 3 * * 0", work=clean_up, catches_up=True),
    Job(name="metrics-rollup", schedule="5 * * * *", work=roll_up, catches_up=True),
    Job(
        name="zoho-sync",
        schedule="0 0 * * *",
        work=sync_zoho,
        integration="zoho-billing",
        timeout_seconds=600,
        catches_up=True,
        alone=True,
    ),
    Job(name="activity-retention", schedule="30 2 * * *", work=let_go, catches_up=True),
)

BY_NAME = {job.name: job for job in JOBS}


def is_runnable(job: CronJob) -> bool:
    """Whether this version can do it."""
    return work_of(job) is not None


def work_of(job: CronJob) -> cron.Work | None:
    """What it does: declared work, or a call to its address."""
    if (declared := BY_NAME.get(job.job_name)) is not None:
        return declared.work
    return partial(outside.call, job) if job.is_outside else None
