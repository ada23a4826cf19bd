"""Standard Webhooks, which Svix and so Resend use (standard-webhooks/standard-webhooks spec b2fa7b87 [A]).

Signed is ``{id}.{timestamp}.{body}``, HMAC-SHA256 under the base64-decoded secret (without "whsec_"); the header holds
"v1," and base64, several of them space-separated while secrets rotate. Our own rather than the library's: for
malformed headers that one raises ValueError, binascii.Error or UnicodeDecodeError, and it takes fractional timestamps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integrations.providers.payloads import compact
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, Method, Refused, Verified

TOLERANCE = 300


def signature(secret: str, *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - the standard's word
    """The header's value for one secret ("v1,…"). Raises ValueError when the secret isn't base64."""
    key = _key(parts.secret_bytes(secret))
    if not key:
        raise ValueError("A Standard Webhooks secret is base64, usually after whsec_.")
    return "v1," + parts.to_base64(parts.hmac_sha256(key, _message(parts.header_bytes(id), timestamp, body)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWebhooks:
    """`brands` begin the three headers ("svix-id" …): the first complete set counts, and we sign with the first."""

    brands: tuple[str, ...] = ("webhook", "svix")
    tolerance: int = TOLERANCE

    method: Method = "standard_webhooks"

    def verify(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> Verified:
        """Raises Refused: no_secret, malformed_secret, missing_header, malformed_header, wrong_encoding, mismatch, and
        stale, which is said only of a delivery that is otherwise genuine."""
        brand = self._brand(delivery)
        message_id, stamp, given = (parts.header(delivery, f"{brand}-{name}") for name in _NAMES)
        timestamp = parts.integer(stamp, f"{brand}-timestamp")
        candidates = _candidates(given, f"{brand}-signature")

        def holds(secret: bytes, body: bytes) -> bool:
            key = _key(secret)
            if not key:
                return False
            digest = parts.hmac_sha256(key, _message(parts.header_bytes(message_id), timestamp, body))
            return any(parts.same(digest, candidate) for candidate in candidates)

        position = _position(secrets, delivery.body, holds)
        parts.recent(timestamp, now, self.tolerance)
        return Verified(position, f"Standard Webhooks v1 in {brand}-signature", sent_at=timestamp)

    def sign(self, payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        brand, body, timestamp = self.brands[0], compact(payload), int(now)
        headers = {
            "content-type": "application/json",
            f"{brand}-id": delivery_id,
            f"{brand}-timestamp": str(timestamp),
            f"{brand}-signature": signature(secret, id=delivery_id, timestamp=timestamp, body=body),
        }
        return Delivery(body=body, headers=headers)

    def message_id(self, delivery: Delivery) -> str:
        """The delivery's id, the same at each attempt; "" when it has none. Meant for what has been verified."""
        found = (delivery.headers.get(f"{brand}-id", "") for brand in self.brands if _complete(delivery, brand))
        return next(found, "").strip(" \t")

    def _brand(self, delivery: Delivery) -> str:
        for brand in self.brands:
            if _complete(delivery, brand):
                return brand
        began = [brand for brand in self.brands if any(f"{brand}-{name}" in delivery.headers for name in _NAMES)]
        return [*began, *self.brands][0]  # the one whose headers are incomplete: `parts.header` names what is missing


_NAMES = ("id", "timestamp", "signature")


def _complete(delivery: Delivery, brand: str) -> bool:
    return all(f"{brand}-{name}" in delivery.headers for name in _NAMES)


def _key(secret: bytes) -> bytes | None:
    return parts.from_base64(secret.removeprefix(b"whsec_")) or None


def _message(message_id: bytes, timestamp: int, body: bytes) -> bytes:
    return b"%b.%d.%b" % (message_id, timestamp, body)


def _candidates(value: str, name: str) -> list[bytes]:
    """The v1 digests in the header; other versions (v1a is Ed25519) are not ours to judge."""
    texts = [part.removeprefix("v1,") for part in value.split() if part.startswith("v1,")]
    if not texts:
        raise Refused("malformed_header", f"{name} holds no v1 signature.")
    found = [digest for text in texts if (digest := parts.sha256_from(text, "base64"))]
    if found:
        return found
    if any(parts.from_hex(text) for text in texts):
        raise Refused("wrong_encoding", "The signature is hex; base64 was expected.")
    raise Refused("malformed_header", f"The v1 signature in {name} is not the base64 of 32 bytes.")


def _position(secrets: Sequence[str], body: bytes, holds: parts.Holds) -> int:
    try:
        return parts.matching(secrets, body, holds)
    except Refused as refusal:
        if refusal.reason == "mismatch" and not any(_key(parts.secret_bytes(secret.strip())) for secret in secrets):
            raise Refused("malformed_secret", "No configured secret is base64, as whsec_… would be.") from refusal
        raise
