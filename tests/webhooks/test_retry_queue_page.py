"""Zoho's retry queue in the pages: who sees it, what it says, and trying now what waits."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.models import Activity
from tests.api.test_webhooks_retry_queue import LATER, answers, failed_forward, log, nobody_is_woken
from webhooks import queue
from webhooks.models import Webhook, WebhookLog
from webhooks.services import retry

__all__ = ["answers", "nobody_is_woken"]  # fixtures

pytestmark = pytest.mark.django_db

PAGE, JOBS = "/admin/integrations/webhooks/retry-queue", "/admin/integrations/cron"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def web(client: Client, alice, registry) -> Client:
    client.force_login(alice)
    return client


def receiver(slug: str) -> Webhook:
    return Webhook.objects.get(integration__slug=slug)


def test_each_integration_tells_what_waits_when_it_is_tried_and_what_gave_up(alice, registry):
    crm, sign = receiver("zoho-crm"), receiver("zoho-sign")
    log(crm)
    soonest = log(crm, due_at=LATER - timedelta(hours=1))
    failed_forward(crm)
    log(crm, due_at=None)
    failed_forward(sign, due_at=None)
    log(receiver("resend"))
    found = queue.read(alice)
    assert found is not None
    told = [(line.integration.slug, line.waiting.events, line.waiting.forwards, line.waiting.exhausted)
            for line in found.lines]  # fmt: skip
    assert told == [("zoho-crm", 2, 1, 1), ("zoho-sign", 0, 0, 1)]
    assert (found.due, found.exhausted, found.failed, found.next_at) == (3, 2, 5, soonest.due_at)


def test_it_stands_on_the_page_of_jobs_as_a_card(web):
    assert f'hx-get="{PAGE}"' in web.get(JOBS).content.decode()
    log(receiver("zoho-crm"))
    card = web.get(PAGE, headers=HTMX).content.decode()
    assert "<html" not in card
    assert "Zoho CRM" in card
    assert "1 is due for another try, 0 gave up: 1 failed in all." in card
    assert "Try them now" in card


def test_it_tells_when_it_was_last_updated_on_its_own_page_alone(web):
    page = web.get(PAGE).content.decode()
    assert 'data-action="live"' in page
    at = {"HX-Current-URL": f"http://testserver{PAGE}?x=1"}
    assert 'hx-target="#updated"' in web.get(PAGE, headers=HTMX | at).content.decode()
    at = {"HX-Current-URL": f"http://testserver{JOBS}"}
    assert 'hx-target="#updated"' not in web.get(PAGE, headers=HTMX | at).content.decode()


def test_on_a_phone_the_next_try_stands_under_the_name(web):
    log(receiver("zoho-crm"))
    name = web.get(PAGE).content.decode().split('<th scope="row"')[1].split("</th>")[0]
    assert re.search(r'sm:hidden">next try <time [^>]+>in ', name)


def test_what_gave_up_leads_to_the_failed_events_or_where_forwards_alone_did_to_these(web):
    crm, sign, desk = receiver("zoho-crm"), receiver("zoho-sign"), receiver("zoho-desk")
    log(crm, due_at=None)
    failed_forward(crm, due_at=None)
    failed_forward(sign, due_at=None)
    log(desk)
    page = web.get(PAGE).content.decode()
    feed = "/admin/integrations/webhooks"
    links = re.findall(r'href="([^"]+)">([^<]+)<span class="sr-only"> gave up at ([^<]+)</span>', page)
    assert sorted((name, html.unescape(href), number) for href, number, name in links) == [
        ("Zoho CRM", f"{feed}?integration=zoho-crm&status=failed", "2"),
        ("Zoho Sign", f"{feed}/{sign.pk}?tab=forwards", "1"),
    ]
    assert all(web.get(html.unescape(href)).status_code == 200 for href, _, _ in links)


def test_where_nothing_waits_there_is_nothing_to_press(web):
    page = web.get(PAGE).content.decode()
    assert "Nothing waits for another try" in page
    assert "Try them now" not in page


def test_what_waits_is_tried_now_and_recorded(web, answers):
    row = log(receiver("zoho-crm"))
    failed_forward(receiver("zoho-crm"))
    told = web.post(PAGE, headers=HTMX)
    assert "2 were tried once more" in told.content.decode()
    assert told.headers["HX-Trigger"] == "refresh"
    assert WebhookLog.objects.get(pk=row.pk).status == "processed"
    assert Activity.objects.get(action="retry_queue_run").username == "alice"


def test_what_is_switched_off_is_not_tried_and_that_is_said(web):
    row = log(receiver("zoho-crm"))
    Webhook.objects.filter(pk=row.webhook_id).update(is_active=False)
    assert "Nothing was tried" in web.post(PAGE, headers=HTMX).content.decode()


def test_without_scripts_it_asks_first_and_leads_back(web, answers):
    row = log(receiver("zoho-crm"))
    assert "Try now what waits?" in web.post(PAGE).content.decode()
    assert WebhookLog.objects.get(pk=row.pk).status == "failed"
    assert web.post(PAGE, {"sure": "yes"}).headers["Location"] == PAGE
    assert WebhookLog.objects.get(pk=row.pk).status == "processed"


def test_who_reads_no_zoho_integration_learns_of_no_queue(client, charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert client.get(PAGE).status_code == 404
    assert PAGE not in client.get(JOBS).content.decode()


def test_a_grant_on_one_sees_and_drives_that_one(client, charlie, registry, answers):
    mine, others = log(receiver("zoho-crm")), log(receiver("zoho-sign"))
    assign_perm("integrations.read", charlie, registry["zoho-crm"])
    client.force_login(charlie)
    page = client.get(PAGE).content.decode()
    assert "Zoho CRM" in page
    assert "Zoho Sign" not in page
    assert "Try them now" not in page
    assert client.post(PAGE, headers=HTMX).status_code == 403
    assign_perm("integrations.cron:trigger", charlie, registry["zoho-crm"])
    assert client.post(PAGE, headers=HTMX).status_code == 200
    statuses = dict(WebhookLog.objects.values_list("pk", "status"))
    assert (statuses[mine.pk], statuses[others.pk]) == ("processed", "failed")


def test_what_waits_of_others_is_not_offered_not_counted_and_named_when_it_is_asked_for(
    client, charlie, registry, answers
):
    for slug in ("zoho-crm", "zoho-sign"):
        assign_perm("integrations.read", charlie, registry[slug])
    assign_perm("integrations.cron:trigger", charlie, registry["zoho-crm"])
    log(receiver("zoho-sign"))
    log(receiver("zoho-sign"))
    client.force_login(charlie)
    page = client.get(PAGE).content.decode()
    assert "2 are due for another try" in page
    assert "Try them now" not in page
    said = client.post(PAGE, headers=HTMX).content.decode()
    assert "You may not try now what waits of Zoho Sign." in said
    assert "Nothing waits" not in said
    mine = log(receiver("zoho-crm"))
    page = client.get(PAGE).content.decode()
    assert "3 are due for another try" in page
    assert "You may try 1 of them now, none of Zoho Sign." in page
    assert "Try them now" in page
    Webhook.objects.filter(pk=mine.webhook_id).update(is_active=False)
    said = client.post(PAGE, headers=HTMX).content.decode()
    assert "Nothing waits that could be tried" in said
    assert "You may not try now what waits of Zoho Sign." in said


def test_what_succeeded_and_what_failed_again_is_told_each_in_a_sentence(web, answers, monkeypatch):
    log(receiver("zoho-crm"))
    said = web.post(PAGE, headers=HTMX).content.decode()
    assert "1 succeeded." in said
    assert "failed again" not in said
    monkeypatch.setattr(retry, "run", lambda *_, **__: retry.Done(processed=3, succeeded=2, failed=1))
    assert "2 succeeded. 1 failed again." in web.post(PAGE, headers=HTMX).content.decode()


def test_its_queries_stay_few(web, django_assert_max_num_queries):
    now = timezone.now()
    for slug in ("zoho-crm", "zoho-sign", "zoho-desk", "zoho-billing"):
        for n in range(3):
            log(receiver(slug), due_at=now + timedelta(minutes=n))
            failed_forward(receiver(slug), due_at=None)
    web.get(PAGE)
    with django_assert_max_num_queries(11):
        web.get(PAGE)
