"""Registration drift: what providers have registered to call, asked of those that tell (Zoho CRM, Desk, Resend and
Didit), held against what we have (`webhooks/drift.py`), and kept for people.

Nothing is in a transaction while a provider is asked. Of two looks at once, the one that began later is kept.
"""

import hashlib
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from integrations import activity, credentials, outbound, progress
from integrations.actor import SYSTEM, Actor
from integrations.clients import crm, desk, didit, resend
from integrations.clients.base import REFUSED, Client, Registered
from integrations.providers.spec import ProviderError
from oauth import services as oauth
from webhooks import drift, reasons
from webhooks.drift import Judged, Receiver
from webhooks.models import Registration, RegistrationCheck, Webhook
from webhooks.services import channels
from webhooks.services.receive import storable

log = logging.getLogger(__name__)

READERS: Mapping[str, Callable[[Client], list[Registered]]] = {
    "zoho-crm": crm.watches,
    "zoho-desk": desk.webhooks,
    "didit-kyc": didit.destinations,
    "resend": resend.webhooks,
}
"""By slug, in the order in which they are asked: what ends by itself comes first."""

HELD = frozenset({"not_configured", "missing", "not_oauth", "dead_grant", "inactive", REFUSED})
"""Error codes that say that we have nothing to ask with: no key, or one that isn't allowed to look (a key of Resend
that may only send). Told at the receiver, and where it harms elsewhere; no failure of the look."""

TIMEOUT_SECONDS = 5.0
PATIENCE_SECONDS = 3.0
AHEAD = timedelta(hours=1)
MOST = 500
MOST_EVENTS = 500
_COLUMNS = ["url", "event_types", "enabled", "expires_at", "ours", "code", "finding", "seen_at"]


class NotReadable(Exception):
    """Its provider tells nobody what it has registered."""


@dataclass(slots=True)
class Looked:
    """One look. `error`: why nothing could be seen, "" if it could; `held`: there was nothing to ask with. `findings`
    are codes; `done` says in words what was changed at the provider."""

    webhook: Webhook
    error: str = ""
    held: bool = False
    findings: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        name = self.webhook.integration.name
        if self.error:
            return self.error if self.error.startswith(name) else f"{name}: {self.error}"
        told = list(self.done)
        if self.findings:
            found = drift.listed({reasons.named(code) for code in self.findings})
            told.append(_("{name}: {found} found.").format(name=name, found=found))
        return " ".join(told) or _("{name}: as it should be.").format(name=name)


