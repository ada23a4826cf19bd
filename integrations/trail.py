"""The activity log as it is read: filters from the address bar, a cursor through time, an entry as people read it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Self
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import activity, deeds, permissions, seek
from integrations.accounts.models import User
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from integrations.seek import Listing, Place

PAGE = 50
LIMIT = 200
"""How far a list may grow by itself before it starts anew from the top."""
EXPORT_PAGE = 1000
OUTCOMES = {
    activity.SUCCESS: gettext_noop("Done"),
    activity.FAILURE: gettext_noop("Failed"),
    activity.REFUSED: gettext_noop("Refused"),
}
_TONES = {activity.SUCCESS: "healthy", activity.FAILURE: "down", activity.REFUSED: "degraded"}


@dataclass(frozen=True, slots=True)
class Filters:
    """`since` and `until` include the moment they name."""

    integration: str = ""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    request: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """From the address bar. A value that isn't one of ours filters nothing."""

        def asked(name: str, most: int = 150) -> str:
            return query.get(name, "").replace("\x00", "").strip()[:most]  # NUL: PostgreSQL takes none

        outcome = asked("outcome")
        return cls(
            integration=asked("integration", 50),
            actor=asked("actor"),
            action=asked("action", 60),
            outcome=outcome if outcome in OUTCOMES else "",
            request=asked("request", 64),
            since=_instant(asked("from"), time.min),
            until=_instant(asked("to"), time.max),
        )

    def __bool__(self) -> bool:
        return self != Filters()

    def query(self, **more: object) -> str:
        """As they stand in the address bar, with `more` added."""
        told = {
            "integration": self.integration, "actor": self.actor, "action": self.action, "outcome": self.outcome,
            "request": self.request, "from": _day(self.since), "to": _day(self.until),
        } | more  # fmt: skip
        return urlencode({name: value for name, value in told.items() if value})

    def exact(self) -> str:
        """The same as a query of the API, for the export: as moments, for its days aren't the reader's."""
        since, until = (moment.isoformat() if moment else "" for moment in (self.since, self.until))
        return self.query(**{"from": since, "to": until})


def _instant(text: str, at: time) -> datetime | None:
    """The first or last instant of a day here; None for what is no day."""
    try:
        day = parse_date(text)
        # A day that every time zone and every database can tell.
        return timezone.make_aware(datetime.combine(day, at)) if day and 1970 <= day.year < 9999 else None
    except (ValueError, OverflowError):
        return None


def _day(moment: datetime | None) -> date | None:
    return timezone.localtime(moment).date() if moment else None


