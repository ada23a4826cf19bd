"""The bell and the page of alerts in a real browser."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from healthchecks.alerts import alarms, outbox
from healthchecks.models import AlertsSeen
from integrations.accounts.models import User
from integrations.models import Integration
from tests.healthchecks.alerts.conftest import unwell
from tests.healthchecks.alerts.receivers import Target

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

PAGE, OVERVIEW = "/admin/integrations/alerts", "/admin/integrations"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def phone(settings: Any) -> Iterator[Target]:
    with Target() as running:
        settings.ALERT_TO = running.url
        yield running


@pytest.fixture
def trouble(registry: dict[str, Integration], phone: Target) -> Target:
    unwell(registry["resend"])
    alarms.watch(now=timezone.now())
    outbox.run_due()
    return phone


def test_the_bell_tells_how_many_are_new_and_opening_it_reads_them(
    enter: Enter, alice: User, trouble: Target, registry: dict[str, Integration]
) -> None:
    page = enter(alice, OVERVIEW)
    bell = page.locator("#bell summary")
    expect(bell).to_have_accessible_name("Alerts, 1 unread")
    bell.click()
    item = page.locator(".bell-list").get_by_role("link", name="Resend Email is down")
    expect(item).to_be_visible()
    expect(bell).to_have_accessible_name("Alerts")  # it stays open, and is read
    assert AlertsSeen.objects.get().user == alice
    item.click()
    expect(page).to_have_url(re.compile(f"{PAGE}#alarm-"))
    expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()


def test_its_list_opens_and_closes_by_the_keyboard(enter: Enter, alice: User, trouble: Target) -> None:
    page = enter(alice, OVERVIEW)
    bell = page.locator("#bell summary")
    bell.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="All alerts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="All alerts")).to_be_hidden()
    expect(bell).to_be_focused()
    bell.click()
    page.locator("h1").click()
    expect(page.get_by_role("link", name="All alerts")).to_be_hidden()


def test_what_comes_while_the_page_is_open_rings_within_the_minute(
    enter: Enter, quiet_page: Page, alice: User, registry: dict[str, Integration], phone: Target
) -> None:
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    expect(page.locator("#bell summary")).to_have_accessible_name("Alerts")
    unwell(registry["netcash"])
    alarms.watch(now=timezone.now())
    page.clock.fast_forward(60_500)
    expect(page.locator("#bell summary")).to_have_accessible_name("Alerts, 1 unread")


def test_a_test_asks_first_and_says_what_became_of_it(enter: Enter, alice: User, trouble: Target) -> None:
    page = enter(alice, PAGE)
    expect(page.locator("#open-card")).to_contain_text("Resend Email is down")
    page.get_by_role("button", name="Send a test").click()
    dialog = page.locator("#confirm")
    expect(dialog.get_by_role("heading", name="Send a test alert?")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    assert len(trouble.got) == 1
    page.get_by_role("button", name="Send a test").click()
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#toaster")).to_contain_text("Sent by 1 of 1 route")
    assert len(trouble.got) == 2


def test_a_row_tells_who_was_told(enter: Enter, alice: User, trouble: Target) -> None:
    page = enter(alice, PAGE)
    row = page.locator("#open-card .row")
    row.locator("summary").click()
    expect(row).to_contain_text("What to do: Look at the provider's status page")
    expect(row).to_contain_text("json://127.0.0.1")
    expect(row.get_by_text("Sent", exact=True)).to_be_visible()
    row.get_by_role("link", name="Go to what it is about").click()
    page.wait_for_url(re.compile("/admin/integrations/resend$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Resend Email")


def test_without_scripts_the_bell_is_a_link_and_the_test_asks_on_a_page(
    without_scripts: Callable[[User, str], Page], alice: User, trouble: Target
) -> None:
    page = without_scripts(alice, OVERVIEW)
    page.locator("#bell").get_by_role("link", name="Alerts").click()
    expect(page.locator("#open-card")).to_contain_text("Resend Email is down")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("heading", name="Send a test alert?")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Sent by 1 of 1 route")).to_be_visible()
