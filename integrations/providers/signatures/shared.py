"""A secret that the sender simply repeats: in a header, or as the password of HTTP Basic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integrations.providers.payloads import compact
from integrations.providers.signatures import parts
from integrations.providers.spec import Delivery, Json, Method, Refused, Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
    """The secret stands in `header` or, with `basic`, is the Basic password (whatever the user name)."""

    header: str = "X-Webhook-Secret"
    basic: bool = True

    method: Method = "header_secret"

    def verify(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> Verified:
        """Raises Refused: no_secret, missing_header, malformed_header, mismatch."""
        if self.header.lower() in delivery.headers or not self.basic:
            given = parts.header_bytes(parts.header(delivery, self.header))
            return Verified(matching_secret(secrets, given), f"secret in {self.header}")
        if "authorization" not in delivery.headers:
            raise Refused("missing_header", f"Neither {self.header} nor a Basic password is there.")
        return Verified(matching_secret(secrets, _password(delivery)), "Basic password")

    def sign(self, payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        headers = {"content-type": "application/json", self.header.lower(): parts.as_header(secret)}
        return Delivery(body=compact(payload), headers=headers)


def matching_secret(secrets: Sequence[str], given: bytes) -> int:
    """The position of the secret that equals `given`; raises Refused with an autopsy."""
    keys = parts.usable(secrets)
    for position, secret in keys:
        if parts.same(secret, given):
            return position
    if any(parts.same(secret.strip(), given.strip()) for _, secret in keys):
        raise Refused("mismatch", "The secret begins or ends with a newline or space that the sender's copy hasn't.")
    raise Refused("mismatch", "The sender's secret is none of the configured ones.")


def _password(delivery: Delivery) -> bytes:
    scheme, _, encoded = parts.header(delivery, "Authorization").partition(" ")
    if scheme.lower() != "basic":
        raise Refused("malformed_header", "Authorization is there, but not as Basic.")
    _, colon, password = (parts.from_base64(parts.header_bytes(encoded.strip())) or b"").partition(b":")
    if not colon:
        raise Refused("malformed_header", "Authorization is not the base64 of user:password.")
    return password
