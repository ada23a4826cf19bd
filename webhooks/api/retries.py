"""The API of Zoho's retry queue."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, UtcDateTime
from integrations.permissions import Perm
from webhooks import queue
from webhooks.services import retry


class Waiting(serializers.Serializer[Any]):
    dueForRetry = serializers.IntegerField()
    totalFailed = serializers.IntegerField()
    maxRetriesExhausted = serializers.IntegerField()
    timestamp = UtcDateTime()


class WaitingAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "data": Waiting()}  # a serializer's own word, so not an attribute


class Tried(serializers.Serializer[Any]):
    processed = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    timestamp = UtcDateTime()


class TriedAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "data": Tried()}  # a serializer's own word, so not an attribute


class RetryQueueView(ApiView):
    """`run` processes one event; `config`, which knows the handlers, hands it in."""

    permissions = {"GET": Perm.READ, "POST": Perm.CRON_TRIGGER}
    run: retry.Work = staticmethod(lambda log: None)

    @extend_schema(tags=["Webhooks"], operation_id="getZohoRetryQueue", responses=WaitingAnswer)
    def get(self, request: Request) -> Response:
        """Zoho's failed webhooks and forwards: how many will be tried again, how many gave up."""
        data = {**retry.figures(_zoho(request, Perm.READ)), "timestamp": timezone.now()}
        return Response(WaitingAnswer({"success": True, "data": data}).data)

    @extend_schema(tags=["Webhooks"], operation_id="runZohoRetryQueue", request=None, responses=TriedAnswer)
    def post(self, request: Request) -> Response:
        """Try what waits now, at most a hundred in some twenty seconds."""
        zoho, now = _zoho(request, Perm.CRON_TRIGGER), timezone.now()
        done = retry.run(zoho, work=self.run, actor=actor.of(request))
        data = {"processed": done.processed, "succeeded": done.succeeded, "failed": done.failed, "timestamp": now}
        return Response(TriedAnswer({"success": True, "data": data}).data)


def _zoho(request: Request, perm: Perm) -> list[UUID]:
    return list(queue.theirs(request.user, perm).values_list("pk", flat=True))
