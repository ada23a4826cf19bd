"""Giving a grant up: unusable here at once, then the provider is told, and only then are its secrets wiped.

A provider that can't be told now is told later (`go_on`): what it still holds must not be forgotten. A refresh that is
under way meanwhile is waited for; what it brings is kept only to be revoked too (`refresh._keep_once`).
"""

import logging
import random
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import activity
from integrations.actor import SYSTEM, Actor
from integrations.models import Integration
from integrations.providers.spec import OAuth2, ProviderError
from oauth import flow
from oauth.models import Attempt, Grant, Token, TokenEvent
from oauth.services import refresh, servers, store

log = logging.getLogger(__name__)

State = Grant.State

PATIENCE_SECONDS = 5.0
"""How long a person waits for a refresh that is under way; it is revoked by the job otherwise."""
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360))
"""Between the tries to tell the provider; the last one for ever after."""


class SharedGrant(Exception):
    """Other integrations live by the same grant: `sharing` are they, and nobody has said that they may lose it."""

    def __init__(self, sharing: list[Integration]) -> None:
        self.sharing = sharing
        names = ", ".join(self.slugs)
        super().__init__(_("Its grant is shared with {names}: they would be revoked too.").format(names=names))

    @property
    def slugs(self) -> list[str]:
        return [one.slug for one in self.sharing]


class NothingToRevoke(Exception):
    """There is no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What came of it, `words` being for people. `pending`: the provider doesn't know it yet."""

    pending: bool
    words: str
    integrations: tuple[Integration, ...]


def sharing(integration: Integration) -> list[Integration]:
    """The other integrations that live by its grant, by slug."""
    token = Token.objects.filter(integration=integration).first()
    others = Integration.objects.filter(token__grant=token.grant_id) if token else Integration.objects.none()
    return list(others.exclude(pk=integration.pk).order_by("slug"))


def revoke(integration: Integration, *, actor: Actor, together_with: Collection[Integration] = ()) -> Revocation:
    """Give up its grant. `together_with`: those who live by the same grant, and whom it may be taken from as well.
    Where that is under way already, the provider is asked once more, and at once.

    Raises SharedGrant for any other, NothingToRevoke, and ProviderError with code "not_oauth".
    """
    refresh.oauth_or_refusal(integration)
    grant, integrations = _give_up(integration, actor, {one.pk for one in together_with})
    if grant.state == State.REVOKED:
        return Revocation(pending=False, words=_("It was dead at the provider already."), integrations=integrations)
    return _carry_out(grant.pk, integrations, actor, patience=PATIENCE_SECONDS)


def go_on(*, actor: Actor = SYSTEM) -> dict[str, Any]:
    """Tell providers what they could not be told before, where it is due. Returns who is done with, and who isn't."""
    done: dict[str, Any] = {"revoked": [], "pending": {}}
    now = timezone.now()
    due = Grant.objects.filter(state=State.REVOKING).filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
    for pk in due.values_list("pk", flat=True):
        integrations = _integrations(pk)
        slugs = [one.slug for one in integrations]
        try:
            came = _carry_out(pk, integrations, actor, patience=0)
            words = came.words if came.pending else ""
        except Exception:
            log.exception("The grant of %s could not be revoked", ", ".join(slugs))
            words = "Something went wrong on our side; the server's log says what."
        if words:
            done["pending"].update(dict.fromkeys(slugs, words))
        else:
            done["revoked"].extend(slugs)
    return done


# --- Here ------------------------------------------------------------------------------------------------------------


@transaction.atomic(durable=True)
def _give_up(
    integration: Integration, actor: Actor, together_with: set[UUID]
) -> tuple[Grant, tuple[Integration, ...]]:
    """From here on nobody gets a token of it, whatever happens to this process. The lease is left to who holds it."""
    grant = _locked(integration)
    if grant is None or grant.state == State.REVOKED:
        raise NothingToRevoke(_("{name} has no token.").format(name=integration.name))
    tokens = list(Token.objects.filter(grant=grant).select_related("integration").order_by("integration__slug"))
    integrations = tuple(one.integration for one in tokens)
    if unasked := [one for one in integrations if one.pk not in {integration.pk, *together_with}]:
        raise SharedGrant(unasked)
    if grant.state == State.REVOKING:
        return grant, integrations
    if not any(one.access_sealed or one.refresh_sealed for one in tokens):
        raise NothingToRevoke(_("{name} has no token.").format(name=integration.name))
    dead = grant.state == State.NEEDS_REAUTH and grant.error_code == flow.DEAD
    grant.state = State.REVOKING
    grant.forget_trouble()
    grant.save()
    # The log last, tokens before it: whoever writes it holds up all others who do, and must not wait for any of them.
    if dead:
        _wipe(grant, actor, gettext_noop("It was dead at the provider already, which was not asked."))
    for one in integrations:
        # How many, not who: not everybody who may read this may see all of them.
        details = {"together_with": len(integrations) - 1}
        activity.record(actor=actor, action="oauth_revoke_asked", integration=one, details=details)
    return grant, integrations


def _locked(integration: Integration) -> Grant | None:
    """The grant that it lives by, locked; looked up again under the lock, for it may just have been connected anew."""
    for _try in range(3):
        living = Token.objects.filter(integration=integration).values_list("grant_id", flat=True)
        pk = living.first()
        grant = Grant.objects.select_for_update().filter(pk=pk).first() if pk else None
        if pk is None or (grant is not None and living.first() == pk):
            return grant
    raise NothingToRevoke(_("{name} is being connected anew just now.").format(name=integration.name))


