"""The sandbox's own pages: what the ten providers are up to, and Zoho's question for consent. No JavaScript needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template import Context, Engine

from integrations import providers
from integrations.models import Category
from integrations.providers.spec import Provider
from integrations.sandbox import parcels
from integrations.sandbox.faults import ACCOUNTS, Fault, possible
from integrations.sandbox.state import Entry, State
from integrations.sandbox.wire import Reply, text

if TYPE_CHECKING:
    from integrations.sandbox.sender import Sender

FILES = Path(__file__).parent / "files"
_ASSETS = {"/sandbox.css": "text/css", "/sandbox.js": "text/javascript", "/sandbox.svg": "image/svg+xml"}
_TIMES = ((60, "1 minute"), (300, "5 minutes"), (900, "15 minutes"), (3600, "1 hour"))
RECENT = 20


def security(form_action: str = "") -> dict[str, str]:
    """Headers of every page. `form_action`: one more origin that its forms may lead to."""
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self' {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def asset(path: str) -> Reply | None:
    return text((FILES / path[1:]).read_text(), _ASSETS[path]) if path in _ASSETS else None


def consent(*, fields: Mapping[str, str], scopes: Sequence[str], back_to: str) -> str:
    return _render("consent.html", fields=dict(fields), scopes=scopes, back_to=back_to)


def refusal(words: str) -> str:
    return _render("consent.html", refusal=words)


# --- Overview --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    slug: str
    name: str
    icon: str
    about: str
    faults: list[dict[str, str]]
    tone: str
    answered: int
    troubled: int
    endpoints: list[tuple[str, str]]
    sent: int
    taken: int
    events: Sequence[str]
    choices: dict[str, list[tuple[str, str]]]


def index(state: State, sender: "Sender | None") -> str:
    now = state.clock()
    entries = state.ledger.entries()
    cards = [
        _card(provider.slug, provider.name, provider.icon, _about(provider), state, entries)
        for provider in providers.PROVIDERS
    ]
    cards.append(_card(ACCOUNTS, "Zoho sign-in", "key-round", "Zoho · OAuth server", state, entries))
    names = {card.slug: card.name for card in cards}
    return _render(
        "index.html",
        cards=cards,
        target=sender.target if sender else "",
        rhythm=sender.rhythm if sender else 0,
        dashboards=f"{settings.PUBLIC_URL}/admin/integrations",
        times=_TIMES,
        now=_clock(now),
        requests=sum(card.answered for card in cards),
        troubled=sum(card.troubled for card in cards),
        sent=sum(card.sent for card in cards),
        taken=sum(card.taken for card in cards),
        faulty=sum(bool(card.faults) for card in cards),
        deliveries=[_line(entry, names) for entry in reversed(entries[-RECENT:])],
    )


def _about(provider: Provider) -> str:
    return f"{provider.vendor} · {dict(Category.choices).get(provider.category, provider.category)}"


def _card(slug: str, name: str, icon: str, about: str, state: State, entries: Sequence[Entry]) -> Card:
    now = state.clock()
    faults = state.faults.current(slug, now)
    counts = state.counters.of(slug)
    mine = [entry for entry in entries if entry.provider == slug and entry.attempts]
    choices: dict[str, list[tuple[str, str]]] = {}
    for fault, kind in possible(slug).items():
        choices.setdefault("API" if kind.kind == "api" else "Webhooks", []).append((fault, kind.words))
    return Card(
        slug=slug,
        name=name,
        icon=icon,
        about=about,
        faults=[
            {"name": fault.name, "words": possible(slug)[fault.name].words, "left": _left(fault, now)}
            for fault in faults
        ],
        tone="down" if any(fault.kind == "api" for fault in faults) else "degraded" if faults else "healthy",
        answered=sum(sum(by_status.values()) for by_status in counts.values()),
        troubled=sum(n for by_status in counts.values() for status, n in by_status.items() if not 200 <= status < 400),
        endpoints=[(endpoint, _statuses(by_status)) for endpoint, by_status in sorted(counts.items())],
        sent=len(mine),
        taken=sum(_taken(entry) for entry in mine),
        events=parcels.kinds(slug),
        choices=choices,
    )


def _statuses(by_status: Mapping[int, int]) -> str:
    return ", ".join(f"{status or 'no answer'}: {count}" for status, count in sorted(by_status.items()))


def _left(fault: Fault, now: float) -> str:
    if fault.until is None:
        return "until cleared"
    seconds = int(fault.until - now) + 1
    return f"for {seconds} s more" if seconds < 120 else f"for {seconds // 60} min more"


def _taken(entry: Entry) -> bool:
    return entry.status is not None and 200 <= entry.status < 300


def _line(entry: Entry, names: Mapping[str, str]) -> dict[str, Any]:
    last = entry.attempts[-1] if entry.attempts else None
    if entry.flaw == "withheld":
        tone, outcome = "unknown", "Withheld"
    elif last is None:
        tone, outcome = "unknown", "Waiting"
    elif entry.status is None:
        tone, outcome = "down", "No answer"
    else:
        tone, outcome = "healthy" if _taken(entry) else "degraded" if entry.status < 500 else "down", str(entry.status)
    return {
        "at": _clock(entry.at), "name": names.get(entry.provider, entry.provider), "event": entry.event,
        "flaw": entry.flaw, "tone": tone, "outcome": outcome, "tries": len(entry.attempts),
        "words": last.words if last else "", "elapsed_ms": last.elapsed_ms if last else None,
    }  # fmt: skip


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(settings.TIME_ZONE)).strftime("%H:%M:%S")


# --- Drawing ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _engine() -> Engine:
    """An engine of our own: the project's templates, context and database are none of the sandbox's business."""
    return Engine(
        dirs=[str(FILES)],
        libraries={"integrations": "integrations.templatetags.integrations"},
        builtins=["integrations.templatetags.integrations"],
    )


def _render(name: str, **context: Any) -> str:
    return _engine().get_template(name).render(Context({**context, "brand": settings.BRAND_NAME}))
