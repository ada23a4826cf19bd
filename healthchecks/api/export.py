"""Alarms as CSV."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from healthchecks.alerts import bell
from healthchecks.alerts.bell import Shown
from healthchecks.api.alerts import narrowed, person
from healthchecks.models import Alarm
from integrations.accounts.models import User
from integrations.api import export
from integrations.api.base import ApiView, utc
from integrations.permissions import Perm
from integrations.seek import Listing

PAGE = 500
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
        pages = _pages(listing, person(request), timezone.now())
        return export.stream(request, name="alerts", columns=COLUMNS, pages=pages)


def _pages(listing: Listing[Alarm], reader: User, now: datetime) -> Iterator[list[Sequence[Any]]]:
    places = listing.places(0, PAGE)
    while places:
        yield [_cells(one) for one in bell.shown(reader, listing.fetch(places), now=now, explain=False)]
        places = listing.older(places[-1]).places(0, PAGE) if len(places) == PAGE else []


def _cells(one: Shown) -> Sequence[Any]:
    alarm = one.alarm
    return (
        alarm.pk, alarm.kind, alarm.severity, " ".join(one.slugs), one.title, one.text, utc(alarm.opened_at),
        utc(alarm.closed_at), utc(alarm.told_at),
    )  # fmt: skip
