"""What findings are made of, and from."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db.models import Model

from healthchecks.models import Alarm, Maintenance
from integrations.models import Integration

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`key` is what it is about, the same at every look; `about` are the slugs of all integrations concerned."""

    key: str
    kind: Alarm.Kind
    severity: Alarm.Severity
    about: tuple[str, ...]
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """Planned work that goes on just now: on these, or `on_all`."""

    slugs: frozenset[str]
    on_all: bool

    @classmethod
    def at(cls, now: datetime) -> Self:
        rows = Maintenance.objects.filter(starts_at__lte=now, ends_at__gt=now)
        slugs = set(rows.values_list("integration__slug", flat=True))
        return cls(frozenset(slug for slug in slugs if slug), None in slugs)

    def covers(self, about: Iterable[str]) -> bool:
        """Whether it goes on at all that something is about."""
        slugs = set(about)
        return self.on_all or (bool(slugs) and slugs <= self.slugs)


@dataclass(frozen=True, slots=True)
class Scene:
    """What all findings are made from. `rows`: the integrations that are switched on."""

    now: datetime
    rows: tuple[Integration, ...]
    planned: Planned

    @property
    def watched(self) -> list[Integration]:
        return [row for row in self.rows if not self.planned.covers([row.slug])]


@dataclass(slots=True)
class Found:
    """`unsure`: keys of which nothing can be said just now, so what is open stays open; one that ends in ":" stands
    for all that begin with it. `broken`: what could not be judged, in words, and by what kind of error."""

    findings: list[Finding] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Found") -> None:
        self.findings += other.findings
        self.unsure |= other.unsure
        self.broken |= other.broken

    @contextmanager
    def judging(self, what: str, *keys: str) -> Iterator[None]:
        """An error within costs this judgement and no other: it is told, and what is open under `keys` stays open."""
        try:
            yield
        except Exception as error:
            log.exception("Alerts about %s can't be judged", what)
            self.broken[what] = type(error).__name__  # its words may hold what is nobody's business
            self.unsure |= set(keys)


def rule_of(row: Integration) -> str:
    """The rule by which its newest check was judged; "" when there was none."""
    return getattr(row, "last_rule", None) or ""


def by_pk(rows: Iterable[Model]) -> list[UUID]:
    return [row.pk for row in rows]
