"""Planned work as its page shows it: what goes on, what is to come, and what is over, with what happened meanwhile."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from healthchecks.alerts import words
from healthchecks.models import Incident, Maintenance
from integrations import permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from integrations.seek import Listing, Place

PER_PAGE = 20
MOST_AHEAD = 100
"""Of what goes on, and of what is to come."""
TOLD, MOST_INCIDENTS = 3, 500
"""Incidents named of each, and looked at in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`incidents` began while it went on and raised no alert for that: the first few, and how `many` in all."""

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
    """`older` leads to what was over before that, None at the beginning."""

    current: tuple[Line, ...]
    ahead: tuple[Line, ...]
    over: tuple[Line, ...]
    older: Place | None


def read(user: User, *, before: Place | None, now: datetime) -> Page:
    """Of what `user` may read; work on all integrations is for those who may read all. With `before` only what was
    over before that."""
    rows = permissions.readable(user, Maintenance.objects.select_related("integration"))
    listing = Listing(rows.filter(ends_at__lte=now), at="ends_at")
    places = (listing.older(before) if before else listing).places(0, PER_PAGE + 1)
    over = listing.fetch(places[:PER_PAGE])
    current = (
        [] if before else list(rows.filter(starts_at__lte=now, ends_at__gt=now).order_by("ends_at", "id")[:MOST_AHEAD])
    )
    ahead = [] if before else list(rows.filter(starts_at__gt=now).order_by("starts_at", "id")[:MOST_AHEAD])
    told = _Told(user, [*current, *over])
    return Page(
        current=tuple(map(told.line, current)),
        ahead=tuple(map(told.line, ahead)),
        over=tuple(map(told.line, over)),
        older=places[PER_PAGE - 1] if len(places) > PER_PAGE else None,
    )


class _Told:
    """What else is to be said of each: two queries, however many there are."""

    def __init__(self, user: User, begun: Sequence[Maintenance]) -> None:
        self._everywhere = permissions.may(user, Perm.MANAGE)
        visible = [] if self._everywhere else permissions.visible(user, Perm.MANAGE).values_list("pk", flat=True)
        self._managed = set(visible)
        self._meanwhile = _meanwhile(user, begun)

    def line(self, row: Maintenance) -> Line:
        found = self._meanwhile.get(row.pk, [])
        return Line(
            row=row,
            incidents=tuple(found[:TOLD]),
            many=len(found),
            may_end=self._everywhere or row.integration_id in self._managed,
        )


def _meanwhile(user: User, begun: Sequence[Maintenance]) -> dict[UUID, list[Incident]]:
    found: dict[UUID, list[Incident]] = defaultdict(list)
    if not begun:
        return found
    within = Q()
    for row in begun:
        whose: dict[str, Any] = {"integration": row.integration_id} if row.integration_id else {}
        within |= Q(opened_at__gte=row.starts_at, opened_at__lt=row.ends_at, **whose)
    incidents = permissions.readable(user, Incident.objects.filter(within).select_related("integration"))
    for incident in incidents.order_by("-opened_at", "-id")[:MOST_INCIDENTS]:
        for row in begun:
            same = row.integration_id in (None, incident.integration_id)
            if same and row.starts_at <= incident.opened_at < row.ends_at:
                found[row.pk].append(incident)
    return found
