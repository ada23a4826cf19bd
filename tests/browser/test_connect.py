"""Connecting in a real browser: there, the simulated provider's consent page, and back with the session's cookie."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations.accounts.models import User
from integrations.models import Integration
from oauth import services
from oauth.models import Token

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

OVERVIEW = "/admin/integrations"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def crm(sandbox: Any, registry: dict[str, Integration], live_server: LiveServer, settings: Any) -> Integration:
    settings.PUBLIC_URL = live_server.url
    return registry["zoho-crm"]


def go_there(page: Page) -> None:
    page.get_by_role("button", name="Connect Zoho CRM").click()
    expect(page.get_by_role("heading", name="Connect Zoho CRM")).to_be_visible()
    expect(page.get_by_text("ZohoCRM.modules.ALL")).to_be_visible()
    page.get_by_role("link", name="Continue to Zoho").click()
    expect(page.get_by_role("heading", name="asks for access")).to_be_visible()


def test_connect_consent_and_back(enter: Enter, alice: User, crm: Integration, live_server: LiveServer) -> None:
    page = enter(alice, OVERVIEW)
    card = page.locator("#card-zoho-crm")
    expect(card).to_contain_text("Not connected")
    go_there(page)
    assert not page.url.startswith(live_server.url.replace("localhost", "127.0.0.1"))  # it is another site
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", name="Zoho CRM is connected")).to_be_visible()
    assert page.url == f"{live_server.url}/oauth/result"  # neither code nor state stays in the address bar
    assert services.access_token(crm)
    page.get_by_role("link", name="To the overview").click()
    expect(card).to_contain_text("Valid")
    expect(card.get_by_role("button", name="Connect")).to_have_count(0)


def test_who_says_no_is_back_where_they_were(enter: Enter, alice: User, crm: Integration) -> None:
    page = enter(alice, OVERVIEW)
    go_there(page)
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("heading", name="You cancelled")).to_be_visible()
    assert not Token.objects.exists()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name="Continue to Zoho")).to_be_visible()


def test_without_scripts_it_is_the_same_way(
    without_scripts: Callable[[User, str], Page], alice: User, crm: Integration
) -> None:
    page = without_scripts(alice, OVERVIEW)
    go_there(page)
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", name="Zoho CRM is connected")).to_be_visible()
    assert services.access_token(crm)
