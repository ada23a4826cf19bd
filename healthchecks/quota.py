"""Where each integration stands with its provider's rate limit, and when that is used up if it goes on like this.

A provider's headers know best: they count what others ask with the same key too. Where none told lately, our own calls
are counted against the limit that is declared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, DateTimeField, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, JSONObject
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from healthchecks import status
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Limit

WARNING_PERCENT = 80
SHORTEST_SECONDS = 60
"""A window under a minute says nothing about the next: it is neither warned of nor forecast."""
LOOK_BACK = timedelta(hours=1)
"""How fast a quota is used is seen over so long, or over its window where that is shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How it stood `at` a moment: `remaining` of `limit` calls in `window`; `told` by the provider, or counted by us.

    `resets_at`: when all of it is there again, where that was told. `per_hour`: how fast it is being used; None where
    too little is known. `runs_out_at`: when nothing will be left, if that is before it is there again.
    """

    limit: int
    remaining: int
    window: timedelta
    told: bool
    at: datetime
    resets_at: datetime | None = None
    per_hour: float | None = None
    runs_out_at: datetime | None = None

    @property
    def used_percent(self) -> float:
        return 100 * (1 - self.remaining / self.limit) if self.limit else 100.0

    @property
    def is_warning(self) -> bool:
        """At least 80 % are used, of a window that is long enough to be worth a word."""
        return self.used_percent >= WARNING_PERCENT and self.window.total_seconds() >= SHORTEST_SECONDS

    @property
    def words(self) -> str:
        """What is left, who says so, and for how long it will do."""
        if self.told:
            text = _("{left} of {limit} calls are left ({window} window), as the provider tells.")
        else:
            text = _("{left} of {limit} calls are left ({window} window), by our own count.")
        left, limit, window = f"{self.remaining:,}", f"{self.limit:,}", _length(self.window)
        return " ".join(filter(None, [text.format(left=left, limit=limit, window=window), self._forecast()]))

    def _forecast(self) -> str:
        if not self.runs_out_at:
            return ""
        speed, time = f"{self.per_hour:,.0f}", _length(self.runs_out_at - self.at)
        if not self.resets_at:
            return _("At {speed} an hour nothing is left in {time}.").format(speed=speed, time=time)
        early = _length(self.resets_at - self.runs_out_at)
        text = _("At {speed} an hour nothing is left in {time}, {early} before it starts anew.")
        return text.format(speed=speed, time=time, early=early)


def _length(delta: timedelta) -> str:
    seconds, days = delta.total_seconds(), round(delta / timedelta(days=1))
    if seconds < 90:
        return f"{seconds:.0f} s"
    return status.span(delta) if delta < timedelta(days=2) else ngettext("{n} day", "{n} days", days).format(n=days)


# --- Pure ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What the headers of an answer told, when."""

    remaining: int
    limit: int | None
    resets_at: datetime | None
    at: datetime


def told(limit: Limit, newest: Told, most: Told | None, *, now: datetime) -> Quota:
    """As headers say. `most` is the one that told of the most within the look back: after it nothing was given back,
    so the speed is what has gone since then."""
    total = newest.limit or max(limit.requests, newest.remaining)
    speed = None
    if most is not None and now - most.at >= look_back(limit) / 6:
        speed = (most.remaining - newest.remaining) / (now - most.at).total_seconds()
    return _quota(limit, newest.remaining, total, now, told=True, resets_at=newest.resets_at, speed=speed, net=speed)


def counted(limit: Limit, calls: int, lately: int, *, now: datetime) -> Quota:
    """By our own calls: so many within the window, of them `lately` within the look back.

    The window slides: calls leave it as fast as they came. So only what is faster than that uses it up.
    """
    speed = lately / look_back(limit).total_seconds()
    net = speed - calls / limit.seconds
    return _quota(limit, max(0, limit.requests - calls), limit.requests, now, told=False, speed=speed, net=net)


def look_back(limit: Limit) -> timedelta:
    return min(LOOK_BACK, timedelta(seconds=limit.seconds))


