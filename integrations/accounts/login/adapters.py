"""What django-allauth asks us: how many tries, how secrets are kept, who sees an address, what is said."""

from collections.abc import Mapping
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import actor
from integrations.accounts import fresh
from integrations.accounts.login import guessing, trail
from integrations.accounts.models import FactorSecret


class Accounts(DefaultAccountAdapter):
    error_messages: Mapping[str, Any] = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": gettext_lazy(
            "Please enter a correct username and password. Both may be case-sensitive."
        ),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False  # people are made by people, or come by the company's own sign-in (company.py)

    def get_client_ip(self, request: HttpRequest) -> str:
        return actor.of(request).ip_address or "0.0.0.0"  # noqa: S104 - no address to listen on: none was told

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            self._try = guessing.take(request, credentials.get("username", ""))
        except guessing.TooMany as error:
            trail.slowed(request, credentials.get("username", ""))
            raise too_many(error) from error

    def _rollback_login_failed_rl_usage(self) -> None:
        guessing.hit(self._try)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        trail.missed(request, credentials.get("username", ""), siege=guessing.missed(self._try))

    def is_reauthentication_required(self, *, app: str) -> bool:
        return not fresh.is_fresh(self.request, timezone.now())

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """One page for all of them."""
        return [{"id": "prove", "description": _("Is it you?"), "url": reverse("accounts:prove")}]

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """By the company's sign-in, or a passkey: what a password says of one who is disabled is no more than this."""
        trail.refused(request, user, why="disabled")
        self.add_message(request, 40, message=_("You can't sign in here. Ask an administrator."))
        return redirect("account_login")

    def login(self, request: HttpRequest, user: Any) -> None:
        """Between password and second step somebody may have been disabled: allauth doesn't ask again."""
        if not type(user).objects.filter(pk=user.pk, is_active=True).exists():
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        super().login(request, user)

    def post_login(self, request: HttpRequest, user: Any, **hook: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **hook)
        guessing.remember(response, user)
        return response

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None,
        message_context: dict[str, Any] | None = None, extra_tags: str = "", message: str | None = None,
    ) -> None:  # fmt: skip
        """What it would say by its own templates, our pages say themselves."""
        if message:
            super().add_message(request, level, message=message, extra_tags=extra_tags)

    def is_ajax(self, request: HttpRequest) -> bool:
        """Only the passkeys' script: nothing else is answered in JSON by these pages."""
        return request.path == reverse("mfa_login_webauthn") and bool(super().is_ajax(request))


class Factors(DefaultMFAAdapter):
    """Secrets are sealed by the vault, each in a row of its own, so that keys can be rotated under them."""

    def encrypt(self, text: str) -> str:
        return FactorSecret.keep(text)

    def decrypt(self, encrypted_text: str) -> str:
        return FactorSecret.read(encrypted_text)

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys belong to the address that is ours, not to the one that a request claims."""
        return {"id": settings.PUBLIC_HOST, "name": settings.MFA_TOTP_ISSUER}

    def get_public_key_credential_user_entity(self, user: Any) -> dict[str, Any]:
        entity: dict[str, Any] = super().get_public_key_credential_user_entity(user)
        return {**entity, "display_name": user.get_full_name() or user.username}

    def generate_authenticator_name(self, user: Any, type: Any) -> str:  # noqa: A002 - allauth's name
        number = Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1
        return _("Key {number}").format(number=number)


def too_many(error: guessing.TooMany) -> ValidationError:
    return ValidationError(_("Too many tries. Try again in {n} s.").format(n=error.wait), code="too_many")
