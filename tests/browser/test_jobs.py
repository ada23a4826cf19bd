"""Scheduled jobs in a real browser: asked for a reason, switched by the keyboard, a schedule judged while it is typed,
and from the bell to why a job was missed in three clicks."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from config import wakeup
from healthchecks.alerts import alarms
from integrations.accounts.models import User
from integrations.cron.models import CronJob, CronRun
from webhooks.models import Webhook, WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

PAGE = "/admin/integrations/cron"
Enter = Callable[[User | None, str], Page]


@pytest.fixture
def job(db: None, monkeypatch: pytest.MonkeyPatch) -> CronJob:
    """No worker takes up what is started."""
    monkeypatch.setattr(wakeup, "_send", lambda *args: None)
    CronJob.objects.update(ledger_until=timezone.now())
    return CronJob.objects.get(job_name="integrations-health-check")


def missed(job: CronJob) -> CronRun:
    now = timezone.now()
    return CronRun.objects.create(
        job=job, status="missed", scheduled_for=now - timedelta(minutes=40), started_at=now - timedelta(minutes=20),
        error_message="Nobody started it: beat was off, or its message was lost.",
    )  # fmt: skip


def test_starting_cancelling_and_switching_off_ask_first(enter: Enter, alice: User, job: CronJob) -> None:
    page = enter(alice, PAGE)
    row, dialog = page.locator(f"#job-{job.pk}"), page.locator("#confirm")
    row.get_by_role("button", name="Run integrations-health-check now").click()
    dialog.get_by_role("button", name="Cancel").click()
    assert not CronRun.objects.exists()
    row.get_by_role("button", name="Run integrations-health-check now").click()
    dialog.get_by_label("Reason").fill("after the outage")
    page.keyboard.press("Enter")
    expect(page.locator("#toaster")).to_contain_text("integrations-health-check starts")
    expect(row).to_contain_text("no worker has begun")  # without a reload
    assert CronRun.objects.get().reason == "after the outage"
    row.get_by_role("button", name="Cancel the run").click()
    expect(dialog.get_by_label("Reason")).to_be_hidden()
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(row).to_contain_text("Cancelled by alice")
    switch = page.get_by_role("switch", name=job.job_name)
    switch.focus()
    page.keyboard.press("Space")
    dialog.get_by_role("button", name="Cancel").click()
    expect(switch).to_be_checked()  # as it is
    switch.focus()
    page.keyboard.press("Space")
    dialog.get_by_role("button", name="Switch off").click()
    expect(row).to_contain_text("Switched off")
    expect(switch).not_to_be_checked()


def test_a_schedule_is_judged_while_it_is_typed(enter: Enter, alice: User, job: CronJob) -> None:
    page = enter(alice, f"{PAGE}/{job.pk}/edit")
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Every 15 minutes")
    page.get_by_label("Schedule", exact=True).fill("0 25 * * *")
    expect(answer).to_contain_text("Field 2, hour: 25 is out of range 0-23.")
    page.get_by_label("Schedule", exact=True).fill("30 2 * * *")
    expect(answer).to_contain_text("At 02:30")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(answer).to_contain_text("Next runs, Europe/Berlin")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toaster")).to_contain_text("Saved.")
    expect(page.locator("#facts")).to_contain_text("30 2 * * *")


def test_from_the_bell_to_why_a_job_was_missed_in_three_clicks(enter: Enter, alice: User, job: CronJob) -> None:
    missed(job)
    alarms.watch(now=timezone.now())
    page = enter(alice, "/admin/integrations")
    page.locator("#bell summary").click()
    page.locator(".bell-list").get_by_role("link", name="1 slot of 1 job missed").click()
    page.get_by_role("link", name="Go to what it is about").click()
    expect(page.locator("#gap-missed")).to_contain_text("beat was off, or messages were lost")
    page.locator("#gap-missed").get_by_role("link", name=job.job_name).click()
    row = page.locator("#live .row").first
    row.locator("summary").click()
    expect(row).to_contain_text("Nobody")
    expect(row).to_contain_text("Noticed")


def test_a_run_that_is_read_stays_open_while_the_list_grows(enter: Enter, alice: User, job: CronJob) -> None:
    first = missed(job)
    page = enter(alice, f"{PAGE}/{job.pk}")
    page.clock.install()
    page.reload(wait_until="networkidle")
    page.locator(f"#run-{first.pk} summary").click()
    expect(page.locator(f"#body-{first.pk}")).to_contain_text("Slot")
    later = CronRun.objects.create(job=job, status="failed", error_message="It broke.", picked_up_at=timezone.now())
    page.clock.fast_forward(30_500)
    expect(page.locator(f"#run-{later.pk}")).to_contain_text("It broke.")
    expect(page.locator("#head")).to_contain_text("It broke.")
    expect(page.locator(f"#body-{first.pk}")).to_contain_text("Slot")
    expect(page.locator(f"#run-{first.pk}")).to_have_attribute("open", "")
    page.get_by_label("Show runs that ended so").select_option("missed")
    expect(page.locator(f"#run-{later.pk}")).to_have_count(0)
    assert page.url.endswith("?status=missed")


def test_without_scripts_a_job_is_started_and_changed(
    without_scripts: Callable[..., Page], alice: User, job: CronJob
) -> None:
    page: Any = without_scripts(alice, PAGE)
    page.locator(f"#job-{job.pk}").get_by_role("button", name="Run integrations-health-check now").click()
    page.locator("#reason").fill("by hand")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#toaster")).to_contain_text("starts")
    assert CronRun.objects.get().reason == "by hand"
    page.goto(page.url + "/edit")
    page.get_by_label("Schedule", exact=True).fill("61 * * * *")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    expect(page.get_by_label("Schedule", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Schedule", exact=True).fill("@hourly")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#facts")).to_contain_text("0 * * * *")


def test_what_waits_of_zoho_stands_below_the_jobs_and_is_tried_after_a_question(
    enter: Enter, alice: User, job: CronJob
) -> None:
    crm = Webhook.objects.get(integration__slug="zoho-crm")
    due_at = timezone.now() + timedelta(hours=2)
    row = WebhookLog.objects.create(webhook=crm, status="failed", payload={}, body=b"{}", due_at=due_at, attempts=2)
    page = enter(alice, PAGE)
    card, dialog = page.locator("#queue-card"), page.locator("#confirm")
    expect(card).to_contain_text("Zoho CRM")
    expect(card).to_contain_text("1 is due for another try")
    card.get_by_role("button", name="Try them now").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(card).to_contain_text("1 is due for another try")
    card.get_by_role("button", name="Try them now").click()
    dialog.get_by_role("button", name="Try them now").click()
    expect(page.locator("#toaster")).to_contain_text("1 was tried once more")
    expect(card).to_contain_text("Nothing waits for another try")  # without a reload
    assert WebhookLog.objects.get(pk=row.pk).status == "processed"
