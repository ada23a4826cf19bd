"""Where a delivery's time went, split by whose it was.

| part | from → to | whose |
|---|---|---|
| provider | sent → received | the provider's and the network's; known where the provider signs when it sent |
| commit | received → stored | the web process's and the database's |
| pickup | stored → first picked up | the queue's: broker, worker |
| work | last picked up → processed | the handler's |

An event that is tried again waits for hours by design. So its pick-up ends with its *first* try, and its work is that
of its last. What we made ourselves (tests, replays) counts nowhere, nor do duplicates. Time that runs backwards is no
time: two clocks disagree, and that is told apart.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Min

from integrations import seek
from webhooks.models import Attempt, WebhookLog
from webhooks.services import silence

MOST = 2000
"""Deliveries, the newest ones."""

_MS = timedelta(milliseconds=1)
_COUNTED = (WebhookLog.Status.PROCESSED, WebhookLog.Status.FAILED, WebhookLog.Status.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Milliseconds. `counted`: in how many deliveries; `backwards`: in how many more the clocks disagree, and by how
    much at most."""

    counted: int = 0
    p50: float | None = None
    p95: float | None = None
    max: float | None = None
    backwards: int = 0
    backwards_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Of the newest `counted` deliveries since `since`; `capped`: there are more."""

    since: datetime
    counted: int
    capped: bool
    provider: Part
    commit: Part
    pickup: Part
    work: Part


class _Row(NamedTuple):
    id: UUID
    status: str
    sent_at: datetime | None
    created_at: datetime
    stored_at: datetime | None
    started_at: datetime | None
    processed_at: datetime | None
    attempts: int
    revived_at: datetime | None


def split(webhook_id: UUID, *, since: datetime) -> Split:
    found = _newest(webhook_id, since)
    rows = found[:MOST]
    first_tries = _first_tries(rows)
    done = [row for row in rows if row.status == WebhookLog.Status.PROCESSED]
    return Split(
        since=since,
        counted=len(rows),
        capped=len(found) > MOST,
        provider=part((row.sent_at, row.created_at) for row in rows),
        commit=part((row.created_at, row.stored_at) for row in rows),
        pickup=part((row.stored_at, first_tries.get(row.id)) for row in rows),
        work=part((row.started_at, row.processed_at) for row in done),
    )


def part(spans: Iterable[tuple[datetime | None, datetime | None]]) -> Part:
    """Of those whose both ends are known."""
    known = [(end - start) / _MS for start, end in spans if start and end]
    times, back = sorted(ms for ms in known if ms >= 0), [-ms for ms in known if ms < 0]
    return Part(
        counted=len(times),
        p50=_quantile(times, 0.50),
        p95=_quantile(times, 0.95),
        max=times[-1] if times else None,
        backwards=len(back),
        backwards_max=max(back, default=None),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest rank: a time that did occur."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _newest(webhook_id: UUID, since: datetime) -> list[_Row]:
    """One more than are counted: each status apart, as the index has them, and merged."""
    rows = silence.genuine(webhook_id).filter(created_at__gte=since)
    parts = [rows.filter(status=status).values_list(*_Row._fields) for status in _COUNTED]
    return [_Row(*row) for row in seek.merged(parts, "-created_at", "-id", stop=MOST + 1)]


def _first_tries(rows: Sequence[_Row]) -> dict[UUID, datetime]:
    """When each was first picked up, as far as that is still known: later tries overwrite it in the row itself."""
    once = {row.id: row.started_at for row in rows if row.attempts == 1 and not row.revived_at and row.started_at}
    again = {row.id: row.attempts for row in rows if row.attempts and row.id not in once}
    tried = Attempt.objects.filter(log__in=list(again), target="handler").values_list("log").order_by()
    seen = tried.annotate(Min("at"), Count("pk")) if again else ()
    # A worker that was killed left no attempt: then the first of those that are there need not be the first.
    return once | {pk: at for pk, at, number in seen if number >= again[pk]}
