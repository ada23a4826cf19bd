"""Replaying in a real browser: it asks first, says what happened, and the new event comes on top."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from config import wakeup
from integrations.accounts.models import User
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook, WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

FEED = "/admin/integrations/webhooks"


@pytest.fixture
def log(registry, monkeypatch) -> WebhookLog:
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)
    return WebhookLogFactory(webhook=Webhook.objects.get(integration__slug="resend"), event_type="email.sent")


def test_a_replay_asks_first_and_then_comes_on_top(
    enter: Callable[[User | None, str], Page], alice: User, log: WebhookLog
) -> None:
    page = enter(alice, FEED)
    row = page.locator(f"#log-{log.pk}")
    row.locator("> summary").click()
    button = row.get_by_role("button", name="Replay")
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Replay this event?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog.get_by_role("heading")).to_be_hidden()
    assert WebhookLog.objects.count() == 1
    button.click()
    dialog.get_by_role("button", name="Replay").click()
    expect(page.locator(".toast")).to_contain_text("Replayed email.sent")
    expect(page.locator(".toast")).to_contain_text("The event was processed.")
    expect(page.locator("#feed .row")).to_have_count(2)
    expect(page.locator("#feed .row").first).to_contain_text("replay")
    expect(row).to_have_attribute("open", "")
    made = WebhookLog.objects.get(replay_of=log.pk)
    expect(page.locator("#feed .row").first).to_have_id(f"log-{made.pk}")


def test_who_may_only_look_is_not_offered_it(
    enter: Callable[[User | None, str], Page], bob: User, log: WebhookLog
) -> None:
    page = enter(bob, f"{FEED}/{log.pk}/body")
    expect(page.get_by_text("Idempotency key")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)


def test_without_scripts_a_page_asks(
    without_scripts: Callable[[User, str], Page], alice: User, log: WebhookLog
) -> None:
    page = without_scripts(alice, f"{FEED}/{log.pk}/body")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", name="Replay this event?")).to_be_visible()
    assert WebhookLog.objects.count() == 1
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("Replayed email.sent. The event was processed.")).to_be_visible()
    assert WebhookLog.objects.filter(replay_of=log.pk).count() == 1
