"""One webhook as the sandbox sends it: made of a sample, signed for each attempt, spoilt when a fault says so."""

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from integrations import providers
from integrations.providers import samples
from integrations.providers.payloads import compact
from integrations.providers.signatures import desk_signer
from integrations.providers.spec import Delivery, Json, Provider, Webhook
from integrations.sandbox import keys, values
from integrations.sandbox.state import Entry, State

# Only Didit's is documented (its scheme sets it); the others say plainly who they mean to be.
USER_AGENTS: Mapping[str, str] = {
    "zoho-crm": "ZohoCRM-Notifications", "zoho-sign": "ZohoSign-Webhooks", "zoho-billing": "ZohoBilling-Webhooks",
    "zoho-desk": "ZohoDesk-Webhooks", "netcash": "Netcash-PayNow", "clickatell": "Clickatell-Callbacks",
    "resend": "Svix-Webhooks/1.0",
}  # fmt: skip
HASHED = 0.2  # the share of NetCash's posts that carry a hash: real ones never do, but merchants' gateways may add it


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """`payload` and `id` stay the same for every attempt; what is signed anew is the time."""

    id: str
    provider: Provider
    event: str
    payload: Json
    flaw: str = ""
    hashed: bool = False
    attempt: int = 0

    @property
    def webhook(self) -> Webhook:
        if self.provider.webhook is None:
            raise ValueError(f"{self.provider.slug} sends no webhooks.")
        return self.provider.webhook


def compose(slug: str, event: str, state: State) -> Parcel:
    """A new event of `slug`, noted in the ledger and known to its API. Raises ValueError in words."""
    provider = providers.get(slug)
    events = kinds(slug)
    if provider is None or provider.webhook is None or not events:
        senders = ", ".join(each.slug for each in providers.PROVIDERS if kinds(each.slug))
        raise ValueError(f"{slug!r} sends no webhooks. Choose from {senders}.")
    if event and event not in events:
        raise ValueError(f"{slug} sends no {event!r} here. Choose from {', '.join(events)}.")
    event = event or random.choice(events)  # noqa: S311 - no key
    now, number = state.clock(), f"sandbox-{secrets.token_hex(12)}"
    payload = provider.webhook.fresh(samples.load(slug, event), now, number)
    if provider.webhook.method == "jwt":
        payload["orgId"] = state.secret(provider)  # the organisation that the signature names, too
    fault = state.faults.strike(slug, "webhooks", now)
    flaw = _FLAWS[fault.name] if fault else ""
    parcel = Parcel(
        id=number, provider=provider, event=event, payload=payload, flaw=flaw,
        hashed=flaw == "forged" or (not flaw and random.random() < HASHED),  # noqa: S311 - no key
    )  # fmt: skip
    if flaw not in ("forged", "unsigned"):
        state.remember(slug, payload)
    state.ledger.add(Entry(id=number, provider=slug, event=event, at=now, flaw=flaw))
    return parcel


_FLAWS = {"quiet": "withheld", "forge": "forged", "unsigned": "unsigned", "repeat": "repeated"}


def kinds(slug: str) -> Sequence[str]:
    """The events that `slug` can send: those of which there is a sample."""
    provider = providers.get(slug)
    return samples.event_types(slug) if provider and provider.webhook else ()


def sign(parcel: Parcel, state: State) -> Delivery:
    """What goes over the wire for this attempt."""
    holder = _stranger() if parcel.flaw == "forged" else {}
    secret = holder.get(parcel.webhook.secret_env) or state.secret(parcel.provider)
    signer = parcel.webhook.sign
    if parcel.webhook.method == "jwt":  # the key is the provider's own, and its secret only names our organisation
        secret, key = state.secret(parcel.provider), state.value(keys.DESK)
        signer = desk_signer(holder.get(keys.DESK, key).encode(), kid=keys.kid(key), webhook_id=keys.DESK_WEBHOOK)
    if parcel.webhook.method == "md5_hash" and not parcel.hashed:
        secret = ""
    delivery = signer(parcel.payload, secret, now=state.clock(), delivery_id=parcel.id)
    headers = {"user-agent": USER_AGENTS.get(parcel.provider.slug, "sandbox"), **delivery.headers}
    delivery = replace(delivery, headers=headers)
    return _bare(parcel, delivery) if parcel.flaw == "unsigned" else delivery


def _bare(parcel: Parcel, delivery: Delivery) -> Delivery:
    """`delivery` without what proves it: its other headers, or the token in its JSON."""
    kept = {name: value for name, value in delivery.headers.items() if name in ("content-type", "user-agent")}
    body = compact(parcel.payload) if parcel.webhook.method == "body_token" else delivery.body
    return replace(delivery, body=body, headers=kept)


@lru_cache(maxsize=1)
def _stranger() -> dict[str, str]:
    """Secrets and keys in the right formats that nobody else holds: a forger's."""
    return values.lend(lambda name: secrets.token_urlsafe(32))
