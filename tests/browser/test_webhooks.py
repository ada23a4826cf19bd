"""The feed in a real browser: what came meanwhile is told and moves nothing, keys, choosing several, a test."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from config import handlers, wakeup
from integrations.accounts.models import User
from tests.browser.test_pages import RULES, TOO_WIDE
from tests.factories import WebhookLogFactory
from webhooks.models import Forward, Refusal, ReplayBatch, Webhook, WebhookLog
from webhooks.services import process, replay

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

FEED = "/admin/integrations/webhooks"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def logs(registry, monkeypatch) -> list[WebhookLog]:
    """Thirty, the newest first."""
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5")
    hook, now = Webhook.objects.get(integration__slug="resend"), timezone.now()
    return [
        WebhookLogFactory(webhook=hook, event_type="email.sent", created_at=now - timedelta(minutes=n + 1))
        for n in range(30)
    ]


def arrive(number: int) -> None:
    for _ in range(number):
        WebhookLogFactory(webhook=Webhook.objects.get(integration__slug="resend"), event_type="email.opened")


def timed(log: WebhookLog) -> None:
    """Three seconds at its provider, one here."""
    log.sent_at, log.stored_at = log.created_at - timedelta(seconds=3), log.created_at + timedelta(milliseconds=40)
    log.started_at, log.processed_at = (
        log.created_at + timedelta(milliseconds=90),
        log.created_at + timedelta(seconds=1),
    )
    log.status, log.attempts = WebhookLog.Status.PROCESSED, 1
    log.save()


def poll(page: Page) -> None:
    page.clock.fast_forward(30_500)


def test_what_comes_while_one_reads_is_counted_and_moves_nothing(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    told = page.get_by_role("button", name="new event")
    arrive(1)
    poll(page)
    expect(page.locator("#feed .row")).to_have_count(31)
    expect(told).to_be_hidden()  # nobody was reading
    row = page.locator(f"#log-{logs[20].pk}")
    row.scroll_into_view_if_needed()
    place = row.evaluate("row => row.getBoundingClientRect().top")
    arrive(2)
    poll(page)
    expect(told).to_have_text("2 new events")
    assert abs(row.evaluate("row => row.getBoundingClientRect().top") - place) < 2
    told.click()
    expect(page.locator("#feed .row > summary").first).to_be_focused()
    expect(page.locator("#feed .row").first).to_be_in_viewport()
    expect(told).to_be_hidden()
    page.locator("#feed .row > summary").first.click()
    arrive(1)
    poll(page)
    expect(told).to_have_text("1 new event")  # an open row is being read too


def test_while_paused_only_the_number_is_asked_for(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    page.get_by_role("button", name="Live").click()
    arrive(3)
    poll(page)
    told = page.get_by_role("button", name="new event")
    expect(told).to_have_text("3 new events")
    expect(page.locator("#feed .row")).to_have_count(30)
    told.click()
    expect(page.locator("#feed .row")).to_have_count(33)
    expect(told).to_be_hidden()


def test_keys_move_open_replay_and_search_but_never_while_one_types(
    enter: Enter, alice: User, logs: list[WebhookLog]
) -> None:
    page = enter(alice, FEED)
    summaries = page.locator("#feed .row > summary")
    page.keyboard.press("j")
    expect(summaries.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(summaries.nth(1)).to_be_focused()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Replay this event?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(f"#log-{logs[1].pk}")).to_have_attribute("open", "")
    summaries.nth(1).focus()
    page.keyboard.press("x")
    expect(page.locator("[name=log]:checked")).to_have_value(str(logs[1].pk))
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("jkrx/")
    expect(page.locator("#q")).to_have_value("jkrx/")
    expect(dialog.get_by_role("heading")).to_be_hidden()
    assert WebhookLog.objects.count() == 30
    assert page.locator("#shortcuts").evaluate("template => template.content.querySelectorAll('dt').length") == 4


def test_keys_do_the_same_on_the_page_of_the_integration(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, "/admin/integrations/resend?tab=webhooks")
    page.keyboard.press("j")
    page.keyboard.press("j")
    summary = page.locator(f"#log-{logs[1].pk} > summary")
    expect(summary).to_be_focused()
    page.keyboard.press("x")
    bar = page.get_by_role("group", name="Chosen events")
    expect(bar).to_contain_text("1 chosen")
    arrive(1)
    poll(page)
    expect(page.locator("#tab .row")).to_have_count(31)
    expect(bar).to_contain_text("1 chosen")
    expect(page.locator("[name=log]:checked")).to_have_value(str(logs[1].pk))
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(f"#log-{logs[1].pk}")).to_have_attribute("open", "")
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Replay this event?")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.locator("#shortcuts").evaluate("template => template.content.querySelectorAll('dt').length") == 4
    bar.get_by_role("button", name="Replay these").click()
    expect(page.get_by_role("heading", name="Replay 1 event?")).to_be_visible()


def test_several_are_chosen_kept_through_a_poll_and_replayed_after_a_question(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    page.locator("[name=log]").nth(0).check()
    page.locator("[name=log]").nth(2).check()
    arrive(1)
    poll(page)
    expect(page.locator("#feed .row")).to_have_count(31)
    bar = page.get_by_role("group", name="Chosen events")
    expect(bar).to_contain_text("2 chosen")
    bar.get_by_role("button", name="Replay these").click()
    expect(page.get_by_role("heading", name="Replay 2 events?")).to_be_visible()
    assert not ReplayBatch.objects.exists()
    page.get_by_role("button", name="Replay 2").click()
    expect(page.get_by_role("heading", name="Replay of 2 events")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("Running")
    replay.run_due()
    process.drain(handlers.TABLE)
    page.clock.fast_forward(2_500)
    expect(page.locator("#live")).to_contain_text("Done")
    assert set(WebhookLog.objects.exclude(batch_id=None).values_list("replay_of", flat=True)) == {
        logs[0].pk,
        logs[2].pk,
    }


def test_without_scripts_all_that_match_are_replayed_and_a_test_is_sent(
    without_scripts: Callable[[User, str], Page], alice: User, logs: list[WebhookLog]
) -> None:
    page = without_scripts(alice, f"{FEED}?integration=resend&to=2099-01-01")
    page.get_by_role("link", name="Replay all that match").click()
    expect(page.get_by_role("heading", name="Replay 30 events?")).to_be_visible()
    page.get_by_role("button", name="Replay 30").click()
    expect(page.get_by_role("heading", name="Replay of 30 events")).to_be_visible()
    page.goto(page.url.partition("/webhooks")[0] + "/webhooks/test")
    page.get_by_label("Receiver and event").select_option(label="email.bounced · Resend Email")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Sent a test of email.bounced. The event was processed.")).to_be_visible()
    assert page.url.endswith(f"?integration=resend#log-{WebhookLog.objects.get(is_test=True).pk}")


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_no_page_of_a_receiver_stands_in_anybodys_way(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog], scheme: Any, width: int
) -> None:
    hook = logs[0].webhook
    why = "No configured secret fits. " * 9
    Refusal.objects.create(webhook=hook, reason="mismatch", detail=why, body=b"a=1", sealed="")
    Forward.objects.create(
        log=logs[0], webhook=hook, url=f"https://{'long' * 9}.example.com", status="failed", error_message=why
    )
    timed(logs[0])
    quiet_page.emulate_media(color_scheme=scheme)
    quiet_page.set_viewport_size({"width": width, "height": 900})
    here = f"/{hook.pk}"
    tabs = [f"{here}?tab={tab}" for tab in ("", "refused", "forwards", "latency", "registration")]
    for path in ("/receivers", *tabs, "/test", "/replays?integration=resend"):
        page = enter(alice, FEED + path)
        if path.endswith("refused"):
            page.locator(".row > summary").first.click()
            page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert page.evaluate(TOO_WIDE) == [], path
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, path + found.generate_report()


def test_from_the_receiver_to_whose_the_time_is_and_to_a_table(
    enter: Enter, alice: User, logs: list[WebhookLog]
) -> None:
    timed(logs[0])
    Forward.objects.create(log=logs[0], webhook=logs[0].webhook, url="https://shop.example.com/hook")
    page = enter(alice, f"{FEED}/{logs[0].webhook_id}")
    page.get_by_role("link", name="Latency").click()
    expect(page.get_by_role("heading", name="Where the time goes")).to_be_visible()
    expect(page.get_by_text("75 % of the time is Resend Email's")).to_be_visible()
    bar = page.get_by_role("img", name="Resend Email took 3,000")
    assert [part.bounding_box()["width"] > 1 for part in bar.locator("rect").all()] == [True] * 4
    page.get_by_role("link", name="Forwards", exact=True).click()
    with page.expect_download() as began:
        page.get_by_role("link", name="Export CSV").click()
    assert began.value.suggested_filename == "forwards-resend.csv"


def test_the_retry_queue_is_live_and_tells_on_a_phone_what_is_tried_next(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, f"{FEED}/retry-queue")
    live, updated = page.get_by_role("button", name="Live"), page.locator("#updated")
    expect(live).to_be_visible()
    expect(page.locator("#live")).to_contain_text("Nothing waits")
    hook = Webhook.objects.get(integration__slug="zoho-crm")
    WebhookLogFactory(webhook=hook, status="failed", due_at=timezone.now() + timedelta(minutes=90))
    updated.evaluate("(one) => (one.textContent = 'a while ago')")
    poll(page)
    expect(page.locator("#queue-zoho-crm")).to_be_visible()
    expect(updated).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    live.click()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#queue-zoho-crm").get_by_text("next try in")).to_be_visible()
    WebhookLog.objects.filter(webhook=hook).delete()
    poll(page)
    expect(page.locator("#queue-zoho-crm")).to_be_visible()


def test_without_scripts_a_receiver_is_paused_after_a_question(
    without_scripts: Callable[[User, str], Page], alice: User, logs: list[WebhookLog]
) -> None:
    hook = logs[0].webhook
    page = without_scripts(alice, f"{FEED}/{hook.pk}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="Pause Resend Email?")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Resend Email")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Resend Email is paused")).to_be_visible()
    assert page.url.endswith(str(hook.pk))
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Resend Email receives again")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 834)])
def test_neither_a_question_nor_the_events_of_one_stand_in_anybodys_way(
    enter: Enter, quiet_page: Page, alice: User, logs: list[WebhookLog], scheme: Any, width: int
) -> None:
    quiet_page.emulate_media(color_scheme=scheme)
    quiet_page.set_viewport_size({"width": width, "height": 900})

    def stands_in_nobodys_way() -> None:
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(TOO_WIDE) == []
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()

    page = enter(alice, "/admin/integrations/resend?tab=webhooks")
    page.locator("[name=log]").first.check()
    stands_in_nobodys_way()
    page = enter(None, f"{FEED}/{logs[0].webhook_id}")
    page.locator("[formaction$=switch]").evaluate("one => one.form.requestSubmit(one)")  # as without scripts
    expect(page.get_by_role("heading", name="Pause Resend Email?")).to_be_visible()
    stands_in_nobodys_way()
