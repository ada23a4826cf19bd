"""Planned work as its page shows it: what goes on, what is to come, and what is over, with what happened meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery, Value

from healthchecks.alerts import words
from healthchecks.models import Incident, Maintenance
from integrations import permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from integrations.seek import Listing, Place

PER_PAGE = 20
MOST_AHEAD = 100
"""Of what goes on, and of what is to come."""
MOST_OVER = 200
"""How far what is over may grow by itself before it starts anew from the top."""
TOLD = 3
"""Incidents named of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`incidents` began while it went on: the newest few, and how `many` in all."""

    row: Maintenance
    incidents: tuple[Incident, ...]
    many: int
    may_end: bool

    @property
    def length(self) -> str:
        return words.span(self.row.ends_at - self.row.starts_at)

    @property
    def more(self) -> int:
        return self.many - len(self.incidents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`floor` is where the last that is over stands, "" where none is; `older` leads to what was over before that,
    None at the beginning. `starts_anew`: what a page shows of older ones does not follow on these."""

    current: tuple[Line, ...]
    ahead: tuple[Line, ...]
    over: tuple[Line, ...]
    floor: str
    older: Place | None
    starts_anew: bool


def read(user: User, *, before: Place | None, floor: Place | None = None, now: datetime) -> Page:
    """Of what `user` may read; work on all integrations is for those who may read all. With `before` only what was
    over before that; with `floor` all that is over down to that one: what ends meanwhile comes on top, and nothing
    drops out below."""
    rows = permissions.readable(user, Maintenance.objects.select_related("integration"))
    listing = Listing(rows.filter(ends_at__lte=now), at="ends_at")
    places, more, anew = _places(listing, before, floor)
    over = listing.fetch(places)
    current = (
        [] if before else list(rows.filter(starts_at__lte=now, ends_at__gt=now).order_by("ends_at", "id")[:MOST_AHEAD])
    )
    ahead = [] if before else list(rows.filter(starts_at__gt=now).order_by("starts_at", "id")[:MOST_AHEAD])
    told = _Told(user, [*current, *over])
    return Page(
        current=tuple(map(told.line, current)),
        ahead=tuple(map(told.line, ahead)),
        over=tuple(map(told.line, over)),
        floor=str(places[-1]) if places else "",
        older=places[-1] if more else None,
        starts_anew=anew,
    )


def _places(
    listing: Listing[Maintenance], before: Place | None, floor: Place | None
) -> tuple[list[Place], bool, bool]:
    """Where they stand, whether there are more, and whether these start anew."""
    if before:
        listing = listing.older(before)
    elif floor:
        found = listing.down_to(floor).places(0, MOST_OVER + 1)
        if len(found) <= MOST_OVER:
            return found, False, False
    found = listing.places(0, PER_PAGE + 1)
    return found[:PER_PAGE], len(found) > PER_PAGE, True


class _Told:
    """What else is to be said of each: four queries, however many there are."""

    def __init__(self, user: User, begun: Sequence[Maintenance]) -> None:
        self._everywhere = permissions.may(user, Perm.MANAGE)
        visible = [] if self._everywhere else permissions.visible(user, Perm.MANAGE).values_list("pk", flat=True)
        self._managed = set(visible)
        self._meanwhile = _meanwhile(user, begun)

    def line(self, row: Maintenance) -> Line:
        found, many = self._meanwhile.get(row.pk, ((), 0))
        may_end = self._everywhere or row.integration_id in self._managed
        return Line(row=row, incidents=found, many=many, may_end=may_end)


def _meanwhile(user: User, begun: Sequence[Maintenance]) -> dict[UUID, tuple[tuple[Incident, ...], int]]:
    """Of each, the newest few that began in it, and how many did."""
    rows = permissions.readable(user, Incident.objects.all())
    own, everybodys = (
        Maintenance.objects.filter(pk__in=[row.pk for row in begun if (row.integration_id is None) == of_all])
        for of_all in (False, True)
    )
    told = {**_began(own, rows.filter(integration=OuterRef("integration"))), **_began(everybodys, rows)}
    known = Incident.objects.select_related("integration").in_bulk([pk for pks, _many in told.values() for pk in pks])
    return {work: (tuple(known[pk] for pk in pks if pk in known), many) for work, (pks, many) in told.items()}


def _began(works: QuerySet[Maintenance], incidents: QuerySet[Incident]) -> dict[UUID, tuple[list[UUID], int]]:
    """By work that any of `incidents` began in: the newest few of them, and how many they are."""
    within = incidents.filter(opened_at__gte=OuterRef("starts_at"), opened_at__lt=OuterRef("ends_at"))
    newest = within.order_by("-opened_at", "-id").values("pk")
    many = within.order_by().values(every=Value(1)).annotate(n=Count("pk")).values("n")
    found = works.values_list("pk", Subquery(many), *(Subquery(newest[n : n + 1]) for n in range(TOLD)))
    return {work: ([pk for pk in pks if pk], number) for work, number, *pks in found if number}
