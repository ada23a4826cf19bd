"""Clickatell: two generations of answers and callbacks."""

import json
from typing import Any

import pytest

from integrations.providers.clickatell import PROVIDER, event, fresh, parse
from integrations.providers.spec import Delivery
from tests.providers.answers import answer
from tests.providers.rigs import OLDER_SHAPES

STATUS, REPLY = OLDER_SHAPES["clickatell"]
ACCEPTED = {"apiMessageId": "02ca", "accepted": True, "to": "27820000001", "error": None}
REJECTED = {
    "apiMessageId": None,
    "accepted": False,
    "to": "27",
    "error": {"code": 105, "description": "Invalid number"},
}


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (200, {"balance": 12.5, "currency": "ZAR"}, "ok", ""),
        (202, {"messages": [ACCEPTED], "error": None}, "ok", ""),
        (
            207,
            {"messages": [ACCEPTED, REJECTED], "error": None},
            "failed",
            "1 of 2 messages were turned down: Invalid",
        ),
        (202, {"messages": [{"accepted": False, "error": "Bad"}]}, "failed", "turned down: Bad"),
        (202, {"messages": [{"accepted": False}]}, "failed", "no reason given"),
        (200, {"messages": [], "error": {"code": 1, "description": "No credit"}}, "failed", "No credit"),
        (400, {"error": "Invalid FROM", "errorDescription": "Too long"}, "failed", "Invalid FROM: Too long"),
        (401, {"error": "Unauthorized"}, "refused", "Unauthorized"),
        (403, b"", "refused", "Forbidden"),
        (429, b"", "throttled", "Too Many Requests"),
    ],
)
def test_answers_are_read_as_documented(status: int, body: Any, finding: str, words: str) -> None:
    reading = PROVIDER.read(answer(status, body))
    assert reading.finding == finding
    assert words in reading.words


def of(payload: Any) -> Delivery:
    return Delivery(body=json.dumps(payload).encode())


def test_a_batch_is_one_payload_for_each_message() -> None:
    first, second = ({"messageId": name, "statusCode": 5, "timestamp": 9} for name in "ab")
    text = {"messageId": "c", "timestamp": 9}
    batch = of({"integrationId": "i", "event": {"messageStatusUpdate": [first, second], "moText": [text]}})
    payloads = parse(batch)
    assert payloads == [
        {"integrationId": "i", "event": {"messageStatusUpdate": [first]}},
        {"integrationId": "i", "event": {"messageStatusUpdate": [second]}},
        {"integrationId": "i", "event": {"moText": [text]}},
    ]
    events = [event(payload, batch) for payload in payloads]
    assert [found.type for found in events] == ["messageStatusUpdate", "messageStatusUpdate", "moText"]
    assert [found.key for found in events] == ["a|5|9", "b|5|9", "c|moText|9"]


def test_an_entry_outside_a_list_is_taken_too() -> None:
    assert parse(of({"event": {"moText": {"messageId": "a"}}})) == [{"event": {"moText": [{"messageId": "a"}]}}]
    assert parse(of({"event": {}})) == []


@pytest.mark.parametrize(("callback", "event_type"), [(STATUS, "messageStatusUpdate"), (REPLY, "moText")])
def test_a_platform_callback_gets_the_one_apis_name_for_the_same_thing(callback: Any, event_type: str) -> None:
    (payload,) = parse(of(callback))
    found = event(payload, of(callback))
    assert found.type == event_type
    assert found.key
    assert event(fresh(payload, 1_700_000_060, "2"), of(callback)).key != found.key


def test_the_api_key_that_platform_callbacks_repeat_is_not_kept() -> None:
    for callback in (STATUS, REPLY):
        assert "apiKey" not in parse(of(callback))[0]


def test_each_status_of_a_message_is_an_event_and_the_same_status_again_is_not() -> None:
    keys = [event({**STATUS, "statusCode": code}, of(STATUS)).key for code in (4, 5, 5)]
    assert keys[0] != keys[1] == keys[2]


def test_an_unknown_event_is_recorded_under_its_own_name() -> None:
    (payload,) = parse(of({"event": {"moHologram": [{"messageId": "a", "timestamp": 9}]}}))
    assert event(payload, of({})).type == "moHologram"
    assert event({"hello": 1}, of({})).type is None