def _quota(
    limit: Limit,
    remaining: int,
    total: int,
    now: datetime,
    *,
    told: bool,
    speed: float | None,
    net: float | None,
    resets_at: datetime | None = None,
) -> Quota:
    window = timedelta(seconds=limit.seconds)
    runs_out_at = None
    if remaining and net and net > 0 and limit.seconds >= SHORTEST_SECONDS:
        seconds, end = remaining / net, resets_at or now + window
        runs_out_at = now + timedelta(seconds=seconds) if seconds < (end - now).total_seconds() else None
    return Quota(
        limit=total, remaining=remaining, window=window, told=told, at=now, resets_at=resets_at,
        per_hour=None if speed is None else speed * 3600, runs_out_at=runs_out_at,
    )  # fmt: skip


# --- From what is recorded -------------------------------------------------------------------------------------------


def quotas(integrations: Iterable[Integration], *, now: datetime) -> dict[UUID, Quota]:
    """How each of them stands whose provider declares a limit: one query for all."""
    limits = {row.pk: row.spec.limit for row in integrations if row.spec and row.spec.limit}
    return {row["pk"]: _read(limits[row["pk"]], row, now) for row in _recorded(limits, now)} if limits else {}


def _read(limit: Limit, row: Mapping[str, Any], now: datetime) -> Quota:
    newest, most = _told(row["newest"]), _told(row["most"])
    if newest is None or (newest.resets_at is not None and newest.resets_at <= now):  # of a window that is over
        return counted(limit, row["calls"], row["lately"], now=now)
    return told(limit, newest, most, now=now)


def _recorded(limits: Mapping[UUID, Limit], now: datetime) -> Iterable[Mapping[str, Any]]:
    calls = ApiMetric.objects.filter(integration=OuterRef("pk"))
    begins = _moments({pk: now - timedelta(seconds=limit.seconds) for pk, limit in limits.items()})
    look_from = _moments({pk: now - look_back(limit) for pk, limit in limits.items()})
    told = calls.filter(rate_limit_remaining__isnull=False)
    in_window, recent = calls.filter(created_at__gte=OuterRef("begins")), OuterRef("look_from")
    apart = [pk for pk, limit in limits.items() if limit.each == "endpoint"]
    return (
        Integration.objects.filter(pk__in=list(limits))
        .annotate(begins=begins, look_from=look_from)
        .values("pk")
        .annotate(
            newest=_one(told.filter(created_at__gte=OuterRef("begins")).order_by("-created_at")),
            most=_one(told.filter(created_at__gte=recent).order_by("-rate_limit_remaining", "created_at")),
            calls=Case(When(pk__in=apart, then=_number(in_window, "endpoint")), default=_number(in_window)),
            lately=_number(calls.filter(created_at__gte=recent)),
        )
    )


def _moments(moments: Mapping[UUID, datetime]) -> Case:
    return Case(*(When(pk=pk, then=Value(at)) for pk, at in moments.items()), output_field=DateTimeField())


def _one(rows: QuerySet[ApiMetric]) -> Subquery:
    fields = {
        "remaining": "rate_limit_remaining", "limit": "rate_limit_limit", "resets_at": "rate_limit_reset_at",
        "at": "created_at",
    }  # fmt: skip
    return Subquery(rows.values(json=JSONObject(**fields))[:1])


def _number(rows: QuerySet[ApiMetric], by: str = "integration") -> Coalesce:
    """How many there are; by endpoint: of the one that is called most."""
    numbers = rows.order_by().values(by).annotate(number=Count("pk")).order_by("-number").values("number")[:1]
    return Coalesce(Subquery(numbers), 0, output_field=IntegerField())


def _told(json: Mapping[str, Any] | None) -> Told | None:
    if json is None:
        return None
    at = _time(json["at"])
    assert at is not None  # noqa: S101 - the column has no NULL
    return Told(json["remaining"], json["limit"], _time(json["resets_at"]), at)


def _time(text: str | None) -> datetime | None:
    """As the database writes a time into JSON: in UTC, though SQLite doesn't say so."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
