"""Tokens and alarms as CSV: what the lists tell, of what one may see, and no cell a formula."""

import csv
import io
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks.models import Alarm
from integrations.accounts.models import User
from integrations.models import Integration
from tests.factories import TokenFactory

pytestmark = pytest.mark.django_db
API = "/api/admin/integrations"


def rows(client: Client, path: str) -> list[dict[str, str]]:
    response = client.get(f"{API}/{path}")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def alarm(row: Integration, title: str, *, minutes: int, over: bool = False) -> Alarm:
    now = timezone.now()
    return Alarm.objects.create(
        key=f"health:{row.slug}:{minutes}", kind="health", severity="critical", integration=row, slugs=[row.slug],
        title=title, text="", opened_at=now - timedelta(minutes=minutes), closed_at=now if over else None,
    )  # fmt: skip


def test_every_token_is_told_of_and_none_is_told(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    TokenFactory(integration=registry["zoho-crm"], access_sealed="sealed-secret")
    client.force_login(alice)
    told = {row["integrationSlug"]: row for row in rows(client, "oauth/tokens.csv")}
    assert set(told) == {"zoho-crm", "zoho-sign", "zoho-billing", "zoho-desk"}
    assert told["zoho-crm"]["status"] == "valid"
    assert told["zoho-sign"]["status"] == "missing"
    assert "sealed" not in str(told)


def test_alarms_are_newest_first_and_filtered_as_in_the_list(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    alarm(registry["resend"], "Resend is down", minutes=5)
    alarm(registry["netcash"], "=HYPERLINK(1)", minutes=9, over=True)
    client.force_login(alice)
    assert [row["title"] for row in rows(client, "alerts.csv")] == ["Resend is down", "'=HYPERLINK(1)"]
    assert [row["title"] for row in rows(client, "alerts.csv?open=true")] == ["Resend is down"]
    assert [row["integrations"] for row in rows(client, "alerts.csv?integration=netcash")] == ["netcash"]


def test_a_grant_on_one_integration_exports_that_one_alone(
    client: Client, person, registry: dict[str, Integration]
) -> None:
    dana = person("dana")
    assign_perm("integrations.read", dana, registry["zoho-crm"])
    alarm(registry["resend"], "Resend is down", minutes=5)
    alarm(registry["zoho-crm"], "Zoho CRM is down", minutes=6)
    client.force_login(dana)
    assert [row["integrationSlug"] for row in rows(client, "oauth/tokens.csv")] == ["zoho-crm"]
    assert [row["title"] for row in rows(client, "alerts.csv")] == ["Zoho CRM is down"]
    assert client.get(f"{API}/alerts.csv?integration=resend").status_code == 404
