"""HMAC-SHA256 of the body in a header: the commonest scheme, with its usual variations as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from integrations.providers.payloads import compact
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, Method, Refused, Verified


def body_of(delivery: Delivery, body: bytes) -> bytes:
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHmac:
    """`header` holds `prefix` and the digest, in one of `encodings`; we sign with the first.

    `message(delivery, body)` gives the bytes that are signed, where they are more than the body.
    """

    header: str
    encodings: tuple[parts.Encoding, ...] = ("hex",)
    prefix: str = ""
    message: Callable[[Delivery, bytes], bytes] = body_of

    method: Method = "hmac_sha256"

    def verify(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> Verified:
        """Raises Refused: no_secret, missing_header, malformed_header, wrong_encoding, malformed_body, mismatch."""
        given = self._digest(parts.header(delivery, self.header))

        def holds(key: bytes, body: bytes) -> bool:
            return parts.same(parts.hmac_sha256(key, self.message(delivery, body)), given)

        return Verified(parts.matching(secrets, delivery.body, holds), f"HMAC-SHA256 in {self.header}")

    def sign(self, payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        unsigned = Delivery(body=compact(payload), headers={"content-type": "application/json"})
        digest = parts.hmac_sha256(parts.secret_bytes(secret), self.message(unsigned, unsigned.body))
        value = digest.hex() if self.encodings[0] == "hex" else parts.to_base64(digest)
        return Delivery(body=unsigned.body, headers={**unsigned.headers, self.header.lower(): self.prefix + value})

    def _digest(self, value: str) -> bytes:
        if not value.startswith(self.prefix):
            raise Refused("malformed_header", f"{self.header} doesn't begin with {self.prefix!r}.")
        digest = value.removeprefix(self.prefix)
        readings = {encoding: parts.sha256_from(digest, encoding) for encoding in ("hex", "base64")}
        for encoding in self.encodings:
            if found := readings[encoding]:
                return found
        expected = " or ".join(self.encodings)
        for other, decoded in readings.items():
            if decoded:
                raise Refused("wrong_encoding", f"The signature is {other}; {expected} was expected.")
        raise Refused("malformed_header", f"{self.header} is not the {expected} of 32 bytes.")
