"""How the sandbox is told what to do: ``/_sandbox/…``, as JSON for commands and tests, as forms for its page.

GET    /_sandbox/state               everything but secrets
GET    /_sandbox/ledger[?provider=]  what was sent, and what was answered
POST   /_sandbox/faults              {"provider", "fault", "seconds"?, "probability"?, "delay"?}; no fault clears
DELETE /_sandbox/faults/<provider>
POST   /_sandbox/send                {"provider", "eventType"?, "count"?}
"""

from collections.abc import Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from integrations import providers
from integrations.providers.spec import Json
from integrations.sandbox import page, parcels
from integrations.sandbox.faults import ACCOUNTS, Fault
from integrations.sandbox.sender import NO_TARGET, Sender
from integrations.sandbox.state import State, as_json
from integrations.sandbox.wire import Call, Reply, answer, text

_HOSTS = ("127.0.0.1", "localhost", "::1")


def refusal(call: Call) -> Reply | None:
    """Keeps web pages out, whatever path they want: a name that was pointed at us, and a form or script of theirs."""
    host = call.headers.get("host", "")
    if _hostname(f"//{host}") not in _HOSTS:
        return answer({"error": "The sandbox answers to 127.0.0.1 and localhost only."}, 403)
    if call.method in ("GET", "HEAD"):
        return None
    origin, site = call.headers.get("origin", f"http://{host}"), call.headers.get("sec-fetch-site", "none")
    if origin != f"http://{host}" or site not in ("same-origin", "none"):
        return answer({"error": "The sandbox takes no orders from other sites."}, 403)
    return None


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def handle(call: Call, state: State, sender: Sender | None) -> Reply:
    """The page and the orders. `call.path` is whole here."""
    match call.method, call.path:
        case "GET", "/":
            return text(page.index(state, sender), headers=page.security())
        case "GET", path if found := page.asset(path):
            return found.adding(page.security())
        case "GET", "/_sandbox/state":
            return answer(describe(state, sender))
        case "GET", "/_sandbox/ledger":
            entries = state.ledger.entries(call.query.get("provider", ""))
            return answer({"deliveries": [as_json(entry) for entry in entries]})
        case "DELETE", path if path.startswith("/_sandbox/faults/"):
            return _ordered(call, state, sender, {"provider": path.removeprefix("/_sandbox/faults/")})
        case "POST", "/_sandbox/faults" | "/_sandbox/send":
            asked = call.form() if _is_form(call) else call.json()
            reply = _ordered(call, state, sender, asked)
            return Reply(303, b"", {"Location": "/"}) if _is_form(call) and reply.status < 400 else reply
    return answer({"error": f"There is nothing at {call.method} {call.path}."}, 404)


def _is_form(call: Call) -> bool:
    return call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _ordered(call: Call, state: State, sender: Sender | None, asked: Mapping[str, Json]) -> Reply:
    try:
        if call.path == "/_sandbox/send":
            return answer({"sent": _sent(sender, asked)}, 202)
        if not asked.get("fault"):
            state.faults.clear(str(asked.get("provider", "")))
            return answer({"cleared": asked["provider"]})
        return answer(asdict(_set(state, asked)))
    except (ValueError, TypeError) as error:
        return answer({"error": str(error)}, 400)


def _sent(sender: Sender | None, asked: Mapping[str, Json]) -> list[str]:
    if sender is None:
        raise ValueError(NO_TARGET)
    return sender.send(str(asked.get("provider", "")), str(asked.get("eventType") or ""), int(asked.get("count") or 1))


def _set(state: State, asked: Mapping[str, Json]) -> Fault:
    def number(name: str) -> float | None:
        return None if asked.get(name) in (None, "") else float(asked[name])

    return state.faults.set(
        str(asked.get("provider", "")),
        str(asked["fault"]),
        now=state.clock(),
        seconds=number("seconds"),
        probability=number("probability"),
        delay=number("delay"),
    )


def describe(state: State, sender: Sender | None) -> dict[str, Json]:
    now = state.clock()
    names = {provider.slug: provider.name for provider in providers.PROVIDERS} | {ACCOUNTS: "Zoho sign-in"}
    return {
        "url": state.url,
        "target": sender.target if sender else None,
        "rhythm": sender.rhythm if sender else None,
        "now": now,
        "providers": [
            {
                "provider": slug,
                "name": name,
                "faults": [asdict(fault) for fault in state.faults.current(slug, now)],
                "requests": state.counters.of(slug),
                "events": list(parcels.kinds(slug)),
            }
            for slug, name in names.items()
        ],
    }
