"""What the pages say of tokens: each in a line, their lives as swimlanes, and the story of one."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models.functions import TruncHour, TruncMinute
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from integrations import permissions
from integrations.accounts.models import User
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm
from integrations.seek import Listing, Place
from oauth import services
from oauth.models import Grant, Token, TokenEvent
from oauth.services import Budget, Status, leftovers
from oauth.services.status import oauth_of

DEGRADED, DOWN = HealthStatus.DEGRADED, HealthStatus.DOWN
Kind = TokenEvent.Kind


@dataclass(frozen=True, slots=True)
class TokenState:
    """An OAuth token in one or two words. `tone` is a health status, "" when there is nothing to worry about."""

    status: str
    label: str
    tone: str
    expires_at: datetime | None


def state(token: Token | None, now: datetime) -> TokenState:
    """People are warned only when renewal can't be expected to work by itself."""
    status = services.status(token, now)
    expires = token.expires_at if token else None
    match status:
        case Status.MISSING:
            return TokenState(status, _("Not connected"), DEGRADED, None)
        case Status.REVOKED if token and token.grant.state == Grant.State.REVOKING:
            return TokenState(Grant.State.REVOKING, _("Revocation pending"), DOWN, None)
        case Status.REVOKED:
            return TokenState(status, _("Revoked"), DOWN, None)
        case Status.EXPIRED:
            return TokenState(status, _("Expired"), DOWN, expires)
    match token and token.grant.state:
        case Grant.State.RETRYING:
            return TokenState(Grant.State.RETRYING, _("Retrying"), DEGRADED, expires)
        case Grant.State.UNCERTAIN:
            return TokenState(Grant.State.UNCERTAIN, _("Uncertain"), DEGRADED, expires)
    match status:
        case Status.EXPIRING_SOON if token and not services.renews_itself(token):
            return TokenState(status, _("Expiring"), DEGRADED, expires)
    return TokenState(Status.VALID, _("Valid"), "", expires)


