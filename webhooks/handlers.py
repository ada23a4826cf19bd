"""What is done with events. An event without a handler is processed as recorded: kept, searchable, and nothing more.

`config/handlers.py` puts these into the table that the worker reads.
"""

from dataclasses import replace
from decimal import Decimal, InvalidOperation

from django.utils import timezone

from integrations.clients import desk
from integrations.clients import netcash as books
from integrations.clients.base import INVALID, Client, Refusal
from integrations.providers import netcash
from integrations.providers.payloads import at, compact, text
from integrations.providers.spec import Json, ProviderError
from oauth import services as oauth
from webhooks.models import WebhookLog
from webhooks.services.process import Confirmation, Effect, Event
from webhooks.services.receive import storable


def confirm_netcash(event: Event) -> Confirmation:
    """Real NetCash posts carry no hash: ask NetCash itself whether it made this payment, for this sum.

    Trace, reference, outcome and amount must agree with its own record, and the key is made of that record: a post
    that repeats a genuine payment in other words is its duplicate. The post's other fields prove nothing. Raises
    ProviderError: permanent when NetCash doesn't know it or says otherwise, not so when it can't be asked now.
    """
    claimed = event.payload
    # Once, and in less than the lease: an event that fails for now falls due again by itself.
    client = Client(integration=event.integration, retries=0, patience=5.0)
    status = books.transaction_status(client, trace=str(claimed.get("RequestTrace", "")))
    differing = [
        name
        for name, theirs, ours in (
            ("trace", status.trace, claimed.get("RequestTrace")),
            ("reference", status.reference, claimed.get("Reference")),
            ("outcome", str(status.accepted).lower(), str(claimed.get("TransactionAccepted", "")).lower()),
        )
        if theirs != ours
    ]
    if _amount(claimed.get("Amount")) != status.amount:
        differing.append("amount")
    if differing:
        raise ProviderError(f"NetCash's own record says otherwise: {', '.join(differing)} differ.", permanent=True)
    words = "Confirmed by NetCash's status service: trace, reference, amount and outcome agree."
    return Confirmation(words=words, key=netcash.key_of(status))


def _amount(text: object) -> Decimal | None:
    try:
        return Decimal(str(text)).quantize(Decimal("0.01"))
    except InvalidOperation:
        return None


# --- Zoho Desk -------------------------------------------------------------------------------------------------------

TICKET_EVENTS = (
    "Ticket_Add", "Ticket_Update", "Ticket_Delete", "Ticket_Thread_Add", "Ticket_Comment_Add", "Ticket_Comment_Update",
    "Ticket_Comment_Delete",
)  # fmt: skip
UNKNOWN = frozenset({400, 404, 422})
"""How Desk says that it has no such ticket, or that this is no ticket's id."""
NOTHING_TO_ASK_WITH = frozenset({"not_configured", "missing", "not_oauth"})
LONGEST = 2**20


def fetch_ticket(event: Event) -> Effect | None:
    """Desk's JWT proves who sent this, not what it says (PROVIDERS §4 [A]): keep beside it what Desk's own API says of
    the ticket, in the shape of the event.

    Raises ProviderError: permanent where Desk knows no such ticket. That a deleted one is unknown confirms its
    deletion. Whatever else Desk says is tried again, a dead grant too: an admin may mend it. Without a connection to
    Desk, and for tests, the event stays the hint that it is.
    """
    ticket_id = _ticket_of(event)
    if event.is_test or not ticket_id:
        return None
    # Once, and in less than the lease: an event that fails for now falls due again by itself.
    client = replace(oauth.client_of(event.integration), retries=0, timeout_s=5.0, patience=2.0)
    try:
        ticket: Json = desk.ticket(client, id=ticket_id)
    except ProviderError as error:
        if error.code in NOTHING_TO_ASK_WITH:
            return None
        if not _is_unknown(error):
            raise ProviderError(error.words, code=error.code, status=error.status) from error
        if event.type != "Ticket_Delete" or error.status != 404:
            words = f"A hint that Desk itself doesn't confirm: it knows no ticket {ticket_id}, or no longer."
            raise ProviderError(words, permanent=True, status=error.status) from error
        ticket = None
    said = {"eventType": event.type, "fetchedAt": timezone.now().isoformat(timespec="seconds"), "payload": ticket}
    if len(compact(said)) > LONGEST:
        said["payload"] = {"id": ticket_id, "tooLong": True}
    return lambda: WebhookLog.objects.filter(pk=event.log_id).update(fetched=storable(said))


def _ticket_of(event: Event) -> str:
    """The ticket that it names: of a comment or thread, the one that it belongs to."""
    ours = event.type in ("Ticket_Add", "Ticket_Update", "Ticket_Delete")
    return text(at(event.payload, "payload.id" if ours else "payload.ticketId"))


def _is_unknown(error: ProviderError) -> bool:
    return error.code == INVALID or (isinstance(error, Refusal) and error.permanent and error.status in UNKNOWN)
