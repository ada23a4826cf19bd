"""HMAC of the body: what an operator is told when it fails, and Zoho Billing's variation."""

import base64
import hmac
from typing import Any

import pytest

from integrations.providers.signatures import (
    BodyHmac,
)
from integrations.providers.spec import Delivery, Refused, Verified
from tests.providers.rigs import BY_NAME, NOW, with_headers


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("secret\n", "secret", "begins or ends with a newline"),
        ('"secret"', "secret", "in quotes"),
        ("secret", "secret\n", "The sender's copy of the secret ends with a newline"),
    ],
)
def test_the_autopsy_tells_what_is_wrong_with_the_secret(ours: str, theirs: str, words: str) -> None:
    scheme = BodyHmac(header="X-Acme")
    delivery = scheme.sign({}, theirs, now=NOW, delivery_id="1")
    with pytest.raises(Refused, match=words) as caught:
        scheme.verify(delivery, [ours], now=NOW, options={})
    assert caught.value.reason == "mismatch"


@pytest.mark.parametrize(("altered", "word"), [(b"{}\n", "gained"), (b"{}", "lost")])
def test_the_autopsy_sees_a_final_newline_come_or_go(altered: bytes, word: str) -> None:
    scheme, sent = BodyHmac(header="X-Acme"), b"{}" if word == "gained" else b"{}\n"
    delivery = Delivery(body=altered, headers={"x-acme": hmac.digest(b"secret", sent, "sha256").hex()})
    with pytest.raises(Refused, match=word):
        scheme.verify(delivery, ["secret"], now=NOW, options={})


@pytest.mark.parametrize(
    ("encodings", "value", "reason", "words"),
    [
        (("base64",), "ab" * 32, "wrong_encoding", "The signature is hex; base64 was expected."),
        (("hex",), base64.b64encode(b"a" * 32).decode(), "wrong_encoding", "The signature is base64; hex was"),
        (("hex",), "ab" * 31, "malformed_header", "not the hex of 32 bytes"),
        (("hex", "base64"), "garbage", "malformed_header", "not the hex or base64 of 32 bytes"),
    ],
)
def test_a_signature_in_the_wrong_encoding_is_told(encodings: Any, value: str, reason: str, words: str) -> None:
    delivery = Delivery(body=b"{}", headers={"x-acme": value})
    with pytest.raises(Refused, match=words) as caught:
        BodyHmac(header="X-Acme", encodings=encodings).verify(delivery, ["secret"], now=NOW, options={})
    assert caught.value.reason == reason


def test_a_missing_prefix_is_told() -> None:
    delivery = Delivery(body=b"{}", headers={"x-acme": "ab" * 32})
    with pytest.raises(Refused, match="doesn't begin with 'sha256='"):
        BodyHmac(header="X-Acme", prefix="sha256=").verify(delivery, ["secret"], now=NOW, options={})


def test_hex_is_taken_in_capitals_too() -> None:
    rig = BY_NAME["zoho-billing"]
    delivery = rig.delivery()
    upper = delivery.headers["x-zoho-webhook-signature"].upper()
    assert isinstance(rig.verify(with_headers(delivery, x_zoho_webhook_signature=upper)), Verified)


def test_the_age_of_a_stale_delivery_is_told() -> None:
    rig = BY_NAME["resend"]
    with pytest.raises(Refused, match="412 s old"):
        rig.verify(rig.delivery(now=NOW - 412))
    with pytest.raises(Refused, match=r"1,000 s in the future.*Check the clock"):
        rig.verify(rig.delivery(now=NOW + 1000))


def test_a_signature_of_zoho_payments_is_told_apart() -> None:
    delivery = with_headers(
        BY_NAME["zoho-billing"].delivery(), x_zoho_webhook_signature=f"t=1700000000000,v={'a' * 64}"
    )
    with pytest.raises(Refused, match="Zoho Payments") as caught:
        BY_NAME["zoho-billing"].verify(delivery)
    assert caught.value.reason == "malformed_header"


def test_form_pairs_are_signed_decoded_and_sorted_with_those_of_the_query() -> None:
    message = "a1b2 3c" + "é"
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-zoho-webhook-signature": hmac.digest(b"secret", message.encode(), "sha256").hex(),
    }
    delivery = Delivery(body=b"b=2+3&c=%C3%A9", headers=headers, query="a=1")
    assert BY_NAME["zoho-billing"].verdict(delivery, "secret") == "taken"
