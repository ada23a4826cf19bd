"""Signing in and out, and one's own account."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from integrations import activity, actor, pages
from integrations.accounts import account as accounts
from integrations.accounts import fresh, sessions, tokens
from integrations.accounts.models import ApiToken, User
from integrations.api import limits
from integrations.pages import PageRequest

PASSWORD_TRIES, PASSWORD_WINDOW = 10, 900
"""So many a person may try to change theirs, in so many seconds."""


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """Django's own, in our look; every attempt leaves an activity row."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        htmx = getattr(request, "htmx", None)
        if not htmx:
            return super().dispatch(request, *args, **kwargs)
        # A poll whose session ended was sent here: the whole page has to come, and then come back to where it was.
        return HttpResponseClientRedirect(redirect_to_login(htmx.current_url_abs_path or "/").url)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        sessions.begin(self.request, now=timezone.now())
        activity.record(actor=actor.of(self.request), action="login")
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Told once a minute for each network and account tried: a stranger who guesses must not write the log full.

        A name that is nobody's is not kept: it may well be a password, typed into the wrong field.
        """
        who, typed = actor.of(self.request), form.data.get("username", "")[:150]
        user = User.objects.filter(username=typed).first() if typed.isprintable() else None
        activity.record_once(
            actor=who,
            action="login",
            key=f"login_failed:{timezone.now():%Y%m%d%H%M}:{_network(who.ip_address)}:{user.pk if user else ''}",
            integration=None,
            outcome=activity.FAILURE,
            details={"username": user.username if user else None},
        )
        return super().form_invalid(form)


def _network(address: str | None) -> str:
    """Whoever has one IPv6 address has all of its /64."""
    if not address or ":" not in address:
        return address or ""
    return str(ip_network(f"{address.partition('%')[0]}/64", strict=False))


@require_http_methods(["GET", "POST"])
@never_cache
@pages.requires(None)
def prove(request: PageRequest) -> HttpResponse:
    """Ask again who they are: before a dangerous action (integrations/accounts/fresh.py)."""
    then = request.POST.get("next", request.GET.get("next", ""))
    wrong = request.method == "POST" and not request.user.check_password(request.POST.get("password", ""))
    if request.method == "GET" or wrong:
        context = {"next": then, "wrong": wrong}
        return render(request, "accounts/prove.html", context, status=422 if wrong else 200)
    fresh.proved(request.user, request)
    safe = url_has_allowed_host_and_scheme(then, {request.get_host()}, require_https=request.is_secure())
    return redirect(then if safe else settings.LOGIN_REDIRECT_URL)


@login_not_required
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        activity.record(actor=actor.of(request), action="logout")
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


# --- One's own account -----------------------------------------------------------------------------------------------


@require_GET
@pages.requires(None)
def account(request: PageRequest) -> HttpResponse:
    return _account(request, PasswordChangeForm(request.user))


@require_POST
@pages.requires(None)
def change_password(request: PageRequest) -> HttpResponse:
    """They stay signed in here and nowhere else. Who found a session open may not guess for long."""
    tries, left = limits.hit(f"rate:password:{request.user.pk}", PASSWORD_WINDOW)
    if tries > PASSWORD_TRIES:
        text = _("Try again in {n} s.").format(n=left)
        return pages.answer(request, title=_("Too many tries"), text=text, tone="warning", back="account")
    form = PasswordChangeForm(request.user, request.POST)
    if not accounts.change_password(form, actor=actor.of(request), now=timezone.now()):
        return _account(request, form)
    update_session_auth_hash(request, request.user)
    title, text = _("Your password is changed"), _("Other sessions have ended.")
    return pages.answer(request, title=title, text=text, back="account")


@require_POST
@pages.requires(None)
def change_preferences(request: PageRequest) -> HttpResponse:
    form = accounts.Preferences(request.POST, instance=request.user)
    if not form.is_valid():
        text = _("There is no such time zone.")
        return pages.answer(request, title=_("Not saved"), text=text, tone="error", back="account")
    User.objects.filter(pk=request.user.pk).update(**form.cleaned_data)
    return pages.answer(request, title=_("Saved"), text=_("It holds from this page on."), back="account")


def _account(request: PageRequest, form: PasswordChangeForm) -> HttpResponse:
    context = {
        "account": accounts.of(request.user),
        "form": form,
        "zones": accounts.zones(),
        "now": timezone.now(),
        "installation_zone": settings.TIME_ZONE,
    }
    return render(request, "accounts/account.html", context)


# --- API tokens ------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@pages.requires(None)
def api_tokens(request: PageRequest) -> HttpResponse:
    """One's own, and the form for another. What was made is shown by this very answer, and never again."""
    form = tokens.NewToken(request.user, request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return _tokens(request, form, status=200 if request.method == "GET" else 422)
    asked, now = form.cleaned_data, timezone.now()
    try:
        made = tokens.make(
            user=request.user, name=asked["name"], scopes=asked["scopes"], only_on=asked["integrations"],
            days=asked["days"], actor=actor.of(request), now=now, pk=asked["id"],
        )  # fmt: skip
    except tokens.Refused as refused:
        form.add_error(None, str(refused))
        return _tokens(request, form, status=409)
    return _tokens(request, tokens.NewToken(request.user), made=made)


def _tokens(
    request: PageRequest, form: tokens.NewToken, *, made: tuple[ApiToken, str] | None = None, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    context = {"form": form, "lines": tokens.of(request.user, now=now), "made": made, "now": now}
    return render(request, "accounts/tokens.html", context, status=status)


@require_POST
@pages.requires(None)
def revoke_token(request: PageRequest, pk: UUID) -> HttpResponse:
    row = tokens.revoke(request.user, pk, actor=actor.of(request), now=timezone.now())
    if row is None:
        text = _("It ended before.")
        return pages.answer(request, title=_("Nothing to revoke"), text=text, tone="info", back="account-tokens")
    text = _("Whatever uses it is refused from now on.")
    return pages.answer(request, title=_("{name}: revoked").format(name=row.name), text=text, back="account-tokens")
