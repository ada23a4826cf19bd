"""The API of the quarantine: what was refused, why, and judging it again.

Who reads sees when and why. Nobody vouched for what was sent and who sent it, so addresses, headers and bodies are for
those who may release it.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor, permissions
from integrations.api.base import ApiView, Strict, UtcDateTime
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.problems import Problem
from integrations.permissions import Perm
from webhooks import refused, state
from webhooks.api.receivers import get_webhook
from webhooks.models import Refusal, RefusalTally, Reverification, Webhook
from webhooks.services import keys, quarantine, receive, reverify
from webhooks.services.selection import MOST_IDS

# --- The list --------------------------------------------------------------------------------------------------------


class RefusalsQuery(PageQuery):
    reason = serializers.CharField(required=False, max_length=40)
    released = serializers.BooleanField(required=False)


class RefusalRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    createdAt = UtcDateTime(source="created_at")
    reason = serializers.CharField(help_text="A stable word.")
    detail = serializers.CharField(help_text="For people, without any secret.")
    sizeBytes = serializers.IntegerField(source="size", help_text="Of what is kept.")
    truncated = serializers.BooleanField(help_text="It was larger: it can be looked at, but not judged again.")
    releasedAt = UtcDateTime(source="released_at", allow_null=True)
    logId = serializers.UUIDField(source="log_id", allow_null=True, help_text="The event that it became.")
    ipAddress = serializers.IPAddressField(
        source="ip_address", allow_null=True, help_text="Null without integrations:manage."
    )
    userAgent = serializers.CharField(source="user_agent", allow_null=True, help_text="Likewise.")

    def to_representation(self, row: Refusal) -> dict[str, Any]:
        shown = super().to_representation(row)
        return shown if self.context["may_open"] else shown | {"ipAddress": None, "userAgent": None}


class RefusalsAnswer(serializers.Serializer[Any]):
    refusals = RefusalRow(many=True)
    pagination = Pagination()


class RefusalsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Webhooks"], operation_id="listWebhookRefusals", parameters=[RefusalsQuery], responses=RefusalsAnswer
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """What one receiver refused in the last week and kept, newest first."""
        webhook, asked = get_webhook(request, webhook_id, Perm.READ), self.query(RefusalsQuery)
        rows = _rows(webhook).defer("body", "sealed")
        if "reason" in asked:
            rows = rows.filter(reason=asked["reason"])
        if "released" in asked:
            rows = rows.filter(released_at__isnull=not asked["released"])
        page = paginate(rows, asked)
        shown = RefusalRow(page.rows, many=True, context=_context(request, webhook))
        return Response({"refusals": shown.data, "pagination": page.pagination})


def _rows(webhook: Webhook) -> QuerySet[Refusal]:
    return Refusal.objects.filter(webhook=webhook).annotate(size=Length("body"))


def _context(request: Request, webhook: Webhook) -> dict[str, bool]:
    return {"may_open": permissions.may(request.user, Perm.MANAGE, webhook.integration)}


# --- By the hour -----------------------------------------------------------------------------------------------------


class Hour(serializers.Serializer[Any]):
    hour = UtcDateTime()
    total = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="At most 100; the others were only counted.")
    reasons = serializers.DictField(child=serializers.IntegerField())


class HoursAnswer(serializers.Serializer[Any]):
    hours = Hour(many=True)


class HoursView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="listWebhookRefusedHours", responses=HoursAnswer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """How many were refused in each hour of the last week, by reason, newest first. Quiet hours are left out."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        rows = RefusalTally.objects.filter(webhook=webhook, hour__gt=timezone.now() - quarantine.LIFE)
        hours = [
            {"hour": row.hour, "total": sum(row.reasons.values()), "kept": row.kept, "reasons": row.reasons}
            for row in rows.order_by("-hour")
        ]
        return Response(HoursAnswer({"hours": hours}).data)


# --- One -------------------------------------------------------------------------------------------------------------


