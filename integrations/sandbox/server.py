"""The simulator of the ten providers: one small server on loopback (`manage.py sandbox`, and the tests).

with Sandbox(values=lend(...)) as sandbox:
    sandbox.set_fault("resend", "throttle")
    requests.get(f"{sandbox.url}/resend/domains")
"""

import logging
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from django.conf import settings

from integrations.sandbox import apis, control
from integrations.sandbox.sender import NO_TARGET, Sender
from integrations.sandbox.state import Entry, State
from integrations.sandbox.wire import Call, Reply, answer, pairs

log = logging.getLogger(__name__)
_QUERY = re.compile(r"\?\S+")

MOST_CONNECTIONS = 256
MOST_BYTES = 4 * 1024 * 1024
IDLE_SECONDS = 30


class Sandbox:
    """Starts with `start()` or as a context manager.

    `port` 0 takes a free one. `target`: the base URL that webhooks go to, None for none. `rhythm`: the average gap
    between webhooks in seconds, 0 for on demand only. `values`: what is lent (values.lend), by default the settings'.
    `token_lifetime`: seconds an access token lives. `clock`: Unix time, for tests. Raises OSError when the port is
    taken, ValueError when the target isn't this machine.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        target: str | None = None,
        values: Mapping[str, str] | None = None,
        rhythm: float = 0.0,
        token_lifetime: int = 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = State(
            values=settings.SANDBOX_VALUES if values is None else values,
            clock=clock,
            token_lifetime=token_lifetime,
            receiver=settings.PUBLIC_URL if target else "",
        )
        self._sender = Sender(self.state, target, rhythm) if target else None
        self._server = _Server(("127.0.0.1", port), self.respond)
        self.state.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return self.state.url

    def start(self) -> Self:
        self._thread.start()
        if self._sender:
            self._sender.start()
        return self

    def stop(self) -> None:
        """Within two seconds, whoever hangs or waits."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        if self._sender:
            self._sender.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- What tests and commands tell it -----------------------------------------------------------------------------

    def set_fault(
        self,
        provider: str,
        fault: str,
        *,
        seconds: float | None = None,
        probability: float | None = None,
        delay: float | None = None,
    ) -> None:
        """`seconds`: how long it lasts; `delay`: of `slow`, `drip` and `hang`. Raises ValueError in words."""
        self.state.faults.set(
            provider, fault, now=self.state.clock(), seconds=seconds, probability=probability, delay=delay
        )

    def clear_fault(self, provider: str) -> None:
        self.state.faults.clear(provider)

    def send(self, provider: str, event: str = "", count: int = 1) -> list[str]:
        """Have a provider send webhooks now; their ids in the ledger."""
        if self._sender is None:
            raise ValueError(NO_TARGET)
        return self._sender.send(provider, event, count)

    def ledger(self, provider: str = "") -> list[Entry]:
        """What was sent and what was answered, the newest last."""
        return self.state.ledger.entries(provider)

    def requests(self, provider: str) -> dict[str, dict[int, int]]:
        """How often each endpoint answered which status; 0 when it gave none."""
        return self.state.counters.of(provider)

    # --- Requests ----------------------------------------------------------------------------------------------------

    def respond(self, call: Call) -> Reply:
        if refusal := control.refusal(call):
            return refusal
        head, _, rest = call.path.removeprefix("/").partition("/")
        api = apis.find(head)
        if api is None:
            return control.handle(call, self.state, self._sender)
        behind = replace(call, path=f"/{rest}", now=self.state.clock())
        try:
            return apis.serve(api, behind, self.state)
        except Exception:
            log.exception("The sandbox failed as %s at %s %s.", api.slug, call.method, call.path)
            return api.failed(behind)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and no more than so many."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], respond: Callable[[Call], Reply]) -> None:
        self.respond = respond
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            self._open.add(request)
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error; anything else is ours."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("The sandbox failed at a request: %r", error)

    def server_close(self) -> None:
        super().server_close()
        for connection in tuple(self._open):  # wakes those that hang
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(411, "A body needs its Content-Length.")
        elif int(length) > MOST_BYTES:
            self._refuse(413, f"A body has at most {MOST_BYTES:,} bytes.")
        else:
            self._give(self.server.respond(self._call(self.rfile.read(int(length)))))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def _call(self, body: bytes) -> Call:
        where = urlsplit("http://sandbox/" + self.path.lstrip("/"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Call(self.command, unquote(where.path), pairs(where.query), headers, body)

    def _refuse(self, status: int, words: str) -> None:
        self.close_connection = True
        self._give(answer({"error": words}, status))

    def _give(self, reply: Reply) -> None:
        match reply.manner:
            case "hang":
                self._stays(reply.delay)
                self.close_connection = True
            case "reset":
                self._reset()
            case "slow" if not self._stays(reply.delay):
                self.close_connection = True
            case "drip":
                self._head(reply)
                self._drip(reply)
            case _:
                self._head(reply)
                self.wfile.write(reply.body)

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _stays(self, seconds: float) -> bool:
        """Wait; False as soon as the client leaves (or the server stops, which looks the same)."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return not poll.poll(seconds * 1000)

    def _drip(self, reply: Reply) -> None:
        self.close_connection = True
        for place in range(min(len(reply.body), 600)):
            self.wfile.write(reply.body[place : place + 1])
            if not self._stays(reply.delay):
                return

    def _reset(self) -> None:
        """Closed with unsent data thrown away, which TCP tells the client as RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def version_string(self) -> str:
        return "sandbox"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Without the query, where some providers want a key, a state or a token."""
        log.debug("%s", _QUERY.sub("?…", format % args))
