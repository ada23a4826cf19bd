"""Zoho Sign: zoho.com/sign/api [A] (PROVIDERS §2)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from integrations.clients.base import Client, Page
from integrations.providers.answers import json_of
from integrations.providers.payloads import at, text
from integrations.providers.spec import Answer, Json, Reading

V = "/api/v1/requests"
MOST_SIGNERS, MOST_DOCUMENTS = 25, 40
DOCUMENT_BYTES, ENVELOPE_BYTES = 25 * 1024 * 1024, 40 * 1024 * 1024
PDF_BYTES = 64 * 1024 * 1024
"""More than an envelope may hold: signing adds pages to it."""
LONG = 60.0
"""Seconds for what carries documents."""


# --- What goes out, and what comes back ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who is to act, in which `order` (0 first), and how it is proved who that is."""

    name: str
    email: str
    action: Literal["SIGN", "VIEW", "APPROVER"] = "SIGN"
    order: int = 0
    verify: Literal["", "EMAIL", "SMS"] = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where something is to be filled in: `action_id` and `document_id` are those of the draft, `page` 0 the first,
    the rest in points from its upper left."""

    action_id: str
    document_id: str
    x: int
    y: int
    page: int = 0
    width: int = 120
    height: int = 20
    type: Literal["Signature", "Initial", "Textfield", "Date"] = "Signature"
    mandatory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    id: str
    type: str
    status: str
    name: str = field(repr=False)
    email: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request for signatures; `status`: draft, inprogress, completed, declined, expired, recalled."""

    id: str
    name: str
    status: str
    actions: tuple[Action, ...]
    documents: tuple[Document, ...]


# --- Operations ------------------------------------------------------------------------------------------------------


def requests(client: Client, *, start: int = 1, rows: int = 20) -> Page:
    """Requests for signatures, the newest first; `start` counts from 1. GET /requests (PROVIDERS §2 [C])."""
    data = json.dumps({"page_context": {"row_count": rows, "start_index": start}})
    answer = client.call("GET", V, params={"data": data})
    found = client.rows(answer, "requests")
    return Page(rows=found, more=at(json_of(answer), "page_context.has_more_rows") is True)


def request(client: Client, *, id: str) -> Envelope:  # noqa: A002 - what Zoho calls it
    """One request with its actions and documents. GET /requests/{id} (PROVIDERS §2 [A])."""
    path, endpoint = _one(client, id)
    return _envelope(client, client.call("GET", path, endpoint=endpoint))


def create(
    client: Client,
    *,
    name: str,
    documents: Mapping[str, bytes],
    signers: Sequence[Signer],
    in_order: bool = True,
    days: int = 15,
    note: str = "",
) -> Envelope:
    """Make a draft of `documents` (file name → content), for `signers` to act on within `days`; nobody hears of it
    until `submit`. POST /requests as multipart/form-data (PROVIDERS §2 [A]).

    At most 25 people, 40 documents, 25 MB for each and 40 MB together [A].
    """
    _check(client, documents, signers)
    content = {
        "request_name": name, "is_sequential": in_order, "expiration_days": days, "email_reminders": True,
        "reminder_period": 5, "notes": note, "actions": [_wanted(signer) for signer in signers],
    }  # fmt: skip
    answer = client.call(
        "POST",
        V,
        form={"data": json.dumps({"requests": content})},
        files=[("file", (file, body, "application/octet-stream")) for file, body in documents.items()],
        timeout_s=LONG,
    )
    return _envelope(client, answer)


