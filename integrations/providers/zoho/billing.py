"""Zoho Billing, once Subscriptions: zoho.com/billing/api/v1 [A] (PROVIDERS §3)."""

from collections.abc import Mapping

from integrations.providers.payloads import (
    at,
    changed,
    form_body,
    is_form,
    iso,
    json_object,
    key,
    new_number,
    text,
    word,
)
from integrations.providers.signatures import BillingHmac
from integrations.providers.signatures.zoho import billing_message
from integrations.providers.spec import Delivery, Event, Json, Limit, Probe, Provider, Webhook
from integrations.providers.zoho.answers import reader
from integrations.providers.zoho.oauth import API, first_organisation, oauth2

SCHEME = BillingHmac(header="X-Zoho-Webhook-Signature", encodings=("hex", "base64"), message=billing_message)


def headers(values: Mapping[str, str]) -> dict[str, str]:
    """Every call but ``/organizations`` must name the organisation [A]."""
    organisation = first_organisation(values)
    return {"X-com-zoho-subscriptions-organizationid": organisation} if organisation else {}


def parse(delivery: Delivery) -> list[Json]:
    """The default or custom JSON payload; a webhook that is set to send a form is read as its fields."""
    return [form_body(delivery.body) if is_form(delivery) else json_object(delivery.body)]


def event(payload: Json, delivery: Delivery) -> Event:
    return Event(word(at(payload, "event_type")), key(text(at(payload, "event_id"))), payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    return changed(
        payload, {"event_id": new_number(delivery_id, "event"), "created_time": iso(now), "event_time": iso(now)}
    )


PROVIDER = Provider(
    slug="zoho-billing",
    name="Zoho Billing",
    vendor="Zoho",
    category="payment",
    icon="receipt-text",
    base_url_env="ZOHO_API_URL",
    base_url=API["us"],
    regions=API,
    auth=oauth2(
        "ZohoSubscriptions.settings.READ",
        "ZohoSubscriptions.plans.READ",
        "ZohoSubscriptions.customers.ALL",
        "ZohoSubscriptions.subscriptions.ALL",
        "ZohoSubscriptions.webhooks.READ",  # ``/events``, from which missed webhooks are backfilled
    ),
    settings=("ZOHO_ORG_ID",),
    headers=headers,
    probe=Probe(path="/billing/v1/organizations"),
    # {"code": 0} is success; any other code is an error, whatever the status (errors page [A]).
    read=reader(code="code", success=frozenset({"0"})),
    limit=Limit(requests=100, seconds=60),  # per organisation; daily by plan, concurrency 5 or 10 [B]; no headers tell
    webhook=Webhook(
        path="/api/webhooks/zoho/billing",
        method="hmac_sha256",
        secret_env="ZOHO_BILLING_WEBHOOK_SECRET",  # noqa: S106 - a name
        # subscription_created, subscription_activation and payment_thankyou [A], the rest [C]; the whole list is [?].
        event_types=(
            "subscription_created",
            "subscription_activation",
            "subscription_activated",
            "subscription_upgraded",
            "subscription_downgraded",
            "subscription_renewed",
            "subscription_cancelled",
            "subscription_expired",
            "subscription_reactivated",
            "subscription_deleted",
            "payment_thankyou",
            "payment_declined",
            "payment_refunded",
            "invoice_notification",
            "card_expiring",
        ),
        verify=SCHEME.verify,
        sign=SCHEME.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=(
            "data.subscription.customer",
            "data.subscription.card",
            "data.payment.customer_name",
            "data.payment.email",
            "data.invoice.customer_name",
            "data.invoice.email",
            "data.card",
        ),
    ),
    docs_url="https://www.zoho.com/billing/api/v1/",
)
