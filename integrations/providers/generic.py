"""A provider of the company's own, in a few lines: a scheme, and where in the JSON the type and the id stand.

    ACME = Provider(
        slug="acme", …,
        read=answers.rest("error.message"),
        webhook=generic.webhook(
            path="/api/webhooks/acme",
            secret_env="WEBHOOK_ACME_SECRET",
            scheme=BodyHmac(header="X-Acme-Signature", prefix="sha256="),
            event_types=("order.paid",),
            type_at="event",
            id_at="order.id",
        ),
    )

Schemes: `BodyHmac` (hex or base64, with or without a prefix), `SharedSecret` (a header, or Basic), `StandardWebhooks`.
"""

from collections.abc import Sequence
from typing import Protocol

from integrations.providers.payloads import at, changed, iso, json_object, key, new_uuid, text, word
from integrations.providers.signatures import StandardWebhooks
from integrations.providers.spec import Delivery, Event, Json, Method, Sign, Verify, Webhook


class Scheme(Protocol):
    @property
    def method(self) -> Method: ...
    @property
    def verify(self) -> Verify: ...
    @property
    def sign(self) -> Sign: ...


def webhook(
    *,
    path: str,
    secret_env: str,
    scheme: Scheme,
    event_types: tuple[str, ...],
    type_at: str = "type",
    id_at: str = "id",
    time_at: str = "",
    personal: tuple[str, ...] = (),
) -> Webhook:
    """A webhook that delivers one JSON object for each event.

    `type_at`, `id_at` and `time_at` are dotted paths into it ("data.id"). The id must be the same at every attempt: it
    is the key. Standard Webhooks signs an id of its own, which goes before `id_at`; an unsigned header is no place for
    an id, because whoever repeats a delivery could give it a new one.
    """

    def parse(delivery: Delivery) -> Sequence[Json]:
        return [json_object(delivery.body)]

    def event(payload: Json, delivery: Delivery) -> Event:
        signed_id = scheme.message_id(delivery) if isinstance(scheme, StandardWebhooks) else ""
        return Event(word(at(payload, type_at)), key(signed_id or text(at(payload, id_at))), payload)

    def fresh(payload: Json, now: float, delivery_id: str) -> Json:
        values = {id_at: new_uuid(delivery_id), time_at: iso(now)}
        return changed(payload, {place: value for place, value in values.items() if place})

    return Webhook(
        path=path,
        method=scheme.method,
        secret_env=secret_env,
        event_types=event_types,
        verify=scheme.verify,
        sign=scheme.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=personal,
    )
