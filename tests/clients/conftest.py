from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from integrations.clients import base
from integrations.clients.base import Client
from integrations.clients.operations import find
from integrations.models import Integration
from integrations.sandbox.server import Sandbox
from tests.clients.samples import BILLED, PAYMENT, samples
from tests.sandbox.conftest import connect

Made = Callable[..., Client]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BACKOFF", 0.0)
    monkeypatch.setattr("integrations.clients.mtn.GAP_SECONDS", 0.0)


@pytest.fixture
def made(sandbox: Sandbox, registry: dict[str, Integration]) -> Made:
    """The client of an integration, with a token of the sandbox where it takes one; it knows a payment and an event.

    By default nothing is tried again.
    """
    sandbox.state.remember("netcash", PAYMENT)
    sandbox.state.remember("zoho-billing", BILLED)
    token = cache(lambda slug: connect(slug) if registry[slug].requires_oauth else "")

    def make(slug: str, **more: Any) -> Client:
        client = Client(integration=registry[slug], token=lambda: token(slug), retries=0, timeout_s=5.0)
        return replace(client, **more)

    return make


@pytest.fixture
def run(made: Made) -> Callable[..., Any]:
    """Calls an operation with its sample: `run("resend", "domains")`. `client` is another than `made` makes."""

    def call(slug: str, name: str, client: Client | None = None) -> Any:
        operation = find(slug, name)
        assert operation
        return operation.function(client or made(slug), **samples()[slug][name])

    return call
