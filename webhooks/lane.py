"""The webhook lane: a slim ASGI app beside Django, for the one road that must be fast and must never lose anything.

request → route → size → verify (in microseconds, on the event loop) → the writer's next commit → 200. Nothing is
published to a broker on the way: after the commit a side thread says "wake up" (`webhooks/wake.py`). What happened is
kept by the book (`webhooks/book.py`): counts, secrets used, and what was refused.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from integrations import headers as common
from integrations.actor import Actor, client_ip
from integrations.providers import spec
from webhooks.book import Book
from webhooks.models import WebhookLog
from webhooks.services import keys, receive
from webhooks.sources import Sources
from webhooks.writer import Busy, Writer

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

T = TypeVar("T")

PREFIX = "/api/webhooks/"
ROUTES_SECONDS = 1.0
BODY_SECONDS = 30.0
STORE_SECONDS = 4.5
"""Providers wait five seconds; who isn't stored by then is told to come again."""
QUICK_BYTES = 32_768
"""Up to this size a body is judged on the event loop: it takes less than a millisecond."""
JUDGING_LIMIT = 16
JUDGING_LIMIT_SUSPECT = 4
"""Of those, what sources may take that have failed too often: they must not hold up the others."""
NOT_NOW = {"retry-after": "10"}
UNSET = "no_secret"


_encode = json.JSONEncoder(separators=(",", ":")).encode


class Answer(Exception):
    """What the sender gets. An empty body tells nothing: all refusals look the same."""

    def __init__(
        self, status: int, body: Mapping[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = _encode(body).encode() if body is not None else b""
        self.headers = headers or {}


class _Routes:
    """The receivers, read from the database at most once a second and never while somebody waits, save for the first
    time; the last ones serve while the database is away."""

    def __init__(self) -> None:
        self._by_path: dict[str, receive.Route] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def get(self, path: str) -> receive.Route | None:
        now = time.monotonic()
        if now - self._read_at > ROUTES_SECONDS and now - self._tried_at > ROUTES_SECONDS and self._reading is None:
            self._tried_at = now
            self._reading = asyncio.create_task(self._read())
        if not self._by_path:
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=STORE_SECONDS)
            if not self._by_path:
                raise Answer(503, headers=NOT_NOW)
        return self._by_path.get(path)

    async def _read(self) -> None:
        try:
            self._by_path = await asyncio.to_thread(_read_routes)
            self._read_at = time.monotonic()
        except Exception:
            log.exception("The webhooks can't be read from the database")
        finally:
            self._reading = None


def _read_routes() -> dict[str, receive.Route]:
    try:
        return receive.routes()
    finally:
        connection.close()  # this thread's own: it goes back to the pool, or away


class Lane:
    """Belongs to one event loop. `wake` is called once for each batch of new events and must not block."""

    def __init__(self, *, wake: Callable[[], None]) -> None:
        self._writer = Writer(after_commit=wake)
        self._routes = _Routes()
        self._book = Book(self._writer)
        self._fetchers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="webhook-keys")
        self._judges = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook-judge")
        self._judging = 0
        self._sources = Sources(settings.WEBHOOK_REFUSALS_PER_MINUTE)

    def start(self) -> None:
        """The server is ready. Whoever calls without it (a server without lifespan) is served all the same."""
        self._book.start()

    async def stop(self) -> None:
        """Commit what was accepted: its senders still wait."""
        await self._writer.drain()
        await self._book.stop()
        await self._writer.close()
        self._fetchers.shutdown(wait=False)
        self._judges.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive_: Receive, send: Send) -> None:
        try:
            answer = await self._handle(scope, receive_)
        except Answer as early:
            answer = early
        except _Gone:
            return
        except TimeoutError:
            answer = Answer(408)
        except Exception:
            log.exception("The webhook lane stumbled over %s", scope["path"])
            answer = Answer(503, headers=NOT_NOW)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._book.count("turned_away")
        await _respond(send, answer)

    async def _handle(self, scope: Scope, receive_: Receive) -> Answer:
        now = timezone.now()
        route = await self._routes.get(scope["path"])
        if route is None:
            return Answer(404)
        if scope["method"] == "GET" and route.webhook.answers_get:
            return Answer(200, {})
        if scope["method"] != "POST":
            return Answer(405, headers={"allow": "GET, POST" if route.webhook.answers_get else "POST"})
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            return Answer(415)
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(receive_, headers, settings.WEBHOOK_MAX_BYTES)
        delivery = spec.Delivery(body=body, headers=headers, query=scope["query_string"].decode("latin-1"))
        return await self._deliver(route, delivery, now, scope)

    async def _deliver(self, route: receive.Route, delivery: spec.Delivery, now: datetime, scope: Scope) -> Answer:
        try:
            verdict, rows = await self._admit(route, delivery, now, self._is_suspect(route, delivery, now, scope))
            await self._writer.store(rows, len(delivery.body))
        except spec.Refused as refusal:
            return await self._refuse(route, delivery, refusal, now, scope)
        except receive.NoSecret:
            unset = spec.Refused(UNSET, f"{route.secret_env} is not set.")
            await self._refuse(route, delivery, unset, now, scope)
            return Answer(503, headers=NOT_NOW)
        except (Busy, receive.TooManyUnconfirmed, keys.KeysUnavailable, DatabaseError, InterfaceError, TimeoutError):
            return Answer(503, headers=NOT_NOW)
        self._book.took(route, verdict, rows)
        return Answer(200, receive.answer(rows))

    async def _refuse(
        self, route: receive.Route, delivery: spec.Delivery, refusal: spec.Refused, now: datetime, scope: Scope
    ) -> Answer:
        """401 once what is to be kept of it is durable; without a database the sender should come again.

        Who has failed too often this minute is only counted, and told to wait: 429.
        """
        caller = _caller(scope, delivery.headers)
        again = refusal.reason != UNSET and self._sources.failed(route.webhook_id, caller.ip_address, now)
        write_down = self._book.refused_again if again else self._book.refused
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await write_down(route, delivery, refusal, now=now, caller=caller)
        except Exception as error:  # noqa: BLE001 - whatever the database raises
            log.error("A refused delivery could not be kept: %s", type(error).__name__)  # noqa: TRY400 - said once
            return Answer(503, headers=NOT_NOW)
        return Answer(429, headers={"retry-after": str(60 - now.second)}) if again else Answer(401)

    def _is_suspect(self, route: receive.Route, delivery: spec.Delivery, now: datetime, scope: Scope) -> bool:
        if not self._sources:
            return False
        return self._sources.exhausted(route.webhook_id, _address(scope, delivery.headers), now)

    async def _admit(
        self, route: receive.Route, delivery: spec.Delivery, now: datetime, suspect: bool
    ) -> tuple[receive.Verdict, list[WebhookLog]]:
        if route.webhook.method == "jwt":
            return await self._admit_by_keys(route, delivery, now, suspect)
        if len(delivery.body) <= QUICK_BYTES:
            return _admit(route, delivery, now, None)
        return await self._on_the_side(lambda: _admit(route, delivery, now, None), suspect)

    async def _admit_by_keys(
        self, route: receive.Route, delivery: spec.Delivery, now: datetime, suspect: bool
    ) -> tuple[receive.Verdict, list[WebhookLog]]:
        keys.require_header(route, delivery)  # strangers without so much as a token never make us ask for keys
        known = keys.at_hand(route) or await self._apart(keys.fetched, route)
        try:
            return await self._on_the_side(lambda: _admit(route, delivery, now, known), suspect)
        except spec.Refused as refusal:
            if refusal.reason != "unknown_key":
                raise
        fresh = await self._apart(keys.fetched_anew, route)
        return await self._on_the_side(lambda: _admit(route, delivery, now, fresh), suspect)

    async def _on_the_side(self, work: Callable[[], T], suspect: bool) -> T:
        """Judge what takes long (a large body, a public key) off the loop, so that it holds up nobody else."""
        if self._judging >= (JUDGING_LIMIT_SUSPECT if suspect else JUDGING_LIMIT):
            raise Busy
        self._judging += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._judges, work)
        finally:
            self._judging -= 1

    async def _apart(self, fetch: Callable[[receive.Route], T], route: receive.Route) -> T:
        """Ask a provider for its keys on threads of their own: a slow one delays its own deliveries and no others."""
        return await asyncio.get_running_loop().run_in_executor(self._fetchers, fetch, route)