@dataclass(slots=True)
class Summary:
    """All looks of one run."""

    looks: list[Looked] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether something could not be seen, though we had what it takes to ask."""
        return any(one.error and not one.held for one in self.looks)

    @property
    def words(self) -> str:
        seen = [one for one in self.looks if not one.error]
        told = [f"{len(seen)} of {len(self.looks)} providers told what they have registered."]
        told += [one.words for one in self.looks if one.done or one.findings or (one.error and not one.held)]
        told += [f"Not asked: {' '.join(self.held)}"] if self.held else []
        return " ".join(told)

    def as_dict(self) -> dict[str, int]:
        return {
            "looked_at": sum(not one.error for one in self.looks),
            "findings": sum(len(one.findings) for one in self.looks),
            "changed": sum(len(one.done) for one in self.looks),
            "not_seen": sum(bool(one.error) for one in self.looks),
        }


def readable(webhook: Webhook) -> bool:
    """Whether its provider tells what it has registered."""
    return webhook.integration.slug in READERS


def receiver(webhook: Webhook) -> Receiver:
    """`webhook` as what providers have registered is held against it."""
    is_crm = channels.concern(webhook)
    return Receiver(
        name=webhook.integration.name,
        address=settings.PUBLIC_URL + webhook.webhook_url,
        path=webhook.webhook_url,
        wanted=tuple(webhook.event_types),
        covers=channels.covers if is_crm else set,
        expected=not is_crm or channels.wish(webhook) != channels.OFF,
    )


# --- Looking ---------------------------------------------------------------------------------------------------------


def look_at_all(*, now: datetime, budget_seconds: float = 120.0) -> Summary:
    """Look at every receiver whose provider tells; one that fails holds up no other."""
    summary, ends = Summary(), time.monotonic() + budget_seconds
    rows = Webhook.objects.filter(integration__slug__in=READERS).select_related("integration")
    order = list(READERS)
    for webhook in sorted(rows, key=lambda row: order.index(row.integration.slug)):
        name = webhook.integration.name
        progress.tell(f"Looking at what {name} has registered.", looked_at=len(summary.looks))
        if not webhook.integration.is_active:
            summary.held.append(f"{name} is switched off.")
        elif time.monotonic() >= ends:
            summary.looks.append(Looked(webhook, error="there was no time left to ask."))
        else:
            looked = look(webhook, actor=SYSTEM, now=now)
            summary.looks.append(looked)
            summary.held += [looked.words] if looked.held else []
    return summary


def ask(webhook: Webhook, *, actor: Actor, now: datetime) -> Looked:
    """Look because somebody wants to know. Raises NotReadable; ProviderError with code "inactive"."""
    integration = webhook.integration
    if not readable(webhook):
        raise NotReadable(_("{name} tells nobody what it has registered.").format(name=integration.name))
    if not integration.is_active:
        raise ProviderError(f"{integration.name} is switched off: it is not asked.", code="inactive")
    looked = look(webhook, actor=actor, now=now)
    activity.record(
        actor=actor,
        action="webhook_registrations_checked",
        integration=integration,
        outcome=activity.FAILURE if looked.error else activity.SUCCESS,
        details={"webhook": webhook.webhook_url, "findings": looked.findings, "error": looked.error},
    )
    return looked


def look(webhook: Webhook, *, actor: Actor, now: datetime) -> Looked:
    """Ask what is registered, renew channels of ours that end soon, and keep what was found."""
    try:
        return _look(webhook, actor, now)
    except ProviderError as error:
        return _unseen(webhook, error.words, now, held=error.code in HELD)
    except Exception as error:
        log.exception("What %s has registered could not be looked at", webhook.integration.slug)
        return _unseen(webhook, f"{type(error).__name__}: {error}"[:500], now)


def _look(webhook: Webhook, actor: Actor, now: datetime) -> Looked:
    ours = receiver(webhook)
    client = replace(
        oauth.client_of(webhook.integration), retries=0, timeout_s=TIMEOUT_SECONDS, patience=PATIENCE_SECONDS
    )
    found = drift.merged(READERS[webhook.integration.slug](client))
    looked = Looked(webhook)
    if words := _not_comparable(webhook):
        looked.error, looked.held = words, True
        judged = [Judged(registered=one) for one in found]
    elif channels.concern(webhook):
        kept = channels.keep(webhook, client, found, receiver=ours, actor=actor, now=now)
        looked.done = _done(kept)
        judged = drift.judge(kept.channels, ours, now=now, troubles=kept.troubles)
        judged = [_with_advice(one, kept) for one in judged]
    else:
        judged = drift.judge(found, ours, now=now)
    looked.findings = [one.code for one in judged if one.code]
    _write(webhook, judged, error=looked.error, now=now)
    return looked


def _done(kept: channels.Kept) -> list[str]:
    renewed = f"{len(kept.renewed)} channel{'s' if len(kept.renewed) > 1 else ''} of Zoho CRM renewed."
    return [*([renewed] if kept.renewed else []), *(["A channel was opened at Zoho CRM."] if kept.opened else [])]


def _with_advice(one: Judged, kept: channels.Kept) -> Judged:
    """A channel that is missing has two reasons of its own."""
    if one.code != drift.MISSING:
        return one
    advice = (
        f"A channel could not be opened: {kept.not_opened}" if kept.not_opened
        else "To have one opened, set this receiver's channel to “open”; where workflow rules call us instead, which "
        "can't be read, set it to “off”."
    )  # fmt: skip
    return replace(one, finding=f"{one.finding} {advice}")


def _not_comparable(webhook: Webhook) -> str:
    """Why what a real provider has registered can't be ours: nobody out there can call this address."""
    provider = webhook.integration.spec
    if (provider and credentials.sandboxed(provider)) or is_reachable(settings.PUBLIC_URL):
        return ""
    return (
        f"PUBLIC_URL is {settings.PUBLIC_URL}, which no provider can call: what is registered can't be compared with "
        "it. Set it to the address under which this system is reached from outside."
    )


