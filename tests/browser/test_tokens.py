"""Tokens in a real browser: asked before anything is given up, switched by the keyboard, whole without scripts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from integrations.accounts.models import User
from integrations.actor import SYSTEM
from integrations.models import Integration
from oauth import flow, services
from oauth.models import Grant, Token
from tests.browser.test_pages import TOO_WIDE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

PAGE = "/admin/integrations/oauth"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def crm(sandbox: Any, registry: dict[str, Integration]) -> Integration:
    """Shares its grant with Zoho Sign."""
    services.connect_sandbox(registry["zoho-crm"])
    ours, now = Token.objects.get(), timezone.now()
    same = flow.Tokens(
        access_token=ours.access_token(), refresh_token=ours.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(registry["zoho-sign"], same, actor=SYSTEM)
    return registry["zoho-crm"]


def test_revoking_asks_first_and_names_who_would_lose_it_too(enter: Enter, alice: User, crm: Integration) -> None:
    page = enter(alice, PAGE)
    row = page.locator("#token-zoho-crm")
    row.get_by_role("button", name="Revoke the token of Zoho CRM").click()
    dialog = page.locator("#confirm")
    expect(dialog.get_by_role("heading", name="Revoke the token of Zoho CRM?")).to_be_visible()
    expect(dialog).to_contain_text("Zoho Sign would lose it too")
    dialog.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("Valid")
    assert Grant.objects.get().state == "connected"
    row.get_by_role("button", name="Revoke the token of Zoho CRM").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.locator("#toaster")).to_contain_text("Zoho CRM and Zoho Sign: revoked")
    expect(row).to_contain_text("Revoked")  # without a reload
    expect(page.locator("#trouble-zoho-sign")).to_contain_text("Connect it again")
    assert Grant.objects.get().state == "revoked"


def test_automatic_renewal_is_switched_by_the_keyboard(enter: Enter, alice: User, crm: Integration) -> None:
    page = enter(alice, PAGE)
    switch = page.get_by_role("switch", name="Zoho CRM renews itself")
    expect(switch).to_be_checked()
    switch.focus()
    page.keyboard.press("Space")
    expect(page.locator("#toaster")).to_contain_text("Zoho CRM is no longer renewed by itself")
    assert not Token.objects.get(integration=crm).auto_refresh
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()  # the refresh that followed took nothing away


def test_what_is_offered_on_a_screen_is_offered_on_a_phone(
    enter: Enter, quiet_page: Page, alice: User, crm: Integration
) -> None:
    page = enter(alice, PAGE)

    def offered() -> set[str]:
        controls = page.locator("#live").locator("button:visible, [role=switch]:visible")
        return set(controls.evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))"))

    wide = offered()
    assert wide > {"Zoho CRM renews itself", "Generate new token for Zoho CRM", "Revoke the token of Zoho CRM"}
    for width in (834, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.reload(wait_until="networkidle")  # the sidebar, which was open, covers it
        assert offered() == wide
        assert page.evaluate(TOO_WIDE) == []
    ids = page.locator("[id]").evaluate_all("all => all.map((one) => one.id)")
    assert len(ids) == len(set(ids))
    narrow = page.locator("#actions-zoho-crm")
    narrow.get_by_role("switch", name="Zoho CRM renews itself").click()
    expect(page.locator("#toaster")).to_contain_text("Zoho CRM is no longer renewed by itself")
    narrow.get_by_role("button", name="Revoke the token of Zoho CRM").click()
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(page.locator("#toaster")).to_contain_text("Zoho CRM and Zoho Sign: revoked")


def test_in_three_clicks_from_the_overview_to_why_a_refresh_was_refused(
    enter: Enter, alice: User, crm: Integration, sandbox: Any
) -> None:
    sandbox.set_fault("zoho-accounts", "refuse")
    page = enter(alice, "/admin/integrations")
    page.locator("#card-zoho-crm").get_by_role("button", name="Refresh the token of Zoho CRM").click()
    expect(page.locator("#toaster")).to_contain_text("invalid_client")
    page.get_by_role("link", name="OAuth tokens").click()
    page.locator("#trouble").get_by_role("link", name="Zoho CRM").click()
    expect(page.get_by_role("listitem").filter(has_text="Renewal failed")).to_contain_text("invalid_client")


def test_without_scripts_it_is_whole(
    without_scripts: Callable[[User, str], Page], alice: User, crm: Integration
) -> None:
    page = without_scripts(alice, f"{PAGE}/zoho-crm")
    page.get_by_role("button", name="Refresh the token of Zoho CRM").click()
    expect(page.locator("#toaster")).to_contain_text("Zoho CRM has a new token")
    assert page.url.endswith(f"{PAGE}/zoho-crm")
    page.get_by_role("button", name="Revoke the token of Zoho CRM").click()
    expect(page.get_by_text("Zoho Sign would lose it too")).to_be_visible()
    page.get_by_role("button", name="Revoke", exact=True).click()
    assert Grant.objects.get().state == "revoked"
