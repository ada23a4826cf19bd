"""Zoho Sign: zoho.com/sign/api [A]; webhooks: help.zoho.com "securing Zoho Sign webhooks with HMAC" [A] (PROVIDERS
§2)."""

from integrations.providers.payloads import at, changed, json_object, key, new_number, text, word
from integrations.providers.signatures import BodyHmac
from integrations.providers.spec import Delivery, Event, Json, Limit, Probe, Provider, Webhook
from integrations.providers.zoho.answers import reader
from integrations.providers.zoho.oauth import hosts, oauth2

# base64 of HMAC-SHA256 over the raw body, no timestamp. The docs' "payload+secret_key" misleads: their own vector
# holds with the secret as the key and nothing appended. The console's "Test URL" sends an unsigned sample [C].
SCHEME = BodyHmac(header="X-ZS-WEBHOOK-SIGNATURE", encodings=("base64",))


def parse(delivery: Delivery) -> list[Json]:
    return [json_object(delivery.body)]


def event(payload: Json, delivery: Delivery) -> Event:
    """There is no event id. ``request_id`` comes as text in one capture, as a number in another [?]: always taken as
    text. ``action_id`` is there for signers' events only."""
    operation = at(payload, "notifications.operation_type")
    identity = key(
        text(at(payload, "requests.request_id")),
        word(operation) or "",
        text(at(payload, "notifications.performed_at")),
        text(at(payload, "notifications.action_id")) or "-",
    )
    return Event(word(operation), identity, payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    millis = int(now * 1000)
    return changed(
        payload,
        {
            "requests.request_id": new_number(delivery_id, "request"),
            "requests.modified_time": millis,
            "requests.action_time": millis,
            "notifications.performed_at": millis,
            "notifications.action_id": new_number(delivery_id, "action"),
        },
    )


PROVIDER = Provider(
    slug="zoho-sign",
    name="Zoho Sign",
    vendor="Zoho",
    category="crm",
    icon="signature",
    base_url_env="ZOHO_SIGN_URL",
    base_url="https://sign.zoho.com",
    regions=hosts("sign"),
    auth=oauth2("ZohoSign.documents.ALL", "ZohoSign.account.READ"),
    probe=Probe(path="/api/v1/requests", params={"data": '{"page_context":{"row_count":1,"start_index":1}}'}),  # [C]
    # {"code": 9101, "status": "failure"} can stand in a 200; 0 is success (error-codes.html [A]).
    read=reader(code="code", success=frozenset({"0"})),
    limit=Limit(requests=50, seconds=60, each="endpoint"),  # api-limitations.html [A]; no headers tell
    webhook=Webhook(
        path="/api/webhooks/zoho/sign",
        method="hmac_sha256",
        secret_env="ZOHO_SIGN_WEBHOOK_SECRET",  # noqa: S106 - a name
        # Labels [A], names [B, four repositories]; RequestApproved was seen in code.
        event_types=(
            "RequestSubmitted",
            "RequestViewed",
            "RequestSigningSuccess",
            "RequestCompleted",
            "RequestRejected",
            "RequestForwarded",
            "RequestExpired",
            "RequestRecalled",
            "RequestApproved",
        ),
        verify=SCHEME.verify,
        sign=SCHEME.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=(
            "requests.owner_email",
            "requests.owner_first_name",
            "requests.owner_last_name",
            "requests.actions.recipient_email",
            "requests.actions.recipient_name",
            "requests.actions.recipient_phonenumber",
            "notifications.performed_by_email",
            "notifications.performed_by_name",
            "notifications.ip_address",
            "notifications.latitude",
            "notifications.longitude",
        ),
    ),
    docs_url="https://www.zoho.com/sign/api/",
)
