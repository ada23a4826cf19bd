"""Zoho CRM's notification channels, which end within a week (PROVIDERS §1 [A]): renewed while they are ours.

What is renewed was registered by somebody; only when an admin asked for it is one opened. The receiver's metadata say
so: {"channel": "open"} opens what is missing, "renew" renews what is there (so it is without a word), "off" leaves all
alone: then workflow rules call us, which can't be read.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from integrations import activity, credentials
from integrations.actor import Actor
from integrations.clients import crm
from integrations.clients.base import Client, Registered
from integrations.providers import payloads
from integrations.providers.spec import ProviderError
from webhooks.drift import Receiver, shown
from webhooks.models import Webhook

OPEN, RENEW, OFF = "open", "renew", "off"

LIFE = timedelta(days=6, hours=12)
"""What is asked for. Not the whole week: were Zoho's clock a minute behind ours, it would make an hour of it."""
RENEW_WITHIN = timedelta(days=4)
"""What ends sooner is renewed: the job of every day has four tries before it does."""
SHORTER = timedelta(hours=1)
"""By so much what Zoho grants may fall short of what was asked for."""
SECONDS = 30.0
"""For all channels of one receiver together."""

_MEANT = {"create": "insert", "edit": "update", "delete": "delete"}
"""The operations of a channel, and what a notification calls them."""


@dataclass(slots=True)
class Kept:
    """The channels as they are now. `renewed` and `opened` are ids; `troubles` say why one was not renewed."""

    channels: list[Registered]
    renewed: list[str] = field(default_factory=list)
    opened: str = ""
    troubles: dict[str, str] = field(default_factory=dict)
    not_opened: str = ""


def concern(webhook: Webhook) -> bool:
    """Whether its provider has channels at all."""
    return webhook.integration.slug == "zoho-crm"


def wish(webhook: Webhook) -> str:
    """What is to be done with channels. Raises ProviderError for what nobody understands."""
    told = webhook.metadata.get("channel", RENEW)
    if told not in (OPEN, RENEW, OFF):
        words = f"“channel” in this receiver's metadata is {told!r}: it knows {OPEN}, {RENEW} and {OFF}."
        raise ProviderError(words, permanent=True, code="bad_setting")
    return str(told)


def covers(events: Iterable[str]) -> set[str]:
    """What a channel's events are called here: "Leads.all" brings Leads.insert, Leads.update and Leads.delete."""
    found = set()
    for event in events:
        module, _, operation = event.partition(".")
        for asked, meant in _MEANT.items():
            if operation in (asked, "all"):
                found.add(f"{module}.{meant}")
    return found


def events(event_types: Collection[str]) -> list[str]:
    """The other way round, in as few words as it takes."""
    found = []
    for module in dict.fromkeys(name.partition(".")[0] for name in event_types):
        asked = [f"{module}.{each}" for each, meant in _MEANT.items() if f"{module}.{meant}" in event_types]
        found += [f"{module}.all"] if len(asked) == len(_MEANT) else asked
    return found


def keep(
    webhook: Webhook,
    client: Client,
    found: Sequence[Registered],
    *,
    receiver: Receiver,
    actor: Actor,
    now: datetime,
) -> Kept:
    """Renew those of ours that end soon, the soonest first, and open one if that is wanted and none is there."""
    wanted, ends = wish(webhook), time.monotonic() + SECONDS
    ours = sorted(filter(receiver.is_called_by, found), key=lambda one: one.expires_at or now)
    kept = Kept(list(found))
    if wanted == OFF:
        return kept
    soon = [one for one in ours if one.expires_at is None or one.expires_at - now < RENEW_WITHIN]
    if soon or (wanted == OPEN and not ours):
        try:
            token = _token(webhook)
        except ProviderError as error:
            kept.troubles, kept.not_opened = {one.id: error.words for one in soon}, error.words
            return kept
        for one in soon:
            _renew(webhook, client, one, kept, token, actor, now, ends)
        if not ours:
            _open(webhook, client, kept, receiver, token, actor, now)
    return kept


def _token(webhook: Webhook) -> str:
    """What a channel has to send along for its notifications to be taken here: the newest secret."""
    name, provider = webhook.secret_env_var, webhook.integration.spec
    real = provider is None or not credentials.sandboxed(provider)
    secrets = credentials.secrets(name) if credentials.real(name) or not real else ()
    if not secrets:
        raise ProviderError(f"{name} is not set: what a channel sends would be refused here.", permanent=True)
    if len(secrets[0]) > crm.LONGEST_TOKEN:
        words = f"{name} is longer than {crm.LONGEST_TOKEN} characters, which is all that Zoho takes."
        raise ProviderError(words, permanent=True)
    return secrets[0]


def _renew(
    webhook: Webhook,
    client: Client,
    one: Registered,
    kept: Kept,
    token: str,
    actor: Actor,
    now: datetime,
    ends: float,
) -> None:
    if time.monotonic() >= ends:
        kept.troubles[one.id] = "there was no time left for it."
        return
    until = now + LIFE
    try:
        renewed = crm.renew(
            client, channel_id=one.id, events=one.events or events(webhook.event_types), notify_url=one.url,
            token=token, until=until,
        )  # fmt: skip
    except ProviderError as error:
        kept.troubles[one.id] = error.words
        return
    granted = renewed.expires_at
    _replace(kept, replace(one, expires_at=granted or one.expires_at))
    if granted is None or until - granted > SHORTER:
        kept.troubles[one.id] = f"asked for {shown(until)}, Zoho gave {shown(granted) if granted else 'no time'}."
        return
    kept.renewed.append(one.id)
    _tell(webhook, "crm_channel_renewed", one.id, granted, actor)


def _open(
    webhook: Webhook, client: Client, kept: Kept, receiver: Receiver, token: str, actor: Actor, now: datetime
) -> None:
    """Under a number of our own: asked for twice it is the same channel."""
    number = payloads.new_number(str(webhook.pk), "channel", 13)
    try:
        opened = crm.watch(
            client, channel_id=number, events=events(webhook.event_types), notify_url=receiver.address, token=token,
            until=now + LIFE,
        )  # fmt: skip
    except ProviderError as error:
        kept.not_opened = error.words
        return
    _replace(kept, opened)
    kept.opened = number
    _tell(webhook, "crm_channel_opened", number, opened.expires_at, actor)


def _replace(kept: Kept, channel: Registered) -> None:
    kept.channels = [one for one in kept.channels if one.id != channel.id] + [channel]


def _tell(webhook: Webhook, action: str, channel: str, until: datetime | None, actor: Actor) -> None:
    details = {"webhook": webhook.webhook_url, "channel": channel, "until": until}
    activity.record(actor=actor, action=action, integration=webhook.integration, details=details)