def is_reachable(url: str) -> bool:
    """Whether an address may be called from outside, as far as it says itself: no name is looked up."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return outbound.is_public(ipaddress.ip_address(host))
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal", ".test", ".invalid"))


# --- Keeping it ------------------------------------------------------------------------------------------------------


@transaction.atomic
def note(webhook: Webhook, *, error: str, now: datetime) -> bool:
    """That it was looked at. False when a look that began later has been kept already; else the row stays locked, so
    that whoever writes along with it writes alone."""
    RegistrationCheck.objects.bulk_create([RegistrationCheck(webhook=webhook, checked_at=now)], ignore_conflicts=True)
    # One far ahead was made by a clock that was wrong.
    sane = Q(checked_at__lte=now) | Q(checked_at__gt=now + AHEAD)
    mine = RegistrationCheck.objects.filter(sane, webhook=webhook)
    return bool(mine.update(checked_at=now, error=storable(error)[:2000]))


@transaction.atomic
def _write(webhook: Webhook, judged: Sequence[Judged], *, error: str, now: datetime) -> None:
    if not note(webhook, error=error, now=now):
        return
    rows = {row.provider_id: row for row in (_row(webhook, one, now) for one in judged[:MOST])}
    Registration.objects.bulk_create(
        rows.values(), update_conflicts=True, unique_fields=["webhook", "provider_id"], update_fields=_COLUMNS
    )
    Registration.objects.filter(webhook=webhook).exclude(provider_id__in=list(rows)).delete()


def _row(webhook: Webhook, one: Judged, now: datetime) -> Registration:
    told = one.registered or Registered(id="", url="", events=(), enabled=False)
    url = storable(drift.bare(told.url) if one.ours or one.code else drift.host_of(told.url)) if told.url else ""
    return Registration(
        webhook=webhook,
        provider_id=_name(told),
        url=url[:500],
        event_types=[storable(event)[:200] for event in told.events[:MOST_EVENTS]],
        enabled=told.enabled,
        expires_at=told.expires_at,
        ours=one.ours,
        code=one.code,
        finding=storable(one.finding),
        first_seen_at=now,
        seen_at=now,
    )


def _name(told: Registered) -> str:
    """Its id at the provider; of one without an id something that stands for its address."""
    if told.id or not told.url:
        return str(storable(told.id)[:200])
    return f"url:{hashlib.sha256(told.url.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


@transaction.atomic
def _unseen(webhook: Webhook, error: str, now: datetime, *, held: bool = False) -> Looked:
    """What was found before stays, except that what is known to end soon is a finding now."""
    looked = Looked(webhook, error=error, held=held)
    if note(webhook, error=error, now=now) and webhook.metadata.get("channel") != channels.OFF:
        ours = Registration.objects.filter(webhook=webhook, ours=True, code="")
        for row in ours.filter(expires_at__lte=now + drift.SOON):
            row.code = drift.EXPIRING
            row.finding = (
                f"It ends at {drift.shown(row.expires_at)} and was not renewed: {error}" if row.expires_at else ""
            )
            row.save(update_fields=["code", "finding"])
            looked.findings.append(row.code)
    return looked


def rows(webhook: Webhook) -> Iterable[Registration]:
    """What was found, ours first."""
    return Registration.objects.filter(webhook=webhook).order_by("-ours", "url", "provider_id")
