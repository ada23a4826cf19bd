"""Putting a message into the outbox: an alert, and a delivery of it for each route, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from healthchecks.alerts import channels, routes, words
from healthchecks.alerts.routes import Route
from healthchecks.models import Alarm, Alert, Delivery
from integrations import activity, mandate
from integrations.actor import Actor
from integrations.models import Integration

Kind = Alert.Kind


class NoRoute(Exception):
    """Alerts go nowhere: nothing is configured."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The routes of now, and which of them lead through a provider that is itself the patient."""

    routes: Sequence[Route]
    patients: frozenset[int]

    @classmethod
    def open(cls) -> "Outbox":
        found = routes.configured()
        return cls(found, channels.through_patients(found))

    def put(self, alert: Alert, *, due_at: datetime) -> None:
        """Every first route is due; a fallback waits in reserve, unless none of the first can be relied on."""
        shaky = all(route.position in self.patients for route in self.routes if not route.fallback)
        Delivery.objects.bulk_create(
            Delivery(
                alert=alert,
                route=route.label,
                position=route.position,
                fallback=route.fallback,
                due_at=due_at if shaky or not route.fallback else None,
            )
            for route in self.routes
        )


def tell(alarm: Alarm, kind: str, *, now: datetime, due_at: datetime | None = None) -> Alert | None:
    """Tell of `alarm` by every route; whoever calls holds its lock. None where there is no route."""
    outbox = Outbox.open()
    if not outbox.routes:
        return None
    about = Integration.objects.filter(slug__in=alarm.slugs).order_by("name")
    names = list(about.values_list("name", flat=True))
    also = [] if kind == Kind.RECOVERED else _also(alarm)
    alert = Alert.objects.create(
        alarm=alarm,
        kind=kind,
        severity=alarm.severity,
        integration_id=alarm.integration_id,
        subject=words.subject(alarm, kind, names, now),
        text=words.text(alarm, kind, also, now),
        created_at=now,
    )
    outbox.put(alert, due_at=due_at or now)
    return alert


def _also(alarm: Alarm) -> list[str]:
    """What else is open about the same integrations: one message says it all."""
    others = Alarm.objects.filter(closed_at=None).exclude(pk=alarm.pk).order_by("severity", "opened_at")
    return [other.title for other in others if set(other.slugs) & set(alarm.slugs)][:10]


@transaction.atomic
def trial(*, actor: Actor, now: datetime) -> Alert:
    """A test alert, due at once by every route, the fallbacks too. Raises NoRoute."""
    found = routes.configured()
    if not found:
        raise NoRoute(_("Alerts go nowhere yet: set ALERT_TO, and restart web and worker."))
    subject, text = words.trial(actor.username)
    alert = Alert.objects.create(
        kind=Kind.TEST, severity=Alarm.Severity.WARNING, subject=subject, text=text, username=actor.username[:150],
        mandate=mandate.of(actor), created_at=now,
    )  # fmt: skip
    Delivery.objects.bulk_create(
        Delivery(alert=alert, route=route.label, position=route.position, fallback=route.fallback, due_at=now)
        for route in found
    )
    activity.record(actor=actor, action="alert_test", details={"routes": [route.label for route in found]})
    return alert
