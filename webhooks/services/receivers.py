"""Changing a receiver."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from integrations import activity
from integrations.actor import Actor
from webhooks.models import Forward, Webhook
from webhooks.services import backlog


class BadAddress(ValueError):
    """Nothing can be forwarded to it. The text says why."""


def check_address(url: str) -> None:
    """https, with a host and nothing secret in it; http only where private addresses are allowed. Where the name leads
    is checked at each connection. Raises BadAddress."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"This is no address: {error}.") from error
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.OUTBOUND_ALLOW_PRIVATE):
        raise BadAddress("It must begin with https://.")
    if not host or any(character.isspace() for character in url):
        raise BadAddress("It names no host, or holds a space.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("Leave user and password out: what is forwarded is signed.")


@dataclass(frozen=True, slots=True)
class Changed:
    """`held`: how many events it had held and that run now, up to 10,000; None if it wasn't switched on, or if its
    integration is off and holds them still."""

    webhook: Webhook
    held: int | None = None


@transaction.atomic
def change(webhook: Webhook, *, actor: Actor, wanted: Mapping[str, Any], channel: str = "") -> Changed:
    """Write those columns that differ, with one activity row that says from what to what. Raises BadAddress.

    `channel`: what is to be done with Zoho CRM's channels (`services/channels.py`), which stands in the metadata.

    What waits to be forwarded goes to the new address; without one it is stopped. A new address starts afresh where
    the old one had said that it is gone.
    """
    row = Webhook.objects.select_for_update(of=("self",)).select_related("integration").get(pk=webhook.pk)
    if channel:
        wanted = {**wanted, "metadata": {**row.metadata, "channel": channel}}
    before = {name: getattr(row, name) for name, value in wanted.items() if value != getattr(row, name)}
    if not before:
        return Changed(row)
    after = {name: wanted[name] for name in before}
    if url := after.get("forward_url"):
        check_address(url)
    for name, value in after.items():
        setattr(row, name, value)
    if "forward_url" in after:
        row.forward_stopped_at = None
        _redirect(row)
    row.save(update_fields=[*after, "forward_stopped_at", "updated_at"])
    runs_now = after.get("is_active") is True and row.integration.is_active
    held = backlog.waiting_at(Webhook.objects.filter(pk=row.pk)) if runs_now else None
    activity.record(
        actor=actor,
        action="webhook_changed",
        integration=row.integration,
        details={"webhook": row.webhook_url, "before": _told(before), "after": _told(after)}
        | ({} if held is None else {"held": held}),
    )
    return Changed(row, held)


def _redirect(webhook: Webhook) -> None:
    waiting = Forward.objects.filter(webhook=webhook, due_at__isnull=False)
    if webhook.forward_url:
        waiting.update(url=webhook.forward_url)
    else:
        words = "Stopped: this receiver forwards no more."
        waiting.update(status=Forward.Status.STOPPED, due_at=None, error_message=words)


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without an address's query: it may hold a key, and the log is for good."""
    return {name: str(value).partition("?")[0] if name == "forward_url" else value for name, value in values.items()}
