"""What happened to a delivery, step by step, in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from webhooks.models import Attempt, Forward, WebhookLog
from webhooks.services import backfill

Status = WebhookLog.Status


@dataclass(frozen=True, slots=True)
class Step:
    """`at` may lie ahead: then it is what comes next. `attempt`: the try that it was."""

    at: datetime
    what: str
    attempt: Attempt | None = None


def of(log: WebhookLog, attempts: Iterable[Attempt], forward: Forward | None) -> list[Step]:
    """From the provider's sending to the next try, oldest first."""
    moments: list[tuple[datetime | None, str, Attempt | None]] = [
        (log.sent_at, _("Sent by the provider"), None),
        (log.created_at, _beginning(log), None),
        (log.stored_at, _("Stored"), None),
        (log.revived_at, _("Revived: the provider sent it once more"), None),
        *((attempt.at, _tried(attempt), attempt) for attempt in attempts),
        (log.started_at, _("Picked up by a worker"), None),
        (log.processed_at, _("Found to be a duplicate") if log.status == Status.DUPLICATE else _("Done"), None),
        (log.next_attempt_at, _("Next try"), None),
    ]
    if forward:
        delivered = forward.status == Forward.Status.DELIVERED
        moments += [
            (forward.done_at, _("Taken by the target") if delivered else _("Forwarding stopped"), None),
            (forward.due_at, _("Next try to forward it"), None),
        ]
    steps = (Step(at, what, attempt) for at, what, attempt in moments if at is not None)
    return sorted(steps, key=lambda step: step.at)


def _beginning(log: WebhookLog) -> str:
    if log.replay_of:
        return _("Replay asked for")
    if log.verification == backfill.WORDS:
        return _("Fetched from the provider's own list")
    return _("Test made") if log.is_test else _("Received")


def _tried(attempt: Attempt) -> str:
    said = attempt.error or (f"HTTP {attempt.status_code}" if attempt.status_code else _("done"))
    result = said.splitlines()[0][:300]
    if attempt.target == "handler":
        return _("Handled: {result}").format(result=result)
    return _("Forwarded to {target}: {result}").format(target=attempt.target, result=result)
