"""NetCash Pay Now: real posts prove nothing (api.netcash.co.za accept-response: no hash, no signature [A]).

A gateway of the company's own may add ``Hash``: lower-case hex MD5 of some fields and the secret, joined by "|". With
that field a post is genuine or refused; without it only NetCash's status service can tell.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from integrations.providers.payloads import pairs
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, Refused, Unverified, Verified

HASH = "Hash"
FIELDS = ("RequestTrace", "Reference", "Amount", "TransactionAccepted")

_MD5 = re.compile(rb"[0-9a-f]{32}")


def verify(
    delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
) -> Verified | Unverified:
    """`options["hash_fields"]`: the hashed fields in their order. Raises Refused: malformed_body, missing_field and,
    for a post with a hash, no_secret, malformed_hash, wrong_encoding, malformed_options, mismatch."""
    fields = _fields(delivery.body)
    if HASH.encode() in fields:
        return _by_hash(fields, secrets, options)
    if not fields.get(b"RequestTrace"):
        raise Refused("missing_field", "Neither Hash nor RequestTrace is there, so not even NetCash can vouch for it.")
    return Unverified("No hash came: NetCash's status service has to confirm it.")


def sign(payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
    """The form post, with a hash when there is a secret; with "" as NetCash itself sends it."""
    fields = {name: str(value) for name, value in payload.items() if name != HASH}
    if secret:
        values = [fields.get(name, "").encode() for name in FIELDS]
        fields[HASH] = _md5(values, parts.secret_bytes(secret)).decode()
    return Delivery(body=urlencode(fields).encode(), headers={"content-type": "application/x-www-form-urlencoded"})


def _by_hash(fields: Mapping[bytes, bytes], secrets: Sequence[str], options: Mapping[str, Json]) -> Verified:
    keys = parts.usable(secrets)
    given = fields[HASH.encode()]
    values = [fields.get(name, b"") for name in _hashed(options)]
    if not _MD5.fullmatch(given):
        if _MD5.fullmatch(given.lower()):
            raise Refused("wrong_encoding", "The hash is upper-case hex; lower-case was expected.")
        raise Refused("malformed_hash", "Hash is not the hex of 16 bytes.")
    for position, secret in keys:
        if parts.same(_md5(values, secret), given):
            return Verified(position, "MD5 in Hash")
    if any(parts.same(_md5(values, secret.strip()), given) for _, secret in keys):
        raise Refused("mismatch", "The secret begins or ends with a newline or space: without it, the hash holds.")
    names = ", ".join(name.decode(errors="replace") for name in _hashed(options))
    raise Refused("mismatch", f"No configured secret gives this hash over {names}.")


def _hashed(options: Mapping[str, Json]) -> list[bytes]:
    names = options.get("hash_fields") or FIELDS
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise Refused("malformed_options", "hash_fields in the webhook's metadata is not a list of field names.")
    return [name.encode("utf-8", "surrogatepass") for name in names]


def _md5(values: Sequence[bytes], secret: bytes) -> bytes:
    return hashlib.md5(b"|".join([*values, secret]), usedforsecurity=False).hexdigest().encode()


def _fields(body: bytes) -> dict[bytes, bytes]:
    try:
        return dict(pairs(body))
    except ValueError as error:
        raise Refused("malformed_body", f"The form can't be read: {error}") from error
