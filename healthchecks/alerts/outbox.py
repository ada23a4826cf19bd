"""Sending what is due. A row is claimed, sent outside any transaction, and stamped only after its channel took it.

A worker that dies in between leaves a row that falls due again: at most one repeat, never none. The routes go side by
side, and one that hangs holds up no other. A fallback is let go as soon as every first route has been tried once and
none took it.
"""

import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from healthchecks.alerts import channels, routes, stamps, telling, words
from healthchecks.alerts.channels import Message
from healthchecks.models import Alert, Delivery
from integrations import mandate
from integrations.due import in_hand
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from webhooks.services.receive import storable

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
"""Longer than any channel takes."""
WAITS = (60, 300, 900, 1800, 3600, 3600, 7200)
"""Seconds until the next try: five hours in all. Then it has failed, and the alarm is told anew at its next turn."""
THREADS = 8
SLOW_SECONDS = 5.0
"""A route that failed after so long hangs: what else is due by it is not tried in this round."""

Status = Delivery.Status


@dataclass(slots=True)
class Summary:
    """`next_due_at`: when the first of those that failed is tried again."""

    sent: int = 0
    failed: int = 0
    next_due_at: datetime | None = None

    def as_dict(self) -> dict[str, int]:
        return {"alerts_sent": self.sent, "alerts_failed": self.failed}


def due(*, now: datetime) -> bool:
    return Delivery.objects.filter(due_at__lte=now).exists()


def idle(rows: "stamps.Deliveries", *, now: datetime) -> "stamps.Deliveries":
    """Those that wait, and that no worker is sending just now."""
    return rows.filter(Q(due_at=None) | ~in_hand(now=now, lease=LEASE), status=Status.WAITING)


def run_due(*, budget_seconds: float = 45.0, only: Alert | None = None) -> Summary:
    """Send what is due (of `only`), and what that lets go, until nothing is left or the budget is spent."""
    summary, ends = Summary(), time.monotonic() + budget_seconds
    drop_lost(now=timezone.now())
    hung: set[tuple[int, str]] = set()
    while time.monotonic() < ends:
        waiting = _waiting(only)
        if not waiting:
            break
        with ThreadPoolExecutor(THREADS, thread_name_prefix="alerts") as threads:
            tasks = [
                threads.submit(copy_context().run, _run_in_thread, rows, key in hung, ends)
                for key, rows in waiting.items()
            ]
        for key, task in zip(waiting, tasks, strict=True):
            done, hangs = task.result()
            summary.sent, summary.failed = summary.sent + done.sent, summary.failed + done.failed
            if done.next_due_at:
                summary.next_due_at = min(summary.next_due_at or done.next_due_at, done.next_due_at)
            if hangs:
                hung.add(key)
    return summary


def _waiting(only: Alert | None) -> dict[tuple[int, str], list[Delivery]]:
    """By route, those that are due: the longest waiting first."""
    rows = Delivery.objects.due(timezone.now()).select_related("alert")
    found: dict[tuple[int, str], list[Delivery]] = {}
    for row in (rows if only is None else rows.filter(alert=only))[:200]:
        found.setdefault((row.position, row.route), []).append(row)
    return found


def _run_in_thread(rows: Sequence[Delivery], hangs: bool, ends: float) -> tuple[Summary, bool]:
    summary = Summary()
    try:
        for row in rows:
            if time.monotonic() >= ends:
                break
            hangs = _try(row, summary, hangs=hangs) or hangs
    finally:
        connection.close()
    return summary, hangs


def _try(row: Delivery, summary: Summary, *, hangs: bool) -> bool:
    """Claim one and send it. True: its route hangs. One whose route is known to hang counts as tried."""
    if not Delivery.objects.claim(row, now=timezone.now(), lease=LEASE):
        return False
    if why := mandate.lost(row.alert.mandate, Perm.MANAGE, []):
        _stop(row, why)
        summary.failed += 1
        return False
    started = time.monotonic()
    name, trouble = "", ""
    if hangs:
        trouble = "Not tried: this route hung a moment ago."
    else:
        name, trouble = _send(row)
    again = settle(row, name=name, trouble=trouble)
    summary.sent += not trouble
    summary.failed += bool(trouble)
    if again:
        summary.next_due_at = min(summary.next_due_at or again, again)
    return bool(trouble) and time.monotonic() - started > SLOW_SECONDS


@transaction.atomic
def _stop(row: Delivery, why: str) -> None:
    """A test of somebody who may no longer ask for one."""
    if Delivery.objects.finish(row, status=Status.FAILED, due_at=None, failed_at=timezone.now(), error=why):
        reserve(row.alert).update(status=Status.SPARED)
        mandate.stop(row.alert.mandate, "a test alert", why, key=f"alert:{row.alert_id}", integration=None)


