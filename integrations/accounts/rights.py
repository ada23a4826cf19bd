"""What a person may do, and why: because of what, given by whom. Read from the rows themselves, so that it can be said
of somebody who is disabled too; that it says the same as `permissions.may` is for the tests to prove."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission, UserObjectPermission

from integrations.accounts import account
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm

_OURS = {perm.value: perm for perm in Perm}


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that was given to somebody: Django's names of the permissions that hold everywhere, and those on one
    integration each. A superuser has all there is."""

    superuser: bool = False
    everywhere: frozenset[str] = frozenset()
    on: frozenset[tuple[str, UUID]] = frozenset()

    def covers(self, other: "Held") -> bool:
        """Whether all of `other` is in it as well."""
        if self.superuser:
            return True
        one_by_one = all(pair in self.on or pair[0] in self.everywhere for pair in other.on)
        return not other.superuser and other.everywhere <= self.everywhere and one_by_one


@dataclass(frozen=True, slots=True)
class Reason:
    """`on`: the integration's name, "" for everywhere."""

    on: str
    words: str


@dataclass(frozen=True, slots=True)
class Right:
    """A permission and all the reasons why somebody holds it; none: they don't."""

    name: str
    words: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission on one integration that was given to a person. `by` is "" where nobody wrote it down."""

    perm: Perm
    integration: Integration
    by: str
    at: datetime | None

    @property
    def name(self) -> str:
        return self.perm.public_name

    @property
    def words(self) -> str:
        return account.in_words(self.perm)


# --- All that somebody holds -----------------------------------------------------------------------------------------


def held(person: User) -> Held:
    """What `person` holds, active or not, whatever an API token confines them to."""
    mine = Permission.objects.filter(Q(user=person) | Q(group__user=person))
    given, shared = _given().filter(user=person), _shared().filter(group__user=person)
    return Held(person.is_superuser, _names(mine), _pairs(given) | _pairs(shared))


def of_role(group: Group) -> Held:
    """What a role brings to whoever is given it."""
    return Held(False, _names(Permission.objects.filter(group=group)), _pairs(_shared().filter(group=group)))


def of_grant(perm: Perm, integration: Integration) -> Held:
    return Held(on=frozenset({(perm.django_name, integration.pk)}))


def _names(rows: QuerySet[Permission]) -> frozenset[str]:
    return frozenset(f"{app}.{name}" for app, name in rows.values_list("content_type__app_label", "codename"))


def _pairs(rows: QuerySet[UserObjectPermission] | QuerySet[GroupObjectPermission]) -> frozenset[tuple[str, UUID]]:
    found = rows.values_list("permission__codename", "object_pk")
    return frozenset((_OURS[name].django_name, UUID(pk)) for name, pk in found)


def _given() -> QuerySet[UserObjectPermission]:
    return UserObjectPermission.objects.filter(content_type=_kind(), permission__codename__in=_OURS)


def _shared() -> QuerySet[GroupObjectPermission]:
    return GroupObjectPermission.objects.filter(content_type=_kind(), permission__codename__in=_OURS)


def _kind() -> ContentType:
    return ContentType.objects.get_for_model(Integration)


# --- Why -------------------------------------------------------------------------------------------------------------


def grants(people: Iterable[User]) -> dict[UUID, list[Grant]]:
    """What was given to each of `people` themselves on single integrations, in the order of their names."""
    rows = _given().filter(user__in=list(people)).select_related("permission", "note")
    there = {str(one.pk): one for one in Integration.objects.all()}
    found: dict[UUID, list[Grant]] = {}
    for row in rows:
        if integration := there.get(row.object_pk):  # guardian leaves those of what was removed
            note = getattr(row, "note", None)
            by, at = (note.given_by, note.given_at) if note else ("", None)
            found.setdefault(row.user_id, []).append(Grant(_OURS[row.permission.codename], integration, by, at))
    order = list(Perm)
    for mine in found.values():
        mine.sort(key=lambda one: (one.integration.name, order.index(one.perm)))
    return found


def why(person: User, granted: Iterable[Grant]) -> tuple[Right, ...]:
    """Each permission with its reasons. `granted`: what `grants` says of them."""
    reasons: dict[Perm, list[Reason]] = {perm: [] for perm in Perm}
    for perm, reason in [*_everywhere(person), *(_by_grant(one) for one in granted), *_by_groups(person)]:
        reasons[perm].append(reason)
    return tuple(
        Right(perm.public_name, account.in_words(perm), tuple(found)) for perm, found in reasons.items()
    )  # fmt: skip


def _everywhere(person: User) -> Iterator[tuple[Perm, Reason]]:
    if person.is_superuser:
        yield from ((perm, Reason("", _("because they are a superuser"))) for perm in Perm)
    ours = Permission.objects.filter(content_type=_kind(), codename__in=_OURS)
    for role, name in ours.filter(group__user=person).order_by("group__name").values_list("group__name", "codename"):
        yield _OURS[name], Reason("", _("because of the role {role}").format(role=role))
    for name in ours.filter(user=person).values_list("codename", flat=True):
        yield _OURS[name], Reason("", _("because it was given to them in the Django admin"))


def _by_grant(grant: Grant) -> tuple[Perm, Reason]:
    if not grant.by or grant.at is None:
        return grant.perm, Reason(grant.integration.name, _("because of a grant"))
    words = _("because of a grant by {name}, {day}")
    day = date_format(localtime(grant.at), "j M Y")
    return grant.perm, Reason(grant.integration.name, words.format(name=grant.by, day=day))


def _by_groups(person: User) -> Iterator[tuple[Perm, Reason]]:
    there = {str(pk): name for pk, name in Integration.objects.values_list("pk", "name")}
    rows = _shared().filter(group__user=person).order_by("group__name")
    for group, name, pk in rows.values_list("group__name", "permission__codename", "object_pk"):
        if pk in there:
            yield _OURS[name], Reason(there[pk], _("because of a grant to {group}").format(group=group))
