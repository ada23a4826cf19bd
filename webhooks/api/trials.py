"""The API of test deliveries."""

import time
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, Strict
from integrations.api.problems import Problem
from integrations.permissions import Perm
from webhooks import work
from webhooks.api.receivers import get_webhook
from webhooks.models import WebhookLog
from webhooks.services import trial


class TestAsked(Strict):
    eventType = serializers.CharField(max_length=200)
    payload = serializers.DictField(
        required=False, allow_null=True, help_text="Null: the sample. Ids and times in it are made anew."
    )
    forward = serializers.BooleanField(required=False, default=False, help_text="Pass it on like any other event.")


class TestAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField(help_text="Whether it was processed by now.")
    logId = serializers.UUIDField()
    processingTimeMs = serializers.IntegerField()
    message = serializers.CharField()


class Sample(serializers.Serializer[Any]):
    eventType = serializers.CharField()
    payload = serializers.JSONField(allow_null=True, help_text="Invented. Null: there is no sample.")


class SamplesAnswer(serializers.Serializer[Any]):
    samples = Sample(many=True)


class TestView(ApiView):
    permissions = {"POST": Perm.WEBHOOKS_REPLAY}
    run: work.Work | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="testWebhook", request=TestAsked,
        responses={200: TestAnswer, 409: OpenApiResponse(description="`not_testable`: no secret, say")},
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Send this receiver an event as its provider would, marked as a test, and not forwarded unless asked."""
        webhook = get_webhook(request, webhook_id, Perm.WEBHOOKS_REPLAY)
        asked = TestAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        started, given = time.monotonic(), asked.validated_data
        try:
            rows = trial.send(
                webhook,
                event_type=given["eventType"],
                payload=given.get("payload"),
                forwards=given["forward"],
                actor=actor.of(request),
                now=timezone.now(),
            )
        except trial.UnknownEvent as error:
            raise Problem(400, "unknown_event_type", str(error), field="eventType") from error
        except trial.Unfit as error:
            raise Problem(400, "payload_mismatch", str(error), field="payload") from error
        except trial.CannotTest as error:
            raise Problem(409, "not_testable", str(error)) from error
        if self.run is not None:
            work.for_a_moment(self.run, rows)
        return Response(TestAnswer(_told(rows, int((time.monotonic() - started) * 1000))).data)


def _told(rows: list[WebhookLog], elapsed_ms: int) -> dict[str, Any]:
    first = rows[0]
    return {
        "success": all(row.status == WebhookLog.Status.PROCESSED for row in rows),
        "logId": first.pk,
        "processingTimeMs": elapsed_ms if first.processing_time_ms is None else first.processing_time_ms,
        "message": work.outcome(first),
    }


class SamplesView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="listWebhookSamples", responses=SamplesAnswer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """The event types that can be tested, with a sample of each."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        found = [{"eventType": name, "payload": trial.sample(webhook, name)} for name in trial.event_types(webhook)]
        return Response({"samples": found})