# --- What templates get ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`words`: what the actor did, "" where this version has no words for it. `slug` is that of an integration that is
    there and that the reader may see, else "". `doubtful`: it doesn't fit the chain."""

    seq: int
    actor: str
    words: str
    action: str
    integration: str
    slug: str
    icon: str
    done: bool
    label: str
    tone: str
    at: datetime
    changes: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str], ...]
    ip_address: str
    user_agent: str
    request_id: str
    doubtful: bool

    @property
    def brief(self) -> str:
        """The first changes on one line."""
        return " · ".join(f"{name}: {old} → {new}" for name, old, new in self.changes[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """`floor` is where its last row stands; `older`, `newest` and `export` are query strings, `older` "" when that was
    all.
    `doubtful`: the numbers of those rows that don't fit the chain."""

    filters: Filters
    rows: tuple[Row, ...]
    floor: str
    older: str
    newest: str
    export: str
    starts_anew: bool
    doubtful: tuple[int, ...]
    integrations: tuple[tuple[str, str], ...]
    actions: tuple[tuple[str, str], ...]
    outcomes: tuple[tuple[str, str], ...]


# --- Reading ---------------------------------------------------------------------------------------------------------


def listing(user: User | AnonymousUser, filters: Filters) -> Listing[Activity]:
    """What `user` may read of it: all, or with grants on single integrations what was done to those."""
    wanted = {
        "username": filters.actor, "action": filters.action, "outcome": filters.outcome,
        "request_id": filters.request, "created_at__gte": filters.since, "created_at__lte": filters.until,
    }  # fmt: skip
    rows = Activity.objects.filter(**{column: value for column, value in wanted.items() if value})
    if permissions.may(user, Perm.READ):
        return Listing(rows.filter(integration_slug=filters.integration) if filters.integration else rows)
    slugs = permissions.visible(user).values_list("slug", flat=True)
    mine = list(slugs.filter(slug=filters.integration) if filters.integration else slugs)
    if 0 < len(mine) <= seek.MOST_PARTS:
        return Listing(rows, [Q(integration_slug=slug) for slug in mine])
    return Listing(rows.filter(integration_slug__in=mine))


def read(user: User, filters: Filters, *, before: Place | None = None, floor: Place | None = None) -> Trail:
    """The newest rows; with `before` the page that is older; with `floor` all from the newest down to that row."""
    found = listing(user, filters)
    size = LIMIT if floor and not before else PAGE
    part = found.older(before) if before else found.down_to(floor) if floor else found
    places = part.places(0, size + 1)
    grew_too_long = floor is not None and not before and len(places) > size
    if grew_too_long:
        size, places = PAGE, found.places(0, PAGE + 1)
    last, more = places[:size][-1] if places else None, len(places) > size
    entries = found.fetch(places[:size])
    seen = {one.slug: one for one in permissions.visible(user).order_by("name")}
    doubtful = activity.misfits(entries)
    return Trail(
        filters=filters,
        rows=tuple(_row(one, seen.get(one.integration_slug), one.seq in doubtful) for one in entries),
        floor=str(last) if last else "",
        older=filters.query(before=str(last)) if more else "",
        newest=filters.query(),
        export=filters.exact(),
        starts_anew=floor is None or grew_too_long,
        doubtful=tuple(sorted(doubtful)),
        integrations=tuple((one.slug, one.name) for one in seen.values()),
        actions=_actions(filters.action),
        outcomes=tuple((value, _(label)) for value, label in OUTCOMES.items()),
    )


def newest(integration: Integration, most: int) -> tuple[Row, ...]:
    """The last few things that were done to one that the reader may read."""
    rows = Activity.objects.filter(integration_slug=integration.slug).order_by("-created_at", "-id")[:most]
    return tuple(_row(row, integration, doubtful=False) for row in rows)


def switched(integration: Integration) -> Row | None:
    """Who switched it on or off last."""
    rows = Activity.objects.filter(integration_slug=integration.slug, action="integration_changed")
    row = rows.filter(details__after__is_active=integration.is_active).order_by("-created_at", "-id").first()
    return _row(row, integration, doubtful=False) if row else None


def pages(user: User | AnonymousUser, filters: Filters) -> Iterator[list[Sequence[Any]]]:
    """All of it as cells, a page at a time."""
    rows = listing(user, filters)
    places = rows.places(0, EXPORT_PAGE)
    while places:
        yield [_cells(row) for row in rows.fetch(places)]
        places = rows.older(places[-1]).places(0, EXPORT_PAGE) if len(places) == EXPORT_PAGE else []


COLUMNS = (
    "number", "at", "actor", "action", "outcome", "integration", "what", "details", "ipAddress", "userAgent",
    "requestId",
)  # fmt: skip


def _cells(row: Activity) -> Sequence[Any]:
    return (
        row.seq, row.created_at.isoformat().replace("+00:00", "Z"), row.username, row.action, row.outcome,
        row.integration_slug, deeds.sentence(row, row.integration_slug),
        _spread(row.details), row.ip_address, row.user_agent, row.request_id,
    )  # fmt: skip


def _spread(details: Mapping[str, Any]) -> str:
    told = [f"{name}: {old} → {new}" for name, old, new in deeds.changes(details)]
    return "; ".join([*told, *(f"{name}: {value}" for name, value in deeds.facts(details))])


# --- Pure ------------------------------------------------------------------------------------------------------------


def _actions(asked: str) -> tuple[tuple[str, str], ...]:
    """Those to choose from, and what was asked for if it isn't one of them."""
    names: Iterable[str] = deeds.DONE if not asked or asked in deeds.DONE else [*deeds.DONE, asked]
    return tuple(sorted(((name, deeds.label(name)) for name in names), key=lambda pair: pair[1].lower()))


def _row(row: Activity, integration: Integration | None, doubtful: bool) -> Row:
    return Row(
        seq=row.seq,
        actor=row.username,
        words=deeds.sentence(row, integration.name if integration else row.integration_slug),
        action=row.action,
        integration=integration.name if integration else row.integration_slug,
        slug=integration.slug if integration else "",
        icon=_icon(row, integration),
        done=row.outcome == activity.SUCCESS,
        label=_(OUTCOMES[row.outcome]) if row.outcome in OUTCOMES else row.outcome,
        tone=_TONES.get(row.outcome, "unknown"),
        at=row.created_at,
        changes=deeds.changes(row.details),
        facts=deeds.facts(row.details),
        ip_address=row.ip_address or "",
        user_agent=row.user_agent,
        request_id=row.request_id,
        doubtful=doubtful,
    )


def _icon(row: Activity, integration: Integration | None) -> str:
    if integration:
        return integration.icon
    if row.action.startswith("cron_"):
        return "calendar-clock"
    return "shield-alert" if row.outcome == activity.REFUSED else "user-round"
