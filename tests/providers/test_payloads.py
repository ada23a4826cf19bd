"""Reading hostile bytes, and making keys."""

import json
import math
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.providers import payloads
from integrations.providers.spec import Delivery


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


def test_ordinary_json_is_read_as_json_reads_it() -> None:
    body = '{"a": [1, 2.5, true, null, "é \\ud83d\\ude00"], "b": {"c": -0.0}, "n": 123456789012345678901234567890}'
    assert payloads.json_body(body.encode()) == json.loads(body)


def test_of_duplicate_keys_the_last_wins() -> None:
    assert payloads.json_body(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("depth", [1, 99, 100])
def test_nesting_is_read_up_to_100_levels(depth: int) -> None:
    assert payloads.json_body(nested(depth)) == json.loads(nested(depth))
    mixed = b'{"a":[' * (depth // 2) + b"1" + b"]}" * (depth // 2)
    assert payloads.json_body(mixed) == json.loads(mixed)


@pytest.mark.parametrize(
    "body",
    [
        nested(101),
        nested(100_000),
        nested(101, b'{"a":', b"}").replace(b":}", b":1}"),
        b'[{"a":' * 60 + b"1" + b"}]" * 60,
        b"[" * 1_000_000,
        b"[" * 1000 + b"]" * 5,
        b'["' + b'\\"' * 100 + b'",' + nested(100) + b"]",
    ],
    ids=["101", "100,000", "101 objects", "mixed", "unclosed", "half closed", "after a string"],
)
def test_deeper_nesting_is_refused_and_no_recursion_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        payloads.json_body(body)


@pytest.mark.parametrize("text", ["[" * 500, "[{" * 500, '\\"[' * 500, "\\\\"])
def test_brackets_within_strings_do_not_count(text: str) -> None:
    body = json.dumps([text] * 200).encode()
    assert payloads.json_body(body) == [text] * 200


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert payloads.json_body(b"[" + b",".join([b"[{}]"] * 5000) + b"]") == [[{}]] * 5000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a":"\xff"}', "it isn't UTF-8 (byte 6)."),
        (b'"\xed\xa0\x80"', "it isn't UTF-8 (byte 1)."),
        ('{"a":1}'.encode("utf-16"), "it isn't UTF-8 (byte 0)."),
        (b"", "it isn't JSON: Expecting value (character 0)."),
        (b"\xef\xbb\xbf{}", "it isn't JSON: Expecting value (character 0)."),
        (b'{"a":1}x', "it isn't JSON: Extra data (character 7)."),
        (b'"a\x00b"', "it isn't JSON: Invalid control character at (character 2)."),
        (b"[NaN]", "it holds NaN, which isn't JSON."),
        (b"[-Infinity]", "it holds -Infinity, which isn't JSON."),
        (b"[1e999]", "it holds a number too large for any float."),
        (b"[-1e999]", "it holds a number too large for any float."),
        (b"[" + b"9" * 4301 + b"]", "it holds an integer of more than 4,300 digits."),
    ],
)
def test_what_is_refused_is_told_in_words(body: bytes, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        payloads.json_body(body)
    assert str(caught.value) == words


def test_an_integer_of_4300_digits_is_read() -> None:
    assert payloads.json_body(b"9" * 4300) == 10**4300 - 1


def test_nul_and_lone_surrogates_are_left_for_the_store_to_replace() -> None:
    assert payloads.json_body(b'"a\\u0000\\ud800"') == "a\x00\ud800"


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=300) | st.text('[]{}",:\\ 01.eE-tnu', max_size=300).map(str.encode))
def test_any_bytes_are_a_value_or_a_value_error_with_words(body: bytes) -> None:
    try:
        value = payloads.json_body(body)
    except ValueError as error:
        refused = str(error)
        assert refused.startswith("it ")
    else:
        assert finite(value)
        assert value == json.loads(body)


def finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(finite, parts))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_048_576,
        b'"' * 1_048_576,
        b'"\\' * 524_288,
        b'\\"' * 524_288,
        b"[]," * 349_525,
        b"9" * 1_048_576,
        nested(100) * 5000,
    ],
    ids=lambda body: repr(body[:6]),
)
def test_a_mebibyte_of_malice_takes_no_time_worth_speaking_of(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"^it "):
        payloads.json_body(body)
    assert time.process_time() - started < 2  # quadratic reading would take minutes


def test_an_object_is_asked_for() -> None:
    assert payloads.json_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(ValueError, match="isn't a JSON object"):
        payloads.json_object(b"[]")


def test_a_form_is_read_with_its_last_fields_and_broken_letters() -> None:
    assert payloads.form_body(b"a=1&b=%C3%A9+x&a=2&c&d=%E9&&=e") == {
        "a": "2",
        "b": "é x",
        "c": "",
        "d": "\ufffd",
        "": "e",
    }
    with pytest.raises(ValueError, match="more than 1,000"):
        payloads.form_body(b"&".join([b"a=1"] * 1001))
    assert payloads.form_body(b"&".join([b"a=1"] * 1000)) == {"a": "1"}


def test_the_content_type_tells_a_form() -> None:
    form = "Application/X-www-form-urlencoded; charset=utf-8"
    assert payloads.is_form(Delivery(body=b"", headers={"content-type": form}))
    assert not payloads.is_form(Delivery(body=b"", headers={"content-type": "application/json"}))
    assert not payloads.is_form(Delivery(body=b""))


@pytest.mark.parametrize(
    ("value", "text"),
    [("7", "7"), (7, "7"), (7.0, "7"), (7.5, "7.5"), (10**25, "1" + "0" * 25), (True, ""), (None, ""), ([], "")],
)
def test_an_id_is_text_whether_it_came_as_text_or_number(value: Any, text: str) -> None:
    assert payloads.text(value) == text


@pytest.mark.parametrize("payload", [None, 1, "a", [], {"a": None}, {"a": []}, {"a": "b"}])
def test_a_path_that_leads_nowhere_is_none(payload: Any) -> None:
    assert payloads.at(payload, "a.b") is None


def test_a_key_is_readable_when_it_can_be_and_a_hash_when_it_must() -> None:
    assert payloads.key("a", "b") == "a|b"
    assert payloads.key("a", "") is None
    for long in ("x" * 256, "a\x00b", "a\ud800", "a\nb"):
        hashed = payloads.key(long)
        assert hashed is not None
        assert len(hashed) == 64
    assert payloads.key("x" * 255) == "x" * 255
    assert payloads.key("x" * 256) != payloads.key("x" * 257)


def test_new_ids_are_the_same_for_the_same_delivery_only() -> None:
    for make in (payloads.new_uuid, payloads.new_number):
        assert make("a", "x") == make("a", "x")
        assert len({make("a", "x"), make("b", "x"), make("a", "y")}) == 3
    for length in (1, 5, 32):
        number = payloads.new_number("a", length=length)
        assert len(number) == length
        assert number[0] != "0"


def test_changing_a_copy_sets_only_what_is_there() -> None:
    payload = {"a": {"b": 1}, "c": [1]}
    assert payloads.changed(payload, {"a.b": 2, "a.x": 3, "y.z": 4, "c": [2]}) == {"a": {"b": 2}, "c": [2]}
    assert payload == {"a": {"b": 1}, "c": [1]}


def test_unix_time_is_written_as_utc() -> None:
    assert payloads.iso(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


def test_python_reads_no_longer_integers_than_we_say() -> None:
    assert sys.get_int_max_str_digits() == 4300