def submit(client: Client, *, id: str, fields: Sequence[Field]) -> Envelope:  # noqa: A002 - likewise
    """Send a draft to its signers, who find `fields` to fill in: at least one for each who is to sign, or Zoho's 9101.
    A second time is an error, 12008. POST /requests/{id}/submit (PROVIDERS §2 [A])."""
    draft = request(client, id=id)
    unknown = {one.action_id for one in fields} - {action.id for action in draft.actions}
    if unknown:
        raise client.invalid(f"the request has no action {', '.join(sorted(unknown))[:60]}.")
    actions = [
        {
            "action_id": action.id, "action_type": action.type, "recipient_name": action.name,
            "recipient_email": action.email,
            "fields": [_placed(one) for one in fields if one.action_id == action.id],
        }
        for action in draft.actions
    ]  # fmt: skip
    path, endpoint = _one(client, id, "/submit")
    form = {"data": json.dumps({"requests": {"actions": actions}})}
    return _envelope(client, client.call("POST", path, endpoint=endpoint, form=form, timeout_s=LONG))


def pdf(client: Client, *, id: str) -> bytes:  # noqa: A002 - likewise
    """The document as it is now: a PDF; a ZIP of PDFs where there are several (zoho.com/sign/api/use-cases [A]). At
    most 64 MB. GET /requests/{id}/pdf (PROVIDERS §2 [A])."""
    path, endpoint = _one(client, id, "/pdf")

    def read(answer: Answer) -> Reading:
        if 200 <= answer.status < 300 and answer.body.startswith((b"%PDF", b"PK")):
            return Reading("ok")
        told = client.provider.read(answer)
        return told if told.finding != "ok" else Reading("failed", f"HTTP {answer.status}, but no PDF", passing=True)

    return client.call("GET", path, endpoint=endpoint, timeout_s=LONG, max_bytes=PDF_BYTES, read=read).body


# --- Parts -----------------------------------------------------------------------------------------------------------


def _one(client: Client, request_id: str, more: str = "") -> tuple[str, str]:
    return f"{V}/{client.part(request_id, 'request id')}{more}", f"{V}/{{id}}{more}"


def _check(client: Client, documents: Mapping[str, bytes], signers: Sequence[Signer]) -> None:
    if not 1 <= len(documents) <= MOST_DOCUMENTS or not 1 <= len(signers) <= MOST_SIGNERS:
        raise client.invalid(f"a request has 1 to {MOST_DOCUMENTS} documents and 1 to {MOST_SIGNERS} signers.")
    sizes = [len(body) for body in documents.values()]
    if not all(0 < size <= DOCUMENT_BYTES for size in sizes) or sum(sizes) > ENVELOPE_BYTES:
        raise client.invalid("a document has up to 25 MB, all of them together up to 40 MB, and none is empty.")


def _wanted(signer: Signer) -> dict[str, Json]:
    verified = {"verify_recipient": True, "verification_type": signer.verify} if signer.verify else {}
    return {
        "action_type": signer.action, "recipient_name": signer.name, "recipient_email": signer.email,
        "signing_order": signer.order, "private_notes": signer.note, **verified,
    }  # fmt: skip


def _placed(one: Field) -> dict[str, Json]:
    return {
        "field_type_name": one.type, "document_id": one.document_id, "page_no": one.page, "x_coord": one.x,
        "y_coord": one.y, "abs_width": one.width, "abs_height": one.height, "is_mandatory": one.mandatory,
    }  # fmt: skip


def _envelope(client: Client, answer: Answer) -> Envelope:
    """Ids come as texts in one capture, as numbers in another [?]: always taken as texts."""
    told = client.found(answer, "requests")
    return Envelope(
        id=client.text(answer, "requests.request_id"),
        name=text(told.get("request_name")),
        status=text(told.get("request_status")),
        actions=tuple(
            Action(
                id=text(row.get("action_id")),
                type=text(row.get("action_type")),
                status=text(row.get("action_status")),
                name=text(row.get("recipient_name")),
                email=text(row.get("recipient_email")),
            )
            for row in _objects(told.get("actions"))
        ),
        documents=tuple(
            Document(id=text(row.get("document_id")), name=text(row.get("document_name")))
            for row in _objects(told.get("document_ids"))
        ),
    )


def _objects(listed: Json) -> list[dict[str, Json]]:
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
