"""The live tests themselves: without keys they call nobody; with them they do what they say (here the sandbox's)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integrations.providers import PROVIDERS
from integrations.sandbox import tokens
from integrations.sandbox.server import Sandbox
from tests.live.live_providers import LIVE

ROOT = Path(__file__).resolve().parents[2]
FILE = "tests/live/live_providers.py"
TEST = f"{FILE}::test_the_provider_is_as_we_think"
SCOPES = ",".join(scope for provider in PROVIDERS if provider.oauth for scope in provider.oauth.scopes)
ADDRESSES = {
    "ZOHO_SIGN": "zoho-sign", "ZOHO_DESK": "zoho-desk", "DIDIT_API": "didit-kyc", "NETCASH_WS": "netcash",
    "NETCASH_PAYNOW": "netcash", "MTN_WMS": "mtn-coverage", "CLICKATELL_API": "clickatell", "RESEND_API": "resend",
    "GOOGLE_MAPS": "google-maps", "GOOGLE_PLACES": "google-maps",
}  # fmt: skip


def run(*more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:xdist", "-p", "no:randomly", FILE, *more]
    told = {**kept, "LIVE": "1", **environment}
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.processes
def test_without_keys_everything_is_skipped_and_names_what_it_lacks():
    done = run()
    assert done.returncode == 0, done.stdout
    assert "10 skipped" in done.stdout
    assert "LIVE_ZOHO_REFRESH_TOKEN" in done.stdout


@pytest.mark.processes
@pytest.mark.parametrize("api", ["zoho-crm", "zoho-billing"])
def test_with_keys_every_provider_is_asked(lent, api):
    """CRM and Billing share a variable for their address, and have two in the sandbox: one of them is left out."""
    left_out = "zoho-billing" if api == "zoho-crm" else "zoho-crm"
    with Sandbox(values=lent) as sandbox:
        sandbox.state.remember("netcash", {"RequestTrace": "1", "Reference": "x", "Amount": "1.00"})
        done = run(
            *("--deselect", f"{TEST}[{left_out}]"),
            **{
                name: value for name, value in lent.items() if "WEBHOOK" not in name and not name.startswith("SANDBOX")
            },
            LIVE_ZOHO_REFRESH_TOKEN=tokens.seal("refresh", {"scope": SCOPES, "grant": "live"}, lent[tokens.KEY]),
            OUTBOUND_ALLOW_PRIVATE="1",
            MTN_PROBE_LAYER="mtnsi:MTNSA-Coverage-LTE",
            ZOHO_ACCOUNTS_URL=f"{sandbox.url}/accounts",
            ZOHO_API_URL=f"{sandbox.url}/{api}",
            **{f"{name}_URL": f"{sandbox.url}/{slug}" for name, slug in ADDRESSES.items()},
        )
        asked = {slug for slug in LIVE if sandbox.requests(slug)}
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
    assert asked == set(LIVE) - {left_out}
