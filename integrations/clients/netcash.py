"""NetCash Pay Now: api.netcash.co.za [A], github Netcash-ZA/PayNow-WooCommerce [A] (PROVIDERS §6)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from integrations.clients.base import Client, Refusal
from integrations.providers import netcash
from integrations.providers.netcash import Status

SOFTWARE_VENDOR = "24ade73c-98cf-47b3-99be-cc7b867b3080"
"""The documented default for field m2 [A]; it names no shop."""
LONGEST_REFERENCE, LONGEST_DESCRIPTION, LONGEST_EXTRA = 25, 50, 50
MOST_RAND = Decimal(1_000_000)
_MOBILE = re.compile(r"0[0-9]{9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentForm:
    """A form for the payer's browser to post to `action`, in a whole window and never in a frame [A]."""

    action: str
    fields: dict[str, str] = field(repr=False)


def payment_form(
    client: Client,
    *,
    reference: str,
    description: str,
    amount: Decimal,
    email: str = "",
    mobile: str = "",
    extra: Sequence[str] = (),
    return_text: str = "",
    budget: bool = False,
    keep_card: bool = False,
) -> PaymentForm:
    """The form with which a payment begins; nothing is sent from here (PROVIDERS §6 [A]).

    `reference`: our own, never used before, 25 characters at most [C]. `description`: 50. `amount`: in rand, with two
    decimals at most. `extra`: up to three texts that come back in the notice. `return_text` is appended to the
    addresses that the payer returns to. `budget`: may be paid off by card. `keep_card`: NetCash returns a token for
    the next time.
    """
    _check(client, reference=reference, description=description, amount=amount, mobile=mobile, extra=extra)
    fields = {
        "m1": client.credential("NETCASH_SERVICE_KEY"), "m2": SOFTWARE_VENDOR, "p2": reference, "p3": description,
        "p4": f"{amount:.2f}", "Budget": "Y" if budget else "", "m9": email, "m10": return_text, "m11": mobile,
        "m14": "1" if keep_card else "",
        **{f"m{number}": told for number, told in enumerate(extra, start=4)},
    }  # fmt: skip
    return PaymentForm(
        action=client.url("/site/paynow.aspx", host="paynow"),
        fields={name: value for name, value in fields.items() if value},
    )


def transaction_status(client: Client, *, trace: str) -> Status:
    """What NetCash's own books say of a transaction, by its RequestTrace. GET /PayNow/TransactionStatus/Check, which
    needs no key (PROVIDERS §6 [B]).

    Raises ProviderError: permanent only when NetCash doesn't know the transaction; nothing else that it may answer
    says that it was not paid.
    """
    path, params = netcash.status_request(trace)
    try:
        answer = client.call("GET", path, params=params, authenticated=False, read=netcash.read_look_up)
    except Refusal as error:
        error.permanent = error.status in netcash.UNKNOWN
        raise
    return netcash.read_status(answer)


def _check(
    client: Client, *, reference: str, description: str, amount: Decimal, mobile: str, extra: Sequence[str]
) -> None:
    for what, told, longest in (
        ("a reference", reference, LONGEST_REFERENCE),
        ("a description", description, LONGEST_DESCRIPTION),
        *(("an extra field", text, LONGEST_EXTRA) for text in extra),
    ):
        if not 1 <= len(told) <= longest or not told.isprintable():
            raise client.invalid(f"{what} has 1 to {longest} printable characters.")
    if not amount.is_finite() or not 0 < amount <= MOST_RAND or amount != amount.quantize(Decimal("0.01")):
        raise client.invalid(f"an amount is 0.01 to {MOST_RAND:,} rand, with two decimals at most.")
    if mobile and not _MOBILE.fullmatch(mobile):
        raise client.invalid("a mobile number is 0 and nine digits.")
    if len(extra) > 3:
        raise client.invalid("there are three extra fields.")
