"""The schemes that only Zoho CRM and Zoho Billing have. (Zoho Sign's is a plain `BodyHmac`, Desk's is in desk.py.)"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integrations.providers.payloads import at, compact, is_form, json_body, pairs
from integrations.providers.signatures import parts
from integrations.providers.signatures.hmacs import BodyHmac
from integrations.providers.signatures.shared import matching_secret
from integrations.providers.spec import Delivery, Json, Method, Refused, Verified

# --- Billing ---------------------------------------------------------------------------------------------------------

_PAYMENTS = re.compile(r"t=[0-9]+,\s*v=", re.IGNORECASE)


def billing_message(delivery: Delivery, body: bytes) -> bytes:
    """Query and form pairs, URL-decoded and sorted by name, run together without separators; then the raw JSON body.

    zoho.com/us/subscriptions/kb/webhooks/securing-webhooks.html [A]. Raises Refused when there are too many pairs.
    """
    form = is_form(delivery)
    try:
        signed = pairs(delivery.query.encode("latin-1", "backslashreplace")) + (pairs(body) if form else [])
    except ValueError as error:
        raise Refused("malformed_body", f"The pairs can't be read: {error}") from error
    joined = b"".join(name + value for name, value in sorted(signed, key=lambda pair: pair[0]))
    return joined if form else joined + body


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingHmac(BodyHmac):
    """Zoho Billing. Hex or base64 isn't documented: verifiers out there use lower-case hex, both are taken [?].

    Zoho Payments uses the same header for another scheme (zoho.com/in/payments/developerdocs/webhooks [A]).
    """

    def verify(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> Verified:
        if _PAYMENTS.match(delivery.headers.get(self.header.lower(), "").strip()):
            raise Refused("malformed_header", "This is Zoho Payments' signature (t=…,v=…): it posts to the wrong URL.")
        return BodyHmac.verify(self, delivery, secrets, now=now, options=options)


# --- CRM -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyToken:
    """Zoho CRM: a notification repeats its channel's token in the body; workflow webhooks, whose body is ours to
    shape, carry the same secret in a header of their own. Nothing is signed: the secret is all there is."""

    field: str = "token"
    header: str = "X-Webhook-Secret"

    method: Method = "body_token"

    def verify(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> Verified:
        """Raises Refused: no_secret, malformed_body, missing_token, malformed_token, mismatch."""
        if self.header.lower() in delivery.headers:
            given = parts.header_bytes(parts.header(delivery, self.header))
            return Verified(matching_secret(secrets, given), f"secret in {self.header}")
        return Verified(matching_secret(secrets, self._token(delivery.body)), f"`{self.field}` in the body")

    def sign(self, payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        """A notification (it names its channel) gets the token, anything else the header."""
        headers = {"content-type": "application/json"}
        if not at(payload, "channel_id"):
            return Delivery(body=compact(payload), headers={**headers, self.header.lower(): parts.as_header(secret)})
        return Delivery(body=compact({**payload, self.field: secret}), headers=headers)

    def _token(self, body: bytes) -> bytes:
        try:
            token = at(json_body(body), self.field)
        except ValueError as error:
            raise Refused("malformed_body", f"The body can't be read: {error}") from error
        if token is None:
            raise Refused("missing_token", f"Neither {self.header} nor `{self.field}` in the body is there.")
        if not isinstance(token, str) or not token:
            raise Refused("malformed_token", f"`{self.field}` in the body is not a text.")
        return token.encode("utf-8", "surrogatepass")
