"""The API of what a provider has registered to call, and of the gaps in what it told us."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView, UtcDateTime
from integrations.api.problems import Problem
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from webhooks import drift
from webhooks.api.receivers import get_webhook
from webhooks.models import Registration, RegistrationCheck, Webhook
from webhooks.services import backfill, channels, registrations

CODES = [drift.MISSING, drift.FOREIGN, drift.DISABLED, drift.EVENTS, drift.EXPIRING]


class RegistrationRow(serializers.ModelSerializer[Registration]):
    providerId = serializers.CharField(source="provider_id", help_text="Empty: the one that should be there.")
    url = serializers.CharField(help_text="Without its query, which may hold a key; of what isn't ours, its host.")
    eventTypes = serializers.ListField(child=serializers.CharField(), source="event_types")
    isEnabled = serializers.BooleanField(source="enabled")
    expiresAt = UtcDateTime(source="expires_at", allow_null=True)
    isOurs = serializers.BooleanField(source="ours", help_text="It calls this receiver.")
    code = serializers.ChoiceField(CODES, allow_blank=True, help_text="What is wrong with it; empty: nothing.")
    finding = serializers.CharField(allow_blank=True, help_text="The same in words.")
    firstSeenAt = UtcDateTime(source="first_seen_at")
    seenAt = UtcDateTime(source="seen_at")

    class Meta:
        model = Registration
        fields = ["providerId", "url", "eventTypes", "isEnabled", "expiresAt", "isOurs", "code", "finding",
                  "firstSeenAt", "seenAt"]  # fmt: skip


class RegistrationsAnswer(serializers.Serializer[Any]):
    isReadable = serializers.BooleanField(help_text="Its provider tells what it has registered.")
    isFillable = serializers.BooleanField(help_text="Its provider lists its events, so gaps can be filled.")
    checkedAt = UtcDateTime(allow_null=True, help_text="When it was last asked.")
    error = serializers.CharField(allow_blank=True, help_text="Why that told nothing; what was known before stays.")
    backfilledTo = UtcDateTime(allow_null=True, help_text="Up to here its events were compared with ours.")
    channel = serializers.CharField(
        allow_null=True,
        help_text="Zoho CRM only: what is done with its notification channels, which end within a week. renew: those "
        "there are; open: one is opened too, where none is; off: nothing, as workflow rules call us instead.",
    )
    registrations = RegistrationRow(many=True)


class CheckedAnswer(RegistrationsAnswer):
    success = serializers.BooleanField()
    message = serializers.CharField()


class RegistrationsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Webhooks"], operation_id="listWebhookRegistrations", responses=RegistrationsAnswer)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """What its provider had registered when it was last asked, ours first, and what is wrong with it."""
        return Response(RegistrationsAnswer(_known(get_webhook(request, webhook_id, Perm.READ))).data)


class CheckRegistrationsView(ApiView):
    """`follow` lets people be told of what was found."""

    permissions = {"POST": Perm.MANAGE}
    follow: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="checkWebhookRegistrations", request=None,
        responses={
            200: CheckedAnswer,
            409: OpenApiResponse(description="`not_readable`: it tells nobody; `inactive`: it is switched off"),
        },
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Ask its provider now. Zoho CRM's channels that end soon are renewed along the way."""
        webhook = get_webhook(request, webhook_id, Perm.MANAGE)
        try:
            looked = registrations.ask(webhook, actor=actor.of(request), now=timezone.now())
        except registrations.NotReadable as error:
            raise Problem(409, "not_readable", str(error)) from error
        except ProviderError as error:
            raise Problem(409, "inactive", error.words) from error
        if self.follow:
            self.follow()
        told = {"success": not looked.error, "message": looked.words}
        return Response(CheckedAnswer(_known(webhook) | told).data)


def _known(webhook: Webhook) -> dict[str, Any]:
    check = RegistrationCheck.objects.filter(webhook=webhook).first()
    return {
        "isReadable": registrations.readable(webhook),
        "isFillable": backfill.fillable(webhook),
        "checkedAt": check.checked_at if check else None,
        "error": check.error if check else "",
        "backfilledTo": check.backfilled_to if check else None,
        "channel": webhook.metadata.get("channel", channels.RENEW) if channels.concern(webhook) else None,
        "registrations": registrations.rows(webhook),
    }


# --- Gaps ------------------------------------------------------------------------------------------------------------


class FilledAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField(help_text="False: something may be missing still.")
    fetched = serializers.IntegerField(help_text="Events that had never come, and are taken in now.")
    byType = serializers.DictField(child=serializers.IntegerField())
    left = serializers.IntegerField(help_text="Missing events that come in with the next run.")
    comparedTo = UtcDateTime(allow_null=True)
    message = serializers.CharField()


class BackfillView(ApiView):
    """`wake` tells the workers of new events; it never blocks."""

    permissions = {"POST": Perm.MANAGE}
    wake: Callable[[], object] | None = None

    @extend_schema(
        tags=["Webhooks"], operation_id="backfillWebhook", request=None,
        responses={
            200: FilledAnswer,
            409: OpenApiResponse(description="`not_fillable`: it lists no events; `inactive`: it is switched off"),
        },
    )  # fmt: skip
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Compare its provider's own list of events with ours, and take in what never came. May be repeated: nothing
        is taken in twice."""
        webhook = get_webhook(request, webhook_id, Perm.MANAGE)
        if not backfill.fillable(webhook):
            raise Problem(409, "not_fillable", f"{webhook.integration.name} keeps no list of events that we can read.")
        if not webhook.integration.is_active:
            raise Problem(409, "inactive", f"{webhook.integration.name} is switched off: it is not asked.")
        filled = backfill.ask(webhook, actor=actor.of(request), now=timezone.now())
        if filled.number and self.wake:
            self.wake()
        return Response(FilledAnswer(_filled(webhook, filled)).data)


def _filled(webhook: Webhook, filled: backfill.Filled) -> dict[str, Any]:
    to = RegistrationCheck.objects.filter(webhook=webhook).values_list("backfilled_to", flat=True).first()
    return {
        "success": not (filled.failed or filled.error or filled.left),
        "fetched": filled.number,
        "byType": dict(filled.fetched),
        "left": filled.left,
        "comparedTo": to,
        "message": filled.words,
    }
