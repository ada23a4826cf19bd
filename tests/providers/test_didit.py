"""Didit: what it answers and sends."""

from typing import Any

import pytest

from integrations.providers.didit import PROVIDER, event
from integrations.providers.spec import Delivery
from tests.providers.answers import answer

ENVELOPE = {"webhook_type": "status.updated", "session_id": "s", "status": "Approved", "timestamp": 9}


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (200, {"balance": "142.5000", "auto_refill_enabled": False}, "ok", ""),
        (401, {"detail": "Authentication credentials were not provided."}, "refused", "credentials were not provided"),
        (403, {"detail": "You do not have permission"}, "refused", "HTTP 403: You do not have permission"),
        (400, {"workflow_id": ["This field is required."]}, "failed", "HTTP 400: Bad Request"),
        (404, {"detail": "Not found."}, "failed", "Not found."),
        (429, {"detail": "Request was throttled."}, "throttled", "Request was throttled."),
        (301, b"", "failed", "HTTP 301"),
    ],
)
def test_answers_are_read_as_documented(status: int, body: Any, finding: str, words: str) -> None:
    reading = PROVIDER.read(answer(status, body))
    assert reading.finding == finding
    assert words in reading.words


def test_the_event_id_is_the_key() -> None:
    assert event({**ENVELOPE, "event_id": "e"}, Delivery(body=b"")).key == "e"
    assert event({**ENVELOPE, "event_id": "e", "status": "Declined"}, Delivery(body=b"")).key == "e"


def test_without_an_event_id_session_type_status_and_time_are_the_key() -> None:
    assert event(ENVELOPE, Delivery(body=b"")).key == "s|status.updated|Approved|9"
    assert event({**ENVELOPE, "session_id": None}, Delivery(body=b"")).key is None


def test_everything_a_check_finds_out_is_personal() -> None:
    assert PROVIDER.webhook is not None
    assert {"decision", "vendor_data", "metadata"} <= set(PROVIDER.webhook.personal)


def test_the_limit_is_told_in_headers_with_unix_time() -> None:
    assert PROVIDER.limit is not None
    assert (PROVIDER.limit.remaining_header, PROVIDER.limit.reset) == ("X-RateLimit-Remaining", "epoch")
