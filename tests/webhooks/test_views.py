"""The feed: what it lists, how it goes on, what one delivery tells."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm
from integrations.seek import Place
from tests.factories import AttemptFactory, WebhookLogFactory
from webhooks import event as events
from webhooks import feed as feeds
from webhooks import privacy
from webhooks.models import LaneMinute, Silence, Webhook, WebhookLog

FEED = "/admin/integrations/webhooks"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def hooks(registry: dict[str, Integration]) -> dict[str, Webhook]:
    return {hook.integration.slug: hook for hook in Webhook.objects.select_related("integration")}


def deliver(hook: Webhook, number: int = 1, **fields: Any) -> list[WebhookLog]:
    """`number` deliveries, the newest first."""
    now = timezone.now()
    return [WebhookLogFactory(webhook=hook, created_at=now - timedelta(minutes=n), **fields) for n in range(number)]


def listed(client: Client, query: str = "", **headers: str) -> list[UUID]:
    page = client.get(f"{FEED}?{query}", headers=headers).content.decode()
    return [UUID(pk) for pk in re.findall(r'<details[^>]* id="log-([\w-]+)"', page)]


def pks(logs: list[WebhookLog]) -> list[UUID]:
    return [log.pk for log in logs]


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_newest_fifty_are_listed_and_the_rest_follows_by_cursor(
    client: Client, alice: User, hooks: dict[str, Webhook]
) -> None:
    logs = deliver(hooks["resend"], 60)
    client.force_login(alice)
    assert listed(client) == pks(logs[:50])
    older = re.search(r'href="/admin/integrations/webhooks\?(before=[^"]+)"', client.get(FEED).content.decode())
    assert older
    assert listed(client, older[1]) == pks(logs[50:])
    fragment = client.get(f"{FEED}?{older[1]}", headers=HTMX).content.decode()
    assert "<!doctype html>" not in fragment
    assert 'id="floor"' not in fragment


def test_rows_of_the_same_instant_are_neither_lost_nor_shown_twice(
    client: Client, alice: User, hooks: dict[str, Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 2)
    now = timezone.now()
    logs = {WebhookLogFactory(webhook=hooks["resend"], created_at=now).pk for _ in range(5)}
    client.force_login(alice)
    seen, query = listed(client), ""
    while match := re.search(r'\?(before=[^"]+)" hx-get', client.get(f"{FEED}?{query}").content.decode()):
        query = match[1]
        seen += listed(client, query)
    assert len(seen) == 5
    assert set(seen) == logs


def test_a_poll_brings_what_is_new_and_keeps_all_that_was_shown(
    client: Client, alice: User, hooks: dict[str, Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 3)
    shown = deliver(hooks["resend"], 5)[:3]
    client.force_login(alice)
    floor = re.search(r'id="floor" value="([^"]+)"', client.get(FEED).content.decode())
    assert floor
    new = [
        WebhookLogFactory(webhook=hooks["netcash"], created_at=timezone.now() + timedelta(seconds=n)) for n in (2, 1)
    ]
    query = "floor=" + floor[1].replace("+", "%2B")
    assert listed(client, query, **HTMX) == pks(new + shown)
    poll = client.get(f"{FEED}?{query}", headers=HTMX).content
    assert b'"#older"' not in poll  # what was loaded below stays
    assert b'"#updated"' in poll


def test_a_feed_that_grew_too_long_starts_anew(
    client: Client, alice: User, hooks: dict[str, Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 2)
    monkeypatch.setattr(feeds, "LIMIT", 4)
    logs = deliver(hooks["resend"], 6)
    client.force_login(alice)
    floor = str(Place(logs[5].created_at, logs[5].pk)).replace("+", "%2B")
    assert listed(client, f"floor={floor}", **HTMX) == pks(logs[:2])
    assert b'hx-target="#older"' in client.get(f"{FEED}?floor={floor}", headers=HTMX).content


@pytest.mark.parametrize(
    "cursor",
    [
        "0001-01-01T00:00:00%2B10:00~00000000-0000-7000-8000-000000000000",
        "x",
        "~",
        "2026-01-01~",
        "2026-01-01T00:00:00~00000000-0000-7000-8000-000000000000",
        "2026-13-01T00:00:00Z~x",
    ],
)
def test_a_cursor_that_is_none_begins_at_the_top(
    client: Client, alice: User, hooks: dict[str, Webhook], cursor: str
) -> None:
    logs = deliver(hooks["resend"], 2)
    client.force_login(alice)
    assert listed(client, f"before={cursor}") == pks(logs)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("integration=netcash", "paid"),
        ("event=PAYMENT", "paid"),
        ("status=failed", "failed"),
        ("status=nonsense", "failed paid"),
        ("q=key-7", "paid"),
        ("q=refused", "failed"),
        ("q=nowhere", ""),
        ("integration=resend&status=processed", ""),
        ("integration=nobody", ""),
    ],
)
def test_filters(client: Client, alice: User, hooks: dict[str, Webhook], query: str, found: str) -> None:
    rows = {
        "paid": WebhookLogFactory(webhook=hooks["netcash"], event_type="payment.accepted", idempotency_key="key-77"),
        "failed": WebhookLogFactory(webhook=hooks["resend"], status="failed", error_message="The CRM refused it."),
    }
    client.force_login(alice)
    assert set(listed(client, query)) == {rows[name].pk for name in found.split()}


def test_an_event_is_found_by_its_id(client: Client, alice: User, hooks: dict[str, Webhook]) -> None:
    wanted, _ = deliver(hooks["resend"], 2)
    client.force_login(alice)
    assert listed(client, f"q={wanted.pk}") == [wanted.pk]


def test_a_grant_on_one_integration_shows_its_events_only(
    client: Client, charlie: User, hooks: dict[str, Webhook]
) -> None:
    mine, theirs = deliver(hooks["resend"])[0], deliver(hooks["netcash"])[0]
    assign_perm(Perm.READ.django_name, charlie, hooks["resend"].integration)
    client.force_login(charlie)
    assert listed(client) == [mine.pk]
    assert "NetCash" not in client.get(FEED).content.decode()
    assert client.get(f"{FEED}/{mine.pk}/body").status_code == 200
    assert client.get(f"{FEED}/{theirs.pk}/body").status_code == 404


def test_the_feed_needs_the_permission(client: Client, charlie: User) -> None:
    assert client.get(FEED).headers["Location"].startswith("/accounts/login/")
    client.force_login(charlie)
    assert client.get(FEED).status_code == 403


def test_a_page_of_the_feed_costs_a_handful_of_queries(
    client: Client, alice: User, hooks: dict[str, Webhook], django_assert_max_num_queries: Any
) -> None:
    deliver(hooks["resend"], 60)
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(FEED)


# --- A row -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "tone", "words"),
    [
        ({"status": "processed"}, "healthy", "Processed"),
        ({"status": "failed"}, "down", "gave up"),
        ({"status": "failed", "due_at": "soon", "retry_count": 2}, "down", "next try <time"),
        ({"status": "failed", "retry_count": 1}, "down", "1 retry"),
        ({"status": "pending"}, "unknown", "Pending"),
        ({"status": "pending", "verified": False}, "unknown", "waits for the provider&#x27;s confirmation"),
        ({"status": "duplicate"}, "unknown", "Duplicate"),
        ({"status": "processed", "is_test": True}, "healthy", ">test<"),
        ({"status": "processed", "replay_of": uuid4()}, "healthy", ">replay<"),
        ({"event_type": None}, "healthy", "unknown event"),
    ],
)
def test_a_row_says_what_became_of_it(
    client: Client, alice: User, hooks: dict[str, Webhook], fields: dict[str, Any], tone: str, words: str
) -> None:
    if "due_at" in fields:
        fields = fields | {"due_at": timezone.now() + timedelta(minutes=5)}
    WebhookLogFactory(webhook=hooks["resend"], **fields)
    client.force_login(alice)
    page = client.get(FEED).content.decode()
    row = page[page.index("<details") : page.index("</summary>")]
    assert f'data-status="{tone}"' in row
    assert words in row


@pytest.mark.parametrize("what", ["webhook", "integration"])
def test_what_is_switched_off_holds_its_events(
    client: Client, alice: User, hooks: dict[str, Webhook], what: str
) -> None:
    hook = hooks["resend"]
    WebhookLogFactory(webhook=hook, status="pending")
    row = hook if what == "webhook" else hook.integration
    row.is_active = False
    row.save()
    client.force_login(alice)
    assert f"held: the {what} is switched off" in client.get(FEED).content.decode()


# --- A body ----------------------------------------------------------------------------------------------------------


def test_a_body_tells_all_and_trusts_nothing(client: Client, alice: User, hooks: dict[str, Webhook]) -> None:
    first = WebhookLogFactory(webhook=hooks["resend"])
    log = WebhookLogFactory(
        webhook=hooks["resend"],
        payload={"to": "<script>alert(1)</script>"},
        headers={"user-agent": "<b>x</b>", "svix-signature": "[redacted]"},
        status="failed",
        error_message="The <CRM> is away.",
        attempts=8,
        duplicate_of=first.pk,
    )
    AttemptFactory(log=log, target="https://hooks.example.com", status_code=503, error="Service <Unavailable>")
    client.force_login(alice)
    body = client.get(f"{FEED}/{log.pk}/body", headers=HTMX).content.decode()
    for words in (
        "&lt;script&gt;", "user-agent: &lt;b&gt;x", "The &lt;CRM&gt; is away.", "Gave up after 8 attempts.", "503",
        "Service &lt;Unavailable&gt;", "Secret 1 matched.", log.idempotency_key, f"{FEED}/{first.pk}/body",
    ):  # fmt: skip
        assert words in body
    assert "<script" not in body
    assert "<!doctype html>" not in body
    assert "<!doctype html>" in client.get(f"{FEED}/{log.pk}/body").content.decode()


def test_personal_fields_are_masked(client: Client, alice: User, hooks: dict[str, Webhook]) -> None:
    spec = hooks["netcash"].integration.spec
    assert spec is not None
    assert spec.webhook is not None
    assert "ccMasked" in spec.webhook.personal
    log = WebhookLogFactory(webhook=hooks["netcash"], payload={"Reference": "A1", "ccMasked": "4111********1111"})
    client.force_login(alice)
    body = client.get(f"{FEED}/{log.pk}/body").content.decode()
    assert "4111" not in body
    assert "•••" in body
    assert "Personal fields are masked." in body


def test_bytes_that_could_not_be_read_are_shown_unless_they_may_be_personal(
    client: Client, alice: User, hooks: dict[str, Webhook]
) -> None:
    client.force_login(alice)
    told = []
    for slug in ("resend", "netcash"):
        log = WebhookLogFactory(webhook=hooks[slug], payload=None, body=b'{"ccMasked": "4111\xff')
        personal = privacy.personal(hooks[slug].integration.spec)
        told.append((bool(personal), b"4111\xef\xbf\xbd" in client.get(f"{FEED}/{log.pk}/body").content))
    assert (True, False) in told
    assert all(shown is not personal for personal, shown in told)


def test_a_huge_payload_is_cut_and_says_so(client: Client, alice: User, hooks: dict[str, Webhook]) -> None:
    log = WebhookLogFactory(webhook=hooks["zoho-crm"], payload={"text": "x" * 200_000})
    client.force_login(alice)
    body = client.get(f"{FEED}/{log.pk}/body").content.decode()
    assert len(body) < 90_000
    assert "The first 64 KB of 195 KB." in body


def test_a_payload_nested_beyond_reason_is_no_error(hooks: dict[str, Webhook]) -> None:
    payload: Any = 1
    for _ in range(5000):
        payload = [payload]
    assert events._pretty(payload).startswith(("(nested too deeply", "[\n"))  # as deep as this Python goes


def test_an_unknown_event_is_not_found(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(f"{FEED}/{uuid4()}/body").status_code == 404


# --- Nothing to show -------------------------------------------------------------------------------------------------


def test_an_empty_feed_says_where_to_point_the_providers(
    client: Client, alice: User, hooks: dict[str, Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_dGVzdA==")
    for unset in ("DIDIT_WEBHOOK_SECRET", "NETCASH_WEBHOOK_SECRET"):
        monkeypatch.delenv(unset, raising=False)
    client.force_login(alice)
    page = client.get(FEED).content.decode()
    assert page.count("http://localhost:8000/api/webhooks/") == len(hooks) == 8
    assert "Set DIDIT_WEBHOOK_SECRET first" in page
    assert "Set NETCASH_WEBHOOK_SECRET first" not in page  # it can also be confirmed by asking NetCash
    assert "Set RESEND_WEBHOOK_SECRET first" not in page
    page = client.get(f"{FEED}?integration=resend").content.decode()
    assert page.count("http://localhost:8000/api/webhooks/") == 1


def test_filters_that_nothing_fits_can_be_cleared(client: Client, alice: User, hooks: dict[str, Webhook]) -> None:
    client.force_login(alice)
    page = client.get(f"{FEED}?status=failed").content.decode()
    assert "No event matches" in page
    assert "/api/webhooks/" not in page


def test_whoever_sees_no_webhooks_is_told_so(client: Client, charlie: User, registry: dict[str, Integration]) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["google-maps"])
    client.force_login(charlie)
    assert "None of the integrations that you may see" in client.get(FEED).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["q", "event", "integration", "status", "before", "floor"])
def test_whatever_stands_in_the_address_bar_breaks_nothing(client: Client, alice: User, name: str) -> None:
    client.force_login(alice)
    for value in ("\x00", "%", "\ud800", "x" * 5000, "2026-13-01T00:00:00Z~1", "~", "[]"):
        assert client.get(FEED, {name: value.encode("utf-8", "replace")}).status_code == 200


# --- What the lane did -----------------------------------------------------------------------------------------------


def lane_of(client: Client, **headers: str) -> list[str]:
    page = client.get(FEED, headers=headers).content.decode()
    found = re.search(r'<dl id="lane".*?</dl>', page, re.DOTALL)
    return (
        [" ".join(text.split()).replace("\u00a0", " ") for text in re.findall(r"<dd>(.*?)</dd>", found[0])]
        if found
        else []
    )


def test_the_last_hour_of_the_lane_stands_above_the_feed(client, alice, hooks):
    client.force_login(alice)
    now = timezone.now().replace(second=0, microsecond=0)
    counts = {"received": 1200, "duplicates": 3, "refused": 2, "commits": 400, "commit_ms_total": 3200}
    LaneMinute.objects.create(minute=now, process="a", commit_ms_max=41, **counts)
    LaneMinute.objects.create(minute=now - timedelta(hours=2), process="a", turned_away=5)
    deliver(hooks["resend"], status="pending", due_at=now - timedelta(minutes=3))
    told = ["1,200", "3 had come before", "2", "signature did not hold", "0", "asked to come again", "8 ms",
            "longest 41 ms, 3 at a time", "1", "the oldest due 3 min ago"]  # fmt: skip
    assert lane_of(client) == told
    assert lane_of(client, **HTMX) == told


def test_it_is_told_only_to_who_may_read_everything(client, hooks):
    person = User.objects.create_user("one-only", password="x")
    assign_perm(Perm.READ.django_name, person, hooks["resend"].integration)
    client.force_login(person)
    assert lane_of(client) == []


# --- Silence ---------------------------------------------------------------------------------------------------------


def hushed(hook: Webhook, hours: int, expected_minutes: int) -> Silence:
    last = timezone.now() - timedelta(hours=hours, minutes=1)
    return Silence.objects.create(webhook=hook, last_received_at=last, expected_minutes=expected_minutes)


def said(client: Client, query: str = "", **headers: str) -> str:
    page = client.get(f"{FEED}?{query}", headers=headers).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace(" : ", ": ")


def test_a_silent_webhook_is_told_above_the_feed_until_something_comes(
    client: Client, alice: User, hooks: dict[str, Webhook]
) -> None:
    silence = hushed(hooks["netcash"], 3, 45)
    client.force_login(alice)
    words = "NetCash Pay Now: nothing for 3 h; usually at least every 45 min"
    page = client.get(FEED).content.decode()
    assert f'href="{FEED}/{hooks["netcash"].pk}"' in page
    assert words in said(client)
    assert words in said(client, **HTMX)  # a poll too
    silence.ended_at = timezone.now()
    silence.save()
    assert "nothing for" not in said(client)


def test_older_events_are_loaded_without_asking_for_silences(
    client: Client, alice: User, hooks: dict[str, Webhook]
) -> None:
    hushed(hooks["netcash"], 3, 45)
    client.force_login(alice)

    def asked(query: str = "") -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(f"{FEED}?{query}", headers=HTMX)
        return sum("integration_webhook_silences" in query["sql"] for query in queries)

    assert asked() == 1
    assert asked(f"before={timezone.now().isoformat().replace('+', '%2B')}~{uuid4()}") == 0


def test_only_silences_of_what_one_may_see_are_told(
    client: Client, charlie: User, registry: dict[str, Integration], hooks: dict[str, Webhook]
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    hushed(hooks["netcash"], 3, 45)
    hushed(hooks["resend"], 30, 16 * 60)
    client.force_login(charlie)
    assert "Resend Email: nothing for 30 h; usually at least every 16 h" in said(client)
    assert said(client).count("nothing for") == 1
