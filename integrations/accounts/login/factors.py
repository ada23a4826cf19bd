"""Second factors: codes that work once, whoever sees them, and what a person has of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm, DeactivateTOTPForm
from allauth.mfa.totp.internal.auth import (
    SECRET_SESSION_KEY,
    format_hotp_value,
    get_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.mfa.utils import decrypt
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from integrations import activity, crypto
from integrations.accounts import sessions
from integrations.accounts.login import adapters, guessing
from integrations.accounts.models import User
from integrations.actor import Actor

LAST = "last_counter"
"""In a TOTP's `data`: the thirty seconds whose code was taken last. None of them, and none before, is taken again."""

SECOND = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class Authenticate(AuthenticateForm):
    """A code of an authenticator app, or a recovery code. allauth remembers the used ones in the cache, for a while;
    here the row itself does, so they are used whatever the cache forgets, and for all processes at once."""

    user: User

    def clean_code(self) -> str:
        code = "".join(self.cleaned_data["code"].split())
        try:
            guessing.take_code(self.user)
        except guessing.TooMany as error:
            raise adapters.too_many(error) from error
        if (found := take(self.user, code)) is None:
            self._tell_failure()
            raise ValidationError(_("That code is wrong, or was used before."), code="incorrect_code")
        guessing.code_hit(self.user)
        self.authenticator = found
        return code

    def _tell_failure(self) -> None:
        first = Authenticator.objects.filter(user=self.user).order_by("-type").first()
        if first:
            self._emit_authentication_failed(first)


def take(user: User, code: str) -> Authenticator | None:
    """Use `code` up: the authenticator that it belongs to, or None. Two at once: one of them has it."""
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update().filter(user=user).exclude(type=Authenticator.Type.WEBAUTHN)
        for row in rows.order_by("pk"):
            row.user = user
            if row.type == Authenticator.Type.TOTP and _take_totp(row, code):
                return row
            if row.type == Authenticator.Type.RECOVERY_CODES and row.wrap().validate_code(code):
                return row
    return None


def _take_totp(row: Authenticator, code: str) -> bool:
    counter = _counter(decrypt(row.data["secret"]), code)
    if counter is None or counter <= row.data.get(LAST, -1):
        return False
    row.data[LAST] = counter
    row.save(update_fields=["data"])
    return True


def _counter(secret: str, code: str) -> int | None:
    """Which thirty seconds' code it is. All are compared, so that the time tells nothing."""
    counters = list(yield_hotp_counters_from_time())
    same = [constant_time_compare(code, format_hotp_value(hotp_value(secret, one))) for one in counters]
    return next((one for one, equal in zip(counters, same, strict=True) if equal), None)


class ActivateTotp(ActivateTOTPForm):
    """Until a code shows that an app has it, the secret waits in the session: sealed, for sessions are rows too."""

    user: User
    secret: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        where = f"totp:{self.user.pk}"
        try:
            self.secret = crypto.unseal(self.secret, context=where)
        except crypto.CannotDecrypt:  # it is a new one, or the key that sealed it is gone
            self.secret = get_totp_secret(regenerate=True)
            sealed = crypto.seal(self.secret, context=where)
            context.request.session[SECRET_SESSION_KEY] = sealed

    def clean_code(self) -> str:
        code = "".join(self.cleaned_data["code"].split())
        try:
            guessing.take_code(self.user)
        except guessing.TooMany as error:
            raise adapters.too_many(error) from error
        if _counter(self.secret, code) is None:
            raise ValidationError(_("That code is wrong. Is the clock of your device right?"), code="incorrect_code")
        guessing.code_hit(self.user)
        return code


class DeactivateTotp(DeactivateTOTPForm):
    def clean(self) -> dict[str, Any] | None:
        if is_last(self.authenticator):
            raise ValidationError(last_one(), code="last_factor")
        return cast("dict[str, Any] | None", super().clean())


def mark_used(row: Authenticator) -> None:
    """Called as it is set up: the code that showed that the app has the secret signs nobody in."""
    row.data[LAST] = max(yield_hotp_counters_from_time())
    row.save(update_fields=["data"])


def is_last(row: Authenticator) -> bool:
    """Whether it is the only second factor of somebody who must have one."""
    from integrations.accounts.login import required

    others = Authenticator.objects.filter(user_id=row.user_id, type__in=SECOND).exclude(pk=row.pk)
    return required.of(row.user) and not others.exists()


def last_one() -> str:
    return _("It is your only second factor, and you must have one. Add another first.")


def take_off(user: User, *, actor: Actor, now: datetime) -> list[str]:
    """All that `user` has, recovery codes too; who holds what was lost is out. Returns the types. In a transaction."""
    rows = Authenticator.objects.select_for_update().filter(user=user)
    if not (taken := sorted(row.type for row in rows)):
        return []
    with context.request_context(None):  # one entry for all of them, not one for each (trail.removed)
        rows.delete()
    details = {"for": user.username, "factors": taken, "sessions": sessions.end_all(user, now=now)}
    activity.record(actor=actor, action="second_factor_reset", details=details)
    return taken


@dataclass(frozen=True, slots=True)
class Factors:
    """What a person has: an authenticator app, keys, and how many recovery codes are left."""

    app: Authenticator | None
    keys: tuple[Authenticator, ...]
    recovery: Authenticator | None
    codes_left: int

    def __bool__(self) -> bool:
        return bool(self.app or self.keys)


def of(user: User) -> Factors:
    rows = list(Authenticator.objects.filter(user=user).order_by("pk"))
    recovery = _one(rows, Authenticator.Type.RECOVERY_CODES)
    left = len(recovery.wrap().get_unused_codes()) if recovery else 0
    keys = tuple(row for row in rows if row.type == Authenticator.Type.WEBAUTHN)
    return Factors(_one(rows, Authenticator.Type.TOTP), keys, recovery, left)


def has(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=SECOND).exists())


def _one(rows: Iterable[Authenticator], kind: str) -> Authenticator | None:
    return next((row for row in rows if row.type == kind), None)
