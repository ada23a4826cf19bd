"""A test alert, and what became of it within a few seconds."""

import logging
import threading
from collections.abc import Sequence
from contextvars import copy_context

from django.db import connection
from django.utils.translation import gettext as _

from healthchecks.alerts import outbox
from healthchecks.models import Alert, Delivery

log = logging.getLogger(__name__)

SECONDS = 8.0
"""How long whoever asked waits; what isn't over by then goes on."""


def for_a_moment(alert: Alert) -> list[Delivery]:
    """Send it now, in a thread of its own: a route that hangs must not hold up whoever asked."""

    def run() -> None:
        try:
            outbox.run_due(only=alert)
        except Exception:
            log.exception("A test alert could not be sent at once; it falls due again")
        finally:
            connection.close()

    thread = threading.Thread(target=copy_context().run, args=(run,), name="alert-test", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return list(Delivery.objects.filter(alert=alert).order_by("position"))


def in_words(deliveries: Sequence[Delivery]) -> str:
    """What became of each, in a line."""
    return " ".join(f"{one.route}: {_outcome(one)}" for one in deliveries)


def _outcome(one: Delivery) -> str:
    if one.status == Delivery.Status.SENT:
        return _("sent.")
    if one.error:
        error = one.error.rstrip(".")
        return _("{error}. It is tried again.").format(error=error) if one.due_at else f"{error}."
    return _("not over yet.")
