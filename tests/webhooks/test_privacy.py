"""Personal fields are hidden before anybody sees them."""

from typing import Any

import pytest

from webhooks.privacy import MASK, mask


@pytest.mark.parametrize(
    ("payload", "paths", "shown"),
    [
        ({"name": "Thandi", "id": 1}, ["name"], {"name": MASK, "id": 1}),
        ({"a": {"b": {"c": 1, "d": 2}}}, ["a.b.c"], {"a": {"b": {"c": MASK, "d": 2}}}),
        ({"a": {"b": {"c": 1}}}, ["a.b"], {"a": {"b": MASK}}),
        (
            {"people": [{"name": "x"}, {"name": "y", "age": 3}, 7]},
            ["people.name"],
            {"people": [{"name": MASK}, {"name": MASK, "age": 3}, 7]},
        ),
        ([{"name": "x"}], ["name"], [{"name": MASK}]),
        ({"a": [[{"b": 1}]]}, ["a.b"], {"a": [[{"b": MASK}]]}),
        ({"tags": ["x", "y"]}, ["tags"], {"tags": MASK}),
        ({"a": 1, "b": 2}, ["a", "b", "missing.deeper"], {"a": MASK, "b": MASK}),
        ({"name": None}, ["name"], {"name": None}),
        ("text", ["name"], "text"),
        (None, ["name"], None),
    ],
)
def test_what_lies_at_a_path_is_masked(payload: Any, paths: list[str], shown: Any) -> None:
    assert mask(payload, paths) == shown


def test_the_payload_itself_is_left_alone() -> None:
    payload = {"people": [{"name": "x"}]}
    mask(payload, ["people.name"])
    assert payload == {"people": [{"name": "x"}]}
