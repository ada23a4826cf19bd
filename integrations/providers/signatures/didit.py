"""Didit: three signatures in three headers, of which two are worth something (docs.didit.me [A]; PROVIDERS §5).

``X-Signature`` is over the raw body, ``X-Signature-V2`` over a canonical form of its JSON, ``X-Signature-Simple`` over
four fields only: it leaves `decision` open to forgery and is refused when it comes alone. All are hex HMAC-SHA256
under the secret *as it is*, even when it begins with "whsec_". None covers the header ``X-Timestamp``, so that must
equal the `timestamp` in the signed body. Whether a retry gets a new one is undocumented: hence 600 s where the docs
say 300.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from integrations.providers.payloads import at, json_body, text
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, Refused, Verified

TOLERANCE = 600
RAW, V2, SIMPLE, TIMESTAMP = "X-Signature", "X-Signature-V2", "X-Signature-Simple", "X-Timestamp"


def verify(delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]) -> Verified:
    """Raises Refused: no_secret, missing_header, malformed_header, simple_only, malformed_body, body_altered,
    mismatch, timestamp_mismatch, stale."""
    verified = _by_signature(delivery, secrets)
    stamp = parts.integer(parts.header(delivery, TIMESTAMP), TIMESTAMP)
    if text(at(_json(delivery.body), "timestamp")) != str(stamp):
        raise Refused("timestamp_mismatch", f"{TIMESTAMP} differs from the timestamp in the signed body.")
    parts.recent(stamp, now, TOLERANCE)
    return replace(verified, sent_at=stamp)


def sign(payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
    """As Didit does: stamped at `now`, compact and sorted on the wire, with all three signatures."""
    stamped = {**payload, "timestamp": int(now)} if isinstance(payload, dict) else payload
    body = json.dumps(stamped, sort_keys=True, separators=(",", ":")).encode()
    key = parts.secret_bytes(secret)
    headers = {
        "content-type": "application/json",
        "user-agent": "DiditWebhook/2.0 +https://didit.me",
        TIMESTAMP.lower(): str(int(now)),
        RAW.lower(): parts.hmac_sha256(key, body).hex(),
        V2.lower(): parts.hmac_sha256(key, canonical(stamped)).hex(),
        SIMPLE.lower(): parts.hmac_sha256(key, _simple(stamped)).hex(),
    }
    return Delivery(body=body, headers=headers)


def canonical(value: Json, *, ascii_only: bool = False) -> bytes:
    """The JSON that V2 signs: keys sorted, no spaces, 92.0 written as 92. The docs' newer text leaves Unicode as it
    is, the older escapes it [?]; nothing of the timestamp is put before it (one repository says so, captures
    disagree)."""
    dumped = json.dumps(_shortened(value), sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only)
    return dumped.encode("utf-8", "surrogatepass")


def _by_signature(delivery: Delivery, secrets: Sequence[str]) -> Verified:
    given = {name: delivery.headers[name.lower()].strip() for name in (RAW, V2) if name.lower() in delivery.headers}
    if not given:
        if SIMPLE.lower() in delivery.headers:
            raise Refused("simple_only", f"{SIMPLE} alone doesn't cover the decision: let Didit send {RAW} or {V2}.")
        raise Refused("missing_header", f"Neither {RAW} nor {V2} is there.")
    digests = {name: digest for name, value in given.items() if (digest := parts.from_hex(value))}
    if not digests:
        raise Refused(*_unreadable(given))
    refusal: Refused | None = None
    for name, digest in digests.items():  # RAW first; V2 survives a proxy that wrote the JSON anew
        try:
            holds = _HOLDS[name](digest, delivery.body)
            return Verified(parts.matching(secrets, delivery.body, holds), f"HMAC-SHA256 in {name}")
        except Refused as error:
            refusal = refusal or error
    raise _explained(delivery, secrets, refusal or Refused("mismatch"))


def _over_raw(digest: bytes, body: bytes) -> parts.Holds:
    return lambda key, body: parts.same(parts.hmac_sha256(key, body), digest)


def _over_canonical(digest: bytes, body: bytes) -> parts.Holds:
    value = _json(body)
    forms = {canonical(value), canonical(value, ascii_only=True)}
    return lambda key, _: any(parts.same(parts.hmac_sha256(key, form), digest) for form in forms)


_HOLDS: dict[str, Callable[[bytes, bytes], parts.Holds]] = {RAW: _over_raw, V2: _over_canonical}


def _unreadable(given: Mapping[str, str]) -> tuple[str, str]:
    if any(parts.sha256_from(value, "base64") for value in given.values()):
        return "wrong_encoding", "The signature is base64; hex was expected."
    return "malformed_header", f"{' and '.join(given)}: not the hex of 32 bytes."


def _explained(delivery: Delivery, secrets: Sequence[str], refusal: Refused) -> Refused:
    """The weak signature is good for one thing: if it holds, the secret is right and the body isn't."""
    simple = parts.from_hex(delivery.headers.get(SIMPLE.lower(), "").strip())
    if not simple or refusal.reason != "mismatch":
        return refusal
    message = _simple(_json(delivery.body))
    if any(parts.same(parts.hmac_sha256(key, message), simple) for _, key in parts.usable(secrets)):
        return Refused("body_altered", f"{SIMPLE} holds, so the secret is right: the body was altered on the way.")
    return refusal


def _simple(payload: Json) -> bytes:
    fields = (text(at(payload, name)) for name in ("timestamp", "session_id", "status", "webhook_type"))
    return ":".join(fields).encode("utf-8", "surrogatepass")


def _json(body: bytes) -> Json:
    try:
        return json_body(body)
    except ValueError as error:
        raise Refused("malformed_body", f"The body can't be read: {error}") from error


def _shortened(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
