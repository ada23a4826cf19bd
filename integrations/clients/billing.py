"""Zoho Billing, once Subscriptions: zoho.com/billing/api/v1 [A] (PROVIDERS §3).

What it answers is given as it comes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from integrations.clients.base import Client, Page, moment
from integrations.providers.answers import json_of
from integrations.providers.payloads import at, compact, json_body, text
from integrations.providers.spec import Json, ProviderError

V = "/billing/v1"
PER_PAGE = 200
MOST_PAGES = 100
TOO_MANY = "too_many"
"""`ProviderError.code` of `events`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, whether its webhook arrived or not. `body` is what the webhook would bring, as text; "" where the
    list leaves it out."""

    id: str
    type: str
    at: datetime | None
    body: str = field(repr=False)

    @property
    def payload(self) -> Json:
        """What `body` says; None where that is nothing. Read anew each time: many are kept at once."""
        try:
            return json_body(self.body.encode()) if self.body else None
        except ValueError:
            return None


def plans(client: Client, *, page: int = 1, per_page: int = PER_PAGE) -> Page:
    """The plans, each known by its ``plan_code``. GET /plans (PROVIDERS §3 [A])."""
    return _page(client, "plans", page, per_page)


def customers(client: Client, *, page: int = 1, per_page: int = PER_PAGE) -> Page:
    """The customers. GET /customers (PROVIDERS §3 [A])."""
    return _page(client, "customers", page, per_page)


def subscriptions(client: Client, *, page: int = 1, per_page: int = PER_PAGE) -> Page:
    """The subscriptions. GET /subscriptions (PROVIDERS §3 [A])."""
    return _page(client, "subscriptions", page, per_page)


def events(
    client: Client, *, since: datetime, keep: Callable[[Sequence[Event]], Sequence[Event]] = tuple
) -> list[Event]:
    """All that happened from `since` on, the newest first; what has no time is among it. For the webhooks that were
    missed. GET /events (PROVIDERS §3 [A/C]). `keep` chooses those of a page that are wanted: a list may be long.

    No source says how Zoho sorts them [?], so only a page that is sorted and older ends the search. Raises
    ProviderError beyond 20,000 events: then ask for less.
    """
    if since.tzinfo is None:
        raise client.invalid("the time to begin at needs its time zone.")
    found: dict[str, Event] = {}  # by id: while we turn pages, new events push old ones on to the next
    for number in range(1, MOST_PAGES + 1):
        page = _page(client, "events", number, PER_PAGE)
        told = [_event(row) for row in page.rows]
        found |= {one.id: one for one in keep([one for one in told if one.at is None or one.at >= since])}
        if not page.more or _past(told, since):
            return sorted(found.values(), key=lambda one: one.at or since, reverse=True)
    words = f"{client.integration.name}: more than {MOST_PAGES * PER_PAGE:,} events: begin at a later time."
    raise ProviderError(words, permanent=True, code=TOO_MANY)


def event(client: Client, *, id: str) -> Event:  # noqa: A002 - what Zoho calls it
    """One event with what its webhook would bring. GET /events/{id} (PROVIDERS §3 [A])."""
    answer = client.call("GET", f"{V}/events/{client.part(id, 'event id')}", endpoint=f"{V}/events/{{id}}")
    return _event(client.found(answer, "event"))


def _page(client: Client, name: str, page: int, per_page: int) -> Page:
    if page < 1 or not 1 <= per_page <= PER_PAGE:
        raise client.invalid(f"pages count from 1, and have 1 to {PER_PAGE} rows.")
    answer = client.call("GET", f"{V}/{name}", params={"page": str(page), "per_page": str(per_page)})
    return Page(rows=client.rows(answer, name), more=at(json_of(answer), "page_context.has_more_page") is True)


def _event(row: dict[str, Json]) -> Event:
    """The payload comes as a text that holds JSON [A]; an object is taken as well."""
    told = row.get("payload")
    return Event(
        id=text(row.get("event_id")),
        type=text(row.get("event_type")),
        at=moment(row.get("event_time")),
        body=told if isinstance(told, str) else "" if told is None else compact(told).decode(),
    )


def _past(told: list[Event], since: datetime) -> bool:
    times = [one.at for one in told if one.at is not None]
    return bool(times) and times[-1] < since and all(newer >= older for newer, older in pairwise(times))
