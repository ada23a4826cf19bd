"""Ahead of time: renewing what expires soon, by the clock or at somebody's word; and what the job does besides."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import activity, mandate
from integrations.actor import SYSTEM, Actor
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from oauth.models import Attempt, AuthorizationRequest, Grant, Token, TokenEvent
from oauth.services import authorize, leftovers, refresh, revoke, store
from oauth.services import status as told

log = logging.getLogger(__name__)

State = Grant.State

JOURNAL_KEPT, RENEWALS_KEPT, STORIES_KEPT = timedelta(days=30), timedelta(days=90), timedelta(days=730)


def keep_fresh() -> dict[str, Any]:
    """The job: renew what expires soon, write down what ran out, go on with revocations, forget what is old. Returns a
    summary."""
    done = refresh_expiring()
    expired = note_expired()
    given_up, left = revoke.go_on(), leftovers.go_on()
    summary = done | {
        "expired": expired,
        "revoked": [*given_up["revoked"], *left["revoked"]],
        "revoking": {**left["pending"], **given_up["pending"]},
        "forgotten": forget_old(),
    }
    return summary | {"message": in_words(summary)}


def forget_old() -> int:
    """Take away what is told no more: of the journal what has long ended, of the stories the renewals that went well,
    and what is years old. What went wrong, and who connected and revoked, stays till then. Returns how many rows that
    were."""
    now = timezone.now()
    attempts = Attempt.objects.filter(started_at__lt=now - JOURNAL_KEPT).exclude(ended_at=None)
    renewals = TokenEvent.objects.filter(kind=TokenEvent.Kind.REFRESHED, at__lt=now - RENEWALS_KEPT)
    stories = TokenEvent.objects.filter(at__lt=now - STORIES_KEPT)
    asked = AuthorizationRequest.objects.filter(created_at__lt=now - authorize.KEPT)
    # What an integration that was deleted leaves behind.
    orphans = Grant.objects.filter(tokens=None, updated_at__lt=now - authorize.KEPT)
    return sum(rows.delete()[0] for rows in (attempts, renewals, stories, asked, orphans))


def refresh_expiring(*, actor: Actor = SYSTEM) -> dict[str, Any]:
    """Renew every token that expires soon and may be renewed by itself; returns a summary for people. One that can't
    be renewed holds up no other."""
    return _renew(_living().filter(auto_refresh=True), forced=False, actor=actor)


def refresh_all(*, among: Iterable[Integration], actor: Actor) -> dict[str, Any]:
    """Renew, at somebody's word, whatever of these expires soon; where automatic renewal is off, too."""
    done = _renew(_living().filter(integration__in=among), forced=True, actor=actor)
    activity.record(
        actor=actor, action="oauth_all_refreshed", details=done,
        outcome=activity.FAILURE if done["failed"] and not done["refreshed"] else activity.SUCCESS,
    )  # fmt: skip
    return done


def _living() -> QuerySet[Token]:
    usable = Token.objects.filter(integration__is_active=True).exclude(refresh_sealed="")
    return (
        usable.exclude(grant__state__in=(*Grant.ENDED, State.UNCERTAIN))
        .select_related("grant", "integration")
        .order_by("integration__slug")
    )


def _renew(tokens: QuerySet[Token], *, forced: bool, actor: Actor) -> dict[str, Any]:
    done: dict[str, Any] = {"refreshed": [], "failed": {}, "skipped": 0}
    refused: dict[UUID, str] = {}
    now = timezone.now()
    for token in tokens:
        if told.status(token, now) not in (told.Status.EXPIRING_SOON, told.Status.EXPIRED):
            done["skipped"] += 1
            continue
        if token.grant_id in refused:  # what was refused to one is refused to all that share the grant
            done["failed"][token.integration.slug] = refused[token.grant_id]
            continue
        # Each may take its time: they are asked again whether they may.
        if words := mandate.lost(mandate.of(actor), Perm.OAUTH_REFRESH, [token.integration_id]):
            done["failed"][token.integration.slug] = words
            continue
        try:
            refresh.renew(token, forced=forced, actor=actor)
            done["refreshed"].append(token.integration.slug)
        except ProviderError as error:
            done["failed"][token.integration.slug] = refused[token.grant_id] = error.words
        except Exception:
            log.exception("The token of %s could not be refreshed", token.integration.slug)
            done["failed"][token.integration.slug] = "Something went wrong on our side; the server's log says what."
    return done


def note_expired() -> list[str]:
    """Write down, once for each, which access tokens ran out unrenewed, and why. Returns the slugs."""
    now, expired = timezone.now(), []
    ran_out = Token.objects.filter(expires_at__lte=now).exclude(access_sealed="")
    ran_out = ran_out.exclude(grant__state__in=Grant.ENDED).select_related("grant", "integration")
    for token in ran_out.order_by("integration__slug"):
        known = TokenEvent.objects.filter(
            integration=token.integration_id, kind=TokenEvent.Kind.EXPIRED, expires_at=token.expires_at
        )
        if known.exists():
            continue
        try:
            with transaction.atomic():
                store.tell(
                    token, TokenEvent.Kind.EXPIRED, SYSTEM, _why(token),
                    expires_at=token.expires_at, at=token.expires_at,
                )  # fmt: skip
        except IntegrityError:  # another process wrote it between our look and our insert
            continue
        expired.append(token.integration.slug)
    return expired


def _why(token: Token) -> str:
    if not token.refresh_sealed:
        return gettext_noop("There is no refresh token to renew it with.")
    if not token.integration.is_active:
        return gettext_noop("The integration is switched off.")
    if token.grant.last_error:
        return token.grant.last_error
    return "" if token.auto_refresh else gettext_noop("Automatic renewal is off.")


def in_words(summary: dict[str, Any]) -> str:
    """A run of the job in a few sentences."""
    parts = [
        _listed(_("Renewed: {names}."), summary["refreshed"]),
        _explained(_("Not renewed: {names}."), summary["failed"]),
        _("{n} good for longer.").format(n=summary["skipped"]) if summary["skipped"] else "",
        _listed(_("Ran out unrenewed: {names}."), summary.get("expired", [])),
        _listed(_("Revoked at the provider: {names}."), summary.get("revoked", [])),
        _explained(_("Revocation pending: {names}."), summary.get("revoking", {})),
    ]
    return " ".join(part for part in parts if part) or _("There was nothing to do.")


def _listed(words: str, slugs: list[str]) -> str:
    return words.format(names=", ".join(slugs)) if slugs else ""


def _explained(words: str, reasons: dict[str, str]) -> str:
    names = "; ".join(f"{slug} ({why.rstrip('.')})" for slug, why in reasons.items())
    return words.format(names=names) if reasons else ""
