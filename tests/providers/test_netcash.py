"""NetCash: payment notices, and its own word on a transaction."""

from decimal import Decimal
from typing import Any

import pytest

from integrations.providers import netcash
from integrations.providers.spec import Delivery, ProviderError
from tests.providers.answers import answer

BOOKS = {
    "RequestTrace": "42",
    "Reference": "INV-1",
    "Amount": "11.50",
    "TransactionAccepted": "true",
    "Reason": "Success",
}


@pytest.mark.parametrize(
    ("accepted", "reason", "event_type"),
    [
        ("true", "Success", "TransactionAccepted"),
        ("True", "", "TransactionAccepted"),
        ("false", "Transaction Pending", "TransactionPending"),
        ("false", "Cancelled by user", "TransactionCancelled"),
        ("false", "Declined", "TransactionDeclined"),
        ("false", "", "TransactionDeclined"),
        ("", "Success", None),
        ("maybe", "Success", None),
    ],
)
def test_the_event_type_says_what_became_of_the_transaction(
    accepted: str, reason: str, event_type: str | None
) -> None:
    payload = {"RequestTrace": "1", "TransactionAccepted": accepted, "Reason": reason}
    assert netcash.event(payload, Delivery(body=b"")).type == event_type


def test_a_payment_that_was_pending_is_another_event_once_it_is_accepted() -> None:
    def key(accepted: str, reason: str) -> str | None:
        payload = {"RequestTrace": "1", "TransactionAccepted": accepted, "Reason": reason}
        return netcash.event(payload, Delivery(body=b"")).key

    assert key("false", "pending") == "1|false|pending"
    assert key("true", "Success") == "1|true|Success"
    assert key("true", "") == "1|true|-"
    assert key("", "Success") is None


def test_a_notice_is_its_fields() -> None:
    assert netcash.parse(Delivery(body=b"RequestTrace=1&Extra1=a+b&Amount=11.50")) == [
        {"RequestTrace": "1", "Extra1": "a b", "Amount": "11.50"}
    ]
    with pytest.raises(ValueError, match="Pay Now"):
        netcash.parse(Delivery(body=b'{"RequestTrace":"1"}'))


# --- Transaction status ----------------------------------------------------------------------------------------------


def test_the_status_is_asked_by_trace() -> None:
    assert netcash.status_request("42") == ("/PayNow/TransactionStatus/Check", {"RequestTrace": "42"})


def test_what_the_books_say_is_read() -> None:
    assert netcash.read_status(answer(200, BOOKS)) == netcash.Status(
        trace="42", reference="INV-1", amount=Decimal("11.50"), accepted=True, reason="Success"
    )


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"Amount": 11.5}, "amount", Decimal("11.50")),
        ({"Amount": 11}, "amount", Decimal("11.00")),
        ({"RequestTrace": 42}, "trace", "42"),
        ({"TransactionAccepted": True}, "accepted", True),
        ({"TransactionAccepted": "False"}, "accepted", False),
        ({"TransactionAccepted": False}, "accepted", False),
        ({"TransactionAccepted": None}, "accepted", False),
        ({"Reference": None}, "reference", ""),
    ],
)
def test_text_number_and_truth_are_all_understood(changes: Any, field: str, expected: Any) -> None:
    assert getattr(netcash.read_status(answer(200, {**BOOKS, **changes})), field) == expected


@pytest.mark.parametrize(
    ("status", "body", "permanent"),
    [
        (404, {"Message": "No such transaction"}, True),
        (400, {"Message": "Malformed trace"}, True),
        (200, {}, True),
        (200, b"null", True),
        (200, {**BOOKS, "RequestTrace": ""}, True),
        (200, b"<html>maintenance</html>", False),
        (200, {**BOOKS, "Amount": "much"}, False),
        (200, {**BOOKS, "Amount": "NaN"}, False),
        (200, {**BOOKS, "Amount": "Infinity"}, False),
        (200, {**BOOKS, "Amount": None}, False),
        (401, b"", False),
        (429, b"", False),
        (500, b"", False),
        (503, b"", False),
    ],
)
def test_only_what_asking_again_cannot_change_is_permanent(status: int, body: Any, permanent: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        netcash.read_status(answer(status, body))
    assert caught.value.permanent is permanent
    assert "NetCash" in caught.value.words


def test_health_is_told_by_the_rhythm_of_notices() -> None:
    assert netcash.PROVIDER.probe is None
    assert netcash.PROVIDER.silence_hours == 48
