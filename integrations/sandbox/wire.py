"""One request, one answer, and how a provider's API is described: a table of routes and its four ways of saying no."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

from integrations.providers.spec import Json

if TYPE_CHECKING:
    from integrations.sandbox.state import State, Window


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. `path` is what follows the provider's prefix, `params` what its route's template named.

    `headers` are lower-case. `fault` is the fault that its handler must act out by itself (`lost`, `invalid_code`).
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    now: float = 0.0
    params: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    def form(self) -> dict[str, str]:
        return pairs(self.body.decode("utf-8", "replace"))

    def json(self) -> dict[str, Json]:
        """The body as a JSON object; {} when it is none."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


Manner = Literal["", "slow", "drip", "hang", "reset"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the `manner` in which the server gives it or doesn't; `delay` is that manner's, in seconds."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Manner = ""
    delay: float = 0.0

    def adding(self, headers: Mapping[str, str]) -> "Reply":
        return replace(self, headers={**self.headers, **headers})


def answer(content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`content` as JSON."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})})


def text(content: str, kind: str = "text/html", status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, content.encode(), {"Content-Type": f"{kind}; charset=utf-8", **(headers or {})})


Handler = Callable[[Call, "State"], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a template ("/domains/{id}") and the endpoint's name in the counters. `open`: needs no key."""

    method: str
    path: str
    handler: Handler
    open: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        want, have = self.path.split("/"), path.split("/")
        if len(want) != len(have):
            return None
        params: dict[str, str] = {}
        for template, part in zip(want, have, strict=True):
            if template.startswith("{") and part:
                params[template.strip("{}")] = part
            elif template != part:
                return None
        return params


@dataclass(frozen=True, slots=True)
class Quota:
    """`requests` in `seconds` for each key, or for each endpoint; `headers` tell of it in every answer."""

    requests: int
    seconds: int
    each: Literal["key", "endpoint"] = "key"
    headers: Callable[["Window"], Mapping[str, str]] = lambda window: {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """How one provider answers.

    `admit` judges the credentials: None when they are good, else its refusal. The four others are its shapes: our
    credentials refused, too many requests (for so many seconds more), its own fault, and no such thing.
    """

    slug: str
    routes: tuple[Route, ...]
    admit: Callable[[Call, "State"], Reply | None]
    refused: Callable[[Call], Reply]
    throttled: Callable[[Call, int], Reply]
    failed: Callable[[Call], Reply]
    missing: Callable[[Call], Reply]
    quota: Callable[[Call], Quota | None] = lambda call: None

    def find(self, call: Call) -> tuple[Route | None, Call]:
        """The route for `call`, and the call with its parameters."""
        for route in self.routes:
            if route.method == call.method:
                params = route.match(call.path)
                if params is not None:
                    return route, replace(call, params=params)
        return None, call


def pairs(encoded: str) -> dict[str, str]:
    """A query string or form as a dict: the first of equal names counts; {} when there are absurdly many."""
    try:
        found = parse_qsl(encoded, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return {}
    return dict(reversed(found))


def count(query: Mapping[str, str], name: str, default: int) -> int:
    """A count in a query: at least 1, the default where it is none."""
    told = query.get(name, "")
    return max(1, int(told[:9])) if told.isascii() and told.isdigit() else default


def same(given: str, wanted: str) -> bool:
    """Whether a credential is the right one; nothing is right while none is set."""
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
