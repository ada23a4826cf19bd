"""The one path on which tokens are renewed: one refresh at a time for each grant, whoever asks and from however many
processes.

claim the lease and write the attempt down (one short transaction) → ask the provider (in no transaction) → store what
came, if nobody has stored anything newer (compare-and-swap on the generation).

A process that dies on the way leaves an attempt that never ended. Where refresh tokens don't rotate the next one just
asks again. Where they do, the old one may be spent and the new one lost with the process: presenting the old one could
make the provider take back everything, so it is never done; the grant is `uncertain`, which isn't dead.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from integrations import activity, http
from integrations.actor import SYSTEM, Actor
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Answer, OAuth2, ProviderError
from oauth import flow
from oauth.models import Attempt, Grant, Token, TokenEvent
from oauth.services import servers, store
from oauth.services import status as told

log = logging.getLogger(__name__)

State, Outcome = Grant.State, Attempt.Outcome

GOOD_FOR = timedelta(minutes=5)
STILL_GOOD = timedelta(minutes=1)
"""A token that lives this long still serves while its provider has a bad moment."""
LEASE = timedelta(seconds=90)
"""Longer than a token request's own deadline (10 s) and `STORE_SECONDS` together."""
AHEAD = timedelta(minutes=10)
"""A lease that would hold so much longer than any does was taken by a clock that was ahead: it holds nobody up."""
YOUNG = timedelta(minutes=10)
"""A token that is refused at that age was never good: another is not asked for."""
WAIT_SECONDS = 15.0
STORE_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
STORE_SECONDS = 60.0
"""Tokens that came are stored if it takes this many tries, with seconds between them: they may exist nowhere else. No
try begins later than that."""
BACKOFF = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 300))
PROOF = 3
"""So many answers without another refresh token, and it is taken for granted that none ever comes."""
UNCERTAIN, BUSY = "uncertain", "busy"

R = TypeVar("R")


def access_token(integration: Integration) -> str:
    """An access token that is good for at least five more minutes; refreshed first if it isn't. Only while it can't be
    renewed is one given that lasts for just a minute.

    Raises ProviderError in words for the operator, `permanent` when only reconnecting helps.
    """
    token = usable(integration)
    if not _lasts(token, GOOD_FOR):
        try:
            token = renew(token, forced=False, actor=SYSTEM)
        except ProviderError as error:
            gone = error.permanent and error.code not in (UNCERTAIN, "nothing_to_refresh")
            if gone or not _lasts(token, STILL_GOOD):
                raise
    return store.opened(token.access_token)


def refresh_now(integration: Integration, *, actor: Actor) -> Token:
    """Renew it because somebody says so: waits are not waited out, save those that the provider asked for.

    Raises ProviderError as `access_token` does; code "nothing_to_refresh" without a refresh token, "not_oauth",
    "inactive".
    """
    try:
        oauth_or_refusal(integration)
        if not integration.is_active:
            raise ProviderError(f"{integration.name} is switched off: its token is not renewed.", code="inactive")
        token = renew(usable(integration), forced=True, actor=actor)
    except ProviderError as error:
        details = {"code": error.code, "reason": error.words}
        activity.record(
            actor=actor, action="oauth_refreshed", integration=integration, outcome=activity.FAILURE, details=details
        )
        raise
    # Apart from the tokens' own transaction: nothing may come between them and the database. Their event names the
    # actor too.
    activity.record(
        actor=actor, action="oauth_refreshed", integration=integration, details={"expires_at": token.expires_at}
    )
    return token


def replacement(integration: Integration, *, refused: str) -> str:
    """Another access token than `refused`, which the API doesn't take though it should last: its provider ended it
    before its time. "" when there is none to be had, or `refused` is so young that a younger one would fare no better.
    """
    try:
        token = usable(integration)
        held = store.opened(token.access_token)
        if held and held != refused:
            return held  # somebody has renewed it since
        if token.issued_at is None or timezone.now() - token.issued_at < YOUNG:
            return ""
        log.warning("%s refused an access token that should last: it is renewed", integration.slug)
        return store.opened(renew(token, forced=False, actor=SYSTEM).access_token)
    except ProviderError as error:
        log.warning("The refused token of %s can't be renewed: %s", integration.slug, error)
        return ""


