"""Every route declares its permission; one that doesn't is closed to everybody."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import exceptions
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from integrations import activity, actor, permissions
from integrations.models import Integration
from integrations.permissions import Perm

if TYPE_CHECKING:  # DRF imports its defaults while it is still importing its views
    from rest_framework.views import APIView


class DeclaredPermission(BasePermission):
    """Lets in who holds the view's `permissions[method]` globally or on some integration (the view then filters)."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        perm = getattr(view, "permissions", {}).get(_asked(request))
        if perm is None and str(request.method) not in view.allowed_methods:
            perm = Perm.READ  # there is no such method: a reader may be told so (405)
        return perm is not None and permissions.may_somewhere(request.user, perm)


class SignedIn(BasePermission):
    """Any signed-in person who may read anything at all: for the API's own documentation."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return permissions.may_somewhere(request.user, Perm.READ)


def get_integration(
    request: Request,
    slug: str,
    perm: Perm,
    *,
    reading: Callable[[QuerySet[Integration]], QuerySet[Integration]] = lambda rows: rows,
) -> Integration:
    """The integration, if `request`'s user holds `perm` on it: 404 when it can't be seen, 403 when only seen.

    `reading` may add what is to be read with it, so that one query does.
    """
    integration = reading(permissions.visible(request.user, perm)).filter(slug=slug).first()
    if integration is None:
        integration = permissions.visible(request.user, Perm.READ).filter(slug=slug).first()
        if integration is None:
            raise Http404
        activity.record_refusal(
            actor=actor.of(request),
            where=f"{request.method} {slug} {perm}",
            integration=integration,
            details={"method": request.method, "path": request.path[:300], "permission": perm.public_name},
        )
        raise exceptions.PermissionDenied
    return integration


def _asked(request: Request) -> str:
    return "GET" if request.method == "HEAD" else str(request.method)
