"""The company's own sign-in, by OpenID Connect: who it vouches for, and which of its groups are which of our roles.

A person is known by the provider's `sub`. The first time, they are matched by an e-mail address that the provider says
is verified, and what opened their account until then, password, second factors, tokens, opens it no more: somebody may
have made it for that. Superusers never come this way: whoever runs the provider would have the Django admin with it.
Who is new is made only when one of their groups is one of our roles.
"""

import logging
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any, NoReturn

from allauth.account.signals import user_logged_in
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, actor
from integrations.accounts import fresh, people
from integrations.accounts.login import required
from integrations.accounts.models import User
from integrations.permissions import SUPER_ADMIN

log = logging.getLogger(__name__)

MISSING, UNVERIFIED, SUPERUSER, PROVIDER = "no_role", "unverified_email", "superuser", "provider_error"
LONGEST_NAME = 140
PROVING = "proving"
"""`data` of a sign-in's state: they were sent there to prove who they are anew."""


def is_on() -> bool:
    return bool(settings.OIDC_ISSUER)


@cache
def _roles_by_group(pairs: tuple[str, ...]) -> dict[str, str]:
    return {group.strip(): role.strip() for group, __, role in (pair.rpartition("=") for pair in pairs)}


def roles_by_group() -> dict[str, str]:
    """`OIDC_ROLES`: the provider's group → our role. {}: roles are given here, by people."""
    return _roles_by_group(tuple(settings.OIDC_ROLES))


