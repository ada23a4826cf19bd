"""The way in: verify the raw bytes, read them, store them once.

`admit` is pure of the database and takes microseconds; `store` is one transaction for many deliveries. Between them
stands the lane (`webhooks/lane.py`), which answers only when `store` has committed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.base import ModelState
from django.utils import timezone

from integrations import activity, credentials, ids, providers
from integrations.actor import Actor
from integrations.models import Integration
from integrations.providers import payloads, spec
from webhooks.models import Webhook, WebhookLog

UNCONFIRMED_LIMIT = 1000
"""How many deliveries that only the provider can vouch for may wait at once, for each webhook."""

MAX_EVENTS = 1000
"""In one delivery. More is kept as it came, for a person to look at."""

Verdict = spec.Verified | spec.Unverified

_SECRET_HEADER = re.compile(r"authorization|cookie|secret|token|api-?key|jwt|password", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""How JSON can hold what a database can't."""


class NoSecret(Exception):
    """The webhook's secret is not configured: nothing can be verified, so nothing is accepted."""


class TooManyUnconfirmed(Exception):
    """More unverifiable deliveries wait for the provider's confirmation than we are ready to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A receiver as the lane needs it: one row of `Webhook` with its provider's declaration and its secrets of now."""

    webhook_id: UUID
    integration_id: UUID
    slug: str
    path: str
    secret_env: str
    secrets: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> spec.Provider:
        provider = providers.get(self.slug)
        assert provider is not None  # noqa: S101 - `routes` only builds routes of declared providers
        return provider

    @property
    def webhook(self) -> spec.Webhook:
        webhook = self.provider.webhook
        assert webhook is not None  # noqa: S101 - likewise
        return webhook


def routes() -> dict[str, Route]:
    """Every receiver by its path."""
    rows = Webhook.objects.select_related("integration")
    return {
        row.webhook_url: Route(
            webhook_id=row.pk,
            integration_id=row.integration_id,
            slug=row.integration.slug,
            path=row.webhook_url,
            secret_env=row.secret_env_var,
            secrets=credentials.secrets(row.secret_env_var),
            options=row.metadata,
        )
        for row in rows
        if (declared := providers.get(row.integration.slug)) and declared.webhook
    }


# --- Verify and read -------------------------------------------------------------------------------------------------


def admit(
    route: Route, delivery: spec.Delivery, *, now: datetime, options: Mapping[str, Any] | None = None
) -> list[WebhookLog]:
    """Judge one delivery and turn it into rows, one for each event; nothing is written yet.

    Raises `spec.Refused` when it isn't genuine and `NoSecret` when that can't be told.
    """
    return rows_of(route, delivery, judge(route, delivery, now=now, options=options), now=now)


def judge(
    route: Route, delivery: spec.Delivery, *, now: datetime, options: Mapping[str, Any] | None = None
) -> Verdict:
    """Whether the delivery is genuine, by its raw bytes alone. Raises as `admit` does."""
    if not route.secrets and route.webhook.method != "md5_hash":
        raise NoSecret(route.secret_env)
    try:
        return route.webhook.verify(
            delivery, route.secrets, now=now.timestamp(), options=route.options if options is None else options
        )
    except spec.Refused as refusal:
        if refusal.reason == "no_secret":
            raise NoSecret(route.secret_env) from refusal
        raise


def rows_of(route: Route, delivery: spec.Delivery, verdict: Verdict, *, now: datetime) -> list[WebhookLog]:
    """What a delivery that may be trusted says, one row for each event.

    What is genuine but makes no sense becomes a row that has failed for good: the provider has done its part, and its
    bytes are kept. Of a delivery with many events the first row holds the bytes and the others point at it.
    """
    try:
        said = route.webhook.parse(delivery)
        if len(said) > MAX_EVENTS:
            raise ValueError(f"it holds {len(said):,} events; {MAX_EVENTS:,} are read.")
        events = [route.webhook.event(payload, delivery) for payload in said]
    except ValueError as error:
        return [_row(route, delivery, verdict, None, now, unparsable=str(error))]
    if not events:
        return [_row(route, delivery, verdict, None, now, unparsable="it holds no event.")]
    if len(events) == 1 and events[0].payload is said[0] and _as_it_came(delivery):
        row = _row(route, delivery, verdict, events[0], now, plain=True)
        row.as_it_came = True
        return [row]
    first, *others = [_row(route, delivery, verdict, event, now) for event in events]
    for row in others:
        row.body, row.part_of = b"", first.pk
    return [first, *others]


def _row(
    route: Route,
    delivery: spec.Delivery,
    verdict: Verdict,
    event: spec.Event | None,
    now: datetime,
    *,
    unparsable: str = "",
    plain: bool = False,
) -> WebhookLog:
    """`plain`: the payload is known to hold nothing that a database can't keep."""
    verified = isinstance(verdict, spec.Verified)
    sent_at = verdict.sent_at if isinstance(verdict, spec.Verified) else None
    key = event.key if event else None
    return new_log(
        id=ids.new(),
        webhook_id=route.webhook_id,
        event_type=storable(event.type)[:200] if event and event.type else None,
        payload=(event.payload if plain else storable(event.payload)) if event else None,
        body=delivery.body,
        query_string=storable(delivery.query),
        headers=redacted(delivery.headers),
        status=WebhookLog.Status.FAILED if unparsable else WebhookLog.Status.PENDING,
        due_at=None if unparsable else now,
        verified=verified,
        verification=storable(verdict.detail)[:200],
        idempotency_key=storable(key)[:255] if key else None,
        claims_key=verified and key is not None,
        error_message=f"Genuine, but it can't be read: {unparsable}" if unparsable else "",
        created_at=now,
        sent_at=datetime.fromtimestamp(sent_at, UTC) if sent_at else None,
    )


