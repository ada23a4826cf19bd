"""When the sandbox sends: in its rhythm, on demand, and again when a webhook wasn't taken."""

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from integrations.sandbox import sender
from integrations.sandbox.server import Sandbox

from .conftest import Clock
from .receiver import Receiver, eventually
from .test_webhooks import SENDERS


def hasten(monkeypatch: pytest.MonkeyPatch, slug: str, **changes: Any) -> None:
    """Let `slug` wait less than it would."""
    monkeypatch.setattr(sender, "MANNERS", {slug: replace(sender.MANNERS[slug], **changes)})


# --- Trying again ----------------------------------------------------------------------------------------------------


def test_a_refused_webhook_comes_again_with_the_same_id_and_a_new_time(
    sending: Sandbox, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, "resend", retries=(0.01, 0.01))
    receiver.statuses = [500, 503]
    sending.send("resend")
    receiver.wait(1)
    clock.now += 5
    (_, first), _, (_, third) = receiver.wait(3)
    assert first.headers["svix-id"] == third.headers["svix-id"]
    assert int(third.headers["svix-timestamp"]) == clock.now
    eventually(lambda: [attempt.status for attempt in sending.ledger()[0].attempts] == [500, 503, 200])


@pytest.mark.parametrize(
    ("slug", "status", "again"),
    [
        ("resend", 302, True),
        ("didit-kyc", 401, False),
        ("didit-kyc", 503, True),
        ("didit-kyc", 404, True),
        ("zoho-desk", 201, True),
        ("zoho-desk", 410, False),
        ("clickatell", 400, True),
    ],
)
def test_each_provider_has_its_own_idea_of_trying_again(
    sending: Sandbox, receiver: Receiver, slug: str, status: int, again: bool
) -> None:
    receiver.statuses = [status]
    sending.send(slug)
    eventually(lambda: bool(sending.ledger(slug)[0].attempts))
    receiver.statuses = [200]
    sending.send(slug)
    eventually(lambda: sending.ledger(slug)[1].status == 200)  # so the first is done with, too
    assert sending._sender
    assert len(sending._sender._heap) == again


def test_a_receiver_that_does_not_answer_counts_as_an_attempt(
    lent: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch, "resend", timeout_s=0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Sandbox(values=lent, target=f"http://127.0.0.1:{silent.getsockname()[1]}") as sandbox,
    ):
        sandbox.send("resend")
        eventually(lambda: bool(sandbox.ledger()[0].attempts))
        (attempt,) = sandbox.ledger()[0].attempts
    assert attempt.status is None
    assert "no complete answer" in attempt.words


def test_it_waits_for_a_receiver_that_is_not_up_yet(lent: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "AWAY_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with Sandbox(values=lent, target=f"http://127.0.0.1:{port}") as sandbox:
        sandbox.send("resend")
        time.sleep(0.1)
        assert sandbox.ledger()[0].attempts == ()
        with Receiver(port) as receiver:
            receiver.wait(1)
            eventually(lambda: sandbox.ledger()[0].status == 200)


# --- The rhythm ------------------------------------------------------------------------------------------------------


def test_events_of_all_providers_come_by_themselves(lent: Mapping[str, str], receiver: Receiver) -> None:
    with Sandbox(values=lent, target=receiver.url, rhythm=0.002) as sandbox:
        eventually(lambda: {entry.provider for entry in sandbox.ledger() if entry.attempts} == set(SENDERS))


def test_nothing_comes_by_itself_while_nobody_is_there(lent: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with Sandbox(values=lent, target=f"http://127.0.0.1:{port}", rhythm=0.002) as sandbox:
        time.sleep(0.1)
        assert sandbox.ledger() == []


def test_it_leaves_no_thread_behind(lent: Mapping[str, str], receiver: Receiver) -> None:
    before = set(threading.enumerate())
    with Sandbox(values=lent, target=receiver.url, rhythm=5):
        pass
    eventually(lambda: not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()])


# --- Asking for the impossible ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "event", "count", "words"),
    [
        ("google-maps", "", 1, "sends no webhooks"),
        ("nobody", "", 1, "sends no webhooks"),
        ("resend", "email.eaten", 1, "sends no 'email.eaten'"),
        ("resend", "../../secrets", 1, "sends no '../../secrets'"),
        ("resend", "", 0, "1 to 100"),
        ("resend", "", 101, "1 to 100"),
    ],
)
def test_what_can_not_be_sent_is_refused_in_words(
    sending: Sandbox, slug: str, event: str, count: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        sending.send(slug, event, count)


@pytest.mark.parametrize(
    "target", ["http://example.com", "https://127.0.0.1", "http://10.0.0.1:8000", "/", "127.0.0.1:1"]
)
def test_webhooks_go_to_this_machine_only(lent: Mapping[str, str], target: str) -> None:
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(values=lent, target=target)
