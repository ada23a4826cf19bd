"""Zoho Desk: a JWT in ``X-ZDesk-JWT``, RS256, under keys that Zoho publishes (desk.zoho.com/support/WebhookDocument.do
[A, stored copies]).

It says who calls, not what: the body isn't covered, so all that is verified is a hint. There is no secret; in its
place stands our organisation's id, which the issuer must name. The caller puts the published keys into
``options["jwks"]`` and fetches them again when a delivery is refused with ``unknown_key``.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from integrations.providers.payloads import at, compact, json_object, new_number
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, ProviderError, Refused, Sign, Verified

HEADER = "X-ZDesk-JWT"
LEEWAY = 60
"""Seconds by which Zoho's clock and ours may differ."""

_MILLISECONDS = 100_000_000_000  # as seconds, that would be the year 5138


def verify(delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]) -> Verified:
    """`secrets`: our organisation ids. `options["webhook_ids"]`: the webhooks we registered, when known.

    Raises Refused: no_secret, missing_header, malformed_header, wrong_algorithm, unknown_key, mismatch, stale,
    wrong_issuer, wrong_audience.
    """
    organisations = parts.usable(secrets)
    token = parts.header(delivery, HEADER)
    claims = _claims(token, _key(_kid(token), options.get("jwks")))
    _check_times(claims, now)
    issuer = str(claims.get("iss", "")).encode("utf-8", "surrogatepass")
    position = next((place for place, org in organisations if parts.same(b"orgId:" + org, issuer)), None)
    if position is None:
        raise Refused("wrong_issuer", "The JWT is genuine, but another organisation's.")
    _check_audience(claims.get("aud"), options.get("webhook_ids"))
    return Verified(position, f"RS256 in {HEADER}: the sender is Zoho Desk; the content is a hint", hint=True)


def sign(payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
    """Never: the key is Zoho's. The simulator and the tests sign with one of their own (`desk_signer`)."""
    raise ProviderError(
        "Zoho Desk signs with a key of its own, so nobody else can sign a test for it.", permanent=True
    )


def desk_signer(private_key: str | bytes, *, kid: str, webhook_id: str = "") -> Sign:
    """A `Sign` that plays Zoho Desk with `private_key` (PEM), published under `kid`; its secret is the organisation's
    id. Without a `webhook_id` it takes a number made of the delivery's id."""
    key = _private(private_key)

    def sign_as_desk(payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        claims = {
            "iss": f"orgId:{secret}",
            "aud": f"webhookId:{webhook_id or new_number(delivery_id, 'webhook')}",
            "iat": int(now),
            "exp": int(now) + 300,
        }
        token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})
        body = compact(payload if isinstance(payload, list) else [payload])
        return Delivery(body=body, headers={"content-type": "application/json", HEADER.lower(): token})

    return sign_as_desk


@lru_cache(maxsize=8)
def _private(pem: str | bytes) -> RSAPrivateKey:  # cached: reading one takes as long as signing fifty times
    key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("Zoho Desk signs with RSA.")
    return key


def _kid(token: str) -> str:
    """The key's name, read before anything is trusted: hence strictly, and with the only algorithm we take."""
    try:
        decoded = parts.from_base64url(parts.header_bytes(token.partition(".")[0]))
        head = json_object(decoded or b"")
    except ValueError as error:
        raise Refused("malformed_header", f"{HEADER} is not a JWT.") from error
    if head.get("alg") != "RS256":
        raise Refused("wrong_algorithm", "The JWT is not signed with RS256.")
    if not isinstance(head.get("kid"), str):
        raise Refused("malformed_header", "The JWT doesn't say which key signed it (kid).")
    return cast("str", head["kid"])


def _key(kid: str, jwks: Json) -> RSAPublicKey:
    published = at(jwks, "keys")
    for candidate in published if isinstance(published, list) else []:
        if at(candidate, "kid") == kid and at(candidate, "kty") == "RSA":
            try:
                return cast("RSAPublicKey", jwt.PyJWK(candidate, algorithm="RS256").key)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
                raise Refused("unknown_key", "The published key can't be read.") from error
    raise Refused(
        "unknown_key", "The JWT was signed with a key that Zoho hasn't published, or not yet when we looked."
    )


def _claims(token: str, key: RSAPublicKey) -> dict[str, Json]:
    try:
        claims = jwt.PyJWS(algorithms=["RS256"]).decode(token, key, algorithms=["RS256"])
        return json_object(claims)
    except jwt.InvalidSignatureError as error:
        raise Refused("mismatch", "The JWT's signature doesn't fit its key.") from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Refused("malformed_header", f"{HEADER} is not a JWT.") from error


def _check_times(claims: Mapping[str, Json], now: float) -> None:
    """`exp` must lie ahead, `iat` not. The docs say milliseconds, their sample has seconds: both are understood."""
    expires, issued = _seconds(claims.get("exp")), _seconds(claims.get("iat"))
    if expires is None:
        raise Refused("malformed_header", "The JWT doesn't say when it expires.")
    if now > expires + LEEWAY:
        raise Refused("stale", f"The JWT expired {round(now - expires):,} s ago.")
    if issued is not None and issued > now + LEEWAY:
        raise Refused("stale", f"The JWT was issued {round(issued - now):,} s in the future. Check the clock.")


def _seconds(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 10**15:
        return None
    return value / 1000 if abs(value) > _MILLISECONDS else float(value)


def _check_audience(audience: Json, webhook_ids: Json) -> None:
    if not webhook_ids:
        return
    ours = {f"webhookId:{webhook_id}" for webhook_id in _listed(webhook_ids)}
    if ours.isdisjoint(name for name in _listed(audience) if isinstance(name, str)):
        raise Refused("wrong_audience", "The JWT was made for a webhook that isn't among ours (webhook_ids).")


def _listed(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else [value]
