"""Clickatell's One API: github clickatell/clickatell-php [A], guides.clickatell.com [A] (PROVIDERS §8)."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from integrations.clients.base import FAILED, LOOK, Client, Refusal
from integrations.providers import payloads
from integrations.providers.answers import json_of
from integrations.providers.payloads import at

LONGEST_TEXT = 1600
"""Our own restraint: about ten parts, each of which is billed."""
LONGEST_ID = 64

_FILLING = re.compile(r"[\s().-]")
_NUMBER = re.compile(r"[1-9][0-9]{7,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is left, in `currency` ("" where that isn't told)."""

    amount: Decimal
    currency: str


def send_sms(client: Client, *, to: str, text: str, client_message_id: str = "") -> str:
    """Send one SMS; returns Clickatell's id of it, which its delivery reports carry as ``messageId``.

    `to`: a number with its country code, "+27 82 000 0000" or "27820000000". `client_message_id` comes back in the
    reports too. A message turned down inside a 202 or 207 is an error. Never sent twice by itself: nothing says that
    Clickatell would notice [?]. POST /v1/message (PROVIDERS §8 [A]).
    """
    message = {"channel": "sms", "to": number(client, to), "content": text}
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise client.invalid(f"an SMS has 1 to {LONGEST_TEXT:,} characters, this one {len(text):,}.")
    if len(client_message_id) > LONGEST_ID:
        raise client.invalid(f"a message's own id has at most {LONGEST_ID} characters.")
    if client_message_id:
        message["clientMessageId"] = client_message_id
    answer = client.call("POST", "/v1/message", json={"messages": [message]})
    results = client.rows(answer, "messages")
    message_id = payloads.text(at(results[0], "apiMessageId")) if results else ""
    if not message_id:
        words = f"{client.integration.name} answered HTTP {answer.status}, but without the message's id. {LOOK}"
        raise Refusal(words, permanent=True, code=FAILED, status=answer.status)
    return message_id


def balance(client: Client) -> Balance:
    """What is left of the prepaid credit. GET /v1/balance (PROVIDERS §8 [C])."""
    answer = client.call("GET", "/v1/balance")
    try:
        amount = Decimal(client.text(answer, "balance"))
    except InvalidOperation as error:
        raise client.without(answer, "a balance") from error
    return Balance(amount=amount, currency=payloads.text(at(json_of(answer), "currency")))


def number(client: Client, to: str) -> str:
    """`to` as Clickatell wants it: country code first, digits only (PROVIDERS §8 [A]). Raises ProviderError."""
    digits = _FILLING.sub("", to)
    digits = digits[2:] if digits.startswith("00") else digits.removeprefix("+")
    if digits.startswith("0"):
        raise client.invalid("the phone number lacks its country code: write +27 82 …, not 082 ….")
    if not digits.isascii() or not _NUMBER.fullmatch(digits):
        raise client.invalid("this is no phone number: one has 8 to 15 digits, its country code first.")
    return digits
