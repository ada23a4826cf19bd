"""The API of giving a grant up."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import activity, actor, permissions
from integrations.api.base import ApiView
from integrations.api.permissions import get_integration
from integrations.api.problems import Problem
from integrations.models import Integration
from integrations.permissions import Perm
from oauth import services
from oauth.api.refresh import LookAt
from oauth.api.tokens import must_use_oauth


class RevokeQuery(serializers.Serializer[Any]):
    force = serializers.BooleanField(default=False, help_text="Revoke those that share the grant, too.")


class RevokeAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class PendingAnswer(RevokeAnswer):
    pending = serializers.BooleanField(help_text="The provider doesn't know it yet; it is told later.")


class RevokeView(ApiView):
    permissions = {"DELETE": Perm.MANAGE}
    dangerous = ("DELETE",)
    look_at: LookAt | None = None

    @extend_schema(
        tags=["OAuth"], operation_id="revokeOAuthToken", parameters=[RevokeQuery],
        responses={
            200: RevokeAnswer,
            202: PendingAnswer,
            409: OpenApiResponse(description="`shared_grant`, `nothing_to_revoke` or `not_oauth`"),
        },
    )  # fmt: skip
    def delete(self, request: Request, slug: str) -> Response:
        """Unusable here at once; then the provider is told, and then it is wiped."""
        integration = get_integration(request, slug, Perm.MANAGE)
        must_use_oauth(integration)
        sharing = services.sharing(integration) if self.query(RevokeQuery)["force"] else []
        _must_manage_all(request, integration, sharing)
        try:
            done = services.revoke(integration, actor=actor.of(request), together_with=sharing)
        except services.SharedGrant as error:
            raise Problem(409, "shared_grant", _named(request, error)) from error
        except services.NothingToRevoke as error:
            raise Problem(409, "nothing_to_revoke", str(error)) from error
        for one in done.integrations:
            if self.look_at:
                self.look_at(one)
        if done.pending:
            answer = PendingAnswer({"success": True, "pending": True, "message": done.words})
            return Response(answer.data, status=status.HTTP_202_ACCEPTED)
        return Response(RevokeAnswer({"success": True, "message": done.words}).data)


def _must_manage_all(request: Request, integration: Integration, sharing: list[Integration]) -> None:
    """Whoever may manage one integration must not end others through it."""
    managed = set(permissions.visible(request.user, Perm.MANAGE).values_list("pk", flat=True))
    if all(one.pk in managed for one in sharing):
        return
    activity.record_refusal(
        actor=actor.of(request),
        where=f"DELETE {integration.slug} shared",
        integration=integration,
        details={"method": request.method, "path": request.path[:300], "permission": Perm.MANAGE.public_name},
    )
    raise exceptions.PermissionDenied("Its grant is shared with integrations that you may not manage.")


def _named(request: Request, error: services.SharedGrant) -> str:
    """Those that the reader may see by name, the others by number."""
    seen = set(permissions.visible(request.user).values_list("slug", flat=True))
    names = [slug for slug in error.slugs if slug in seen]
    hidden = len(error.slugs) - len(names)
    if hidden:
        names.append(f"{hidden} more that you may not see")
    return f"Its grant is shared with {', '.join(names)}. With ?force=true they are all revoked."
