"""Who may do what: roles, grants on one integration, tokens' scopes."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from guardian.shortcuts import assign_perm

from integrations import permissions
from integrations.models import Activity, Integration
from integrations.permissions import EVERYTHING, ROLES, Perm

pytestmark = pytest.mark.django_db

TABLE = {
    "Super Admin": set(Perm),
    "System Admin": set(Perm),
    "IT Manager": {Perm.READ, Perm.OAUTH_REFRESH, Perm.WEBHOOKS_REPLAY},
    "Operations Manager": {Perm.READ},
    "Support Agent": set(),
}


@pytest.mark.parametrize("role", TABLE)
def test_each_role_holds_what_the_table_says(person, role):
    user = person("dana", role=role)
    assert {perm for perm in Perm if permissions.may(user, perm)} == TABLE[role]


def test_the_declared_roles_are_the_table():
    assert {role: set(held) for role, held in ROLES.items()} == TABLE
    assert set(Perm) == EVERYTHING


def test_nobody_signed_in_may_nothing(registry):
    assert not any(permissions.may(AnonymousUser(), perm, registry["resend"]) for perm in Perm)
    assert not permissions.visible(AnonymousUser()).exists()


def test_a_disabled_user_may_nothing(person, registry):
    user = person("dana", role="Super Admin", is_active=False)
    assert not any(permissions.may(user, perm, registry["resend"]) for perm in Perm)
    assert not permissions.visible(user).exists()


def test_a_grant_on_one_integration_opens_that_one_only(charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    assert permissions.may(charlie, Perm.READ, registry["resend"])
    assert not permissions.may(charlie, Perm.READ, registry["netcash"])
    assert not permissions.may(charlie, Perm.READ)
    assert not permissions.may(charlie, Perm.MANAGE, registry["resend"])
    assert permissions.may_somewhere(charlie, Perm.READ)
    assert [row.slug for row in permissions.visible(charlie)] == ["resend"]


def test_a_grant_to_a_group_reaches_its_members(charlie, registry):
    team = Group.objects.create(name="Payments team")
    charlie.groups.add(team)
    assign_perm("integrations.webhooks:replay", team, registry["netcash"])
    assert permissions.may(charlie, Perm.WEBHOOKS_REPLAY, registry["netcash"])
    assert [row.slug for row in permissions.visible(charlie, Perm.WEBHOOKS_REPLAY)] == ["netcash"]


def test_scopes_confine_even_a_super_admin(alice, registry):
    permissions.limit(alice, ["integrations:read"])
    assert permissions.may(alice, Perm.READ)
    assert not permissions.may(alice, Perm.MANAGE, registry["resend"])
    assert not permissions.visible(alice, Perm.MANAGE).exists()


def test_rows_are_cut_down_to_what_may_be_read(alice, charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    rows = Integration.objects.all()
    assert permissions.readable(alice, rows, path="pk").count() == 10
    assert [row.slug for row in permissions.readable(charlie, rows, path="pk")] == ["resend"]
    assert not Activity.objects.exists()
