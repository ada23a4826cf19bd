"""Didit: two strong signatures, a weak one, and a time that must agree."""

import base64
import hmac
import json
from dataclasses import replace

import pytest

from integrations.providers.spec import Delivery, Verified
from tests.providers.rigs import BY_NAME, NOW, didit_delivery, with_headers

DIDIT = BY_NAME["didit-kyc"]


def test_didits_header_must_name_the_time_of_the_signed_body() -> None:
    delivery = with_headers(DIDIT.delivery(), x_timestamp=str(int(NOW) + 1))
    assert DIDIT.verdict(delivery, DIDIT.secrets[0]) == "timestamp_mismatch"


@pytest.mark.parametrize(("stamp", "reason"), [(None, "missing_header"), ("soon", "malformed_header")])
def test_didits_header_must_name_a_time(stamp: str | None, reason: str) -> None:
    delivery = with_headers(DIDIT.delivery(), x_timestamp=stamp)
    assert DIDIT.verdict(delivery, DIDIT.secrets[0]) == reason


@pytest.mark.parametrize("kept", ["x_signature", "x_signature_v2"])
def test_either_of_didits_strong_signatures_is_enough(kept: str) -> None:
    other = {"x_signature": "x_signature_v2", "x_signature_v2": "x_signature"}[kept]
    assert isinstance(DIDIT.verify(with_headers(DIDIT.delivery(), **{other: None})), Verified)
    assert isinstance(DIDIT.verify(with_headers(DIDIT.delivery(), **{other: "ab" * 32})), Verified)


def test_a_body_that_was_written_anew_on_the_way_still_holds_by_v2() -> None:
    delivery = DIDIT.delivery()
    verified = DIDIT.verify(replace(delivery, body=json.dumps(json.loads(delivery.body), indent=1).encode()))
    assert verified.detail == "HMAC-SHA256 in X-Signature-V2"


def test_didits_weak_signature_tells_an_altered_body_from_a_wrong_secret() -> None:
    delivery = DIDIT.delivery()
    altered = replace(delivery, body=delivery.body.replace(b"Thandi", b"Mallory"))
    assert DIDIT.verdict(altered, DIDIT.secrets[0]) == "body_altered"
    assert DIDIT.verdict(delivery, "another") == "mismatch"


def test_didits_secret_is_used_as_it_is_even_after_whsec() -> None:
    body = b'{"timestamp":1700000000}'
    signature = hmac.digest(b"whsec_AAAA", body, "sha256").hex()
    assert DIDIT.verdict(didit_delivery(body, x_signature=signature), "whsec_AAAA") == "taken"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000, b'{"timestamp":NaN}', b'{"timestamp":true}'])
def test_a_signed_body_of_didit_that_names_no_time_is_refused(body: bytes) -> None:
    signature = hmac.digest(b"secret", body, "sha256").hex()
    delivery = Delivery(body=body, headers={"x-signature": signature, "x-timestamp": "1"})
    assert DIDIT.verdict(delivery, "secret") in {"malformed_body", "timestamp_mismatch"}


def test_a_base64_signature_of_didit_is_told() -> None:
    value = base64.b64encode(b"a" * 32).decode()
    delivery = with_headers(DIDIT.delivery(), x_signature=value, x_signature_v2=None)
    assert DIDIT.verdict(delivery, "secret") == "wrong_encoding"
