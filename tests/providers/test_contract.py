"""The contract: one set of tests that every webhook passes, whatever its provider's scheme."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from integrations.providers import samples
from integrations.providers.payloads import at
from integrations.providers.spec import Delivery, Refused, Unverified, Verified
from tests.providers.rigs import NOW, OLDER_SHAPES, PROVIDER_RIGS, RIGS, Rig

every_webhook = pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
every_provider = pytest.mark.parametrize("rig", PROVIDER_RIGS, ids=lambda rig: rig.name)


def refusal(rig: Rig, delivery: Delivery, **how: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        rig.verify(delivery, **how)
    return caught.value


# --- Verifying -------------------------------------------------------------------------------------------------------


@every_webhook
def test_what_the_provider_signs_is_taken(rig: Rig) -> None:
    for event_type in rig.samples:
        verdict = rig.verify(rig.delivery(event_type=event_type))
        assert isinstance(verdict, Verified)
        assert verdict.detail


@every_webhook
def test_a_wrong_secret_is_refused(rig: Rig) -> None:
    reason = refusal(rig, rig.delivery(), secrets=("whsec_c29tZWJvZHktZWxzZXMtc2VjcmV0LTI0Yg",)).reason
    assert reason == ("wrong_issuer" if rig.name == "zoho-desk" else "mismatch")


@pytest.mark.parametrize("rig", [rig for rig in RIGS if rig.covers_body], ids=lambda rig: rig.name)
def test_an_altered_body_is_refused(rig: Rig) -> None:
    delivery = rig.delivery()
    altered = replace(delivery, body=delivery.body.replace(b"a", b"e", 1))
    assert altered.body != delivery.body
    assert refusal(rig, altered).reason in {"mismatch", "body_altered"}


@every_webhook
def test_a_delivery_without_its_proof_is_not_taken(rig: Rig) -> None:
    bare = rig.replaced(rig.delivery(), None)
    if rig.name == "netcash":
        assert isinstance(rig.verify(bare), Unverified)
    else:
        assert refusal(rig, bare).reason in {"missing_header", "missing_token"}


@every_webhook
@pytest.mark.parametrize("proof", ["", "garbage", "v1,garbage", "é\xff€", "=" * 500, "a.b.c"])
def test_a_malformed_proof_is_refused(rig: Rig, proof: str) -> None:
    reasons = {"malformed_header", "malformed_token", "malformed_hash", "mismatch"}
    assert refusal(rig, rig.replaced(rig.delivery(), proof)).reason in reasons


@pytest.mark.parametrize("rig", [rig for rig in RIGS if rig.tolerance], ids=lambda rig: rig.name)
def test_a_delivery_is_taken_within_the_tolerance_and_stale_beyond_it(rig: Rig) -> None:
    behind, ahead = rig.tolerance or 0, rig.ahead or rig.tolerance or 0
    for age in (behind, -ahead):
        assert isinstance(rig.verify(rig.delivery(now=NOW - age)), Verified)
    assert refusal(rig, rig.delivery(now=NOW - behind - 1)).reason == "stale"
    assert refusal(rig, rig.delivery(now=NOW + ahead + 1)).reason == "stale"


@every_webhook
def test_old_and_new_secret_match_while_one_is_rotated(rig: Rig) -> None:
    for position in (0, 1):
        assert rig.verify(rig.delivery(secret=position)).secret == position


@every_webhook
@pytest.mark.parametrize("secrets", [(), ("",), ("  ", "")])
def test_without_a_secret_nothing_is_taken(rig: Rig, secrets: tuple[str, ...]) -> None:
    assert refusal(rig, rig.delivery(), secrets=secrets).reason == "no_secret"


@every_webhook
def test_a_refusal_gives_no_secret_away(rig: Rig) -> None:
    delivery, other = rig.delivery(), "whsec_c29tZWJvZHktZWxzZXMtc2VjcmV0LTI0Yg"
    genuine = rig.sign(next(iter(rig.samples.values())), other, now=NOW, delivery_id="msg_1")
    refused = refusal(rig, delivery, secrets=(other,))
    assert other not in refused.detail
    for name, value in genuine.headers.items():
        assert name == "content-type" or value not in refused.detail


# --- Reading ---------------------------------------------------------------------------------------------------------


@every_webhook
def test_every_sample_is_one_event_of_its_declared_type(rig: Rig) -> None:
    assert set(rig.samples) == set(rig.webhook.event_types)
    for event_type in rig.samples:
        delivery = rig.delivery(event_type=event_type)
        (payload,) = rig.webhook.parse(delivery)
        event = rig.webhook.event(payload, delivery)
        assert event.type == event_type
        assert event.payload == payload


@every_webhook
def test_the_key_is_the_same_for_the_same_event_and_another_for_a_fresh_one(rig: Rig) -> None:
    for event_type, sample in rig.samples.items():
        first = rig.delivery(event_type=event_type)
        again = rig.delivery(event_type=event_type, now=NOW + 30)
        anew = rig.webhook.fresh(sample, NOW + 60, "msg_2")
        other = rig.sign(anew, rig.secrets[0], now=NOW + 60, delivery_id="msg_2")
        keys = [rig.webhook.event(rig.webhook.parse(delivery)[0], delivery).key for delivery in (first, again, other)]
        assert keys[0] == keys[1] != keys[2]
        assert all(key and len(key) <= 255 for key in keys)


@every_webhook
def test_a_fresh_payload_is_a_copy_of_the_same_type(rig: Rig) -> None:
    for event_type, sample in rig.samples.items():
        before = copy.deepcopy(sample)
        anew = rig.webhook.fresh(sample, NOW + 60, "msg_2")
        assert sample == before
        delivery = rig.sign(anew, rig.secrets[0], now=NOW + 60, delivery_id="msg_2")
        assert rig.webhook.event(rig.webhook.parse(delivery)[0], delivery).type == event_type
        assert rig.webhook.fresh(sample, NOW + 60, "msg_2") == anew


HOSTILE = [
    b"", b" ", b"\x00", b"\xff\xfe", b"null", b"1", b'"text"', b"[1]", b"{", b"[" * 100_000, b'{"a":' * 50_000,
    b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\xed\xa0\x80"}',
    b"{'a':1}", b"\xef\xbb\xbf{}", b'{"a":1}{"b":2}',
]  # fmt: skip


@every_webhook
@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:12]))
def test_what_makes_no_sense_is_a_value_error_with_words(rig: Rig, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it .*\.$"):
        rig.webhook.parse(Delivery(body=body))


def mutations(value: Any) -> Iterator[Any]:
    """`value` with each of its parts in turn replaced by something it should never be."""
    yield from (None, True, [], {}, 1.5, 10**30, "", "x" * 5000, "\x00\ud800", [[]], {"a": {}})
    if isinstance(value, dict):
        for name, part in value.items():
            yield {other: item for other, item in value.items() if other != name}
            yield from ({**value, name: mutated} for mutated in mutations(part))
    if isinstance(value, list) and value:
        yield from ([mutated, *value[1:]] for mutated in mutations(value[0]))


@every_webhook
def test_an_unknown_shape_is_recorded_and_never_an_exception(rig: Rig) -> None:
    sample = next(iter(rig.samples.values()))
    for payload in mutations(sample):
        event = rig.webhook.event(payload, Delivery(body=b""))
        assert event.payload is payload
        assert event.type is None or 0 < len(event.type) <= 200
        assert event.key is None or 0 < len(event.key) <= 255


# --- Samples ---------------------------------------------------------------------------------------------------------


@every_provider
def test_there_is_a_sample_of_every_declared_event_and_of_no_other(rig: Rig) -> None:
    assert samples.event_types(rig.name) == tuple(sorted(rig.webhook.event_types))


@every_provider
def test_every_personal_path_leads_somewhere(rig: Rig) -> None:
    shapes = [*rig.samples.values(), *OLDER_SHAPES.get(rig.name, [])]
    assert [path for path in rig.webhook.personal if not any(leads(shape, path) for shape in shapes)] == []


def leads(payload: Any, path: str) -> bool:
    if isinstance(payload, list):
        return any(leads(item, path) for item in payload)
    name, _, rest = path.partition(".")
    return isinstance(payload, dict) and name in payload and (not rest or leads(payload[name], rest))


def test_there_is_no_sample_of_what_is_not_declared() -> None:
    with pytest.raises(LookupError):
        samples.load("resend", "../resend/email.sent")
    with pytest.raises(LookupError):
        samples.load("nobody", "email.sent")


def test_a_loaded_sample_is_the_callers_own() -> None:
    samples.load("resend", "email.sent")["data"]["to"] = "changed"
    assert at(samples.load("resend", "email.sent"), "data.to") == ["thandi@example.net"]


@every_provider
def test_samples_name_nobody_real(rig: Rig) -> None:
    written = json.dumps(rig.samples)
    hosts = re.findall(r"@([\w.-]+)|https?://([\w.-]+)", written)
    assert {host for pair in hosts for host in pair if host} <= {
        *("example.com", "example.net", "email.example.com", "media.example.com"),
        *("www.zohoapis.com", "desk.zoho.com"),
    }
    assert set(re.findall(r"\b27\d{9}\b", written)) <= {f"2782000000{digit}" for digit in range(10)}
    assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", written)) <= {"192.0.2.10"}