def amiss() -> list[str]:
    """What is wrong with the settings, a sentence each."""
    if not is_on():
        return []
    wrong = [f"{name} is not set." for name in ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET") if not getattr(settings, name)]
    pairs = [pair for pair in settings.OIDC_ROLES if not all(part.strip() for part in pair.partition("=")[::2])]
    wrong += [f"OIDC_ROLES: {pair!r} is no GROUP=ROLE." for pair in pairs]
    named = set(roles_by_group().values())
    there = set(Group.objects.filter(name__in=named).values_list("name", flat=True))
    return wrong + [f"OIDC_ROLES: there is no role {role!r}." for role in sorted(named - there) if role]


class Company(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return bool(_granted(sociallogin))

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.state.get("process", "login") != "login":  # hang it on an account that is signed in
            _refuse(request, None, PROVIDER)
        if sociallogin.is_existing and sociallogin.user.is_superuser:
            _refuse(request, sociallogin, SUPERUSER)
        if roles_by_group() and not _granted(sociallogin):
            if sociallogin.is_existing:
                follow(sociallogin.user, wanted=set(), named=set(roles_by_group().values()), request=request)
            _refuse(request, sociallogin, MISSING)
        if sociallogin.is_existing:
            return
        email = next((one for one in sociallogin.email_addresses if one.verified), None)
        if email is None:
            _refuse(request, sociallogin, UNVERIFIED)
        user = User.objects.filter(email__iexact=email.email).first()
        if user and user.is_superuser:
            _refuse(request, sociallogin, SUPERUSER)
        if user:
            with transaction.atomic():
                people.hand_over(user, actor=actor.of(request), now=timezone.now())
                sociallogin.connect(request, user)
        elif not _granted(sociallogin):
            _refuse(request, sociallogin, MISSING)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        user.username = _free(user.username or user.email.partition("@")[0])
        return user

    def on_authentication_error(self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None,
                                extra_context: Any = None) -> None:  # fmt: skip
        _refuse(request, None, PROVIDER)


def _free(wanted: str) -> str:
    """`wanted`, or with a number if somebody is called so."""
    wanted = "".join(char for char in wanted if char.isalnum() or char in "@.+-_")[:LONGEST_NAME] or "person"
    taken = set(User.objects.filter(username__istartswith=wanted).values_list("username", flat=True))
    taken = {name.casefold() for name in taken}
    names = (wanted if number == 1 else f"{wanted}{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name.casefold() not in taken)


def _granted(sociallogin: SocialLogin) -> list[str]:
    """Our roles for which one of their groups stands."""
    by_group, groups = roles_by_group(), _groups(sociallogin.account.extra_data)
    return sorted({by_group[group] for group in groups if group in by_group})


def _groups(data: dict[str, Any]) -> Iterable[str]:
    """From the userinfo, or else from the ID token; a list, or one name."""
    for part in (data.get("userinfo"), data.get("id_token"), data):
        found = part.get(settings.OIDC_GROUPS_CLAIM) if isinstance(part, dict) else None
        if isinstance(found, str):
            return [found]
        if isinstance(found, list):
            return [one for one in found if isinstance(one, str)]
    return []


def come_or_go(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A provider that is away, or answers nonsense, is told like one that refuses. It is allauth that asks it, and its
    failures are the library's (`requests`' errors are `OSError`s)."""

    @login_not_required
    @wraps(view)
    def guarded(request: HttpRequest, **route: str) -> HttpResponseBase:
        try:
            return view(request, **route)
        except (OSError, KeyError, ValueError) as error:
            log.warning("The company's sign-in did not work: %s", type(error).__name__)
            _refuse(request, None, PROVIDER)

    return guarded


def _refuse(request: HttpRequest, sociallogin: SocialLogin | None, why: str) -> NoReturn:
    """Back to the login, with a word for them; why exactly stands in the activity log."""
    from integrations.accounts.login import trail

    user = sociallogin.user if sociallogin and sociallogin.is_existing else None
    trail.refused_company(request, user, why=why)
    texts = {
        MISSING: _("None of your groups may come in here. Ask an administrator."),
        UNVERIFIED: _("Your e-mail address is not verified where you signed in."),
        SUPERUSER: _("Superusers sign in with their password."),
        PROVIDER: _("Signing in there did not work. Try again, or use your password."),
    }
    messages.error(request, texts[why])
    raise ImmediateHttpResponse(redirect("account_login"))


@receiver(user_logged_in)
def came(request: HttpRequest, user: User, sociallogin: SocialLogin | None = None, **kwargs: Any) -> None:
    """Roles follow the groups at each sign-in: of those that `OIDC_ROLES` names, one has what one's groups give."""
    if sociallogin is None:
        return
    fresh.proved_to_company(request, sociallogin)
    if settings.OIDC_SECOND_FACTOR:
        request.session[required.SATISFIED] = True
    if sociallogin.state.get("data") == PROVING and fresh.auth_time(sociallogin) is None:
        text = _("{name} does not say when you signed in (auth_time), so that doesn't count here.")
        messages.warning(request, text.format(name=settings.OIDC_NAME))
    if named := set(roles_by_group().values()):
        follow(user, wanted=set(_granted(sociallogin)), named=named, request=request)


def follow(user: User, *, wanted: set[str], named: set[str], request: HttpRequest) -> None:
    """The company takes every role but the last Super Admin's: whoever signs in keeps that, and the log says so."""
    try:
        with people.keeping_a_super_admin():
            _follow(user, wanted=wanted, named=named, request=request)
    except people.Refused as refused:
        details = {"what": f"taking the role {SUPER_ADMIN} from {user.username}", "words": str(refused)}
        activity.record_refusal(actor=actor.of(request), where="roles-followed", details=details)
        _follow(user, wanted=wanted | {SUPER_ADMIN}, named=named, request=request)


def _follow(user: User, *, wanted: set[str], named: set[str], request: HttpRequest) -> None:
    with transaction.atomic():
        have = set(user.groups.filter(name__in=named).values_list("name", flat=True))
        if have == wanted:
            return
        user.groups.remove(*Group.objects.filter(name__in=have - wanted))
        user.groups.add(*Group.objects.filter(name__in=wanted - have))
        details = {"for": user.username, "before": sorted(have), "after": sorted(wanted)}
        activity.record(actor=actor.of(request), action="roles_followed", details=details)