def _admit(
    route: receive.Route, delivery: spec.Delivery, now: datetime, jwks: dict[str, Any] | None
) -> tuple[receive.Verdict, list[WebhookLog]]:
    verdict = receive.judge(route, delivery, now=now, options={**route.options, "jwks": jwks} if jwks else None)
    return verdict, receive.rows_of(route, delivery, verdict, now=now)


class _Gone(Exception):
    pass


async def _read(receive_: Receive, headers: Mapping[str, str], most: int) -> bytes:
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:12]) > most:
        raise Answer(413)
    chunks, size = [], 0
    while True:
        message = await receive_()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise Answer(413)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _address(scope: Scope, headers: Mapping[str, str]) -> str | None:
    return client_ip((scope.get("client") or ("", 0))[0], headers.get("x-forwarded-for", ""))


def _caller(scope: Scope, headers: Mapping[str, str]) -> Actor:
    return Actor(
        username="anonymous",
        ip_address=_address(scope, headers),
        user_agent=headers.get("user-agent", "")[:300],
    )


_ALWAYS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", common.NOTHING.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_JSON = (b"content-type", b"application/json")


async def _respond(send: Send, answer: Answer) -> None:
    told = [(b"content-length", b"%d" % len(answer.body)), *_ALWAYS]
    if answer.body:
        told.append(_JSON)
    own = common.always() | answer.headers
    told += [(name.lower().encode(), value.encode()) for name, value in own.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": told})
    await send({"type": "http.response.body", "body": answer.body})
