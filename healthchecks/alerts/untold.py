"""What is down or degraded and no alarm yet: three scheduled checks in a row make one, which may take hours."""

from dataclasses import dataclass
from datetime import datetime

from healthchecks.alerts.causes import FAILURES
from healthchecks.alerts.scene import Planned
from healthchecks.models import Alarm
from integrations import permissions
from integrations.accounts.models import User
from integrations.models import HealthStatus, Integration

EXPLAINS = (Alarm.Kind.HEALTH, Alarm.Kind.GRANT, Alarm.Kind.QUOTA)
"""Kinds of alarms that say of an integration why it is unwell."""


@dataclass(frozen=True, slots=True)
class Untold:
    row: Integration

    @property
    def is_down(self) -> bool:
        return self.row.health_status == HealthStatus.DOWN

    @property
    def checks(self) -> int:
        """In a row, of those that count."""
        return min(self.row.consecutive_failures, FAILURES)

    @property
    def needed(self) -> int:
        return FAILURES


def read(user: User, *, now: datetime) -> list[Untold]:
    """Of what `user` may read, what is down first. Not what planned work keeps quiet: that is meant."""
    unwell = permissions.visible(user).filter(
        is_active=True, health_status__in=(HealthStatus.DEGRADED, HealthStatus.DOWN)
    )
    rows = list(unwell.order_by("name", "slug"))
    if not rows:
        return []
    alarms = Alarm.objects.filter(closed_at=None, kind__in=EXPLAINS).values_list("slugs", flat=True)
    explained, planned = {slug for slugs in alarms for slug in slugs}, Planned.at(now)
    found = [Untold(row) for row in rows if row.slug not in explained and not planned.covers([row.slug])]
    return sorted(found, key=lambda one: not one.is_down)
