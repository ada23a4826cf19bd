"""Dangerous actions want a fresh login: who found a browser open must not revoke a grant with it.

Fresh is who proved who they are within the last five minutes, by signing in or on the page that asks again. A token
can't prove anything anew: it must have been made with the scope `dangerous`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from integrations import pages
from integrations.pages import PageRequest

if TYPE_CHECKING:
    from allauth.socialaccount.models import SocialLogin

P = ParamSpec("P")
View = Callable[Concatenate[PageRequest, P], HttpResponseBase]

PROVED = "proved_at"
WITHIN = timedelta(minutes=5)
SKEW = timedelta(minutes=1)
"""So far a provider's clock may be ahead of ours."""


def is_fresh(request: HttpRequest, now: datetime) -> bool:
    """Whether who is signed in proved it lately. A clock that was set back proves nothing."""
    age: float = now.timestamp() - request.session.get(PROVED, 0)
    return 0 <= age < WITHIN.total_seconds()


@receiver(user_logged_in)
def proved(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """They have just proved who they are."""
    if request is not None and hasattr(request, "session"):
        request.session[PROVED] = timezone.now().timestamp()


def proved_to_company(request: HttpRequest, login: "SocialLogin") -> None:
    """When the company says that they did: one that still knows them from this morning lets whoever sits there in
    again without a question."""
    now, at = timezone.now().timestamp(), auth_time(login)
    if at is not None and at - now < SKEW.total_seconds():
        request.session[PROVED] = min(at, now)
    else:
        request.session.pop(PROVED, None)


def auth_time(login: "SocialLogin") -> float | None:
    """`auth_time` of the ID token (OpenID Connect Core 1.0, section 2), in seconds since 1970; None: it has none."""
    told = (login.account.extra_data.get("id_token") or {}).get("auth_time")
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None


def required(back: str) -> Callable[[View[P]], View[P]]:
    """Stands inside `pages.requires` of a dangerous action. Who isn't fresh is asked to prove who they are, and comes
    back to the page with the button, or to the page named `back`, to press it again: nothing is done unseen."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: PageRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if is_fresh(request, timezone.now()):
                return view(request, *args, **kwargs)
            return ask(request, back=back)

        return guarded

    return decorate


def ask(request: PageRequest, *, back: str) -> HttpResponseBase:
    """Off to the page that asks who they are. From there a GET leads on to where it was going."""
    if request.method == "GET" and not request.htmx:
        then = request.get_full_path()
    else:
        then = pages.came_from(request) or (back if back.startswith("/") else reverse(back))
    where = f"{reverse('accounts:prove')}?{urlencode({'next': then})}"
    return HttpResponseClientRedirect(where) if request.htmx else redirect(where)
