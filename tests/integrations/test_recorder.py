"""Real processes that are told to stop: nothing that they recorded is lost."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from tests.flows.system import ROOT, _free_pair, database

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("recorder")]

CALLS = 50  # as in recorder.py, which sets up Django


class Installation:
    """A database of its own, and processes on it."""

    def __init__(self, folder: Path, own: dict[str, str]) -> None:
        self.folder, self.url = folder, own.get("DATABASE_URL", "")
        self.recorded = folder / "recorded"
        foreign = ("DJANGO_", "TEST_", "MTN_")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "ENV_FILE": os.devnull, "SANDBOX": "0", "DATA_DIR": str(folder), "MTN_WMS_URL": "http://127.0.0.1:9",
            **own, "REDIS_URL": "", "RECORDED": str(self.recorded),
        }  # fmt: skip
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=self.env, check=True
        )

    @contextmanager
    def process(self, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        self.recorded.unlink(missing_ok=True)
        running = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=self.env)
        try:
            yield running
        finally:
            running.kill()
            running.wait()

    def wait_until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def calls(self, endpoint: str) -> int:
        query = f"SELECT count(*) FROM integration_api_metrics WHERE endpoint = '{endpoint}'"
        if self.url:
            with psycopg.connect(self.url) as connection:
                return int(connection.execute(query).fetchone()[0])
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as connection:
            return int(connection.execute(query).fetchone()[0])


@pytest.fixture(scope="module")
def installations(tmp_path_factory):
    with ExitStack() as stack:
        yield cache(lambda on: Installation(tmp_path_factory.mktemp(on), stack.enter_context(database(on))))


@pytest.mark.parametrize(
    ("engine", "how", "written"),
    [("sqlite", "celery", True), ("postgresql", "celery", True), ("sqlite", "deaf", False)],
)
def test_a_worker_that_is_told_to_stop_writes_what_it_has(installations, engine, how, written):
    """A deaf one doesn't: the stop it is that saves them."""
    installation = installations(engine)
    before = installation.calls("/task")
    with installation.process("tests.integrations.recorder", how) as worker:
        installation.wait_until(installation.recorded.exists)
        assert installation.calls("/task") == before, "the buffer waits for an hour"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert installation.calls("/task") - before == (CALLS if written else 0)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_web_process_that_is_told_to_stop_writes_what_it_has(installations, engine):
    installation, port = installations(engine), _free_pair()
    before = installation.calls("/web")
    options = ("--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    with installation.process("granian", *options, "tests.integrations.recorder:application") as web:
        installation.wait_until(lambda: answers(port))
        assert installation.recorded.exists()
        assert installation.calls("/web") == before
        web.send_signal(signal.SIGTERM)
        assert web.wait(30) == 0
    assert installation.calls("/web") - before == CALLS


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return bool(answer.read() == b"recorded")
    except OSError:
        return False


def test_a_command_that_ends_and_a_child_that_was_forked_write_what_they_have_each_its_own(installations):
    installation = installations("sqlite")
    for how in ("exit", "fork"):
        with installation.process("tests.integrations.recorder", how) as command:
            assert command.wait(30) == 0
    assert [installation.calls(name) for name in ("/command", "/parent", "/child")] == [CALLS, CALLS, CALLS]
