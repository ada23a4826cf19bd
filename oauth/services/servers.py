"""Which authorisation server is spoken to: the configured one, or the provider's own of another region. No other: it
is sent our client secret."""

from dataclasses import replace
from typing import Any

from integrations import credentials
from integrations.models import Integration
from integrations.providers.spec import OAuth2, Provider, ProviderError
from oauth import flow
from oauth.models import Token

FOREIGN = "foreign_server"
SANDBOX = "sandbox"
"""In a token's metadata: the simulator gave it. It is never shown a real one, nor is its own shown to anybody."""


def allowed(provider: Provider, oauth: OAuth2) -> dict[str, str]:
    """Base URL → region, "" for one that is no region's. While the sandbox plays the provider: the sandbox alone."""
    configured = {credentials.oauth_url(provider, oauth): ""}
    if credentials.sandboxed(provider):
        return configured
    return configured | {url.rstrip("/"): region for region, url in oauth.regions.items()}


def known(provider: Provider, oauth: OAuth2, told: str) -> str | None:
    """Of the allowed servers the one that `told` is, None when it is none of them. What outsiders wrote is compared,
    never used."""
    return next((server for server in allowed(provider, oauth) if flow.same_server(server, told)), None)


def memory(provider: Provider, oauth: OAuth2, server: str) -> dict[str, str]:
    """What a token remembers of the server that gave it. One that is no region's is found by the settings each time:
    the sandbox moves from port to port."""
    if credentials.sandboxed(provider):
        return {SANDBOX: "yes"}
    region = allowed(provider, oauth).get(server, "")
    return {"accounts_server": server, "region": region} if region else {}


def with_memory(integration: Integration, oauth: OAuth2, given: flow.Tokens, server: str) -> flow.Tokens:
    """The tokens that `server` gave, remembering it."""
    provider = integration.spec
    told = memory(provider, oauth, server) if provider else {}
    return replace(given, metadata={**given.metadata, **told})


def is_sandboxed(token: Token) -> bool:
    """Whether the simulator gave it."""
    return bool(token.metadata.get(SANDBOX))


def region(token: Token | None) -> str:
    """The provider's region that `token` is from; "" when ZOHO_REGION decides."""
    return str(token.metadata.get("region", "")) if token else ""


def client_of(integration: Integration, oauth: OAuth2, *, server: str | None = None) -> flow.Client:
    """Our client at `server`, "" meaning the configured one, None the one that the stored token is from.

    Raises ProviderError: code "not_configured" when a credential is unset, FOREIGN when the server isn't allowed.
    """
    provider = integration.spec
    if provider is None or credentials.missing(provider):
        unset = " and ".join(credentials.missing(provider)) if provider else "its provider"
        raise ProviderError(f"{unset} not set.", code="not_configured")
    metadata = _remembered(integration) if server is None else {}
    if server is None and bool(metadata.get(SANDBOX)) != credentials.sandboxed(provider):
        raise ProviderError(_OTHER_WORLD[bool(metadata.get(SANDBOX))], permanent=True, code=FOREIGN)
    told = str(metadata.get("accounts_server", "")) if server is None else server
    base_url = known(provider, oauth, told) if told else credentials.oauth_url(provider, oauth)
    if base_url is None:
        words = "The token is from an authorisation server that is none of the provider's: connect it again."
        raise ProviderError(words, permanent=True, code=FOREIGN)
    return flow.Client(
        base_url=base_url,
        client_id=credentials.api_value(provider, oauth.client_id_env),
        client_secret=_secret(provider, oauth, allowed(provider, oauth).get(base_url, "")),
    )


def _secret(provider: Provider, oauth: OAuth2, region: str) -> str:
    """A data centre may have a secret of its own for the same client (ZOHO_CLIENT_SECRET_EU); most have not."""
    own = credentials.api_value(provider, f"{oauth.client_secret_env}_{region.upper()}") if region else ""
    return own or credentials.api_value(provider, oauth.client_secret_env)


_OTHER_WORLD = {
    True: "The token is the sandbox's, which no longer plays this provider: connect it again.",
    False: "The token is a real one, but the sandbox plays this provider now: set the provider's credentials.",
}


def _remembered(integration: Integration) -> dict[str, Any]:
    return Token.objects.filter(integration=integration).values_list("metadata", flat=True).first() or {}
