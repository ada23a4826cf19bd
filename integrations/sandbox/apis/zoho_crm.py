"""Zoho CRM v8: records, search, COQL and notification channels."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.providers.spec import Json
from integrations.sandbox.apis import zoho
from integrations.sandbox.state import State, Window
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, count

SLUG = "zoho-crm"
CHANNEL = "1000000068001"
MODULES = ("Leads", "Contacts", "Accounts", "Deals", "Tasks", "Events", "Calls", "Products", "Quotes", "Invoices")
CREDITS = 50_000
DAY = 24 * 60 * 60


def _error(code: str, message: str, status: int) -> Reply:
    return answer({"code": code, "details": {}, "message": message, "status": "error"}, status)


def _credits(window: Window) -> dict[str, str]:
    """The header appears once half of the day's credits are gone."""
    return {"X-API-CREDITS-REMAINING": str(window.remaining)} if window.used >= window.limit / 2 else {}


def _record(module: str, number: int) -> dict[str, Any]:
    first, last, email, phone = zoho.PEOPLE[number % len(zoho.PEOPLE)]
    return {
        "id": f"57257670000030{number:05}",
        "First_Name": first,
        "Last_Name": last,
        "Full_Name": f"{first} {last}",
        "Email": email,
        "Phone": phone,
        "Name": f"{module} {number}",
        "Modified_Time": "2026-11-02T09:30:00+02:00",
    }


def _number(record_id: str) -> int:
    return int(record_id[-5:]) if record_id.isascii() and record_id.isdigit() else 0


def _page(call: Call) -> Reply:
    module = call.params["module"]
    if module not in MODULES:
        return _error("INVALID_MODULE", "the module name given seems to be invalid", 400)
    if "fields" not in call.query:
        return _error("REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", 400)
    page = call.query.get("page_token", "").removeprefix("page-") or call.query.get("page", "1")
    number, per_page = int(page) if page.isdecimal() else 1, min(200, count(call.query, "per_page", 200))
    records = [_record(module, each) for each in range(1, 5)][(number - 1) * per_page : number * per_page]
    if not records:
        return Reply(204)
    more = number * per_page < 4
    info = {"per_page": per_page, "page": number, "count": len(records), "more_records": more}
    return answer({"data": records, "info": {**info, "next_page_token": f"page-{number + 1}" if more else None}})


def organization(_: Call, state: State) -> Reply:
    org = {
        "id": state.value("ZOHO_ORG_ID"), "company_name": "CircleTel Sandbox", "country": "South Africa",
        "time_zone": "Africa/Johannesburg", "currency": "South African Rand - ZAR", "iso_code": "ZAR",
    }  # fmt: skip
    return answer({"org": [org]})


def users(_: Call, __: State) -> Reply:
    first, last, email, _phone = zoho.PEOPLE[0]
    user = {"id": "5725767000000411001", "full_name": f"{first} {last}", "email": email, "status": "active"}
    return answer({"users": [user], "info": {"per_page": 200, "count": 1, "page": 1, "more_records": False}})


def search(call: Call, _: State) -> Reply:
    """Finds a person by e-mail or phone; 204 without a body when there is none."""
    if not any(name in call.query for name in ("criteria", "email", "phone", "word")):
        return _error("REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", 400)
    wanted = " ".join(call.query.values()).lower()
    found = [
        _record(call.params["module"], number)
        for number, person in enumerate(zoho.PEOPLE)
        if any(part.lower() in wanted for part in person)
    ]
    info = {"per_page": 200, "page": 1, "count": len(found), "more_records": False}
    return answer({"data": found, "info": info}) if found else Reply(204)


def one(call: Call, _: State) -> Reply:
    if call.params["module"] not in MODULES:
        return _error("INVALID_MODULE", "the module name given seems to be invalid", 400)
    record = _record(call.params["module"], _number(call.params["id"]))
    return answer({"data": [{**record, "id": call.params["id"]}]})


def write(call: Call, _: State) -> Reply:
    """Create, update and upsert: each item has its own result inside the 2xx."""
    items = call.json().get("data")
    if not isinstance(items, list) or not 1 <= len(items) <= 100:
        return _error("INVALID_DATA", "data must hold 1 to 100 records", 400)
    results = [
        {
            "code": "SUCCESS",
            "details": {"id": str(item.get("id") or _record("", number)["id"])},
            "message": "record updated" if item.get("id") else "record added",
            "status": "success",
        }
        if isinstance(item, dict) and item
        else {"code": "MANDATORY_NOT_FOUND", "details": {}, "message": "required field not found", "status": "error"}
        for number, item in enumerate(items)
    ]
    good = all(result["code"] == "SUCCESS" for result in results)
    return answer({"data": results}, (201 if call.method == "POST" else 200) if good else 207)


def coql(call: Call, _: State) -> Reply:
    query = call.json().get("select_query")
    if not isinstance(query, str) or not query.lower().startswith("select "):
        return _error("SYNTAX_ERROR", "error occurred while parsing the query", 400)
    return answer({"data": [_record("Leads", 1)], "info": {"count": 1, "more_records": False}})


def modules(_: Call, __: State) -> Reply:
    return answer({"modules": [{"api_name": name, "api_supported": True} for name in MODULES]})


