"""The API of OAuth tokens: whether there are any and how they are, never what they are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import actor, permissions
from integrations.accounts.models import User
from integrations.api.base import ApiView, Strict, UtcDateTime
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.models import Integration
from integrations.permissions import Perm
from oauth import services
from oauth.models import Grant, Token
from oauth.services import leftovers
from oauth.services.status import oauth_of


class BudgetRow(serializers.Serializer[Any]):
    """Token requests by this refresh token, and how many we allow ourselves within the window."""

    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    windowSeconds = serializers.SerializerMethodField()
    freesAt = UtcDateTime(source="frees_at", allow_null=True, help_text="When the next may be made, if all are used.")

    def get_windowSeconds(self, budget: services.Budget) -> int:
        return int(budget.window.total_seconds())


class TokenRow(serializers.Serializer[Any]):
    integrationId = serializers.UUIDField()
    integrationName = serializers.CharField()
    integrationSlug = serializers.CharField()
    hasAccessToken = serializers.BooleanField()
    hasRefreshToken = serializers.BooleanField()
    expiresAt = UtcDateTime(allow_null=True)
    lastRefreshedAt = UtcDateTime(allow_null=True)
    refreshCount = serializers.IntegerField()
    status = serializers.ChoiceField([one.value for one in services.Status])
    autoRefresh = serializers.BooleanField()
    lastError = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(Grant.State.choices, allow_null=True, help_text="Of the grant; null without one.")
    advice = serializers.CharField(allow_blank=True, help_text="What to do, in words; empty: nothing.")
    budget = BudgetRow(allow_null=True)
    leftBehind = serializers.IntegerField(
        help_text="Earlier grants of it that the provider has not confirmed as revoked yet; it is told until it does."
    )
    sharedWith = serializers.ListField(
        child=serializers.CharField(), help_text="Slugs of the integrations you may see that live by the same grant."
    )


class TokensAnswer(serializers.Serializer[Any]):
    tokens = TokenRow(many=True)


class TokensView(ApiView):
    permissions = {"GET": Perm.READ}

    @extend_schema(tags=["OAuth"], operation_id="listOAuthTokens", responses=TokensAnswer)
    def get(self, request: Request) -> Response:
        """Every integration that uses OAuth, `missing` where none was ever connected."""
        return Response({"tokens": TokenRow(visible_rows(request.user), many=True).data})


def visible_rows(user: User | AnonymousUser) -> list[dict[str, Any]]:
    """What a TokenRow tells, of every integration that uses OAuth and that `user` may see."""
    found = list(permissions.visible(user).filter(requires_oauth=True).select_related("token__grant"))
    full = rows(found, among=found)
    return [full[one.pk] for one in found]


class TokenChange(Strict):
    autoRefresh = serializers.BooleanField()


class TokenAnswer(serializers.Serializer[Any]):
    token = TokenRow()


class TokenView(ApiView):
    permissions = {"PATCH": Perm.MANAGE}

    @extend_schema(
        tags=["OAuth"], operation_id="changeOAuthToken", request=TokenChange,
        responses={200: TokenAnswer, 409: OpenApiResponse(description="`not_oauth` or `not_connected`")},
    )  # fmt: skip
    def patch(self, request: Request, slug: str) -> Response:
        """Whether it is renewed by itself."""
        integration = get_integration(request, slug, Perm.MANAGE)
        must_use_oauth(integration)
        asked = TokenChange(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            services.change(
                integration, auto_refresh=asked.validated_data["autoRefresh"], actor=actor.of(request)
            )  # fmt: skip
        except services.NeverConnected as error:
            raise Problem(409, "not_connected", str(error)) from error
        changed = Integration.objects.select_related("token__grant").get(pk=integration.pk)
        around = permissions.visible(request.user).filter(requires_oauth=True).select_related("token__grant")
        full = rows([changed], among=around)
        return Response({"token": TokenRow(full[integration.pk]).data})


def must_use_oauth(integration: Integration) -> None:
    if oauth_of(integration) is None:
        raise Problem(409, "not_oauth", f"{integration.name} uses no OAuth.")


def rows(integrations: Iterable[Any], *, among: Iterable[Any]) -> Mapping[UUID, dict[str, Any]]:
    """By integration, what `TokenRow` shows. Both are loaded with `token__grant`; `among` is all that the reader may
    see. Two queries for all."""
    now = timezone.now()
    sharing: dict[UUID, list[str]] = defaultdict(list)
    for one in among:
        if token := getattr(one, "token", None):
            sharing[token.grant_id].append(one.slug)
    tokens = {one.pk: getattr(one, "token", None) for one in integrations}
    left = leftovers.count(tokens)
    budgets = services.budgets({t.grant_id: oauth_of(one) for one in integrations if (t := tokens[one.pk])}, now=now)
    return {
        one.pk: row(one, token)
        | {
            "state": token.grant.state if token else None,
            "advice": services.advice(token),
            "budget": budgets[token.grant_id] if token else None,
            "leftBehind": left[one.pk],
            "sharedWith": sorted(slug for slug in sharing[token.grant_id] if slug != one.slug) if token else [],
        }
        for one in integrations
        for token in [tokens[one.pk]]
    }


def row(integration: Integration, token: Token | None) -> dict[str, Any]:
    """One token in short, as the integration's own answer has it."""
    return {
        "integrationId": integration.pk,
        "integrationName": integration.name,
        "integrationSlug": integration.slug,
        "hasAccessToken": bool(token and token.access_sealed),
        "hasRefreshToken": bool(token and token.refresh_sealed),
        "expiresAt": token.expires_at if token else None,
        "lastRefreshedAt": token.last_refreshed_at if token else None,
        "refreshCount": token.refresh_count if token else 0,
        "status": services.status(token, timezone.now()).value,
        "autoRefresh": bool(token and token.auto_refresh),
        "lastError": (token.grant.last_error if token else "") or None,
    }
