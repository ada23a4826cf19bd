"""What stands around every page: where its reader is led, in which language, and what scripts say."""

import json
import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import translation
from guardian.shortcuts import assign_perm
from pytest_django import DjangoAssertNumQueries

from config import shell
from integrations import permissions
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm

pytestmark = pytest.mark.django_db

PAGES = "/admin/integrations"
ACCOUNT = f"{PAGES}/account"
ALL = {
    PAGES, f"{PAGES}/apis", f"{PAGES}/webhooks", f"{PAGES}/alerts", f"{PAGES}/oauth", f"{PAGES}/cron",
    f"{PAGES}/activity", "/api/docs",
}  # fmt: skip
OF_MANAGERS = {f"{PAGES}/people"}
"""What wants more than reading."""


def page_of(client: Client, user: User) -> str:
    """One that is open to everybody."""
    client.force_login(user)
    return client.get(ACCOUNT).content.decode()


def led_to(page: str) -> set[str]:
    sidebar = page[page.index('<aside id="sidebar"') : page.index("</section>", page.index('<aside id="sidebar"'))]
    return set(re.findall(r'href="([^"]+)"', sidebar))


def offered(client: Client) -> set[str]:
    pages = re.findall(r'data-key="page-([^"]+)"', client.get(f"{PAGES}/palette").content.decode())
    return set(pages) - {ACCOUNT}


# --- Where one is led ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", permissions.ROLES)
def test_each_role_is_led_to_what_it_may_open_and_nowhere_else(
    client: Client, person: Callable[..., User], role: str
) -> None:
    shown, may = led_to(page_of(client, person("dana", role=role))), permissions.ROLES[role]
    assert shown == {path for path in ALL | OF_MANAGERS if client.get(path).status_code == 200}
    assert shown == (ALL if Perm.READ in may else set()) | (OF_MANAGERS if Perm.MANAGE in may else set())
    assert offered(client) == shown


def test_a_grant_on_one_integration_leads_to_the_pages_that_show_it(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    shown = led_to(page_of(client, charlie))
    assert shown == ALL
    assert {client.get(path).status_code for path in shown} == {200}
    assert offered(client) == ALL


def test_who_may_do_something_but_read_nothing_is_told_that_no_page_is_open(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm("integrations.oauth:refresh", charlie, registry["zoho-crm"])
    page = page_of(client, charlie)
    assert led_to(page) == set()
    assert "your role opens no page" in page
    assert offered(client) == set()


def test_to_nowhere_leads_neither_bell_nor_crumb_nor_shortcut(client: Client, charlie: User, bob: User) -> None:
    leads = ('id="bell"', f'<a href="{PAGES}">', '<h3 class="caption">Go to</h3>')
    told = page_of(client, bob), page_of(client, charlie)
    assert [[lead in page for lead in leads] for page in told] == [[True] * 3, [False] * 3]


def test_the_django_admin_is_shown_to_superusers_only(
    client: Client, alice: User, person: Callable[..., User]
) -> None:
    assert "/django-admin/" not in led_to(page_of(client, alice))
    assert led_to(page_of(client, person("root", is_superuser=True))) == ALL | OF_MANAGERS | {"/django-admin/"}


def test_where_one_is_stands_out(client: Client, bob: User) -> None:
    client.force_login(bob)
    for path in ALL:
        assert re.search(rf'<a href="{path}"[^>]* aria-current="page">', client.get(path).content.decode()), path


@pytest.mark.parametrize("granted", [False, True])
def test_the_navigation_asks_nothing_that_the_page_has_not_asked_already(
    client: Client,
    bob: User,
    charlie: User,
    registry: dict[str, Integration],
    granted: bool,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    user = charlie if granted else bob
    assert permissions.may_somewhere(user, Perm.READ)
    request = type("Request", (), {"resolver_match": None, "user": user})()
    with django_assert_max_num_queries(0):
        assert len(shell.navigation(request)) == 2


# --- Language --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("active", "told"), [("en-za", "en-ZA"), ("de", "de"), ("pt-br", "pt-BR")])
def test_a_page_says_which_language_it_is_in(client: Client, bob: User, active: str, told: str) -> None:
    client.force_login(bob)
    with translation.override(active):
        pages = [client.get(path).content.decode() for path in (PAGES, f"{PAGES}/no/such", "/accounts/login/")]
    assert [re.findall(r'<html lang="([^"]+)"', page) for page in pages[:2]] == [[told]] * 2


def test_what_scripts_say_comes_as_data(client: Client, bob: User) -> None:
    page = page_of(client, bob)
    match = re.search(r'<script id="words" type="application/json">(.*?)</script>', page)
    assert match
    words = json.loads(match[1])
    assert (words["copied"], words["newEvents"]["1"], words["newEvents"]["5"]) == (
        "Copied", "{n} new event", "{n} new events",
    )  # fmt: skip
