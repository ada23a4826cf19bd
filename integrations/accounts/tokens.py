"""A person's API tokens: what they hand to other systems, each with less than they may do themselves, or as much."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django import forms
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations import activity, ids, permissions
from integrations.accounts import account
from integrations.accounts.models import ApiToken, User
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import DANGEROUS, Perm

MOST = 50
DAYS = (7, 30, 90, 180, 365)
SHOWN_AFTERWARDS = timedelta(days=30)
"""So long one that has ended stands in the list."""


@dataclass(frozen=True, slots=True)
class Line:
    """A token as its person sees it. `status` is "alive", "expired" or "revoked"."""

    token: ApiToken
    status: str
    tone: str
    label: str
    scopes: tuple[str, ...]
    dangerous: bool
    integrations: tuple[str, ...]


def of(user: User, *, now: datetime) -> list[Line]:
    """Those that live, newest first, then those that ended lately."""
    lately = now - SHOWN_AFTERWARDS
    ended = Q(revoked_at__lt=lately) | Q(revoked_at=None, expires_at__lt=lately)
    rows = ApiToken.objects.filter(user=user).exclude(ended)
    names = dict(Integration.objects.values_list("slug", "name"))
    return sorted((_line(row, names, now) for row in rows), key=lambda line: line.status != "alive")


def _line(row: ApiToken, names: dict[str, str], now: datetime) -> Line:
    if row.revoked_at:
        status, tone, label = "revoked", "unknown", _("Revoked")
    elif row.expires_at and row.expires_at <= now:
        status, tone, label = "expired", "unknown", _("Expired")
    else:
        status, tone, label = "alive", "healthy", _("Valid")
    on = tuple(names.get(slug, slug) for slug in row.only_on)
    confined = tuple(scope for scope in row.scopes if scope != DANGEROUS)
    return Line(row, status, tone, label, confined, DANGEROUS in row.scopes, on)


class NewToken(forms.Form):
    """What it is for, what it may do, where, and how long: no more than its person may."""

    id = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(label=gettext_lazy("What it is for"), max_length=100)
    scopes = forms.MultipleChoiceField(label=gettext_lazy("What it may do"), required=False)
    integrations = forms.MultipleChoiceField(label=gettext_lazy("Where"), required=False)
    dangerous = forms.BooleanField(label=gettext_lazy("What wants a fresh login, too"), required=False)
    days = forms.TypedChoiceField(label=gettext_lazy("It lives for"), coerce=int, initial=90)

    def __init__(self, user: User, data: object = None) -> None:
        super().__init__(data, initial={"id": ids.new(), "days": 90})  # type: ignore[arg-type]  # a QueryDict
        self.fields["scopes"].choices = scopes(user)  # type: ignore[attr-defined]  # of a choice field
        seen = permissions.visible(user).order_by("name").values_list("slug", "name")
        self.fields["integrations"].choices = list(seen)  # type: ignore[attr-defined]
        self.fields["days"].choices = [  # type: ignore[attr-defined]
            (days, ngettext("{days} day", "{days} days", days).format(days=days)) for days in DAYS
        ]

    def asked(self) -> list[str]:
        """The scopes that were chosen, with the one that opens nothing by itself."""
        return [*self.cleaned_data["scopes"], *([DANGEROUS] if self.cleaned_data["dangerous"] else [])]


def scopes(user: User) -> Sequence[tuple[str, str]]:
    """The permissions that `user` holds, everywhere or somewhere, in words."""
    return [
        (perm.public_name, account.in_words(perm)) for perm in Perm if permissions.may_somewhere(user, perm)
    ]  # fmt: skip


def make(
    *,
    user: User,
    name: str,
    scopes: list[str],
    only_on: list[str],
    days: int,
    actor: Actor,
    now: datetime,
    pk: UUID | None = None,
) -> tuple[ApiToken, str]:
    """The row and the token itself, which can't be had again. `Refused`: too many, or the same `pk` again."""
    if ApiToken.objects.alive(now).filter(user=user).count() >= MOST:
        raise Refused(_("{most} tokens live already: revoke one that is not used.").format(most=MOST))
    try:
        with transaction.atomic():
            row, token = ApiToken.issue(
                user=user, name=name, scopes=scopes, only_on=only_on, expires_at=now + timedelta(days=days), pk=pk
            )
            details = {"for": user.username, "token": row.hint, "scopes": scopes, "expires_at": row.expires_at}
            activity.record(
                actor=actor, action="api_token_created", details=details | ({"only_on": only_on} if only_on else {})
            )
    except IntegrityError as error:
        text = _("It was made already, and is shown only once. If you did not keep it, revoke it and make another.")
        raise Refused(text) from error
    return row, token


def revoke(user: User, pk: UUID, *, actor: Actor, now: datetime) -> ApiToken | None:
    """One of `user`'s own, at once; None if there is none such that lives."""
    with transaction.atomic():
        if not ApiToken.objects.alive(now).filter(user=user, pk=pk).update(revoked_at=now):
            return None
        row = ApiToken.objects.get(pk=pk)
        details = {"for": user.username, "token": row.hint, "name": row.name}
        activity.record(actor=actor, action="api_token_revoked", details=details)
    return row


class Refused(Exception):
    """Why there is no token, in words for people."""
