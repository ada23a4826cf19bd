"""The page of clients keeps up with them."""

import re
from pathlib import Path

import pytest

from integrations import providers
from integrations.clients.operations import OPERATIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text()


@pytest.mark.parametrize("slug", list(OPERATIONS))
def test_every_operation_stands_in_its_table_and_no_other(slug: str) -> None:
    section = PAGE.partition(f"(`{slug}`)")[2].partition("\n##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name: "±" in cell for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    assert listed == {operation.name: operation.changes for operation in OPERATIONS[slug]}


def test_the_limits_are_those_declared() -> None:
    said = {
        "zoho-crm": "50,000 a day", "zoho-desk": "50,000 a day", "zoho-sign": "50 a minute",
        "zoho-billing": "100 a minute", "didit-kyc": "300 a minute", "mtn-coverage": "60 a minute",
        "resend": "2 a second", "google-maps": "3,000 a minute",
    }  # fmt: skip
    units = {1: "second", 60: "minute", 86_400: "day"}
    limits = {provider.slug: provider.limit for provider in providers.PROVIDERS if provider.limit}
    assert said == {slug: f"{limit.requests:,} a {units[limit.seconds]}" for slug, limit in limits.items()}
    assert all(words in PAGE for words in said.values())
