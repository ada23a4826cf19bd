"""`manage.py sandbox`, as people and `make run` call it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

from integrations.sandbox.server import Sandbox

from .receiver import Receiver, eventually

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("sandbox", *arguments, stdout=out)
    return out.getvalue()


def test_a_fault_is_set_and_cleared(sandbox: Sandbox) -> None:
    assert run("set", "resend", "fail", "--for", "120") == "resend: fail, for 120 s.\n"
    (fault,) = sandbox.state.faults.current("resend", sandbox.state.clock())
    assert (fault.name, fault.until) == ("fail", sandbox.state.clock() + 120)
    assert "fail for 120 s more" in run("status")
    assert run("clear", "resend") == "resend behaves.\n"
    assert sandbox.state.faults.current("resend", sandbox.state.clock()) == []


def test_webhooks_are_sent(sending: Sandbox, receiver: Receiver) -> None:
    numbers = run("send", "resend", "email.bounced", "--count", "2").split()
    receiver.wait(2)
    assert [entry.id for entry in sending.ledger()] == numbers
    eventually(lambda: "2 webhooks, 2 taken" in run("status"))


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["set", "nobody", "fail"], "No provider is called 'nobody'", 1),
        (["clear", "nobody"], "No provider is called 'nobody'", 1),
        (["send", "google-maps"], "sends no webhooks", 1),
        (["status", "--url", "http://127.0.0.1:9"], "No sandbox answers at http://127.0.0.1:9.", 3),
    ],
)
def test_refusals_are_one_line_with_an_exit_code(
    sending: Sandbox, arguments: list[str], words: str, code: int
) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        run(*arguments)
    assert caught.value.returncode == code
    assert "\n" not in str(caught.value)


def test_without_a_sandbox_it_says_so(settings: Any) -> None:
    settings.SANDBOX_URL = ""
    with pytest.raises(CommandError, match="No sandbox runs") as caught:
        run("status")
    assert caught.value.returncode == 3


def test_a_port_that_is_taken_is_told_in_one_line(sandbox: Sandbox, settings: Any) -> None:
    with pytest.raises(CommandError, match="Can't listen") as caught:
        run("--port", sandbox.url.rpartition(":")[2])
    assert "\n" not in str(caught.value)


# --- As a process ----------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An installation of its own, with a database that can't be reached: the sandbox must not want one."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return kept | {
        "ENV_FILE": os.devnull,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:9/nowhere",
        "SECRET_KEY": "k" * 50,
        "TOKEN_ENCRYPTION_KEYS": "t:test",
        "ACTIVITY_KEY": "test",
    }


def manage(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "sandbox", *arguments],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    with manage(environment, "--port", "0", "--no-webhooks") as process:
        yield process
        process.kill()


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_needs_no_database_and_stops_at_once(process: "subprocess.Popen[str]", number: int) -> None:
    assert process.stdout
    url = process.stdout.readline().split()[-1]
    assert "Ten providers" in requests.get(url, timeout=5).text
    process.send_signal(number)
    assert process.wait(20) == 0


@pytest.mark.processes
def test_help_and_wrong_usage(environment: dict[str, str]) -> None:
    with manage(environment, "set", "--help") as process:
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "invalid_code" in text
    with manage(environment, "set", "resend", "explode") as process:
        _, text = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "invalid choice: 'explode'" in text
