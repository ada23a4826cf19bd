"""What people are told of a token: its status, what to do, and how much of the provider's patience is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.models import Integration
from integrations.providers.spec import OAuth2
from oauth.models import Attempt, Grant, Token

State = Grant.State


class Status(StrEnum):
    VALID = "valid"
    EXPIRED = "expired"
    EXPIRING_SOON = "expiring_soon"
    REVOKED = "revoked"
    MISSING = "missing"


def status(token: Token | None, now: datetime) -> Status:
    """ "Soon" is a week or the last quarter of the token's own life, whichever is shorter."""
    if token is None:
        return Status.MISSING
    if token.grant.state in Grant.ENDED:
        return Status.REVOKED
    if not (token.access_sealed or token.refresh_sealed):
        return Status.MISSING
    if token.expires_at is None:
        return Status.VALID
    if token.expires_at <= now:
        return Status.EXPIRED
    life = token.expires_at - (token.issued_at or now)
    return Status.EXPIRING_SOON if token.expires_at - now < min(timedelta(days=7), life / 4) else Status.VALID


def renews_itself(token: Token) -> bool:
    """Whether renewal can be expected to work with nobody's help."""
    return bool(token.refresh_sealed) and token.auto_refresh and token.grant.state == State.CONNECTED


def needs_connecting(token: Token | None) -> bool:
    """Whether only a new authorisation helps, now or when the access token has run out."""
    if token is None or token.grant.state in (State.UNCERTAIN, State.NEEDS_REAUTH, State.REVOKED):
        return True
    return not token.refresh_sealed and token.grant.state != State.REVOKING


def can_refresh(token: Token) -> bool:
    """Whether asking for a new one may help."""
    return bool(token.refresh_sealed) and token.grant.state in (State.CONNECTED, State.RETRYING)


def can_revoke(token: Token) -> bool:
    """Whether there is something to give up; one whose revocation is pending can be told again."""
    return bool(token.access_sealed or token.refresh_sealed) and token.grant.state != State.REVOKED


def advice(token: Token | None) -> str:
    """What to do about it, in words for the operator; "" when there is nothing to do."""
    if token is None:
        return _("Connect it.")
    grant = token.grant
    match grant.state:
        case State.RETRYING:
            if grant.next_try_at is None:
                return _("Nothing: the grant is kept.")
            return _("Nothing: the grant is kept. Tried again at {clock}.").format(clock=_clock(grant.next_try_at))
        case State.UNCERTAIN:
            words = _("Connect it again: the provider may have given a new refresh token that never reached us.")
            if token.expires_at is None:
                return words
            works = _("The access token works until {clock}.").format(clock=_clock(token.expires_at))
            return f"{words} {works}"
        case State.NEEDS_REAUTH | State.REVOKED:
            return _("Connect it again.")
        case State.REVOKING:
            words = _("Nothing: it is unusable here, and the provider will be told as soon as it can be reached.")
            if grant.next_try_at is None:
                return words
            again = _("Tried again after {clock}.").format(clock=_clock(grant.next_try_at))
            return f"{words} {again}"
    return "" if token.refresh_sealed else _("Connect it again before it expires: there is no refresh token.")


# --- The budget ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Token requests by one refresh token: `used` of `limit` within `window`; `frees_at`: when the next may be made,
    if all are used."""

    used: int
    limit: int
    window: timedelta
    frees_at: datetime | None


def budget(grant: Grant, oauth: OAuth2, *, now: datetime) -> Budget | None:
    """None where the provider is not known to count."""
    return budgets({grant.pk: oauth}, now=now)[grant.pk]


def budgets(grants: Mapping[UUID, OAuth2 | None], *, now: datetime) -> dict[UUID, Budget | None]:
    """The same of many grants, by their ids, in one query."""
    counted = {pk: oauth.budget for pk, oauth in grants.items() if oauth and oauth.budget}
    longest = max((window for _, window in counted.values()), default=timedelta(0))
    sent = Attempt.objects.filter(grant__in=counted, started_at__gt=now - longest).exclude(
        outcome=Attempt.Outcome.UNREACHABLE
    )
    moments: dict[UUID, list[datetime]] = {pk: [] for pk in counted}
    for pk, started_at in sent.order_by("started_at").values_list("grant_id", "started_at"):
        moments[pk].append(started_at)
    return {pk: _budget(moments[pk], counted[pk], now) if pk in counted else None for pk in grants}


def _budget(sent: list[datetime], allowed: tuple[int, timedelta], now: datetime) -> Budget:
    limit, window = allowed
    moments = [moment for moment in sent if moment > now - window]
    frees_at = moments[len(moments) - limit] + window if len(moments) >= limit else None
    return Budget(used=len(moments), limit=limit, window=window, frees_at=frees_at)


def oauth_of(integration: Integration) -> OAuth2 | None:
    return integration.spec.oauth if integration.spec else None


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S %Z}"
