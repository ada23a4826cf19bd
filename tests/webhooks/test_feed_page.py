"""The feed: days, what came meanwhile, spreadsheets, notices."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.seek import Place
from tests.factories import WebhookLogFactory
from webhooks.models import RefusalTally, Silence, Webhook, WebhookLog

pytestmark = pytest.mark.django_db

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def hooks(registry) -> dict[str, Webhook]:
    return {hook.integration.slug: hook for hook in Webhook.objects.select_related("integration")}


def shown(client, **query: str) -> list[str]:
    page = client.get(f"{FEED}?{urlencode(query)}", headers=HTMX).content.decode()
    return [
        str(pk)
        for pk in WebhookLog.objects.order_by("-created_at").values_list("pk", flat=True)
        if f'"log-{pk}"' in page
    ]


def test_days_are_whole_and_the_installations_own(client, alice, hooks):
    """Johannesburg is two hours ahead: the 20th there goes from 22:00 to 22:00 UTC."""
    at = [datetime(2026, 11, 19, 21, 59, 59, tzinfo=UTC), datetime(2026, 11, 19, 22, tzinfo=UTC),
          datetime(2026, 11, 20, 21, 59, 59, tzinfo=UTC), datetime(2026, 11, 20, 22, tzinfo=UTC)]  # fmt: skip
    before, first, last, after = (str(WebhookLogFactory(webhook=hooks["resend"], created_at=one).pk) for one in at)
    client.force_login(alice)
    assert shown(client, **{"from": "2026-11-20", "to": "2026-11-20"}) == [last, first]
    assert shown(client, **{"from": "2026-11-20"}) == [after, last, first]
    assert shown(client, to="2026-11-20") == [last, first, before]


def test_days_stand_in_every_address_that_goes_on_from_here(client, alice, hooks):
    WebhookLogFactory(webhook=hooks["resend"])
    client.force_login(alice)
    page = client.get(f"{FEED}?from=2020-01-02&to=2099-03-04&status=processed").content.decode()
    asked = "status=processed&amp;from=2020-01-02&amp;to=2099-03-04"
    assert f'href="{FEED}/logs.csv?{asked}"' in page
    assert f'href="{FEED}/replays?{asked}"' in page
    assert 'name="from" value="2020-01-02"' in page
    assert 'name="to" value="2099-03-04"' in page


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-30", "20", "\x00", "2026-11-20T10:00"])
def test_a_day_that_is_none_filters_nothing(client, alice, hooks, day):
    log = WebhookLogFactory(webhook=hooks["resend"])
    client.force_login(alice)
    assert shown(client, **{"from": day, "to": day}) == [str(log.pk)]


# --- What came meanwhile ---------------------------------------------------------------------------------------------


def waiting(client, log: WebhookLog, **query: str) -> str:
    place = str(Place(log.created_at, log.pk))
    return client.get(f"{FEED}?{urlencode({'after': place, **query})}", headers=HTMX).content.decode().strip()


def test_what_came_since_a_row_is_counted_within_the_filters(client, alice, hooks):
    now = timezone.now()
    logs = [WebhookLogFactory(webhook=hooks["resend"], created_at=now + timedelta(seconds=n)) for n in range(4)]
    WebhookLogFactory(webhook=hooks["netcash"], created_at=now + timedelta(seconds=9), status="failed")
    client.force_login(alice)
    assert waiting(client, logs[1]) == "3"
    assert waiting(client, logs[1], integration="resend") == "2"
    assert waiting(client, logs[0], status="failed") == "1"
    assert waiting(client, logs[3], integration="resend") == "0"


def test_it_is_counted_to_ninety_nine(client, alice, hooks):
    now = timezone.now()
    first = WebhookLogFactory(webhook=hooks["resend"], created_at=now)
    rows = WebhookLogFactory.build_batch(120, webhook=hooks["resend"], created_at=now + timedelta(seconds=1))
    WebhookLog.objects.bulk_create(rows)
    client.force_login(alice)
    assert waiting(client, first) == "99+"


# --- Spreadsheets ----------------------------------------------------------------------------------------------------


def test_the_table_for_spreadsheets_holds_what_the_filters_let_through(client, charlie, registry, hooks):
    for slug, kind in (("resend", "email.sent"), ("resend", "email.bounced"), ("netcash", "email.sent")):
        WebhookLogFactory(webhook=hooks[slug], event_type=kind)
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    answer = client.get(f"{FEED}/logs.csv?event=sent")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="webhook-logs.csv"'
    assert len(lines) == 2
    assert "resend,/api/webhooks/resend,email.sent" in lines[1]


# --- Notices ---------------------------------------------------------------------------------------------------------


def refused(hook: Webhook, **reasons: int) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    RefusalTally.objects.create(webhook=hook, hour=hour, kept=1, reasons=reasons)


def test_what_was_refused_is_told_and_leads_to_its_receiver(client, alice, hooks):
    refused(hooks["netcash"], mismatch=30, missing_field=2)
    client.force_login(alice)
    page = client.get(FEED).content.decode()
    assert f'href="{FEED}/{hooks["netcash"].pk}?tab=refused"' in page
    assert "32 refused in 24 h, most for “mismatch”" in page
    assert "32 refused" not in client.get(f"{FEED}?integration=resend").content.decode()


def test_nobody_is_told_of_what_they_may_not_see(client, charlie, registry, hooks):
    refused(hooks["netcash"], mismatch=30)
    Silence.objects.create(webhook=hooks["netcash"], last_received_at=timezone.now(), expected_minutes=5)
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert "NetCash" not in client.get(FEED).content.decode()


def test_that_one_is_paused_or_has_no_secret_is_told_where_its_events_are_looked_at(client, alice, hooks, monkeypatch):
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET", raising=False)
    Webhook.objects.filter(pk=hooks["netcash"].pk).update(is_active=False)
    client.force_login(alice)
    assert "RESEND_WEBHOOK_SECRET is not set, so nothing" in client.get(f"{FEED}?integration=resend").content.decode()
    assert "paused, so events wait" in client.get(f"{FEED}?integration=netcash").content.decode()


def test_the_feed_is_read_with_a_handful_of_queries(client, alice, hooks, django_assert_max_num_queries):
    for hook in hooks.values():
        WebhookLogFactory(webhook=hook)
        refused(hook, mismatch=1)
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(FEED)
