"""Alarms: what is new of what was found, what is over, and whom that concerns.

May be run as often as one likes, by several at once: the unique constraint lets one of them open an alarm, and what
was open is read before what is amiss, so that a look that is late ends nothing that it couldn't have seen.

How often people are told (SPEC §6): at most once in six hours for each integration. A warning sent before doesn't hold
back what is critical, else a quota that runs low would swallow the outage an hour later; two messages in six hours,
a warning and then its escalation, is the most there is. What is about several integrations is held back only if each
of them was told of within the six hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from healthchecks.alerts import findings, outbox, routes, stamps, telling, words
from healthchecks.alerts.findings import Look
from healthchecks.alerts.scene import Finding, Planned
from healthchecks.models import Alarm, Alert, Delivery
from integrations.models import HealthStatus, Integration

PAUSE = timedelta(hours=6)
"""At most one alert within it for each integration."""
REMIND = {Alarm.Severity.CRITICAL.value: PAUSE, Alarm.Severity.WARNING.value: timedelta(hours=24)}
"""After so long people are told again, if it still lasts."""
NO_REMINDER = frozenset({Alarm.Kind.TARGET, Alarm.Kind.WEBHOOKS, Alarm.Kind.SLOTS})
"""Figures of a day or a week stay bad when their cause has long been mended."""
KEPT = timedelta(days=90)

Kind = Alert.Kind
Status = Delivery.Status
_RANK = {Alarm.Severity.WARNING.value: 0, Alarm.Severity.CRITICAL.value: 1}


@dataclass(slots=True)
class Done:
    alarms_opened: int = 0
    alarms_closed: int = 0
    alerts: int = 0


def watch(*, now: datetime) -> Done:
    """Look, open what is new, close what is over, and put into the outbox what people should be told."""
    done = Done()
    was_open = {alarm.key: alarm for alarm in Alarm.objects.filter(closed_at=None)}
    seen = findings.look(now=now)
    pks = {row.slug: row.pk for row in seen.scene.rows}
    for finding in seen.findings.values():
        if alarm := was_open.get(finding.key):
            _follow(alarm, finding, pks)
        else:
            done.alarms_opened += _open(finding, pks, now)
    for alarm in was_open.values():
        if seen.is_over(alarm):
            done.alarms_closed += _close(alarm, done, now)
    _hold_back_ends(now)
    done.alerts += outbox.drop_lost(now=now)
    _tell(seen, done, now)
    return done


def forget_old(*, now: datetime) -> int:
    """Take away what ended three months ago, and old tests. Returns how many alarms and tests that were."""
    alarms = Alarm.objects.filter(closed_at__lt=now - KEPT)
    tests = Alert.objects.filter(alarm=None, created_at__lt=now - KEPT)
    number = alarms.count() + tests.count()
    alarms.delete()
    tests.delete()
    return number


# --- Open, follow, close ---------------------------------------------------------------------------------------------


def _open(finding: Finding, pks: Mapping[str, UUID], now: datetime) -> int:
    try:
        with transaction.atomic():
            alarm = Alarm.objects.create(key=finding.key, opened_at=now, kind=finding.kind, **_told_by(finding, pks))
            _not_over_after_all(alarm, now)
    except IntegrityError:  # somebody else has just opened it, or the integration is gone
        return 0
    return 1


def _not_over_after_all(alarm: Alarm, now: datetime) -> None:
    """Word that it is over may still wait, or be tried again: it isn't true any more. Whoever it would have reached
    still believes what they were told before, so they are told the end of this one."""
    before = Alarm.objects.filter(key=alarm.key).exclude(closed_at=None).order_by("-closed_at")
    last = before.select_for_update(of=("self",)).first()
    if last is None:
        return
    words_of_it = Delivery.objects.filter(alert__alarm=last, alert__kind=Kind.RECOVERED)
    spared = outbox.idle(words_of_it, now=now).update(
        status=Status.SPARED, due_at=None, error="It began again before this was sent."
    )
    if spared and not words_of_it.exclude(sent_at=None).exists():
        Alarm.objects.filter(pk=alarm.pk).update(told_at=last.told_at)


def _hold_back_ends(now: datetime) -> None:
    """Word that something is healthy again waits on while it isn't: three checks pass before an alarm says so."""
    waiting = Delivery.objects.filter(due_at__lt=now + stamps.SETTLED, alert__kind=Kind.RECOVERED)
    rows = outbox.idle(waiting.filter(alert__alarm__kind__in=stamps.SETTLES), now=now).select_related("alert__alarm")
    ends = [(row, row.alert.alarm) for row in rows if row.alert.alarm]
    if not ends:
        return
    open_grants = Alarm.objects.filter(kind=Alarm.Kind.GRANT, closed_at=None).values_list("slugs", flat=True)
    no_token = {slug for slugs in open_grants for slug in slugs}
    unwell = Integration.objects.filter(health_status__in=(HealthStatus.DEGRADED, HealthStatus.DOWN))
    failing = set(unwell.values_list("slug", flat=True))
    for row, alarm in ends:
        amiss = no_token | failing if alarm.kind == Alarm.Kind.HEALTH else no_token
        if amiss & set(alarm.slugs):
            Delivery.objects.finish(row, due_at=now + stamps.SETTLED)


def _follow(alarm: Alarm, finding: Finding, pks: Mapping[str, UUID]) -> None:
    """It still lasts; perhaps it has become worse, or concerns others."""
    changes = {name: value for name, value in _told_by(finding, pks).items() if getattr(alarm, name) != value}
    if changes:
        Alarm.objects.filter(pk=alarm.pk, closed_at=None).update(**changes)


