"""What is personal in events: shown on record only, and dropped before the event that it came with.

The event stays: its key, its status, what became of it, how many bytes came and their SHA-256. Its bytes go, and its
fields become a marker. Each batch is one transaction with an entry that tells of it, and no row is looked at twice:
who is killed is followed by one that goes on from there. What still waits keeps everything, for without it it could
not be done.
"""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Min, OuterRef, QuerySet

from integrations import activity, progress
from integrations.actor import SYSTEM, Actor
from webhooks import privacy
from webhooks.models import Attempt, Refusal, Webhook, WebhookLog
from webhooks.services import prune

BATCH = 500
"""Events in one transaction."""
READ = 50
"""Of those, so many in memory at a time: each may have a megabyte."""


# --- Showing ---------------------------------------------------------------------------------------------------------


def tell(log: WebhookLog, *, actor: Actor, how: str) -> None:
    """Write down that somebody is about to see what is personal in it; committed when this returns. `how`: page,
    download or api."""
    activity.record(
        actor=actor,
        action="webhook_personal_shown",
        integration=log.webhook.integration,
        details={"webhook": log.webhook.webhook_url, "log": log.pk, "event_type": log.event_type, "how": how},
    )


# --- Dropping --------------------------------------------------------------------------------------------------------


def keeps_days(webhook: Webhook) -> int | None:
    """After so many days what is personal goes; None: nothing is."""
    spec = webhook.integration.spec
    if spec is None or spec.webhook is None or not spec.webhook.personal:
        return None
    return max(1, spec.webhook.personal_days or settings.PERSONAL_RETENTION_DAYS)


def run(
    *,
    now: datetime,
    dry_run: bool = False,
    days: int | None = None,
    budget_seconds: float = 100.0,
    actor: Actor = SYSTEM,
) -> dict[str, Any]:
    """Drop what has had its time, or with `dry_run` count the events. `days` stands in for what is set.

    What is not reached within the budget is left for the next time, and the summary says so.
    """
    ends = time.monotonic() + budget_seconds
    dropped: dict[str, int] = {}
    for webhook in Webhook.objects.select_related("integration").order_by("webhook_url"):
        kept = keeps_days(webhook)
        if kept is None:
            continue
        before = now - timedelta(days=kept if days is None else days)
        if dry_run:
            number = _aged(webhook, before).count() + _repeated(webhook, now, before).count()
        else:
            number = _drop(webhook, before, now, actor, ends)
        if number:
            dropped[webhook.webhook_url] = number
    return {
        "dry_run": dry_run,
        "dropped": dropped,
        "total": sum(dropped.values()),
        "finished": time.monotonic() < ends,
    }


def _aged(webhook: Webhook, before: datetime) -> QuerySet[WebhookLog]:
    rows = prune.done(webhook, before=before).filter(personal_dropped_at=None, status__in=prune.DONE)
    if webhook.personal_dropped_to:
        rows = rows.filter(created_at__gte=webhook.personal_dropped_to)
    return rows


def _repeated(webhook: Webhook, now: datetime, before: datetime) -> QuerySet[WebhookLog]:
    """Replays that are younger than that: they repeat what was dropped, or what is gone altogether."""
    whole = WebhookLog.objects.filter(pk=OuterRef("replay_of"), personal_dropped_at=None)
    rows = prune.done(webhook, before=now).filter(
        replay_of__isnull=False, personal_dropped_at=None, created_at__gte=before, status__in=prune.DONE
    )
    return rows.filter(~Exists(whole))


def _drop(webhook: Webhook, before: datetime, now: datetime, actor: Actor, ends: float) -> int:
    Refusal.objects.filter(webhook=webhook, created_at__lt=before).delete()  # they go in a week, if this isn't sooner
    dropped = 0
    while time.monotonic() < ends:
        rows = _aged(webhook, before).order_by("created_at", "id")
        pks = list(rows.values_list("pk", flat=True)[:BATCH])
        if not pks:
            _remember(webhook, before)
            pks = list(_repeated(webhook, now, before).order_by("created_at").values_list("pk", flat=True)[:BATCH])
        if not pks:
            break
        dropped += _batch(webhook, pks, now, actor)
        progress.tell(f"What is personal was dropped from {dropped:,} events so far.", dropped=dropped)
    return dropped


def _remember(webhook: Webhook, before: datetime) -> None:
    """Up to where nothing is left: the oldest that still waits. What stands below is not looked through again."""
    left = WebhookLog.objects.filter(webhook=webhook, created_at__lt=before, personal_dropped_at=None)
    if webhook.personal_dropped_to:
        left = left.filter(created_at__gte=webhook.personal_dropped_to)
    upto = left.aggregate(oldest=Min("created_at"))["oldest"] or before
    if webhook.personal_dropped_to is None or upto > webhook.personal_dropped_to:
        webhook.personal_dropped_to = upto
        Webhook.objects.filter(pk=webhook.pk).update(personal_dropped_to=upto)


@transaction.atomic
def _batch(webhook: Webhook, pks: list[UUID], now: datetime, actor: Actor) -> int:
    paths = privacy.personal(webhook.integration.spec)
    dropped = 0
    for start in range(0, len(pks), READ):
        some = WebhookLog.objects.filter(pk__in=pks[start : start + READ])
        dropped += sum(_one(log, paths, now) for log in some)
    if dropped:
        activity.record(
            actor=actor,
            action="webhook_personal_dropped",
            integration=webhook.integration,
            details={"webhook": webhook.webhook_url, "events": dropped},
        )
    return dropped


def _one(log: WebhookLog, paths: tuple[str, ...], now: datetime) -> bool:
    """False: it waits again meanwhile, and keeps everything."""
    size, digest = (None, None) if log.part_of else log.what_came()
    still = WebhookLog.objects.filter(pk=log.pk, due_at=None, personal_dropped_at=None)
    mine = still.update(
        personal_dropped_at=now,
        payload=privacy.drop(log.payload, paths),
        fetched=privacy.drop(log.fetched, paths),
        body=b"",
        body_size=size,
        body_sha256=digest,
        query_string="",
        error_message=privacy.struck(log.error_message, log.payload, paths),
        traceback="",
    )
    if mine:
        Attempt.objects.filter(log=log.pk).exclude(answer="").update(answer="")
    return bool(mine)
