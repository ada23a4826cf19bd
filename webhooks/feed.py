"""What the feed lists: filters from the address bar, a cursor through time, and a delivery as people read it."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import permissions
from integrations.accounts.models import User
from integrations.seek import Listing, Place
from webhooks import bulk, reasons, state
from webhooks.models import RefusalTally, Webhook, WebhookLog
from webhooks.rhythm import span
from webhooks.services import listing, search, silence
from webhooks.services.listing import Wanted
from webhooks.services.selection import Selection

PAGE = 50
LIMIT = 200
"""How far a feed may grow by itself before it starts anew from the top."""
MOST_NEW = 99
"""Further it is not counted what came meanwhile."""
DAY = timedelta(hours=24)

Status = WebhookLog.Status
_TONES: dict[str, str] = {Status.PROCESSED: "healthy", Status.FAILED: "down"}


@dataclass(frozen=True, slots=True)
class Filters:
    """`since` and `until` are days in the reader's time zone, both within."""

    integration: str = ""
    event: str = ""
    status: str = ""
    since: date | None = None
    until: date | None = None
    q: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        def asked(name: str, most: int = 100) -> str:
            return query.get(name, "").replace("\x00", "").strip()[:most]  # NUL: PostgreSQL takes none

        status = asked("status")
        return cls(
            integration=asked("integration", 50),
            event=asked("event"),
            status=status if status in Status.values else "",
            since=_day(asked("from")),
            until=_day(asked("to")),
            q=asked("q"),
        )

    def __bool__(self) -> bool:
        return self != Filters()

    @property
    def narrow(self) -> bool:
        """Whether they ask for more than an integration: then it says nothing that no row fits."""
        return self != Filters(integration=self.integration)

    def wanted(self, user: User) -> Wanted:
        return Wanted(
            webhooks=listing.readable(user, self.integration),
            event_types=listing.kinds(self.event) if self.event else None,
            status=self.status,
            since=self.begins,
            until=self.ends,
        )

    def selection(self, user: User) -> Selection:
        """What of it `user` may see and replay."""
        seen, scope = listing.readable(user), bulk.scope(user)
        if seen is not None:
            scope = tuple(seen) if scope is None else tuple(pk for pk in scope if pk in seen)
        return Selection(
            scope=scope,
            integration=self.integration or None,
            status=self.status or None,
            event_types=tuple(listing.kinds(self.event)) if self.event else None,
            since=self.begins,
            until=self.ends,
            search=self.q or None,
        )

    @property
    def replayable(self) -> bool:
        """Whether events of that status can be replayed by a filter."""
        return self.status in ("", Status.PROCESSED, Status.FAILED)

    @property
    def status_named(self) -> str:
        """As it stands within a sentence; "" for any."""
        return str(Status(self.status).label).lower() if self.status else ""

    @property
    def begins(self) -> datetime | None:
        return timezone.make_aware(datetime.combine(self.since, time.min)) if self.since else None

    @property
    def ends(self) -> datetime | None:
        return timezone.make_aware(datetime.combine(self.until, time.max)) if self.until else None

    def query(self, **more: object) -> str:
        """As they stand in the address bar, with `more` added."""
        told = {"integration": self.integration, "event": self.event, "status": self.status, "from": self.since,
                "to": self.until, "q": self.q} | more  # fmt: skip
        return urlencode({name: value for name, value in told.items() if value})


def _day(text: str) -> date | None:
    """A day that every time zone can tell."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9999 else None


# --- What templates get ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the feed. `note` says what comes next, when it isn't done; `picks`: it can be chosen for a replay of
    several."""

    pk: UUID
    event: str
    integration: str
    icon: str
    status: str
    tone: str
    note: str
    due_at: datetime | None
    retries: int
    took_ms: int | None
    at: datetime
    first: UUID | None
    is_test: bool
    is_replay: bool
    picks: bool


