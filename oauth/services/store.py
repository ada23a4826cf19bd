"""Writing tokens down: sealed, for every integration that shares the grant, all or none."""

import hmac
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from integrations import crypto
from integrations.actor import Actor
from integrations.models import Integration
from integrations.providers.spec import ProviderError
from oauth import flow
from oauth.models import Grant, Token, TokenEvent
from oauth.services.status import oauth_of

SECRETS = ("access_sealed", "refresh_sealed", "token_type", "issued_at", "expires_at", "scope", "metadata")
"""The columns that `write` and `wipe` fill: saved alone, for an admin may be changing another one."""


def opened(secret: Callable[[], str]) -> str:
    """A stored secret; ProviderError in words when it can't be decrypted."""
    try:
        return secret()
    except crypto.CannotDecrypt as error:
        raise ProviderError(
            f"The stored token can't be decrypted: {error}", permanent=True, code="cannot_decrypt"
        ) from error


def write(token: Token, given: flow.Tokens) -> None:
    """Put new secrets into a row. Nothing is saved yet."""
    token.access_sealed = crypto.seal(given.access_token, context=token.context("access_token"))
    if given.refresh_token:
        token.refresh_sealed = crypto.seal(given.refresh_token, context=token.context("refresh_token"))
    token.token_type, token.issued_at, token.expires_at = given.token_type, given.issued_at, given.expires_at
    token.scope = given.scope or token.scope
    token.metadata = {**token.metadata, **given.metadata}


def wipe(token: Token) -> None:
    """Take the secrets out of a row. Nothing is saved yet."""
    token.access_sealed = token.refresh_sealed = ""
    token.expires_at = token.issued_at = None


def new_grant(integration: Integration) -> Grant:
    oauth = oauth_of(integration)
    return Grant.objects.create(rotates=oauth.rotates if oauth else None)


def holder_of(refresh_token: str) -> Token | None:
    """A token whose grant has this very refresh token and may still be used."""
    living = Token.objects.exclude(refresh_sealed="").exclude(grant__state__in=Grant.ENDED).select_related("grant")
    return next((token for token in living if holds(token, refresh_token)), None)


def holds(token: Token, refresh_token: str) -> bool:
    """Whether that is the refresh token in this row; False for one that does not open."""
    try:
        return hmac.compare_digest(token.refresh_token().encode(), refresh_token.encode())
    except crypto.CannotDecrypt:
        return False


def tell(
    token: Token, kind: str, actor: Actor, detail: str, *, expires_at: datetime | None, at: datetime | None = None
) -> None:
    TokenEvent.objects.create(
        integration_id=token.integration_id, kind=kind, actor=actor.username[:150], detail=detail[:2000],
        expires_at=expires_at, at=at or timezone.now(),
    )  # fmt: skip
