"""The login's own pages: signing in and out, proving who one is once more, second factors."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.views import LoginView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal.auth import begin_authentication
from allauth.mfa.webauthn.views import AddWebAuthnView, LoginWebAuthnView, RemoveWebAuthnView
from allauth.socialaccount.adapter import get_adapter as get_company_adapter
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from integrations import activity, actor, pages
from integrations.accounts import fresh
from integrations.accounts.login import adapters, company, factors, guessing, required, trail
from integrations.accounts.models import User
from integrations.pages import PageRequest

STATE = "account_reauthentication_state"
"""Where allauth would keep a form that has to wait for a proof. We have it filled in again."""


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """allauth's, in our look."""

    template_name = "accounts/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        htmx = getattr(request, "htmx", None)
        if not htmx:
            answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
            return answer
        # A poll whose session ended was sent here: the whole page has to come, and then come back to where it was.
        return HttpResponseClientRedirect(redirect_to_login(htmx.current_url_abs_path or "/").url)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {"company": settings.OIDC_NAME if company.is_on() else "", "next": self.get_next_url() or ""}

    def form_invalid(self, form: Any) -> HttpResponse:
        if not {"login", "password"} <= set(form.cleaned_data):  # nothing was compared, so nobody has told of it
            trail.missed(self.request, form.data.get("login", ""), siege=False)
        answer: HttpResponse = super().form_invalid(form)
        return answer


@login_not_required
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        activity.record(actor=actor.of(request), action="logout")
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


# --- Proving it once more --------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters("password", "code", "credential")
@pages.requires(None)
def prove(request: PageRequest) -> HttpResponseBase:
    """Ask again who they are: before a dangerous action (integrations/accounts/fresh.py)."""
    request.session.pop(STATE, None)
    then = _then(request)
    if request.method == "GET":
        return _ask(request, then, "")
    if "company" in request.POST and SocialAccount.objects.filter(user=request.user).exists():
        return _by_company(request, then)
    try:
        _prove(request)
    except ValidationError as error:
        return _ask(request, then, " ".join(error.messages))
    fresh.proved(request.user, request)
    return redirect(then)


def _by_company(request: PageRequest, then: str) -> HttpResponseBase:
    """Signed in there as they are, they are asked all the same."""
    provider = get_company_adapter().get_provider(request, "company")
    how = {"prompt": "login", "max_age": "0"}  # the second makes the provider say when they did: fresh.auth_time
    answer: HttpResponseBase = provider.redirect(
        request, "login", next_url=then, data=company.PROVING, auth_params=how
    )
    return answer


def _prove(request: PageRequest) -> None:
    """By whichever of them they sent; `ValidationError` in words."""
    user = request.user
    if "password" in request.POST:
        if not get_adapter(request).reauthenticate(user, request.POST["password"]):
            raise ValidationError(_("That is not your password."))
        return
    form: forms.Form = factors.Authenticate(user=user, data=request.POST)
    if "credential" in request.POST:
        _count(user)
        form = ReauthenticateWebAuthnForm(user=user, data=request.POST)
    if not form.is_valid():
        raise ValidationError([text for texts in form.errors.values() for text in texts])
    if "credential" in request.POST:
        guessing.code_hit(user)


def _count(user: User) -> None:
    try:
        guessing.take_code(user)
    except guessing.TooMany as error:
        raise adapters.too_many(error) from error


def _ask(request: PageRequest, then: str, problem: str) -> HttpResponse:
    have = factors.of(request.user)
    by_company = company.is_on() and SocialAccount.objects.filter(user=request.user).exists()
    context = {"next": then, "problem": problem, "factors": have, "company": settings.OIDC_NAME if by_company else ""}
    if have.keys:
        context["js_data"] = {"request_options": begin_authentication(request.user)}
    return render(request, "accounts/prove.html", context, status=422 if problem else 200)


def _then(request: PageRequest) -> str:
    """Where they were going, if it is here."""
    then = request.POST.get("next", request.GET.get("next", ""))
    here = url_has_allowed_host_and_scheme(then, {request.get_host()}, require_https=request.is_secure())
    if here and then.startswith("/"):  # "foo" is an address too, and may be the name of a view
        return then
    return reverse(settings.LOGIN_REDIRECT_URL)


# --- Second factors --------------------------------------------------------------------------------------------------


@require_GET
@never_cache
@pages.requires(None)
def second_factors(request: PageRequest) -> HttpResponse:
    """What one has, and what one must have."""
    have = factors.of(request.user)
    missing = not have and required.of(request.user) and not request.session.get(required.SATISFIED)
    return render(request, "mfa/index.html", {"factors": have, "missing": missing, "must": required.of(request.user)})


class AddKey(AddWebAuthnView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        messages.success(self.request, _("Your key is added."))
        return answer


class RemoveKey(RemoveWebAuthnView):
    success_url = reverse_lazy("mfa_index")

    def form_valid(self, form: Any) -> HttpResponse:
        row: Authenticator = self.get_object()
        if factors.is_last(row):
            messages.error(self.request, factors.last_one())
            return redirect("mfa_index")
        answer: HttpResponse = super().form_valid(form)
        messages.success(self.request, _("Your key is removed."))
        return answer


@method_decorator(login_not_required, name="dispatch")
class Passkey(LoginWebAuthnView):
    """Signing in with a passkey alone: it is both factors. Its `next` comes with the form."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            guessing.take_passkey(request)
        except guessing.TooMany as error:
            messages.error(request, adapters.too_many(error).messages[0])
            return redirect("account_login")
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer
