"""A delivery as a command."""

import json
import shlex

from webhooks import curl

URL = "https://hooks.example.com/api/webhooks/resend"


def words(command: str) -> list[str]:
    """As a shell reads it."""
    return shlex.split(command.replace("\\\n", " "))


def test_it_sends_the_payload_with_the_headers_of_the_sender():
    payload = {"type": "email.sent", "to": "O'Brien $(rm -rf /)"}
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Svix",
        "host": "internal",
        "x-forwarded-for": "10.0.0.1",
    }
    found = words(curl.command(URL, headers, payload, json.dumps(payload)))
    assert found == [
        "curl", "-X", "POST", URL, "-H", "content-type: application/json", "-H", "user-agent: Svix",
        "--data-raw", json.dumps(payload),
    ]  # fmt: skip


def test_nothing_that_proves_a_sender_is_part_of_it():
    headers = {
        "svix-signature": "v1,abc", "x-webhook-secret": "[redacted]", "authorization": "[redacted]",
        "svix-id": "msg_1", "x-zdesk-jwt": "ey.x.y",
    }  # fmt: skip
    command = curl.command(URL, headers, {}, "{}")
    assert not {"v1,abc", "[redacted]", "ey.x.y"} & set(command.replace("'", " ").split())
    assert command.count(curl.PLACEHOLDER) == 4
    assert "svix-id: msg_1" in command


def test_a_form_is_sent_as_a_form():
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    found = words(curl.command(URL, headers, {"Reference": "INV 1", "Amount": "9.00"}, "{}"))
    assert found[-4:] == ["--data-urlencode", "Reference=INV 1", "--data-urlencode", "Amount=9.00"]