# --- Lines -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One integration's token. `used` is how much of the access token's life is over, in percent; `words` say what is
    the matter and `advice` what to do, "" for nothing. `sharing` are those who live by the same grant and whom the
    reader may see, `hidden` is how many more there are. What the reader may not do, or what can't help, is False."""

    integration: Integration
    state: TokenState
    words: str
    advice: str
    used: int | None
    token: Token | None
    budget: Budget | None
    sharing: tuple[Integration, ...]
    hidden: int
    left_behind: int
    can_refresh: bool
    can_revoke: bool
    can_connect: bool
    can_switch: bool
    connect_first: bool

    @property
    def slug(self) -> str:
        return self.integration.slug

    @property
    def icon(self) -> str:
        return self.integration.icon

    @property
    def tone(self) -> str:
        return self.state.tone or HealthStatus.HEALTHY

    @property
    def can_act(self) -> bool:
        return self.can_refresh or self.can_connect or self.can_revoke

    @property
    def explained(self) -> str:
        """What is the matter and what to do, nothing twice; "" when all is well."""
        said = self.advice.rstrip(".").lower() in self.words.lower()
        return self.words if said else f"{self.words} {self.advice}".strip()

    @property
    def shared_with(self) -> str:
        more = [_("{n} more").format(n=self.hidden)] if self.hidden else []
        return ", ".join([*(one.name for one in self.sharing), *more])

    @property
    def together_with(self) -> str:
        """Who would be revoked with it, as the button says it to the server."""
        return ",".join(sorted(one.slug for one in self.sharing))

    @property
    def budget_used(self) -> int:
        """In percent."""
        return min(100, 100 * self.budget.used // self.budget.limit) if self.budget else 0

    @property
    def region(self) -> str:
        return str(self.token.metadata.get("region", "")) if self.token else ""

    @property
    def scopes(self) -> list[str]:
        return (self.token.scope if self.token else "").replace(",", " ").split()


def lines(user: User, now: datetime, *, only: str = "") -> tuple[Line, ...]:
    """By name, every integration with OAuth that `user` may read; `only` is a slug."""
    shown = permissions.visible(user).filter(requires_oauth=True).select_related("token__grant").order_by("name")
    rows: list[Any] = list(shown.filter(slug=only) if only else shown)
    grants = {row.token.grant_id: oauth_of(row) for row in rows if hasattr(row, "token")}
    around = _Around(
        now=now,
        budgets=services.budgets(grants, now=now),
        sharing=_sharing(grants),
        left=leftovers.count(row.pk for row in rows),
        readable=_held(user, Perm.READ),
        managed=_held(user, Perm.MANAGE),
        renewable=_held(user, Perm.OAUTH_REFRESH),
    )
    return tuple(_line(row, getattr(row, "token", None), around) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What is read once for all lines."""

    now: datetime
    budgets: Mapping[UUID, Budget | None]
    sharing: Mapping[UUID, list[Integration]]
    left: Counter[UUID]
    readable: set[UUID]
    managed: set[UUID]
    renewable: set[UUID]


def _held(user: User, perm: Perm) -> set[UUID]:
    return set(permissions.visible(user, perm).values_list("pk", flat=True))


def _sharing(grants: Iterable[UUID]) -> Mapping[UUID, list[Integration]]:
    """By grant: all who live by it."""
    found: dict[UUID, list[Integration]] = defaultdict(list)
    for token in Token.objects.filter(grant__in=grants).select_related("integration").order_by("integration__name"):
        found[token.grant_id].append(token.integration)
    return found


def _line(row: Integration, token: Token | None, around: _Around) -> Line:
    others = [one for one in around.sharing[token.grant_id] if one.pk != row.pk] if token else []
    seen = tuple(one for one in others if one.pk in around.readable)
    revocable = token is not None and services.can_revoke(token)
    return Line(
        integration=row,
        state=state(token, around.now),
        words=token.grant.last_error if token else "",
        advice=services.advice(token),
        used=used(token, around.now),
        token=token,
        budget=around.budgets[token.grant_id] if token else None,
        sharing=seen,
        hidden=len(others) - len(seen),
        left_behind=around.left[row.pk],
        can_refresh=row.pk in around.renewable and row.is_active and token is not None and services.can_refresh(token),
        can_revoke=revocable and len(seen) == len(others) and all(one.pk in around.managed for one in (row, *others)),
        can_connect=row.pk in around.managed,
        can_switch=row.pk in around.managed and token is not None,
        connect_first=services.needs_connecting(token),
    )


def used(token: Token | None, now: datetime) -> int | None:
    """How much of the access token's life is over, in percent; None where that means nothing."""
    if token is None or not (token.access_sealed and token.issued_at and token.expires_at):
        return None
    if token.grant.state in Grant.ENDED:
        return None  # whatever is left of its life is of no use to anybody
    life = token.expires_at - token.issued_at
    return max(0, min(100, int(100 * (now - token.issued_at) / life))) if life > timedelta(0) else 100


def in_trouble(shown: Iterable[Line]) -> tuple[Line, ...]:
    """Those that somebody should look at, the worst first."""
    bad = [line for line in shown if line.state.tone and line.integration.is_active]
    return tuple(sorted(bad, key=lambda line: line.state.tone != DOWN))


def due(shown: Iterable[Line], now: datetime) -> tuple[Line, ...]:
    """Those that "refresh all that expire" would renew."""
    soon = (Status.EXPIRING_SOON, Status.EXPIRED)
    return tuple(line for line in shown if line.can_refresh and services.status(line.token, now) in soon)


# --- Lives -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """What the swimlanes show; events within one `step` are one tick. Behind the `marks` comes now."""

    key: str
    label: str
    length: timedelta
    step: Callable[[str], Any]
    marks: tuple[str, ...]

    @property
    def named(self) -> str:
        return _(self.label)


SPANS = {
    span.key: span
    for span in (
        Span("24h", gettext_noop("24 hours"), timedelta(hours=24), TruncMinute, ("-24 h", "-18 h", "-12 h", "-6 h")),
        Span("7d", gettext_noop("7 days"), timedelta(days=7), TruncHour, ("-7 d", "-5 d", "-3½ d", "-2 d")),
    )
}
WIDTH = 1000
"""Units across a lane."""
_TICKS = {Kind.REFRESHED: ("quiet", 6, 12), Kind.CONNECTED: ("healthy", 3, 18), Kind.REVOKED: ("down", 1, 22),
          Kind.REFRESH_FAILED: ("down", 1, 22), Kind.EXPIRED: ("down", 1, 22)}  # fmt: skip
"""By kind: its tone, and where its tick begins and how tall it is in a lane 24 high: a second cue beside colour."""


@dataclass(frozen=True, slots=True)
class Lane:
    """`ticks`: a path for each tone. `label` says the same in words."""

    slug: str
    name: str
    ticks: tuple[tuple[str, str], ...]
    label: str


def lanes(shown: Iterable[Line], span: Span, now: datetime) -> tuple[Lane, ...]:
    """The lives of those that were ever connected."""
    return lives([line.integration for line in shown if line.token], span, now)


def lives(living: Sequence[Integration], span: Span, now: datetime) -> tuple[Lane, ...]:
    events = (
        TokenEvent.objects.filter(integration__in=living, at__gt=now - span.length, at__lte=now)
        .annotate(slot=span.step("at"))
        .order_by()
        .values_list("integration_id", "kind", "slot")
        .distinct()
    )
    found: dict[UUID, list[tuple[str, datetime]]] = defaultdict(list)
    for pk, kind, slot in events:
        found[pk].append((kind, slot))
    return tuple(_lane(row, found[row.pk], span, now) for row in living)


def _lane(row: Integration, events: list[tuple[str, datetime]], span: Span, now: datetime) -> Lane:
    paths: dict[str, str] = defaultdict(str)
    for kind, slot in sorted(events, key=lambda event: event[1]):
        tone, top, height = _TICKS[Kind(kind)]
        place = max(0.0, WIDTH * (1 - (now - slot) / span.length))
        paths[tone] += f"M{place:.0f} {top}v{height}"
    counts = Counter(kind for kind, _ in events)
    words = ", ".join(_told(kind, counts[kind]) for kind in _IN_ORDER if counts[kind]) or _("nothing happened")
    label = _("{name}, last {span}: {words}").format(name=row.name, span=span.named, words=words)
    return Lane(row.slug, row.name, tuple(paths.items()), label)


_IN_ORDER = (Kind.REFRESHED, Kind.REFRESH_FAILED, Kind.CONNECTED, Kind.EXPIRED, Kind.REVOKED)


def _told(kind: str, number: int) -> str:
    match kind:
        case Kind.REFRESHED:
            words = ngettext("{n} renewed", "{n} renewed", number)
        case Kind.REFRESH_FAILED:
            words = ngettext("{n} failed", "{n} failed", number)
        case Kind.CONNECTED:
            words = ngettext("{n} connected", "{n} connected", number)
        case Kind.EXPIRED:
            words = ngettext("{n} ran out", "{n} ran out", number)
        case _other:
            words = ngettext("{n} revoked", "{n} revoked", number)
    return words.format(n=number)


# --- The story of one ------------------------------------------------------------------------------------------------

PAGE, MOST = 200, 2000
"""Events, before those that tell the same are folded; and as many as a page grows to that stays open."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """`until`: how long the access token was then good for. `times` things of a kind, from `since` to `at`."""

    title: str
    tone: str
    at: datetime
    actor: str
    detail: str
    until: datetime | None
    times: int = 1
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Newest first; `older` leads to what came before, None at the beginning. `floor` is the last place of it: what is
    loaded anew goes down to there, so that nothing falls between it and what was loaded after it."""

    chapters: tuple[Chapter, ...]
    older: Place | None
    floor: Place | None


_TITLES = {
    Kind.CONNECTED: (gettext_noop("Connected"), "healthy"),
    Kind.REFRESHED: (gettext_noop("Renewed"), "unknown"),
    Kind.REFRESH_FAILED: (gettext_noop("Renewal failed"), "down"),
    Kind.REVOKED: (gettext_noop("Revoked"), "down"),
    Kind.EXPIRED: (gettext_noop("Ran out"), "degraded"),
}


def story(integration: Integration, *, before: Place | None = None, floor: Place | None = None) -> Story:
    """`before`: only what came before that place; `floor`: all down to that one. What happened again and again is told
    once, with how often."""
    listing = Listing(TokenEvent.objects.filter(integration=integration), at="at")
    if floor and not before:
        places, more = listing.down_to(floor).places(0, MOST), False
    else:
        found = (listing.older(before) if before else listing).places(0, PAGE + 1)
        places, more = found[:PAGE], len(found) > PAGE
    told = groupby(listing.fetch(places), key=lambda event: (event.kind, event.actor, event.detail))
    chapters = tuple(_chapter(list(same)) for _, same in told)
    last = places[-1] if places else None
    return Story(chapters, older=last if more else None, floor=last)


def _chapter(same: list[TokenEvent]) -> Chapter:
    newest, oldest = same[0], same[-1]
    title, tone = _TITLES[Kind(newest.kind)]
    until = newest.expires_at if newest.kind in (Kind.CONNECTED, Kind.REFRESHED) else None
    since = oldest.at if len(same) > 1 else None
    detail = _(newest.detail) if newest.detail else ""
    return Chapter(_(title), tone, newest.at, newest.actor, detail, until, len(same), since)
