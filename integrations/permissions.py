"""Who may do what: the permissions by the customer's names, the roles as data, and the one question everybody asks.

A permission is written as the customer writes it ("oauth:refresh" for ``integrations:oauth:refresh``). It can be held
globally (through a role) or, with django-guardian, on single integrations.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import BooleanField, ExpressionWrapper, Model, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from guardian.shortcuts import get_objects_for_user

from integrations.models import Integration

if TYPE_CHECKING:
    from integrations.accounts.models import User

M = TypeVar("M", bound=Model)


class Perm(StrEnum):
    READ = "read"
    MANAGE = "manage"
    OAUTH_REFRESH = "oauth:refresh"
    WEBHOOKS_REPLAY = "webhooks:replay"
    CRON_TRIGGER = "cron:trigger"

    @property
    def django_name(self) -> str:
        return f"integrations.{self.value}"

    @property
    def public_name(self) -> str:
        return f"integrations:{self.value}"


EVERYTHING = frozenset(Perm)

DANGEROUS = "dangerous"
"""A token's scope, no permission: without it a token does nothing that wants a fresh login of a person. It opens no
door by itself."""

SUPER_ADMIN = "Super Admin"
"""The role of which one active holder always stays (or a superuser): integrations/accounts/people.py."""

ROLES: dict[str, frozenset[Perm]] = {
    SUPER_ADMIN: EVERYTHING,
    "System Admin": EVERYTHING,
    "IT Manager": frozenset({Perm.READ, Perm.OAUTH_REFRESH, Perm.WEBHOOKS_REPLAY}),
    "Operations Manager": frozenset({Perm.READ}),
    "Support Agent": frozenset(),
}


def may(user: "User | AnonymousUser", perm: Perm, integration: Integration | None = None) -> bool:
    """Whether `user` holds `perm` globally or, if `integration` is given, on that one."""
    if not _limits_allow(user, perm, integration):
        return False
    if user.has_perm(perm.django_name):
        return True
    return integration is not None and user.has_perm(perm.django_name, integration)


def may_somewhere(user: "User | AnonymousUser", perm: Perm) -> bool:
    """Whether `user` holds `perm` globally or on any integration: the door may open, the lists are filtered."""
    return may(user, perm) or bool(_ids(user, perm))


def visible(user: "User | AnonymousUser", perm: Perm = Perm.READ) -> QuerySet[Integration]:
    """The integrations on which `user` holds `perm`."""
    if not user.is_authenticated or not user.is_active or not _scopes_allow(user, perm):
        return Integration.objects.none()
    on: frozenset[str] = getattr(user, "limited_on", frozenset())
    rows = Integration.objects.filter(slug__in=on) if on else Integration.objects.all()
    if user.has_perm(perm.django_name):
        return rows
    return get_objects_for_user(user, perm.django_name, klass=rows, accept_global_perms=False)


def readable(user: "User | AnonymousUser", rows: QuerySet[M], *, path: str = "integration") -> QuerySet[M]:
    """`rows` cut down to the integrations that `user` may read, `path` being the way from a row to its integration.

    With grants on single integrations only, rows that belong to none are left out.
    """
    if may(user, Perm.READ):
        return rows
    return rows.filter(**{f"{path}__in": _ids(user, Perm.READ)})


def held(user: "User | AnonymousUser", perm: Perm) -> Combinable:
    """Whether `user` holds `perm` on a row, to annotate a query of integrations with: it costs no other."""
    if may(user, perm):
        return Value(value=True)
    return ExpressionWrapper(Q(pk__in=visible(user, perm).values("pk")), output_field=BooleanField())


def limit(user: "User", scopes: Iterable[str], *, on: Iterable[str] = ()) -> None:
    """Confine `user`, for the rest of this request, to an API token's `scopes` and to the integrations with the slugs
    `on`. None given, or but the scope `dangerous`: no confinement. A slug that is no integration's any more opens
    nothing."""
    user.limited_to, user.limited_on = frozenset(scopes) - {DANGEROUS}, frozenset(on)


def _limits_allow(user: "User | AnonymousUser", perm: Perm, integration: Integration | None) -> bool:
    on: frozenset[str] = getattr(user, "limited_on", frozenset())
    return _scopes_allow(user, perm) and (not on or (integration is not None and integration.slug in on))


def _scopes_allow(user: "User | AnonymousUser", perm: Perm) -> bool:
    scopes: frozenset[str] = getattr(user, "limited_to", frozenset())
    return not scopes or perm.public_name in scopes


def _ids(user: "User | AnonymousUser", perm: Perm) -> list[UUID]:
    """Asked for several times on a page; `user` lives as long as its request."""
    known: dict[object, list[UUID]] = user.__dict__.setdefault("_granted", {})
    key = (perm, getattr(user, "limited_to", None), getattr(user, "limited_on", None))
    if key not in known:
        known[key] = list(visible(user, perm).values_list("pk", flat=True))
    return known[key]
