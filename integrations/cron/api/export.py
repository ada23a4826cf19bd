"""Runs as CSV."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from integrations.api import export
from integrations.api.base import ApiView, utc
from integrations.cron.api.runs import get_job
from integrations.cron.board import sentence
from integrations.cron.models import CronRun
from integrations.permissions import Perm
from integrations.seek import Listing

PAGE = 1000
COLUMNS = (
    "id", "job", "scheduledFor", "executedAt", "status", "trigger", "triggeredBy", "reason", "durationMs", "message",
)  # fmt: skip


class CsvFilter(serializers.Serializer[Any]):
    status = serializers.ChoiceField(CronRun.Status.choices, required=False)


class RunsCsvView(ApiView):
    permissions = {"GET": Perm.READ}
    renderer_classes = [JSONRenderer, export.CsvRenderer]

    @extend_schema(
        tags=["Jobs"], operation_id="exportCronRuns", parameters=[CsvFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )  # fmt: skip
    def get(self, request: Request, job_id: UUID) -> StreamingHttpResponse:
        """Its runs, newest first, each with what went wrong or what it did. No cell is a formula."""
        job, asked = get_job(request, job_id, Perm.READ), self.query(CsvFilter)
        rows = CronRun.objects.filter(job=job, **asked).defer("traceback", "arguments")
        listing = Listing(rows, at="started_at")
        return export.stream(request, name=f"runs-{job.job_name}", columns=COLUMNS, pages=pages(listing, job.job_name))


def pages(listing: Listing[CronRun], name: str) -> Iterator[list[Sequence[Any]]]:
    places = listing.places(0, PAGE)
    while places:
        yield [_cells(run, name) for run in listing.fetch(places)]
        places = listing.older(places[-1]).places(0, PAGE) if len(places) == PAGE else []


def _cells(run: CronRun, name: str) -> Sequence[Any]:
    return (
        run.pk, name, utc(run.scheduled_for), utc(run.started_at), run.status, run.trigger, run.triggered_by,
        run.reason, run.duration_ms, sentence(run),
    )  # fmt: skip
