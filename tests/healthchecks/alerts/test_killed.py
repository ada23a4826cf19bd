"""kill -9 between the channel's answer and our stamp: at most one repeat, never none."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.system import ROOT, database
from tests.healthchecks.alerts.receivers import Target

pytestmark = [pytest.mark.processes]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["sqlite", "postgresql"])
def start(request: pytest.FixtureRequest, tmp_path: Path, phone: Target) -> Iterator[Start]:
    """Starts a worker on a database with an alert that is due."""
    with database(request.param) as own:
        others = ("DJANGO_", "TEST_", "DATABASE_")  # the tests' own database is nothing for it
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        env = {
            **kept, "DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull, "SANDBOX": "0",
            "DATA_DIR": str(tmp_path), "ALERT_TO": phone.url, **own, "REDIS_URL": "",
        }  # fmt: skip

        def go(*told: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "tests.healthchecks.alerts.worker", *told]
            return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)

        with go("prepare") as preparing:
            preparing.communicate(timeout=60)
        yield go


def kill_between(start: Start, *told: str) -> None:
    with start(*told) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "sent\n"
        worker.kill()


def test_it_is_sent_again_once_and_then_stamped(start: Start, phone: Target) -> None:
    kill_between(start, "send", "slowly")
    assert len(phone.got) == 1
    with start("send") as worker:
        assert worker.communicate(timeout=30)[0] == "sent 2\n"
    assert len(phone.got) == 2
    with start("send") as worker:
        assert worker.communicate(timeout=30)[0] == "sent 2\n"
    assert len(phone.got) == 2


@pytest.mark.parametrize("start", ["sqlite"], indirect=True)
def test_stamped_before_it_is_sent_it_would_be_lost(start: Start, phone: Target) -> None:
    """The control."""
    kill_between(start, "send", "early")
    with start("send") as worker:
        assert worker.communicate(timeout=30)[0] == "sent 1\n"
    assert phone.got == []
