"""NetCash Pay Now: api.netcash.co.za [A], github Netcash-ZA/PayNow-WooCommerce [A] (PROVIDERS §6).

There is no call worth polling: ``ValidateServiceKey`` locks the account for ten minutes after failures [A]. Health is
told by the rhythm of payment notices.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from integrations.providers.answers import OK, json_of, rest
from integrations.providers.payloads import at, changed, form_body, key, new_number, text
from integrations.providers.signatures import netcash as scheme
from integrations.providers.spec import (
    Answer,
    ApiKey,
    Delivery,
    Event,
    Host,
    Json,
    Provider,
    ProviderError,
    Reading,
    Webhook,
)

STATUS_PATH = "/PayNow/TransactionStatus/Check"
UNKNOWN = (400, 404)
"""How the status service calls a transaction that it doesn't know; anything else says nothing about it."""

# --- Payment notices -------------------------------------------------------------------------------------------------


def parse(delivery: Delivery) -> list[Json]:
    """One form of texts, as NetCash names them."""
    fields = form_body(delivery.body)
    if "RequestTrace" not in fields and "Reference" not in fields:
        raise ValueError("it isn't a Pay Now notice: it has neither RequestTrace nor Reference.")
    return [fields]


def event(payload: Json, delivery: Delivery) -> Event:
    """NetCash names no event types; ours say what became of the transaction. Not accepted but "pending" (EFT, retail)
    is no failure: the same trace comes again once it is paid, so the key tells these apart."""
    accepted, reason = text(at(payload, "TransactionAccepted")), text(at(payload, "Reason"))
    return Event(_type(accepted, reason), key(text(at(payload, "RequestTrace")), accepted, reason or "-"), payload)


def _type(accepted: str, reason: str) -> str | None:
    if accepted.lower() == "true":
        return "TransactionAccepted"
    if accepted.lower() != "false":
        return None
    for sign, event_type in (("pending", "TransactionPending"), ("cancel", "TransactionCancelled")):
        if sign in reason.lower():
            return event_type
    return "TransactionDeclined"


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    trace = new_number(delivery_id, "trace", 12)
    return changed(payload, {"RequestTrace": trace, "Reference": f"TEST-{trace}"})


# --- Transaction status: NetCash's own word for a notice that proves nothing -----------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What NetCash's books say of one transaction; `amount` in rand and cents."""

    trace: str
    reference: str
    amount: Decimal
    accepted: bool
    reason: str


def status_request(trace: str) -> tuple[str, dict[str, str]]:
    """Path and query that ask for one transaction [B, four repositories]; needs no credential."""
    return STATUS_PATH, {"RequestTrace": trace}


def read_look_up(answer: Answer) -> Reading:
    """Judges the status service's answer: "I know nothing of it", in a 200, is an answer too."""
    return OK if _knows_nothing(answer) else PROVIDER.read(answer)


def read_status(answer: Answer) -> Status:
    """Raises ProviderError: permanent when NetCash doesn't know the transaction, not so when it can't say now."""
    if _knows_nothing(answer):
        raise ProviderError("NetCash doesn't know this transaction.", permanent=True, status=answer.status)
    reading = PROVIDER.read(answer)
    if reading.finding != "ok":
        unknown = answer.status in UNKNOWN
        raise ProviderError(f"NetCash's status service: {reading.words}", permanent=unknown, status=answer.status)
    body = json_of(answer)
    trace = text(at(body, "RequestTrace"))
    if not trace:
        raise ProviderError("NetCash doesn't know this transaction.", permanent=True, status=answer.status)
    return Status(
        trace=trace,
        reference=text(at(body, "Reference")),
        amount=_amount(text(at(body, "Amount"))),
        accepted=str(at(body, "TransactionAccepted")).lower() == "true",
        reason=text(at(body, "Reason")),
    )


def _knows_nothing(answer: Answer) -> bool:
    return answer.status == 200 and answer.body.strip() == b"null"


def key_of(status: Status) -> str | None:
    """The key of the notice that NetCash's own record would make: nothing that a forger writes is part of it."""
    record = {
        "RequestTrace": status.trace,
        "TransactionAccepted": str(status.accepted).lower(),
        "Reason": status.reason,
    }
    return event(record, Delivery(body=b"")).key


def _amount(told: str) -> Decimal:
    try:
        amount = Decimal(told).quantize(Decimal("0.01"))
    except InvalidOperation as error:
        raise ProviderError("NetCash's status service gave no amount.") from error
    if not amount.is_finite():
        raise ProviderError("NetCash's status service gave no amount.")
    return amount


PROVIDER = Provider(
    slug="netcash",
    name="NetCash Pay Now",
    vendor="NetCash",
    category="payment",
    icon="credit-card",
    base_url_env="NETCASH_WS_URL",
    base_url="https://ws.netcash.co.za",
    hosts={"paynow": Host(env="NETCASH_PAYNOW_URL", url="https://paynow.netcash.co.za")},
    auth=ApiKey(env="NETCASH_SERVICE_KEY"),  # the form's field ``m1``
    silence_hours=48,
    read=rest("Message", "message"),
    webhook=Webhook(
        path="/api/webhooks/netcash",
        method="md5_hash",
        secret_env="NETCASH_WEBHOOK_SECRET",  # noqa: S106 - a name
        event_types=("TransactionAccepted", "TransactionPending", "TransactionDeclined", "TransactionCancelled"),
        verify=scheme.verify,
        sign=scheme.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=("CardHolderIpAddr", "ccHolder", "ccMasked", "ccToken", "ccExpiry", "Extra1", "Extra2", "Extra3"),
    ),
    docs_url="https://api.netcash.co.za/inbound-payments/pay-now/",
)
