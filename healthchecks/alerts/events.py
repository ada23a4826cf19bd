"""What befell webhooks and jobs: events given up, silence, what a provider has registered, runs that failed."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, OuterRef, Q, QuerySet, Subquery

from healthchecks.alerts import words
from healthchecks.alerts.scene import Finding, Found, Scene, by_pk
from healthchecks.models import Alarm
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from webhooks.models import Forward, Registration, Webhook, WebhookLog
from webhooks.services import silence

GIVEN_UP_WITHIN = timedelta(hours=24)
"""Longer than the longest quiet hours and the pause between two alerts together: none goes untold."""
OFTEN = timedelta(minutes=15)
IN_A_ROW = 3
"""A job that runs more often than that is told of only after so many failures in a row."""

NOTICED_WITHIN = timedelta(hours=6)
"""So long missed slots are amiss after they were noticed: what is missed meanwhile is told no second time."""

KEYS = ("webhooks:", "forwards:", "stopped:", "drift:", "silence:", "job:", "slots:")
"""How the keys of all that is found here begin."""

Status = CronRun.Status
_BAD = {Status.FAILED: "failed", Status.TIMEOUT: "ran out of time"}


def find(scene: Scene, *, explained: Collection[str]) -> Found:
    hooks = Webhook.objects.filter(integration__in=by_pk(scene.watched), is_active=True)
    webhooks = list(hooks.select_related("integration", "rhythm"))
    found = Found()
    with found.judging("webhook events given up", "webhooks:"):
        found.findings += _given_up(webhooks, scene.now)
    with found.judging("forwards", "forwards:", "stopped:"):
        found.findings += [*_forwards_given_up(webhooks, scene.now), *_forwards_stopped(webhooks)]
    with found.judging("registrations", "drift:"):
        found.findings += _drift(webhooks)
    with found.judging("silence", "silence:"):
        for finding in _silences(webhooks):
            if finding.about[0] in explained:
                found.unsure.add(finding.key)
            else:
                found.findings.append(finding)
    with found.judging("scheduled jobs", "job:"):
        _jobs(scene, found)
    with found.judging("missed slots", "slots:"):
        found.findings += _slots_missed(scene)
    return found


# --- Webhooks --------------------------------------------------------------------------------------------------------


def _given_up(webhooks: list[Webhook], now: datetime) -> Iterator[Finding]:
    rows = WebhookLog.objects.filter(
        webhook__in=by_pk(webhooks), status=WebhookLog.Status.FAILED, verified=True, is_test=False
    )
    for webhook, number in _counted(rows, webhooks, now):
        events = f"{number:,} event{'s' if number > 1 else ''}"
        yield _about_webhook(
            webhook,
            key=f"webhooks:{webhook.pk}",
            title=f"{webhook.integration.name}: {events} given up",
            text=f"In the last 24 h the last try at {events} of {webhook.webhook_url} failed.\n"
            "What to do: open them, mend what their errors name, and replay them. Nothing is lost.",
        )


def _forwards_given_up(webhooks: list[Webhook], now: datetime) -> Iterator[Finding]:
    rows = Forward.objects.filter(webhook__in=by_pk(webhooks), status=Forward.Status.FAILED)
    for webhook, number in _counted(rows, webhooks, now):
        forwards = f"{number:,} forward{'s' if number > 1 else ''}"
        yield _about_webhook(
            webhook,
            key=f"forwards:{webhook.pk}",
            title=f"{webhook.integration.name}: {forwards} given up",
            text=f"In the last 24 h the last try at {forwards} of {webhook.webhook_url} failed.\n"
            "What to do: look at the answers of their target, mend it, and send them again. Nothing is lost.",
        )


def _forwards_stopped(webhooks: list[Webhook]) -> Iterator[Finding]:
    for webhook in webhooks:
        if webhook.forward_url and webhook.forward_stopped_at:
            yield _about_webhook(
                webhook,
                key=f"stopped:{webhook.pk}",
                title=f"{webhook.integration.name}: forwarding has stopped",
                text=f"{webhook.webhook_url}: its target said 410 (gone) {words.moment(webhook.forward_stopped_at)}; "
                "its events are processed, and forwarded no more.\n"
                "What to do: mend the target, then resume forwarding; or take its address away.",
            )


def _counted(rows: QuerySet[Any], webhooks: list[Webhook], now: datetime) -> Iterator[tuple[Webhook, int]]:
    """How many of `rows` were given up lately: for the last time tried, or never fit to be (what can't be read).

    However old they are: what was held, revived or resumed comes to its last try long after it was made.
    """
    since = now - GIVEN_UP_WITHIN
    lately = Q(started_at__gte=since) | Q(started_at=None, created_at__gte=since)
    given_up = rows.filter(lately, due_at=None)
    counts = dict(given_up.order_by().values_list("webhook").annotate(Count("pk")))
    yield from ((webhook, counts[webhook.pk]) for webhook in webhooks if webhook.pk in counts)


def _about_webhook(webhook: Webhook, *, key: str, title: str, text: str) -> Finding:
    return Finding(
        key=key,
        kind=Alarm.Kind.WEBHOOKS,
        severity=Alarm.Severity.WARNING,
        about=(webhook.integration.slug,),
        title=title,
        text=text,
    )


def _silences(webhooks: list[Webhook]) -> Iterator[Finding]:
    by_id = {webhook.pk: webhook for webhook in webhooks}
    for one in silence.open_ones().filter(webhook__in=list(by_id)).order_by("pk"):
        webhook = by_id[one.webhook_id]
        yield Finding(
            key=f"silence:{webhook.pk}",
            kind=Alarm.Kind.SILENCE,
            severity=Alarm.Severity.WARNING,
            about=(webhook.integration.slug,),
            title=f"{webhook.integration.name} sends no webhooks",
            text=f"Nothing came to {webhook.webhook_url} since {words.moment(one.last_received_at)}; more than "
            f"{words.span(timedelta(minutes=one.expected_minutes))} is unusual.\n"
            f"What to do: {words.ADVICE['silence']}",
        )


def _drift(webhooks: list[Webhook]) -> Iterator[Finding]:
    told: dict[Webhook, list[str]] = defaultdict(list)
    by_id = {webhook.pk: webhook for webhook in webhooks}
    for row in Registration.objects.filter(webhook__in=list(by_id)).exclude(finding="").order_by("pk"):
        told[by_id[row.webhook_id]].append(words.sentence(row.finding))
    for webhook, findings in told.items():
        yield Finding(
            key=f"drift:{webhook.pk}",
            kind=Alarm.Kind.DRIFT,
            severity=Alarm.Severity.WARNING,
            about=(webhook.integration.slug,),
            title=f"{webhook.integration.name} has something else registered than we expect",
            text=f"{webhook.webhook_url}: {' '.join(dict.fromkeys(findings))}\n"
            "What to do: register our address again in the provider's console.",
        )


# --- Jobs ------------------------------------------------------------------------------------------------------------


def _jobs(scene: Scene, found: Found) -> None:
    """Those whose last run failed or ran out of time."""
    watched = {row.pk for row in scene.watched}
    decided = CronRun.objects.filter(job=OuterRef("pk"), status__in=[Status.SUCCESS, *_BAD]).order_by("-started_at")
    jobs = CronJob.objects.filter(is_active=True).select_related("integration").order_by("job_name")
    latest = {f"run_{n}": Subquery(decided.values("pk")[n : n + 1]) for n in range(IN_A_ROW)}
    asked = list(jobs.annotate(**latest))
    runs = CronRun.objects.in_bulk([pk for job in asked for name in latest if (pk := getattr(job, name))])
    for job in asked:
        if job.integration_id is not None and job.integration_id not in watched:
            continue
        last = [runs[pk] for name in latest if (pk := getattr(job, name)) in runs]
        with found.judging(f"the job {job.job_name}", _job_key(job)):
            needed = IN_A_ROW if _runs_often(job, scene.now) else 1
            if len(last) >= needed and all(run.status in _BAD for run in last[:needed]):
                found.findings.append(_job(job, last[0], needed))


def _slots_missed(scene: Scene) -> Iterator[Finding]:
    """All that were missed lately together: when beat was off, it was off for every job."""
    noticed = CronRun.objects.filter(status=Status.MISSED, started_at__gte=scene.now - NOTICED_WITHIN)
    rows = noticed.values("job__job_name").annotate(
        n=Count("pk"), first=Min("scheduled_for"), last=Max("scheduled_for")
    )
    found = list(rows.order_by("job__job_name"))
    if not found:
        return
    number = sum(row["n"] for row in found)
    first, last = min(row["first"] for row in found), max(row["last"] for row in found)
    each = [f"{row['job__job_name']}: {row['n']:,}" for row in found]
    yield Finding(
        key="slots:missed",
        kind=Alarm.Kind.SLOTS,
        severity=Alarm.Severity.WARNING,
        about=(),
        title=f"{number:,} slot{'s' if number > 1 else ''} of {len(found)} job{'s' if len(found) > 1 else ''} missed",
        text=f"From {words.moment(first)} to {words.moment(last)} jobs were not started: {'; '.join(each)}.\n"
        "What to do: see whether beat runs, and why it didn't. What catches up has been started; the others run at "
        "their next turn, or by hand.",
    )


def _job_key(job: CronJob) -> str:
    return f"job:{job.job_name}"[:200]


def _runs_often(job: CronJob, now: datetime) -> bool:
    first = cron.next_run(job, now)
    return cron.next_run(job, first) - first < OFTEN


def _job(job: CronJob, run: CronRun, times: int) -> Finding:
    at = words.moment(run.scheduled_for or run.started_at)
    again = f", {times} times in a row" if times > 1 else ""
    return Finding(
        key=_job_key(job),
        kind=Alarm.Kind.JOB,
        severity=Alarm.Severity.WARNING,
        about=(job.integration.slug,) if job.integration else (),
        title=f"The job {job.job_name} {_BAD[Status(run.status)]}{again}"[:200],
        text=f"Its run of {at}: {words.sentence(run.error_message[:500]) or 'no reason was written down.'}\n"
        "What to do: read the run on the job's page; it runs again at its next turn.",
    )
