"""Didit v3: docs.didit.me [A] (PROVIDERS §5). Its paths end in a slash: without it a redirect would drop the key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from integrations.clients.base import Client, Registered, words
from integrations.providers import payloads
from integrations.providers.answers import json_of
from integrations.providers.payloads import at
from integrations.providers.spec import Json

PER_PAGE = 100
MOST_PAGES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A verification that somebody is to go through at `url`; who has it is let in."""

    id: str
    url: str = field(repr=False)
    status: str
    workflow_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of it: `status` ("Approved", "Declined", "In Review" …), and in `content` all that was found out about
    the person, under plural names (``id_verifications``). Addresses of images in it end after an hour."""

    session_id: str
    status: str
    content: dict[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is left, in US dollars."""

    amount: Decimal
    refills_itself: bool


def create_session(
    client: Client,
    *,
    workflow_id: str,
    vendor_data: str = "",
    callback: str = "",
    language: str = "",
    email: str = "",
    phone: str = "",
    metadata: Mapping[str, Json] | None = None,
) -> Session:
    """Begin a verification. POST /v3/session/ (PROVIDERS §5 [A]).

    `vendor_data`: how we know the person; it comes back in webhooks. `callback`: where the browser goes at the end.
    Not tried again when no answer came: each session is billed.
    """
    given = {"vendor_data": vendor_data, "callback": callback, "language": language}
    content: dict[str, Json] = {"workflow_id": workflow_id, **{name: value for name, value in given.items() if value}}
    if reached := {name: value for name, value in (("email", email), ("phone", phone)) if value}:
        content["contact_details"] = reached
    if metadata:
        content["metadata"] = dict(metadata)
    answer = client.call("POST", "/v3/session/", json=content)
    told = client.found(answer, "")
    return Session(
        id=client.text(answer, "session_id"),
        url=client.text(answer, "url"),
        status=payloads.text(told.get("status")),
        workflow_id=payloads.text(told.get("workflow_id")),
    )


def decision(client: Client, *, session_id: str) -> Decision:
    """How a verification stands or ended. GET /v3/session/{id}/decision/, 100 a minute (PROVIDERS §5 [A])."""
    part = client.part(session_id, "session id")
    answer = client.call("GET", f"/v3/session/{part}/decision/", endpoint="/v3/session/{id}/decision/")
    return Decision(
        session_id=client.text(answer, "session_id"),
        status=client.text(answer, "status"),
        content=client.found(answer, ""),
    )


def balance(client: Client) -> Balance:
    """What is left to verify people with. GET /v3/billing/balance/ (PROVIDERS §5 [A])."""
    answer = client.call("GET", "/v3/billing/balance/")
    try:
        amount = Decimal(client.text(answer, "balance"))
    except InvalidOperation as error:
        raise client.without(answer, "a balance") from error
    return Balance(amount=amount, refills_itself=at(json_of(answer), "auto_refill_enabled") is True)


def destinations(client: Client) -> list[Registered]:
    """The webhooks that are registered. GET /v3/webhook/destinations/ (PROVIDERS §5 [A/B])."""
    found: list[Registered] = []
    for page in range(MOST_PAGES):
        params = {"limit": str(PER_PAGE), "offset": str(page * PER_PAGE)}
        answer = client.call("GET", "/v3/webhook/destinations/", params=params)
        found += [_registered(row) for row in client.rows(answer, "results")]
        if not at(json_of(answer), "next"):
            break
    return found


def _registered(row: dict[str, Json]) -> Registered:
    return Registered(
        id=payloads.text(row.get("uuid")) or payloads.text(row.get("id")),
        url=payloads.text(row.get("url")),
        events=words(row.get("subscribed_events")),
        enabled=row.get("enabled") is not False,
    )
