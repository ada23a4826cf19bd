"""Lists as CSV that are short enough to be made at once: health, jobs, the story of a token."""

import csv
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.accounts.models import User
from integrations.cron.models import CronJob
from integrations.models import Integration
from integrations.permissions import Perm
from oauth.models import TokenEvent
from tests.factories import ApiMetricFactory

API = "/api/admin/integrations"
pytestmark = pytest.mark.django_db


def rows(client: Client, path: str) -> list[dict[str, str]]:
    answer: Any = client.get(API + path)
    assert answer.status_code == 200, path
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(StringIO(b"".join(answer.streaming_content).decode())))


def test_how_each_is_with_its_figures(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    Integration.objects.filter(slug="resend").update(health_status="down", health_reason="=1+1")
    ApiMetricFactory(integration=registry["resend"], response_time_ms=120, status_code=503, error_message="HTTP 503")
    client.force_login(bob)
    told = {row["slug"]: row for row in rows(client, "/health.csv")}
    assert set(told) == set(registry)
    assert (told["resend"]["status"], told["resend"]["reason"]) == ("down", "'=1+1")
    assert (told["resend"]["avgResponseTime"], told["resend"]["errorRate"]) == ("120.0", "100.0")


def test_the_jobs_in_words(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    client.force_login(bob)
    told = {row["jobName"]: row for row in rows(client, "/cron.csv")}
    assert set(told) == set(CronJob.objects.values_list("job_name", flat=True))
    assert told["cleanup-webhook-logs"]["schedule"] == "0 3 * * 0"
    assert rows(client, "/cron.csv?is_active=false") == []


def test_the_story_of_a_token(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    for kind in ("connected", "refreshed"):
        TokenEvent.objects.create(
            integration=registry["zoho-crm"], kind=kind, at=timezone.now(), actor="system", detail="@sum"
        )
    client.force_login(bob)
    told = rows(client, "/oauth/zoho-crm/events.csv")
    assert [(row["kind"], row["detail"]) for row in told] == [("refreshed", "'@sum"), ("connected", "'@sum")]
    assert client.get(f"{API}/oauth/resend/events.csv").status_code == 409  # it has no token


def test_with_a_grant_on_one_the_others_are_left_out(
    client: Client, person: Any, registry: dict[str, Integration]
) -> None:
    dana = person("dana")
    assign_perm(Perm.READ.django_name, dana, registry["zoho-crm"])
    client.force_login(dana)
    assert [row["slug"] for row in rows(client, "/health.csv")] == ["zoho-crm"]
    assert {row["integrationName"] for row in rows(client, "/cron.csv")} <= {"Zoho CRM"}
    assert client.get(f"{API}/oauth/zoho-sign/events.csv").status_code == 404
