"""What a person gets to see of alarms: in the bell, on the page, through the API; each only of what they may read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from healthchecks.alerts import alarms, routes, untold, words
from healthchecks.alerts.untold import Untold
from healthchecks.models import Alarm, Alert, AlertsSeen, Delivery
from integrations import permissions
from integrations.accounts.models import User
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm
from integrations.seek import Listing, Place

IN_BELL, PER_PAGE, MOST_UNREAD = 8, 50, 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An alarm as somebody sees it. Of one that is also about what they may not read (`whole` is False), only that it
    is, and of what kind. `held`: why nobody was told, "" when somebody was."""

    alarm: Alarm
    title: str
    text: str
    slugs: tuple[str, ...]
    href: str
    held: str = ""
    whole: bool = True

    @property
    def tone(self) -> str:
        if self.alarm.closed_at:
            return HealthStatus.HEALTHY
        return HealthStatus.DOWN if self.alarm.severity == Alarm.Severity.CRITICAL else HealthStatus.DEGRADED

    @property
    def label(self) -> str:
        return _("Over") if self.alarm.closed_at else self.alarm.get_severity_display()

    @property
    def deliveries(self) -> list[Delivery]:
        return [one for alert in self.alarm.alerts.all() for one in alert.deliveries.all()]


# --- Of whom ---------------------------------------------------------------------------------------------------------


def visible(user: User) -> QuerySet[Alarm]:
    """Those about at least one integration that `user` may read. What is about none needs the permission globally."""
    rows = Alarm.objects.all()
    if permissions.may(user, Perm.READ):
        return rows
    return _with_text(rows).filter(_about(permissions.visible(user).values_list("slug", flat=True)))


def of(rows: QuerySet[Alarm], integration: Integration) -> QuerySet[Alarm]:
    """Those about it, be it alone or with others."""
    return _with_text(rows).filter(_about([integration.slug]))


def _with_text(rows: QuerySet[Alarm]) -> QuerySet[Alarm]:
    """With `slugs` as text: SQLite can't look into a list."""
    return rows.alias(told_of=Cast("slugs", TextField()))


def _about(slugs: Iterable[str]) -> Q:
    named = Q(pk__in=[])
    for slug in slugs:
        named |= Q(told_of__contains=f'"{slug}"')
    return named


def shown(user: User, rows: Sequence[Alarm], *, now: datetime, explain: bool = False) -> list[Shown]:
    """`explain`: say of those nobody was told of why."""
    everything = permissions.may(user, Perm.READ)
    readable = permissions.visible(user).filter(slug__in={slug for row in rows for slug in row.slugs})
    names = dict(readable.values_list("slug", "name"))
    held = alarms.held_back([row for row in rows if row.closed_at is None], now=now) if explain else {}
    return [_shown(row, names, everything, held.get(row.pk, "")) for row in rows]


def _shown(row: Alarm, names: dict[str, str], everything: bool, held: str) -> Shown:
    slugs = tuple(slug for slug in row.slugs if slug in names)
    whole = everything or len(slugs) == len(row.slugs)
    title = row.title if whole else f"{words.together([names[slug] for slug in slugs])}: {row.get_kind_display()}"
    text = row.text if whole else ""
    href = words.place(row.kind, slugs, row.key)
    return Shown(alarm=row, title=title, text=text, slugs=slugs, href=href, held=held, whole=whole)


def subject(user: User, alert: Alert, shown: Shown) -> str:
    """What `alert` said; its words name all it was about. One about several may have named others than its alarm does
    by now, so only who may read all reads them."""
    whole = permissions.may(user, Perm.READ) or (shown.whole and alert.integration_id is not None)
    return alert.subject if whole else f"{alert.get_kind_display()}: {shown.title}"


# --- The bell --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bell:
    """What is open first, the worst of it on top, then what was; `untold` is no alarm yet. `unread` is counted to
    100."""

    alarms: tuple[Shown, ...]
    untold: tuple[Untold, ...]
    unread: int

    @property
    def count(self) -> str:
        return f"{MOST_UNREAD}+" if self.unread > MOST_UNREAD else str(self.unread)


def bell(user: User, *, now: datetime) -> Bell:
    rows = visible(user).order_by("-opened_at", "-id")
    first = list(rows.filter(closed_at=None).order_by("severity", "-opened_at", "-id")[:IN_BELL])
    first += rows.exclude(closed_at=None)[: IN_BELL - len(first)]
    return Bell(tuple(shown(user, first, now=now)), tuple(untold.read(user, now=now)[:IN_BELL]), unread(user))


def unread(user: User) -> int:
    """Opened since they last looked, counted to 100."""
    return visible(user).filter(opened_at__gt=_seen_at(user))[: MOST_UNREAD + 1].count()


def mark_seen(user: User, *, now: datetime) -> None:
    AlertsSeen.objects.update_or_create(user=user, defaults={"seen_at": now})


def _seen_at(user: User) -> datetime:
    known = AlertsSeen.objects.filter(user=user).values_list("seen_at", flat=True).first()
    return known or user.date_joined


# --- The page --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """A route, and the last thing sent by it."""

    label: str
    fallback: bool
    trouble: str
    last: Delivery | None


@dataclass(frozen=True, slots=True)
class Page:
    """`untold` is what is unwell and no alarm yet. `older` leads to what came before, None at the beginning. `ways` is
    None for who may not test them; `nowhere`: there are none."""

    nowhere: bool
    open: tuple[Shown, ...]
    untold: tuple[Untold, ...]
    over: tuple[Shown, ...]
    older: Place | None
    ways: tuple[Way, ...] | None


def page(user: User, *, before: Place | None, now: datetime) -> Page:
    rows = with_deliveries(visible(user))
    listing = Listing(rows.exclude(closed_at=None), at="opened_at")
    places = (listing.older(before) if before else listing).places(0, PER_PAGE + 1)
    over = listing.fetch(places[:PER_PAGE])
    lasting = [] if before else list(rows.filter(closed_at=None).order_by("severity", "-opened_at", "-id"))
    return Page(
        nowhere=not routes.configured(),
        open=tuple(shown(user, lasting, now=now, explain=True)),
        untold=() if before else tuple(untold.read(user, now=now)),
        over=tuple(shown(user, over, now=now)),
        older=places[PER_PAGE - 1] if len(places) > PER_PAGE else None,
        ways=_ways() if permissions.may(user, Perm.MANAGE) else None,
    )


def with_deliveries(rows: QuerySet[Alarm]) -> QuerySet[Alarm]:
    """With their alerts, the newest first, and what became of each by each route."""
    by_route = Prefetch("alerts__deliveries", queryset=Delivery.objects.order_by("position"))
    newest_first = Prefetch("alerts", queryset=Alert.objects.order_by("-created_at", "-id"))
    return rows.prefetch_related(newest_first, by_route)


def _ways() -> tuple[Way, ...]:
    return tuple(
        Way(route.label, route.fallback, route.trouble, _last(route.position, route.label))
        for route in routes.configured()
    )


def _last(position: int, label: str) -> Delivery | None:
    """The newest of which something is known."""
    rows = Delivery.objects.filter(position=position, route=label).exclude(status=Delivery.Status.SPARED)
    return rows.exclude(status=Delivery.Status.WAITING, error="").select_related("alert").order_by("-id").first()
