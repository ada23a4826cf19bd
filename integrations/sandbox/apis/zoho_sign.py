"""Zoho Sign v1: envelopes, from draft to signed PDF."""

import json
import re
import secrets
from typing import Any

from integrations.providers.spec import Json
from integrations.sandbox.apis import zoho
from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer

_FILE = re.compile(rb'name="file"; filename="([^"]{1,200})"')
_ZIP = b"PK\x05\x06" + bytes(18)  # an empty one
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def _error(code: int, message: str, status: int) -> Reply:
    return answer({"code": code, "message": message, "status": "failure"}, status)


def _success(message: str, **content: Any) -> Reply:
    return answer({"code": 0, "message": message, "status": "success", **content})


_FIRST, _LAST, _EMAIL, _ = zoho.PEOPLE[0]
_SIGNER = {"action_type": "SIGN", "recipient_name": f"{_FIRST} {_LAST}", "recipient_email": _EMAIL}


def _request(
    request_id: str,
    status: str = "inprogress",
    name: str = "Service agreement",
    signers: list[Json] | None = None,
    documents: tuple[str, ...] = ("agreement.pdf",),
) -> dict[str, Any]:
    wanted = [signer for signer in signers or [_SIGNER] if isinstance(signer, dict)]
    actions = [
        {"action_id": f"{request_id}1{number}", "action_status": "UNOPENED", **_SIGNER, **signer}
        for number, signer in enumerate(wanted)
    ]
    files = [
        {"document_id": f"{request_id}9{number}", "document_name": file, "total_pages": 3}
        for number, file in enumerate(documents)
    ]
    return {
        "request_id": request_id, "request_name": name, "request_status": status, "is_sequential": True,
        "actions": actions, "document_ids": files,
    }  # fmt: skip


def listing(_: Call, __: State) -> Reply:
    context = {"row_count": 1, "start_index": 1, "has_more_rows": False, "total_count": 1}
    found = [_request("222008000000016075", "completed")]
    return _success("Document list retrieved successfully", requests=found, page_context=context)


def create(call: Call, state: State) -> Reply:
    """Multipart: its part `data` holds the request as JSON."""
    wanted = _wanted(call.body.partition(b'name="data"')[2].partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))
    signers = wanted.get("actions")
    if not isinstance(signers, list) or not signers:
        return _error(9018, "Extra or missing parameter found: data", 400)
    number = f"2220080{secrets.randbelow(10**11):011}"
    documents = tuple(name.decode("utf-8", "replace") for name in _FILE.findall(call.body))
    made = _request(number, "draft", str(wanted.get("request_name", "")), signers, documents or ("agreement.pdf",))
    if len(state.envelopes) >= 1000:
        del state.envelopes[next(iter(state.envelopes))]
    state.envelopes[number] = made
    return _success("Document created", requests=made)


def _wanted(content: str) -> dict[str, Json]:
    """The request that JSON at the beginning of `content` describes; {} when it is none."""
    try:
        wanted = json.JSONDecoder().raw_decode(content)[0]["requests"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return wanted if isinstance(wanted, dict) else {}


def submit(call: Call, state: State) -> Reply:
    """Once, and with something to fill in for everybody who is to sign."""
    number = call.params["id"]
    known = state.envelopes.get(number) or _request(number, "draft")
    if known["request_status"] != "draft":
        return _error(12008, "Document has already been submitted", 400)
    actions = _wanted(call.form().get("data", "")).get("actions")
    filled = [action for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []
    ready = {str(action.get("action_id")) for action in filled if action.get("fields")}
    if not ready >= {action["action_id"] for action in known["actions"] if action["action_type"] == "SIGN"}:
        return _error(9101, "Add at least one field for the signer", 400)
    sent = {**known, "request_status": "inprogress"}
    state.envelopes.pop(number, None)
    state.envelopes[number] = sent
    return _success("Document submitted", requests=sent)


def one(call: Call, state: State) -> Reply:
    number = call.params["id"]
    if not number.isdigit():
        return _error(4066, "Invalid Request Id", 400)
    known = state.envelopes.get(number) or _request(number)
    return _success("Document details retrieved successfully", requests=known)


def pdf(call: Call, state: State) -> Reply:
    """The file; a ZIP where there are several."""
    if len(state.envelopes.get(call.params["id"], {}).get("document_ids", ())) > 1:
        return Reply(200, _ZIP, {"Content-Type": "application/zip"})
    return Reply(200, _PDF, {"Content-Type": "application/pdf", "Content-Disposition": 'attachment; filename="a.pdf"'})


def _refused(_: Call) -> Reply:
    return _error(9041, "Invalid Oauth token", 401)


API = Api(
    slug="zoho-sign",
    routes=(
        Route("GET", "/api/v1/requests", listing),
        Route("POST", "/api/v1/requests", create),
        Route("GET", "/api/v1/requests/{id}", one),
        Route("POST", "/api/v1/requests/{id}/submit", submit),
        Route("POST", "/api/v1/requests/{id}/remind", lambda call, state: _success("Reminder sent")),
        Route("POST", "/api/v1/requests/{id}/recall", lambda call, state: _success("Document recalled")),
        Route("GET", "/api/v1/requests/{id}/pdf", pdf),
        Route("GET", "/api/v1/requests/{id}/completioncertificate", pdf),
    ),
    admit=zoho.admit("ZohoSign.", _refused, lambda call: _error(9040, "Invalid Oauth scope", 401)),
    refused=_refused,
    throttled=lambda call, seconds: _error(4021, "Too many requests. Please try again later.", 429),
    failed=lambda call: _error(9000, "Internal server error", 500),
    missing=lambda call: _error(9004, "Not found", 404),
    quota=lambda call: Quota(50, 60, each="endpoint"),
)
