"""The API of one receiver's rhythm: when something should come, when nothing came, and where the time goes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api.base import ApiView, UtcDateTime
from integrations.permissions import Perm
from webhooks.api.receivers import SilenceRow, get_webhook
from webhooks.services import latency, silence

SHOWN = 20


class RhythmQuery(serializers.Serializer[Any]):
    hours = serializers.IntegerField(
        min_value=1, max_value=168, default=24, required=False, help_text="How far back the latency is looked at."
    )


class RhythmPart(serializers.Serializer[Any]):
    lastReceivedAt = UtcDateTime(source="last", allow_null=True, help_text="The newest genuine delivery.")
    expectedMinutes = serializers.IntegerField(
        source="rule.minutes", allow_null=True, help_text="More than this without anything is too long."
    )
    knownBy = serializers.ChoiceField([silence.SET, silence.LEARNED, silence.UNKNOWN], source="rule.known_by")
    explanation = serializers.CharField(source="rule.words")
    busyHours = serializers.ListField(
        child=serializers.IntegerField(), source="rule.busy",
        help_text="Hours of the week that count, 0 being Monday's first, in the installation's time zone; none: all.",
    )  # fmt: skip
    silence = SilenceRow(allow_null=True, help_text="The one that lasts.")
    silences = SilenceRow(many=True, help_text="Those that are over, the newest first; 20 at most.")


class LatencyPart(serializers.Serializer[Any]):
    """Milliseconds; null where there is no sample. `backwards`: deliveries left out, as two clocks disagree."""

    counted = serializers.IntegerField()
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    backwards = serializers.IntegerField()
    backwardsMax = serializers.FloatField(source="backwards_max", allow_null=True)


class LatencySplit(serializers.Serializer[Any]):
    since = UtcDateTime()
    counted = serializers.IntegerField(help_text="Genuine deliveries looked at, the newest 2,000 at most.")
    isCapped = serializers.BooleanField(source="capped")
    provider = LatencyPart(help_text="Sent → received.")
    commit = LatencyPart(help_text="Received → stored.")
    pickup = LatencyPart(help_text="Stored → first picked up by a worker.")
    work = LatencyPart(help_text="Picked up → processed, in the try that did it.")


class RhythmAnswer(serializers.Serializer[Any]):
    rhythm = RhythmPart()
    latency = LatencySplit()


class RhythmView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(
        tags=["Webhooks"], operation_id="getWebhookRhythm", parameters=[RhythmQuery], responses=RhythmAnswer
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """When something should come and whether it does; and each part of a delivery's way, by whose it is."""
        webhook = get_webhook(request, webhook_id, Perm.READ)
        since = timezone.now() - timedelta(hours=self.query(RhythmQuery)["hours"])
        lasting, over = silence.recent(webhook, most=SHOWN)
        told = {
            "last": silence.newest(webhook),
            "rule": silence.expected(webhook),
            "silence": lasting,
            "silences": over,
        }
        return Response(RhythmAnswer({"rhythm": told, "latency": latency.split(webhook.pk, since=since)}).data)
