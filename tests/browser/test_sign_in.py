"""Signing in with a passkey, an app and a fresh login, in a real browser with an authenticator of its own."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations.accounts.models import User
from integrations.models import Activity, Integration
from tests.accounts.test_second_factor import code
from tests.conftest import PASSWORD

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

Enter = Callable[[User | None, str], Page]
FACTORS = "/accounts/factors/"


@pytest.fixture
def at_localhost(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers give no passkey to a bare address."""
    monkeypatch.setattr(LiveServer, "url", property(lambda self: f"http://localhost:{self.thread.port}"))


def give_authenticator(page: Page) -> Any:
    """A fingerprint reader, as the browser's own tests have it."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    return protocol, protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


def test_a_passkey_is_added_signs_in_alone_and_proves_it_again(
    at_localhost: None, enter: Enter, alice: User, registry: dict[str, Integration]
) -> None:
    page = enter(alice, FACTORS)
    give_authenticator(page)
    page.get_by_role("link", name="Add a key").click()
    page.get_by_label("What you call it").fill("Laptop")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    expect(page.locator("code")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Sign out").click()

    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_url(re.compile("/admin/integrations"))
    assert Activity.objects.filter(action="login", details={"by": ["webauthn"]}).exists()
    page.goto(page.url.partition("/admin")[0] + "/accounts/prove/?next=/admin/integrations/oauth")
    page.get_by_role("button", name="Use a passkey or security key").click()
    page.wait_for_url(re.compile("/admin/integrations/oauth"))


def test_a_passkey_that_is_not_there_is_said(
    at_localhost: None, enter: Enter, alice: User, registry: dict[str, Integration]
) -> None:
    page = enter(None, "/accounts/login/")
    give_authenticator(page)
    button = page.get_by_role("button", name="Sign in with a passkey")
    button.click()
    expect(page.get_by_text("No passkey was used.")).to_be_visible()
    expect(button).to_be_enabled()


def test_an_app_is_set_up_by_who_must_and_asked_for_at_the_next_sign_in(
    enter: Enter, alice: User, registry: dict[str, Integration], settings: Any
) -> None:
    settings.SECOND_FACTOR_FOR = "acting"
    page = enter(alice, "/admin/integrations")
    expect(page.get_by_text("You must have one before you can go on.")).to_be_visible()
    page.get_by_role("link", name="Set up").click()
    page.get_by_text("Can't scan it?").click()
    secret = page.locator("code").inner_text()
    page.get_by_label("Code").fill(code(secret))
    page.get_by_role("button", name="Set up").click()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("That code is wrong, or was used before.")).to_be_visible()
    Authenticator.objects.filter(type="totp").update(
        data={**Authenticator.objects.get(type="totp").data, "last_counter": 0}
    )
    page.get_by_label("Code").fill(code(secret))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/admin/integrations"))
