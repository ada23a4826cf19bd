"""The faults of the sandbox: what a provider can be told to do wrong, for how long and how often."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from integrations import providers
from integrations.sandbox.shapes import SHAPES

ACCOUNTS = "zoho-accounts"  # Zoho's authorisation server: no provider, but it has faults and counters like one

Kind = Literal["api", "webhooks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultType:
    """A way to misbehave. `delay`: seconds before it answers, between its bytes, or until it gives up."""

    words: str
    kind: Kind = "api"
    only: str = ""
    probability: float = 1.0
    delay: float = 0.0


FAULTS: Mapping[str, FaultType] = {
    "fail": FaultType(words="Answers 5xx"),
    "refuse": FaultType(words="Refuses our credentials"),
    "throttle": FaultType(words="Says “too many requests”"),
    "slow": FaultType(words="Answers after 6 s", delay=6.0),
    "hang": FaultType(words="Accepts, never answers", delay=120.0),
    "reset": FaultType(words="Cuts the connection"),
    "drip": FaultType(words="Sends a byte a second", delay=1.0),
    "garbage": FaultType(words="Answers 200 with nonsense"),
    "lost": FaultType(words="Knows no payment", only="netcash"),
    "invalid_code": FaultType(words="Declares every grant dead", only=ACCOUNTS),
    "quiet": FaultType(words="Sends no webhooks", kind="webhooks"),
    "forge": FaultType(words="Forges half of its webhooks", kind="webhooks", probability=0.5),
    "unsigned": FaultType(words="Sends webhooks unsigned", kind="webhooks"),
    "repeat": FaultType(words="Sends each webhook twice", kind="webhooks"),
}


def possible(slug: str) -> dict[str, FaultType]:
    """The faults that `slug` can have, its own documented errors among them."""
    provider = providers.get(slug)
    if provider is None and slug != ACCOUNTS:
        return {}
    hooked = provider is not None and provider.webhook is not None
    general = {
        name: fault for name, fault in FAULTS.items() if fault.only in ("", slug) and (fault.kind == "api" or hooked)
    }
    return general | {name: FaultType(words=f"Says {name}", only=slug) for name in SHAPES.get(slug, {})}


@dataclass(frozen=True, slots=True)
class Fault:
    provider: str
    name: str
    kind: Kind
    probability: float
    delay: float
    until: float | None  # Unix time; None: until it is cleared


class Faults:
    """At most one fault of each kind for each provider: a new one takes the old one's place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: dict[tuple[str, Kind], Fault] = {}

    def set(
        self,
        slug: str,
        name: str,
        *,
        now: float,
        seconds: float | None,
        probability: float | None,
        delay: float | None,
    ) -> Fault:
        """Raises ValueError in words."""
        _check(slug)
        choices = possible(slug)
        if name not in choices:
            raise ValueError(f"{slug} has no fault {name!r}. Choose from {', '.join(choices)}.")
        if seconds is not None and not 0 < seconds <= 86_400:
            raise ValueError("A fault lasts from 1 s to 86,400 s (a day), or until it is cleared.")
        if probability is not None and not 0 < probability <= 1:
            raise ValueError("A probability is above 0 and at most 1.")
        if delay is not None and not 0 <= delay <= 120:
            raise ValueError("A delay is at most 120 s.")
        kind = choices[name]
        fault = Fault(
            slug, name, kind.kind,
            kind.probability if probability is None else probability,
            kind.delay if delay is None else delay,
            None if seconds is None else now + seconds,
        )  # fmt: skip
        with self._lock:
            self._set[slug, kind.kind] = fault
        return fault

    def clear(self, slug: str) -> None:
        """Raises ValueError in words."""
        _check(slug)
        with self._lock:
            for kind in ("api", "webhooks"):
                self._set.pop((slug, kind), None)

    def current(self, slug: str, now: float) -> list[Fault]:
        with self._lock:
            found = [fault for (owner, _), fault in self._set.items() if owner == slug]
        return [fault for fault in found if fault.until is None or now < fault.until]

    def strike(self, slug: str, kind: Kind, now: float) -> Fault | None:
        """The fault that this one request or webhook suffers: a dice is rolled for it."""
        for fault in self.current(slug, now):
            if fault.kind == kind and random.random() < fault.probability:  # noqa: S311 - a dice, not a key
                return fault
        return None


def _check(slug: str) -> None:
    known = [*(provider.slug for provider in providers.PROVIDERS), ACCOUNTS]
    if slug not in known:
        raise ValueError(f"No provider is called {slug!r}. Choose from {', '.join(known)}.")
