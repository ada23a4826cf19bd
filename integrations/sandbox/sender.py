"""Sends the webhooks: in a gentle rhythm, on demand, and again when they weren't taken."""

import heapq
import itertools
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from integrations import http, providers
from integrations.sandbox import parcels
from integrations.sandbox.parcels import Parcel
from integrations.sandbox.state import Attempt, State

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.0/8", "::1/128")
WORKERS = 4
MOST = 500  # parcels waiting; more are refused
AWAY_SECONDS = 2.0
NO_TARGET = "This sandbox sends no webhooks: it was started without a target."


@dataclass(frozen=True, slots=True)
class Manners:
    """How long a provider waits for an answer, what it takes for one, and when it tries again (seconds)."""

    timeout_s: float = 15.0
    retries: tuple[float, ...] = (60,)
    taken: Callable[[int], bool] = lambda status: 200 <= status < 300
    again: Callable[[int | None], bool] = lambda status: True


# Real ones go on for hours: the first two tries are enough to see how the receiver bears them. Where a provider
# documents nothing (Zoho CRM, Sign and Billing, NetCash) there is one retry after a minute.
MANNERS: Mapping[str, Manners] = {
    "resend": Manners(retries=(5, 300)),
    "clickatell": Manners(retries=(30, 300)),
    "didit-kyc": Manners(
        timeout_s=5.0, retries=(60, 240), again=lambda status: status is None or status == 404 or status >= 500
    ),
    "zoho-desk": Manners(timeout_s=5.0, taken=lambda status: status == 200, again=lambda status: status != 410),
}


@dataclass(order=True)
class _Waiting:
    due: float
    number: int
    parcel: Parcel = field(compare=False)


class Sender:
    """`target` is the receiver's base URL, on this machine; `rhythm` the average gap in seconds, 0: on demand only."""

    def __init__(self, state: State, target: str, rhythm: float) -> None:
        where = urlsplit(target)
        if where.scheme != "http" or where.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(
                f"The sandbox sends webhooks to this machine only, as http://127.0.0.1:8000; not to {target}."
            )
        self.target, self.rhythm, self._state = target.rstrip("/"), rhythm, state
        self._where = (where.hostname, where.port or 80)
        self._heap: list[_Waiting] = []
        self._wake = threading.Condition()
        self._stopped = threading.Event()
        self._up = False  # whether the receiver has answered, and not been away since
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        if rhythm > 0:
            self._threads.append(threading.Thread(target=self._beat, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        with self._wake:
            self._heap.clear()
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=0.2)  # one that waits for an answer ends with the process

    def send(self, slug: str, event: str = "", count: int = 1) -> list[str]:
        """Have `count` events of `slug` happen now; their ids in the ledger. Raises ValueError in words."""
        if not 1 <= count <= 100:
            raise ValueError("From 1 to 100 webhooks can be sent at once.")
        if len(self._heap) + count > MOST:
            raise ValueError(f"{MOST} webhooks wait already: the receiver at {self.target} doesn't take them.")
        return [self._push(parcels.compose(slug, event, self._state)) for _ in range(count)]

    def _push(self, parcel: Parcel) -> str:
        if parcel.flaw != "withheld":
            for _ in range(2 if parcel.flaw == "repeated" else 1):
                self._wait(parcel, 0)
        return parcel.id

    def _wait(self, parcel: Parcel, seconds: float) -> None:
        with self._wake:
            if not self._stopped.is_set():
                heapq.heappush(self._heap, _Waiting(time.monotonic() + seconds, next(self._numbers), parcel))
                self._wake.notify()

    # --- The threads -------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Random events of random providers, while there is somebody to receive them.

        The first round is quick and has one of each, so that every receiver shows life within seconds.
        """
        slugs = [provider.slug for provider in providers.PROVIDERS if parcels.kinds(provider.slug)]
        opening = random.sample(slugs, len(slugs))
        while not self._stopped.wait(self._gap(quick=bool(opening))):
            if slugs and len(self._heap) < MOST // 10 and (self._up or self._reachable()):
                try:
                    self.send(opening.pop() if opening else random.choice(slugs))  # noqa: S311 - no key
                except Exception:
                    log.exception("The sandbox could not make up a webhook.")

    def _gap(self, *, quick: bool) -> float:
        return min(1.0, self.rhythm) if quick else random.uniform(0.5, 1.5) * self.rhythm  # noqa: S311 - no key

    def _work(self) -> None:
        while parcel := self._next():
            try:
                self._attempt(parcel)
            except Exception as error:
                log.exception("The sandbox could not send a webhook of %s.", parcel.provider.slug)
                self._note(parcel, None, f"Not sent: {type(error).__name__}.", 0)

    def _next(self) -> Parcel | None:
        """The next parcel that is due; None when it is time to stop."""
        with self._wake:
            while not self._stopped.is_set():
                wait = self._heap[0].due - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap).parcel
                self._wake.wait(wait)
        return None

    def _attempt(self, parcel: Parcel) -> None:
        manners = MANNERS.get(parcel.provider.slug, Manners())
        delivery = parcels.sign(parcel, self._state)
        url = self.target + parcel.webhook.path + (f"?{delivery.query}" if delivery.query else "")
        request = http.Request(
            url=url, endpoint=parcel.webhook.path, method=delivery.method, body=delivery.body,
            headers={"Accept": "*/*", **delivery.headers}, timeout_s=manners.timeout_s, max_bytes=64 * 1024,
        )  # fmt: skip
        started = time.monotonic()
        status: int | None = None
        try:
            answer = http.send(request, networks=LOOPBACK)
            self._up, status, words = True, answer.status, answer.body[:300].decode("utf-8", "replace")
        except http.Unreachable as error:
            self._up = self._reachable()
            if not self._up:  # not there yet, or restarting: that is no attempt, so try again soon
                self._wait(parcel, AWAY_SECONDS)
                return
            words = error.words
        self._note(parcel, status, words, int((time.monotonic() - started) * 1000))
        refused = status is None or not manners.taken(status)
        if refused and manners.again(status) and parcel.attempt < len(manners.retries):
            self._wait(replace(parcel, attempt=parcel.attempt + 1), manners.retries[parcel.attempt])

    def _note(self, parcel: Parcel, status: int | None, words: str, elapsed_ms: int) -> None:
        self._state.ledger.note(parcel.id, Attempt(self._state.clock(), status, words, elapsed_ms))

    def _reachable(self) -> bool:
        with suppress(OSError), socket.create_connection(self._where, timeout=1.0):
            return True
        return False
