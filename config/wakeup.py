"""Wake-up messages to the workers. Each is only a hint: the row it is about falls due whether it arrives or not."""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from config.celery import app
from integrations.models import Integration
from webhooks.wake import Waker

log = logging.getLogger(__name__)

DRAIN, LOOK, FORWARD, SWEEP = "webhooks.drain", "webhooks.look", "webhooks.forward", "health.sweep"
REPLAY, REVERIFY, ALERT = "webhooks.replay", "webhooks.reverify", "alerts.send"
START, CATCH_UP = "cron.start", "cron.run"
QUEUE = "integrations"
ENOUGH = 20
"""Wake-ups that wait already: one more would tell the workers nothing new."""
NO_RETRY: dict[str, Any] = {"retry": False, "ignore_result": True}


def drain() -> None:
    """There are webhook events to process. May raise or block as the broker does: call it from a side thread."""
    with app.producer_pool.acquire(block=True) as producer:
        channel: Any = producer.channel
        if channel.queue_declare(QUEUE).message_count < ENOUGH:
            app.send_task(DRAIN, expires=60, producer=producer, **NO_RETRY)


def look() -> None:
    """Process what is due, and find what a worker that was killed left behind."""
    _send(LOOK, 0)


_looker = Waker(look)


def look_soon() -> None:
    """The same. Never blocks: a person waits."""
    _looker.wake()


def look_at(moment: datetime) -> None:
    """The same, at `moment`."""
    _later(LOOK, moment)


def forward_at(moment: datetime | None) -> None:
    """There is something to forward at `moment`."""
    _later(FORWARD, moment)


_forwarder = Waker(lambda: _send(FORWARD, 0))


def forward_soon() -> None:
    """The same, now. Never blocks: a person waits."""
    _forwarder.wake()


def drain_at(moment: datetime | None) -> None:
    """Come back at `moment`, if that is soon; the sweep of every minute covers what is later."""
    _later(DRAIN, moment)


_replayer = Waker(lambda: _send(REPLAY, 0))


def replay() -> None:
    """There is a bulk replay to go on with. Never blocks."""
    _replayer.wake()


def replay_at(moment: datetime | None) -> None:
    """Go on with it at `moment`."""
    _later(REPLAY, moment)


_reverifier = Waker(lambda: _send(REVERIFY, 0))


def reverify() -> None:
    """There are refused deliveries to judge again. Never blocks."""
    _reverifier.wake()


def reverify_at(moment: datetime | None) -> None:
    """Go on with that at `moment`."""
    _later(REVERIFY, moment)


_sweeper = Waker(lambda: _send(SWEEP, 0))


def sweep() -> None:
    """Check what is due. Never blocks: a person waits for the page that asked."""
    _sweeper.wake()


def start(run_id: UUID) -> None:
    """A run was asked for."""
    _send(START, 0, str(run_id))


def catch_up(job_id: UUID, slot: datetime) -> None:
    """A slot was missed, and is to run late."""
    _send(CATCH_UP, 0, str(job_id), slot.isoformat())


def alert_at(moment: datetime | None) -> None:
    """There are alerts to send at `moment`."""
    _later(ALERT, moment)


def check_soon(integration: Integration) -> None:
    """Check this one, for something about it has changed. Never blocks: a person waits."""
    Integration.objects.filter(pk=integration.pk, is_active=True).update(check_due_at=timezone.now())
    sweep()


def sweep_at(moment: datetime | None) -> None:
    """Look again at a suspicion."""
    _later(SWEEP, moment)


def _later(task: str, moment: datetime | None) -> None:
    if moment is None:
        return
    seconds = (moment - timezone.now()).total_seconds()
    if seconds < 60:
        _send(task, max(0.0, seconds) + 0.5)


def _send(task: str, countdown: float, *args: str) -> None:
    try:
        app.send_task(task, args=args, countdown=countdown, expires=countdown + 300, **NO_RETRY)
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises; a hint must harm nobody
        log.warning("%s could not be announced (%s)", task, error)