# --- At the provider -------------------------------------------------------------------------------------------------


def _carry_out(pk: UUID, integrations: tuple[Integration, ...], actor: Actor, *, patience: float) -> Revocation:
    ends = time.monotonic() + patience
    while not _claim(pk):
        if not Grant.objects.filter(pk=pk, state=State.REVOKING).exists():
            return Revocation(pending=False, words=_("It is revoked."), integrations=integrations)
        if time.monotonic() >= ends:
            words = _("Another process is at it: the provider is told when that has ended.")
            return Revocation(pending=True, words=words, integrations=integrations)
        time.sleep(random.uniform(0.05, 0.15))  # noqa: S311 - so that two who wait don't ask in step
    for _try in range(2):  # once more for what a slow refresh brought meanwhile
        grant = Grant.objects.filter(pk=pk).first()
        if grant is None:
            break  # somebody has connected anew meanwhile: it is told as a leftover (`leftovers`)
        try:
            words = _tell_provider(grant)
        except ProviderError as error:
            return Revocation(pending=True, words=_put_off(grant, error, actor), integrations=integrations)
        if _finish(grant, actor, words):
            return Revocation(pending=False, words=words, integrations=integrations)
    words = _("It was renewed or replaced meanwhile: the provider is told once more.")
    return Revocation(pending=True, words=words, integrations=integrations)


def _claim(pk: UUID) -> bool:
    now = timezone.now()
    mine = Grant.objects.filter(pk=pk, state=State.REVOKING).filter(refresh.unleased(now))
    return bool(mine.update(lease_until=now + refresh.LEASE))


def _tell_provider(grant: Grant) -> str:
    """In no transaction; returns what came of it. With the refresh token the whole grant ends."""
    tokens = Token.objects.filter(grant=grant).select_related("grant", "integration").order_by("created_at")
    token = tokens.exclude(refresh_sealed="").first() or tokens.exclude(access_sealed="").first()
    if token is None:
        return gettext_noop("There was nothing left to revoke.")
    oauth = refresh.oauth_or_refusal(token.integration)
    if not oauth.revoke_path:
        return gettext_noop("The provider can't be told: what it gave lives there until it runs out.")
    secret, hint = (
        (store.opened(token.refresh_token), "refresh_token")
        if token.refresh_sealed
        else (store.opened(token.access_token), "access_token")
    )
    return tell(token.integration, oauth, servers.client_of(token.integration, oauth), secret=secret, hint=hint)


def tell(integration: Integration, oauth: OAuth2, client: flow.Client, *, secret: str, hint: str) -> str:
    """Have one token revoked at `client`'s server; `hint` says which kind it is. In no transaction.

    Returns what came of it, in words. Raises ProviderError when it isn't certain that it is revoked.
    """
    request = flow.revoke(oauth, client, token=secret, hint=hint)
    flow.read_revoked(oauth, refresh.ask(integration, oauth, request, judge=flow.revoke_error_in))
    return gettext_noop("The provider has revoked it.")


def wait_after(error: ProviderError, failures: int) -> timedelta:
    """How long until the provider is told again, after `failures` earlier tries that came to nothing."""
    return error.wait if isinstance(error, flow.Throttled) else WAITS[min(failures, len(WAITS) - 1)]


@transaction.atomic
def _finish(grant: Grant, actor: Actor, words: str) -> bool:
    """Wipe it, unless it is another one than the provider was told of."""
    row = Grant.objects.select_for_update().filter(pk=grant.pk).first()
    if row is None or row.state != State.REVOKING:
        return True
    if row.generation != grant.generation:
        return False
    _wipe(row, actor, words)
    return True


def _wipe(grant: Grant, actor: Actor, words: str) -> None:
    """In the caller's transaction, which holds the grant."""
    now = timezone.now()
    tokens = list(
        Token.objects.select_for_update(of=("self",)).filter(grant=grant).select_related("integration").order_by("pk")
    )
    for token in tokens:
        store.wipe(token)
        token.save(update_fields=[*store.SECRETS, "updated_at"])
        store.tell(token, TokenEvent.Kind.REVOKED, actor, words, expires_at=None, at=now)
    # One that never ended: the process died, or is so late that the generation below turns it away.
    Attempt.objects.filter(grant=grant, ended_at=None).update(ended_at=now, outcome=Attempt.Outcome.UNKNOWN)
    grant.state, grant.generation, grant.lease_until = State.REVOKED, grant.generation + 1, None
    grant.forget_trouble()
    grant.save()
    for token in tokens:
        activity.record(actor=actor, action="oauth_revoked", integration=token.integration, details={"how": words})


def _put_off(grant: Grant, error: ProviderError, actor: Actor) -> str:
    """Say why, and when it is tried again. The timeline tells it once, not at every try."""
    now = timezone.now()
    wait = wait_after(error, grant.failures)
    words = f"It is unusable here, but the provider doesn't know yet that it is revoked. {error.words}"
    with transaction.atomic():
        mine = Grant.objects.filter(pk=grant.pk, state=State.REVOKING, generation=grant.generation)
        if mine.update(
            last_error=words, error_code=error.code[:100], failed_at=now, failures=F("failures") + 1,
            next_try_at=now + wait, lease_until=None, updated_at=now,
        ) and not grant.failures:  # fmt: skip
            for token in Token.objects.filter(grant=grant):
                store.tell(token, TokenEvent.Kind.REVOKED, actor, words, expires_at=token.expires_at, at=now)
    return words


def _integrations(pk: UUID) -> tuple[Integration, ...]:
    return tuple(Integration.objects.filter(token__grant=pk).order_by("slug"))
