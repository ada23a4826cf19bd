"""Resend: e-mails, domains and registered webhooks, two requests a second."""

import uuid

from integrations.sandbox.state import State, Window
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, same

SLUG = "resend"
_MADE = "2026-10-01T08:00:00.000Z"
_DOMAIN = {
    "id": "d91cd9bd-1176-453e-8fc1-35364d380206", "name": "example.com", "status": "verified", "created_at": _MADE,
    "region": "eu-west-1",
}  # fmt: skip


def _error(status: int, name: str, message: str) -> Reply:
    return answer({"statusCode": status, "name": name, "message": message}, status)


def _headers(window: Window) -> dict[str, str]:
    return _told(window.limit, window.remaining, window.seconds)


def _told(limit: int, remaining: int, seconds: int) -> dict[str, str]:
    return {
        "ratelimit-limit": str(limit), "ratelimit-remaining": str(remaining), "ratelimit-reset": str(seconds),
    }  # fmt: skip


def _admit(call: Call, state: State) -> Reply | None:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    if not call.headers.get("user-agent"):
        return _error(403, "validation_error", "A User-Agent header is required.")
    if scheme != "Bearer" or not key:
        return _error(401, "missing_api_key", "Missing API key in the authorization header.")
    return None if same(key, state.value("RESEND_API_KEY")) else _refused(call)


def _refused(_: Call) -> Reply:
    return _error(403, "invalid_api_key", "API key is invalid.")


def _throttled(_: Call, seconds: int) -> Reply:
    words = "Too many requests. You can only make 2 requests per second."
    reply = _error(429, "rate_limit_exceeded", words)
    return reply.adding({**_told(2, 0, seconds), "retry-after": str(seconds)})


def domains(_: Call, __: State) -> Reply:
    return answer({"object": "list", "has_more": False, "data": [_DOMAIN]})


def domain(call: Call, _: State) -> Reply:
    if call.params["id"] != _DOMAIN["id"]:
        return _error(404, "not_found", "Domain not found")
    return answer({"object": "domain", **_DOMAIN, "records": []})


def send(call: Call, _: State) -> Reply:
    wanted = call.json()
    for name in ("from", "to", "subject"):
        if not wanted.get(name):
            return _error(422, "missing_required_field", f"Missing `{name}` field.")
    return answer({"id": str(uuid.uuid4())})


def email(call: Call, _: State) -> Reply:
    if len(call.params["id"]) != 36:
        return _error(404, "not_found", "Email not found")
    content = {
        "object": "email", "id": call.params["id"], "from": "CircleTel <noreply@example.com>",
        "to": ["lerato.dlamini@example.com"], "subject": "Your invoice", "created_at": _MADE,
        "last_event": "delivered",
    }  # fmt: skip
    return answer(content)


def webhooks(_: Call, state: State) -> Reply:
    registered = state.registered(SLUG)
    known = [
        {
            "id": "4dd369bc-aa82-4ff3-97de-514ae3000ee0", "created_at": _MADE, "status": "enabled",
            "endpoint": registered.url, "events": list(registered.events),
        }
    ] if registered.url else []  # fmt: skip
    return answer({"object": "list", "has_more": False, "data": known})


API = Api(
    slug=SLUG,
    routes=(
        Route("GET", "/domains", domains),
        Route("GET", "/domains/{id}", domain),
        Route("POST", "/emails", send),
        Route("GET", "/emails/{id}", email),
        Route("GET", "/webhooks", webhooks),
    ),
    admit=_admit,
    refused=_refused,
    throttled=_throttled,
    failed=lambda call: _error(500, "application_error", "Something went wrong."),
    missing=lambda call: _error(404, "not_found", "The requested endpoint does not exist."),
    quota=lambda call: Quota(2, 1, headers=_headers),
)
