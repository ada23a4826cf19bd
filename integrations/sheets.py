"""Cells for spreadsheets."""

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""A spreadsheet would calculate a cell that begins with one of these."""


def neutral(value: Any) -> str:
    """`value` as a cell that a spreadsheet shows and doesn't calculate."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
