"""People as the pages show them: a list to search, and one person with what they may do, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.contrib.auth.models import Group
from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.accounts import account, people, rights
from integrations.accounts.login import company, factors, required
from integrations.accounts.models import ApiToken, User
from integrations.models import Integration
from integrations.permissions import Perm

MOST = 200
"""People in one list. Whoever has more searches."""


@dataclass(frozen=True, slots=True)
class Line:
    """`grants`: each integration on which something was given to them alone, with what."""

    person: User
    name: str
    roles: tuple[str, ...]
    grants: tuple[tuple[str, str], ...]
    tone: str
    label: str


@dataclass(frozen=True, slots=True)
class Roster:
    lines: tuple[Line, ...]
    found: int
    search: str

    @property
    def more(self) -> int:
        return self.found - len(self.lines)

    @property
    def words(self) -> str:
        return ngettext("{n} person", "{n} people", self.found).format(n=f"{self.found:,}")


def read(search: str) -> Roster:
    """Who may come in first, by user name. `search` is looked for in names and e-mail addresses."""
    search = search.replace("\x00", "").strip()[:100]  # NUL: PostgreSQL takes none
    rows = User.objects.all()
    for word in search.split():
        fits = (Q(**{f"{field}__icontains": word}) for field in ("username", "email", "first_name", "last_name"))
        rows = rows.filter(_any(fits))
    shown = list(rows.prefetch_related("groups").order_by("-is_active", "username")[:MOST])
    granted = rights.grants(shown)
    return Roster(tuple(_line(one, granted.get(one.pk, [])) for one in shown), rows.count(), search)


def _any(conditions: Iterable[Q]) -> Q:
    found = Q()
    for one in conditions:
        found |= one
    return found


def _line(person: User, granted: Iterable[rights.Grant]) -> Line:
    on: dict[str, list[str]] = {}
    for one in granted:
        on.setdefault(one.integration.name, []).append(str(one.perm))
    tone, label = ("healthy", _("Active")) if person.is_active else ("unknown", _("Disabled"))
    grants = tuple((name, ", ".join(perms)) for name, perms in on.items())
    return Line(person, person.get_full_name() or person.username, _roles(person), grants, tone, label)


def _roles(person: User) -> tuple[str, ...]:
    first = (_("Superuser"),) if person.is_superuser else ()
    return (*first, *sorted(group.name for group in person.groups.all()))


# --- One person ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    """One to choose. `words`: what it allows. `open`: the reader may give and take it."""

    pk: int
    name: str
    words: str
    chosen: bool
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`why_not`: why its reader may change nothing here, in words; "" if they may. `tokens`: those that live.
    `factors`: their second ones, in words, "" for none; `must`: they have to have one.
    `followed`: the roles that the company's own groups set anew at each sign-in there (`login.company`)."""

    person: User
    line: Line
    may: tuple[rights.Right, ...]
    grants: Sequence[rights.Grant]
    roles: tuple[Role, ...]
    followed: tuple[str, ...]
    tokens: int
    factors: str
    must: bool
    why_not: str


def page(person: User, *, reader: User, now: datetime) -> Page:
    granted = rights.grants([person]).get(person.pk, [])
    return Page(
        person=person,
        line=_line(person, granted),
        may=rights.why(person, granted),
        grants=granted,
        roles=_choices(person, reader),
        followed=tuple(sorted(set(company.roles_by_group().values()))) if company.is_on() else (),
        tokens=ApiToken.objects.alive(now).filter(user=person).count(),
        factors=_factors(factors.of(person)),
        must=required.of(person),
        why_not=people.why_not(person, by=reader),
    )


def _factors(theirs: factors.Factors) -> str:
    parts = [_("authenticator app")] if theirs.app else []
    if theirs.keys:
        parts.append(ngettext("{n} key", "{n} keys", len(theirs.keys)).format(n=len(theirs.keys)))
    if theirs.recovery:
        left = ngettext("{n} recovery code left", "{n} recovery codes left", theirs.codes_left)
        parts.append(left.format(n=theirs.codes_left))
    return ", ".join(parts)


def _choices(person: User, reader: User) -> tuple[Role, ...]:
    theirs = set(person.groups.values_list("pk", flat=True))
    mine = {role.pk for role in people.givable(reader)}
    ours = Q(permissions__content_type__app_label="integrations", permissions__codename__in=list(Perm))
    return tuple(
        Role(role.pk, role.name, _allows(role.holds), role.pk in theirs, role.pk in mine)
        for role in Group.objects.annotate(holds=Count("permissions", filter=ours)).order_by("name")
    )


def _allows(number: int) -> str:
    if number == len(Perm):
        return _("everything")
    return ngettext("{n} permission", "{n} permissions", number).format(n=number) if number else _("nothing by itself")


# --- Forms -----------------------------------------------------------------------------------------------------------


class NewPerson(forms.ModelForm[User]):
    """Who they are, and what they may do to begin with: no more than whoever adds them may."""

    role = forms.ModelChoiceField(
        Group.objects.none(), required=False, label=gettext_lazy("Role"), empty_label=gettext_lazy("None yet")
    )

    class Meta:
        model = User
        fields = ["username", "email", "first_name", "last_name"]

    def __init__(self, by: User, data: object = None) -> None:
        super().__init__(data)  # type: ignore[arg-type]  # a QueryDict
        mine = [role.pk for role in people.givable(by)]
        self.fields["role"].queryset = Group.objects.filter(pk__in=mine).order_by("name")  # type: ignore[attr-defined]

    def clean_email(self) -> str:
        """Somebody's address is theirs however it is written."""
        email: str = self.cleaned_data["email"]
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("Somebody has this e-mail address already."))
        return email


class Roles(forms.Form):
    roles = forms.ModelMultipleChoiceField(Group.objects.all(), required=False)


class NewGrant(forms.Form):
    """A permission on one integration."""

    permission = forms.TypedChoiceField(
        label=gettext_lazy("May"), coerce=Perm, choices=lambda: [(perm, account.in_words(perm)) for perm in Perm]
    )
    integration = forms.ModelChoiceField(
        Integration.objects.order_by("name"), to_field_name="slug", label=gettext_lazy("On"), empty_label=None
    )
