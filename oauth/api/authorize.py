"""Connecting by the API: the address to send somebody's browser to."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor
from integrations.api.base import ApiView
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from oauth.services import authorize


class AuthorizeAnswer(serializers.Serializer[Any]):
    authorizationUrl = serializers.URLField(help_text="Good once, for ten minutes, for the caller alone.")


class AuthorizeView(ApiView):
    permissions = {"POST": Perm.MANAGE}

    @extend_schema(
        tags=["OAuth"], operation_id="authorizeOAuth", request=None,
        responses={
            200: AuthorizeAnswer,
            409: OpenApiResponse(description="`not_oauth`, or `not_configured` with the variables to set"),
        },
    )  # fmt: skip
    def post(self, request: Request, slug: str) -> Response:
        """Begin to connect: open the address in a browser in which the caller is signed in."""
        integration = get_integration(request, slug, Perm.MANAGE)
        session = "" if request.auth else request._request.session.session_key or ""
        try:
            url = authorize.begin(integration, actor=actor.of(request), session=session, now=timezone.now())
        except ProviderError as error:
            raise Problem(409, error.code, error.words) from error
        return Response({"authorizationUrl": url})
