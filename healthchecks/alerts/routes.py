"""Where alerts go: `ALERT_TO` and `ALERT_FALLBACK_TO`, comma-separated.

mailto:ops@example.com     an e-mail
sms:+27820000000           a text message, through Clickatell
slack://…, json://…        whatever apprise speaks

A route may hold a secret. Only `label` is ever shown or kept; it names the kind of route and, masked, whom it reaches.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

Kind = Literal["mail", "sms", "apprise", "broken"]

_PLAIN = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
"""Schemes of apprise whose host is a host. Elsewhere it may be a token (slack://TOKEN/…)."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_MAIL = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
_NUMBER = re.compile(r"\+?[0-9]{7,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`target` is the address, the number, or apprise's whole URL; `position` its place in the settings, from 1.

    A `broken` one can't be used: `trouble` says why.
    """

    position: int
    kind: Kind
    target: str = field(repr=False)
    label: str
    fallback: bool = False
    trouble: str = ""

    def scrubbed(self, text: str) -> str:
        """`text` without what of this route is nobody's business."""
        for piece in sorted(_pieces(self), key=len, reverse=True):
            text = text.replace(piece, "…")
        return text


def configured() -> tuple[Route, ...]:
    """All of them in their order, the fallbacks last. Where there are only fallbacks, they are the routes."""
    first, second = _split(settings.ALERT_TO), _split(settings.ALERT_FALLBACK_TO)
    return tuple(
        _read(text, position, fallback=bool(first) and position > len(first))
        for position, text in enumerate([*first, *second], start=1)
    )


def find(position: int, label: str) -> Route | None:
    """The route that a delivery was made for, as long as the settings still hold it."""
    same = [route for route in configured() if route.label == label]
    return next((route for route in same if route.position == position), same[0] if same else None)


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in re.split(r"[,\n]", text)) if part]


def _read(text: str, position: int, *, fallback: bool) -> Route:
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    rest = text[match.end() :] if match else ""
    kind: Kind = "broken"
    target, label, trouble = text, f"{scheme or '?'}:…", ""
    if rest.startswith("//"):
        kind, label = "apprise", f"{scheme}://{_host(text) if scheme in _PLAIN else ''}…"
    elif scheme == "mailto" and _MAIL.fullmatch(rest):
        name, _at, host = rest.partition("@")
        kind, target, label = "mail", rest, f"mailto:{name[:1]}…@{host}"
    elif scheme == "sms" and _NUMBER.fullmatch(rest):
        kind, target, label = "sms", rest.removeprefix("+"), f"sms:…{rest[-3:]}"
    else:
        trouble = _(
            "It is no route: write mailto:name@example.com, sms:+27820000000, or a URL of apprise's (slack://…)."
        )
    return Route(position=position, kind=kind, target=target, label=label, fallback=fallback, trouble=trouble)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.hostname}{port}/" if parts.hostname else ""


def _pieces(route: Route) -> set[str]:
    """What in it might be secret, as written and as decoded; not its scheme, nor a host that the label shows."""
    if route.kind in ("mail", "sms"):
        return {route.target}
    rest = _SCHEME.sub("", route.target, count=1)
    coarse, fine = re.compile(r"[/?&=#]+"), re.compile(r"[/@:?&=#,;]+")
    pieces = {part for text in (rest, unquote(rest)) for way in (coarse, fine) for part in (text, *way.split(text))}
    return {piece for piece in pieces if len(piece) >= 4 and piece not in route.label}
