"""Values as people type them, and results as they are printed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from integrations.clients import arguments, sign
from integrations.clients.base import Page
from integrations.clients.operations import OPERATIONS, Argument


def read(hint: Any, typed: str) -> Any:
    return arguments.read(Argument("x", hint, "", ...), typed)


@pytest.mark.parametrize(
    ("hint", "typed", "value"),
    [
        (str, "a=b, c", "a=b, c"),
        (str, "", ""),
        (int, "42", 42),
        (float, "-26.2", -26.2),
        (bool, "yes", True),
        (bool, "FALSE", False),
        (Decimal, "899.50", Decimal("899.50")),
        (datetime, "2026-11-22T08:00:00Z", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        (datetime, "2026-11-22T10:00", datetime(2026, 11, 22, 8, tzinfo=UTC)),  # in Johannesburg
        (Sequence[str], "a, b,,c", ["a", "b", "c"]),
        (Sequence[str], '["a, b"]', ["a, b"]),
        (Sequence[str] | None, "a", ["a"]),
        (Mapping[str, Any], '{"a": [1]}', {"a": [1]}),
        (Mapping[str, Any] | None, '{"a": 1}', {"a": 1}),
        (Sequence[Mapping[str, Any]], '[{"a": 1}]', [{"a": 1}]),
        (
            Sequence[sign.Signer],
            '[{"name": "L", "email": "l@example.com", "order": 1, "action": "VIEW"}]',
            [sign.Signer(name="L", email="l@example.com", order=1, action="VIEW")],
        ),
    ],
)
def test_a_value_is_read_by_its_annotation(hint: Any, typed: str, value: Any) -> None:
    assert read(hint, typed) == value


@pytest.mark.parametrize(
    ("hint", "typed", "words"),
    [
        (int, "1.5", "x: '1.5' is not a whole number"),
        (float, "far", "x: 'far' is not a number"),
        (bool, "maybe", "x: 'maybe' is not true or false"),
        (Decimal, "R5", "x: 'R5' is not an amount such as"),
        (datetime, "soon", "x: 'soon' is not a time such as"),
        (Sequence[str], "[1]", "a list of texts is wanted"),
        (Sequence[str], "[", "JSON is wanted"),
        (Mapping[str, Any], "[]", "a JSON object is wanted"),
        (Mapping[str, Any], "{", "JSON is wanted"),
        (Mapping[str, Any], "[" * 100_000, "JSON is wanted"),
        (Mapping[str, Any], "@/nowhere", "/nowhere can't be read: No such file"),
        (Mapping[str, bytes], "/nowhere", "/nowhere can't be read: No such file"),
        (Sequence[Mapping[str, Any]], "{}", "a JSON list is wanted"),
        (Sequence[Mapping[str, Any]], "[1]", "a JSON object is wanted"),
        (Sequence[sign.Signer], "[1]", "a JSON object is wanted"),
        (Sequence[sign.Signer], '[{"mane": "L"}]', "mane: no such field. There are name, email"),
        (Sequence[sign.Signer], '[{"name": "L"}]', "email"),
        (Sequence[sign.Signer], '[{"name": 1, "email": "a"}]', "'1' is not of type str"),
        (Sequence[sign.Signer], '[{"name": "L", "email": "a", "order": true}]', "'True' is not of type int"),
        (Sequence[sign.Signer], '[{"name": "L", "email": "a", "action": "EAT"}]', "'EAT' is none of 'SIGN'"),
    ],
)
def test_what_is_no_such_value_is_said_in_words(hint: Any, typed: str, words: str) -> None:
    with pytest.raises(ValueError, match="x: ") as caught:
        read(hint, typed)
    assert words in str(caught.value)


def test_files_are_given_by_their_paths_and_json_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "nda.pdf").write_bytes(b"%PDF")
    (tmp_path / "told.json").write_text('{"a": 1}')
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "nda.pdf").write_bytes(b"%PDF")
    assert read(Mapping[str, bytes], f"{tmp_path}/nda.pdf") == {"nda.pdf": b"%PDF"}
    assert read(Mapping[str, Any], f"@{tmp_path}/told.json") == {"a": 1}
    with pytest.raises(ValueError, match=r"two files are called nda\.pdf"):
        read(Mapping[str, bytes], f"{tmp_path}/nda.pdf,{tmp_path}/more/nda.pdf")


def test_a_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "MOST_BYTES", 3)
    (tmp_path / "nda.pdf").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        read(Mapping[str, bytes], f"{tmp_path}/nda.pdf")


def test_every_argument_of_every_operation_can_be_typed() -> None:
    typed = {
        "text": "x", "number": "1", "true or false": "yes", "amount": "1.00", "time": "2026-11-22", "texts": "a,b",
        "{…}": "{}", "[{…}, …]": "[{}]", "files": "",
    }  # fmt: skip
    for operation in (each for all_of_it in OPERATIONS.values() for each in all_of_it):
        for argument in operation.arguments():
            arguments.read(argument, typed.get(argument.shown, "[]"))


def test_results_become_json() -> None:
    page = Page(rows=[{"a": Decimal("1.50")}], more=False)
    assert arguments.plain(page) == {"rows": [{"a": "1.50"}], "more": False, "token": ""}
    assert arguments.plain([b"%PDF", datetime(2026, 11, 22, tzinfo=UTC), ("a",), None]) == [
        {"bytes": 4}, "2026-11-22T00:00:00+00:00", ["a"], None,
    ]  # fmt: skip
