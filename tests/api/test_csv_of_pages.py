"""Incidents, planned work, receivers and Zoho's retry queue as CSV: what their pages show, of what one may see, and no
cell a formula."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import incidents
from healthchecks.models import Incident, Maintenance
from integrations.accounts.models import User
from integrations.actor import SYSTEM
from integrations.models import Integration
from integrations.seek import Listing
from tests.api.test_csv_of_lists import API, rows
from tests.api.test_webhooks_retry_queue import failed_forward, log
from tests.factories import WebhookLogFactory
from webhooks import sheet
from webhooks.models import RefusalTally, Rhythm, Webhook

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Registry = dict[str, Integration]


@pytest.fixture
def web(client: Client, alice: User, registry: Registry) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def dana(client: Client, person, registry: Registry) -> Client:
    """Somebody who may read Zoho CRM and nothing else."""
    user = person("dana")
    assign_perm("integrations.read", user, registry["zoho-crm"])
    client.force_login(user)
    return client


def outage(row: Integration, *, ago: timedelta, lasted: timedelta | None = HOUR, cause: str = "HTTP 500") -> Incident:
    opened_at = timezone.now() - ago
    return Incident.objects.create(
        integration=row, opened_at=opened_at, closed_at=opened_at + lasted if lasted else None, worst_status="down",
        cause=cause, rule="api_down",
    )  # fmt: skip


def work(row: Integration | None, *, ago: timedelta, lasts: timedelta = 2 * HOUR, reason: str = "DNS") -> Maintenance:
    starts_at = timezone.now() - ago
    return Maintenance.objects.create(
        integration=row, starts_at=starts_at, ends_at=starts_at + lasts, reason=reason, username="alice"
    )


def receiver(slug: str) -> Webhook:
    return Webhook.objects.get(integration__slug=slug)


# --- Incidents -------------------------------------------------------------------------------------------------------


def test_an_incident_tells_how_long_it_was_why_and_how_many_notes_it_has(web: Client, registry: Registry) -> None:
    row = outage(registry["resend"], ago=2 * DAY, cause='=HYPERLINK("x")')
    for text in ("Their status page says: database.", "It is over."):
        incidents.note(row, text=text, actor=SYSTEM)
    (told,) = rows(web, "incidents.csv")
    assert told.pop("openedAt").endswith("Z")
    assert told.pop("closedAt").endswith("Z")
    assert told == {
        "id": str(row.pk), "integrationSlug": "resend", "worstStatus": "down", "durationSeconds": "3600",
        "cause": '\'=HYPERLINK("x")', "rule": "api_down", "inPlannedWork": "false", "notes": "2",
    }  # fmt: skip


def test_one_that_is_open_lasts_until_now(web: Client, registry: Registry) -> None:
    outage(registry["resend"], ago=HOUR, lasted=None)
    (told,) = rows(web, "incidents.csv")
    assert told["closedAt"] == ""
    assert 3600 <= int(told["durationSeconds"]) < 3700


def test_incidents_are_the_open_ones_and_those_of_so_many_days_newest_first(web: Client, registry: Registry) -> None:
    outage(registry["didit-kyc"], ago=500 * DAY, lasted=None)
    outage(registry["netcash"], ago=100 * DAY)
    outage(registry["resend"], ago=2 * DAY)
    assert slugs(web) == ["resend", "didit-kyc"]
    assert slugs(web, "?days=1") == ["didit-kyc"]
    assert slugs(web, "?days=400") == ["resend", "netcash", "didit-kyc"]
    assert slugs(web, "?days=400&integration=netcash") == ["netcash"]
    assert slugs(web, "?days=400&open=true") == ["didit-kyc"]
    assert slugs(web, "?open=false") == ["resend"]


@pytest.mark.parametrize("days", ["0", "401", "many"])
def test_so_many_days_are_no_filter(web: Client, days: str) -> None:
    assert web.get(f"{API}/incidents.csv?days={days}").status_code == 400


def test_whether_one_fell_in_planned_work_is_told_by_its_beginning(web: Client, registry: Registry) -> None:
    work(registry["resend"], ago=5 * HOUR)
    work(None, ago=10 * DAY)
    outage(registry["resend"], ago=4 * HOUR)
    outage(registry["netcash"], ago=4 * HOUR)  # the work was another's
    outage(registry["didit-kyc"], ago=10 * DAY - HOUR)
    outage(registry["zoho-crm"], ago=10 * DAY + HOUR)  # it began before the work
    told = {row["integrationSlug"]: row["inPlannedWork"] for row in rows(web, "incidents.csv")}
    assert told == {"resend": "true", "netcash": "false", "didit-kyc": "true", "zoho-crm": "false"}


def test_a_grant_on_one_integration_exports_its_incidents_alone(dana: Client, registry: Registry) -> None:
    outage(registry["zoho-crm"], ago=DAY)
    outage(registry["resend"], ago=DAY)
    assert slugs(dana) == ["zoho-crm"]
    assert dana.get(f"{API}/incidents.csv?integration=resend").status_code == 404


def test_incidents_are_read_by_the_page_each_once(
    web: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
) -> None:
    made = [outage(registry["resend"], ago=n * HOUR + DAY, lasted=HOUR) for n in range(5)]
    monkeypatch.setattr("healthchecks.api.export.PAGE", 2)
    with django_assert_max_num_queries(12):
        assert [row["id"] for row in rows(web, "incidents.csv")] == [str(row.pk) for row in made]


def slugs(web: Client, query: str = "") -> list[str]:
    return [row["integrationSlug"] for row in rows(web, f"incidents.csv{query}")]


# --- Planned work ----------------------------------------------------------------------------------------------------


def test_planned_work_tells_how_it_stands_and_what_began_in_it(web: Client, registry: Registry) -> None:
    work(registry["resend"], ago=-HOUR, reason="=1+1")
    work(None, ago=HOUR, reason="All move")
    work(registry["resend"], ago=5 * HOUR, reason="DNS moves")
    for slug in ("resend", "netcash"):
        outage(registry[slug], ago=timedelta(minutes=10), lasted=None)
        outage(registry[slug], ago=4 * HOUR)
    names = ("integrationSlug", "state", "reason", "declaredBy", "incidents")
    assert [tuple(row[name] for name in names) for row in rows(web, "maintenance.csv")] == [
        ("resend", "planned", "'=1+1", "alice", "0"),
        ("", "under way", "All move", "alice", "2"),
        ("resend", "over", "DNS moves", "alice", "1"),
    ]


def test_work_on_all_is_for_those_who_may_read_all(dana: Client, registry: Registry) -> None:
    for row in (registry["zoho-crm"], registry["resend"], None):
        work(row, ago=HOUR)
    assert [row["integrationSlug"] for row in rows(dana, "maintenance.csv")] == ["zoho-crm"]


# --- Receivers -------------------------------------------------------------------------------------------------------


def test_each_receiver_tells_how_it_is_and_what_came_in_24_hours(web: Client, registry: Registry) -> None:
    Integration.objects.filter(slug="resend").update(name="=1+1")
    resend, now = receiver("resend"), timezone.now()
    Webhook.objects.filter(pk=resend.pk).update(is_active=False, silence_minutes=90)
    Rhythm.objects.create(webhook=resend, last_received_at=now - HOUR)
    WebhookLogFactory.create(webhook=resend)
    WebhookLogFactory.create(webhook=resend, status="failed")
    WebhookLogFactory.create(webhook=resend, status="failed", created_at=now - 2 * DAY)
    RefusalTally.objects.create(webhook=resend, hour=now - HOUR, reasons={"mismatch": 3, "stale": 1})
    told = {row["integrationSlug"]: row for row in rows(web, "webhooks.csv")}
    assert set(told) == set(Webhook.objects.values_list("integration__slug", flat=True))
    one = told["resend"]
    assert one.pop("lastReceivedAt").endswith("Z")
    assert one == {
        "id": str(resend.pk), "integrationSlug": "resend", "integrationName": "'=1+1",
        "webhookUrl": "/api/webhooks/resend", "isActive": "false", "heldBy": "webhook", "state": "no secret",
        "receivedLast24Hours": "2", "failedLast24Hours": "1", "refusedLast24Hours": "4", "expectedMinutes": "90",
        "rhythm": "Set by an admin: more than 90 min is too long, day and night.",
    }  # fmt: skip
    assert (told["netcash"]["isActive"], told["netcash"]["rhythm"]) == ("true", "Not learned yet.")


def test_the_state_of_a_receiver_is_what_the_page_says_of_it(
    web: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = receiver("resend").secret_env_var
    monkeypatch.setenv(secret, "whsec_c2VjcmV0")
    assert state_of(web, "resend") == "receiving"
    Webhook.objects.filter(integration__slug="resend").update(is_active=False)
    assert state_of(web, "resend") == "paused"
    monkeypatch.delenv(secret)
    assert state_of(web, "resend") == "no secret"


def state_of(web: Client, slug: str) -> str:
    (state,) = [row["state"] for row in rows(web, "webhooks.csv") if row["integrationSlug"] == slug]
    return state


def test_a_grant_on_one_integration_exports_its_receiver_alone(dana: Client) -> None:
    assert [row["integrationSlug"] for row in rows(dana, "webhooks.csv")] == ["zoho-crm"]


# --- Zoho's retry queue ----------------------------------------------------------------------------------------------


def test_what_waits_and_what_gave_up_has_a_row_each(web: Client) -> None:
    crm, sign, now = receiver("zoho-crm"), receiver("zoho-sign"), timezone.now()
    waits = log(crm, event_type="Leads.update", error_message="=1+1", retry_count=1, created_at=now - HOUR)
    gone = log(sign, due_at=None)
    passed = failed_forward(crm, url="https://me:pw@example.com/hook?key=secret", status_code=502, error_message="No")
    log(crm, status="processed", due_at=None)
    log(receiver("resend"))
    first, second, third = rows(web, "zoho/retry-queue.csv")
    assert (first["id"], first["state"], first["nextAttemptAt"]) == (str(gone.pk), "gave up", "")
    assert second.pop("createdAt").endswith("Z")
    assert second.pop("nextAttemptAt").endswith("Z")
    assert second == {
        "kind": "event", "id": str(waits.pk), "logId": str(waits.pk), "integration": "zoho-crm",
        "eventType": "Leads.update", "state": "waiting", "retryCount": "1", "url": "", "statusCode": "",
        "error": "'=1+1",
    }  # fmt: skip
    assert (third["kind"], third["id"], third["logId"]) == ("forward", str(passed.pk), str(passed.log_id))
    assert (third["url"], third["statusCode"], third["error"]) == ("https://example.com/hook", "502", "No")


def test_the_queue_is_read_by_the_page_each_once(
    web: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
) -> None:
    monkeypatch.setattr(sheet, "PAGE", 2)
    made = {str(log(receiver(slug)).pk) for slug in ("zoho-crm", "zoho-sign", "zoho-crm", "zoho-desk", "zoho-crm")}
    made |= {str(failed_forward(receiver(slug)).pk) for slug in ("zoho-crm", "zoho-sign", "zoho-crm")}
    with django_assert_max_num_queries(16):
        told = [row["id"] for row in rows(web, "zoho/retry-queue.csv")]
    assert len(told) == 8
    assert set(told) == made


def test_a_grant_on_one_integration_exports_its_part_of_the_queue(dana: Client) -> None:
    for slug in ("zoho-crm", "zoho-sign"):
        log(receiver(slug))
        failed_forward(receiver(slug))
    assert [row["integration"] for row in rows(dana, "zoho/retry-queue.csv")] == ["zoho-crm", "zoho-crm"]


def test_who_reads_none_of_zoho_gets_a_queue_without_rows(client: Client, charlie: User, registry: Registry) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    log(receiver("zoho-crm"))
    failed_forward(receiver("zoho-crm"))
    client.force_login(charlie)
    assert rows(client, "zoho/retry-queue.csv") == []


# --- Where they are offered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "export"),
    [
        ("/apis/maintenance", "maintenance.csv"),
        ("/webhooks/receivers", "webhooks.csv"),
        ("/webhooks/retry-queue", "zoho/retry-queue.csv"),
        ("/apis", "incidents.csv"),
        ("/apis?integration=resend", "incidents.csv?integration=resend"),
    ],
)
def test_each_page_offers_its_own(web: Client, registry: Registry, page: str, export: str) -> None:
    log(receiver("zoho-crm"))
    outage(registry["resend"], ago=HOUR)
    assert f'href="{API}/{export}"' in web.get(f"/admin/integrations{page}").content.decode()


def test_what_has_nothing_in_it_is_not_offered(web: Client) -> None:
    assert "incidents.csv" not in web.get("/admin/integrations/apis").content.decode()
    assert "retry-queue.csv" not in web.get("/admin/integrations/webhooks/retry-queue").content.decode()


def test_a_list_comes_by_the_page_and_ends(registry: Registry) -> None:
    made = [outage(registry["resend"], ago=n * HOUR + DAY) for n in range(4)]
    found = Listing(Incident.objects.all(), at="opened_at").pages(2)
    assert [[row.pk for row in page] for page in found] == [[made[0].pk, made[1].pk], [made[2].pk, made[3].pk]]
