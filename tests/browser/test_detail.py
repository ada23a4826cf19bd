"""In a real browser: who did it and what broke, in three clicks; switched off only after asking; on paper."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from healthchecks.models import Incident
from integrations import services
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Integration
from oauth.models import TokenEvent
from tests.factories import CheckResultFactory, TokenFactory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

OVERVIEW = "/admin/integrations"
PIETER = Actor(username="pieter", ip_address="192.0.2.7", user_agent="Firefox", request_id="req-1")
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def dead(registry: dict[str, Integration]) -> Integration:
    """Zoho Sign, whose grant is gone."""
    row, since = registry["zoho-sign"], timezone.now() - timedelta(hours=3)
    why = "The grant is gone: Zoho says invalid_code."
    Integration.objects.filter(pk=row.pk).update(health_status="down", health_since=since, health_reason=why)
    layers = [{"layer": "grant", "status": "down", "seen": why, "rule": "grant_dead"}]
    CheckResultFactory(integration=row, status="down", rule="grant_dead", layers=layers)
    token = TokenFactory(integration=row, expires_at=since)
    token.grant.state, token.grant.last_error = "needs_reauth", "Zoho says invalid_code."
    token.grant.save()
    TokenEvent.objects.create(integration=row, kind="refresh_failed", at=since, actor="system", detail="invalid_code")
    Incident.objects.create(integration=row, opened_at=since, worst_status="down", cause=why)
    return row


def test_who_disabled_didit_in_three_clicks(enter: Enter, alice: User, registry: dict[str, Integration]) -> None:
    services.change(registry["didit-kyc"], actor=PIETER, is_active=False)
    page = enter(alice, OVERVIEW)
    page.locator("#card-didit-kyc").click(position={"x": 120, "y": 90})  # anywhere on the card
    expect(page.locator("#off")).to_contain_text("by pieter")
    page.get_by_role("link", name="Who did what").click()
    row = page.locator("#entries details").first
    expect(row).to_contain_text("pieter switched Didit KYC off")
    row.locator("summary").click()
    expect(row).to_contain_text("192.0.2.7")
    expect(row.get_by_role("cell", name="no", exact=True)).to_be_visible()


def test_why_the_zoho_token_died_in_three_clicks(enter: Enter, alice: User, dead: Integration) -> None:
    page = enter(alice, OVERVIEW)
    row = page.locator("#attention-zoho-sign")
    row.locator("summary").click()
    row.get_by_role("link", name="Details").click()
    expect(page.locator("#verdict-card")).to_contain_text("Zoho says invalid_code.")
    expect(page.locator("#verdict-card").get_by_role("button", name="Reconnect")).to_be_visible()
    expect(page.locator(".timeline").first).to_contain_text("Token not renewed")  # the open incident tells itself
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="OAuth").click()
    expect(page).to_have_url(f"{page.url.partition('/admin')[0]}{OVERVIEW}/zoho-sign?tab=oauth")
    expect(page.locator("#tab")).to_contain_text("Renewal failed")


def test_switching_off_asks_and_the_page_follows(enter: Enter, alice: User, registry: dict[str, Integration]) -> None:
    page = enter(alice, f"{OVERVIEW}/resend")
    button, dialog = page.locator("#head").get_by_role("button", name="Switch off"), page.locator("#confirm")
    button.click()
    expect(dialog.get_by_role("heading", name="Switch Resend Email off?")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    assert Integration.objects.get(slug="resend").is_active
    button.click()
    dialog.get_by_role("button", name="Switch off").click()
    expect(page.locator(".toast")).to_contain_text("Resend Email is switched off")
    expect(page.locator("#off")).to_contain_text("by alice")  # without a reload
    expect(page.locator("#tab")).to_contain_text("alice switched Resend Email off")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("button", name="Check now")).to_be_visible()


def test_entries_are_filtered_while_one_types_and_stay_open_over_a_poll(
    enter: Enter, quiet_page: Page, alice: User, registry: dict[str, Integration]
) -> None:
    quiet_page.clock.install()
    for slug, on in (("resend", False), ("netcash", False), ("resend", True)):
        services.change(Integration.objects.get(slug=slug), actor=PIETER, is_active=on)
    page = enter(alice, f"{OVERVIEW}/activity")
    page.get_by_label("Integration", exact=True).select_option("resend")
    expect(page.locator("#entries details")).to_have_count(2)
    assert page.url.endswith("activity?integration=resend")
    expect(page.get_by_role("link", name="Export CSV")).to_have_attribute(
        "href", "/api/admin/integrations/activity.csv?integration=resend"
    )
    row = page.locator("#entries details").last
    row.locator("summary").click()
    services.change(Integration.objects.get(slug="resend"), actor=PIETER, is_active=False)
    page.clock.fast_forward(30_500)
    expect(page.locator("#entries details")).to_have_count(3)
    expect(page.locator("#entries details").last).to_have_attribute("open", "")
    expect(page.locator("#proof")).to_contain_text("Each of the 3 entries shown")
    page.get_by_label("Username").press_sequentially("nobody")
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_on_paper_there_is_nothing_to_press_and_nothing_folded(enter: Enter, alice: User, dead: Integration) -> None:
    page = enter(None, "/accounts/login/")
    page.emulate_media(color_scheme="dark")
    page = enter(alice, f"{OVERVIEW}/zoho-sign?tab=oauth")
    page.goto(page.url.replace("?tab=oauth", ""), wait_until="networkidle")
    page.locator("#incidents + div summary").click()  # folds the open incident
    page.emulate_media(media="print")
    for selector in (".sidebar", ".tabnav", "#bell", "#head button", "#tab button"):
        assert [one for one in page.locator(selector).all() if one.is_visible()] == []
    expect(page.get_by_text("Token not renewed")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 250, 250)"


def test_it_works_without_scripts(
    without_scripts: Callable[..., Page], alice: User, dead: Integration, registry: dict[str, Integration]
) -> None:
    page = without_scripts(alice, f"{OVERVIEW}/zoho-sign")
    page.get_by_role("link", name="Open this incident").click()
    page.get_by_label("What you found out or did").fill("Called Zoho.")
    page.get_by_role("button", name="Write it down").click()
    expect(page.locator("#main").get_by_text("Called Zoho.")).to_be_visible()
    page.goto(f"{page.url.partition('/admin')[0]}{OVERVIEW}/zoho-sign")
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("Zoho Sign is switched off.")).to_be_visible()
