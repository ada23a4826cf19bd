"""Reading a big table in order, a page at a time, by places: (time, id) of a row, which an index holds.

Where no index has the rows asked for in order, several may have a part each: the rows of one receiver and status, say.
A database merges such parts as it goes and reads no further than the page needs, so the cost is the page's, not the
table's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, Self, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.utils.dateparse import parse_datetime

M = TypeVar("M", bound=Model)

MOST_PARTS = 40
"""Planning a query takes longer with each part of it."""


class Place(NamedTuple):
    """Where a row stands in a list from new to old."""

    at: datetime
    pk: UUID

    def __str__(self) -> str:
        """As it stands in an address; `place` reads it."""
        return f"{self.at.isoformat()}~{self.pk}"


def place(text: str) -> Place | None:
    """The place that `text` names; None for what names none: a list then begins at its top."""
    at, _, pk = text.partition("~")
    try:
        moment = parse_datetime(at)
        return Place(moment.astimezone(UTC), UUID(pk)) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Listing(Generic[M]):
    """Those of `rows` that are in one of `parts`, newest first by (`at`, id); without parts all of them.

    No row is in two parts. What a part says must not be said by `rows` again: `= x` and `IN (x)` together are what an
    index can't read in order.
    """

    rows: QuerySet[M]
    parts: Sequence[Q] = ()
    at: str = "created_at"

    def filter(self, *conditions: Q) -> Self:
        return replace(self, rows=self.rows.filter(*conditions))

    def defer(self, *fields: str) -> Self:
        return replace(self, rows=self.rows.defer(*fields))

    def older(self, than: Place) -> Self:
        # The first condition says nothing new, but it is the one that an index can use.
        return self.filter(Q(**{f"{self.at}__lte": than.at}), Q(**{f"{self.at}__lt": than.at}) | Q(pk__lt=than.pk))

    def down_to(self, place: Place) -> Self:
        """Those that are newer, and the row at that place itself."""
        newer = Q(**{f"{self.at}__gt": place.at}) | Q(pk__gte=place.pk)
        return self.filter(Q(**{f"{self.at}__gte": place.at}), newer)

    def places(self, start: int, stop: int) -> list[Place]:
        return [Place(*found) for found in self.query(start, stop)]

    def query(self, start: int, stop: int) -> QuerySet[Any, Any]:
        """What `places` asks."""
        return merged(self._parts(), f"-{self.at}", "-id", stop=stop)[start:]

    def count(self, most: int) -> int:
        """How many there are, counted no further than to `most`."""
        return union(self._parts())[:most].count()

    def fetch(self, places: Sequence[Place]) -> list[M]:
        """The rows at these places, in their order; without those that are gone meanwhile."""
        there = self.rows.in_bulk([place.pk for place in places])
        return [there[place.pk] for place in places if place.pk in there]

    def pages(self, size: int) -> Iterator[list[M]]:
        """All of it, so many rows at a time."""
        places = self.places(0, size)
        while places:
            yield self.fetch(places)
            places = self.older(places[-1]).places(0, size) if len(places) == size else []

    def _parts(self) -> list[QuerySet[Any, Any]]:
        return [self.rows.filter(part).values_list(self.at, "id") for part in self.parts or [Q()]]


def merged(parts: Sequence[QuerySet[Any, Any]], *order: str, stop: int) -> QuerySet[Any, Any]:
    """The first rows of `parts`, value lists of one shape, in one order."""
    if len(parts) > 1 and connection.features.supports_slicing_ordering_in_compound:
        # Said of each as well: PostgreSQL would sort all of a part before it takes the first.
        return union([part.order_by(*order)[:stop] for part in parts]).order_by(*order)[:stop]
    return union(parts).order_by(*order)[:stop]


def union(parts: Sequence[QuerySet[Any, Any]]) -> QuerySet[Any, Any]:
    """All rows of `parts`, in no order; to be sliced or counted."""
    return parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
