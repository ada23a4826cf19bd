"""Waiting a moment for events that somebody has just asked for."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context

from django.db import connection
from django.utils.translation import gettext as _

from webhooks.models import WebhookLog

log = logging.getLogger(__name__)

SECONDS = 2.0
"""How long they are waited for."""

Work = Callable[[WebhookLog], object]
"""Processes one row as it was made; `config`, which knows the handlers, hands it in."""


def for_a_moment(work: Work, rows: Sequence[WebhookLog]) -> None:
    """In a thread of its own, so that a handler that takes long doesn't hold up whoever asked."""

    def run() -> None:
        try:
            for row in rows:
                work(row)
        except Exception:
            log.exception("An event could not be worked on at once; it falls due again")
        finally:
            connection.close()

    thread = threading.Thread(target=copy_context().run, args=(run,), name="webhook-at-once", daemon=True)
    thread.start()
    thread.join(SECONDS)
    for row in rows:
        row.refresh_from_db(fields=["status", "error_message", "processing_time_ms"])


def outcome(log: WebhookLog) -> str:
    if log.status == WebhookLog.Status.PROCESSED:
        return _("The event was processed.")
    if log.status == WebhookLog.Status.FAILED:
        return _("It failed: {error}").format(error=log.error_message)
    if log.webhook.is_active and log.webhook.integration.is_active:
        return _("It goes on in the background.")
    return _("It is held: the receiver or its integration is switched off.")
