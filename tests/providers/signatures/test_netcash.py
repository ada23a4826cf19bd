"""NetCash: a hash where one comes, no proof where none does."""

import hashlib
from urllib.parse import urlencode

import pytest

from integrations.providers.spec import Delivery, Refused, Unverified, Verified
from tests.providers.rigs import BY_NAME, NOW

NOTICE = {"RequestTrace": "42", "Reference": "INV-1", "Amount": "11.50", "TransactionAccepted": "true"}


def notice(**fields: str) -> Delivery:
    return Delivery(body=urlencode({**NOTICE, **fields}).encode())


def md5(*values: str) -> str:
    return hashlib.md5("|".join(values).encode()).hexdigest()


def test_the_default_hash_is_of_four_fields_and_the_secret() -> None:
    assert BY_NAME["netcash"].verdict(notice(Hash=md5("42", "INV-1", "11.50", "true", "s")), "s") == "taken"
    assert BY_NAME["netcash"].verdict(notice(Hash=md5("42", "INV-1", "11.50", "true", "x")), "s") == "mismatch"


def test_the_webhooks_metadata_may_name_other_fields_in_another_order() -> None:
    verify = BY_NAME["netcash"].webhook.verify
    options = {"hash_fields": ["Amount", "RequestTrace", "Missing"]}
    delivery = notice(Hash=md5("11.50", "42", "", "s"))
    assert isinstance(verify(delivery, ["s"], now=NOW, options=options), Verified)
    with pytest.raises(Refused, match="mismatch"):
        verify(delivery, ["s"], now=NOW, options={})
    with pytest.raises(Refused, match="malformed_options"):
        verify(delivery, ["s"], now=NOW, options={"hash_fields": "Amount"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (md5("42", "INV-1", "11.50", "true", "s").upper(), "wrong_encoding"),
        ("", "malformed_hash"),
        ("xyz", "malformed_hash"),
        ("a" * 33, "malformed_hash"),
    ],
)
def test_a_hash_that_is_none_is_refused_and_not_ignored(value: str, reason: str) -> None:
    assert BY_NAME["netcash"].verdict(notice(Hash=value), "s") == reason


def test_a_post_without_a_hash_needs_no_secret_but_something_to_ask_netcash_about() -> None:
    verify = BY_NAME["netcash"].webhook.verify
    for secrets in ([], ["s"]):
        assert isinstance(verify(notice(), secrets, now=NOW, options={}), Unverified)
        with pytest.raises(Refused, match="missing_field"):
            verify(notice(RequestTrace=""), secrets, now=NOW, options={})
    with pytest.raises(Refused, match="no_secret"):
        verify(notice(Hash=md5("s")), [], now=NOW, options={})


def test_a_form_of_countless_fields_is_refused() -> None:
    assert BY_NAME["netcash"].verdict(Delivery(body=b"a=1&" * 5000), "s") == "malformed_body"


def test_netcash_itself_is_played_without_a_hash() -> None:
    rig = BY_NAME["netcash"]
    played = rig.sign(next(iter(rig.samples.values())), "", now=NOW, delivery_id="1")
    assert b"Hash" not in played.body
    assert isinstance(rig.verify(played), Unverified)
