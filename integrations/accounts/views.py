"""One's own account."""

from uuid import UUID

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from integrations import actor, pages
from integrations.accounts import account as accounts
from integrations.accounts import fresh, sessions, tokens
from integrations.accounts.login import factors
from integrations.accounts.models import ApiToken, User
from integrations.api import limits
from integrations.pages import PageRequest

PASSWORD_TRIES, PASSWORD_WINDOW = 10, 900
"""So many a person may try to change theirs, in so many seconds."""


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


@require_POST
@pages.requires(None)
def end_sessions(request: PageRequest, pk: int | None = None) -> HttpResponse:
    """One of one's other sessions, or all of them."""
    ended = sessions.end(request, pk=pk)
    title = ngettext("{n} session ended", "{n} sessions ended", ended).format(n=ended)
    text = _("Whoever used it has to sign in again.")
    return pages.answer(request, title=title, text=text, tone="success" if ended else "info", back="account")


def _account(request: PageRequest, form: PasswordChangeForm) -> HttpResponse:
    context = {
        "account": accounts.of(request.user),
        "form": form,
        "factors": factors.of(request.user),
        "sessions": sessions.of(request),
        "zones": accounts.zones(),
        "now": timezone.now(),
        "installation_zone": settings.TIME_ZONE,
    }
    return render(request, "accounts/account.html", context)


# --- API tokens ------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@pages.requires(None)
def api_tokens(request: PageRequest) -> HttpResponseBase:
    """One's own, and the form for another. What was made is shown by this very answer, and never again."""
    form = tokens.NewToken(request.user, request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return _tokens(request, form, status=200 if request.method == "GET" else 422)
    asked, now = form.cleaned_data, timezone.now()
    if asked["dangerous"] and not fresh.is_fresh(request, now):
        return fresh.ask(request, back="account-tokens")
    try:
        made = tokens.make(
            user=request.user, name=asked["name"], scopes=form.asked(), only_on=asked["integrations"],
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
