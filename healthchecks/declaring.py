"""The form of planned work, and what it would keep quiet, said before anybody declares it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from healthchecks import maintenance
from healthchecks.alerts import words
from healthchecks.models import Maintenance
from integrations import permissions
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import Perm

_COLUMNS = {"startsAt": "starts_at", "endsAt": "ends_at"}
"""By the name that `maintenance.Invalid` gives."""


def _moment() -> forms.DateTimeInput:
    return forms.DateTimeInput({"class": "input", "type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class DeclareForm(forms.Form):
    """Times are those of the reader's zone. Work on all integrations is for who may manage all."""

    integration = forms.ModelChoiceField(
        Integration.objects.none(), label=gettext_lazy("Integration"), to_field_name="slug", required=False,
        widget=forms.Select({"class": "select w-full!"}),
    )  # fmt: skip
    starts_at = forms.DateTimeField(
        label=gettext_lazy("From"), required=False, widget=_moment(),
        help_text=gettext_lazy("Left empty: now. It may have begun an hour ago at most."),
    )  # fmt: skip
    ends_at = forms.DateTimeField(
        label=gettext_lazy("To"), widget=_moment(), help_text=gettext_lazy("14 days after it begins at most.")
    )
    reason = forms.CharField(
        label=gettext_lazy("What is done"), max_length=300,
        help_text=gettext_lazy("It stands in the stories of incidents and in the activity log."),
        widget=forms.TextInput({"class": "input", "autocomplete": "off"}),
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        field = self.fields["integration"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - it stands above
        field.queryset = permissions.visible(user, Perm.MANAGE).order_by("name")
        field.required = not permissions.may(user, Perm.MANAGE)
        field.empty_label = gettext_lazy("Choose one") if field.required else gettext_lazy("All integrations")

    def clean_starts_at(self) -> datetime:
        given: datetime | None = self.cleaned_data["starts_at"]
        return given or self.now

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if {"starts_at", "ends_at"} <= given.keys():
            try:
                maintenance.judge(starts_at=given["starts_at"], ends_at=given["ends_at"], now=self.now)
            except maintenance.Invalid as invalid:
                self.add_error(_COLUMNS[invalid.field], str(invalid))
        return given


def declare(form: DeclareForm, *, actor: Actor) -> Maintenance:
    """What a form that is in order asks for."""
    return maintenance.declare(**form.cleaned_data, actor=actor, now=form.now)


@dataclass(frozen=True, slots=True)
class Meaning:
    """Whom nobody is told of (None: all integrations), from when to when, and how long that is."""

    integration: Integration | None
    starts_at: datetime
    ends_at: datetime

    @property
    def length(self) -> str:
        return words.span(self.ends_at - self.starts_at)


def meaning(form: DeclareForm) -> Meaning | None:
    """What is typed so far would keep quiet; None while that can't be said."""
    if not form.is_bound:
        return None
    wrong, given = form.errors, form.cleaned_data
    if wrong.keys() & {"integration", "starts_at", "ends_at"}:
        return None
    return Meaning(given["integration"], given["starts_at"], given["ends_at"])
