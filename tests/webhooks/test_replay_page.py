"""Replaying from the pages: who is offered it, what it answers, with scripts and without."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.models import Activity
from tests.factories import WebhookLogFactory
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch):
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown: None)


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def event(webhook: Webhook, **fields: Any) -> WebhookLog:
    return WebhookLogFactory(webhook=webhook, event_type="email.sent", **fields)


def offered(client: Client, log: WebhookLog) -> bool:
    page = client.get(f"{FEED}/{log.pk}/body", headers=HTMX).content.decode()
    return f'hx-post="{FEED}/{log.pk}/replay"' in page


@pytest.mark.parametrize(
    ("role", "may"),
    [("Super Admin", True), ("System Admin", True), ("IT Manager", True), ("Operations Manager", False)],
)
def test_it_is_offered_to_who_may_and_refused_to_others(client, person, webhook, role, may):
    log = event(webhook)
    client.force_login(person("dana", role=role))
    assert offered(client, log) is may
    answer = client.post(f"{FEED}/{log.pk}/replay", headers=HTMX)
    assert answer.status_code == (200 if may else 403)
    assert WebhookLog.objects.filter(replay_of=log.pk).exists() is may
    assert Activity.objects.filter(action="permission_denied").exists() is not may


def test_a_grant_on_one_integration_offers_it_there_alone(client, charlie, webhook, registry):
    other = Webhook.objects.get(integration__slug="netcash")
    mine, theirs = event(webhook), event(other)
    assign_perm("integrations.webhooks:replay", charlie, registry["resend"])
    for slug in ("resend", "netcash"):
        assign_perm("integrations.read", charlie, registry[slug])
    client.force_login(charlie)
    assert (offered(client, mine), offered(client, theirs)) == (True, False)
    assert client.post(f"{FEED}/{mine.pk}/replay", headers=HTMX).status_code == 200
    assert client.post(f"{FEED}/{theirs.pk}/replay", headers=HTMX).status_code == 403


def test_what_may_not_be_seen_is_not_found(client, charlie, webhook, registry):
    theirs = event(Webhook.objects.get(integration__slug="netcash"))
    for perm in ("read", "webhooks:replay"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    client.force_login(charlie)
    for pk in (theirs.pk, uuid4()):
        assert client.post(f"{FEED}/{pk}/replay", headers=HTMX).status_code == 404
    client.logout()
    assert client.post(f"{FEED}/{theirs.pk}/replay").headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("fields", [{"status": "pending"}, {"verified": False}, {"payload": None, "status": "failed"}])
def test_what_can_not_be_replayed_is_not_offered_and_says_why(client, alice, webhook, fields):
    log = event(webhook, **fields)
    client.force_login(alice)
    assert not offered(client, log)
    answer = client.post(f"{FEED}/{log.pk}/replay", headers=HTMX).content.decode()
    assert "Not replayed" in answer
    assert 'data-category="warning"' in answer
    assert WebhookLog.objects.count() == 1


def test_it_runs_and_is_told_by_a_toast_after_which_the_feed_refreshes(client, alice, webhook):
    log = event(webhook, error_message="", status="failed")
    client.force_login(alice)
    answer = client.post(f"{FEED}/{log.pk}/replay", headers=HTMX)
    page = answer.content.decode()
    assert "Replayed email.sent" in page
    assert "The event was processed." in page
    assert 'data-category="success"' in page
    assert answer.headers["HX-Trigger"] == "refresh"
    made = WebhookLog.objects.get(replay_of=log.pk)
    assert made.status == "processed"
    assert f'id="log-{made.pk}"' in client.get(FEED, headers=HTMX).content.decode()
    entry = Activity.objects.get(action="webhook_replayed")
    assert (entry.username, entry.integration_slug) == ("alice", "resend")


def test_one_that_is_held_says_so(client, alice, webhook):
    log = event(webhook)
    Webhook.objects.update(is_active=False)
    client.force_login(alice)
    page = client.post(f"{FEED}/{log.pk}/replay", headers=HTMX).content.decode()
    assert "It is held" in page
    assert 'data-category="info"' in page


def test_without_scripts_a_page_asks_first(client, alice, webhook):
    log = event(webhook)
    client.force_login(alice)
    asked = client.post(f"{FEED}/{log.pk}/replay")
    assert "Replay this event?" in asked.content.decode()
    assert WebhookLog.objects.count() == 1
    answer = client.post(f"{FEED}/{log.pk}/replay", {"sure": "yes"}, follow=True)
    assert answer.redirect_chain == [(FEED, 302)]
    assert "Replayed email.sent. The event was processed." in answer.content.decode()
    assert WebhookLog.objects.filter(replay_of=log.pk).count() == 1


def test_another_site_can_not_ask_for_it(alice, webhook):
    log = event(webhook)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(f"{FEED}/{log.pk}/replay", {"sure": "yes"}).status_code == 403
    assert strict.get(f"{FEED}/{log.pk}/replay").status_code in {403, 405}
    assert WebhookLog.objects.count() == 1