def usable(integration: Integration) -> Token:
    """The token with its grant. Raises ProviderError when there is none, or its grant has ended."""
    token = Token.objects.select_related("grant", "integration").filter(integration=integration).first()
    if token is not None and token.grant.state in Grant.ENDED:
        words = token.grant.last_error or "The grant was revoked: connect it again."
        raise ProviderError(words, permanent=True, code=flow.DEAD)
    if token is None or not (token.access_sealed or token.refresh_sealed):
        raise ProviderError(f"{integration.name} was never connected.", permanent=True, code="missing")
    return token


def _lasts(token: Token, span: timedelta) -> bool:
    return bool(token.access_sealed) and (token.expires_at is None or token.expires_at - timezone.now() > span)


# --- One at a time ---------------------------------------------------------------------------------------------------


def renew(token: Token, *, forced: bool, actor: Actor) -> Token:
    """Renew `token`, or wait for whoever is at it already; returns the row as it then is."""
    began, ends = timezone.now(), time.monotonic() + WAIT_SECONDS
    before = (token.grant_id, token.grant.generation)
    while True:
        if (token.grant_id, token.grant.generation) != before:
            return token  # somebody else's work, as new as ours would be
        _stop_if_hopeless(token, began=began, forced=forced)
        if attempt := _claim(token):
            return _carry_out(token, attempt, actor)
        if time.monotonic() > ends:
            raise ProviderError("Another process has been refreshing this token for too long; try again.", code=BUSY)
        time.sleep(random.uniform(0.05, 0.15))  # noqa: S311 - so that waiters don't ask in step
        token = usable(token.integration)


def _stop_if_hopeless(token: Token, *, began: datetime, forced: bool) -> None:
    grant, now = token.grant, timezone.now()
    if not token.refresh_sealed:
        raise ProviderError("There is no refresh token: connect it again.", permanent=True, code="nothing_to_refresh")
    if grant.state == State.UNCERTAIN:
        raise ProviderError(grant.last_error, permanent=True, code=UNCERTAIN)
    if grant.failed_at and grant.failed_at >= began:  # what happened to somebody else a moment ago would happen to us
        raise ProviderError(grant.last_error, code=grant.error_code)
    if grant.next_try_at and grant.next_try_at > now and (not forced or grant.error_code == flow.THROTTLED):
        when = f"{timezone.localtime(grant.next_try_at):%H:%M:%S %Z}"
        raise ProviderError(f"{grant.last_error} Not tried again before {when}.", code=grant.error_code)


def unleased(now: datetime) -> Q:
    """Of grants at which nobody is. What the journal knows of a lease that isn't believed still counts (`_claim`)."""
    return Q(lease_until=None) | Q(lease_until__lt=now) | Q(lease_until__gt=now + LEASE + AHEAD)


def _claim(token: Token) -> Attempt | None:
    """The right to ask, and the attempt written down before it is made; None when somebody else has it, or when what
    the one before left behind speaks against it: then the grant says so."""
    grant, now = token.grant, timezone.now()
    oauth = oauth_or_refusal(token.integration)
    with transaction.atomic(durable=True):  # in somebody's transaction it would be neither a lease nor a journal
        # As it was when we looked: neither renewed since, nor refused to somebody else.
        same = Grant.objects.filter(pk=grant.pk, generation=grant.generation, failures=grant.failures)
        free = same.exclude(state__in=(*Grant.ENDED, State.UNCERTAIN))
        if not free.filter(unleased(now)).update(lease_until=now + LEASE):
            return None
        left_behind = Attempt.objects.filter(grant=grant, generation=grant.generation, ended_at=None)
        if left_behind.update(ended_at=now, outcome=Outcome.UNKNOWN) and _may_rotate(grant, oauth):
            _settle(grant, State.UNCERTAIN, _lost("The process that refreshed it died"), UNCERTAIN, now, next_try=None)
            return None
        budget = told.budget(grant, oauth, now=now)
        if budget and budget.frees_at:
            words = (
                f"{budget.used} tokens were asked for within {budget.window}, which is all that we allow ourselves."
            )
            _settle(grant, State.RETRYING, words, flow.THROTTLED, now, next_try=budget.frees_at)
            return None
        return Attempt.objects.create(grant=grant, generation=grant.generation, started_at=now)


