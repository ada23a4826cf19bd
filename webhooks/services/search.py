"""Finding text in deliveries.

Nothing holds an index of every word: it would cost each delivery more than all its other indexes together. So text is
looked for in so many deliveries at a time, from new to old, and whoever asks is told how far that was. An id or a
whole key has an index, and is found wherever it stands.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from integrations import providers, seek
from integrations.seek import Listing, Place
from webhooks.models import Webhook, WebhookLog
from webhooks.privacy import mask, personal
from webhooks.services.listing import Wanted

LOOKED_AT = 10_000
"""Deliveries in which text is looked for at a time; with their payloads:"""
LOOKED_INTO = 1_000
PAYLOAD_SPAN = timedelta(days=7)
"""Payloads are looked into within this much time: they are what is big."""
EXAMINED = 100
"""Payloads that hold the text somewhere, of which it is then asked where, at a time."""
SAME_KEY = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What holds the text, down to the place `looked_to`; None: everything was looked at."""

    listing: Listing[WebhookLog]
    looked_to: Place | None = None


def look(wanted: Wanted, text: str, *, now: datetime, below: Place | None = None) -> Found:
    """Those of `wanted` that `text` is the id or the key of. If there are none, those of the newest (below that place)
    whose event type, key or error holds it; where `wanted` spans a week at most, also those that show it in their
    payload.
    """
    if named := _named(wanted, text):
        return Found(Listing(wanted.rows().filter(pk__in=named)))
    into = _within_payload_span(wanted.since, wanted.until, now)
    size = LOOKED_INTO if into else LOOKED_AT
    listing = wanted.listing()
    if below:
        listing = listing.older(below)
    last = listing.places(size - 1, size + 1)
    to = last[0] if len(last) > 1 else None
    if to:
        listing = listing.down_to(to)
    found = _holds(text)
    if into:
        rows = wanted.rows().filter(pk__in=[place.pk for place in listing.places(0, size)])
        shown, nearer = _shown_in_payloads(rows, text, most=EXAMINED)
        if nearer:
            listing, to = listing.down_to(nearer), nearer
        found |= Q(pk__in=shown)
    return Found(listing.filter(found), to)


def _named(wanted: Wanted, text: str) -> list[UUID]:
    receivers = Webhook.objects.values("pk") if wanted.webhooks is None else list(wanted.webhooks)
    names = [Q(idempotency_key=text, claims_key=True, webhook__in=receivers)]
    names.append(Q(idempotency_key=text, claims_key=False))
    with suppress(ValueError):
        names.append(Q(pk=UUID(text)))
    each = [wanted.rows().filter(name).values_list("created_at", "pk") for name in names]
    return list({pk for _, pk in seek.union(each)[:SAME_KEY]})


def _within_payload_span(since: datetime | None, until: datetime | None, now: datetime) -> bool:
    return since is not None and (until or now) - since <= PAYLOAD_SPAN


def _holds(text: str) -> Q:
    return Q(event_type__icontains=text) | Q(idempotency_key__icontains=text) | Q(error_message__icontains=text)


def matching(
    rows: QuerySet[WebhookLog], text: str, *, since: datetime | None, until: datetime | None, now: datetime
) -> QuerySet[WebhookLog]:
    """All of `rows` that hold `text`, however long that takes: for work in the background.

    Of payloads only what is shown counts: a search that found masked fields would tell them letter by letter.
    """
    found = _holds(text)
    with suppress(ValueError):
        found |= Q(pk=UUID(text))
    if _within_payload_span(since, until, now):
        shown, _ = _shown_in_payloads(rows.filter(created_at__gte=since), text)
        found |= Q(pk__in=shown)
    return rows.filter(found)


def _shown_in_payloads(
    rows: QuerySet[WebhookLog], text: str, *, most: int | None = None
) -> tuple[list[UUID], Place | None]:
    """Those of `rows` that show `text` to everybody: looked for in the database, then in what isn't masked.

    When more than `most` hold it, those are asked, and the place of the last of them is told.
    """
    escaped = json.dumps(text)[1:-1]  # as some databases keep it
    said = Q(said__icontains=text) if escaped == text else Q(said__icontains=text) | Q(said__icontains=escaped)
    newest = rows.alias(said=Cast("payload", TextField())).filter(said).order_by("-created_at", "-id")
    columns = newest.values_list("created_at", "pk", "webhook__integration__slug", "payload")
    found = list(columns if most is None else columns[: most + 1])
    cut = most is not None and len(found) > most
    found = found[:most]
    shown = [pk for _, pk, slug, payload in found if text.casefold() in _shown(slug, payload).casefold()]
    return shown, Place(*found[-1][:2]) if cut else None


def _shown(slug: str, payload: Any) -> str:
    return json.dumps(mask(payload, personal(providers.get(slug))), ensure_ascii=False)
