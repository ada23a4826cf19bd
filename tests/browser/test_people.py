"""People, pressed in a real browser: a grant given and taken, somebody disabled, each asked and seen at once."""

import re

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from playwright.sync_api import expect

from integrations.accounts.models import User
from tests.browser import test_pages
from tests.browser.test_pages import PEOPLE, Enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

life = test_pages.life


def test_a_grant_and_a_goodbye(enter: Enter, alice: User, charlie: User, life: object) -> None:
    page = enter(alice, PEOPLE)
    page.get_by_role("searchbox", name="Search people").fill("charl")
    expect(page.locator("#found")).to_have_text("1 person")
    page.get_by_role("link", name="Charlie Example").click()
    page.get_by_label("On", exact=True).select_option(label="Resend Email")
    page.get_by_role("button", name="Give").click()
    expect(page.locator("#right-1")).to_contain_text(re.compile("on Resend Email because of a grant by alice"))
    page.get_by_role("button", name="Take back integrations:read on Resend Email").click()
    expect(page.locator("#right-1")).to_contain_text("no: no role and no grant of theirs holds it")
    main, disable = page.get_by_role("main"), page.locator("main").get_by_role("button", name="Disable")
    disable.click()
    dialog = page.get_by_role("dialog", name="Disable charlie?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    disable.click()
    dialog.get_by_role("button", name="Disable").click()
    expect(main.get_by_role("button", name="Enable")).to_be_visible()
    expect(page.get_by_role("heading", name="Who they are")).to_contain_text("Disabled")
    assert not User.objects.get(pk=charlie.pk).is_active


def test_who_lost_phone_and_password_is_let_in_again(enter: Enter, alice: User, bob: User, life: object) -> None:
    TOTP.activate(bob, generate_totp_secret())
    page = enter(alice, f"{PEOPLE}/{bob.pk}")
    expect(page.get_by_text("Second factor: authenticator app")).to_be_visible()
    page.get_by_role("button", name="Take off").click()
    page.get_by_role("dialog", name="Take all second factors off bob?").get_by_role("button", name="Take off").click()
    expect(page.get_by_text("No second factor")).to_be_visible()
    page.get_by_role("button", name="New password").click()
    expect(page.get_by_role("heading", name="Give bob a new password?")).to_be_visible()
    page.get_by_role("button", name="Give a new password").click()
    password = page.locator("#password").inner_text()
    assert User.objects.get(pk=bob.pk).check_password(password)