def _carry_out(token: Token, attempt: Attempt, actor: Actor) -> Token:
    oauth = oauth_or_refusal(token.integration)
    figures: list[ApiMetric] = []  # recorded only when what came is safe
    try:
        refresh_token = store.opened(token.refresh_token)
        request = flow.refresh(oauth, servers.client_of(token.integration, oauth), refresh_token=refresh_token)
        answer = ask(token.integration, oauth, request, sink=figures.append)
        given = flow.read_tokens(oauth, answer, now=timezone.now())
    except ProviderError as error:
        _failed(token.grant, attempt, error, oauth)
        raise
    else:
        _keep(token.grant, attempt, given, rotated=given.refresh_token not in ("", refresh_token), actor=actor)
    finally:
        for figure in figures:
            record(figure)
    return usable(token.integration)


# --- What came of it -------------------------------------------------------------------------------------------------


def _keep(grant: Grant, attempt: Attempt, given: flow.Tokens, *, rotated: bool, actor: Actor) -> None:
    persist(lambda: _keep_once(grant, attempt, given, rotated, actor))


def persist(write: Callable[[], R]) -> R:
    """Write down what a provider gave, even if the database is away for a while; `write` is one transaction."""
    ends = time.monotonic() + STORE_SECONDS
    for wait in STORE_WAITS:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if time.monotonic() + wait > ends:
                raise
            log.exception("What a provider gave could not be stored; tried again in %s s", wait)
            connection.close()
            time.sleep(wait)
    return write()


@transaction.atomic
def _keep_once(grant: Grant, attempt: Attempt, given: flow.Tokens, rotated: bool, actor: Actor) -> None:
    """For every integration that shares the grant. Whoever stored something newer meanwhile is not overwritten; where
    it was being revoked meanwhile, the new token is kept only to be revoked in its turn."""
    now = timezone.now()
    row = Grant.objects.select_for_update().filter(pk=grant.pk).first()
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=now, outcome=Outcome.GIVEN)
    if row is None or row.generation != attempt.generation or row.state == State.REVOKED:
        return
    # Locked: a rotation of keys may be sealing them anew, and saving what was read before would undo that.
    for token in Token.objects.select_for_update().filter(grant=row):
        store.write(token, given)
        token.refresh_count, token.last_refreshed_at = F("refresh_count") + 1, given.issued_at
        token.save(update_fields=[*store.SECRETS, "refresh_count", "last_refreshed_at", "updated_at"])
        if row.state != State.REVOKING:
            store.tell(token, TokenEvent.Kind.REFRESHED, actor, "", expires_at=given.expires_at)
    if row.state != State.REVOKING:
        row.state = State.CONNECTED
    row.rotates = True if rotated else _never_rotates(row)
    row.generation, row.lease_until = row.generation + 1, None
    row.forget_trouble()
    row.save()


def _never_rotates(grant: Grant) -> bool | None:
    """What is to be believed of a provider that has just given no other refresh token: one answer is no proof yet."""
    if grant.rotates is not None:
        return grant.rotates
    given = Attempt.objects.filter(grant=grant, outcome=Outcome.GIVEN).count()
    return False if given >= PROOF else None


