"""The API of alerts: what is amiss and who was told, a test, and what somebody has read."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from healthchecks.alerts import bell, quiet, telling, trials
from healthchecks.alerts.bell import Shown
from healthchecks.models import Alarm, Alert, Delivery
from integrations import activity, actor, permissions
from integrations.accounts.models import User
from integrations.api.base import ApiView, Strict, UtcDateTime, place
from integrations.api.paging import PageQuery, Pagination, paginate
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.permissions import Perm
from integrations.seek import Listing


class Clock(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if quiet.clock(data) is None:
            raise serializers.ValidationError("Give a time of day as HH:MM, such as 22:00.", code="invalid")
        return str(data)


class QuietHours(Strict):
    """Local times (TIME_ZONE), over midnight if `from` is the later one. Warnings wait until `to`."""

    to = Clock(max_length=5)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {"from": Clock(max_length=5), **super().get_fields()}  # a Python keyword, so not an attribute

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        span = quiet.span(attrs["from"], attrs["to"])
        if not span:
            raise serializers.ValidationError("They begin and end at the same time: null takes them away.")
        if span > quiet.LONGEST:
            longest = quiet.LONGEST // timedelta(hours=1)
            raise serializers.ValidationError(f"They last {longest} h at most: what waits must be told within a day.")
        return dict(attrs)


class DeliveryRow(serializers.Serializer[Any]):
    route = serializers.CharField(help_text="Its kind and, masked, whom it reaches.")
    fallback = serializers.BooleanField()
    status = serializers.ChoiceField(Delivery.Status.choices, help_text="`spared`: not needed.")
    attempts = serializers.IntegerField()
    nextAttemptAt = UtcDateTime(source="due_at", allow_null=True)
    sentAt = UtcDateTime(source="sent_at", allow_null=True, help_text="When the channel took it.")
    failedAt = UtcDateTime(source="failed_at", allow_null=True, help_text="With `sentAt`: it came back later.")
    error = serializers.CharField()


class AlertRow(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(Alert.Kind.choices)
    severity = serializers.ChoiceField(Alarm.Severity.choices)
    createdAt = UtcDateTime(source="created_at")
    deliveries = DeliveryRow(many=True)


class AlarmRow(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="alarm.pk")
    kind = serializers.ChoiceField(Alarm.Kind.choices, source="alarm.kind")
    severity = serializers.ChoiceField(Alarm.Severity.choices, source="alarm.severity")
    integrations = serializers.ListField(child=serializers.SlugField(), source="slugs")
    title = serializers.CharField()
    text = serializers.CharField()
    openedAt = UtcDateTime(source="alarm.opened_at")
    closedAt = UtcDateTime(source="alarm.closed_at", allow_null=True)
    toldAt = UtcDateTime(source="alarm.told_at", allow_null=True, help_text="When a channel last took word of it.")
    held = serializers.CharField(help_text="Why nobody was told yet, of one that is open; else empty.")
    alerts = AlertRow(many=True, source="alarm.alerts")


class AlarmsQuery(PageQuery):
    integration = serializers.SlugField(required=False)
    open = serializers.BooleanField(required=False, help_text="Only those that last, or only those that are over.")


class AlarmsAnswer(serializers.Serializer[Any]):
    alarms = AlarmRow(many=True)
    unread = serializers.IntegerField(help_text="Opened since the caller last looked; counted to 100.")
    pagination = Pagination()


class AlertsView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["Alerts"], operation_id="listAlerts", parameters=[AlarmsQuery], responses=AlarmsAnswer)
    def get(self, request: Request) -> Response:
        """What is amiss or was, newest first, and who was told of it by which route."""
        asked, now = self.query(AlarmsQuery), timezone.now()
        page = paginate(Listing(bell.with_deliveries(narrowed(request, asked)), at="opened_at"), asked)
        listed: list[Shown] = bell.shown(person(request), page.rows, now=now, explain=True)
        answer = {"alarms": listed, "unread": bell.unread(person(request)), "pagination": page.pagination}
        return Response(AlarmsAnswer(answer).data)


def narrowed(request: Request, asked: dict[str, Any]) -> QuerySet[Alarm]:
    """The alarms that the caller may see, by a validated AlarmsQuery."""
    rows = bell.visible(person(request))
    if slug := asked.get("integration"):
        rows = bell.of(rows, get_integration(request, slug, Perm.READ))
    if "open" in asked:
        rows = rows.filter(closed_at=None) if asked["open"] else rows.exclude(closed_at=None)
    return rows


class AlertTestAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField(help_text="Whether every route has taken it by now.")
    alertId = serializers.UUIDField()
    message = serializers.CharField()
    routes = DeliveryRow(many=True)


class AlertTestView(ApiView):
    permissions = {"POST": Perm.MANAGE}

    @extend_schema(
        tags=["Alerts"], operation_id="testAlerts", request=None,
        responses={200: AlertTestAnswer, 409: OpenApiResponse(description="`no_route`")},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Send a test alert by every route, fallbacks too. Waits eight seconds; then it goes on in the background."""
        if not permissions.may(request.user, Perm.MANAGE):
            activity.record_refusal(actor=actor.of(request), where=place(request), details={"path": request.path})
            raise exceptions.PermissionDenied
        try:
            alert = telling.trial(actor=actor.of(request), now=timezone.now())
        except telling.NoRoute as error:
            raise Problem(409, "no_route", str(error)) from error
        done = trials.for_a_moment(alert)
        sent = all(one.status == Delivery.Status.SENT for one in done)
        answer = {"success": sent, "alertId": alert.pk, "message": trials.in_words(done), "routes": done}
        return Response(AlertTestAnswer(answer).data)


class AlertsSeenAnswer(serializers.Serializer[Any]):
    unread = serializers.IntegerField()


class AlertsSeenView(ApiView):
    permissions = {"POST": Perm.READ}

    @extend_schema(tags=["Alerts"], operation_id="markAlertsSeen", request=None, responses=AlertsSeenAnswer)
    def post(self, request: Request) -> Response:
        """The caller has read what there is: their count of unread ones starts anew. It leaves no activity."""
        bell.mark_seen(person(request), now=timezone.now())
        return Response(AlertsSeenAnswer({"unread": bell.unread(person(request))}).data)


def person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - nobody else is let in
    return request.user
