"""The API of incidents: what went wrong from when to when, what happened in it, and what people found out."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healthchecks import incidents
from healthchecks.models import Incident
from integrations import actor, permissions
from integrations.accounts.models import User
from integrations.api.base import ApiView, Strict, UtcDateTime
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.permissions import Perm
from integrations.seek import Listing


class NoteRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = UtcDateTime()
    author = serializers.CharField(source="username")
    text = serializers.CharField()


class MomentRow(serializers.Serializer[Any]):
    at = UtcDateTime()
    kind = serializers.ChoiceField(["status", "finding", "token", "alert", "note", "work"])
    title = serializers.CharField()
    text = serializers.CharField()


class IncidentRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    integrationSlug = serializers.CharField(source="integration.slug")
    openedAt = UtcDateTime(source="opened_at")
    closedAt = UtcDateTime(source="closed_at", allow_null=True)
    durationSeconds = serializers.SerializerMethodField(help_text="So far, if it isn't over.")
    worstStatus = serializers.ChoiceField(["degraded", "down"], source="worst_status")
    cause = serializers.CharField()
    rule = serializers.CharField(help_text="The rule that decided when it was at its worst.")
    sharedWith = serializers.SerializerMethodField(
        help_text="Slugs of the integrations you may see that went down with it, of the same cause."
    )
    notes = serializers.SerializerMethodField(
        help_text=f"In order; in lists the newest {incidents.NOTES_IN_LISTS}, else the newest {incidents.MOST}."
    )

    def get_durationSeconds(self, row: Incident) -> int:
        return int(((row.closed_at or self.context["now"]) - row.opened_at).total_seconds())

    def get_sharedWith(self, row: Incident) -> list[str]:
        others = incidents.shared_by(row, self.context["together"], now=self.context["now"])
        return [one.integration.slug for one in others if one.integration_id in self.context["readable"]]

    @extend_schema_field(NoteRow(many=True))
    def get_notes(self, row: Any) -> Any:
        return NoteRow(reversed(row.newest_notes), many=True).data


class IncidentsAnswer(serializers.Serializer[Any]):
    incidents = IncidentRow(many=True)
    pagination = Pagination()


class IncidentDetail(IncidentRow):
    timeline = MomentRow(many=True)


class IncidentAnswer(serializers.Serializer[Any]):
    incident = IncidentDetail()


class IncidentsQuery(PageQuery):
    open = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="Only those, or none.")


class IncidentsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Health"], operation_id="listIncidents", parameters=[IncidentsQuery], responses=IncidentsAnswer
    )
    def get(self, request: Request) -> Response:
        """The incidents of all integrations that you may see, newest first."""
        query = self.query(IncidentsQuery)
        rows = permissions.readable(request.user, Incident.objects.all())
        return listed(request, rows if query["open"] is None else rows.filter(closed_at__isnull=query["open"]), query)


class IntegrationIncidentsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Health"], operation_id="listIntegrationIncidents", parameters=[PageQuery], responses=IncidentsAnswer
    )
    def get(self, request: Request, slug: str) -> Response:
        """The incidents of one integration, newest first."""
        integration = get_integration(request, slug, Perm.READ)
        return listed(request, Incident.objects.filter(integration=integration), self.query(PageQuery))


def listed(request: Request, rows: QuerySet[Incident], query: dict[str, Any]) -> Response:
    related = incidents.with_notes(rows.select_related("integration"), incidents.NOTES_IN_LISTS)
    page = paginate(Listing(related, at="opened_at"), query)
    answer = {
        "incidents": IncidentRow(page.rows, many=True, context=context(request, page.rows)).data,
        "pagination": page.pagination,
    }
    return Response(answer)


def context(request: Request, rows: list[Incident]) -> dict[str, Any]:
    now = timezone.now()
    return {
        "now": now,
        "together": incidents.together(rows, now=now),
        "readable": set(permissions.visible(request.user).values_list("pk", flat=True)),
    }


class IncidentView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Health"], operation_id="getIncident", responses=IncidentAnswer)
    def get(self, request: Request, incident_id: UUID) -> Response:
        """One incident with all that happened in it, in order."""
        row = get_incident(request, incident_id)
        around = context(request, [row])
        told = IncidentRow(row, context=around).data
        moments = incidents.timeline(row, user=_person(request), now=around["now"])
        timeline = MomentRow(moments, many=True).data
        return Response({"incident": {**told, "timeline": timeline}})


class NewNote(Strict):
    text = serializers.CharField(max_length=incidents.LONGEST_NOTE)


class NoteAnswer(serializers.Serializer[Any]):
    note = NoteRow()


class NotesView(ApiView):
    permissions = {"POST": Perm.MANAGE}

    @extend_schema(tags=["Health"], operation_id="noteIncident", request=NewNote, responses=NoteAnswer)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """Write down what you found out or did. It can't be changed or taken away."""
        row = get_incident(request, incident_id)
        get_integration(request, row.integration.slug, Perm.MANAGE)
        asked = NewNote(data=request.data)
        asked.is_valid(raise_exception=True)
        made = incidents.note(row, text=asked.validated_data["text"], actor=actor.of(request))
        return Response({"note": NoteRow(made).data})


def get_incident(request: Request, incident_id: UUID) -> Incident:
    """404 for one of an integration that the caller may not see."""
    rows = permissions.readable(request.user, Incident.objects.select_related("integration"))
    found = incidents.with_notes(rows, incidents.MOST).filter(pk=incident_id).first()
    if found is None:
        raise Http404
    return found


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - nobody else is let in
    return request.user
