"""Writing down that somebody was told: only here, and only after a channel took it.

The alarm's row is the lock under which all this is decided: whether its end is told, and that it is told once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from healthchecks.alerts import quiet, telling
from healthchecks.models import Alarm, Alert, Delivery, StatusChange
from integrations.models import HealthStatus, Integration

SETTLED = timedelta(minutes=10)
"""So long it must have been well before people are told so. What comes back at once would be down again when they read
it, and for six hours nothing more is told of it. What is down is looked at every two minutes: five looks."""

Deliveries = QuerySet[Delivery]
Kind = Alert.Kind

SETTLES = frozenset({Alarm.Kind.HEALTH, Alarm.Kind.GRANT})
NO_END = frozenset({Alarm.Kind.WEBHOOKS, Alarm.Kind.SLOTS})
"""Kinds whose end is no news: that nothing was given up for a day, that no more slots were missed."""


def lock(alert: Alert) -> Alarm | None:
    """The alarm, or for a test the alert itself, held until the transaction ends. None for a test, and for what was
    deleted meanwhile with its integration."""
    if alert.alarm_id is None:
        Alert.objects.select_for_update(of=("self",)).filter(pk=alert.pk).first()
        return None
    return Alarm.objects.select_for_update(of=("self",)).filter(pk=alert.alarm_id).first()


def outdated(alert: Alert, alarm: Alarm | None) -> str:
    """Why there is no point any more in sending it; "" if there is one. Whoever calls holds the alarm's lock."""
    if alarm is None or alarm.closed_at is None:
        return ""
    if alert.kind != Kind.RECOVERED:
        return "It was over before a channel took it."
    again = Alarm.objects.filter(key=alarm.key, closed_at=None).exists()
    return "It began again before this was sent." if again else ""


def told(alert: Alert, alarm: Alarm | None, *, now: datetime) -> None:
    """A channel took it."""
    if alarm is None or alert.kind == Kind.TEST:
        return
    _note_change(alarm, alert, now)
    if alert.kind == Kind.RECOVERED:
        return
    Alarm.objects.filter(pk=alarm.pk).update(told_at=now)
    alarm.told_at = now
    rows = Integration.objects.select_for_update(no_key=True).filter(slug__in=alarm.slugs).order_by("pk")
    Integration.objects.filter(pk__in=[row.pk for row in rows]).update(last_alert_sent_at=now)
    if alarm.closed_at is not None:  # it was over before anybody took the word of it
        tell_end(alarm, now=now)


def tell_end(alarm: Alarm, *, now: datetime) -> bool:
    """Tell that it is over: once, to those who were told that it is so, and only if it is over by itself.

    That something is healthy again waits until it has settled.
    """
    if alarm.told_at is None or alarm.kind in NO_END or alarm.alerts.filter(kind=Kind.RECOVERED).exists():
        return False
    if alarm.slugs:
        rows = Integration.objects.filter(slug__in=alarm.slugs, is_active=True)
        if alarm.kind == Alarm.Kind.HEALTH:  # it may have ended because nobody knows any more
            rows = rows.exclude(health_status=HealthStatus.UNKNOWN)
        if not rows.exists():
            return False
    due_at = max(now, morning(alarm, now, thresholds_of([alarm])) or now)
    if alarm.kind in SETTLES:
        due_at = max(due_at, (alarm.closed_at or now) + SETTLED)
    return telling.tell(alarm, Kind.RECOVERED, now=now, due_at=due_at) is not None


def thresholds_of(alarms: Iterable[Alarm]) -> dict[str, Any]:
    """Of all integrations that these are about, by slug: one query."""
    slugs = {slug for alarm in alarms for slug in alarm.slugs}
    rows = Integration.objects.filter(slug__in=slugs) if slugs else Integration.objects.none()
    return dict(rows.values_list("slug", "thresholds"))


def morning(alarm: Alarm, now: datetime, thresholds: Mapping[str, Any]) -> datetime | None:
    """When the quiet hours end that hold this back; None: nothing does. What is critical is never held back.

    `thresholds` by slug.
    """
    if alarm.severity == Alarm.Severity.CRITICAL or not alarm.slugs:
        return None
    zone = timezone.get_default_timezone()
    ends = [quiet.until(thresholds[slug], now, zone) for slug in alarm.slugs if slug in thresholds]
    return min(end for end in ends if end) if ends and all(ends) else None


def _note_change(alarm: Alarm, alert: Alert, now: datetime) -> None:
    """The status change that it told of: the newest, in that direction."""
    if alarm.kind not in (Alarm.Kind.HEALTH, Alarm.Kind.GRANT):
        return
    over = alert.kind == Kind.RECOVERED
    wanted = [HealthStatus.HEALTHY] if over else [HealthStatus.DEGRADED, HealthStatus.DOWN]
    for pk in Integration.objects.filter(slug__in=alarm.slugs).values_list("pk", flat=True):
        changes = StatusChange.objects.filter(integration=pk, gap=False, at__lte=now).order_by("-at", "-id")
        newest = changes.first()
        if newest is not None and newest.new_status in wanted:
            StatusChange.objects.filter(pk=newest.pk, alerted_at=None).update(alerted_at=now)
