"""A webhook receiver of the tests: keeps what it gets and answers what it is told."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from integrations.providers.spec import Delivery


class Receiver:
    def __init__(self, port: int = 0) -> None:
        self.deliveries: list[tuple[str, Delivery]] = []  # path and delivery
        self.statuses: list[int] = []  # the next answers; 200 when there are none left
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                path, _, query = self.path.partition("?")
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.arrived:
                    status = receiver.statuses.pop(0) if receiver.statuses else 200
                    receiver.deliveries.append((path, Delivery(body=body, headers=headers, query=query)))
                    receiver.arrived.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "17")
                self.end_headers()
                self.wfile.write(b'{"received":true}')

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int) -> list[tuple[str, Delivery]]:
        """The first `count` deliveries, as soon as they are there."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.deliveries) >= count, timeout=5)
            return self.deliveries[:count]


def eventually(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns as soon as `is_so`, and fails when it takes too long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)
