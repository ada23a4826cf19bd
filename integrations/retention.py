"""Retention of the activity log: what has had its time goes, and what is left still proves itself.

Each batch is one transaction: its rows are proved, its end is signed (an anchor), it goes, and an entry tells of it.
So at every moment what is left begins right above an anchor; who is killed is followed by one that goes on from there.
As long as anything in the stretch to be removed isn't whole, nothing of it goes: that is evidence.
"""

import logging
import time
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import transaction

from integrations import activity, progress
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, ActivityAnchor, ActivityHead

log = logging.getLogger(__name__)

LEAST_DAYS = 30
BATCH = 1000
"""Rows in one transaction: nobody who appends waits longer than that takes, some hundredths of a second."""
MOST = 200_000
"""Rows in one run: they are all proved before the first one goes, and a run has five minutes."""
SHOWN = 5


class NotWhole(Exception):
    """What is to be removed was tampered with. `findings`: the first few."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__(" ".join(findings))
        self.findings = findings


def run(
    *,
    now: datetime,
    keep_days: int | None = None,
    dry_run: bool = False,
    budget_seconds: float = 240.0,
    actor: Actor = SYSTEM,
) -> dict[str, Any]:
    """Remove entries older than `keep_days` (at least 30; ACTIVITY_RETENTION_DAYS), or with `dry_run` count them.

    `from` and `to` are the first and last that went, or would go. `findings` tells what isn't whole: then nothing goes
    from there on. `left`: what is due, but left for the next time.
    """
    ends = time.monotonic() + budget_seconds
    days = max(LEAST_DAYS, settings.ACTIVITY_RETENTION_DAYS if keep_days is None else keep_days)
    due = _due(now - timedelta(days=days))
    wanted = due[:MOST]
    gone: list[range] = []
    findings: list[str] = []
    reached = due.start
    try:
        if wanted:
            _prove(wanted[-1])
        if wanted and dry_run:
            gone, reached = [wanted], wanted.stop
        while reached < wanted.stop and time.monotonic() < ends:
            batch = _remove(wanted[-1], days=days, now=now, actor=actor)
            gone += [batch] if batch else []
            reached = batch.stop if batch else wanted.stop  # another run was faster
            progress.tell(f"{sum(map(len, gone)):,} of {len(due):,} entries removed.", removed=sum(map(len, gone)))
    except NotWhole as error:
        findings = error.findings
    number, left = sum(map(len, gone)), due.stop - reached
    return {
        "dry_run": dry_run,
        "removed": number,
        "from": gone[0][0] if gone else None,
        "to": gone[-1][-1] if gone else None,
        "left": left,
        "finished": not left,
        "findings": findings,
        "message": _words(gone, number, left, findings, days=days, dry_run=dry_run),
    }


def _due(before: datetime) -> range:
    """The numbers of the rows that may go: the oldest, up to the first that is not older than `before`.

    A row that was written by a wrong clock, "older" than what stands below it, takes nothing younger with it. The
    newest row always stays, and so does the head's.
    """
    seqs = Activity.objects.order_by("seq").values_list("seq", flat=True)
    first, newest = seqs.first(), seqs.last()
    if first is None or newest is None:
        return range(0)
    head = ActivityHead.objects.filter(pk=1).values_list("seq", flat=True).first() or 0
    young = seqs.filter(created_at__gte=before).first()
    return range(first, max(first, min(newest, head, newest if young is None else young)))


def _prove(upto: int) -> None:
    findings = list(islice(activity.verify(upto=upto), SHOWN))
    if findings:
        raise NotWhole(findings)


@transaction.atomic
def _remove(upto: int, *, days: int, now: datetime, actor: Actor) -> range:
    """Remove the oldest rows, a batch at most and none above `upto`; which. They are proved once more: what is signed
    here must be what is there."""
    list(ActivityHead.objects.select_for_update().filter(pk=1))  # two at once take turns
    first = Activity.objects.filter(seq__lte=upto).order_by("seq").values_list("seq", flat=True).first()
    if first is None:
        return range(0)
    batch = range(first, min(first + BATCH, upto + 1))
    _prove(batch[-1])
    _anchor(batch[-1], now)
    rows = Activity.objects.filter(seq__lte=batch[-1]).delete()[0]
    told = {"from": batch[0], "to": batch[-1], "rows": rows, "older_than_days": days}
    activity.record(actor=actor, action="activity_removed", details=told)
    return batch


def _anchor(seq: int, now: datetime) -> None:
    """Sign the chain's hash at `seq`. One that stands there already is ours, and agrees: that has just been proved."""
    signed = Activity.objects.values_list("hash", flat=True).get(seq=seq)
    wanted = {"hash": signed, "signature": activity.sign_anchor(seq, signed), "created_at": now}
    ActivityAnchor.objects.get_or_create(seq=seq, defaults=wanted)
    log.info("Activity anchor #%d %s", seq, signed)  # a witness outside the database, as of each row


def _words(gone: list[range], number: int, left: int, findings: list[str], *, days: int, dry_run: bool) -> str:
    some = "1 entry" if number == 1 else f"{number:,} entries"
    done = "would be removed" if dry_run else "was removed" if number == 1 else "were removed"
    what = "Nothing was removed"
    if gone:
        what = f"{some} older than {days} days {done} (#{gone[0][0]} to #{gone[-1][-1]})"
    if findings:
        return f"{what}: what comes next isn't whole, and is kept as evidence. {' '.join(findings)}"
    if left:
        return f"{what}; {left:,} more next time."
    return f"{what}." if gone else f"Nothing to remove: entries are kept for {days} days."
