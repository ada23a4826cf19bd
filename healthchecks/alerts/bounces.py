"""Our own alerts that came back: what Resend and Clickatell tell of them later, by webhook.

Handlers for `config/handlers.py`. Of events that aren't about an alert they cost one look into an index.
"""

from datetime import datetime
from functools import partial

from django.db import transaction
from django.utils import timezone

from healthchecks.alerts import outbox, stamps
from healthchecks.models import Delivery
from integrations.providers.payloads import at, text
from integrations.providers.spec import Json
from webhooks.services.process import Effect, Event

# Clickatell's One API [A]: 20 expired … 29 no such recipient, 60/61 encryption, 100 routing (PROVIDERS §8).
SMS_FAILED = frozenset({*(str(code) for code in range(20, 30)), "60", "61", "100"})


def email(event: Event) -> Effect | None:
    """Resend: email.bounced, email.complained, email.failed, email.suppressed [A, PROVIDERS §9]."""
    data = at(event.payload, "data")
    kind = (event.type or "").removeprefix("email.")
    said = next((words for path in _REASONS if (words := text(at(data, path)))), "")
    return _came_back(text(at(data, "email_id")), f"It was {kind}{f': {said}' if said else ''}.")


_REASONS = ("bounce.message", "failed.reason", "suppressed.message")


def sms(event: Event) -> Effect | None:
    """Clickatell: messageStatusUpdate, of which only failures are of interest."""
    entry = _status(event.payload)
    code = text(at(entry, "statusCode"))
    if code not in SMS_FAILED:
        return None
    said = text(at(entry, "statusDescription")) or text(at(entry, "status"))
    return _came_back(text(at(entry, "messageId")), f"Clickatell could not deliver it: {code} {said}".strip())


def _status(payload: Json) -> Json:
    entries = at(payload, "event.messageStatusUpdate")
    if isinstance(entries, list):
        return entries[0] if entries else None
    return entries or payload


def _came_back(name: str, why: str) -> Effect | None:
    found = Delivery.objects.filter(provider_id=name).select_related("alert").first() if name else None
    return partial(note, found, why=why[:1000]) if found is not None else None


@transaction.atomic
def note(row: Delivery, *, why: str, now: datetime | None = None) -> bool:
    """It was taken and came back. If no other channel took that alert, and it is still so, its fallbacks are used.
    False: known before."""
    now = now or timezone.now()
    alarm = stamps.lock(row.alert)
    back = Delivery.objects.filter(pk=row.pk, failed_at=None)
    if not back.update(status=Delivery.Status.FAILED, failed_at=now, due_at=None, error=why):
        return False
    if stamps.outdated(row.alert, alarm):
        return True
    others = Delivery.objects.filter(alert=row.alert)
    if not others.filter(sent_at__isnull=False, failed_at=None).exists():
        spared = others.filter(fallback=True, status=Delivery.Status.SPARED) | outbox.reserve(row.alert)
        spared.update(status=Delivery.Status.WAITING, due_at=now, error="")
    return True
