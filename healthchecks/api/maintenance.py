"""The API of planned work."""

from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from healthchecks import maintenance
from healthchecks.models import Maintenance
from integrations import activity, actor, permissions
from integrations.api.base import ApiView, Strict, UtcDateTime, place
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.seek import Listing


class MaintenanceRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    integrationSlug = serializers.CharField(
        source="integration.slug", default=None, allow_null=True, help_text="null: all integrations."
    )
    startsAt = UtcDateTime(source="starts_at")
    endsAt = UtcDateTime(source="ends_at")
    reason = serializers.CharField()
    declaredBy = serializers.CharField(source="username")


class MaintenanceListAnswer(serializers.Serializer[Any]):
    maintenance = MaintenanceRow(many=True)
    pagination = Pagination()


class MaintenanceAnswer(serializers.Serializer[Any]):
    maintenance = MaintenanceRow()


class NewMaintenance(Strict):
    integration = serializers.SlugField(required=False, allow_null=True, default=None, help_text="Empty: all.")
    startsAt = UtcDateTime(required=False, allow_null=True, default=None, help_text="Empty: now.")
    endsAt = UtcDateTime()
    reason = serializers.CharField(max_length=300)


class MaintenanceListView(ApiView):
    permissions = {"GET": Perm.READ, "POST": Perm.MANAGE}

    @extend_schema(
        tags=["Health"], operation_id="listMaintenance", parameters=[PageQuery], responses=MaintenanceListAnswer
    )
    def get(self, request: Request) -> Response:
        """Planned work, to come, under way and over; what begins last comes first. That on all integrations is for
        those who may read all."""
        rows = permissions.readable(request.user, Maintenance.objects.all())
        page = paginate(Listing(rows.select_related("integration"), at="starts_at"), self.query(PageQuery))
        return Response({"maintenance": MaintenanceRow(page.rows, many=True).data, "pagination": page.pagination})

    @extend_schema(
        tags=["Health"], operation_id="declareMaintenance", request=NewMaintenance, responses={201: MaintenanceAnswer}
    )
    def post(self, request: Request) -> Response:
        """Plan work: no alert comes of what happens in it, and it counts neither as up nor as down. Without an
        integration it is everybody's, for which the permission is needed on all."""
        asked = NewMaintenance(data=request.data)
        asked.is_valid(raise_exception=True)
        given, now = asked.validated_data, timezone.now()
        try:
            made = maintenance.declare(
                integration=_whose(request, given["integration"]),
                starts_at=given["startsAt"] or now,
                ends_at=given["endsAt"],
                reason=given["reason"],
                actor=actor.of(request),
                now=now,
            )
        except maintenance.Invalid as error:
            raise Problem(400, "invalid", str(error), field=error.field) from error
        return Response({"maintenance": MaintenanceRow(made).data}, status=status.HTTP_201_CREATED)


def _whose(request: Request, slug: str | None) -> Integration | None:
    if slug:
        return get_integration(request, slug, Perm.MANAGE)
    if not permissions.may(request.user, Perm.MANAGE):
        activity.record_refusal(actor=actor.of(request), where=place(request), details={"path": request.path})
        raise exceptions.PermissionDenied("Work on all integrations needs integrations:manage on all of them.")
    return None


class MaintenanceView(ApiView):
    permissions = {"DELETE": Perm.MANAGE}

    @extend_schema(tags=["Health"], operation_id="endMaintenance", responses={204: None})
    def delete(self, request: Request, maintenance_id: UUID) -> Response:
        """It is over; one that hasn't begun is taken back. What is over already stays as it was."""
        rows = permissions.readable(request.user, Maintenance.objects.select_related("integration"))
        row = rows.filter(pk=maintenance_id).first()
        if row is None:
            raise Http404
        _whose(request, row.integration.slug if row.integration else None)
        maintenance.end(row, actor=actor.of(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
