import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from integrations import credentials, http, providers
from integrations.providers.spec import Answer, ApiKey, OAuth2, Provider
from integrations.sandbox import values
from integrations.sandbox.server import Sandbox

from .receiver import Receiver


class Clock:
    """Unix time that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def lent() -> dict[str, str]:
    return values.lend(lambda name: hashlib.sha256(f"test-{name}".encode()).hexdigest())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def sandbox(lent: dict[str, str], clock: Clock, settings: Any) -> Iterator[Sandbox]:
    """A running sandbox that the app, too, knows to be there. It sends nothing by itself."""
    with Sandbox(values=lent, clock=clock) as running:
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = running.url, lent
        yield running


@pytest.fixture
def sending(lent: dict[str, str], clock: Clock, receiver: Receiver, settings: Any) -> Iterator[Sandbox]:
    """A running sandbox whose webhooks go to `receiver`."""
    with Sandbox(values=lent, clock=clock, target=receiver.url) as running:
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = running.url, lent
        yield running


Ask = Callable[..., Answer]


@pytest.fixture
def ask(sandbox: Sandbox) -> Ask:
    """Sends a provider's own probe through the one door out, with the credentials that the app would use."""

    def send(slug: str, *, key: str | None = None, timeout_s: float = 5.0) -> Answer:
        provider = providers.get(slug)
        assert provider
        assert provider.probe
        params, headers = provider.probe.query(credentials.value), dict(provider.probe.headers)
        if provider.headers:
            headers |= provider.headers({name: credentials.value(name) for name in provider.settings})
        match provider.auth:
            case ApiKey(env=env, header=header, query=query, prefix=prefix):
                value = prefix + (credentials.api_value(provider, env) if key is None else key)
                (headers if header else params)[header or query] = value
            case OAuth2(header_prefix=prefix):
                headers["Authorization"] = prefix + (connect(slug) if key is None else key)
        url = credentials.base_url(provider) + provider.probe.path
        return http.send(
            http.Request(
                url=url, endpoint=provider.probe.path, method=provider.probe.method, params=params, headers=headers,
                body=provider.probe.body, timeout_s=timeout_s,
            )
        )  # fmt: skip

    return send


def connect(slug: str) -> str:
    """An access token for a Zoho product, by the sandbox's own code."""
    return grant(slug)["access_token"]


def grant(slug: str) -> dict[str, str]:
    return token(grant_type="authorization_code", code=f"sandbox:{slug}").json()


def token(**fields: str) -> requests.Response:
    """What the token endpoint answers to this form, sent with the app's client credentials."""
    provider = zoho()
    oauth = provider.oauth
    assert oauth
    form = {
        "client_id": credentials.api_value(provider, oauth.client_id_env),
        "client_secret": credentials.api_value(provider, oauth.client_secret_env),
        **fields,
    }
    return requests.post(credentials.oauth_url(provider, oauth) + oauth.token_path, data=form, timeout=5)


def zoho() -> Provider:
    provider = providers.get("zoho-crm")
    assert provider
    return provider
