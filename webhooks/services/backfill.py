"""Gap repair: Zoho Billing's own list of events compared with ours, and what never arrived taken in.

It goes in as a delivery would (`receive.store`), under the key that its webhook would claim: one that arrives after
all is its duplicate, and two runs at once take in nothing twice. How far the list was compared is kept with each chunk
that was taken in, so a run that is killed is followed by one that goes on from there.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from django.db import DataError, IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations import activity, progress
from integrations.actor import SYSTEM, Actor
from integrations.clients import billing
from integrations.clients.base import Client, Refusal
from integrations.providers import payloads, spec
from integrations.providers.spec import Json, ProviderError
from oauth import services as oauth
from webhooks.drift import listed, shown
from webhooks.models import RegistrationCheck, Webhook, WebhookLog
from webhooks.services import receive, registrations

log = logging.getLogger(__name__)

SLUG = "zoho-billing"
WORDS = "Fetched from Zoho Billing's own list of events"
"""`WebhookLog.verification` of what was taken in here: who asks can tell it from what came."""

FIRST = timedelta(hours=24)
"""How far back the first run looks."""
SETTLED = timedelta(minutes=10)
"""What is younger may still be on its way."""
OVERLAP = timedelta(minutes=10)
"""Compared once more: Zoho's clock is not ours, and what is new may be listed late."""
KEPT_FOR = timedelta(hours=1)
"""So much before retention removes an event it is no longer looked for: what we have removed isn't missing."""
SHORTER = (timedelta(hours=24), timedelta(hours=6), timedelta(hours=1))
"""How far back is looked instead, when Zoho's list has more than can be read."""
MOST = 5000
"""In one run; what is left comes in with the next."""
CHUNK = 500
PATIENCE_SECONDS = 61.0
"""Zoho's limit is by the minute."""


@dataclass(slots=True)
class Filled:
    """What one run did. `error`: why no more; `held`: there was nothing to ask with. `left`: missing events that come
    in with the next run; `unread`: from when to when the list was too long to be read."""

    fetched: Counter[str] = field(default_factory=Counter)
    left: int = 0
    unread: tuple[datetime, datetime] | None = None
    refused: int = 0
    error: str = ""
    held: bool = False

    @property
    def number(self) -> int:
        return self.fetched.total()

    @property
    def words(self) -> str:
        if self.error and not self.number:
            return self.error
        kinds = f" ({listed(self.fetched)})" if self.fetched else ""
        words = ngettext(
            "{n} missed event of Zoho Billing taken in{kinds}.",
            "{n} missed events of Zoho Billing taken in{kinds}.",
            self.number,
        )
        told = [words.format(n=f"{self.number:,}", kinds=kinds)]
        if self.left:
            words = ngettext("{n} more comes in with the next run.", "{n} more come in with the next run.", self.left)
            told.append(words.format(n=f"{self.left:,}"))
        if self.refused:
            words = ngettext("{n} could not be stored.", "{n} could not be stored.", self.refused)
            told.append(words.format(n=f"{self.refused:,}"))
        if self.unread:
            words = _("From {begin} to {end} too much happened to be compared: have Zoho send it again.")
            told.append(words.format(begin=shown(self.unread[0]), end=shown(self.unread[1])))
        if self.error:
            told.append(_("Then: {error}").format(error=self.error))
        return " ".join(told)

    def as_dict(self) -> dict[str, int]:
        return {"events_fetched": self.number, "events_left": self.left, "events_refused": self.refused}

    @property
    def failed(self) -> bool:
        """Whether something may be missing still, though we had what it takes to look."""
        return bool(self.unread or self.refused or (self.error and not self.held))


def fillable(webhook: Webhook) -> bool:
    """Whether its provider lists what happened, so that gaps can be filled."""
    return webhook.integration.slug == SLUG


def run(*, actor: Actor = SYSTEM, now: datetime, budget_seconds: float = 150.0, hasty: bool = False) -> Filled:
    """Compare and take in what is missing, as far as time allows. Raises nothing that a provider does: `error`.

    `hasty`: somebody waits for it, so no call is tried twice.
    """
    webhook = Webhook.objects.select_related("integration").filter(integration__slug=SLUG).first()
    if webhook is None:
        return Filled(error="Zoho Billing has no receiver.", held=True)
    if not webhook.integration.is_active:
        return Filled(error="Zoho Billing is switched off.", held=True)
    filled = Filled()
    try:
        _run(webhook, filled, actor, now, time.monotonic() + budget_seconds, hasty)
    except ProviderError as error:
        filled.error, filled.held = error.words, error.code in registrations.HELD
    registrations.note(webhook, error=filled.error, now=now)
    return filled


