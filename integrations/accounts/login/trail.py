"""What the activity log tells of signing in: who came and how, who tried, whose second factors changed."""

from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.signals import user_logged_in
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from integrations import activity, actor
from integrations.accounts import sessions
from integrations.accounts.login import factors, guessing, required
from integrations.accounts.models import FactorSecret, User


@receiver(user_logged_in)
def came(request: HttpRequest, user: User, **kwargs: Any) -> None:
    sessions.begin(request, now=timezone.now())
    activity.record(actor=actor.of(request), action="login", details={"by": how(request, user)})


def how(request: HttpRequest, user: User) -> list[str]:
    """By what they proved who they are, in order: "password", "totp", "recovery_codes", "webauthn", "company"."""
    records = get_authentication_records(request, user)
    names = {"socialaccount": "company"}
    return [record.get("type") or names.get(record["method"], record["method"]) for record in records]


def missed(request: HttpRequest, typed: str, *, siege: bool) -> None:
    """Told once a minute for each network and account tried: a stranger who guesses must not write the log full.

    A name that is nobody's is not kept: it may well be a password, typed into the wrong field.
    """
    user, minute, network = _somebody(typed), f"{timezone.now():%Y%m%d%H%M}", guessing.network_of(request)
    pk = user.pk if user else ""
    _once(request, "login", f"login_failed:{minute}:{network}:{pk}", user, {})
    if siege and user:
        _once(request, "login_besieged", f"login_besieged:{timezone.now():%Y%m%d%H}:{pk}", user, {})


def slowed(request: HttpRequest, typed: str) -> None:
    user, minute, network = _somebody(typed), f"{timezone.now():%Y%m%d%H%M}", guessing.network_of(request)
    _once(request, "login", f"login_slowed:{minute}:{network}", user, {"why": "too_many"})


def refused(request: HttpRequest, user: User, *, why: str) -> None:
    minute = f"{timezone.now():%Y%m%d%H%M}"
    _once(request, "login", f"login_refused:{minute}:{user.pk}:{why}", user, {"why": why})


def refused_company(request: HttpRequest, user: Any, *, why: str) -> None:
    """By the company's own sign-in; `user` if the one it vouched for is known here."""
    minute, network = f"{timezone.now():%Y%m%d%H%M}", guessing.network_of(request)
    pk = user.pk if user else ""
    _once(request, "login", f"login_company:{minute}:{network}:{pk}:{why}", user, {"by": ["company"], "why": why})


@receiver(authentication_failed)
def wrong_code(request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    minute, network = f"{timezone.now():%Y%m%d%H%M}", guessing.network_of(request)
    _once(
        request, "second_factor", f"second_factor:{minute}:{network}:{user.pk}", user, {"factor": authenticator.type}
    )


@receiver(post_save, sender=Authenticator)
def added(instance: Authenticator, created: bool, **kwargs: Any) -> None:
    """Told in the transaction that stores it, whoever asked; allauth's own signals come after that."""
    if not created or (request := context.request) is None:
        return
    if instance.type == Authenticator.Type.TOTP:
        factors.mark_used(instance)
    if instance.type in factors.SECOND:
        request.session[required.SATISFIED] = True
    codes = instance.type == Authenticator.Type.RECOVERY_CODES
    _factor(request, "recovery_codes_made" if codes else "second_factor_added", instance)


@receiver(post_delete, sender=Authenticator)
def removed(instance: Authenticator, **kwargs: Any) -> None:
    """What the vault kept of it goes with it."""
    FactorSecret.forget([instance.data.get("secret", ""), instance.data.get("seed", "")])
    if instance.type not in factors.SECOND or (request := context.request) is None:
        return
    if request.user.pk == instance.user_id:
        request.session.pop(required.SATISFIED, None)
    else:  # taken off them: whoever holds what was lost must not be in by it
        sessions.end_all(instance.user, now=timezone.now())
    _factor(request, "second_factor_removed", instance)


def _factor(request: HttpRequest, action: str, row: Authenticator) -> None:
    details = {"for": row.user.get_username(), "factor": row.type}
    activity.record(actor=actor.of(request), action=action, details=details)


def _somebody(typed: str) -> User | None:
    typed = typed[:150]
    return User.objects.filter(username=typed).first() if typed.isprintable() else None


def _once(request: HttpRequest, action: str, key: str, user: User | None, details: dict[str, Any]) -> None:
    activity.record_once(
        actor=actor.of(request),
        action=action,
        key=key,
        integration=None,
        outcome=activity.FAILURE,
        details={"username": user.username if user else None, **details},
    )
