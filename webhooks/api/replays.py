"""The API of replays: one event at once, many in the background."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, Strict
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.api.views import Moment
from integrations.permissions import Perm
from webhooks import bulk, work
from webhooks.api.receivers import get_webhook
from webhooks.models import ReplayBatch, WebhookLog
from webhooks.services import replay
from webhooks.services.selection import MOST_IDS, Selection

# --- One -------------------------------------------------------------------------------------------------------------


class ReplayAsked(Strict):
    logId = serializers.UUIDField()


class ReplayAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField(help_text="Whether it was processed by now.")
    newLogId = serializers.UUIDField()
    message = serializers.CharField()


class ReplayView(ApiView):
    permissions = {"POST": Perm.WEBHOOKS_REPLAY}
    run: work.Work | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="replayWebhookLog", request=ReplayAsked,
        responses={200: ReplayAnswer, 409: OpenApiResponse(description="`not_replayable` or `still_pending`")},
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Run one event once more. Waits two seconds for it; then it goes on in the background."""
        webhook = get_webhook(request, webhook_id, Perm.WEBHOOKS_REPLAY)
        asked = ReplayAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        logs = WebhookLog.objects.filter(webhook=webhook).select_related("webhook__integration")
        log = logs.filter(pk=asked.validated_data["logId"]).first()
        if log is None:
            raise Http404
        try:
            made = replay.one(log, actor=actor.of(request), now=timezone.now())
        except replay.NotReplayable as error:
            raise Problem(409, "not_replayable", str(error)) from error
        except replay.StillPending as error:
            raise Problem(409, "still_pending", str(error)) from error
        if self.run is not None:
            work.for_a_moment(self.run, [made])
        done = made.status == WebhookLog.Status.PROCESSED
        return Response(ReplayAnswer({"success": done, "newLogId": made.pk, "message": work.outcome(made)}).data)


# --- Many ------------------------------------------------------------------------------------------------------------


class ReplayFilter(Strict):
    """Of verified events that were tried; replays and tests are left out."""

    webhookId = serializers.UUIDField(required=False)
    integration = serializers.SlugField(required=False)
    status = serializers.ChoiceField([("processed", "Processed"), ("failed", "Failed")], required=False)
    eventType = serializers.CharField(required=False, max_length=200)
    search = serializers.CharField(required=False, max_length=200)
    to = Moment(required=False, end=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": Moment(required=False)}  # a Python keyword, so not an attribute

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Name at least one condition: an empty filter means everything.")
        return attrs


class BulkAsked(Strict):
    filter = ReplayFilter(required=False)
    logIds = serializers.ListField(
        child=serializers.UUIDField(), required=False, allow_empty=False, max_length=MOST_IDS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either filter or logIds.")
        return attrs


class BulkQuery(serializers.Serializer[Any]):
    dryRun = serializers.BooleanField(required=False, default=False, help_text="Only count.")


class BulkAnswer(serializers.Serializer[Any]):
    queued = serializers.IntegerField()
    batchId = serializers.UUIDField(allow_null=True, help_text="Null: a dry run, or nothing to replay.")


class ReplayProgress(serializers.Serializer[Any]):
    batchId = serializers.UUIDField()
    status = serializers.ChoiceField(ReplayBatch.Status.choices)
    total = serializers.IntegerField()
    queued = serializers.IntegerField(help_text="Rows made so far.")
    skipped = serializers.IntegerField(help_text="Gone, or changed, since they were counted.")
    processed = serializers.IntegerField()
    failed = serializers.IntegerField()
    pending = serializers.IntegerField()
    stoppedBecause = serializers.CharField(allow_blank=True, help_text="Of one that is stopped: why.")


class ReplayCancelled(ReplayProgress):
    takenBack = serializers.IntegerField(help_text="Rows that had not been tried yet.")


class BulkReplayView(ApiView):
    """`wake` tells the workers; it never blocks."""

    permissions = {"POST": Perm.WEBHOOKS_REPLAY}
    dangerous = ("POST",)
    wake: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="replayManyWebhookLogs", parameters=[BulkQuery], request=BulkAsked,
        responses=BulkAnswer,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Replay all these events, in the background. `?dryRun=true` counts them first."""
        dry_run = self.query(BulkQuery)["dryRun"]
        asked = BulkAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        chosen, now = selection(request, asked.validated_data), timezone.now()
        try:
            if dry_run:
                return Response({"queued": replay.count(chosen, now=now), "batchId": None})
            batch = replay.many(chosen, actor=actor.of(request), now=now)
        except replay.TooMany as error:
            raise Problem(400, "too_many", str(error), field="filter") from error
        if batch and self.wake:
            self.wake()
        return Response({"queued": batch.total, "batchId": str(batch.pk)} if batch else {"queued": 0, "batchId": None})


class BatchView(ApiView):
    permissions = {"GET": Perm.WEBHOOKS_REPLAY, "DELETE": Perm.WEBHOOKS_REPLAY}

    @extend_schema(tags=["Webhooks"], operation_id="getWebhookReplays", responses=ReplayProgress)
    def get(self, request: Request, batch_id: UUID) -> Response:
        """How far a bulk replay is."""
        batch = get_batch(request, batch_id)
        return Response({"batchId": str(batch.pk), **replay.progress(batch)})

    @extend_schema(
        tags=["Webhooks"], operation_id="cancelWebhookReplays",
        responses={200: ReplayCancelled, 409: OpenApiResponse(description="`nothing_to_cancel`")},
    )  # fmt: skip
    def delete(self, request: Request, batch_id: UUID) -> Response:
        """Replay no more of them. What was tried stays; what only waited is taken back."""
        batch = get_batch(request, batch_id)
        try:
            taken_back = replay.cancel(batch, actor=actor.of(request), now=timezone.now())
        except replay.NothingToCancel as error:
            raise Problem(409, "nothing_to_cancel", str(error)) from error
        batch.refresh_from_db()
        return Response({"batchId": str(batch.pk), **replay.progress(batch), "takenBack": taken_back})


def selection(request: Request, asked: Mapping[str, Any]) -> Selection:
    """What is asked for, within what the caller may replay: 404 or 403 for a receiver named that isn't."""
    told = asked.get("filter", {})
    if pk := told.get("webhookId"):
        get_webhook(request, pk, Perm.WEBHOOKS_REPLAY)
    if slug := told.get("integration"):
        get_integration(request, slug, Perm.WEBHOOKS_REPLAY)
    return Selection(
        scope=bulk.scope(request.user),
        log_ids=tuple(asked["logIds"]) if "logIds" in asked else None,
        webhook=pk,
        integration=slug,
        status=told.get("status"),
        event_type=told.get("eventType"),
        since=told.get("from"),
        until=told.get("to"),
        search=told.get("search"),
    )


def get_batch(request: Request, pk: UUID) -> ReplayBatch:
    """The batch, if all that it may touch is the caller's to replay; else 404."""
    batch = bulk.batch(request.user, pk)
    if batch is None:
        raise Http404
    return batch
