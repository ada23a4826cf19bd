"""Lists that can grow: by page for the first 10,000 rows, beyond by cursor, so that no page costs much more."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers

from integrations.api.problems import Problem
from integrations.seek import Listing, Place

CAP = 10_000
M = TypeVar("M", bound=Model)


class PageQuery(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, default=1, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50, required=False)
    cursor = serializers.RegexField(
        r"^[A-Za-z0-9_-]+$", required=False, max_length=200, help_text="`nextCursor` of the page before."
    )


class Pagination(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="Exact up to 10,000.")
    totalIsCapped = serializers.BooleanField()
    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    totalPages = serializers.IntegerField()
    nextCursor = serializers.CharField(allow_null=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    rows: list[M]
    pagination: dict[str, Any]


def paginate(rows: QuerySet[M] | Listing[M], query: dict[str, Any], *, looked_to: Place | None = None) -> Page[M]:
    """One page of `rows`, newest first. `query` is a validated PageQuery.

    `looked_to`: `rows` are only what was found down to there. Then the total is of that, and the cursor goes on below.
    """
    listing = rows if isinstance(rows, Listing) else Listing(rows)
    page, limit = query["page"], query["limit"]
    total = None
    if cursor := query.get("cursor"):
        found = listing.older(decode(cursor)).places(0, limit + 1)
    else:
        start = (page - 1) * limit
        if start >= CAP and (total := listing.count(CAP + 1)) > CAP:
            words = "Pages go to row 10,000; go on with ?cursor=, given as pagination.nextCursor."
            raise Problem(400, "use_cursor", words, field="page")
        # Past the end nothing is asked: an offset may be larger than a database can count.
        found = listing.places(start, start + limit + 1) if start < CAP else []
        if 0 < len(found) <= limit or (page == 1 and not found):
            total = start + len(found)  # the last page tells it
    if total is None:
        total = listing.count(CAP + 1)
    more = len(found) > limit
    found = found[:limit]
    follows = found[-1] if more else looked_to
    return Page(
        listing.fetch(found),
        {
            "total": min(total, CAP),
            "totalIsCapped": total > CAP or looked_to is not None,
            "page": page,
            "limit": limit,
            "totalPages": -(-min(total, CAP) // limit),
            "nextCursor": encode(follows) if follows else None,
        },
    )


def encode(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.at.isoformat()}|{place.pk}".encode()).decode().rstrip("=")


def decode(cursor: str) -> Place:
    """What `encode` made; 400 for anything else."""
    try:
        moment, _, pk = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        when = datetime.fromisoformat(moment)
        if when.tzinfo is None:
            raise ValueError("no time zone")
        return Place(when.astimezone(UTC), UUID(pk))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise serializers.ValidationError({"cursor": ["This is not a cursor we gave."]}) from error
