"""Zoho Desk v1: tickets, comments, the webhooks registered, and the public key that signs them."""

import secrets
from typing import Any

from jwt.algorithms import RSAAlgorithm

from integrations.sandbox import keys
from integrations.sandbox.apis import zoho
from integrations.sandbox.state import State, Window
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, count, same

SLUG = "zoho-desk"
CREDITS = 50_000
DAY = 24 * 60 * 60


def _error(code: str, message: str, status: int, headers: dict[str, str] | None = None) -> Reply:
    return answer({"errorCode": code, "message": message}, status, headers)


def _credits(window: Window) -> dict[str, str]:
    return {"X-Rate-Limit-Remaining-v3": str(window.remaining), "X-Rate-Limit-Request-Weight-v3": "1"}


def _ticket(number: int, **changes: Any) -> dict[str, Any]:
    _, last, email, phone = zoho.PEOPLE[number % len(zoho.PEOPLE)]
    return {
        "id": f"18926000000{number:06}", "ticketNumber": str(100 + number), "subject": "No connection since Monday",
        "status": "Open", "statusType": "Open", "priority": "High", "channel": "Email", "email": email, "phone": phone,
        "departmentId": "1892000000006907", "contact": {"lastName": last, "email": email}, **changes,
    }  # fmt: skip


def organizations(_: Call, state: State) -> Reply:
    org = {
        "id": state.value("ZOHO_ORG_ID"),
        "companyName": "CircleTel Sandbox",
        "isDefault": True,
        "edition": "ENTERPRISE",
    }
    return answer({"data": [org]})


def myself(_: Call, __: State) -> Reply:
    first, last, email, _phone = zoho.PEOPLE[0]
    return answer(
        {"id": "1892000000056099", "firstName": first, "lastName": last, "emailId": email, "status": "ACTIVE"}
    )


def tickets(call: Call, _: State) -> Reply:
    """Three there are; 204 beyond them."""
    start = count(call.query, "from", 1) if call.query.get("from", "0") != "0" else 0
    found = [_ticket(number) for number in range(1, 4)][start:][: count(call.query, "limit", 10)]
    return answer({"data": found}) if found else Reply(204)


def open_ticket(call: Call, _: State) -> Reply:
    wanted = call.json()
    lacking = [name for name in ("subject", "departmentId") if not wanted.get(name)]
    if not (wanted.get("contactId") or wanted.get("contact")):
        lacking.append("contactId")
    if lacking:
        errors = [{"fieldName": f"/{name}", "errorType": "missing", "errorMessage": ""} for name in lacking]
        return answer({"errorCode": "INVALID_DATA", "message": "The data is invalid", "errors": errors}, 422)
    return answer(_ticket(secrets.randbelow(10**6), **{name: wanted[name] for name in ("subject", "departmentId")}))


def ticket(call: Call, state: State) -> Reply:
    """Any there is, unless it was deleted."""
    deleted = [said for said in state.events(SLUG) if said.get("eventType") == "Ticket_Delete"]
    if call.params["id"] in {said["payload"]["id"] for said in deleted}:
        return _error("URL_NOT_FOUND", "The URL you requested could not be found.", 404)
    return answer(_ticket(1, **call.json() if call.method == "PATCH" else {}) | {"id": call.params["id"]})


def comments(call: Call, _: State) -> Reply:
    comment = {"id": "18926000000099001", "content": "Looking into it.", "isPublic": False}
    if call.method == "GET":
        return answer({"data": [comment]})
    wanted = call.json()
    if not wanted.get("content"):
        return _error("INVALID_DATA", "The data is invalid", 422)
    return answer({**comment, "id": f"18926000000{secrets.randbelow(10**6):06}", "content": wanted["content"]})


def webhooks(_: Call, state: State) -> Reply:
    registered = state.registered(SLUG)
    return answer(
        {
            "data": [
                {
                    "id": keys.DESK_WEBHOOK, "name": "Integrations", "url": registered.url, "isEnabled": True,
                    "subscriptions": dict.fromkeys(registered.events),
                }
            ]
            if registered.url
            else []
        }
    )  # fmt: skip


def keyset(_: Call, state: State) -> Reply:
    """The public half alone, as a JSON Web Key Set."""
    pem = state.value(keys.DESK)
    public = RSAAlgorithm.to_jwk(keys.private(pem).public_key(), as_dict=True)
    return answer({"keys": [{**public, "kid": keys.kid(pem), "alg": "RS256", "use": "sig"}]})


def _in_organization(handler: Any) -> Any:
    def handle(call: Call, state: State) -> Reply:
        if not same(call.headers.get("orgid", ""), state.value("ZOHO_ORG_ID")):
            return _error("FORBIDDEN", "You are not authorized to access this organization.", 403)
        reply: Reply = handler(call, state)
        return reply

    return handle


def _refused(_: Call) -> Reply:
    return _error("INVALID_OAUTH", "The OAuth Token you provided is invalid.", 401)


_V = "/api/v1"

API = Api(
    slug=SLUG,
    routes=(
        Route("GET", "/.well-known/jwks.json", keyset, open=True),
        Route("GET", f"{_V}/organizations", organizations),
        Route("GET", f"{_V}/myinfo", myself),
        Route("GET", f"{_V}/webhooks", _in_organization(webhooks)),
        Route("GET", f"{_V}/tickets", _in_organization(tickets)),
        Route("POST", f"{_V}/tickets", _in_organization(open_ticket)),
        Route("GET", f"{_V}/tickets/search", _in_organization(tickets)),
        Route("GET", f"{_V}/tickets/{{id}}", _in_organization(ticket)),
        Route("PATCH", f"{_V}/tickets/{{id}}", _in_organization(ticket)),
        Route("GET", f"{_V}/tickets/{{id}}/comments", _in_organization(comments)),
        Route("POST", f"{_V}/tickets/{{id}}/comments", _in_organization(comments)),
    ),
    admit=zoho.admit("Desk.", _refused, lambda call: _error("SCOPE_MISMATCH", "The OAuth scope does not fit.", 403)),
    refused=_refused,
    throttled=lambda call, seconds: _error(
        "THRESHOLD_EXCEEDED", "The daily API limit is used up.", 429, {"Retry-After": str(seconds)}
    ),
    failed=lambda call: _error("INTERNAL_SERVER_ERROR", "An internal server error occurred.", 500),
    missing=lambda call: _error("URL_NOT_FOUND", "The URL you requested could not be found.", 404),
    quota=lambda call: Quota(CREDITS, DAY, headers=_credits),
)