def _send(row: Delivery) -> tuple[str, str]:
    """What the channel calls it, or why it was not taken."""
    route = routes.find(row.position, row.route)
    if route is None:
        return "", "The settings hold this route no more."
    alert = row.alert
    message = Message(
        subject=alert.subject, text=alert.text, sms=words.sms(alert.subject, alert.text), tone=channels.tone(alert),
        key=str(row.pk), again=row.retry_count > 0,
    )  # fmt: skip
    try:
        return channels.send(route, message), ""
    except ProviderError as error:
        return "", error.words[:1000]
    except Exception as error:  # noqa: BLE001 - whatever a channel raises; the delivery must not vanish for it
        log.error("An alert could not be sent by %s: %s", row.route, type(error).__name__)  # noqa: TRY400 - its words may hold what is secret
        return "", f"The channel broke: {type(error).__name__}."


# --- Routes that are gone --------------------------------------------------------------------------------------------


def drop_lost(*, now: datetime) -> int:
    """Deliveries by routes that the settings hold no more need not wait. Where nobody has heard of what still lasts,
    it is told anew by the routes of now. Returns how many alerts that makes.

    Without any route nothing is dropped: somebody is about to set one.
    """
    labels = {route.label for route in routes.configured()}
    if not labels:
        return 0
    waiting = Delivery.objects.exclude(due_at=None).exclude(route__in=labels)
    return sum(_drop(row, labels, now) for row in idle(waiting, now=now).select_related("alert"))


@transaction.atomic
def _drop(row: Delivery, labels: Collection[str], now: datetime) -> bool:
    alert = row.alert
    alarm = stamps.lock(alert)
    words_of_it = "Not needed: the settings hold this route no more."
    if not Delivery.objects.finish(row, status=Status.SPARED, due_at=None, error=words_of_it):
        return False
    if alarm is None or stamps.outdated(alert, alarm):
        return False
    others = Delivery.objects.filter(alert=alert)
    newest = alarm.alerts.order_by("-created_at", "-id").first()
    if newest != alert or others.filter(sent_at__isnull=False, failed_at=None).exists():
        return False
    if others.filter(route__in=labels).exclude(status=Status.WAITING, due_at=None).exists():
        if not row.fallback and _all_in_vain(alert):
            reserve(alert).update(due_at=now)
        return False
    reserve(alert).update(status=Status.SPARED)
    held_until = row.due_at if row.due_at and not row.attempts else now
    return telling.tell(alarm, alert.kind, now=now, due_at=max(now, held_until)) is not None


# --- Writing down ----------------------------------------------------------------------------------------------------


@transaction.atomic
def settle(row: Delivery, *, name: str, trouble: str) -> datetime | None:
    """What became of a try. Returns when it is tried again. Nothing is written if the claim is lost.

    What has become untrue meanwhile is not tried again: it would arrive after its end.
    """
    now = timezone.now()
    name, trouble = storable(name), storable(trouble)
    alarm = stamps.lock(row.alert)
    if not trouble:
        if Delivery.objects.finish(
            row, status=Status.SENT, due_at=None, sent_at=now, provider_id=name[:200], error=""
        ):
            reserve(row.alert).update(status=Status.SPARED)
            stamps.told(row.alert, alarm, now=now)
        return None
    if untrue := stamps.outdated(row.alert, alarm):
        Delivery.objects.finish(row, status=Status.SPARED, due_at=None, error=f"{untrue} {trouble}")
        return None
    again = now + timedelta(seconds=WAITS[row.attempts - 1]) if row.attempts <= len(WAITS) else None
    ended = {} if again else {"status": Status.FAILED, "failed_at": now}
    held = Delivery.objects.finish(row, due_at=again, error=trouble, **ended)
    if held and not row.fallback and _all_in_vain(row.alert):
        reserve(row.alert).update(due_at=now)
    return again if held else None


def reserve(alert: Alert) -> "stamps.Deliveries":
    """Its fallbacks that nobody has asked for yet."""
    return Delivery.objects.filter(alert=alert, status=Status.WAITING, due_at=None)


def _all_in_vain(alert: Alert) -> bool:
    """Every first route was tried, and none took it. One in a worker's hands is not yet tried."""
    first = Delivery.objects.filter(alert=alert, fallback=False)
    untried = first.filter(status=Status.WAITING, error="")
    return not untried.exists() and not first.filter(sent_at__isnull=False, failed_at=None).exists()
