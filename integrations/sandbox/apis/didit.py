"""Didit v3: verification sessions and their decisions, balance, webhook destinations."""

import uuid
from typing import Any

from integrations.sandbox.state import State, Window
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, same

SLUG = "didit-kyc"
_READ, _WRITE = 600, 300  # a minute


def _headers(window: Window) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(window.limit),
        "X-RateLimit-Remaining": str(window.remaining),
        "X-RateLimit-Reset": str(int(window.reset_at)),
    }


def _admit(call: Call, state: State) -> Reply | None:
    return None if same(call.headers.get("x-api-key", ""), state.value("DIDIT_API_KEY")) else _refused(call)


def _refused(_: Call) -> Reply:
    return answer({"detail": "You do not have permission to perform this action."}, 403)


def _missing(call: Call) -> Reply:
    """A path without its final slash is redirected, which drops the key on the way."""
    if not call.path.endswith("/"):
        return Reply(301, b"", {"Location": f"/{SLUG}{call.path}/"})
    return answer({"detail": "Not found."}, 404)


def balance(_: Call, __: State) -> Reply:
    return answer({"balance": "142.5000", "auto_refill_enabled": False, "auto_refill_amount": None})


def create(call: Call, state: State) -> Reply:
    wanted = call.json()
    if not wanted.get("workflow_id"):
        return answer({"workflow_id": ["This field is required."]}, 400)
    session_id = str(uuid.uuid4())
    content = {
        "session_id": session_id, "session_number": 4711, "session_token": session_id.replace("-", "")[:12],
        "url": f"{state.url}/{SLUG}/session/{session_id}", "vendor_data": wanted.get("vendor_data"),
        "status": "Not Started", "workflow_id": wanted["workflow_id"],
    }  # fmt: skip
    return answer(content, 201)


def decision(call: Call, _: State) -> Reply:
    if not _is_uuid(call.params["id"]):
        return answer({"detail": "Not found."}, 404)
    content: dict[str, Any] = {
        "session_id": call.params["id"], "session_number": 4711, "status": "Approved", "vendor_data": "customer-4711",
        "id_verifications": [{"node_id": "id-1", "status": "Approved", "document_type": "Identity Card"}],
        "liveness_checks": [{"node_id": "live-1", "status": "Approved", "score": 96.4}],
        "face_matches": [{"node_id": "face-1", "status": "Approved", "score": 91.2}],
        "nfc_verifications": [], "phone_verifications": [], "email_verifications": [], "poa_verifications": [],
        "aml_screenings": [], "ip_analyses": [], "database_validations": [], "reviews": [],
    }  # fmt: skip
    return answer(content)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def sessions(_: Call, __: State) -> Reply:
    return answer({"count": 0, "next": None, "previous": None, "results": []})


def workflows(_: Call, __: State) -> Reply:
    known = [{"uuid": "99999999-8888-4777-8666-555555555555", "workflow_label": "KYC", "status": "published"}]
    return answer({"count": 1, "next": None, "previous": None, "results": known})


def destinations(_: Call, state: State) -> Reply:
    registered = state.registered(SLUG)
    known = [
        {
            "uuid": "11111111-2222-4333-8444-555555555555", "label": "Integrations", "url": registered.url,
            "enabled": True, "webhook_version": "v3", "subscribed_events": list(registered.events),
        }
    ] if registered.url else []  # fmt: skip
    return answer({"count": len(known), "next": None, "previous": None, "results": known})


API = Api(
    slug=SLUG,
    routes=(
        Route("GET", "/system/healthcheck", lambda call, state: answer({"status": "ok"}), open=True),
        Route("GET", "/v3/billing/balance/", balance),
        Route("POST", "/v3/session/", create),
        Route("GET", "/v3/session/{id}/decision/", decision),
        Route("GET", "/v3/sessions/", sessions),
        Route("GET", "/v3/workflows/", workflows),
        Route("GET", "/v3/webhook/destinations/", destinations),
    ),
    admit=_admit,
    refused=_refused,
    throttled=lambda call, seconds: answer(
        {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
        429,
        {
            "Retry-After": str(seconds),
            "X-RateLimit-Limit": str(_READ),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(call.now) + seconds),
        },
    ),
    failed=lambda call: answer({"detail": "A server error occurred."}, 500),
    missing=_missing,
    quota=lambda call: Quota(_READ if call.method == "GET" else _WRITE, 60, headers=_headers),
)
