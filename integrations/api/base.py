"""What the API's views share."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn

from django.utils import timezone
from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from integrations import activity, actor
from integrations.accounts import fresh
from integrations.accounts.models import ApiToken
from integrations.permissions import DANGEROUS, Perm

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class ApiView(APIView):
    """A view with its permission for each method: `permissions = {"GET": Perm.READ, "PATCH": Perm.MANAGE}`."""

    permissions: ClassVar[Mapping[str, Perm]] = {}
    dangerous: ClassVar[Collection[str]] = ()
    """Methods that want a fresh login, or a token with the scope `dangerous`."""
    http_method_names = ["get", "head", "post", "patch", "delete"]

    def check_permissions(self, request: Request) -> None:
        """Counted first: a call that is refused is a call, and leaves a trace."""
        if request.user.is_authenticated:
            super().check_throttles(request)
        super().check_permissions(request)
        if request.method in self.dangerous and not _is_fresh(request):
            text = "This needs a fresh login: sign in again, or use a token with the scope `dangerous`."
            self.permission_denied(request, text, "fresh_login_required")

    def check_throttles(self, request: Request) -> None:
        """Done above; DRF would count only those who are let in."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in getattr(request._request, "rate_limit_headers", {}).items():
            answer.headers[name] = value
        return answer

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        """A refused action leaves its trace too."""
        if request.user.is_authenticated and request.method in UNSAFE:
            activity.record_refusal(
                actor=actor.of(request),
                where=place(request),
                details={"method": request.method, "path": request.path[:300]},
            )
        super().permission_denied(request, message, code)

    def query(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The query string, checked against `shape`; a bad value is a 400 that names it."""
        asked = shape(data=self.request.query_params.dict())
        asked.is_valid(raise_exception=True)
        return dict(asked.validated_data)


def _is_fresh(request: Request) -> bool:
    if isinstance(request.auth, ApiToken):
        return DANGEROUS in request.auth.scopes
    return fresh.is_fresh(request._request, timezone.now())


def place(request: Request) -> str:
    """The route, not the path: whoever calls chooses the path."""
    match = request._request.resolver_match
    return f"{request.method} {match.view_name if match else ''}"


class UtcDateTime(serializers.DateTimeField):
    """ISO 8601 in UTC, ending in Z."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


def utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


class Strict(serializers.Serializer[Any]):
    """A request body in which an unknown key is a mistake worth telling."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError(
                {str(name): ["There is no such field."] for name in unknown}, code="unknown"
            )
        return super().to_internal_value(data)


class _StrictSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """Says the same in the OpenAPI document."""

    target_class = Strict
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001 - its documented way
        return {**schema, "additionalProperties": False}
