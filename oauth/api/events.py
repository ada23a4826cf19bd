"""The API of a token's life-cycle."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api import export
from integrations.api.base import ApiView, UtcDateTime, utc
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.permissions import Perm
from integrations.seek import Listing
from oauth.api.tokens import must_use_oauth
from oauth.models import TokenEvent


class EventRow(serializers.ModelSerializer[TokenEvent]):
    at = UtcDateTime()
    expiresAt = UtcDateTime(source="expires_at", allow_null=True, help_text="When the access token of then runs out.")

    class Meta:
        model = TokenEvent
        fields = ["id", "kind", "at", "actor", "detail", "expiresAt"]


class EventsAnswer(serializers.Serializer[Any]):
    events = EventRow(many=True)
    pagination = Pagination()


class EventsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["OAuth"], operation_id="listOAuthEvents", parameters=[PageQuery],
        responses={200: EventsAnswer, 409: OpenApiResponse(description="`not_oauth`")},
    )  # fmt: skip
    def get(self, request: Request, slug: str) -> Response:
        """What happened to it, newest first."""
        integration = get_integration(request, slug, Perm.READ)
        must_use_oauth(integration)
        rows = Listing(TokenEvent.objects.filter(integration=integration), at="at")
        page = paginate(rows, self.query(PageQuery))
        return Response({"events": EventRow(page.rows, many=True).data, "pagination": page.pagination})


COLUMNS = ("id", "kind", "at", "actor", "detail", "expiresAt")


class EventsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["OAuth"], operation_id="exportOAuthEvents",
        responses={(200, "text/csv"): OpenApiTypes.STR, 409: OpenApiResponse(description="`not_oauth`")},
    )  # fmt: skip
    def get(self, request: Request, slug: str) -> StreamingHttpResponse:
        """All that happened to it, newest first. No cell is a formula."""
        integration = get_integration(request, slug, Perm.READ)
        must_use_oauth(integration)
        listing = Listing(TokenEvent.objects.filter(integration=integration), at="at")
        pages = ([_cells(event) for event in page] for page in listing.pages(1000))
        return export.stream(request, name=f"token-{slug}", columns=COLUMNS, pages=pages)


def _cells(event: TokenEvent) -> list[Any]:
    return [event.pk, event.kind, utc(event.at), event.actor, event.detail, utc(event.expires_at)]