def _failed(grant: Grant, attempt: Attempt, error: ProviderError, oauth: OAuth2) -> None:
    """Keep what there is, unless the provider says that the grant itself is dead."""
    now = timezone.now()
    outcome, state = _meaning(grant, error, oauth)
    words, next_try = error.words, now + BACKOFF[min(grant.failures, len(BACKOFF) - 1)]
    if isinstance(error, flow.Throttled):
        next_try = now + error.wait
    if state == State.UNCERTAIN:
        words = _lost(error.words.rstrip("."))

    @transaction.atomic
    def settle() -> None:
        Attempt.objects.filter(pk=attempt.pk).update(ended_at=now, outcome=outcome)
        current = Grant.objects.select_for_update().filter(pk=grant.pk).first()
        if current and current.generation == attempt.generation and current.state not in Grant.ENDED:
            _settle(
                current, state, words, error.code if state != State.UNCERTAIN else UNCERTAIN, now,
                next_try=next_try if state == State.RETRYING else None,
            )  # fmt: skip
        else:  # given up meanwhile: who revokes it waits for our lease, if it still is ours
            Grant.objects.filter(pk=grant.pk, lease_until=attempt.started_at + LEASE).update(lease_until=None)

    persist(settle)


def _meaning(grant: Grant, error: ProviderError, oauth: OAuth2) -> tuple[str, str]:
    if error.code == flow.DEAD:
        return Outcome.REFUSED, State.NEEDS_REAUTH
    if error.code == flow.THROTTLED:
        return Outcome.THROTTLED, State.RETRYING
    unanswered = isinstance(error, http.Unreachable)
    perhaps_obeyed = error.maybe_sent if isinstance(error, http.Unreachable) else _broke(error.status)
    if perhaps_obeyed and _may_rotate(grant, oauth):
        return Outcome.UNKNOWN, State.UNCERTAIN
    never_asked = unanswered or error.status is None
    return Outcome.UNREACHABLE if never_asked else Outcome.REFUSED, State.RETRYING


def _broke(status: int | None) -> bool:
    """Whether the provider fell over its answer, perhaps after it had obeyed. 503 says that it didn't."""
    return status is not None and status >= 500 and status != 503


def _settle(grant: Grant, state: str, words: str, code: str, now: datetime, *, next_try: datetime | None) -> None:
    """Let go of the lease, and say how it stands. The story tells a trouble that lasts once, not at every try."""
    told_already = grant.failures > 0 and (grant.state, grant.last_error) == (state, words)
    Grant.objects.filter(pk=grant.pk).update(
        state=state, last_error=words, error_code=code[:100], failed_at=now, failures=F("failures") + 1,
        next_try_at=next_try, lease_until=None, updated_at=now,
    )  # fmt: skip
    for token in Token.objects.filter(grant=grant) if not told_already else ():
        store.tell(token, TokenEvent.Kind.REFRESH_FAILED, SYSTEM, words, expires_at=token.expires_at, at=now)


def _may_rotate(grant: Grant, oauth: OAuth2) -> bool:
    """Whether the refresh token may be good for one use only: by what was seen, else by what is declared."""
    seen = oauth.rotates if grant.rotates is None else grant.rotates
    return seen is None or seen


def _lost(what: str) -> str:
    return f"{what}, so a new refresh token may have been given that never reached us. Connect it again."


# --- Asking the provider ---------------------------------------------------------------------------------------------


def record(metric: ApiMetric) -> None:
    """Nothing of ours may come between the provider's answer and its tokens: a figure that can't be saved is lost."""
    try:
        with transaction.atomic():
            http.save(metric)
    except (DatabaseError, InterfaceError) as error:
        log.warning("A call to %s could not be recorded (%s)", metric.integration.slug, type(error).__name__)


def ask(
    integration: Integration,
    oauth: OAuth2,
    request: http.Request,
    *,
    judge: Callable[[Answer, OAuth2], str] = flow.error_in,
    sink: http.Sink = record,
) -> Answer:
    """Put a question to the authorisation server. `judge` gives the error to record. Raises Unreachable."""
    return http.send(request, integration=integration, judge=lambda answer: judge(answer, oauth), sink=sink)


def oauth_or_refusal(integration: Integration) -> OAuth2:
    oauth = told.oauth_of(integration)
    if oauth is None:
        raise ProviderError(f"{integration.name} uses no OAuth.", permanent=True, code="not_oauth")
    return oauth