class RefusalDetail(RefusalRow):
    headers = serializers.DictField(child=serializers.CharField(), allow_null=True, help_text="Redacted.")
    payload = serializers.JSONField(allow_null=True, help_text="As it would be read; personal fields are masked.")
    raw = serializers.CharField(allow_null=True, help_text="What came, where it can't be read as an event.")
    note = serializers.CharField(allow_null=True, help_text="Why something is not shown.")

    def to_representation(self, row: Refusal) -> dict[str, Any]:
        told = refused.opened(row) if self.context["may_open"] else refused.closed()
        return super().to_representation(row) | asdict(told)


class RefusalView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="getWebhookRefusal", responses=RefusalDetail)
    def get(self, request: Request, webhook_id: UUID, refusal_id: UUID) -> Response:
        """One refused delivery; to those who may manage the integration with its headers and what it says."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        row = _rows(webhook).select_related("webhook__integration").filter(pk=refusal_id).first()
        if row is None:
            raise Http404
        return Response(RefusalDetail(row, context=_context(request, webhook)).data)


# --- Judging again ---------------------------------------------------------------------------------------------------


class ReverifyAsked(Strict):
    ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, allow_empty=False, max_length=MOST_IDS, help_text="Only these."
    )
    dryRun = serializers.BooleanField(required=False, default=False, help_text="Judge, and release nothing.")


class ReverifyAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    dryRun = serializers.BooleanField()
    total = serializers.IntegerField(help_text="Kept, and not released before.")
    released = serializers.IntegerField(help_text="Genuine. Of a dry run: that would be released.")
    duplicates = serializers.IntegerField(help_text="Of those: they had come another way. Not told by a dry run.")
    stillRefused = serializers.IntegerField()
    unreadable = serializers.IntegerField(help_text="Can't be judged any more.")
    finished = serializers.BooleanField(help_text="False: time was up. The rest goes on in the background.")
    message = serializers.CharField()


class ReverifyView(ApiView):
    """`wake` tells the workers of new events, `go_on` of refusals that are left to judge; neither blocks."""

    permissions = {"POST": Perm.MANAGE}
    wake: Callable[[], object] | None = None
    go_on: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="reverifyWebhookRefusals", request=ReverifyAsked,
        responses={
            200: ReverifyAnswer,
            409: OpenApiResponse(description="`no_secret`: nothing can be judged"),
            504: OpenApiResponse(description="`provider_unreachable`: its public keys can't be had"),
        },
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Judge what was refused once more, after a secret was mended. Waits two seconds; the rest goes on in the
        background. May be repeated."""
        webhook = get_webhook(request, webhook_id, Perm.MANAGE)
        asked = ReverifyAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        route, chosen, now = _route(webhook), asked.validated_data.get("ids"), timezone.now()
        try:
            if asked.validated_data["dryRun"]:
                total = reverify.kept(webhook.pk, now=now, chosen=chosen).count()
                return Response(_foretold(total, reverify.preview(route, now=now, chosen=chosen)))
            done = reverify.ask(route, actor=actor.of(request), now=now, chosen=chosen)
        except keys.KeysUnavailable as error:
            raise Problem(504, "provider_unreachable", f"The provider's public keys can't be had: {error}") from error
        if done.released and self.wake:
            self.wake()
        if done.due_at and self.go_on:
            self.go_on()
        return Response(_done(done))


def _route(webhook: Webhook) -> receive.Route:
    if name := state.unset(webhook):
        raise Problem(409, "no_secret", f"{name} is not set: nothing can be judged.")
    route = receive.routes().get(webhook.webhook_url)
    if route is None:
        raise Problem(409, "no_secret", "This version knows no provider for this receiver: nothing can be judged.")
    return route


def _foretold(total: int, found: reverify.Found) -> dict[str, Any]:
    finished = found.judged >= total
    words = f"{found.genuine:,} would be released."
    return {
        "success": True, "dryRun": True, "total": total, "released": found.genuine, "duplicates": 0,
        "stillRefused": found.refused, "unreadable": found.unreadable, "finished": finished,
        "message": words if finished else f"Of the {found.judged:,} judged in time, {words}",
    }  # fmt: skip


def _done(row: Reverification) -> dict[str, Any]:
    return {
        "success": True, "dryRun": False, "total": row.total, "released": row.released, "duplicates": row.duplicates,
        "stillRefused": row.refused, "unreadable": row.unreadable, "finished": row.due_at is None,
        "message": reverify.words(row),
    }  # fmt: skip
