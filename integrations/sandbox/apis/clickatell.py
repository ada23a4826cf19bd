"""Clickatell: SMS by the One API and the older Platform REST, and the balance."""

import secrets
from typing import Any

from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Reply, Route, answer, same


def _error(code: int, words: str, status: int) -> Reply:
    return answer({"messages": [], "errorCode": code, "error": words, "errorDescription": words}, status)


def _refused(_: Call) -> Reply:
    return _error(108, "Invalid or missing integration API key.", 401)


def _admit(call: Call, state: State) -> Reply | None:
    return None if same(call.headers.get("authorization", ""), state.value("CLICKATELL_API_KEY")) else _refused(call)


def _result(to: str) -> dict[str, Any]:
    accepted = to.isascii() and to.isdigit() and not to.startswith("27000")  # nobody has such a number
    return {
        "apiMessageId": secrets.token_hex(16) if accepted else None, "accepted": accepted, "to": to,
        "error": None if accepted else {"code": 105, "description": "The destination address is invalid."},
    }  # fmt: skip


def send(call: Call, _: State) -> Reply:
    messages = call.json().get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        return _error(100, "The request holds no messages.", 400)
    return _sent([str(one.get("to", "")) for one in messages])


def send_by_platform(call: Call, _: State) -> Reply:
    content = call.json()
    if not isinstance(content.get("to"), list) or not content.get("content"):
        return _error(100, "The request holds no message.", 400)
    return _sent([str(to) for to in content["to"]])


def _sent(numbers: list[str]) -> Reply:
    results = [_result(to) for to in numbers]
    return answer({"messages": results, "error": None}, 202 if all(one["accepted"] for one in results) else 207)


def balance(_: Call, __: State) -> Reply:
    return answer({"balance": 1842.5, "currency": "ZAR"})


API = Api(
    slug="clickatell",
    routes=(
        Route("GET", "/v1/balance", balance),
        Route("GET", "/public-client/balance", balance),
        Route("POST", "/v1/message", send),
        Route("POST", "/messages", send_by_platform),
    ),
    admit=_admit,
    refused=_refused,
    throttled=lambda call, seconds: _error(429, "Too many requests.", 429),
    failed=lambda call: _error(1, "An internal error occurred.", 500),
    missing=lambda call: _error(404, "No such resource.", 404),
)
