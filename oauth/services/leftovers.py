"""Grants that live on at a provider while nothing here uses them any more: it is told of each until it knows.

Whoever connects anew replaces what was there, and a token that the API refuses is never stored; either way the
provider would go on honouring a grant that nobody here can see, and some (Zoho: twenty) push out the oldest for each
one too many, which may be one that is in use. Its secret is kept here, and only to be revoked.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from integrations import activity, credentials, crypto
from integrations.actor import SYSTEM
from integrations.models import Integration
from integrations.providers.spec import OAuth2, ProviderError
from oauth import flow
from oauth.models import Grant, Leftover, Token, TokenEvent
from oauth.services import refresh, revoke, servers, store

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=40)
TOLD_LATER = gettext_noop("The provider is told that the grant before it is revoked.")
UNCONFIRMED = gettext_noop(
    "The provider never confirmed that the grant before it is revoked: make sure of that there."
)


def leave(token: Token, *, instead: flow.Tokens) -> str:
    """What `token` holds is about to be replaced, and nobody else lives by it. Returns words for the token's story, ""
    where the new grant is the very same one. In the caller's transaction."""
    try:
        refresh_token, access_token = token.refresh_token(), token.access_token()
    except crypto.CannotDecrypt:
        return UNCONFIRMED
    if refresh_token and refresh_token == instead.refresh_token:
        return ""  # connecting it again has overtaken the revocation
    if not _can_be_told(refresh.oauth_or_refusal(token.integration)):
        return UNCONFIRMED if token.grant.state == Grant.State.REVOKING else ""
    if servers.is_sandboxed(token) != _sandboxed(token.integration):
        return UNCONFIRMED  # whoever is asked now isn't who gave it
    server = str(token.metadata.get("accounts_server", ""))
    _keep(token.integration, Leftover.Why.REPLACED, refresh_token, access_token, server)
    return TOLD_LATER


def leave_refused(integration: Integration, given: flow.Tokens) -> bool:
    """What an authorisation gave is not stored here, since the API does not take it: have it revoked there as well.
    False where the provider can't be told, or where another integration lives by that very grant."""
    if not _can_be_told(refresh.oauth_or_refusal(integration)):
        return False
    if given.refresh_token and store.holder_of(given.refresh_token):
        return False
    server = given.metadata.get("accounts_server", "")
    _keep(integration, Leftover.Why.REFUSED, given.refresh_token, given.access_token, server)
    return True


def _sandboxed(integration: Integration) -> bool:
    return integration.spec is not None and credentials.sandboxed(integration.spec)


def _can_be_told(oauth: OAuth2) -> bool:
    """Where revoking one grant ends all of them, the one that has just been given would go too."""
    return bool(oauth.revoke_path) and not oauth.revoke_ends_all


def _keep(integration: Integration, why: str, refresh_token: str, access_token: str, server: str) -> None:
    """With the refresh token the whole grant ends; without one there is the access token."""
    hint = "refresh_token" if refresh_token else "access_token"
    row = Leftover(integration=integration, why=why, hint=hint, accounts_server=server, due_at=timezone.now())
    row.token_sealed = crypto.seal(refresh_token or access_token, context=row.context())
    row.save(force_insert=True)


def count(integrations: Iterable[UUID]) -> Counter[UUID]:
    """How many there are of each."""
    return Counter(Leftover.objects.filter(integration__in=integrations).values_list("integration_id", flat=True))


def go_on() -> dict[str, Any]:
    """Tell providers of what is due. Returns who is done with, and who isn't and why, by slug."""
    done: dict[str, Any] = {"revoked": [], "pending": {}}
    for row in Leftover.objects.due(timezone.now()).select_related("integration"):
        if not Leftover.objects.claim(row, now=timezone.now(), lease=LEASE):
            continue
        slug = row.integration.slug
        try:
            _end(row, _tell(row))
            done["revoked"].append(slug)
        except ProviderError as error:
            done["pending"][slug] = _put_off(row, error)
        except Exception:
            log.exception("A grant that %s left behind could not be revoked", slug)
            done["pending"][slug] = "Something went wrong on our side; the server's log says what."
    return done


def _tell(row: Leftover) -> str:
    """In no transaction; returns what came of it."""
    oauth = refresh.oauth_or_refusal(row.integration)
    client = servers.client_of(row.integration, oauth, server=row.accounts_server)
    return revoke.tell(row.integration, oauth, client, secret=store.opened(row.token), hint=row.hint)


@transaction.atomic
def _end(row: Leftover, words: str) -> None:
    if not Leftover.objects.filter(pk=row.pk, due_at=row.due_at).delete()[0]:
        return  # the lease ran out, and somebody else has it now
    what = "The grant before this one" if row.why == Leftover.Why.REPLACED else "A grant that was not kept"
    TokenEvent.objects.create(
        integration_id=row.integration_id, kind=TokenEvent.Kind.REVOKED, actor=SYSTEM.username,
        detail=f"{what}: {words}", at=timezone.now(),
    )  # fmt: skip
    details = {"how": words, "which": row.why}
    activity.record(actor=SYSTEM, action="oauth_revoked", integration=row.integration, details=details)


def _put_off(row: Leftover, error: ProviderError) -> str:
    wait = revoke.wait_after(error, row.retry_count)
    Leftover.objects.finish(row, due_at=timezone.now() + wait, last_error=error.words[:2000])
    return error.words