def ask(webhook: Webhook, *, actor: Actor, now: datetime, budget_seconds: float = 20.0) -> Filled:
    """The same because somebody asked, so it leaves an entry whatever comes of it."""
    filled = run(actor=actor, now=now, budget_seconds=budget_seconds, hasty=True)
    activity.record(
        actor=actor,
        action="webhook_backfill_asked",
        integration=webhook.integration,
        outcome=activity.FAILURE if filled.error else activity.SUCCESS,
        details={"webhook": webhook.webhook_url, "events": filled.number, "error": filled.error},
    )
    return filled


def _run(webhook: Webhook, filled: Filled, actor: Actor, now: datetime, ends: float, hasty: bool) -> None:
    route = receive.routes()[webhook.webhook_url]
    since, until = _window(webhook, now)
    client = _client(webhook, ends, hasty)
    begins, missing = _listed(client, webhook, route, since, until, now)
    if begins > since:
        filled.unread = (since, begins)
    taken, filled.left = missing[:MOST], max(0, len(missing) - MOST)
    for start in range(0, len(taken), CHUNK):
        told, error = _told(client, taken[start : start + CHUNK])
        if told:
            _take_in(webhook, route, told, filled, actor, now)
        if error:
            filled.left = len(missing) - start - len(told)
            raise error
        progress.tell(f"{start + len(told):,} of {len(missing):,} missing events fetched.", fetched=start + len(told))
    if not filled.left:
        _advance(webhook, until, now)


def _window(webhook: Webhook, now: datetime) -> tuple[datetime, datetime]:
    known = RegistrationCheck.objects.filter(webhook=webhook).values_list("backfilled_to", flat=True).first()
    if known and known > now:  # made by a clock that was wrong
        known = None
    oldest = now - timedelta(days=webhook.retention_days) + KEPT_FOR
    return max(known - OVERLAP if known else now - FIRST, oldest), now - SETTLED


def _client(webhook: Webhook, ends: float, hasty: bool) -> Client:
    """It asks for its token at each call, and gets none once time is up: a list has many pages."""
    client = oauth.client_of(webhook.integration)
    if hasty:
        return replace(client, token=_until(ends, client.token), retries=0, timeout_s=5.0, patience=3.0)
    patience = min(PATIENCE_SECONDS, max(1.0, ends - time.monotonic()) / 2)
    return replace(client, token=_until(ends, client.token), patience=patience)


def _until(ends: float, token: Callable[[], str]) -> Callable[[], str]:
    def in_time() -> str:
        if time.monotonic() >= ends:
            raise ProviderError("Zoho Billing took too long to list its events; the next run tries again.")
        return token()

    return in_time


# --- Comparing -------------------------------------------------------------------------------------------------------


def _listed(
    client: Client, webhook: Webhook, route: receive.Route, since: datetime, until: datetime, now: datetime
) -> tuple[datetime, list[billing.Event]]:
    """Of what happened since then, or since as long ago as can be read, that of which we have no row, the oldest
    first; and when that is. Raises ProviderError when our rows can't tell."""

    def missing(told: Sequence[billing.Event]) -> list[billing.Event]:
        """Of one page: what is known is let go of at once, since a list may be long."""
        return _unknown(
            webhook, route, [one for one in told if one.at and one.at <= until and one.type in webhook.event_types]
        )

    for begins in [since, *(now - span for span in SHORTER if now - span > since)]:
        try:
            found = billing.events(client, since=begins, keep=missing)
            if found and _came_without_id(webhook, begins):
                raise ProviderError(
                    "Zoho Billing's deliveries come without event_id, so those that are missing can't be told from "
                    "those that came: put event_id into the payload of its webhooks.",
                    permanent=True,
                )
            return begins, sorted(found, key=lambda one: (one.at or begins, one.id))
        except ProviderError as error:
            if error.code != billing.TOO_MANY:
                raise
            last = error
    raise last


