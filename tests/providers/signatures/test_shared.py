"""Secrets that are simply repeated: Zoho CRM's token, Clickatell's header or password."""

import base64

import pytest

from integrations.providers.signatures import (
    SharedSecret,
)
from integrations.providers.spec import Delivery, Verified
from tests.providers.rigs import BY_NAME, NOW


def test_a_workflow_webhook_brings_the_secret_in_a_header_whatever_its_body() -> None:
    delivery = Delivery(body=b"<lead/>", headers={"x-webhook-secret": "channel-token"})
    assert BY_NAME["zoho-crm"].verdict(delivery, "channel-token") == "taken"
    assert BY_NAME["zoho-crm"].verdict(delivery, "another") == "mismatch"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed_body"),
        (b"[" * 5000, "malformed_body"),
        (b"\xff", "malformed_body"),
        (b"[]", "missing_token"),
        (b'{"token":null}', "missing_token"),
        (b'{"token":7}', "malformed_token"),
        (b'{"token":""}', "malformed_token"),
        (b'{"token":{"token":"channel-token"}}', "malformed_token"),
        (b'{"token":"\\ud800"}', "mismatch"),
        (b'{"token":"channel-token","token":"other"}', "mismatch"),
        (b'{"token":"other","token":"channel-token"}', "taken"),
    ],
)
def test_the_token_in_the_body_is_read_strictly(body: bytes, reason: str) -> None:
    assert BY_NAME["zoho-crm"].verdict(Delivery(body=body), "channel-token") == reason


def basic(text: bytes, scheme: str = "Basic") -> Delivery:
    return Delivery(body=b"{}", headers={"authorization": f"{scheme} {base64.b64encode(text).decode()}"})


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (basic(b"anybody:secret:with:colons"), "taken"),
        (basic(b":secret:with:colons"), "taken"),
        (basic(b"anybody:secret:with:colons", "bAsIc"), "taken"),
        (basic(b"secret:with:colons"), "mismatch"),
        (basic(b"no colon"), "malformed_header"),
        (basic(b"anybody:secret:with:colons", "Bearer"), "malformed_header"),
        (Delivery(body=b"", headers={"authorization": "Basic"}), "malformed_header"),
        (Delivery(body=b"", headers={"authorization": "Basic \xff\xff"}), "malformed_header"),
        (Delivery(body=b"", headers={}), "missing_header"),
    ],
)
def test_clickatells_secret_may_be_the_basic_password(delivery: Delivery, reason: str) -> None:
    assert BY_NAME["clickatell"].verdict(delivery, "secret:with:colons") == reason


def test_a_secret_beyond_ascii_is_compared_by_its_bytes() -> None:
    scheme = SharedSecret()
    delivery = scheme.sign({}, "voilà", now=NOW, delivery_id="1")
    assert delivery.headers["x-webhook-secret"] == "voil\xc3\xa0"
    assert isinstance(scheme.verify(delivery, ["voilà"], now=NOW, options={}), Verified)