@dataclass(frozen=True, slots=True)
class Receiver:
    """An address that a provider calls. `unset` names the variable without which it accepts nothing."""

    integration: str
    slug: str
    pk: UUID
    url: str
    is_active: bool
    unset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is amiss with a receiver, though its events can't tell. Nothing came `since`, where usually something comes
    at least every `usual`; or so many were `refused` in 24 hours, most of them for `reason`, in words; or `unset`,
    `held` as in `state.State`."""

    integration: str
    pk: UUID
    since: datetime | None = None
    usual: str = ""
    refused: int = 0
    reason: str = ""
    unset: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """`top` and `floor` are where its first and last row stand; `older` and `newest` are query strings, `older` ""
    when that was all. `receiver` is the one whose events these are, if they are of one. `replays`: who reads it may
    replay some of them. `searched_to`: how far back text was looked for, when there may be more of it."""

    filters: Filters
    rows: tuple[Row, ...]
    top: str
    floor: str
    older: str
    newest: str
    searched_to: datetime | None
    starts_anew: bool
    integrations: tuple[tuple[str, str], ...]
    events: tuple[str, ...]
    receivers: tuple[Receiver, ...]
    statuses: list[tuple[str, str]]
    notices: tuple[Notice, ...]
    receiver: UUID | None
    replays: bool


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(user: User, filters: Filters, *, before: Place | None, floor: Place | None, now: datetime) -> Feed:
    """The newest rows; with `before` the page that is older; with `floor` all from the newest down to that row.

    A poll names the last row that its page shows as `floor`: what is new comes on top and nothing drops out below.
    """
    wanted = filters.wanted(user)
    found = search.look(wanted, filters.q, now=now, below=before) if filters.q else search.Found(wanted.listing())
    places, more = _places(found.listing, before, floor if before is None else None)
    grew_too_long = floor is not None and before is None and (more or _below(floor, found.looked_to))
    if grew_too_long:
        places, more = _places(found.listing, None, None)
    last = places[-1] if places else None
    goes_on = last if more else found.looked_to
    webhooks = list(permissions.readable(user, Webhook.objects.select_related("integration")))
    mine = [webhook for webhook in webhooks if filters.integration in ("", webhook.integration.slug)]
    scope = bulk.scope(user)
    return Feed(
        filters=filters,
        rows=tuple(row_of(log, scope) for log in Listing(_lines()).fetch(places)),
        top=str(places[0]) if places else "",
        floor=str(last) if last else "",
        older=filters.query(before=str(goes_on)) if goes_on else "",
        searched_to=found.looked_to.at if found.looked_to and not more else None,
        newest=filters.query(),
        starts_anew=floor is None or grew_too_long,
        integrations=tuple(
            sorted({(w.integration.slug, w.integration.name) for w in webhooks}, key=lambda pair: pair[1])
        ),
        events=tuple(sorted({event for w in webhooks for event in w.event_types})),
        receivers=() if places or filters.narrow else _receivers(mine),
        statuses=[(value, str(label)) for value, label in Status.choices],
        notices=() if before else _notices(mine, now, alone=bool(filters.integration)),
        receiver=mine[0].pk if filters.integration and mine else None,
        replays=scope is None or bool(scope),
    )


def newer(user: User, filters: Filters, *, than: Place, now: datetime) -> int:
    """How many events that fit came since that one, counted to MOST_NEW and one."""
    wanted = filters.wanted(user)
    found = search.look(wanted, filters.q, now=now) if filters.q else search.Found(wanted.listing())
    later = Q(created_at__gt=than.at) | Q(pk__gt=than.pk)
    return found.listing.filter(Q(created_at__gte=than.at), later).count(MOST_NEW + 1)


def _notices(webhooks: Collection[Webhook], now: datetime, *, alone: bool) -> tuple[Notice, ...]:
    """The silent ones, the longest first, then what was refused; what is not set up or switched off only of one whose
    events are looked at."""
    by_pk = {webhook.pk: webhook for webhook in webhooks}
    silences = silence.open_ones().filter(webhook__in=by_pk).order_by("last_received_at")
    told = [
        Notice(
            integration=by_pk[one.webhook_id].integration.name,
            pk=one.webhook_id,
            since=one.last_received_at,
            usual=span(one.expected_minutes),
        )
        for one in silences
    ]
    for pk, counted in _refused(by_pk, now).items():
        most = max(counted, key=counted.__getitem__)
        name = by_pk[pk].integration.name
        told.append(Notice(integration=name, pk=pk, refused=counted.total(), reason=reasons.named(most)))
    if alone:
        told += [_state_of(webhook) for webhook in webhooks]
    return tuple(one for one in told if one.since or one.refused or one.unset or one.held)


def _refused(webhooks: Collection[UUID], now: datetime) -> dict[UUID, Counter[str]]:
    found: dict[UUID, Counter[str]] = {}
    hours = RefusalTally.objects.filter(webhook__in=webhooks, hour__gt=now - DAY).order_by("webhook")
    for pk, counted in hours.values_list("webhook_id", "reasons"):
        found.setdefault(pk, Counter()).update(counted)
    return {pk: counted for pk, counted in found.items() if counted.total()}


def _state_of(webhook: Webhook) -> Notice:
    unset, held = state.unset(webhook), state.held_by(webhook)
    return Notice(integration=webhook.integration.name, pk=webhook.pk, unset=unset, held=held)


def _places(listing: Listing[WebhookLog], before: Place | None, floor: Place | None) -> tuple[list[Place], bool]:
    """A page of places, or with `floor` all down to it; and whether there are more than may be shown."""
    size = LIMIT if floor else PAGE
    if before:
        listing = listing.older(before)
    elif floor:
        listing = listing.down_to(floor)
    found = listing.places(0, size + 1)
    return found[:size], len(found) > size


def _below(floor: Place, looked_to: Place | None) -> bool:
    return looked_to is not None and (floor.at, floor.pk) < (looked_to.at, looked_to.pk)


def visible(user: User) -> QuerySet[WebhookLog]:
    """The deliveries that `user` may read, with what their line in the feed needs."""
    rows = WebhookLog.objects.select_related("webhook__integration")
    return permissions.readable(user, rows, path="webhook__integration")


def _lines() -> QuerySet[WebhookLog]:
    rows = WebhookLog.objects.select_related("webhook__integration")
    return rows.defer("payload", "body", "headers", "traceback", "query_string")


# --- Pure ------------------------------------------------------------------------------------------------------------


def row_of(log: WebhookLog, scope: Collection[UUID] | None = ()) -> Row:
    """`scope`: the receivers whose events may be chosen for a replay of several; None: all."""
    integration = log.webhook.integration
    may = scope is None or log.webhook_id in scope
    return Row(
        pk=log.pk,
        event=log.event_type or _("unknown event"),
        integration=integration.name,
        icon=integration.icon,
        status=log.get_status_display(),
        tone=_TONES.get(log.status, "unknown"),
        note=_note(log),
        due_at=log.next_attempt_at,
        retries=log.retry_count,
        took_ms=log.processing_time_ms,
        at=log.created_at,
        first=log.duplicate_of,
        is_test=log.is_test,
        is_replay=log.replay_of is not None,
        picks=may and log.verified and log.status != Status.PENDING and log.personal_dropped_at is None,
    )


def _note(log: WebhookLog) -> str:
    if log.status == Status.FAILED and not log.due_at:
        return _("gave up")
    if log.status != Status.PENDING:
        return ""
    if not log.webhook.integration.is_active:
        return _("held: the integration is switched off")
    if not log.webhook.is_active:
        return _("held: the webhook is switched off")
    return "" if log.verified else _("waits for the provider's confirmation")


def _receivers(webhooks: Iterable[Webhook]) -> tuple[Receiver, ...]:
    return tuple(
        Receiver(
            integration=webhook.integration.name,
            slug=webhook.integration.slug,
            pk=webhook.pk,
            url=settings.PUBLIC_URL + webhook.webhook_url,
            is_active=webhook.is_active,
            unset=state.unset(webhook),
        )
        for webhook in webhooks
    )
