"""Zoho CRM v8: github zoho/crm-oas [A], package zohocrmsdk8-0 [A] (PROVIDERS §1).

What it answers is given as it comes: records have the fields that the company has given them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from integrations.clients.base import FAILED, LOOK, Client, Page, Refusal, Registered, moment, words
from integrations.providers.answers import json_of
from integrations.providers.payloads import at, text
from integrations.providers.spec import Answer, Json
from integrations.providers.zoho.answers import reader

V = "/crm/v8"
PER_PAGE = 200
MOST_RECORDS = 100
LONGEST_TOKEN = 50
LONGEST_WATCH = timedelta(days=7)
MOST_PAGES = 20

_read_as_a_whole = reader(code="code", success=frozenset({"SUCCESS"}), items="")
_read_channels = reader(code="code", success=frozenset({"SUCCESS"}), items="watch")


# --- Records ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one record: `id` and `action` ("insert", "update") if it went well, else Zoho's `code` and
    words, with the field that is wrong in `details`."""

    ok: bool
    id: str
    action: str
    code: str
    message: str
    details: dict[str, Json] = field(repr=False)


def records(
    client: Client,
    *,
    module: str,
    fields: Sequence[str],
    page: int = 1,
    page_token: str = "",
    per_page: int = PER_PAGE,
) -> Page:
    """Records of a module ("Leads"). `fields` must be named [C]. GET /{module} (PROVIDERS §1 [A]).

    At most 200 a page. Beyond the first 2,000 a `page_token` has to be given, the one that the page before came with.
    """
    if not fields:
        raise client.invalid("name the fields to list.")
    params = {"fields": ",".join(fields), "per_page": str(per_page)}
    params |= {"page_token": page_token} if page_token else {"page": str(page)}
    path, endpoint = _module(client, module)
    return _page(client, client.call("GET", path, endpoint=endpoint, params=params))


def record(client: Client, *, module: str, id: str) -> dict[str, Json]:  # noqa: A002 - what Zoho calls it
    """One record with all its fields. GET /{module}/{id} (PROVIDERS §1 [A]). An unknown one is a permanent error."""
    path, endpoint = _module(client, module, f"/{client.part(id, 'record id')}", "/{id}")
    answer = client.call("GET", path, endpoint=endpoint)
    rows = client.rows(answer, "data")
    if not rows:
        said = f"{client.integration.name} has no such record."
        raise Refusal(said, permanent=True, code=FAILED, status=answer.status)
    return rows[0]


def search(
    client: Client,
    *,
    module: str,
    criteria: str = "",
    email: str = "",
    phone: str = "",
    word: str = "",
    page: int = 1,
    per_page: int = PER_PAGE,
) -> Page:
    """Records that fit one of `criteria` ("(Last_Name:equals:Dlamini)"), `email`, `phone` and `word`; none is no error
    but an empty page (Zoho's 204). GET /{module}/search (PROVIDERS §1 [A])."""
    given = {"criteria": criteria, "email": email, "phone": phone, "word": word}
    asked = {name: value for name, value in given.items() if value}
    if len(asked) != 1:
        raise client.invalid("search by exactly one of criteria, email, phone and word.")
    path, endpoint = _module(client, module, "/search", "/search")
    params = {**asked, "page": str(page), "per_page": str(per_page)}
    return _page(client, client.call("GET", path, endpoint=endpoint, params=params))


def upsert(
    client: Client, *, module: str, records: Sequence[Mapping[str, Json]], match: Sequence[str] = ()
) -> list[Outcome]:
    """Update the records that are there, insert the others; `match` names the fields by which they are the same, in
    this order (else the module's own unique ones). POST /{module}/upsert (PROVIDERS §1 [A]).

    1 to 100 records. Each has its own outcome, in the same order, and one that failed raises nothing: look at `ok`.
    Not tried again when no answer came: without a field to match, records would be there twice.
    """
    if not 1 <= len(records) <= MOST_RECORDS:
        raise client.invalid(f"1 to {MOST_RECORDS} records go into one call, not {len(records)}.")
    content: dict[str, Json] = {"data": [dict(record) for record in records]}
    if match:
        content["duplicate_check_fields"] = list(match)
    path, endpoint = _module(client, module, "/upsert", "/upsert")
    answer = client.call("POST", path, endpoint=endpoint, json=content, read=_read_as_a_whole)
    outcomes = [_outcome(row) for row in client.rows(answer, "data")]
    if len(outcomes) != len(records):
        said = f"{client.integration.name} told of {len(outcomes)} of {len(records)} records. {LOOK}"
        raise Refusal(said, permanent=True, code=FAILED, status=answer.status)
    return outcomes


def coql(client: Client, *, query: str) -> Page:
    """What a query in Zoho's own language finds ("select Last_Name from Leads where …"). POST /coql, which only reads
    (PROVIDERS §1 [A])."""
    return _page(client, client.call("POST", f"{V}/coql", json={"select_query": query}, safe=True))


