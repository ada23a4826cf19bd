"""Switching an integration on and off, as its page and the API do it: what its webhooks held meanwhile runs then."""

from dataclasses import dataclass

from config import wakeup
from integrations import services
from integrations.actor import Actor
from integrations.models import Integration
from webhooks.models import Webhook
from webhooks.services import backlog


@dataclass(frozen=True, slots=True)
class Switched:
    """`held`: how many events had waited and run now, counted to 10,000."""

    integration: Integration
    held: int


def held(integration: Integration, *, on: bool | None) -> dict[str, int]:
    """What runs when it is switched on, as its activity entry and the API's answer name it; {} where it isn't."""
    if not on or integration.is_active:
        return {}
    return {"held": backlog.waiting_at(Webhook.objects.filter(integration=integration, is_active=True))}


def turn(integration: Integration, *, on: bool, actor: Actor) -> Switched:
    waiting = held(integration, on=on)
    changed = services.change(integration, actor=actor, is_active=on, noted=waiting)
    if waiting:
        wakeup.look_soon()
    return Switched(changed, waiting.get("held", 0))
