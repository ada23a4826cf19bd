"""Didit KYC: docs.didit.me [A], github didit-protocol/skills and didit-full-demo [A] (PROVIDERS §5)."""

from integrations.providers.answers import rest
from integrations.providers.payloads import at, changed, json_object, key, new_uuid, text, word
from integrations.providers.signatures import didit as scheme
from integrations.providers.spec import ApiKey, Delivery, Event, Json, Limit, Probe, Provider, Webhook


def parse(delivery: Delivery) -> list[Json]:
    return [json_object(delivery.body)]


def event(payload: Json, delivery: Delivery) -> Event:
    """The key is ``event_id``. One text calls it stable, another "unique per delivery attempt" [?]; the fields offered
    instead (session, type, status, second) would make two changes within one second the same and lose one of them,
    which is worse than handling one twice. They serve when there is no ``event_id``."""
    kind = word(at(payload, "webhook_type"))
    event_id = text(at(payload, "event_id"))
    fields = (text(at(payload, name)) for name in ("session_id", "webhook_type", "status", "timestamp"))
    return Event(kind, key(event_id) if event_id else key(*fields), payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    return changed(
        payload,
        {
            "event_id": new_uuid(delivery_id, "event"),
            "session_id": new_uuid(delivery_id, "session"),
            "business_session_id": new_uuid(delivery_id, "session"),
            "transaction_id": new_uuid(delivery_id, "transaction"),
            "timestamp": int(now),
            "created_at": int(now),
        },
    )


PROVIDER = Provider(
    slug="didit-kyc",
    name="Didit KYC",
    vendor="Didit",
    category="kyc",
    icon="scan-face",
    base_url_env="DIDIT_API_URL",
    base_url="https://verification.didit.me",
    auth=ApiKey(env="DIDIT_API_KEY", header="x-api-key"),
    # Proves the key, which /system/healthcheck does not. The final slash matters: without it a redirect drops the key
    # [A].
    probe=Probe(path="/v3/billing/balance/"),
    # {"detail": "…"}, or a map of fields for which the status has to speak [B]. 403: bad key, or no credits.
    read=rest("detail"),
    # Writes and, in the older docs, reads; the newer page allows 600 reads. 60 s window for each key [A, numbers ?].
    limit=Limit(
        requests=300,
        seconds=60,
        limit_header="X-RateLimit-Limit",
        remaining_header="X-RateLimit-Remaining",
        reset_header="X-RateLimit-Reset",
        reset="epoch",
    ),
    webhook=Webhook(
        path="/api/webhooks/didit/kyc",
        method="hmac_sha256",
        secret_env="DIDIT_WEBHOOK_SECRET",  # noqa: S106 - a name
        event_types=(
            "status.updated",
            "data.updated",
            "user.status.updated",
            "user.data.updated",
            "business.status.updated",
            "business.data.updated",
            "activity.created",
            "transaction.created",
            "transaction.status.updated",
            "travel_rule.status.updated",
        ),
        verify=scheme.verify,
        sign=scheme.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        # All that an identity check finds out, and all that our own systems attach to the person.
        personal=(
            "decision",
            "vendor_data",
            "metadata",
            "changes",
            "activity",
            "user",
            "business",
            "transaction",
            "counterparty",
        ),
    ),
    docs_url="https://docs.didit.me/",
)
