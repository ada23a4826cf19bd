"""Zoho Billing v1: plans, customers, subscriptions, and the events from which missed webhooks are made good."""

import json
from typing import Any

from integrations.providers.spec import Json
from integrations.sandbox.apis import zoho
from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, count, same

SLUG = "zoho-billing"
_BLOCKED = (
    "For security reasons your organization has been blocked as it have exceeded the maximum number of requests per "
    "minute that can be made."
)


def _error(code: int, message: str, status: int) -> Reply:
    return answer({"code": code, "message": message}, status)


def _success(**content: Any) -> Reply:
    return answer({"code": 0, "message": "success", **content})


def _paged(call: Call, name: str, rows: list[Any]) -> Reply:
    page, per_page = count(call.query, "page", 1), min(200, count(call.query, "per_page", 200))
    end = page * per_page
    context = {"page": page, "per_page": per_page, "has_more_page": len(rows) > end}
    return _success(**{name: rows[end - per_page : end]}, page_context=context)


PLANS = [
    {"plan_code": "fibre-50", "name": "Fibre 50/50", "recurring_price": 699, "interval": 1, "interval_unit": "months"},
    {
        "plan_code": "fibre-200",
        "name": "Fibre 200/200",
        "recurring_price": 999,
        "interval": 1,
        "interval_unit": "months",
    },
]
CUSTOMERS = [
    {"customer_id": f"903000000{number:05}", "display_name": f"{first} {last}", "email": email, "currency_code": "ZAR"}
    for number, (first, last, email, _) in enumerate(zoho.PEOPLE, 1)
]
SUBSCRIPTIONS = [
    {
        "subscription_id": f"904000000{number:05}", "status": "live", "amount": plan["recurring_price"],
        "plan": plan, "customer": customer,
    }
    for number, (plan, customer) in enumerate(zip(PLANS, CUSTOMERS, strict=False), 1)
]  # fmt: skip


def organizations(_: Call, state: State) -> Reply:
    org = {"organization_id": state.value("ZOHO_ORG_ID"), "name": "CircleTel Sandbox", "currency_code": "ZAR"}
    return _success(organizations=[org])


def events(call: Call, state: State) -> Reply:
    """All that happened, told by webhook or not; the newest first."""
    return _paged(call, "events", [_event(payload) for payload in reversed(state.events(SLUG))])


def event(call: Call, state: State) -> Reply:
    for payload in state.events(SLUG):
        if str(payload.get("event_id")) == call.params["id"]:
            return _success(event=_event(payload))
    return _error(5, "Event does not exist.", 404)


def _event(payload: Json) -> dict[str, Json]:
    when = payload.get("event_time") or payload.get("created_time")
    return {
        "event_id": payload.get("event_id"), "event_type": payload.get("event_type"), "event_time": when,
        "payload": json.dumps(payload),
    }  # fmt: skip


def _in_organization(handler: Any) -> Any:
    """All but the list of organizations want the organization's id in a header."""

    def handle(call: Call, state: State) -> Reply:
        if not same(call.headers.get("x-com-zoho-subscriptions-organizationid", ""), state.value("ZOHO_ORG_ID")):
            return _error(6041, "This user is not associated with the CompanyID/CompanyName.", 400)
        reply: Reply = handler(call, state)
        return reply

    return handle


def _refused(_: Call) -> Reply:
    return _error(14, "Invalid value passed for authtoken.", 401)


_V = "/billing/v1"

API = Api(
    slug=SLUG,
    routes=(
        Route("GET", f"{_V}/organizations", organizations),
        *(
            Route("GET", f"{_V}/{path}", _in_organization(handler))
            for path, handler in (
                ("plans", lambda call, state: _paged(call, "plans", PLANS)),
                ("plans/{code}", lambda call, state: _success(plan={**PLANS[0], "plan_code": call.params["code"]})),
                ("customers", lambda call, state: _paged(call, "customers", CUSTOMERS)),
                (
                    "customers/{id}",
                    lambda call, state: _success(customer={**CUSTOMERS[0], "customer_id": call.params["id"]}),
                ),
                ("subscriptions", lambda call, state: _paged(call, "subscriptions", SUBSCRIPTIONS)),
                (
                    "subscriptions/{id}",
                    lambda call, state: _success(
                        subscription={**SUBSCRIPTIONS[0], "subscription_id": call.params["id"]}
                    ),
                ),
                ("events", events),
                ("events/{id}", event),
            )
        ),
    ),
    admit=zoho.admit(
        "ZohoSubscriptions.",
        _refused,
        lambda call: _error(57, "You are not authorized to perform this operation", 401),
    ),
    refused=_refused,
    throttled=lambda call, seconds: _error(44, _BLOCKED, 429),
    failed=lambda call: _error(1000, "We are having some problem completing your request.", 500),
    missing=lambda call: _error(5, "Invalid URL Passed", 404),
    quota=lambda call: Quota(100, 60),
)
