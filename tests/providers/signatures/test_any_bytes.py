"""Whatever bytes may come, every scheme judges them."""

import base64
import json
import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.providers.spec import Delivery, Refused, Unverified, Verified
from tests.providers.rigs import NOW, RIGS, Rig, with_headers

HEADERS = [
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-timestamp",
    "x-signature",
    "x-signature-v2",
    "x-signature-simple",
    "x-zs-webhook-signature",
    "x-zoho-webhook-signature",
    "x-zdesk-jwt",
    "x-webhook-secret",
    "authorization",
    "content-type",
    "x-acme",
]
LATIN = st.text(st.characters(max_codepoint=255), max_size=80)
PROOFS = st.one_of(
    LATIN,
    st.text(max_size=20),
    st.integers().map(str),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.binary(min_size=32, max_size=32).map(lambda digest: "v1," + base64.b64encode(digest).decode()),
    st.binary(max_size=60).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
    st.lists(st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()), max_size=4).map(".".join),
    st.sampled_from(["application/x-www-form-urlencoded", "application/json", str(int(NOW))]),
)
NAMES = st.sampled_from(["token", "timestamp", "session_id", "status"]) | st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["Hash", "RequestTrace", "Amount"]) | st.text(max_size=8), st.text(max_size=40)
    ).map(lambda fields: urlencode(fields).encode()),
    st.integers(0, 3000).map(lambda depth: b"[" * depth + b"]" * depth),
)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
@settings(max_examples=150, deadline=None, database=None)
@given(
    body=BODIES, headers=st.dictionaries(st.sampled_from(HEADERS), PROOFS), query=LATIN, secret=st.text(max_size=40)
)
def test_whatever_comes_is_judged_and_never_an_exception(
    rig: Rig, body: bytes, headers: dict[str, str], query: str, secret: str
) -> None:
    delivery = Delivery(body=body, headers=headers, query=query)
    judged = rig.judged(delivery, secret, rig.secrets[0])
    assert isinstance(judged, Verified | Unverified | Refused)
    if isinstance(judged, Refused):
        assert re.fullmatch("[a-z_]+", judged.reason)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_a_genuine_delivery_with_one_part_spoilt_is_judged_too(rig: Rig, data: st.DataObject) -> None:
    genuine = rig.delivery()
    name = data.draw(st.sampled_from([*genuine.headers, "", "query"]))
    if name == "":
        cut = data.draw(st.integers(0, len(genuine.body)))
        spoilt = replace(genuine, body=genuine.body[:cut] + data.draw(st.binary(max_size=5)) + genuine.body[cut:])
    elif name == "query":
        spoilt = replace(genuine, query=data.draw(LATIN))
    else:
        spoilt = with_headers(genuine, **{name: data.draw(PROOFS)})
    judged = rig.judged(spoilt)
    assert isinstance(judged, Verified | Unverified) or (isinstance(judged, Refused) and judged.detail)