def _told_by(finding: Finding, pks: Mapping[str, UUID]) -> dict[str, Any]:
    """`integration` is whose alarm it is, if it is about that one alone: it goes with it, and is read with it."""
    return {
        "severity": finding.severity.value,
        "integration_id": pks.get(finding.about[0]) if len(finding.about) == 1 else None,
        "slugs": list(finding.about),
        "title": finding.title[:200],
        "text": finding.text[:4000],
    }


@transaction.atomic
def _close(alarm: Alarm, done: Done, now: datetime) -> int:
    """It is over: what nobody has taken yet need not be sent, and who was told is told that too."""
    row = Alarm.objects.select_for_update(of=("self",)).filter(pk=alarm.pk, closed_at=None).first()
    if row is None:
        return 0
    row.closed_at = now
    row.save(update_fields=["closed_at"])
    outbox.idle(Delivery.objects.filter(alert__alarm=row), now=now).update(
        status=Status.SPARED, due_at=None, error="It was over before a channel took it."
    )
    done.alerts += stamps.tell_end(row, now=now)
    return 1


# --- Telling ---------------------------------------------------------------------------------------------------------


def _tell(seen: Look, done: Done, now: datetime) -> None:
    if not routes.configured():
        return
    recent, alarms = _recent(now), _open_ones()
    thresholds = stamps.thresholds_of(alarms)
    for alarm in alarms:
        resting = seen.scene.planned.covers(alarm.slugs)
        news = _news(alarm, now)
        if resting or news is None or held_until(alarm, recent) or stamps.morning(alarm, now, thresholds):
            continue
        if news == Kind.LASTS and seen.is_unsure(alarm):  # perhaps it doesn't last
            continue
        if alert := _queue(alarm, now):
            done.alerts += 1
            recent.append(alert)


def _open_ones(**which: Any) -> list[Any]:
    """With when and how gravely each was last told of; the gravest first, then those that nobody knows of yet."""
    last = Alert.objects.filter(alarm=OuterRef("pk"), kind__in=(Kind.OPENED, Kind.LASTS)).order_by("-created_at")
    rows = Alarm.objects.filter(closed_at=None, **which).annotate(
        last_at=Subquery(last.values("created_at")[:1]), last_severity=Subquery(last.values("severity")[:1])
    )
    return sorted(rows, key=lambda row: (-_RANK[row.severity], row.last_at is not None, row.opened_at))


def _news(alarm: Any, now: datetime) -> Kind | None:
    """What there is to tell of it now: that it is so, that it has become worse, that it still lasts, or nothing."""
    if alarm.last_at is None or _RANK[alarm.severity] > _RANK[alarm.last_severity]:
        return Kind.OPENED
    if alarm.told_at is None:  # every channel failed, for hours
        return Kind.OPENED if alarm.last_at <= now - PAUSE else None
    if alarm.kind in NO_REMINDER or alarm.last_at > now - REMIND[alarm.severity]:
        return None
    return Kind.LASTS


def _recent(now: datetime) -> list[Alert]:
    sent = Alert.objects.filter(created_at__gt=now - PAUSE, kind__in=(Kind.OPENED, Kind.LASTS))
    return list(sent.select_related("alarm"))


def held_until(alarm: Alarm, recent: Sequence[Alert]) -> datetime | None:
    """Until when it waits, if all that it is about was told of within the pause, and no less gravely; else None."""
    told = [alert for alert in recent if alert.alarm and _RANK[alert.severity] >= _RANK[alarm.severity]]
    if alarm.slugs:
        of_each = [[one.created_at for one in told if one.alarm and slug in one.alarm.slugs] for slug in alarm.slugs]
    else:
        of_each = [[one.created_at for one in told if one.alarm and one.alarm.key == alarm.key]]
    return min(max(moments) for moments in of_each) + PAUSE if all(of_each) else None


@transaction.atomic
def _queue(alarm: Alarm, now: datetime) -> Alert | None:
    """Decided anew under the locks of the alarm and of what it is about: two workers must not tell it twice."""
    if Alarm.objects.select_for_update(of=("self",)).filter(pk=alarm.pk, closed_at=None).first() is None:
        return None
    list(Integration.objects.select_for_update(no_key=True).filter(slug__in=alarm.slugs).order_by("pk"))
    for row in _open_ones(pk=alarm.pk):
        kind = _news(row, now)
        if kind is not None and not held_until(row, _recent(now)):
            return telling.tell(row, kind, now=now)
    return None


# --- Why nobody was told ---------------------------------------------------------------------------------------------


def held_back(rows: Sequence[Alarm], *, now: datetime) -> dict[UUID, str]:
    """Of those that nobody was told of yet, why: by their ids, in words."""
    untold = [row for row in rows if row.told_at is None]
    if not untold:
        return {}
    if not routes.configured():
        return dict.fromkeys((row.pk for row in untold), _("Nobody is told: ALERT_TO is not set."))
    planned, recent, thresholds = Planned.at(now), _recent(now), stamps.thresholds_of(untold)
    return {row.pk: _why(row, planned, recent, stamps.morning(row, now, thresholds)) for row in untold}


def _why(alarm: Alarm, planned: Planned, recent: Sequence[Alert], morning: datetime | None) -> str:
    if any(alert.alarm_id == alarm.pk for alert in recent):
        return _("No route has taken it yet.")
    if planned.covers(alarm.slugs):
        return _("Nobody is told while planned work goes on.")
    if morning:
        text = _("Quiet hours: it is told from {moment}, if it still lasts.")
        return text.format(moment=words.moment(morning))
    if until := held_until(alarm, recent):
        text = _("People were told of the same integration lately: of this from {moment}, if it still lasts.")
        return text.format(moment=words.moment(until))
    return _("It is told within the minute.")
