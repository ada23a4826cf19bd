"""One's own account: what one may do, in words, and what one may change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib.auth.forms import PasswordChangeForm
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import activity, permissions
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.permissions import Perm

_WORDS = {
    Perm.READ: gettext_noop("See integrations, their health, deliveries, tokens' states and jobs"),
    Perm.MANAGE: gettext_noop("Check, connect and revoke integrations, change their settings"),
    Perm.OAUTH_REFRESH: gettext_noop("Refresh OAuth tokens"),
    Perm.WEBHOOKS_REPLAY: gettext_noop("Replay deliveries and send test events"),
    Perm.CRON_TRIGGER: gettext_noop("Start jobs by hand"),
}


@dataclass(frozen=True, slots=True)
class Right:
    """A permission: held everywhere, or on the integrations named in `on` (none: not held)."""

    name: str
    words: str
    everywhere: bool
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """`nowhere`: no page is open, for all of them show what may be read."""

    roles: tuple[str, ...]
    rights: tuple[Right, ...]
    nowhere: bool


def of(user: User) -> Account:
    rights = tuple(_right(user, perm) for perm in Perm)
    roles = (_("Superuser"),) if user.is_superuser else ()
    return Account(
        roles=(*roles, *user.groups.order_by("name").values_list("name", flat=True)),
        rights=rights,
        nowhere=not permissions.may_somewhere(user, Perm.READ),
    )


def in_words(perm: Perm) -> str:
    return _(_WORDS[perm])


def _right(user: User, perm: Perm) -> Right:
    if permissions.may(user, perm):
        return Right(perm.public_name, in_words(perm), everywhere=True)
    names = permissions.visible(user, perm).order_by("name").values_list("name", flat=True)
    return Right(perm.public_name, in_words(perm), everywhere=False, on=tuple(names))


@cache
def zones() -> Sequence[tuple[str, str]]:
    """What to choose from: places, by continent. The database of zones also has names that only machines use."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "System")))
    return [(name, name.replace("_", " ")) for name in ["UTC", *places]]


def change_password(form: PasswordChangeForm, *, actor: Actor, now: datetime) -> bool:
    """Whether it was taken. Attempts that were not are told once a minute: somebody may guess at the old one."""
    if form.is_valid():
        with transaction.atomic():
            form.user.password_given_by = ""
            form.save()
            activity.record(actor=actor, action="password_changed")
        return True
    activity.record_once(
        actor=actor,
        action="password_changed",
        key=f"password_refused:{now:%Y%m%d%H%M}:{actor.user_id}",
        integration=None,
        outcome=activity.FAILURE,
        details={"fields": sorted(form.errors)},
    )
    return False


class Preferences(forms.ModelForm[User]):
    time_zone = forms.ChoiceField(required=False)

    class Meta:
        model = User
        fields = ["time_zone", "single_keys"]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        own = _("This installation's ({zone})").format(zone=settings.TIME_ZONE)
        self.fields["time_zone"].choices = [("", own), *zones()]  # type: ignore[attr-defined]  # of a ChoiceField
