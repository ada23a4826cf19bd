"""Resend: what it answers, and what makes its deliveries events."""

from typing import Any

import pytest

from integrations.providers.resend import PROVIDER, event
from integrations.providers.spec import Delivery
from tests.providers.answers import answer


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (200, {"data": []}, "ok", ""),
        (401, {"statusCode": 401, "name": "restricted_api_key", "message": "Only sending"}, "ok", "may only send"),
        (401, {"statusCode": 401, "name": "missing_api_key", "message": "Missing API key"}, "refused",
        "missing_api_key"), (403, {"statusCode": 403, "name": "invalid_api_key", "message": "API key is invalid"},
        "refused", "is invalid"), (403, {"name": "restricted_api_key"}, "refused", "HTTP 403"), (422, {"statusCode":
        422, "name": "missing_required_field", "message": "Missing `to`"}, "failed", "Missing `to`"), (404,
        {"statusCode": 404, "name": "not_found", "message": "Not found"}, "failed", "not_found"), (429, {"statusCode":
        429, "name": "rate_limit_exceeded", "message": "Slow down"}, "throttled", "Slow down"), (429, {"statusCode":
        429, "name": "daily_quota_exceeded", "message": "Quota"}, "throttled", "daily_quota"), (500, {"statusCode":
        500, "name": "application_error", "message": "Oops"}, "failed", "Oops"),
    ],
)  # fmt: skip
def test_answers_are_read_as_documented(status: int, body: Any, finding: str, words: str) -> None:
    reading = PROVIDER.read(answer(status, body))
    assert reading.finding == finding
    assert words in reading.words


def headers(brand: str, message_id: str) -> dict[str, str]:
    return {f"{brand}-id": message_id, f"{brand}-timestamp": "1", f"{brand}-signature": "v1,x"}


@pytest.mark.parametrize("brand", ["svix", "webhook"])
def test_the_id_of_the_delivery_is_the_key(brand: str) -> None:
    delivery = Delivery(body=b"", headers=headers(brand, "msg_1"))
    assert event({"type": "email.sent"}, delivery).key == "msg_1"


def test_a_delivery_without_its_headers_claims_no_key() -> None:
    assert event({"type": "email.sent"}, Delivery(body=b"")).key is None


def test_an_overlong_id_still_makes_a_key_that_fits() -> None:
    key = event({}, Delivery(body=b"", headers=headers("svix", "m" * 5000))).key
    assert key is not None
    assert len(key) == 64


def test_the_limits_reset_counts_seconds_from_now() -> None:
    assert PROVIDER.limit is not None
    assert (PROVIDER.limit.reset_header, PROVIDER.limit.reset) == ("ratelimit-reset", "delta")
