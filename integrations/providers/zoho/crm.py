"""Zoho CRM: github zoho/crm-oas v8.0 [A], package zohocrmsdk8-0 [A] (PROVIDERS §1)."""

from integrations.providers.payloads import (
    at,
    changed,
    digest,
    form_body,
    is_form,
    json_object,
    new_number,
    text,
    word,
)
from integrations.providers.signatures import BodyToken
from integrations.providers.spec import Delivery, Event, Json, Limit, Probe, Provider, Webhook
from integrations.providers.zoho.answers import reader
from integrations.providers.zoho.oauth import API, oauth2

SCHEME = BodyToken()

MODULES = ("Leads", "Contacts", "Accounts", "Deals")
OPERATIONS = ("insert", "update", "delete")


def parse(delivery: Delivery) -> list[Json]:
    """One payload: a notification of ``/crm/v8/actions/watch``, or what an admin gave a workflow webhook as body.

    The channel's token is left out: it has done its work, and a payload is for reading.
    """
    form = is_form(delivery) and not delivery.body.lstrip().startswith(b"{")
    fields = form_body(delivery.body) if form else json_object(delivery.body)
    return [{name: value for name, value in fields.items() if name != SCHEME.field}]


def event(payload: Json, delivery: Delivery) -> Event:
    """A notification has no id: the key is made of all that tells it apart [PROVIDERS §1]. It names records only, so
    they have to be fetched.

    A workflow webhook's body is the admin's to shape: ``event_type`` and ``event_id`` are taken from it if they are
    there.
    """
    module, operation, ids = (at(payload, name) for name in ("module", "operation", "ids"))
    if not (word(module) and word(operation)):
        return Event(word(at(payload, "event_type")), digest("workflow", text(at(payload, "event_id"))), payload)
    records = ",".join(map(text, ids)) if isinstance(ids, list) else ""
    key = digest(text(at(payload, "channel_id")), module, operation, records, text(at(payload, "server_time")))
    return Event(word(f"{module}.{operation}"), key, payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    record = new_number(delivery_id, "record", 19)
    affected = [{"record_id": record, "values": values} for values in _values(payload)]
    names = [{record: list(values)} for values in _values(payload)]
    return changed(
        payload,
        {"server_time": int(now * 1000), "ids": [record], "affected_values": affected, "affected_fields": names},
    )


def _values(payload: Json) -> list[Json]:
    affected = at(payload, "affected_values")
    values = [at(item, "values") for item in affected] if isinstance(affected, list) else []
    return [item for item in values if isinstance(item, dict)]


PROVIDER = Provider(
    slug="zoho-crm",
    name="Zoho CRM",
    vendor="Zoho",
    category="crm",
    icon="users",
    base_url_env="ZOHO_API_URL",
    base_url=API["us"],
    regions=API,
    auth=oauth2(
        "ZohoCRM.org.READ",
        "ZohoCRM.modules.ALL",
        "ZohoCRM.coql.READ",
        "ZohoCRM.notifications.ALL",
        "ZohoSearch.securesearch.READ",  # record search wants it too (…/docs/api/v8/search-records.html [A])
    ),
    probe=Probe(path="/crm/v8/org"),
    read=reader(code="code", success=frozenset({"SUCCESS"})),
    # Credits per rolling day: 50,000 in Enterprise and Zoho One, more per licence (Kaizen #203 [A]). The header
    # appears only once half of them are used, and there is no Retry-After [B].
    limit=Limit(requests=50_000, seconds=86_400, remaining_header="X-API-CREDITS-REMAINING"),
    webhook=Webhook(
        path="/api/webhooks/zoho/crm",
        method="body_token",
        secret_env="ZOHO_CRM_WEBHOOK_TOKEN",  # noqa: S106 - a name
        event_types=tuple(f"{module}.{operation}" for module in MODULES for operation in OPERATIONS),
        verify=SCHEME.verify,
        sign=SCHEME.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=("affected_values.values",),
    ),
    docs_url="https://www.zoho.com/crm/developer/docs/api/v8/",
)
