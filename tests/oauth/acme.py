"""A provider with OAuth, declared as data and nowhere else: what `tests/oauth/server.py` plays."""

import os
import secrets
from dataclasses import replace

from django.utils import timezone

from integrations import providers
from integrations.actor import SYSTEM
from integrations.models import Integration
from integrations.providers import answers
from integrations.providers.spec import OAuth2, Probe, Provider
from oauth import flow, services
from oauth.services import refresh
from tests.oauth import server

PROVIDER = Provider(
    slug="acme",
    name="Acme Fibre",
    vendor="Acme",
    category="coverage",
    icon="cable",
    base_url_env="WEBHOOK_ACME_URL",
    base_url="https://api.acme.example.com",
    auth=OAuth2(
        base_url_env="WEBHOOK_ACME_ACCOUNTS_URL",
        base_url="https://accounts.acme.example.com",
        authorize_path="/authorize",
        token_path="/token",
        revoke_path="/revoke",
        client_id_env="WEBHOOK_ACME_CLIENT_ID",
        client_secret_env="WEBHOOK_ACME_CLIENT_SECRET",
        scopes=("orders.read", "orders.write"),
    ),
    probe=Probe(path="/whoami"),
    read=answers.rest("error"),
)


def environment(url: str) -> dict[str, str]:
    """What an operator would set to use it."""
    return {
        "WEBHOOK_ACME_ACCOUNTS_URL": url,
        "WEBHOOK_ACME_URL": url,
        "WEBHOOK_ACME_CLIENT_ID": server.CLIENT_ID,
        "WEBHOOK_ACME_CLIENT_SECRET": server.CLIENT_SECRET,
    }


def declared() -> dict[str, Provider]:
    """By slug: the provider, of which nobody knows whether its refresh tokens rotate, and more of its kind, of which
    that is declared ("acme-stays-1", "acme-rotates-1" …), for what goes on at the same time."""
    assert isinstance(PROVIDER.auth, OAuth2)
    more = [
        replace(PROVIDER, slug=f"acme-{word}-{number}", auth=replace(PROVIDER.auth, rotates=rotates))
        for word, rotates in (("stays", False), ("rotates", True))
        for number in range(1, 5)
    ]
    return {provider.slug: provider for provider in (PROVIDER, *more)}


def declare() -> None:
    """For a process of one's own: tests of the main one use monkeypatch."""
    providers._BY_SLUG |= declared()


def row(slug: str = "acme") -> Integration:
    told = {"name": "Acme Fibre", "category": "coverage", "provider": "Acme", "requires_oauth": True}
    return Integration.objects.get_or_create(slug=slug, defaults=told)[0]


def client() -> flow.Client:
    return flow.Client(
        base_url=os.environ["WEBHOOK_ACME_ACCOUNTS_URL"],
        client_id=server.CLIENT_ID,
        client_secret=server.CLIENT_SECRET,
    )


def connect(integration: Integration, *, user: str) -> None:
    """The road of a browser, without the browser: consent with PKCE, code, tokens."""
    oauth, verifier = integration.spec.oauth, secrets.token_urlsafe(48)
    here = {"redirect_uri": server.REDIRECT_URI, "verifier": verifier}
    url = flow.authorization_url(oauth, client(), state="a state", **here)
    brought = flow.read_callback(server.Provider(client().base_url).follow(url, user))
    assert brought.state == "a state"
    answer = refresh.ask(integration, oauth, flow.exchange(oauth, client(), code=brought.code, **here))
    services.connect(integration, flow.read_tokens(oauth, answer, now=timezone.now()), actor=SYSTEM)
