"""Tokens as CSV."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from integrations.api import export
from integrations.api.base import ApiView
from integrations.permissions import Perm
from oauth.api.tokens import TokenRow, visible_rows

COLUMNS = (
    "integrationSlug", "integrationName", "status", "state", "expiresAt", "lastRefreshedAt", "refreshCount",
    "autoRefresh", "lastError", "advice", "sharedWith",
)  # fmt: skip


class TokensCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(tags=["OAuth"], operation_id="exportOAuthTokens", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """How each token is, never what it is. No cell is a formula."""
        told = TokenRow(visible_rows(request.user), many=True).data
        return export.stream(request, name="tokens", columns=COLUMNS, pages=iter([[_cells(row) for row in told]]))


def _cells(row: dict[str, Any]) -> list[Any]:
    shown = row | {"autoRefresh": str(row["autoRefresh"]).lower(), "sharedWith": " ".join(row["sharedWith"])}
    return [shown[name] for name in COLUMNS]
