"""A new authorisation: storing what it gave."""

from django.db import transaction
from django.utils import timezone

from integrations import activity
from integrations.actor import SYSTEM, Actor
from integrations.models import Integration
from oauth import flow
from oauth.models import Grant, Token, TokenEvent
from oauth.services import leftovers, refresh, servers, store
from oauth.services.status import oauth_of


@transaction.atomic
def connect(integration: Integration, given: flow.Tokens, *, actor: Actor, note: str = "") -> Token:
    """Store what an authorisation gave; the row stays, whatever was in it is replaced. With a refresh token that other
    integrations have already, its grant is theirs too. `note` goes into the story of the token.

    A grant that nobody lives by any more is revoked at the provider (`leftovers`).
    """
    # Two at once for one integration follow each other. Then grants before tokens, as a refresh locks them, and all
    # grants in one order, so that nobody waits for another for ever.
    Integration.objects.select_for_update(no_key=True).get(pk=integration.pk)
    before, grant = _grants(integration, given)
    token = Token.objects.select_for_update().filter(integration=integration).first() or Token(integration=integration)
    if before is not None and before != grant:
        note = f"{note} {leave_if_last(token, given)}".strip()
    token.grant, token.refresh_sealed, token.refresh_count = grant, "", 0
    token.metadata, token.scope = {}, ""
    store.write(token, given)
    token.save()
    for sharing in Token.objects.select_for_update().filter(grant=grant).exclude(pk=token.pk):
        store.write(sharing, given)
        sharing.save()
    if before is not None and before != grant and not before.tokens.exists():
        before.delete()
    store.tell(token, TokenEvent.Kind.CONNECTED, actor, note, expires_at=given.expires_at)
    activity.record(actor=actor, action="oauth_connected", integration=integration, details={"scope": given.scope})
    return token


def leave_if_last(token: Token, instead: flow.Tokens) -> str:
    """The last token of its grant is about to be replaced: see to it that the provider takes the grant back. Returns
    words for the story, "" where there is nothing to tell."""
    grant, states = token.grant, Grant.State
    dead = grant.state == states.REVOKED or (grant.state == states.NEEDS_REAUTH and grant.error_code == flow.DEAD)
    if dead or not (token.access_sealed or token.refresh_sealed) or grant.tokens.exclude(pk=token.pk).exists():
        return ""
    return leftovers.leave(token, instead=instead)


def _grants(integration: Integration, given: flow.Tokens) -> tuple[Grant | None, Grant]:
    """What it lives by now, and what it will live by: both locked."""
    holder = store.holder_of(given.refresh_token) if given.refresh_token else None
    now_at = Token.objects.filter(integration=integration).values_list("grant_id", flat=True).first()
    wanted = {pk for pk in (now_at, holder.grant_id if holder else None) if pk}
    locked = {grant.pk: grant for grant in Grant.objects.select_for_update().filter(pk__in=wanted).order_by("pk")}
    before = locked.get(now_at) if now_at else None
    grant = locked.get(holder.grant_id) if holder else None
    if holder is None or grant is None or not _still_holds(holder, grant, given.refresh_token):
        return before, store.new_grant(integration)
    grant.state, grant.generation, grant.lease_until = Grant.State.CONNECTED, grant.generation + 1, None
    grant.forget_trouble()
    grant.save()
    return before, grant


def _still_holds(holder: Token, grant: Grant, refresh_token: str) -> bool:
    """Whether that grant, now that it is locked, still has the refresh token that it was found by: it may have been
    renewed or revoked since."""
    row = Token.objects.filter(pk=holder.pk, grant=grant).first()
    return row is not None and grant.state not in Grant.ENDED and store.holds(row, refresh_token)


def connect_sandbox(integration: Integration) -> bool:
    """Let the simulator grant `integration` a token, unless it has one. The real way is the authorisation page."""
    oauth = oauth_of(integration)
    if oauth is None:
        return False
    token = Token.objects.select_related("grant").filter(integration=integration).first()
    if token is not None and not _sandbox_may_replace(token):
        return False
    client = servers.client_of(integration, oauth, server="")
    request = flow.exchange(oauth, client, code=f"sandbox:{integration.slug}", redirect_uri="")
    given = flow.read_tokens(oauth, refresh.ask(integration, oauth, request), now=timezone.now())
    connect(integration, servers.with_memory(integration, oauth, given, client.base_url), actor=SYSTEM)
    return True


def _sandbox_may_replace(token: Token) -> bool:
    """What it gave itself, once that has ended; never what a real provider gave, dead or alive."""
    if not (token.access_sealed or token.refresh_sealed):
        return True
    return servers.is_sandboxed(token) and token.grant.state in Grant.ENDED
