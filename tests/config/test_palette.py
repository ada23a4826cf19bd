"""What the palette offers, and to whom."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm
from pytest_django import DjangoAssertNumQueries

from integrations.accounts.models import User
from integrations.models import Integration
from tests.factories import TokenFactory

pytestmark = pytest.mark.django_db

PALETTE = "/admin/integrations/palette"


def offered(client: Client, user: User) -> set[str]:
    client.force_login(user)
    return set(re.findall(r'data-key="([^"]+)"', client.get(PALETTE).content.decode()))


def places(keys: set[str], kind: str) -> set[str]:
    return {key for key in keys if key.startswith(f"{kind}-")}


def test_an_administrator_may_go_anywhere_and_check_anything(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    TokenFactory(integration=registry["zoho-sign"], expires_at=timezone.now() + timedelta(hours=1))
    keys = offered(client, alice)
    assert places(keys, "go") == {f"go-{slug}" for slug in registry}
    assert places(keys, "check") == {f"check-{slug}" for slug in [*registry, "all"]}
    assert places(keys, "refresh") == {"refresh-zoho-sign"}  # the only one with a token
    assert {"page-/admin/integrations/alerts", "page-/admin/integrations/account", "test-alert"} <= keys
    assert "page-/django-admin/" not in keys


def test_what_one_may_not_do_is_not_offered(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    TokenFactory(integration=registry["zoho-sign"], expires_at=timezone.now() + timedelta(hours=1))
    keys = offered(client, bob)
    assert places(keys, "go") == {f"go-{slug}" for slug in registry}
    assert not places(keys, "check")
    assert not places(keys, "refresh")
    assert "test-alert" not in keys


def test_a_stranger_is_offered_his_account_alone(client: Client, charlie: User) -> None:
    assert offered(client, charlie) == {"page-/admin/integrations/account", "theme", "live", "keys"}


def test_a_grant_on_one_integration_offers_that_one(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    assign_perm("integrations.manage", charlie, registry["resend"])
    keys = offered(client, charlie)
    assert places(keys, "go") == {"go-resend"}
    assert places(keys, "check") == {"check-resend", "check-all"}
    assert "test-alert" not in keys  # everybody would get it
    assert "page-/admin/integrations" in keys


def test_one_that_is_switched_off_can_be_looked_at_but_not_checked(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    Integration.objects.filter(slug="resend").update(is_active=False)
    keys = offered(client, alice)
    assert "go-resend" in keys
    assert "check-resend" not in keys


def test_superusers_find_the_database(client: Client, person: Callable[..., User]) -> None:
    assert "page-/django-admin/" in offered(client, person("root", is_superuser=True))


def test_nothing_dangerous_is_in_it(client: Client, alice: User, registry: dict[str, Integration]) -> None:
    client.force_login(alice)
    posts = re.findall(r'hx-post="([^"]+)"', client.get(PALETTE).content.decode())
    assert {path.rpartition("/")[2] for path in posts} == {"check", "test"}


def test_it_costs_few_queries_however_many_integrations(
    client: Client,
    alice: User,
    registry: dict[str, Integration],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(PALETTE)
