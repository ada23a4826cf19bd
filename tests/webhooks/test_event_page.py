"""One delivery: what it says, as what it can be taken away, and what differs from the one before."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from tests.factories import AttemptFactory, WebhookLogFactory
from webhooks.models import Forward, Webhook, WebhookLog

pytestmark = pytest.mark.django_db

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def resend(registry) -> Webhook:
    return Webhook.objects.select_related("integration").get(integration__slug="resend")


def body(client, log: WebhookLog) -> str:
    return client.get(f"{FEED}/{log.pk}/body", headers=HTMX).content.decode()


def said(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_it_is_compared_with_the_one_of_its_kind_before_it(client, alice, resend):
    now = timezone.now()
    kind = {"webhook": resend, "event_type": "email.sent"}
    WebhookLogFactory(**kind, payload={"id": 0}, created_at=now - timedelta(minutes=9))
    before = WebhookLogFactory(**kind, payload={"id": 1, "gone": "x"}, created_at=now - timedelta(minutes=5))
    WebhookLogFactory(**kind, payload={"id": 7}, created_at=now - timedelta(minutes=4), replay_of=before.pk)
    WebhookLogFactory(webhook=resend, event_type="email.opened", payload={"id": 8}, created_at=now)
    log = WebhookLogFactory(**kind, payload={"id": 2, "new": True}, created_at=now)
    client.force_login(alice)
    page = body(client, log)
    assert f"{FEED}/{before.pk}/body" in page
    assert re.findall(r'<li data-kind="(\w+)"><code[^>]*>([^<]+)', page) == [
        ("changed", "id"), ("added", "new"), ("removed", "gone")
    ]  # fmt: skip


def test_what_is_personal_is_masked_in_every_view_of_it(client, alice, resend):
    now = timezone.now()
    for minutes, address in ((5, "old-secret@example.com"), (0, "new-secret@example.com")):
        payload = {"type": "email.sent", "data": {"to": [address], "email_id": address[:3]}}
        log = WebhookLogFactory(
            webhook=resend, event_type="email.sent", payload=payload, created_at=now - timedelta(minutes=minutes)
        )
    client.force_login(alice)
    page = body(client, log)
    assert "data.email_id" in page
    assert "secret@example.com" not in page
    answer = client.get(f"{FEED}/{log.pk}/raw")
    assert b"secret@example.com" not in answer.content
    assert "•••" in answer.content.decode()
    assert answer.headers["Content-Disposition"] == f'attachment; filename="email.sent-{log.pk}.json"'


def test_a_receivers_secret_is_shown_nowhere(client, alice, resend, monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_c2VjcmV0LXNlY3JldA==")
    log = WebhookLogFactory(webhook=resend, payload={"leak": "it is whsec_c2VjcmV0LXNlY3JldA== here"})
    client.force_login(alice)
    assert "c2VjcmV0" not in body(client, log)
    assert b"c2VjcmV0" not in client.get(f"{FEED}/{log.pk}/raw").content


def test_its_way_is_told_with_what_the_target_answered(client, alice, resend):
    log = WebhookLogFactory(webhook=resend, event_type="email.sent")
    AttemptFactory(log=log)
    AttemptFactory(
        log=log,
        target="https://x.example.com",
        status_code=503,
        duration_ms=212,
        error="HTTP 503",
        answer="<b>away</b>",
    )
    forward = Forward.objects.create(log=log, webhook=resend, url="https://x.example.com?key=1", status="failed")
    client.force_login(alice)
    page = body(client, log)
    told = said(page)
    assert "Handled: done" in told
    assert "Forwarded to https://x.example.com: HTTP 503 HTTP 503 · 212 ms" in told
    assert "&lt;b&gt;away&lt;/b&gt;" in page
    assert f'hx-post="{FEED}/{resend.pk}/forwards/{forward.pk}/retry"' in page


def test_what_may_not_be_seen_can_not_be_taken_away(client, charlie, registry, resend):
    assign_perm("integrations.read", charlie, registry["netcash"])
    log = WebhookLogFactory(webhook=resend)
    client.force_login(charlie)
    assert client.get(f"{FEED}/{log.pk}/raw").status_code == 404


def test_names_of_files_hold_nothing_that_a_header_could_be_broken_with(client, alice, resend):
    log = WebhookLogFactory(webhook=resend, event_type='a"\r\nb/../é')
    client.force_login(alice)
    name = client.get(f"{FEED}/{log.pk}/raw").headers["Content-Disposition"]
    assert '"a---b-..-' in name
    assert name.isascii()


def test_an_event_is_read_with_a_handful_of_queries(client, alice, resend, django_assert_max_num_queries):
    log = WebhookLogFactory(webhook=resend, event_type="email.sent")
    WebhookLogFactory(webhook=resend, event_type="email.sent", created_at=timezone.now() - timedelta(hours=1))
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        body(client, log)
