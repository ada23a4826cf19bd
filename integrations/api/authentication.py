"""Who calls: a browser session with its CSRF token, or `Authorization: Bearer <api token>`."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from integrations import permissions
from integrations.accounts.models import ApiToken, User

USED_EVERY = timedelta(minutes=1)


class BearerAuthentication(authentication.BaseAuthentication):
    """An API token, looked up by its hash; its scopes confine its user for this request."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = timezone.now()
        rows = ApiToken.objects.alive(now).filter(user__is_active=True).select_related("user")
        row = rows.filter(digest=ApiToken.digest_of(token.strip())).first()
        if row is None:
            raise exceptions.AuthenticationFailed("This token is unknown, expired or revoked.", code="invalid_token")
        # A sign of life, not a count: one write a minute is enough.
        if row.last_used_at is None or row.last_used_at < now - USED_EVERY:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
            ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
        permissions.limit(row.user, row.scopes, on=row.only_on)
        return row.user, row

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's own session; anything but a read needs the CSRF token too."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as error:
            raise exceptions.PermissionDenied(str(error.detail), code="csrf_failed") from error


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular registers by subclassing
    target_class = BearerAuthentication
    name = "apiToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "Made by `manage.py create_api_token`."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "session", "description": "Signed in at /accounts/login/."}
