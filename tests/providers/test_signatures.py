"""Every scheme against published vectors, the libraries of those who invented it, and whatever bytes may come."""

import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrations.providers.signatures import (
    didit,
    standard,
)
from integrations.providers.spec import Delivery
from tests.providers.rigs import BY_NAME, didit_delivery

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "vectors.json").read_text())
OFFICIAL, COMPUTED = VECTORS["official"], VECTORS["computed"]


def standard_delivery(vector: dict[str, Any], brand: str = "svix", **changes: Any) -> Delivery:
    told = {**vector, **changes}
    names = {"id": told["id"], "timestamp": str(told["timestamp"]), "signature": told["signature"]}
    return Delivery(body=told["payload"].encode(), headers={f"{brand}-{name}": value for name, value in names.items()})


STANDARD = [*OFFICIAL["standard_webhooks"], *COMPUTED["standard_webhooks_svix_resend"]]


@pytest.mark.parametrize("brand", ["svix", "webhook"])
@pytest.mark.parametrize("vector", STANDARD, ids=lambda vector: vector["id"])
def test_standard_webhooks_vectors_hold_under_both_names_of_the_headers(vector: dict[str, Any], brand: str) -> None:
    delivery = standard_delivery(vector, brand)
    assert BY_NAME["resend"].verdict(delivery, vector["secret"], now=vector["timestamp"]) == "taken"
    made = standard.signature(
        vector["secret"], id=vector["id"], timestamp=vector["timestamp"], body=vector["payload"].encode()
    )
    assert made == vector["signature"]


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=", "mismatch"),
        ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLawdd", "mismatch"),
        ("v1,dawfeoifkpqwoekfpqoekf", "malformed_header"),
        ("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "malformed_header"),
        ("v9,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "malformed_header"),
        ("v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "malformed_header"),
        ("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "malformed_header"),
        ("v1,", "malformed_header"),
        ("v1,\xff\xfe", "malformed_header"),
        ("v1," + "8348" * 16, "wrong_encoding"),
    ],
)
def test_the_official_negative_vectors_and_their_like_are_refused(signature: str, reason: str) -> None:
    vector = OFFICIAL["standard_webhooks"][0]
    delivery = standard_delivery(vector, signature=signature)
    assert BY_NAME["resend"].verdict(delivery, vector["secret"], now=vector["timestamp"]) == reason


@pytest.mark.parametrize("vector", [*OFFICIAL["zoho_sign"], *COMPUTED["zoho_sign"]], ids=lambda v: v["payload"][:40])
def test_zoho_sign_vectors_hold(vector: dict[str, Any]) -> None:
    headers = {"x-zs-webhook-signature": vector["x_zs_webhook_signature"]}
    delivery = Delivery(body=vector["payload"].encode(), headers=headers)
    assert BY_NAME["zoho-sign"].verdict(delivery, vector["secret"]) == "taken"
    assert BY_NAME["zoho-sign"].verdict(replace(delivery, body=delivery.body[1:]), vector["secret"]) == "mismatch"


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("vector", COMPUTED["zoho_billing"], ids=lambda vector: vector["signing_string"][:24])
def test_zoho_billing_vectors_hold_in_hex_and_in_base64(vector: dict[str, Any], encoding: str) -> None:
    headers = {"x-zoho-webhook-signature": vector[encoding], "content-type": "application/json"}
    delivery = Delivery(body=vector["raw_json"].encode(), headers=headers, query=vector["query"])
    assert BY_NAME["zoho-billing"].verdict(delivery, vector["secret"]) == "taken"
    assert BY_NAME["zoho-billing"].verdict(replace(delivery, query="z=1"), vector["secret"]) == "mismatch"


@pytest.mark.parametrize("vector", COMPUTED["didit_x_signature_raw"], ids=lambda vector: vector["x_signature"][:8])
def test_didit_raw_vectors_hold(vector: dict[str, Any]) -> None:
    body = vector["raw_body"].encode()
    now = json.loads(body)["timestamp"]
    genuine = didit_delivery(body, x_signature=vector["x_signature"])
    assert BY_NAME["didit-kyc"].verdict(genuine, vector["secret"], now=now) == "taken"
    other = didit_delivery(body.replace(b":", b": ", 1), x_signature=vector["x_signature"])
    assert BY_NAME["didit-kyc"].verdict(other, vector["secret"], now=now) == "mismatch"


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("vector", COMPUTED["didit_x_signature_v2"], ids=lambda vector: vector["x_signature_v2"][:8])
def test_didit_v2_vectors_hold_however_the_json_was_written(vector: dict[str, Any], ascii_only: bool) -> None:
    body, now = json.dumps(vector["body"], indent=2, ensure_ascii=ascii_only).encode(), vector["body"]["timestamp"]
    assert didit.canonical(vector["body"]) == vector["canonical"].encode()
    good = didit_delivery(body, x_signature_v2=vector["x_signature_v2"])
    assert BY_NAME["didit-kyc"].verdict(good, vector["secret"], now=now) == "taken"
    prefixed = didit_delivery(body, x_signature_v2=vector["wrong_if_timestamp_prefixed"])
    assert BY_NAME["didit-kyc"].verdict(prefixed, vector["secret"], now=now) == "mismatch"


def test_didit_v2_is_taken_in_its_older_ascii_form_too() -> None:
    vector = COMPUTED["didit_x_signature_v2"][1]
    canonical = didit.canonical(vector["body"], ascii_only=True)
    assert canonical != didit.canonical(vector["body"])
    signature = hmac.digest(vector["secret"].encode(), canonical, "sha256").hex()
    delivery = didit_delivery(json.dumps(vector["body"]).encode(), x_signature_v2=signature)
    assert BY_NAME["didit-kyc"].verdict(delivery, vector["secret"], now=vector["body"]["timestamp"]) == "taken"


@pytest.mark.parametrize(
    ("raw", "simple"), list(zip(COMPUTED["didit_x_signature_v2"], COMPUTED["didit_x_signature_simple"], strict=True))
)
def test_didits_simple_signature_alone_is_refused_though_it_holds(raw: dict[str, Any], simple: dict[str, Any]) -> None:
    delivery = didit_delivery(json.dumps(raw["body"]).encode(), x_signature_simple=simple["x_signature_simple"])
    expected = hmac.digest(simple["secret"].encode(), simple["message"].encode(), "sha256").hex()
    assert simple["x_signature_simple"] == expected
    assert BY_NAME["didit-kyc"].verdict(delivery, raw["secret"], now=raw["body"]["timestamp"]) == "simple_only"