def _module(client: Client, module: str, more: str = "", template: str = "") -> tuple[str, str]:
    return f"{V}/{client.part(module, 'module')}{more}", f"{V}/{{module}}{template}"


def _page(client: Client, answer: Answer) -> Page:
    info = at(json_of(answer), "info")
    return Page(
        rows=client.rows(answer, "data"),
        more=at(info, "more_records") is True,
        token=text(at(info, "next_page_token")),
    )


def _outcome(row: dict[str, Json]) -> Outcome:
    details = row.get("details")
    return Outcome(
        ok=row.get("code") == "SUCCESS",
        id=text(at(details, "id")),
        action=text(row.get("action")),
        code=text(row.get("code")),
        message=text(row.get("message")),
        details=details if isinstance(details, dict) else {},
    )


# --- Notification channels -------------------------------------------------------------------------------------------


def watches(client: Client) -> list[Registered]:
    """The notification channels that are open. GET /actions/watch (PROVIDERS §1 [A])."""
    found: list[Registered] = []
    for page in range(1, MOST_PAGES + 1):
        answer = client.call("GET", f"{V}/actions/watch", params={"page": str(page), "per_page": str(PER_PAGE)})
        found += [_channel(row) for row in client.rows(answer, "watch")]
        if at(json_of(answer), "info.more_records") is not True:
            break
    return found


def watch(
    client: Client, *, channel_id: str, events: Sequence[str], notify_url: str, token: str, until: datetime
) -> Registered:
    """Open a notification channel, or renew the one of this id; returns it as Zoho confirms it. POST or PUT
    /actions/watch (PROVIDERS §1 [A]).

    `events`: "{Module}.{create|edit|delete|all}". `token`, at most 50 characters, comes with each notification.
    `until` is a week ahead at most: Zoho would make an hour of anything longer, without a word.
    """
    channel = _wanted(client, channel_id, events, notify_url, token, until) | {"return_affected_field_values": True}
    there = client.rows(client.call("GET", f"{V}/actions/watch", params={"channel_id": channel_id}), "watch")
    return _written(client, "PUT" if there else "POST", channel)


def renew(
    client: Client, *, channel_id: str, events: Sequence[str], notify_url: str, token: str, until: datetime
) -> Registered:
    """Let a notification channel that is open end later, and come with this token; returns it as Zoho confirms it.
    PATCH /actions/watch, which leaves alone what it isn't told: conditions, say (PROVIDERS §1 [A]).

    Zoho wants `events` and `notify_url` told again, as they are (…/api/v8/notifications/update-info.html [A]). Else as
    `watch`.
    """
    return _written(client, "PATCH", _wanted(client, channel_id, events, notify_url, token, until))


def _wanted(
    client: Client, channel_id: str, events: Sequence[str], notify_url: str, token: str, until: datetime
) -> dict[str, Json]:
    ahead = until - timezone.now()
    if not timedelta() < ahead <= LONGEST_WATCH:
        raise client.invalid("a channel ends within a week from now.")
    if not channel_id.isdigit() or not token or len(token) > LONGEST_TOKEN or not events:
        raise client.invalid(f"a channel has a number, events, and a token of 1 to {LONGEST_TOKEN} characters.")
    return {
        "channel_id": channel_id, "events": list(events), "notify_url": notify_url, "token": token,
        "channel_expiry": until.isoformat(timespec="seconds"),
    }  # fmt: skip


def _written(client: Client, method: str, channel: dict[str, Json]) -> Registered:
    answer = client.call(method, f"{V}/actions/watch", json={"watch": [channel]}, read=_read_channels)
    rows = client.rows(answer, "watch")
    told = at(rows[0], "details.events") if rows else None
    expires_at = moment(at(told[0], "channel_expiry")) if isinstance(told, list) and told else None
    events = tuple(channel["events"])
    return Registered(
        id=channel["channel_id"], url=channel["notify_url"], events=events, enabled=True, expires_at=expires_at
    )


def unwatch(client: Client, *, channel_ids: Sequence[str]) -> None:
    """Close notification channels. DELETE /actions/watch (PROVIDERS §1 [A]). Not tried again when no answer came: Zoho
    calls it an error to close what is closed."""
    if not channel_ids:
        raise client.invalid("name the channels to close.")
    params = {"channel_ids": ",".join(channel_ids)}
    client.call("DELETE", f"{V}/actions/watch", params=params, safe=False, read=_read_channels)


def _channel(row: dict[str, Json]) -> Registered:
    return Registered(
        id=text(row.get("channel_id")),
        url=text(row.get("notify_url")),
        events=words(row.get("events")),
        enabled=True,
        expires_at=moment(row.get("channel_expiry")),
    )