_BLANK = {field.attname: field.get_default() for field in WebhookLog._meta.concrete_fields}


def new_log(**columns: Any) -> WebhookLog:
    """As `WebhookLog(**columns)` at a fifth of its cost, for this is the way of every delivery. `columns` must hold at
    least those whose default is made anew each time: id, created_at, headers."""
    row = WebhookLog.__new__(WebhookLog)
    row.__dict__.update(_BLANK, _state=ModelState(), **columns)
    return row


def _as_it_came(delivery: spec.Delivery) -> bool:
    """Whether the body, which was read, is a JSON object that can be stored as it is."""
    return delivery.body[:1] == b"{" and not payloads.is_form(delivery) and not _ESCAPED.search(delivery.body)


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers fit to be kept and shown: what carries a credential is named but not told."""
    kept = {}
    for name, value in headers.items():
        shown, secret = _header(name)
        kept[shown] = "[redacted]" if secret else _UNSTORABLE.sub("\ufffd", value)[:2000]
    return kept


@lru_cache(maxsize=1024)
def _header(name: str) -> tuple[str, bool]:
    return storable(name), _SECRET_HEADER.search(name) is not None


def storable(value: Any) -> Any:
    """`value` without the characters that a database can't keep (NUL, lone surrogates): each becomes U+FFFD.

    For the readable copy only; the body keeps every byte. Returns the very same object when nothing has to change.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


# --- Store -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def store(rows: Sequence[WebhookLog]) -> None:
    """Insert `rows`, all or none. The first verified row with a key claims it; the others become its duplicates.

    The unique constraint decides who is first, also among processes and within `rows`. A duplicate of an event that
    failed for good revives it, once: the provider has noticed, and offers another chance. May be repeated with the
    same rows when it isn't known whether the first try was committed. Raises TooManyUnconfirmed.
    """
    _bound_unconfirmed(rows)
    now = timezone.now()
    for row in rows:
        row.stored_at = now
        if row.status == WebhookLog.Status.DUPLICATE:  # by a try that was rolled back
            row.status, row.claims_key, row.due_at, row.duplicate_of = WebhookLog.Status.PENDING, True, now, None
    keyless = [row for row in rows if not row.claims_key]
    claimants = sorted((row for row in rows if row.claims_key), key=order)
    WebhookLog.objects.bulk_create(claimants, ignore_conflicts=True)
    stored = set(WebhookLog.objects.filter(pk__in=[row.pk for row in claimants]).values_list("pk", flat=True))
    duplicates = [row for row in claimants if row.pk not in stored]
    _become_duplicates(duplicates)
    WebhookLog.objects.bulk_create([*keyless, *duplicates], ignore_conflicts=True)
    for first in {row.duplicate_of for row in duplicates if row.duplicate_of}:
        revive(first, now=now)


def order(row: WebhookLog) -> tuple[str, UUID]:
    """In which rows are inserted everywhere: two batches that wait for each other's keys must not wait in a circle."""
    return row.idempotency_key or "", row.webhook_id


def _become_duplicates(rows: Sequence[WebhookLog]) -> None:
    wanted = {(row.webhook_id, row.idempotency_key) for row in rows}
    claimed = WebhookLog.objects.filter(
        webhook_id__in={webhook for webhook, _ in wanted},
        idempotency_key__in={key for _, key in wanted},
        claims_key=True,
    )
    firsts = {(webhook, key): pk for pk, webhook, key in claimed.values_list("pk", "webhook_id", "idempotency_key")}
    for row in rows:
        row.duplicate_of = firsts[row.webhook_id, row.idempotency_key]
        row.status, row.claims_key, row.due_at = WebhookLog.Status.DUPLICATE, False, None


def revive(log_id: UUID, *, now: datetime) -> bool:
    """Let an event that failed for good run once more, at most once in its life, and never without what is personal in
    it."""
    exhausted = WebhookLog.objects.filter(pk=log_id, status=WebhookLog.Status.FAILED, due_at=None, revived_at=None)
    exhausted = exhausted.filter(personal_dropped_at=None)
    return bool(exhausted.filter(payload__isnull=False).update(due_at=now, revived_at=now, attempts=0))


def _bound_unconfirmed(rows: Sequence[WebhookLog]) -> None:
    for webhook_id in {row.webhook_id for row in rows if not row.verified}:
        waiting = WebhookLog.objects.filter(webhook_id=webhook_id, verified=False, due_at__isnull=False)
        if waiting.count() >= UNCONFIRMED_LIMIT:
            raise TooManyUnconfirmed


# --- Refusals --------------------------------------------------------------------------------------------------------


def note_refusal(route: Route, *, reason: str, detail: str, actor: Actor, now: datetime) -> bool:
    """One activity entry for each webhook, reason and minute, so that outsiders can't flood the log."""
    return activity.record_once(
        actor=actor,
        action="webhook_verification_failed",
        key=f"webhook_verification_failed:{route.webhook_id}:{reason}:{now:%Y%m%d%H%M}",
        integration=Integration(pk=route.integration_id, slug=route.slug),
        outcome=activity.REFUSED,
        details={"webhook": route.path, "reason": reason, "detail": detail},
    )


def answer(rows: Sequence[WebhookLog]) -> dict[str, Any]:
    """What the provider is told once `rows` are durable."""
    body: dict[str, Any] = {"received": True}
    if rows:
        body["logId"] = str(rows[0].pk)
        if rows[0].duplicate_of:
            body["duplicateOf"] = str(rows[0].duplicate_of)
    if len(rows) > 1:
        body["logIds"] = [str(row.pk) for row in rows]
    return body
