"""Incidents: what happened in one, from all that was written down meanwhile; and what people found out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from healthchecks.alerts import bell
from healthchecks.models import Alarm, Alert, CheckResult, Incident, IncidentNote, Maintenance, StatusChange
from integrations import activity
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import HealthStatus
from oauth.models import TokenEvent

BEFORE, AFTER = timedelta(minutes=2), timedelta(minutes=10)
"""What came shortly before an incident may have caused it; its recovery notice comes shortly after its end."""
MOST = 200
"""Of each kind, in one incident."""
NOTES_IN_LISTS = 20
"""The newest of each incident."""
LONGEST_NOTE = 4000


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `kind`: status, finding, token, alert, note or work; `tone`: a health status or ""."""

    at: datetime
    kind: str
    title: str
    text: str = ""
    tone: str = ""


def timeline(incident: Incident, *, user: User, now: datetime) -> list[Moment]:
    """What happened, in order: what checks found (each finding once), changes of status, what befell the token, who
    was told, planned work, notes. Of alerts that are about others too `user` sees as much as they may."""
    since, until = incident.opened_at - BEFORE, (incident.closed_at or now) + AFTER
    moments = [
        *islice(_findings(incident, since, incident.closed_at or now), MOST),
        *_changes(incident, since, until),
        *_tokens(incident, since, until),
        *_alerts(incident, since, until, user, now),
        *_work(incident, since, until),
        *(Moment(note.at, "note", note.username, note.text) for note in incident.notes.all()[:MOST]),
    ]
    return sorted(moments, key=lambda moment: moment.at)


def _findings(incident: Incident, since: datetime, until: datetime) -> Iterator[Moment]:
    """The checks that found something else than the one before."""
    checks = CheckResult.objects.filter(
        integration=incident.integration_id, created_at__gte=since, created_at__lte=until
    )
    before = ("", "")
    rows = checks.order_by("created_at").values_list("created_at", "status", "rule", "reason")
    for at, status, rule, reason in rows.iterator(chunk_size=500):
        if (status, rule) != before and status in ("degraded", "down"):
            yield Moment(at, "finding", rule.replace("_", " "), reason, status)
        before = (status, rule)


def _changes(incident: Incident, since: datetime, until: datetime) -> Iterator[Moment]:
    rows = StatusChange.objects.filter(integration=incident.integration_id, at__gte=since, at__lte=until)
    yield from map(of_change, rows.order_by("at")[:MOST])


_BECAME: dict[str, str] = {
    HealthStatus.HEALTHY: gettext_noop("Became healthy"), HealthStatus.DEGRADED: gettext_noop("Became degraded"),
    HealthStatus.DOWN: gettext_noop("Became down"), HealthStatus.UNKNOWN: gettext_noop("Became unknown"),
}  # fmt: skip


def of_change(row: StatusChange) -> Moment:
    if row.gap and row.old_status == "unknown":
        title = _("Looked at again")
    elif row.gap and row.new_status == "unknown":
        title = _("Nobody looked any more")
    else:
        title = _(_BECAME[row.new_status])
    return Moment(row.at, "status", title, "" if row.gap else row.reason, row.new_status)


def _tokens(incident: Incident, since: datetime, until: datetime) -> Iterator[Moment]:
    kinds = TokenEvent.Kind
    titles = {
        kinds.CONNECTED: (_("Token connected"), "healthy"), kinds.REFRESH_FAILED: (_("Token not renewed"), "down"),
        kinds.REVOKED: (_("Token revoked"), "down"), kinds.EXPIRED: (_("Token ran out"), "down"),
    }  # fmt: skip
    rows = TokenEvent.objects.filter(integration=incident.integration_id, at__gte=since, at__lte=until)
    for row in rows.filter(kind__in=list(titles)).order_by("at")[:MOST]:
        title, tone = titles[kinds(row.kind)]
        yield Moment(row.at, "token", title, row.detail, tone)


def _alerts(incident: Incident, since: datetime, until: datetime, user: User, now: datetime) -> Iterator[Moment]:
    """Also those about several integrations, of which this is one."""
    alarms = bell.of(Alarm.objects.filter(opened_at__lte=until), incident.integration)
    rows = Alert.objects.filter(alarm__in=alarms, created_at__gte=since, created_at__lte=until)
    told = list(rows.select_related("alarm").prefetch_related("deliveries").order_by("created_at", "id")[:MOST])
    seen = bell.shown(user, [row.alarm for row in told if row.alarm], now=now)
    for row, shown in zip(told, seen, strict=True):
        taken = [one.route for one in row.deliveries.all() if one.sent_at]
        routes = ", ".join(taken)
        by_whom = _("Told by {routes}.").format(routes=routes) if taken else _("Nobody has been told yet.")
        yield Moment(row.created_at, "alert", bell.subject(user, row, shown), by_whom)


def _work(incident: Incident, since: datetime, until: datetime) -> Iterator[Moment]:
    rows = Maintenance.objects.filter(starts_at__lte=until, ends_at__gte=since).for_integration(incident.integration)
    for row in rows.order_by("starts_at")[:MOST]:
        yield Moment(row.starts_at, "work", _("Planned work begins"), row.reason)
        if row.ends_at <= until:
            yield Moment(row.ends_at, "work", _("Planned work is over"), row.reason)


def recent(rows: QuerySet[Incident], *, days: int, now: datetime) -> QuerySet[Incident]:
    """Those that are open, and those that began within so many days."""
    return rows.filter(Q(closed_at=None) | Q(opened_at__gte=now - timedelta(days=days)))


# --- Together with others --------------------------------------------------------------------------------------------


def together(incidents: Iterable[Incident], *, now: datetime) -> dict[str, list[Incident]]:
    """By root, those that have one root in common, of the time that `incidents` cover together: one query."""
    rooted = [one for one in incidents if one.root]
    found: dict[str, list[Incident]] = {one.root: [] for one in rooted}
    if rooted:
        since, until = min(one.opened_at for one in rooted), max(one.closed_at or now for one in rooted)
        then = Incident.objects.filter(Q(closed_at=None) | Q(closed_at__gte=since), opened_at__lte=until)
        for row in then.filter(root__in=list(found)).select_related("integration").order_by("opened_at"):
            found[row.root].append(row)
    return found


def shared_by(incident: Incident, found: dict[str, list[Incident]], *, now: datetime) -> list[Incident]:
    """The others that went down with it."""
    return [
        one for one in found.get(incident.root, [])
        if one.pk != incident.pk
        and one.opened_at <= (incident.closed_at or now)
        and (one.closed_at or now) >= incident.opened_at
    ]  # fmt: skip


# --- Notes -----------------------------------------------------------------------------------------------------------


def with_notes(rows: QuerySet[Incident], most: int) -> QuerySet[Incident]:
    """Of each the `most` newest, the newest first, as `newest_notes`."""
    newest = IncidentNote.objects.order_by("-at", "-id")[:most]
    return rows.prefetch_related(Prefetch("notes", queryset=newest, to_attr="newest_notes"))


@transaction.atomic
def note(incident: Incident, *, text: str, actor: Actor) -> IncidentNote:
    """Write down what somebody found out or did. `text` is not empty and at most LONGEST_NOTE characters."""
    row = IncidentNote.objects.create(incident=incident, username=actor.username, text=text, at=timezone.now())
    details = {"incident": str(incident.pk), "text": text[:200]}
    activity.record(actor=actor, action="incident_noted", integration=incident.integration, details=details)
    return row
