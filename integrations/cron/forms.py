"""The form of a job: when it runs and, where it calls an address, how. What is wrong is told at its field."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import permissions
from integrations.accounts.models import User
from integrations.cron import outside, schedules
from integrations.cron.models import LONGEST_SECONDS, CronJob
from integrations.models import Integration
from integrations.permissions import Perm

ZONE = CronJob._meta.get_field("timezone").default
_COLUMNS = {"url": "job_url", "headers": "headers", "secretEnv": "secret_env", "expectedStatus": "expected_status"}
"""By the name that `outside.Refused` gives."""


_CHOICE = {"class": "select w-full!"}


def _typed(name: str = "input", **attributes: Any) -> dict[str, Any]:
    return {"class": name, "autocomplete": "off", "spellcheck": "false", **attributes}


class JobForm(forms.Form):
    """Of any job. Each field carries along what it held when the form was made: only what somebody changed is saved,
    and undoes nothing that another has changed meanwhile."""

    schedule = forms.CharField(
        label=gettext_lazy("Schedule"),
        max_length=200,
        help_text=gettext_lazy("Minute, hour, day of the month, month, weekday; or @daily and its like."),
        widget=forms.TextInput(_typed("input font-mono")),
    )
    timezone = forms.CharField(
        label=gettext_lazy("Time zone"), max_length=64, initial=ZONE, widget=forms.TextInput(_typed(list="zones"))
    )
    timeout_seconds = forms.IntegerField(
        label=gettext_lazy("Time limit in seconds"), min_value=1, max_value=LONGEST_SECONDS, initial=300,
        help_text=gettext_lazy("A run that takes longer is ended."), widget=forms.NumberInput(_typed()),
    )  # fmt: skip
    catch_up = forms.ChoiceField(
        label=gettext_lazy("When runs were missed"), choices=CronJob.CatchUp.choices, initial=CronJob.CatchUp.NONE,
        widget=forms.Select(_CHOICE),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    def clean_schedule(self) -> str:
        typed: str = self.cleaned_data["schedule"]
        if found := schedules.schedule_problems(typed):
            raise forms.ValidationError([f"{problem.words}." for problem in found])
        return schedules.read(typed)

    def clean_timezone(self) -> str:
        zone: str = self.cleaned_data["timezone"]
        if found := schedules.zone_problems(zone):
            raise forms.ValidationError([f"{problem.words}." for problem in found])
        return zone

    @property
    def wanted(self) -> dict[str, Any]:
        """What somebody changed, by column."""
        return {name: self.cleaned_data[name] for name in self.changed_data}


_ADDRESS = ("job_url", "method", "headers", "secret_env", "expected_status")


class OutsideForm(JobForm):
    """Of one that calls an address."""

    job_url = forms.CharField(
        label=gettext_lazy("Address"), max_length=500, help_text=gettext_lazy("https:// and public."),
        widget=forms.URLInput(_typed(placeholder="https://acme.example.com/nightly")),
    )  # fmt: skip
    method = forms.ChoiceField(
        label=gettext_lazy("Method"),
        choices=[(name, name) for name in CronJob.Method.values],
        initial=CronJob.Method.POST,
        widget=forms.Select(_CHOICE),
    )
    expected_status = forms.CharField(
        label=gettext_lazy("Status that counts as success"), max_length=3, initial="2xx",
        help_text=gettext_lazy("Such as 204, or 2xx."), widget=forms.TextInput(_typed()),
    )  # fmt: skip
    secret_env = forms.CharField(
        label=gettext_lazy("Variable with its secret"), max_length=100, required=False,
        help_text=gettext_lazy(
            "Its value goes along as bearer token. Its name begins with WEBHOOK_ or a provider’s name."
        ),
        widget=forms.TextInput(_typed("input font-mono", placeholder="WEBHOOK_ACME_SECRET")),
    )  # fmt: skip
    headers = forms.CharField(
        label=gettext_lazy("Headers"), required=False, max_length=15_000,
        help_text=gettext_lazy("One a line, as Name: value. Nothing secret, for they are shown."),
        widget=forms.Textarea(_typed("textarea font-mono", rows=3)),
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, self.cleaned_data["headers"].splitlines())):
            name, colon, value = line.partition(":")
            if not colon:
                raise forms.ValidationError(_("{line} has no colon: write Name: value.").format(line=repr(line[:60])))
            found[name.strip()] = value.strip()
        return found

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors.keys() & _COLUMNS.values():
            try:
                outside.check(
                    url=given["job_url"], headers=given["headers"], secret_env=given["secret_env"],
                    expected_status=given["expected_status"],
                    trusted=permissions.may(self.user, Perm.MANAGE) or not set(_ADDRESS) & set(self.changed_data),
                )  # fmt: skip
            except outside.Refused as refused:
                self.add_error(_COLUMNS[refused.field], str(refused))
        return given


class NewJobForm(OutsideForm):
    """Of one that isn't there yet. One of no integration is for who may manage all."""

    job_name = forms.RegexField(
        outside.JOB_NAME, label=gettext_lazy("Name"), max_length=100,
        help_text=gettext_lazy("Small letters, digits and hyphens."),
        error_messages={"invalid": gettext_lazy("Small letters, digits and hyphens, no hyphen at either end.")},
        widget=forms.TextInput(_typed("input font-mono")),
    )  # fmt: skip
    integration = forms.ModelChoiceField(
        Integration.objects.none(), label=gettext_lazy("Integration"), to_field_name="slug", required=False,
        empty_label=gettext_lazy("None"),
        help_text=gettext_lazy("It is skipped while that is off or not connected."), widget=forms.Select(_CHOICE),
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        field = self.fields["integration"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - it stands above
        field.queryset = permissions.visible(user, Perm.MANAGE).order_by("name")
        field.required = not permissions.may(user, Perm.MANAGE)

    @property
    def wanted(self) -> dict[str, Any]:
        return dict(self.cleaned_data)


def of(job: CronJob, data: Any = None, *, user: User) -> JobForm:
    """The form that fits `job`, filled in."""
    told = {name: getattr(job, name) for name in (OutsideForm if job.is_outside else JobForm).base_fields}
    if "headers" in told:
        told["headers"] = "\n".join(f"{name}: {value}" for name, value in job.headers.items())
    return OutsideForm(data, initial=told, user=user) if job.is_outside else JobForm(data, initial=told)
