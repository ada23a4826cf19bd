"""Payloads folded line by line, and held against one another."""

from typing import Any

from webhooks import tree
from webhooks.tree import Change, Line


def test_objects_and_lists_fold_and_values_tell_their_type():
    lines = tree.fold({"id": "evt_1", "data": {"paid": True, "items": [1.5, None]}, "tags": []})
    assert lines == (
        Line("open", "", "3 fields", "object", unfolded=True),
        Line("leaf", "id", "evt_1", "string"),
        Line("open", "data", "2 fields", "object", unfolded=True),
        Line("leaf", "paid", "true", "boolean"),
        Line("open", "items", "2 items", "list", unfolded=False),
        Line("leaf", "0", "1.5", "number"),
        Line("leaf", "1", "null", "null"),
        Line("close"),
        Line("close"),
        Line("leaf", "tags", "[]", "list"),
        Line("close"),
    )


def test_a_payload_that_is_one_value_is_one_line():
    assert tree.fold("hello") == (Line("leaf", "", "hello", "string"),)


def test_a_huge_payload_stays_bounded_and_says_how_much_is_left_out():
    lines = tree.fold({str(number): "x" * 5000 for number in range(5000)})
    assert len(lines) < tree.LINES + 5
    assert lines[-2] == Line("more", value="4,601 more in the raw view")
    assert max(len(line.value) for line in lines) <= tree.CHARACTERS + 1


def test_what_is_nested_beyond_reason_is_cut_and_every_fold_closes():
    payload: Any = "deep"
    for _ in range(900):
        payload = {"in": payload}
    lines = tree.fold(payload)
    kinds = [line.kind for line in lines]
    assert kinds.count("open") == kinds.count("close") == tree.DEPTH
    assert "nested too deeply" in lines[tree.DEPTH].value


def test_many_lists_that_are_cut_close_too():
    kinds = [line.kind for line in tree.fold([[[1] * 50] * 50] * 50)]
    assert kinds.count("open") == kinds.count("close")


def test_what_was_added_removed_and_changed_is_told_by_its_path():
    old = {"id": 1, "data": {"amount": "9.00", "items": [{"sku": "a"}, {"sku": "b"}]}, "note": "x"}
    new = {"id": 2, "data": {"amount": "9.00", "items": [{"sku": "c"}]}, "paid": True}
    assert tree.compare(old, new).changes == (
        Change("id", "changed", "1", "2"),
        Change("data.items.0.sku", "changed", "a", "c"),
        Change("paid", "added", "", "true"),
        Change("data.items.1.sku", "removed", "b", ""),
        Change("note", "removed", "x", ""),
    )


def test_the_same_differs_in_nothing():
    assert tree.compare({"a": [1, {}]}, {"a": [1, {}]}).changes == ()


def test_a_comparison_stays_bounded_and_says_so():
    found = tree.compare({}, {str(number): number for number in range(3000)})
    assert (len(found.changes), found.left, found.cut) == (tree.SHOWN, tree.PATHS - tree.SHOWN + 1, True)


def test_long_values_that_differ_beyond_what_is_shown_differ():
    (change,) = tree.compare({"a": "x" * 2000 + "1"}, {"a": "x" * 2000 + "2"}).changes
    assert len(change.after) == tree.CHARACTERS + 1
