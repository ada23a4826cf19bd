"""What every page has in common: one URL for page and fragment, who may open it, and how an action answers."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from integrations import activity, actor, permissions
from integrations.accounts.models import User
from integrations.api import limits
from integrations.models import Integration
from integrations.permissions import Perm

P = ParamSpec("P")

ACTION_RATE = "60/min"
"""More than a person clicks; some actions cost money at a provider."""

RETURN_TO = (
    "overview", "detail", "incident", "apis:index", "apis:maintenance", "webhooks:feed", "webhooks:log",
    "webhooks:receiver", "webhooks:batch", "oauth:tokens", "oauth:story", "alerts:index", "cron:index", "cron:job",
    "retry-queue", "account", "account-tokens", "people:index", "people:person",
)  # fmt: skip
"""Pages with buttons: a person without scripts is sent back to where theirs was."""

_LEVELS = {
    "success": messages.SUCCESS, "info": messages.INFO, "warning": messages.WARNING, "error": messages.ERROR
}  # fmt: skip


class PageRequest(HttpRequest):
    """A signed-in person's request, as our middleware leaves it."""

    user: User
    htmx: HtmxDetails


View = Callable[Concatenate[PageRequest, P], HttpResponseBase]


class Refused(PermissionDenied):
    """`perm` is missing. The page that answers (templates/403.html) names it and says whom to ask."""

    def __init__(self, perm: Perm) -> None:
        super().__init__(perm.public_name)
        self.perm = perm


def wants_fragment(request: PageRequest) -> bool:
    """Whether htmx asks for the part of a page that changes. Boosted links and the back button want all of it."""
    return bool(request.htmx) and not request.htmx.boosted and not request.htmx.history_restore_request


def render_page(request: PageRequest, template: str, context: dict[str, Any], *, fragment: str) -> HttpResponse:
    """The page, or the partial `fragment` of the very same template when htmx asks for it."""
    response = render(request, f"{template}#{fragment}" if wants_fragment(request) else template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def requires(perm: Perm | None) -> Callable[[View[P]], View[P]]:
    """Open a view to whoever holds `perm` globally or on any integration (None: to whoever is signed in). What it
    lists, the view cuts down."""
    return _door(perm, permissions.may_somewhere)


def requires_everywhere(perm: Perm) -> Callable[[View[P]], View[P]]:
    """Open a view to whoever holds `perm` globally: it is about no integration, or about all."""
    return _door(perm, permissions.may)


def _door(perm: Perm | None, holds: Callable[[User, Perm], bool]) -> Callable[[View[P]], View[P]]:
    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: PageRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if perm and not holds(request.user, perm):
                raise _refusal(request, perm)
            if request.method == "POST" and (seconds := _too_many(request)):
                return _wait(request, seconds)
            return view(request, *args, **kwargs)

        guarded.lets_in = lambda user: perm is None or holds(user, perm)  # type: ignore[attr-defined]  # read by `opens`
        return guarded

    return decorate


def opens(href: str, user: User) -> bool:
    """Whether `user` may open the page at this address, as its own door would say."""
    lets_in = _door_at(href)
    return lets_in is None or lets_in(user)


@lru_cache(maxsize=64)  # asked for each link of the navigation, on every page
def _door_at(href: str) -> Callable[[User], bool] | None:
    return getattr(resolve(href).func, "lets_in", None)


def demand(request: PageRequest, perm: Perm, integration: Integration | None = None) -> None:
    """Go on only if the reader holds `perm` on `integration`; without one, globally."""
    if not permissions.may(request.user, perm, integration):
        raise _refusal(request, perm, integration)


def unsure(request: PageRequest) -> bool:
    """Whether nobody was asked yet: the page with the button could not, for want of scripts."""
    return not request.htmx and "sure" not in request.POST


def ask(
    request: PageRequest, *, title: str, text: str, yes: str, place: str, back: str, danger: bool = False
) -> HttpResponse:
    """A page that asks what a dialog would have; its yes comes to the same address, with `sure`.

    `place` and `back` are the name and the path of the page that has the button.
    """
    shown = {"title": title, "text": text, "yes": yes, "place": place, "back": back, "danger": danger}
    return render(request, "sure.html", shown)


def answer(request: PageRequest, *, title: str, text: str = "", tone: str = "success", back: str) -> HttpResponse:
    """Say what an action did: to htmx as a toast, after which the page refreshes; otherwise as a message on the page
    where the button was, or on `back` if that can't be told.

    `tone` is one of "success", "info", "warning", "error"; `back` is a page's name or path.
    """
    if not request.htmx:
        messages.add_message(request, _LEVELS[tone], f"{title}. {text}".strip())
        return redirect(came_from(request) or back)
    response = toast(request, title=title, text=text, tone=tone)
    response["HX-Trigger"] = "refresh"
    return response


def came_from(request: PageRequest) -> str:
    """The address of the page with the button, filters and all; "" when it is none of those that have buttons."""
    told = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(told, {request.get_host()}, require_https=request.is_secure()):
        return ""
    parts = urlsplit(told)
    try:
        known = resolve(parts.path).view_name in RETURN_TO
    except Resolver404:
        return ""
    return urlunsplit(("", "", parts.path, parts.query, "")) if known else ""


def toast(request: HttpRequest, *, title: str, text: str = "", tone: str = "error", status: int = 200) -> HttpResponse:
    return render(request, "_toast.html", {"title": title, "text": text, "tone": tone}, status=status)


def _too_many(request: PageRequest) -> int:
    """Count an action; how long to wait when there were more than a person clicks, else 0."""
    allowed, window = limits.parse(ACTION_RATE)
    used, left = limits.hit(f"rate:page:{request.user.pk}", window)
    return left if used > allowed else 0


def _wait(request: PageRequest, seconds: int) -> HttpResponse:
    title = _("Too many actions")
    text = _("More than {rate} by one person. Try again in {n} s.").format(rate=ACTION_RATE, n=seconds)
    if not request.htmx:
        messages.warning(request, f"{title}. {text}")
        return redirect(settings.LOGIN_REDIRECT_URL)
    response = toast(request, title=title, text=text, tone="warning", status=429)
    response["Retry-After"] = str(seconds)
    return response


def _refusal(request: PageRequest, perm: Perm, integration: Integration | None = None) -> Refused:
    page = request.resolver_match.view_name if request.resolver_match else ""
    activity.record_refusal(
        actor=actor.of(request),
        where=f"{page}:{perm}",
        integration=integration,
        details={"permission": perm.public_name, "page": page},
    )
    return Refused(perm)
