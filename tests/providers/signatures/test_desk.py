"""Zoho Desk: a JWT that says who, under keys that others publish."""

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from integrations.providers.signatures import (
    desk,
    desk_signer,
)
from integrations.providers.spec import Delivery, ProviderError, Refused
from tests.providers.rigs import BY_NAME, DESK_PRIVATE_KEY, JWKS, KID, NOW, ORG_IDS

DESK = BY_NAME["zoho-desk"]
CLAIMS = {"iss": f"orgId:{ORG_IDS[0]}", "aud": "webhookId:7", "iat": int(NOW), "exp": int(NOW) + 300}


def token(claims: Any = CLAIMS, *, key: Any = DESK_PRIVATE_KEY, algorithm: str = "RS256", **head: Any) -> Delivery:
    value = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": KID, **head})
    return Delivery(body=b"[]", headers={"x-zdesk-jwt": value})


def desk_verdict(delivery: Delivery, **options: Any) -> str:
    try:
        desk.verify(delivery, ORG_IDS, now=NOW, options={"jwks": JWKS, **options})
    except Refused as refused:
        return refused.reason
    return "taken"


def test_desks_proof_is_of_the_sender_and_so_the_content_is_a_hint() -> None:
    verified = DESK.verify(replace(DESK.delivery(), body=b'[{"anything":"at all"}]'))
    assert verified.hint


def test_desks_times_may_be_seconds_or_milliseconds() -> None:
    assert desk_verdict(token({**CLAIMS, "iat": int(NOW * 1000), "exp": int((NOW + 300) * 1000)})) == "taken"
    assert desk_verdict(token({**CLAIMS, "exp": int((NOW - 61) * 1000)})) == "stale"
    assert desk_verdict(token({**CLAIMS, "iat": int((NOW + 61) * 1000)})) == "stale"
    assert desk_verdict(token({name: claim for name, claim in CLAIMS.items() if name != "iat"})) == "taken"
    for never in (None, "tomorrow", True, 10**400):
        assert desk_verdict(token({**CLAIMS, "exp": never} if never else {"iss": CLAIMS["iss"]})) == "malformed_header"


def test_desk_must_speak_for_our_organisation_and_our_webhook() -> None:
    assert desk_verdict(token({**CLAIMS, "iss": "orgId:999"})) == "wrong_issuer"
    assert desk_verdict(token({**CLAIMS, "iss": ORG_IDS[0]})) == "wrong_issuer"
    assert desk_verdict(token(), webhook_ids=["7"]) == "taken"
    assert desk_verdict(token(), webhook_ids=[7]) == "taken"
    assert desk_verdict(token({**CLAIMS, "aud": ["other", "webhookId:7"]}), webhook_ids=["7"]) == "taken"
    assert desk_verdict(token(), webhook_ids=["8"]) == "wrong_audience"
    assert desk_verdict(token({**CLAIMS, "aud": {"a": 1}}), webhook_ids=["7"]) == "wrong_audience"
    assert desk_verdict(token(), webhook_ids="7") == "taken"


def test_no_other_algorithm_is_taken() -> None:
    public = serialization.load_pem_private_key(DESK_PRIVATE_KEY, None).public_key()
    assert desk_verdict(token(key=None, algorithm="none")) == "wrong_algorithm"
    assert desk_verdict(token(algorithm="RS512")) == "wrong_algorithm"
    # The classic: the published key, used as an HMAC secret. PyJWT won't make one, so it is made by hand.
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    segments = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": KID, "typ": "JWT"}, CLAIMS)
    ]
    signed = b".".join(segments)
    digest = base64.urlsafe_b64encode(hmac.digest(pem, signed, "sha256")).rstrip(b"=")
    forged = Delivery(body=b"[]", headers={"x-zdesk-jwt": (signed + b"." + digest).decode()})
    assert desk_verdict(forged) == "wrong_algorithm"


@pytest.mark.parametrize(
    "jwks",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": [1, {}, {"kid": KID}]},
        {"keys": [{"kid": KID, "kty": "oct", "k": "AAAA"}]},
        {"keys": [{"kid": KID, "kty": "RSA", "n": "!", "e": 5}]},
        {"keys": [{**JWKS["keys"][0], "kid": "another"}]},
    ],
)
def test_an_unknown_key_is_told_so_that_the_keys_can_be_fetched_again(jwks: Any) -> None:
    assert desk_verdict(token(), jwks=jwks) == "unknown_key"


def test_a_jwt_by_another_key_of_the_same_name_is_refused() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert desk_verdict(token(key=other)) == "mismatch"


@pytest.mark.parametrize(
    "head",
    [b"{", b"[]", b"[" * 9000, b'{"alg":"RS256"}', b'{"alg":"RS256","kid":7}', b"\xff", b'{"alg":["RS256"]}', b""],
)
def test_a_hostile_jwt_header_is_refused(head: bytes) -> None:
    value = base64.urlsafe_b64encode(head).decode().rstrip("=") + ".e30.AA"
    assert desk_verdict(Delivery(body=b"", headers={"x-zdesk-jwt": value})) in {"malformed_header", "wrong_algorithm"}


def test_a_genuine_jwt_around_nonsense_is_refused() -> None:
    for claims in (b"[]", b"[" * 9000, b"\xff", b""):
        value = jwt.PyJWS().encode(claims, DESK_PRIVATE_KEY, algorithm="RS256", headers={"kid": KID})
        assert desk_verdict(Delivery(body=b"", headers={"x-zdesk-jwt": value})) == "malformed_header"


def test_nobody_but_zoho_signs_for_zoho_desk() -> None:
    with pytest.raises(ProviderError, match="key of its own") as caught:
        DESK.webhook.sign({}, ORG_IDS[0], now=NOW, delivery_id="1")
    assert caught.value.permanent


def test_the_desk_signer_signs_for_a_named_webhook() -> None:
    delivery = desk_signer(DESK_PRIVATE_KEY.decode(), kid=KID, webhook_id="7")(
        {}, ORG_IDS[0], now=NOW, delivery_id="1"
    )
    assert desk_verdict(delivery, webhook_ids=["7"]) == "taken"
    assert desk_verdict(delivery, webhook_ids=["8"]) == "wrong_audience"
