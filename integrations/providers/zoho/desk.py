"""Zoho Desk: desk.zoho.com/DeskAPIDocument and support/WebhookDocument.do [A, stored copies] (PROVIDERS §4)."""

from collections.abc import Mapping

from integrations.providers.payloads import at, changed, digest, json_body, new_number, text, word
from integrations.providers.signatures import desk as scheme
from integrations.providers.spec import Delivery, Event, Json, Limit, Probe, Provider, Webhook
from integrations.providers.zoho.answers import reader
from integrations.providers.zoho.oauth import first_organisation, hosts, oauth2


def headers(values: Mapping[str, str]) -> dict[str, str]:
    """Every call but ``/organizations`` must name the organisation."""
    organisation = first_organisation(values)
    return {"orgId": organisation} if organisation else {}


def parse(delivery: Delivery) -> list[Json]:
    """A delivery is an array of events; one alone, outside an array, is taken too."""
    body = json_body(delivery.body)
    events = body if isinstance(body, list) else [body]
    if not all(isinstance(item, dict) for item in events):
        raise ValueError("it isn't an array of events.")
    return events


def event(payload: Json, delivery: Delivery) -> Event:
    """No delivery id exists: the key is made of organisation, type, the thing's id and the time [PROVIDERS §4]."""
    fields = (text(at(payload, path)) for path in ("orgId", "eventType", "payload.id", "eventTime"))
    return Event(word(at(payload, "eventType")), digest(*fields), payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    return changed(
        payload,
        {"eventTime": str(int(now * 1000)), "payload.id": new_number(delivery_id, at(payload, "eventType") or "")},
    )


PROVIDER = Provider(
    slug="zoho-desk",
    name="Zoho Desk",
    vendor="Zoho",
    category="communication",
    icon="headset",
    base_url_env="ZOHO_DESK_URL",
    base_url="https://desk.zoho.com",
    regions=hosts("desk"),
    auth=oauth2("Desk.basic.READ", "Desk.tickets.ALL", "Desk.contacts.READ", "Desk.search.READ"),
    settings=("ZOHO_ORG_ID",),
    headers=headers,
    probe=Probe(path="/api/v1/organizations"),
    read=reader(code="errorCode"),
    # Credits per day: Standard 50,000 and 250 per user, Professional 75,000, Enterprise 100,000 [B].
    limit=Limit(requests=50_000, seconds=86_400, remaining_header="X-Rate-Limit-Remaining-v3"),
    webhook=Webhook(
        path="/api/webhooks/zoho/desk",
        method="jwt",
        secret_env="ZOHO_ORG_ID",  # noqa: S106 - no secret: the organisation that the JWT's issuer must be
        jwks_path="/.well-known/jwks.json",
        answers_get=True,  # Desk tries a GET first when a webhook is created, and gives up on anything but 200
        # Of the 47 and more [B], those of the tickets, contacts and accounts that a provider's support works with.
        event_types=(
            "Ticket_Add",
            "Ticket_Update",
            "Ticket_Delete",
            "Ticket_Thread_Add",
            "Ticket_Comment_Add",
            "Ticket_Comment_Update",
            "Ticket_Comment_Delete",
            "Contact_Add",
            "Contact_Update",
            "Contact_Delete",
            "Account_Add",
            "Account_Update",
            "Account_Delete",
        ),
        verify=scheme.verify,
        sign=scheme.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=(
            "payload.email",
            "payload.phone",
            "payload.mobile",
            "payload.firstName",
            "payload.lastName",
            "payload.contact",
            "payload.content",
            "payload.description",
            "payload.author",
            "prevState.email",
            "prevState.phone",
            "prevState.description",
        ),
    ),
    docs_url="https://desk.zoho.com/DeskAPIDocument",
)
