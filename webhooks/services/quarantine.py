"""Deliveries that were refused, kept for a week: `reverify` releases what was genuine once a secret is mended.

Bounded against a flood: of each webhook and hour the first hundred are kept, up to 64 KB each; the rest is counted.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from integrations import crypto, ids
from integrations.actor import Actor
from integrations.providers import spec
from webhooks.models import Refusal, RefusalTally
from webhooks.services import receive

KEPT_PER_HOUR = 100
KEPT_BYTES = 65_536
LIFE = timedelta(days=7)

Place = tuple[UUID, datetime]
"""A webhook and an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One refused delivery. `keep`: with its bytes, if there is room; `note`: with an entry in the activity log."""

    route: receive.Route
    delivery: spec.Delivery
    reason: str
    detail: str
    at: datetime
    caller: Actor
    keep: bool
    note: bool

    @property
    def place(self) -> Place:
        return self.route.webhook_id, hour_of(self.at)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


@transaction.atomic
def keep(refused: Sequence[Refused], counts: Mapping[Place, Mapping[str, int]]) -> dict[Place, int]:
    """Write down what was refused: rows as far as there is room, counts by reason, notes. Returns the room left."""
    room: dict[Place, int] = {}
    for place in sorted({*counts, *(one.place for one in refused)}):
        RefusalTally.objects.get_or_create(webhook_id=place[0], hour=place[1])
        tally = RefusalTally.objects.select_for_update().get(webhook_id=place[0], hour=place[1])
        wanted = [one for one in refused if one.keep and one.place == place][: max(0, KEPT_PER_HOUR - tally.kept)]
        Refusal.objects.bulk_create([_row(one) for one in wanted])
        tally.kept += len(wanted)
        tally.reasons = dict(Counter(tally.reasons) + Counter(counts.get(place, {})))
        tally.save(update_fields=["kept", "reasons"])
        room[place] = KEPT_PER_HOUR - tally.kept
    for one in refused:
        if one.note:
            receive.note_refusal(one.route, reason=one.reason, detail=one.detail, actor=one.caller, now=one.at)
    return room


def _row(one: Refused) -> Refusal:
    row = Refusal(
        id=ids.new(),
        webhook_id=one.route.webhook_id,
        reason=one.reason[:40],
        detail=receive.storable(one.detail)[:300],
        body=one.delivery.body[:KEPT_BYTES],
        truncated=len(one.delivery.body) > KEPT_BYTES,
        ip_address=one.caller.ip_address,
        user_agent=receive.storable(one.caller.user_agent)[:300],
        created_at=one.at,
    )
    row.sealed = crypto.seal(
        json.dumps({"headers": dict(one.delivery.headers), "query": one.delivery.query}), context=context(row.pk)
    )
    return row


# --- Opening what was kept -------------------------------------------------------------------------------------------


class Truncated(Exception):
    """Only the beginning of the body was kept: its signature can't be checked any more."""


def opened(refusal: Refusal) -> spec.Delivery:
    """The delivery as it came. Raises Truncated and CannotDecrypt."""
    if refusal.truncated:
        raise Truncated
    return kept(refusal)


def kept(refusal: Refusal) -> spec.Delivery:
    """What there is of it, though its body may have been cut. Raises CannotDecrypt."""
    sealed = json.loads(crypto.unseal(refusal.sealed, context=context(refusal.pk)))
    return spec.Delivery(body=bytes(refusal.body), headers=sealed["headers"], query=sealed["query"])


def context(pk: UUID) -> str:
    """What a refusal's sealed headers are bound to."""
    return f"refusal:{pk}"
