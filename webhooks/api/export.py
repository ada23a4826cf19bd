"""Deliveries, receivers and Zoho's retry queue as CSV."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from integrations.api import export
from integrations.api.base import ApiView
from integrations.permissions import Perm
from webhooks import queue, receiver, sheet
from webhooks.api.logs import AllLogsFilter, wanted
from webhooks.services import listing


class LogsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Webhooks"], operation_id="exportWebhookLogs", parameters=[AllLogsFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that fit the filters, newest first, without payloads. No cell is a formula."""
        asked = self.query(AllLogsFilter)
        rows = wanted(listing.readable(request.user, asked.get("integration", "")), asked)
        pages = sheet.pages(rows, asked.get("search", ""))
        return export.stream(request, name="webhook-logs", columns=sheet.COLUMNS, pages=pages)


class ReceiversCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(tags=["Webhooks"], operation_id="exportWebhooks", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """The receivers, how each is, and what came in the last 24 hours. No cell is a formula."""
        rows = sheet.receivers(receiver.lines(request.user, now=timezone.now()))
        return export.stream(request, name="receivers", columns=sheet.RECEIVER_COLUMNS, pages=iter([rows]))


class RetryQueueCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Webhooks"], operation_id="exportZohoRetryQueue", responses={(200, "text/csv"): OpenApiTypes.STR}
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Zoho's failed events, then its failed forwards: what will be tried again, and what gave up. No cell is a
        formula."""
        pages = sheet.queue(queue.receivers(request.user))
        return export.stream(request, name="zoho-retry-queue", columns=sheet.QUEUE_COLUMNS, pages=pages)
