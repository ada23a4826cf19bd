"""Who must have a second factor (`SECOND_FACTOR_FOR`), and that nobody who must gets anywhere without one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from integrations import permissions
from integrations.api import problems
from integrations.permissions import Perm

if TYPE_CHECKING:
    from integrations.accounts.models import User

SATISFIED = "second_factor"
"""In a session: its person has a second factor, or came by a sign-in that asks for one."""

EVERYONE, ACTING, NOBODY = "everyone", "acting", "nobody"
WITHOUT = frozenset({"brand-css", "healthz", "readyz", "metrics", "account-preferences", "account-password"})
"""Routes outside the login's own that stay open to those who have still to set theirs up."""


def of(user: "User") -> bool:
    """Whether `user` must have one. Asked of the person, not of a token that confines them."""
    whom: str = settings.SECOND_FACTOR_FOR
    if whom == NOBODY:
        return False
    if whom == EVERYONE or user.is_superuser:
        return True
    if whom == ACTING:
        return any(permissions.may_somewhere(user, perm) for perm in Perm if perm != Perm.READ)
    roles = [role.strip() for role in whom.split(",")]
    return user.groups.filter(name__in=roles).exists()


def unknown_roles() -> list[str]:
    """What the setting names that is neither a word of ours nor a role."""
    from django.contrib.auth.models import Group

    whom: str = settings.SECOND_FACTOR_FOR
    if whom in (EVERYONE, ACTING, NOBODY):
        return []
    named = {role.strip() for role in whom.split(",")}
    return sorted(named - set(Group.objects.filter(name__in=named).values_list("name", flat=True)))


_CHOOSE = "Choose a password of your own first: under Account, in the pages."
_SECOND_FACTOR = "Set a second factor up first: under Account, in the pages."


class SecondFactorMiddleware:
    """Leads to the page where one is set up, and before that to where one chooses a password of one's own, in place of
    the one that somebody made and knows. Tokens are not asked: they are made by those who have one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponseBase | None:
        if request.user.is_authenticated and request.user.password_given_by and not _is_for_password(request):
            return self._to(request, reverse("account"), "password_given", _CHOOSE)
        if settings.SECOND_FACTOR_FOR == NOBODY or not request.user.is_authenticated or _open(request):
            return None
        if request.session.get(SATISFIED) or is_satisfied(request):
            return None
        return self._to(request, reverse("mfa_index"), "second_factor_required", _SECOND_FACTOR)

    def _to(self, request: HttpRequest, where: str, code: str, text: str) -> HttpResponseBase | None:
        if not request.path.startswith("/api/"):
            return _lead(request, where)
        if request.headers.get("Authorization", "").lower().startswith("bearer "):
            return None
        return problems.response(403, code, text)


def _lead(request: HttpRequest, where: str) -> HttpResponseBase:
    """To where it is done; what a page asks for by itself, once it is there, is just not answered."""
    htmx = getattr(request, "htmx", None)
    if not htmx:
        return redirect(where)
    there = (htmx.current_url_abs_path or "").startswith((reverse("account_login").removesuffix("login/"), where))
    return HttpResponse(status=204) if there else HttpResponseClientRedirect(where)


def is_satisfied(request: HttpRequest) -> bool:
    """Looked up once for a session; whoever must have one and has none is looked up each time."""
    from integrations.accounts.login import factors

    user = request.user
    if not user.is_authenticated or (of(user) and not factors.has(user)):
        return False
    if factors.has(user):
        request.session[SATISFIED] = True
    return True


def _is_for_password(request: HttpRequest) -> bool:
    match = request.resolver_match
    return (match.view_name if match else "") in {*WITHOUT, "account", "account_logout"}


def _open(request: HttpRequest) -> bool:
    match = request.resolver_match
    name = match.view_name if match else ""
    return name.startswith(("accounts:", "account_", "mfa_", "openid_connect_")) or name in WITHOUT
