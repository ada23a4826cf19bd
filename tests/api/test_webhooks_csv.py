"""Deliveries as CSV, and finding text in them."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from tests.api.conftest import BASE, assert_problem
from webhooks import sheet
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db

PATH = "/webhooks/logs.csv"
NOW = timezone.now()


@pytest.fixture
def webhook(registry) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


def log(webhook: Webhook, **fields) -> WebhookLog:
    fields = {"status": "processed", "payload": {"secret": "canary"}, "body": b"canary", "created_at": NOW, **fields}
    return WebhookLog.objects.create(webhook=webhook, **fields)


def rows_of(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_it_has_a_header_and_a_line_for_each_and_no_payload(api, webhook):
    row = log(webhook, event_type="email.sent", idempotency_key="k", processing_time_ms=7, processed_at=NOW)
    response = api.get(PATH)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="webhook-logs.csv"'
    (line,) = rows_of(response)
    assert tuple(line) == sheet.COLUMNS
    assert (line["id"], line["integration"], line["eventType"], line["status"]) == (
        str(row.pk), "resend", "email.sent", "processed",
    )  # fmt: skip
    assert (line["processingTimeMs"], line["isTest"], line["replayOf"]) == ("7", "false", "")
    assert line["receivedAt"].endswith("Z")
    assert "canary" not in str(line)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_is_a_formula(api, webhook, begin):
    log(webhook, event_type=f"{begin}cmd|' /C calc'!A0", error_message=f'{begin}HYPERLINK("x", "y")\nz')
    (line,) = rows_of(api.get(PATH))
    assert line["eventType"] == f"'{begin}cmd|' /C calc'!A0"
    assert line["errorMessage"].startswith(f"'{begin}HYPERLINK")


def test_pages_follow_each_other_without_gap_or_repeat_in_two_queries_each(api, webhook, monkeypatch):
    monkeypatch.setattr(sheet, "PAGE", 4)
    rows = [log(webhook, created_at=NOW - timedelta(seconds=n // 3)) for n in range(11)]
    with CaptureQueriesContext(connection) as queries:
        lines = rows_of(api.get(PATH))
    newest_first = sorted(rows, key=lambda row: (row.created_at, row.pk), reverse=True)
    assert [line["id"] for line in lines] == [str(row.pk) for row in newest_first]
    assert sum("integration_webhook_logs" in query["sql"] for query in queries) == 2 * 3


def test_the_filters_are_those_of_the_list(api, webhook):
    failed = log(webhook, status="failed", error_message="it broke")
    log(webhook)
    log(Webhook.objects.get(integration__slug="netcash"), status="failed")
    lines = rows_of(api.get(PATH, status="failed", integration="resend", search="BROKE"))
    assert [line["id"] for line in lines] == [str(failed.pk)]
    assert rows_of(api.get(PATH, status="pending")) == []
    assert_problem(api.get(PATH, status="lost"), 400, "invalid")


def test_it_may_be_asked_for_by_its_type_and_errors_are_problems_even_so(api, calling, charlie, webhook):
    client, headers = api._client, {"Authorization": f"Bearer {api.token}", "Accept": "text/csv"}
    assert rows_of(client.get(BASE + PATH, headers=headers)) == []
    assert_problem(client.get(BASE + PATH, {"status": "lost"}, headers=headers), 400, "invalid")
    assert_problem(calling(charlie).get(PATH), 403, "permission_denied")


def test_a_grant_on_one_integration_exports_that_one(calling, charlie, webhook, registry):
    mine = log(webhook)
    log(Webhook.objects.get(integration__slug="netcash"))
    assign_perm("integrations.read", charlie, registry["resend"])
    assert [line["id"] for line in rows_of(calling(charlie).get(PATH))] == [str(mine.pk)]


@pytest.mark.django_db(transaction=True)
def test_under_asgi_it_is_streamed_page_by_page(api, webhook, monkeypatch):
    monkeypatch.setattr(sheet, "PAGE", 2)
    for _ in range(5):
        log(webhook)

    async def fetch() -> list[bytes]:
        response = await AsyncClient().get(BASE + PATH, headers={"Authorization": f"Bearer {api.token}"})
        assert response.is_async
        return [part async for part in response.streaming_content]

    from asgiref.sync import async_to_sync

    parts = async_to_sync(fetch)()
    assert [part.count(b"\r\n") for part in parts] == [1, 2, 2, 1]


# --- Search ----------------------------------------------------------------------------------------------------------


def found(api, **query) -> int:
    return api.get("/webhooks/logs", **query).json()["pagination"]["total"]


def test_payloads_are_looked_into_within_a_week(api, webhook):
    log(webhook, payload={"to": "thandi@example.net", "name": "Zoë"})
    since, week = NOW - timedelta(days=6), (NOW - timedelta(days=6)).isoformat()
    assert found(api, search="THANDI@example", **{"from": week}) == 1
    assert found(api, search="Zoë", **{"from": week}) == 1
    assert found(api, search="sipho", **{"from": week}) == 0
    assert found(api, search="thandi@example") == 0
    assert found(api, search="thandi@example", **{"from": (since - timedelta(days=2)).isoformat()}) == 0
    until = (NOW + timedelta(minutes=1)).isoformat()
    assert found(api, search="thandi@example", to=until, **{"from": week}) == 1


def test_what_is_masked_can_not_be_guessed_by_searching(api, webhook):
    payload = {"type": "email.sent", "data": {"to": ["sipho@example.net"], "email_id": "shown-1"}}
    log(webhook, payload=payload)
    week = (NOW - timedelta(days=6)).isoformat()
    assert found(api, search="shown-1", **{"from": week}) == 1
    assert found(api, search="sipho", **{"from": week}) == 0


def test_a_search_with_every_filter_takes_few_queries(api, webhook):
    for _ in range(30):
        log(webhook, error_message="x")
    filters = {"status": "processed", "isTest": "false", "integration": "resend", "search": "x"}
    with CaptureQueriesContext(connection) as queries:
        assert found(api, **filters, **{"from": (NOW - timedelta(days=1)).isoformat()}) == 30
    assert len(queries) <= 12
