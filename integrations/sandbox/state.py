"""What the sandbox knows while it runs: counters, rate windows, the ledger. In memory, and all of it bounded."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from integrations import credentials, providers
from integrations.providers.spec import Json, Provider
from integrations.sandbox.faults import Faults

# --- Counters and rate windows ---------------------------------------------------------------------------------------


class Counters:
    """Requests by provider, endpoint and status. Endpoints are route templates, so their number is bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, dict[int, int]]] = {}

    def add(self, slug: str, endpoint: str, status: int) -> None:
        """`status` 0: no answer was given."""
        with self._lock:
            by_status = self._counts.setdefault(slug, {}).setdefault(endpoint, {})
            by_status[status] = by_status.get(status, 0) + 1

    def of(self, slug: str) -> dict[str, dict[int, int]]:
        with self._lock:
            return {endpoint: dict(by_status) for endpoint, by_status in self._counts.get(slug, {}).items()}


@dataclass(frozen=True, slots=True)
class Window:
    """Where a key stands in its rate window. `over`: this request is one too many."""

    limit: int
    used: int
    reset_at: float
    now: float

    @property
    def over(self) -> bool:
        return self.used > self.limit

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def seconds(self) -> int:
        """Whole seconds until it starts anew."""
        return max(1, int(self.reset_at - self.now + 0.999))


class Meter:
    """Windows of fixed length that begin with their first request."""

    MOST = 2000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, ...], tuple[float, int]] = {}  # start and count

    def hit(self, key: tuple[str, ...], *, limit: int, seconds: float, now: float) -> Window:
        with self._lock:
            start, used = self._windows.pop(key, (now, 0))
            if not start <= now < start + seconds:
                start, used = now, 0
            if len(self._windows) >= self.MOST:
                self._windows.pop(next(iter(self._windows)))  # the one that has rested longest
            self._windows[key] = start, used + 1
        return Window(limit, used + 1, start + seconds, now)


# --- The ledger ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: the `status` and first bytes of the answer, or None and why none came."""

    at: float
    status: int | None
    words: str
    elapsed_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One webhook. `flaw`: "", forged, unsigned, repeated, or withheld (it happened, but the provider keeps quiet)."""

    id: str
    provider: str
    event: str
    at: float
    flaw: str = ""
    attempts: tuple[Attempt, ...] = ()

    @property
    def status(self) -> int | None:
        return self.attempts[-1].status if self.attempts else None


class Ledger:
    """What was sent and what was answered: the sender's side of the story, for people and for tests."""

    MOST = 2000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        with self._lock:
            if len(self._entries) >= self.MOST:
                del self._entries[next(iter(self._entries))]
            self._entries[entry.id] = entry

    def note(self, entry_id: str, attempt: Attempt) -> None:
        with self._lock:
            if entry := self._entries.get(entry_id):
                self._entries[entry_id] = replace(entry, attempts=(*entry.attempts, attempt))

    def entries(self, slug: str = "") -> list[Entry]:
        """The newest last."""
        with self._lock:
            return [entry for entry in self._entries.values() if slug in ("", entry.provider)]


def as_json(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "status": entry.status}


@dataclass(frozen=True, slots=True)
class Registered:
    url: str = ""
    events: tuple[str, ...] = ()


# --- All of it -------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class State:
    """`values` are what `manage.py up` lends; `clock` gives Unix time; `url` is where this sandbox listens.

    `receiver` is the app's public address, as an admin would have registered it with the providers.
    """

    values: Mapping[str, str]
    clock: Callable[[], float]
    token_lifetime: int = 3600
    url: str = ""
    receiver: str = ""
    faults: Faults = field(default_factory=Faults)
    counters: Counters = field(default_factory=Counters)
    meter: Meter = field(default_factory=Meter)
    ledger: Ledger = field(default_factory=Ledger)
    spent: dict[str, None] = field(default_factory=dict)  # codes used and grants revoked, oldest first
    watches: dict[str, dict[str, Json]] = field(default_factory=dict)  # Zoho CRM's notification channels
    envelopes: dict[str, dict[str, Json]] = field(default_factory=dict)  # Zoho Sign's requests, oldest first
    _events: dict[str, deque[Json]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def value(self, name: str) -> str:
        """What the environment sets, or what we lend: the app, which asks in the same order, holds the same."""
        return credentials.real(name) or self.values.get(name, "")

    def secret(self, provider: Provider) -> str:
        """The newest of a webhook's secrets: the one the provider would sign with."""
        name = provider.webhook.secret_env if provider.webhook else ""
        return self.value(name).split(",")[0].strip()

    def registered(self, slug: str) -> "Registered":
        """The webhook that was registered at `slug`; without an address when there is nobody to call."""
        provider = providers.get(slug)
        if not self.receiver or provider is None or provider.webhook is None:
            return Registered()
        return Registered(self.receiver + provider.webhook.path, provider.webhook.event_types)

    def spend(self, name: str) -> bool:
        """Use up a code, or end a grant; False when that was done before."""
        with self._lock:
            if name in self.spent:
                return False
            if len(self.spent) >= 10_000:
                del self.spent[next(iter(self.spent))]
            self.spent[name] = None
        return True

    def remember(self, slug: str, payload: Json) -> None:
        """Something happened at `slug`, so its API knows of it (a payment's status, a list of events)."""
        self._events.setdefault(slug, deque(maxlen=1000)).append(payload)

    def events(self, slug: str) -> list[Json]:
        return list(self._events.get(slug, ()))
