"""Connecting: somebody is sent to the provider to say yes (`begin`), and comes back with a code (`finish`).

What comes back is believed only with a `state` that was given out here, to the same person in the same browser, within
ten minutes, and never twice. The code becomes tokens at an allowed server only, and the provider's API has to take the
new token before it replaces an old one.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from integrations import activity, crypto, http, permissions, probe
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import ApiMetric, Integration
from integrations.permissions import Perm
from integrations.providers.spec import OAuth2, Provider, ProviderError
from oauth import flow
from oauth.models import AuthorizationRequest, Grant, Token
from oauth.services import leftovers, refresh, servers
from oauth.services.connect import connect
from oauth.services.status import oauth_of

log = logging.getLogger(__name__)

CALLBACK = "/oauth/callback"
LIFETIME = timedelta(minutes=10)
KEPT = timedelta(days=1)


class Ending(StrEnum):
    """Why nothing was connected."""

    CANCELLED = "cancelled"
    STALE = "stale"
    FOREIGN = "foreign"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class NotConnected(Exception):
    """Nothing was stored; an older connection is as it was. `words` are for whoever came back."""

    def __init__(self, ending: Ending, words: str, integration: Integration | None = None) -> None:
        super().__init__(words)
        self.ending, self.words, self.integration = ending, words, integration


@dataclass(frozen=True, slots=True)
class Connected:
    token: Token
    warnings: tuple[str, ...]


def redirect_uri() -> str:
    """The address to register with the provider."""
    return f"{settings.PUBLIC_URL}{CALLBACK}"


# --- There -----------------------------------------------------------------------------------------------------------


def begin(integration: Integration, *, actor: Actor, session: str, now: datetime) -> str:
    """The address to send `actor`'s browser to; good once, for ten minutes. `session` is the browser session's key, ""
    where an API token asks: then its user may come back in any browser.

    Raises ProviderError: code "not_oauth", or "not_configured" with the variables to set.
    """
    oauth = _oauth(integration)
    if actor.user_id is None:
        raise ValueError("Only a person can be sent to a provider.")
    client = servers.client_of(integration, oauth, server="")
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48) if oauth.pkce else ""
    AuthorizationRequest.objects.filter(created_at__lt=now - KEPT).delete()
    asked = AuthorizationRequest(
        integration=integration, user_id=actor.user_id, state_hash=_hash(state), session_hash=_hash(session),
        created_at=now, expires_at=now + LIFETIME,
    )  # fmt: skip
    asked.verifier_sealed = crypto.seal(verifier, context=asked.context()) if verifier else ""
    with transaction.atomic():
        asked.save(force_insert=True)
        activity.record(actor=actor, action="oauth_connect_started", integration=integration)
    return flow.authorization_url(oauth, client, redirect_uri=redirect_uri(), state=state, verifier=verifier)


# --- And back --------------------------------------------------------------------------------------------------------


def finish(query: Mapping[str, str], *, user: User, session: str, actor: Actor, now: datetime) -> Connected:
    """Take what the provider sent back with `user`'s browser, and store the tokens that it stands for.

    `query` may be anybody's. Raises NotConnected; the request is used up once it was recognised, whatever follows.
    """
    back = flow.read_callback(query)
    asked = _claim(back.state, user=user, session=session, now=now)
    if asked is None:
        words = _why_stale(back.state, user=user, now=now)
        activity.record_refusal(actor=actor, where="oauth-callback", details={"reason": words})
        raise NotConnected(Ending.STALE, words)
    integration = asked.integration
    try:
        if not permissions.may(user, Perm.MANAGE, integration):
            raise NotConnected(Ending.REFUSED, f"You may no longer manage {integration.name}.", integration)
        given, warnings = _obtain(asked, back)
    except NotConnected as error:
        activity.record(
            actor=actor, action="oauth_connected", integration=integration, outcome=activity.FAILURE,
            details={"reason": error.ending, "words": error.words},
        )  # fmt: skip
        raise
    return Connected(_kept(integration, given, actor, " ".join(warnings)), warnings)


def _kept(integration: Integration, given: flow.Tokens, actor: Actor, note: str) -> Token:
    """What came exists nowhere else: it is stored if that takes several tries."""
    try:
        return refresh.persist(lambda: connect(integration, given, actor=actor, note=note))
    except (OperationalError, InterfaceError) as error:
        log.exception("What %s gave could not be stored", integration.slug)
        words = gettext_noop(
            "Our database could not be written to, though the provider said yes. Try again when it can."
        )
        raise NotConnected(Ending.UNREACHABLE, words, integration) from error


def _claim(state: str, *, user: User, session: str, now: datetime) -> AuthorizationRequest | None:
    """The request that `state` belongs to, from now on used. One that isn't `user`'s stays as it is."""
    rows = AuthorizationRequest.objects.filter(Q(session_hash="") | Q(session_hash=_hash(session)), user=user)
    good = rows.filter(state_hash=_hash(state), used_at=None, expires_at__gt=now)
    if not good.update(used_at=now):
        return None
    return AuthorizationRequest.objects.select_related("integration").get(state_hash=_hash(state))


def _why_stale(state: str, *, user: User, now: datetime) -> str:
    asked = AuthorizationRequest.objects.filter(state_hash=_hash(state)).first()
    if asked is None:
        return gettext_noop("This link was not given out here, or it is older than a day.")
    if asked.user_id != user.pk:
        return gettext_noop("This link was given to somebody else.")
    if asked.used_at is not None:
        return gettext_noop("This link was used already.")
    if asked.expires_at <= now:
        return gettext_noop("This link has expired: it is good for ten minutes.")
    return gettext_noop("This link was given to another browser, or you have signed in anew since.")


def _obtain(asked: AuthorizationRequest, back: flow.Callback) -> tuple[flow.Tokens, tuple[str, ...]]:
    integration = asked.integration
    oauth, provider = oauth_of(integration), integration.spec
    if provider is None or oauth is None:  # its provider went away in these ten minutes
        raise NotConnected(Ending.REFUSED, f"{integration.name} uses no OAuth.", integration)
    if back.cancelled:
        raise NotConnected(Ending.CANCELLED, gettext_noop("Access was not given."), integration)
    if back.error:
        raise NotConnected(Ending.REFUSED, f"The provider says “{back.error}”.", integration)
    server = servers.known(provider, oauth, back.server) if back.server else ""
    if server is None:
        words = gettext_noop(
            "The answer names an authorisation server that is none of the provider's. Nothing was sent there."
        )
        raise NotConnected(Ending.FOREIGN, words, integration)
    if not back.code:
        raise NotConnected(Ending.REFUSED, gettext_noop("The provider sent back no code."), integration)
    given = _exchanged(asked, oauth, server, back.code)
    try:
        tried = _tried(integration, provider, given, given.metadata.get("region", ""))
        if not given.refresh_token:
            _must_not_cost_a_refresh_token(integration)
    except NotConnected:
        leftovers.leave_refused(integration, given)
        raise
    warnings = (tried, "" if given.refresh_token else _passing(given))
    return given, tuple(warning for warning in warnings if warning)


def _exchanged(asked: AuthorizationRequest, oauth: OAuth2, server: str, code: str) -> flow.Tokens:
    integration = asked.integration
    try:
        client = servers.client_of(integration, oauth, server=server)
        request = flow.exchange(oauth, client, code=code, redirect_uri=redirect_uri(), verifier=asked.verifier())
        given = flow.read_tokens(oauth, refresh.ask(integration, oauth, request), now=timezone.now())
    except http.Unreachable as error:
        raise NotConnected(Ending.UNREACHABLE, error.words, integration) from error
    except crypto.CannotDecrypt as error:
        words = gettext_noop("What was noted for this link can't be read any more: TOKEN_ENCRYPTION_KEYS has changed.")
        raise NotConnected(Ending.REFUSED, words, integration) from error
    except ProviderError as error:
        words = gettext_noop("The provider did not take its own code: it was too old, or used already.")
        words = words if error.code == flow.DEAD else error.words
        raise NotConnected(Ending.REFUSED, words, integration) from error
    return servers.with_memory(integration, oauth, given, client.base_url)


def _tried(integration: Integration, provider: Provider, given: flow.Tokens, region: str) -> str:
    """Whether the API takes the new token: "" when it does, a warning when it can't be told just now."""
    if provider.probe is None:
        return ""
    if unset := probe.unset(provider):
        return f"Its API could not be tried: {' and '.join(unset)} not set."
    try:
        answer = http.send(
            probe.request(provider, provider.probe, token=given.access_token, region=region),
            integration=integration,
            limit=provider.limit,
            source=ApiMetric.Source.PROBE,
            judge=lambda got: "" if provider.read(got).finding == "ok" else provider.read(got).words,
        )
    except ProviderError as error:
        return f"Its API could not be tried just now: {error.words}"
    reading = provider.read(answer)
    if reading.finding == "refused":
        words = f"A token was given, but the API does not take it ({reading.words.rstrip('.')}). It was not kept."
        raise NotConnected(Ending.REFUSED, words, integration)
    return "" if reading.finding == "ok" else f"Its API could not be tried just now: {reading.words}"


def _must_not_cost_a_refresh_token(integration: Integration) -> None:
    """What renews itself isn't given up for something that runs out in an hour."""
    living = Token.objects.filter(integration=integration).exclude(refresh_sealed="")
    if living.exclude(grant__state__in=(*Grant.ENDED, Grant.State.UNCERTAIN)).exists():
        words = gettext_noop(
            "No refresh token came with it, while the connection that there is renews itself: that one was kept."
        )
        raise NotConnected(Ending.REFUSED, words, integration)


def _passing(given: flow.Tokens) -> str:
    until = f"{timezone.localtime(given.expires_at):%H:%M %Z}"
    return f"No refresh token came with it: it works until {until}, and then has to be connected again."


def _oauth(integration: Integration) -> OAuth2:
    oauth = oauth_of(integration)
    if oauth is None:
        raise ProviderError(f"{integration.name} uses no OAuth.", permanent=True, code="not_oauth")
    return oauth


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest() if secret else ""
