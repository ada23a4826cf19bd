"""Alarms, incidents and planned work as CSV."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, Exists, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, When
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from healthchecks import incidents
from healthchecks.alerts import bell
from healthchecks.alerts.bell import Shown
from healthchecks.api.alerts import narrowed, person
from healthchecks.models import Alarm, Incident, IncidentNote, Maintenance
from integrations import permissions
from integrations.accounts.models import User
from integrations.api import export
from integrations.api.base import ApiView, utc
from integrations.api.permissions import get_integration
from integrations.permissions import Perm
from integrations.seek import Listing

PAGE = 500

# --- Alarms ----------------------------------------------------------------------------------------------------------

COLUMNS = ("id", "kind", "severity", "integrations", "title", "text", "openedAt", "closedAt", "toldAt")


class AlarmsFilter(serializers.Serializer[Any]):
    integration = serializers.SlugField(required=False)
    open = serializers.BooleanField(required=False)


class AlarmsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Alerts"], operation_id="exportAlerts", parameters=[AlarmsFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """What is amiss or was, newest first. No cell is a formula."""
        listing = Listing(narrowed(request, self.query(AlarmsFilter)), at="opened_at")
        pages = _alarms(listing, person(request), timezone.now())
        return export.stream(request, name="alerts", columns=COLUMNS, pages=pages)


def _alarms(listing: Listing[Alarm], reader: User, now: datetime) -> Iterator[list[Sequence[Any]]]:
    for page in listing.pages(PAGE):
        yield [_alarm(one) for one in bell.shown(reader, page, now=now, explain=False)]


def _alarm(one: Shown) -> Sequence[Any]:
    alarm = one.alarm
    return (
        alarm.pk, alarm.kind, alarm.severity, " ".join(one.slugs), one.title, one.text, utc(alarm.opened_at),
        utc(alarm.closed_at), utc(alarm.told_at),
    )  # fmt: skip


# --- Incidents -------------------------------------------------------------------------------------------------------

DAYS, MOST_DAYS = 30, 400
INCIDENT_COLUMNS = (
    "id", "integrationSlug", "worstStatus", "openedAt", "closedAt", "durationSeconds", "cause", "rule",
    "inPlannedWork", "notes",
)  # fmt: skip


class IncidentsFilter(serializers.Serializer[Any]):
    integration = serializers.SlugField(required=False)
    open = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="Only those, or none.")
    days = serializers.IntegerField(
        default=DAYS, min_value=1, max_value=MOST_DAYS, help_text="Those that began within so many, and all open ones."
    )


class IncidentsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Health"], operation_id="exportIncidents", parameters=[IncidentsFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The open ones and those of so many days, newest first. No cell is a formula."""
        now = timezone.now()
        rows = _asked(request, self.query(IncidentsFilter), now)
        noted = IncidentNote.objects.filter(incident=OuterRef("pk"))
        told = rows.select_related("integration").annotate(in_work=Exists(_work()), noted=_number(noted))
        pages = ([_incident(row, now) for row in page] for page in Listing(told, at="opened_at").pages(PAGE))
        return export.stream(request, name="incidents", columns=INCIDENT_COLUMNS, pages=pages)


def _asked(request: Request, query: dict[str, Any], now: datetime) -> QuerySet[Incident]:
    rows = permissions.readable(request.user, incidents.recent(Incident.objects.all(), days=query["days"], now=now))
    if "integration" in query:
        rows = rows.filter(integration=get_integration(request, query["integration"], Perm.READ))
    return rows if query["open"] is None else rows.filter(closed_at__isnull=query["open"])


def _work() -> QuerySet[Maintenance]:
    """What was planned for the integration of an incident, or for all, when it began."""
    began = OuterRef("opened_at")
    whose = Q(integration=None) | Q(integration=OuterRef("integration"))
    return Maintenance.objects.filter(whose, starts_at__lte=began, ends_at__gt=began)


def _incident(row: Any, now: datetime) -> Sequence[Any]:
    lasted = int(((row.closed_at or now) - row.opened_at).total_seconds())
    return (
        row.pk, row.integration.slug, row.worst_status, utc(row.opened_at), utc(row.closed_at), lasted, row.cause,
        row.rule, str(row.in_work).lower(), row.noted,
    )  # fmt: skip


# --- Planned work ----------------------------------------------------------------------------------------------------

WORK_COLUMNS = ("id", "integrationSlug", "state", "startsAt", "endsAt", "reason", "declaredBy", "incidents")


class MaintenanceCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(tags=["Health"], operation_id="exportMaintenance", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """Planned work, to come, under way and over; what begins last comes first. That on all integrations has no
        slug, and is for those who may read all. No cell is a formula."""
        now = timezone.now()
        rows = permissions.readable(request.user, Maintenance.objects.select_related("integration"))
        told = Listing(rows.annotate(incidents=_meanwhile(request)), at="starts_at")
        pages = ([_planned(row, now) for row in page] for page in told.pages(PAGE))
        return export.stream(request, name="planned-work", columns=WORK_COLUMNS, pages=pages)


def _meanwhile(request: Request) -> Case:
    """How many incidents began in it, of those that may be seen."""
    began = Incident.objects.filter(opened_at__gte=OuterRef("starts_at"), opened_at__lt=OuterRef("ends_at"))
    seen = permissions.readable(request.user, began)
    own = seen.filter(integration=OuterRef("integration"))
    return Case(When(integration=None, then=_number(seen)), default=_number(own))


def _planned(row: Any, now: datetime) -> Sequence[Any]:
    state = "planned" if row.starts_at > now else "under way" if row.ends_at > now else "over"
    return (
        row.pk, row.integration.slug if row.integration else "", state, utc(row.starts_at), utc(row.ends_at),
        row.reason, row.username, row.incidents,
    )  # fmt: skip


def _number(rows: QuerySet[Any]) -> Subquery:
    """How many they are, of each row of the query around."""
    counted = Func(F("pk"), function="COUNT", output_field=IntegerField())
    return Subquery(rows.order_by().annotate(number=counted).values("number"))
