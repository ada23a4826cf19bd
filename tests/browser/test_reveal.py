"""Personal fields of an event in a real browser: asked for by one button, and gone with the page."""

import json
from collections.abc import Callable
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from integrations.accounts.models import User
from integrations.models import Activity
from tests.browser.test_pages import RULES, TOO_WIDE
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook, WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

FEED = "/admin/integrations/webhooks"
CANARY = "canary@example.com"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def log(registry) -> WebhookLog:
    hook = Webhook.objects.get(integration__slug="resend")
    said = {"type": "email.sent", "data": {"to": [CANARY], "email_id": "e1", "subject": "Hello " * 40}}
    return WebhookLogFactory(webhook=hook, event_type="email.sent", payload=said, body=json.dumps(said).encode())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_button_shows_them_in_place_and_the_way_back_does_not(
    enter: Enter, quiet_page: Page, alice: User, log: WebhookLog, width: int, scheme: Literal["light", "dark"]
) -> None:
    quiet_page.set_viewport_size({"width": width, "height": 900})
    quiet_page.emulate_media(color_scheme=scheme)
    page = enter(alice, f"{FEED}/{log.pk}/body")
    assert CANARY not in page.content()
    page.get_by_role("button", name="Show personal fields").click()
    expect(page.get_by_text("Personal fields are shown.")).to_be_visible()
    expect(page.locator(f"#event-{log.pk}")).to_contain_text(CANARY)
    assert page.url.endswith(f"{log.pk}/body")
    assert page.evaluate(TOO_WIDE) == []
    assert Axe().run(page, options=RULES).response["violations"] == []
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download").click()
    assert CANARY in taken.value.path().read_text()
    page.get_by_role("link", name="/api/webhooks/resend").click()
    expect(page.get_by_role("link", name="Registration")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Show personal fields")).to_be_visible()
    assert CANARY not in page.content()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])")
    assert CANARY not in kept
    told = Activity.objects.filter(action="webhook_personal_shown").order_by("seq")
    assert [row.details["how"] for row in told] == ["page", "download"]


def test_in_the_feed_a_poll_leaves_them_and_a_row_closed_and_opened_is_masked(
    enter: Enter, quiet_page: Page, alice: User, log: WebhookLog
) -> None:
    page = enter(alice, FEED)
    row = page.locator(f"#log-{log.pk}")
    row.locator("summary").first.click()
    row.get_by_role("button", name="Show personal fields").click()
    expect(row).to_contain_text(CANARY)
    row.locator("summary").first.click()
    row.locator("summary").first.click()
    expect(row.get_by_role("button", name="Show personal fields")).to_be_visible()
    assert CANARY not in page.content()
