"""The log of failed calls, of one integration or many, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from healthchecks.asked import Asked
from integrations import permissions, seek
from integrations.accounts.models import User
from integrations.models import ApiMetric, Integration
from integrations.permissions import Perm
from integrations.seek import Listing, Place

DAY = timedelta(days=1)
ERRORS = 15
MOST_ERRORS = 100
"""How far the error log may grow by itself before it starts anew from the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    pk: UUID
    at: datetime
    integration: str
    icon: str
    query: str
    method: str
    path: str
    status: int | None
    words: str
    took_ms: int
    is_probe: bool

    @property
    def tone(self) -> str:
        return "down" if self.status is None or self.status >= 500 or self.status < 400 else "degraded"


@dataclass(frozen=True, slots=True)
class Errors:
    """`floor` is where the last of them stands; `older` asks for what comes below, "" at the end. `starts_anew`: what
    a page shows of older ones does not follow on these."""

    rows: tuple[ErrorLine, ...]
    floor: str
    older: str
    starts_anew: bool


def before(user: User, asked: Asked, *, place: Place, now: datetime) -> Errors:
    """Those before a place."""
    rows = permissions.visible(user, Perm.READ)
    rows = rows.filter(slug=asked.integration) if asked.integration else rows
    return log(list(rows), asked, before=place, floor=None, now=now)


_COLUMNS = (
    "created_at", "id", "integration_id", "method", "endpoint", "status_code", "error_message", "response_time_ms",
    "source",
)  # fmt: skip


def log(
    rows: Sequence[Integration], asked: Asked, *, before: Place | None, floor: Place | None, now: datetime
) -> Errors:
    """The newest; with `before` those before it; with `floor` all down to it, so that what a page shows doesn't drop
    out below when new ones come on top."""
    failed = ApiMetric.objects.exclude(error_message="")
    if asked.only:
        failed = failed.filter(method=asked.only.method, endpoint=asked.only.path)
    # An index has each integration's errors in order. Beyond so many no database merges them well: then a day's.
    parts = [Q(integration=row.pk) for row in rows]
    if len(parts) > seek.MOST_PARTS:
        newest = before.at if before else now
        parts = [Q(integration__in=[row.pk for row in rows], created_at__gte=newest - DAY)]
    listing, most = Listing(failed), MOST_ERRORS if floor else ERRORS
    if before:
        listing = listing.older(before)
    elif floor:
        listing = listing.down_to(floor)
    found = [listing.rows.filter(part).values_list(*_COLUMNS) for part in parts]
    calls = list(seek.merged(found, "-created_at", "-id", stop=most + 1)) if found else []
    if floor and len(calls) > most:
        return log(rows, asked, before=None, floor=None, now=now)
    known = {row.pk: row for row in rows}
    lines = tuple(_error(known[call[2]], asked, *call) for call in calls[:most])
    last = str(Place(lines[-1].at, lines[-1].pk)) if lines else ""
    return Errors(lines, last, asked.query(before=last) if len(calls) > most else "", starts_anew=floor is None)


def _error(
    row: Integration, asked: Asked, at: datetime, pk: UUID, _: UUID,
    method: str, path: str, status: int | None, said: str, took_ms: int, source: str,
) -> ErrorLine:  # fmt: skip
    return ErrorLine(
        pk=pk, at=at, integration="" if asked.integration else row.name, icon=row.icon, method=method,
        path=path, status=status, words=said, took_ms=took_ms, is_probe=source == ApiMetric.Source.PROBE,
        query=asked.query(integration=row.slug, endpoint=f"{method} {path}"),
    )  # fmt: skip
