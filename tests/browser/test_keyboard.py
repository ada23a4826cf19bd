"""The main tasks with nothing but a keyboard; wherever the focus stops, it is seen."""

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations.accounts.models import User
from integrations.cron.models import CronRun
from integrations.models import Integration
from integrations.sandbox.server import Sandbox
from oauth import services
from tests.browser import test_pages
from tests.browser.test_pages import APIS, FEED, JOBS, LOGIN, OVERVIEW, TOKENS, Enter
from tests.conftest import PASSWORD
from webhooks.models import WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

life = test_pages.life
# Whether the focus can be seen: it, or what stands for it, looks another way without; and it lies within the window.
SEEN = """(one) => {
  if (one === document.body) return ""  // the browser's own bars come next
  const parts = [one, one.parentElement, one.closest(".field, .row, label, tr")].filter(Boolean)
  const look = () => parts.map((part) => {
    part.getAnimations().forEach((change) => change.finish())
    const style = getComputedStyle(part)
    return [style.outline, style.boxShadow, style.borderColor, style.backgroundColor, style.width].join()
  }).join()
  const focused = look(), box = one.getBoundingClientRect()
  one.blur()
  const without = look()
  one.focus({ preventScroll: true })
  const shown = box.width > 0 && box.bottom > 0 && box.top < innerHeight
  return shown && focused !== without ? "" : one.outerHTML.slice(0, 200)
}"""


def tab_to(page: Page, target: Locator, *, key: str = "Tab", most: int = 150) -> None:
    """Press `key` until `target` has the focus, which is to be seen at each stop on the way."""
    for _ in range(most):
        page.keyboard.press(key)
        assert page.evaluate(f"({SEEN})(document.activeElement)") == ""
        if target.evaluate("(one) => one === document.activeElement"):
            return
    pytest.fail(f"{target} was not reached in {most} presses of {key}")


def test_signing_in_and_to_why_something_is_down(
    quiet_page: Page, live_server: LiveServer, alice: User, life: list[WebhookLog]
) -> None:
    page = quiet_page
    page.goto(live_server.url + LOGIN)
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(live_server.url + OVERVIEW)
    tab_to(page, page.get_by_role("link", name="Skip to content"))
    page.keyboard.press("Enter")
    row = page.locator("summary").filter(has_text="NetCash Pay Now").first
    tab_to(page, row)
    page.keyboard.press("Enter")
    details = page.locator(".row").filter(has=row).get_by_role("link", name="Details")
    tab_to(page, details)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("NetCash Pay Now")


def test_a_failed_event_is_found_read_and_replayed(enter: Enter, alice: User, life: list[WebhookLog]) -> None:
    page = enter(alice, FEED)
    tab_to(page, page.get_by_role("link", name="Skip to content"))
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row > summary").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".row[open]")).to_contain_text("503 from the CRM")
    page.keyboard.press("r")
    confirm = page.locator("#confirm")
    expect(confirm.get_by_role("heading", name="Replay this event?")).to_be_visible()
    expect(confirm.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(confirm.get_by_role("heading")).to_be_hidden()
    expect(page.locator(".row[open] > summary")).to_be_focused()
    page.keyboard.press("r")
    tab_to(page, confirm.get_by_role("button", name="Replay"), most=3)
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_be_visible()
    assert WebhookLog.objects.filter(replay_of=life[1].pk).exists()


def test_a_token_is_refreshed(enter: Enter, alice: User, sandbox: Sandbox, registry: dict[str, Integration]) -> None:
    services.connect_sandbox(registry["zoho-crm"])
    page = enter(alice, TOKENS)
    tab_to(page, page.get_by_role("link", name="Skip to content"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Refresh the token of Zoho CRM"))
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Zoho CRM")
    expect(page.get_by_role("button", name="Refresh the token of Zoho CRM")).to_be_focused()


def test_an_integration_is_checked_from_the_palette(enter: Enter, alice: User, sandbox: Sandbox) -> None:
    page = enter(alice, APIS)
    page.keyboard.press("Control+k")
    page.keyboard.type("check google")
    expect(page.locator("#palette-list [aria-selected=true]")).to_contain_text("Check Google Maps now")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Google Maps is healthy")


def test_a_job_is_started_with_a_reason(enter: Enter, alice: User, registry: dict[str, Integration]) -> None:
    page = enter(alice, JOBS)
    tab_to(page, page.get_by_role("link", name="Skip to content"))
    page.keyboard.press("Enter")
    jobs = page.get_by_role("region", name="Scheduled jobs")  # it may stand under "Needs attention" too
    tab_to(page, jobs.get_by_role("button", name="Run metrics-rollup now"))
    page.keyboard.press("Enter")
    confirm = page.locator("#confirm")
    expect(confirm.get_by_role("heading", name="Run metrics-rollup now?")).to_be_visible()
    tab_to(page, confirm.get_by_label("Reason"), most=5)
    page.keyboard.type("After the restore")
    tab_to(page, confirm.get_by_role("button", name="Run now"), most=3)
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_be_visible()
    assert CronRun.objects.filter(job__job_name="metrics-rollup", triggered_by__contains="alice").exists()
