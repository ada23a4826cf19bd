"""Google Maps: errors inside a 200, and errors that mean their status."""

from typing import Any

import pytest

from integrations.providers.google import PROVIDER
from tests.providers.answers import answer

BAD_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (200, {"status": "OK", "results": [{}]}, "ok", ""),
        (200, {"status": "ZERO_RESULTS", "results": []}, "ok", ""),
        (200, {"status": "OVER_QUERY_LIMIT", "error_message": "Slow"}, "throttled", "OVER_QUERY_LIMIT: Slow"),
        (200, {"status": "OVER_DAILY_LIMIT"}, "refused", "OVER_DAILY_LIMIT"),
        (200, {"status": "REQUEST_DENIED", "error_message": "Referer"}, "refused", "REQUEST_DENIED: Referer"),
        (200, {"status": "INVALID_REQUEST"}, "failed", "INVALID_REQUEST"),
        (200, {"status": "UNKNOWN_ERROR"}, "failed", "UNKNOWN_ERROR"),
        (200, {"status": "SOMETHING_NEW"}, "failed", "SOMETHING_NEW"),
        (200, {"suggestions": []}, "ok", ""),
        (200, [], "failed", "unknown answer"),
        (403, {"error": {"message": "No", "status": "PERMISSION_DENIED"}}, "refused", "PERMISSION_DENIED: No"),
        (429, {"error": {"message": "Quota", "status": "RESOURCE_EXHAUSTED"}}, "throttled", "Quota"),
        (400, BAD_KEY, "refused", "API key not valid"),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, "failed", "INVALID_ARGUMENT"),
        (200, {"error": {"message": "odd"}}, "failed", "odd"),
        (503, b"", "failed", "HTTP 503"),
    ],
)
def test_answers_are_read_as_documented(status: int, body: Any, finding: str, words: str) -> None:
    reading = PROVIDER.read(answer(status, body))
    assert reading.finding == finding
    assert words in reading.words


def test_a_key_that_google_repeats_is_not_shown() -> None:
    message = "The provided API key AIzaSyA0123456789abcdefghijklmnopqrstuv is expired."
    words = PROVIDER.read(answer(200, {"status": "REQUEST_DENIED", "error_message": message})).words
    assert "AIza" not in words
    assert "is expired" in words
