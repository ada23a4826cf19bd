"""Redis stands still under load, and Redis isn't there when we start: receiving goes on, and nothing stays behind."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.faults.load import processed, signed, steadily
from tests.flows.system import running

FROZEN_SECONDS = 30
PER_SECOND = 100


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """One of our own, so that nobody else's stands still."""
    folder.mkdir(exist_ok=True)
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed"
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.1)
        client.close()
        yield process
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        process.wait(10)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_redis_that_stands_still_for_half_a_minute_delays_no_answer(tmp_path, port):
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(tmp_path / "redis", port) as server, running(tmp_path, "postgresql", REDIS_URL=url) as system:
        with steadily(system, per_second=PER_SECOND, prefix="before") as before:
            time.sleep(10)
        with steadily(system, per_second=PER_SECOND, prefix="frozen") as frozen:
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(FROZEN_SECONDS)
        while_frozen = processed(system, "frozen")
        os.kill(server.pid, signal.SIGCONT)
        woken = time.monotonic()
        sent = before.statuses[200] + frozen.statuses[200]
        system.wait_until(
            lambda: processed(system, "before") + processed(system, "frozen") == sent, seconds=120, what="all of them"
        )
        took = time.monotonic() - woken
    print(f"\nbefore: {before}\nfrozen: {frozen}\nprocessed meanwhile: {while_frozen}; all {took:.1f} s after SIGCONT")
    assert set(before.statuses) == set(frozen.statuses) == {200}
    assert took < 60


def test_without_redis_at_the_start_deliveries_are_taken_and_processed_once_it_is_there(tmp_path, port):
    with running(tmp_path, "postgresql", REDIS_URL=f"redis://127.0.0.1:{port}/0") as system:
        with steadily(system, per_second=PER_SECOND, prefix="alone") as alone:
            time.sleep(20)
        with redis_server(tmp_path / "redis", port):
            began = time.monotonic()
            system.wait_until(
                lambda: processed(system, "alone") == alone.statuses[200], seconds=180, what="all of them"
            )
            took = time.monotonic() - began
            headers, body = signed("later_000001")
            assert system.post_all("/api/webhooks/resend", [(headers, body)])[0][0] == 200
            system.wait_until(lambda: processed(system, "later") == 1, seconds=30, what="the next one")
    print(f"\nwithout Redis: {alone}\nall processed {took:.1f} s after it came")
    assert set(alone.statuses) == {200}