def _unknown(webhook: Webhook, route: receive.Route, events: Iterable[billing.Event]) -> list[billing.Event]:
    """Those of which we have no row."""
    keyed = {key: one for one in events if (key := _key(route, one.id))}
    rows = WebhookLog.objects.filter(webhook=webhook, claims_key=True, idempotency_key__in=list(keyed))
    known = set(rows.values_list("idempotency_key", flat=True))
    return [one for key, one in keyed.items() if key not in known]


def _key(route: receive.Route, event_id: str) -> str | None:
    """The key under which its webhook is known."""
    return route.webhook.event({"event_id": event_id}, spec.Delivery(b"")).key


def _came_without_id(webhook: Webhook, since: datetime) -> bool:
    rows = WebhookLog.objects.filter(
        webhook=webhook, status__in=WebhookLog.Status.values, created_at__gte=since, idempotency_key=None,
        verified=True, payload__isnull=False, is_test=False, replay_of=None,
    )  # fmt: skip
    return rows.exists()


# --- Taking in -------------------------------------------------------------------------------------------------------


def _told(client: Client, events: Sequence[billing.Event]) -> tuple[list[billing.Event], ProviderError | None]:
    """Each with what its webhook would have brought, which the list may leave out; and why it ended early."""
    told: list[billing.Event] = []
    for one in events:
        try:
            told.append(one if one.payload is not None else billing.event(client, id=one.id))
        except Refusal as error:
            if error.status != HTTPStatus.NOT_FOUND:
                return told, error
            told.append(one)
        except ProviderError as error:
            return told, error
    return told, None


def body_of(one: billing.Event) -> bytes:
    """The event as its webhook would bring it: the very text, if that names the event; else put into one that does."""
    if _names(one.payload, one.id):
        return one.body.encode("utf-8", "replace") or payloads.compact(one.payload)
    head: dict[str, Json] = {"event_id": one.id, "event_type": one.type}
    if one.at:
        head["event_time"] = one.at.isoformat()
    said = one.body if one.payload is None else one.payload
    return payloads.compact({**(said if isinstance(said, dict) and "data" in said else {"data": said}), **head})


def _names(payload: Json, event_id: str) -> bool:
    return payloads.text(payloads.at(payload, "event_id")) == event_id and bool(payloads.at(payload, "event_type"))


def _take_in(
    webhook: Webhook,
    route: receive.Route,
    events: Sequence[billing.Event],
    filled: Filled,
    actor: Actor,
    now: datetime,
) -> None:
    """All of them in one transaction; if one of them can't be stored, each in its own."""
    try:
        _store(webhook, route, events, filled, actor, now)
    except (DataError, IntegrityError):
        if len(events) == 1:
            filled.refused += 1
            log.exception("Event %s of Zoho Billing can't be stored", events[0].id)
            return
        for one in events:
            _take_in(webhook, route, [one], filled, actor, now)


def _store(
    webhook: Webhook,
    route: receive.Route,
    events: Sequence[billing.Event],
    filled: Filled,
    actor: Actor,
    now: datetime,
) -> None:
    rows = [row for one in events for row in _rows(route, one, now)]
    with transaction.atomic():
        receive.store(rows)
        # Its webhook, or another run, was quicker: the row would tell people of a second delivery that never was.
        late = [row.pk for row in rows if row.duplicate_of]
        WebhookLog.objects.filter(pk__in=late).delete()
        taken = Counter(row.event_type or "unknown" for row in rows if row.pk not in late)
        _advance(webhook, max(one.at for one in events if one.at), now)
        if taken:
            activity.record(
                actor=actor,
                action="webhook_backfilled",
                integration=webhook.integration,
                details={"webhook": webhook.webhook_url, "events": taken.total(), "by_type": dict(taken)},
            )
    filled.fetched += taken


def _rows(route: receive.Route, one: billing.Event, now: datetime) -> list[WebhookLog]:
    return receive.rows_of(route, spec.Delivery(body=body_of(one)), spec.Verified(detail=WORDS), now=now)


def _advance(webhook: Webhook, to: datetime, now: datetime) -> None:
    """Compared up to there; another run may have come further."""
    RegistrationCheck.objects.bulk_create([RegistrationCheck(webhook=webhook, checked_at=now)], ignore_conflicts=True)
    behind = Q(backfilled_to=None) | Q(backfilled_to__lt=to) | Q(backfilled_to__gt=now)
    RegistrationCheck.objects.filter(behind, webhook=webhook).update(backfilled_to=to)
