"""The API of renewing by hand: one token, or all that expire soon."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor, http, permissions
from integrations.api.base import ApiView, UtcDateTime
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from oauth import flow, services
from oauth.api.tokens import must_use_oauth
from oauth.models import Token
from oauth.services import servers
from oauth.services.refresh import BUSY, UNCERTAIN

LookAt = Callable[[Integration], object]
"""Has the health of an integration looked at soon; it never blocks."""

_OURS = {
    "missing": "nothing_to_refresh", "nothing_to_refresh": "nothing_to_refresh", "not_oauth": "not_oauth",
    "inactive": "inactive", "not_configured": "not_configured", "cannot_decrypt": "cannot_decrypt",
    UNCERTAIN: "uncertain", servers.FOREIGN: "foreign_server",
}  # fmt: skip
"""What stood in the way before the provider was asked, and the 409 it makes."""


class RefreshAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    expiresAt = UtcDateTime()
    message = serializers.CharField()


class RefreshView(ApiView):
    permissions = {"POST": Perm.OAUTH_REFRESH}
    look_at: LookAt | None = None

    @extend_schema(
        tags=["OAuth"], operation_id="refreshOAuthToken", request=None,
        responses={
            200: RefreshAnswer,
            409: OpenApiResponse(
                description="`nothing_to_refresh`, `not_oauth`, `inactive`, `uncertain`, `not_configured`, "
                "`foreign_server` or `cannot_decrypt`"
            ),
            429: OpenApiResponse(description="`provider_rate_limited`, with Retry-After"),
            502: OpenApiResponse(description="`provider_rejected`"),
            504: OpenApiResponse(description="`provider_unreachable`"),
        },
    )  # fmt: skip
    def post(self, request: Request, slug: str) -> Response:
        """Renew it now. Whatever the provider says, the token that is there is kept while it lives."""
        integration = get_integration(request, slug, Perm.OAUTH_REFRESH)
        must_use_oauth(integration)
        try:
            token = services.refresh_now(integration, actor=actor.of(request))
        except ProviderError as error:
            raise problem(integration, error) from error
        finally:
            if self.look_at:
                self.look_at(integration)
        answer = {"success": True, "expiresAt": token.expires_at, "message": f"{integration.name} has a new token."}
        return Response(RefreshAnswer(answer).data)


def problem(integration: Integration, error: ProviderError) -> Problem:
    """What stood in the way, as API.md has it."""
    if error.code == flow.THROTTLED:
        return Problem(429, "provider_rate_limited", error.words, wait=_seconds_to_wait(integration))
    if isinstance(error, http.Unreachable) or error.code in ("", BUSY):  # "": so it was for somebody else a moment ago
        return Problem(504, "provider_unreachable", error.words)
    if error.code == flow.DEAD and error.status is None:  # nobody was asked: it had ended before
        return Problem(409, "nothing_to_refresh", error.words)
    if error.code in _OURS:
        return Problem(409, _OURS[error.code], error.words)
    return Problem(502, "provider_rejected", error.words)


def _seconds_to_wait(integration: Integration) -> int:
    until = Token.objects.filter(integration=integration).values_list("grant__next_try_at", flat=True).first()
    return max(1, int((until - timezone.now()).total_seconds()) + 1) if until else 60


# --- All that expire soon --------------------------------------------------------------------------------------------


class RefreshResult(serializers.Serializer[Any]):
    slug = serializers.CharField()
    success = serializers.BooleanField()
    message = serializers.CharField()


class RefreshAllAnswer(serializers.Serializer[Any]):
    refreshed = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Good for longer.")
    results = RefreshResult(many=True)


class RefreshAllView(ApiView):
    permissions = {"POST": Perm.OAUTH_REFRESH}
    look_at: LookAt | None = None

    @extend_schema(
        tags=["OAuth"], operation_id="refreshExpiringOAuthTokens", request=None, responses=RefreshAllAnswer
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Renew all that expire soon, of those that you may renew."""
        among = list(permissions.visible(request.user, Perm.OAUTH_REFRESH))
        done = services.refresh_all(among=among, actor=actor.of(request))
        told = dict.fromkeys(done["refreshed"], (True, "It has a new token."))
        told |= {slug: (False, words) for slug, words in done["failed"].items()}
        for integration in among:
            if self.look_at and integration.slug in told:
                self.look_at(integration)
        results = [{"slug": slug, "success": ok, "message": words} for slug, (ok, words) in sorted(told.items())]
        counts = {"refreshed": len(done["refreshed"]), "failed": len(done["failed"]), "skipped": done["skipped"]}
        return Response(RefreshAllAnswer(counts | {"results": results}).data)
