"""One integration in detail: the verdict first, tabs that apply, what may be done, and who switched it off."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import switch
from healthchecks.models import Incident, IncidentNote, StatusChange
from integrations import services
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.cron.models import CronJob
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from oauth.models import TokenEvent
from tests.factories import CheckResultFactory, TokenFactory, WebhookLogFactory
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

BASE = "/admin/integrations"
HTMX = {"HX-Request": "true"}
PIETER = Actor(username="pieter", ip_address="192.0.2.7")


def shown(client: Client, path: str, **kwargs: Any) -> str:
    response = client.get(f"{BASE}/{path}", **kwargs)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def tabs(page: str) -> list[str]:
    bar = page.partition('class="tabnav"')[2].partition("</nav>")[0]
    return re.findall(r"</svg>([\w ]+)</a>", bar)


@pytest.fixture
def sign(registry: dict[str, Integration]) -> Integration:
    """Zoho Sign, down for three hours, with a story."""
    row, now = registry["zoho-sign"], timezone.now()
    since = now - timedelta(hours=3)
    Integration.objects.filter(pk=row.pk).update(
        health_status="down", health_reason="The grant is gone.", health_since=since, last_health_check_at=now,
        metadata={"owner": "Sales", "runbook": "https://wiki.example.com/sign", "trick": "javascript:alert(1)"},
    )  # fmt: skip
    layers = [{"layer": "grant", "status": "down", "seen": "Zoho says invalid_code.", "rule": "grant_dead"}]
    CheckResultFactory(integration=row, status="down", rule="grant_dead", layers=layers, created_at=now)
    StatusChange.objects.create(integration=row, old_status="healthy", new_status="down", at=since, reason="Gone.")
    Incident.objects.create(integration=row, opened_at=since, worst_status="down", cause="The grant is gone.")
    token = TokenFactory(integration=row, expires_at=since)
    token.grant.state = "needs_reauth"
    token.grant.save()
    TokenEvent.objects.create(integration=row, kind="refresh_failed", at=since, actor="system", detail="invalid_code")
    row.refresh_from_db()
    return row


# --- What is there ---------------------------------------------------------------------------------------------------


def test_the_verdict_comes_first_with_its_rule_its_layers_and_what_helps(
    client: Client, alice: User, sign: Integration
) -> None:
    client.force_login(alice)
    page = shown(client, "zoho-sign")
    verdict = page[page.index('id="verdict-card"') : page.index('class="lane"')]
    for words in (
        "Down",
        "for 3\u00a0h",
        "The grant is gone.",
        "grant dead",
        "OAuth grant",
        "Zoho says invalid_code.",
    ):
        assert words in verdict
    assert f'formaction="{BASE}/zoho-sign/connect"' in verdict
    assert verdict.count("<button") == 1  # one thing helps


def test_the_overview_tells_uptime_incidents_token_activity_and_facts(
    client: Client, alice: User, sign: Integration
) -> None:
    services.change(sign, actor=PIETER, interval_minutes=30)
    client.force_login(alice)
    page = shown(client, "zoho-sign")
    expected = (
        "Uptime, 90 days", "Became down", "still open", "pieter</span> changed the settings of Zoho Sign", "Sales",
        'href="https://wiki.example.com/sign"', "/api/webhooks/zoho/sign", "30 min", "1 failed",
    )  # fmt: skip
    for words in expected:
        assert words in page
    assert 'href="javascript:' not in page


def test_tabs_that_do_not_apply_are_left_out(client: Client, alice: User, registry: dict[str, Integration]) -> None:
    client.force_login(alice)
    assert {"Overview", "OAuth", "Webhooks", "Activity"} <= set(tabs(shown(client, "zoho-sign")))
    assert not {"OAuth", "Webhooks"} & set(tabs(shown(client, "google-maps")))
    assert 'aria-current="page"' in shown(client, "google-maps?tab=oauth")  # falls back to the overview


def test_its_jobs_and_figures_stand_in_tabs_of_their_own(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    client.force_login(alice)
    CronJob.objects.filter(job_name="zoho-sync").update(integration=registry["zoho-billing"])
    page = shown(client, "zoho-billing?tab=cron")
    assert {"API metrics", "Scheduled jobs"} <= set(tabs(page))
    assert "zoho-sync" in page
    assert "metrics-rollup" not in page  # of all integrations
    assert "Scheduled jobs" not in tabs(shown(client, "resend"))  # it has none
    figures = shown(client, "resend?tab=apis")
    assert "dist/charts.js" in figures
    assert f'href="{BASE}/apis?integration=resend"' in figures
    assert "dist/charts.js" not in shown(client, "resend")


@pytest.mark.parametrize(
    ("tab", "words"),
    [("oauth", "Renewal failed"), ("webhooks", "message.sent"), ("activity", "switched Zoho Sign off")],
)
def test_each_tab_shows_its_side_of_this_integration_alone(
    client: Client, alice: User, sign: Integration, tab: str, words: str
) -> None:
    for slug in ("zoho-sign", "resend"):
        WebhookLogFactory(
            webhook=Webhook.objects.get(integration__slug=slug), event_type="message.sent", status="processed"
        )
        services.change(Integration.objects.get(slug=slug), actor=PIETER, is_active=False)
    client.force_login(alice)
    page = shown(client, f"zoho-sign?tab={tab}")
    assert words in page
    assert "Resend" not in page
    assert re.findall(r'href="([^"]+)" aria-current="page"', page)[-1] == f"{BASE}/zoho-sign?tab={tab}"
    fragment = shown(client, f"zoho-sign?tab={tab}", headers=HTMX)
    assert "<!doctype html>" not in fragment
    assert '<hx-partial hx-target="#tab"' in fragment


@pytest.mark.parametrize("tab", ["overview", "oauth", "webhooks", "activity"])
def test_a_tab_costs_a_bounded_number_of_queries(
    client: Client, alice: User, sign: Integration, tab: str, django_assert_max_num_queries: Any
) -> None:
    for n in range(30):
        at = timezone.now() - timedelta(days=n + 1)
        StatusChange.objects.create(integration=sign, old_status="down", new_status="healthy", at=at, reason="")
        Incident.objects.create(
            integration=sign, opened_at=at, closed_at=at + timedelta(hours=1), worst_status="down", cause="?"
        )
        WebhookLogFactory(webhook=Webhook.objects.get(integration=sign))
    client.force_login(alice)
    client.get(f"{BASE}/zoho-sign?tab={tab}")
    with django_assert_max_num_queries(18):
        client.get(f"{BASE}/zoho-sign?tab={tab}")


def test_what_is_not_there_or_not_for_the_reader_is_not_found(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    page = shown(client, "resend")
    for action in ("/switch", "/check", "/refresh", "Test webhook"):
        assert action not in page
    assert client.get(f"{BASE}/netcash").status_code == 404
    assert client.get(f"{BASE}/nothing").status_code == 404


def test_names_lead_here(client: Client, alice: User, sign: Integration) -> None:
    client.force_login(alice)
    overview = client.get(BASE).content.decode()
    assert overview.count(f'href="{BASE}/zoho-sign"') == 2  # the card, and "Details" of what needs attention
    assert f'href="{BASE}/zoho-sign"' in shown(client, "oauth")


def test_the_overview_is_exported_as_it_is_filtered(client: Client, alice: User) -> None:
    client.force_login(alice)
    page = client.get(f"{BASE}?q=zoho&oauth=1").content.decode()
    assert 'href="/api/admin/integrations.csv?search=zoho&amp;hasOAuth=true"' in page


# --- Switching -------------------------------------------------------------------------------------------------------


def test_switching_off_asks_first_and_says_what_it_means(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    client.force_login(alice)
    asked = client.post(f"{BASE}/didit-kyc/switch", {"to": "off"})
    assert "Switch Didit KYC off?" in asked.content.decode()
    assert Integration.objects.get(slug="didit-kyc").is_active
    done = client.post(f"{BASE}/didit-kyc/switch", {"to": "off", "sure": "yes"}, headers=HTMX)
    assert "Didit KYC is switched off" in done.content.decode()
    assert done.headers["HX-Trigger"] == "refresh"
    page = shown(client, "didit-kyc")
    assert "by <strong" in page
    assert "alice</strong>" in page
    assert "when it was last checked" in page
    assert "/check" not in page


def test_switching_on_lets_run_what_was_held_and_says_how_much(
    client: Client, alice: User, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[bool] = []
    monkeypatch.setattr(switch.wakeup, "look_soon", lambda: woken.append(True))
    services.change(registry["resend"], actor=PIETER, is_active=False)
    WebhookLogFactory(webhook=Webhook.objects.get(integration__slug="resend"), due_at=timezone.now(), status="pending")
    client.force_login(alice)
    here = {"Referer": f"http://testserver{BASE}/resend"}
    page = client.post(f"{BASE}/resend/switch", {"to": "on"}, follow=True, headers=here)
    assert page.redirect_chain == [(f"{BASE}/resend", 302)]
    assert "1 webhook event had waited" in page.content.decode()
    assert woken == [True]
    assert Activity.objects.latest("seq").details["held"] == 1


def test_switching_is_for_those_who_manage(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    client.force_login(bob)
    assert client.post(f"{BASE}/resend/switch", {"to": "off", "sure": "yes"}).status_code == 403
    assert Integration.objects.get(slug="resend").is_active
    assert Activity.objects.get(action="permission_denied").integration_slug == "resend"


# --- Incidents -------------------------------------------------------------------------------------------------------


def test_an_incident_tells_its_story_and_takes_notes(
    client: Client, alice: User, bob: User, sign: Integration
) -> None:
    incident = Incident.objects.get(integration=sign)
    client.force_login(alice)
    said = client.post(f"{BASE}/incidents/{incident.pk}", {"text": " Called Zoho.\n"}, follow=True)
    assert "Noted" in said.content.decode()
    assert IncidentNote.objects.get().text == "Called Zoho."
    body = shown(client, f"incidents/{incident.pk}", headers=HTMX)
    for words in ("Became down", "Token not renewed", "Called Zoho."):
        assert words in body
    assert "<!doctype html>" not in body
    assert (
        "Nothing to write down"
        in client.post(f"{BASE}/incidents/{incident.pk}", {"text": " "}, headers=HTMX).content.decode()
    )
    client.force_login(bob)
    assert "<textarea" not in shown(client, f"incidents/{incident.pk}")
    assert client.post(f"{BASE}/incidents/{incident.pk}", {"text": "x"}).status_code == 403


def test_an_incident_of_what_one_may_not_see_is_not_found(
    client: Client, charlie: User, registry: dict[str, Integration], sign: Integration
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    assert client.get(f"{BASE}/incidents/{Incident.objects.get().pk}").status_code == 404
