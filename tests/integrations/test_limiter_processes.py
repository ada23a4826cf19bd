"""Eight real processes, one limit, and a server that notes when each call arrives."""

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import services
from tests.flows.system import ROOT, database

pytestmark = pytest.mark.processes

SECONDS = 4.0


class Handler(BaseHTTPRequestHandler):
    """Somewhere between a call's beginning and its answer it arrives: late, at times, as over a slow line."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        time.sleep(random.uniform(0, 0.2))
        self.server.arrivals.append(time.monotonic())
        time.sleep(random.uniform(0, 0.1))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.arrivals: list[float] = []

    def handle_error(self, *args: object) -> None:
        """One of the callers is killed, and says no goodbye."""

    def most_in_a_second(self) -> int:
        """In any second, wherever it begins."""
        seen = sorted(self.arrivals)
        return max(sum(first <= each < first + 1 for each in seen) for first in seen)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def eight_call(server: Server, engine: str, *, redis_url: str = "", shared: bool = True) -> None:
    told = {
        "url": f"http://127.0.0.1:{server.server_port}/", "seconds": SECONDS, "redis_url": redis_url,
        "slug": f"shared-{uuid.uuid4()}", "shared": shared,
    }  # fmt: skip
    with database(engine) as own:
        env = {**os.environ, "TEST_ENGINE": engine, "TEST_DATABASE_URL": own.get("DATABASE_URL", "")}
        done = subprocess.run(
            [sys.executable, "-m", "tests.integrations.sharing", json.dumps(told)],
            cwd=ROOT, env=env, check=False, timeout=60, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_eight_processes_never_exceed_the_limit_by_the_database(server: Server, engine: str) -> None:
    eight_call(server, engine)
    assert server.most_in_a_second() <= 2
    assert len(server.arrivals) > 2  # and they don't leave it unused either


def test_eight_processes_never_exceed_the_limit_by_redis(server: Server) -> None:
    services.need(services.redis(), "Redis")
    eight_call(server, "sqlite", redis_url=services.REDIS_URL)
    assert server.most_in_a_second() <= 2
    assert len(server.arrivals) > 2


def test_the_count_finds_out_those_who_share_nothing(server: Server) -> None:
    eight_call(server, "sqlite", shared=False)
    assert server.most_in_a_second() > 2