# --- Notification channels: a week at most, an hour when nothing or too much is asked for ----------------------------


def _there(state: State, now: float) -> dict[str, dict[str, Json]]:
    """The channels, among them the one that an admin opened five days ago."""
    registered = state.registered(SLUG)
    if registered.url and state.spend(f"{SLUG}: opened"):
        modules = dict.fromkeys(event.partition(".")[0] for event in registered.events)
        state.watches[CHANNEL] = {
            "channel_id": CHANNEL, "events": [f"{module}.all" for module in modules], "notify_url": registered.url,
            "channel_expiry": (datetime.fromtimestamp(now, UTC) + timedelta(days=2)).isoformat(timespec="seconds"),
        }  # fmt: skip
    return state.watches


def watch(call: Call, state: State) -> Reply:
    """POST enables, PUT and PATCH change what is enabled."""
    watches = _there(state, call.now)
    channels = call.json().get("watch")
    if not isinstance(channels, list) or not 1 <= len(channels) <= 100:
        return _error("MANDATORY_NOT_FOUND", "required field not found", 400)
    results = []
    for channel in channels:
        if not isinstance(channel, dict) or not channel.get("channel_id"):
            return _error("MANDATORY_NOT_FOUND", "required field not found", 400)
        number = str(channel["channel_id"])
        known = watches.get(number, {})
        if len(str(channel.get("token", ""))) > 50 or (call.method != "POST" and not known):
            return _error("INVALID_DATA", "the channel id or its token seems to be invalid", 400)
        if not channel.get("notify_url", known.get("notify_url")) or len(watches) >= 1000:
            return _error("MANDATORY_NOT_FOUND", "required field not found", 400)
        watches[number] = {**known, **channel, "channel_expiry": _expiry(channel, call.now)}
        details = {"events": [{"channel_id": number, "channel_expiry": watches[number]["channel_expiry"]}]}
        results.append(
            {"code": "SUCCESS", "details": details, "message": "Successfully subscribed", "status": "success"}
        )
    return answer({"watch": results}, 201 if call.method == "POST" else 200)


def _expiry(channel: dict[str, Any], now: float) -> str:
    moment = datetime.fromtimestamp(now, UTC)
    try:
        asked = datetime.fromisoformat(str(channel.get("channel_expiry", "")))
        good = moment < asked <= moment + timedelta(days=7)
    except (ValueError, TypeError):
        good = False
    return (asked if good else moment + timedelta(hours=1)).isoformat(timespec="seconds")


def watched(call: Call, state: State) -> Reply:
    live = [
        {name: value for name, value in channel.items() if name != "token"}
        for channel in _there(state, call.now).values()
        if datetime.fromisoformat(channel["channel_expiry"]).timestamp() > call.now
        and call.query.get("channel_id", str(channel["channel_id"])) == str(channel["channel_id"])
    ]
    return answer({"watch": live, "info": {"count": len(live), "more_records": False}}) if live else Reply(204)


def unwatch(call: Call, state: State) -> Reply:
    numbers = [number for number in call.query.get("channel_ids", "").split(",") if number]
    done = [number for number in numbers if state.watches.pop(number, None)]
    if len(done) < len(numbers) or not numbers:
        return _error("INVALID_DATA", "the channel id given seems to be invalid", 400)
    results = [
        {
            "code": "SUCCESS",
            "details": {"channel_id": number},
            "message": "Successfully unsubscribed",
            "status": "success",
        }
        for number in done
    ]
    return answer({"watch": results})


def _refused(_: Call) -> Reply:
    return _error("INVALID_TOKEN", "invalid oauth token", 401)


_V = "/crm/{version}"

API = Api(
    slug=SLUG,
    routes=(
        Route("GET", f"{_V}/org", organization),
        Route("GET", f"{_V}/users", users),
        Route("GET", f"{_V}/settings/modules", modules),
        Route("POST", f"{_V}/coql", coql),
        Route("POST", f"{_V}/actions/watch", watch),
        Route("PUT", f"{_V}/actions/watch", watch),
        Route("PATCH", f"{_V}/actions/watch", watch),
        Route("GET", f"{_V}/actions/watch", watched),
        Route("DELETE", f"{_V}/actions/watch", unwatch),
        Route("GET", f"{_V}/{{module}}", lambda call, state: _page(call)),
        Route("POST", f"{_V}/{{module}}", write),
        Route("PUT", f"{_V}/{{module}}", write),
        Route("GET", f"{_V}/{{module}}/search", search),
        Route("POST", f"{_V}/{{module}}/upsert", write),
        Route("GET", f"{_V}/{{module}}/{{id}}", one),
        Route("PUT", f"{_V}/{{module}}/{{id}}", write),
    ),
    admit=zoho.admit(
        "ZohoCRM.",
        _refused,
        lambda call: _error("OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL", 401),
    ),
    refused=_refused,
    throttled=lambda call, seconds: _error("TOO_MANY_REQUESTS", "too many requests fired in the given time", 429),
    failed=lambda call: _error("INTERNAL_ERROR", "Internal Server Error", 500),
    missing=lambda call: _error(
        "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one", 404
    ),
    quota=lambda call: Quota(CREDITS, DAY, headers=_credits),
)
