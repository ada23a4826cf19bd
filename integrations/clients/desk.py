"""Zoho Desk: desk.zoho.com/DeskAPIDocument [A, stored copies] (PROVIDERS §4). What it answers is given as it comes."""

from collections.abc import Mapping

from integrations.clients.base import Client, Page, Registered
from integrations.providers.payloads import text
from integrations.providers.spec import Json

V = "/api/v1"
MOST = 100
LAST = 4999


def tickets(client: Client, *, start: int = 0, limit: int = 50) -> Page:
    """Tickets from the one numbered `start` on, at most 100 and not beyond the 5,000th. GET /tickets (PROVIDERS §4
    [B]). Desk doesn't tell whether there are more: a full page means there may be."""
    return _page(client, f"{V}/tickets", f"{V}/tickets", start, limit)


def ticket(client: Client, *, id: str) -> dict[str, Json]:  # noqa: A002 - what Zoho calls it
    """One ticket. GET /tickets/{id} (PROVIDERS §4 [B])."""
    path, endpoint = _one(client, id)
    return client.found(client.call("GET", path, endpoint=endpoint), "")


def create_ticket(
    client: Client,
    *,
    subject: str,
    department_id: str,
    contact_id: str = "",
    contact: Mapping[str, Json] | None = None,
    description: str = "",
    more: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """Open a ticket for a contact that exists (`contact_id`) or is made or found by its fields (`contact`); `more` are
    further fields. Returns it with its ``id`` and ``ticketNumber``. POST /tickets (PROVIDERS §4 [B])."""
    if bool(contact_id) == bool(contact):
        raise client.invalid("a ticket has either contact_id or contact.")
    content: dict[str, Json] = {**(more or {}), "subject": subject, "departmentId": department_id}
    content |= {"contactId": contact_id} if contact_id else {"contact": dict(contact or {})}
    if description:
        content["description"] = description
    return client.found(client.call("POST", f"{V}/tickets", json=content), "")


def update_ticket(
    client: Client,
    *,
    id: str,  # noqa: A002 - likewise
    changes: Mapping[str, Json],
) -> dict[str, Json]:
    """Change fields of a ticket ("status"); returns it. PATCH /tickets/{id} (PROVIDERS §4 [B])."""
    if not changes:
        raise client.invalid("there is nothing to change.")
    path, endpoint = _one(client, id)
    return client.found(client.call("PATCH", path, endpoint=endpoint, json=dict(changes)), "")


def comments(client: Client, *, ticket_id: str, start: int = 0, limit: int = 50) -> Page:
    """A ticket's comments, as `tickets` counts. GET /tickets/{id}/comments (PROVIDERS §4 [B])."""
    return _page(client, *_one(client, ticket_id, "/comments"), start, limit)


def add_comment(client: Client, *, ticket_id: str, content: str, public: bool = False) -> str:
    """Write a comment below a ticket, `public` for the customer to read; returns its id. POST /tickets/{id}/comments
    (PROVIDERS §4 [B])."""
    if not content.strip():
        raise client.invalid("a comment says something.")
    path, endpoint = _one(client, ticket_id, "/comments")
    return client.text(
        client.call("POST", path, endpoint=endpoint, json={"content": content, "isPublic": public}), "id"
    )


def webhooks(client: Client) -> list[Registered]:
    """The webhooks that are registered. GET /webhooks (PROVIDERS §4 [A]).

    It needs a right that the sources call by two names, Desk.webhooks.READ and Desk.events.READ [?]; without it, this
    is an error that says so.
    """
    rows = client.rows(client.call("GET", f"{V}/webhooks"), "data")
    return [
        Registered(
            id=text(row.get("id")),
            url=text(row.get("url")),
            events=tuple(subscriptions) if isinstance(subscriptions := row.get("subscriptions"), dict) else (),
            enabled=row.get("isEnabled") is not False,
        )
        for row in rows
    ]


def _one(client: Client, ticket_id: str, more: str = "") -> tuple[str, str]:
    return f"{V}/tickets/{client.part(ticket_id, 'ticket id')}{more}", f"{V}/tickets/{{id}}{more}"


def _page(client: Client, path: str, endpoint: str, start: int, limit: int) -> Page:
    if not 0 <= start <= LAST or not 1 <= limit <= MOST:
        raise client.invalid(f"a page begins at 0 to {LAST:,} and has 1 to {MOST} rows.")
    answer = client.call("GET", path, endpoint=endpoint, params={"from": str(start), "limit": str(limit)})
    rows = client.rows(answer, "data")
    return Page(rows=rows, more=len(rows) == limit)
