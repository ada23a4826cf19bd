"""Connecting from the pages, without a browser: who is offered it, and the page for every way it can end."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.models import Activity, Integration
from oauth import services
from oauth.models import AuthorizationRequest, Token
from tests.factories import GrantFactory, TokenFactory
from tests.oauth.test_authorize import consent

pytestmark = pytest.mark.django_db(transaction=True)

OVERVIEW, CONNECT = "/admin/integrations", "/admin/integrations/zoho-crm/connect"
CALLBACK, RESULT = "/oauth/callback", "/oauth/result"


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[bool]:
    calls: list[bool] = []
    monkeypatch.setattr(wakeup, "sweep", lambda: calls.append(True))
    return calls


@pytest.fixture
def crm(sandbox, registry):
    return registry["zoho-crm"]


def link(client: Client) -> str:
    """The address that the page with "Continue" leads to."""
    page = client.post(CONNECT)
    assert page.status_code == 200
    return unescape(re.search(r'<a class="btn" href="([^"]+)" rel="noreferrer">', page.content.decode())[1])


def come_back(client: Client, query: dict[str, str]) -> str:
    """What the page says on which one ends up."""
    answer = client.get(f"{CALLBACK}?{urlencode(query)}")
    assert (answer.status_code, answer.headers["Location"]) == (302, RESULT)
    page = client.get(RESULT)
    assert page.status_code == 200
    return page.content.decode()


def test_the_whole_way(crm, client, alice, woken):
    Integration.objects.filter(pk=crm.pk).update(check_due_at=timezone.now() + timedelta(hours=1))
    client.force_login(alice)
    page = come_back(client, consent(link(client)))
    assert "Zoho CRM is connected" in page
    assert "Try again" not in page
    assert services.access_token(crm)
    crm.refresh_from_db()
    assert crm.check_due_at <= timezone.now()
    assert woken


def test_the_page_before_names_the_server_and_the_permissions(crm, client, alice, sandbox):
    client.force_login(alice)
    page = client.post(CONNECT)
    assert urlsplit(sandbox.url).netloc in page.content.decode()
    assert "ZohoCRM.modules.ALL" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": "access_denied"}, "You cancelled"),
        ({"error": "<b>invalid_scope"}, "&lt;b&gt;invalid_scope"),
        ({"accounts-server": "https://evil.example"}, "Stopped: a foreign server"),
        ({"code": "made-up"}, "did not take its own code"),
        ({"state": "made-up"}, "not given out here"),
    ],
)
def test_every_ending_has_its_page(crm, client, alice, changes, words):
    client.force_login(alice)
    page = come_back(client, consent(link(client)) | changes)
    assert words in page
    assert "Nothing was stored" in page
    assert "To the overview" in page
    assert ("Try again" in page) is ("state" not in changes)
    assert not Token.objects.exists()


def test_a_link_that_was_used_stores_nothing_again(crm, client, alice):
    client.force_login(alice)
    back = consent(link(client))
    come_back(client, back)
    assert "used already" in come_back(client, back)


def test_an_api_that_refuses_the_token(crm, client, alice, sandbox):
    client.force_login(alice)
    sandbox.set_fault("zoho-crm", "refuse")
    assert "the API does not take it" in come_back(client, consent(link(client)))
    assert not Token.objects.exists()


def test_a_server_that_is_away(crm, client, alice, sandbox):
    client.force_login(alice)
    back = consent(link(client))
    sandbox.set_fault("zoho-accounts", "reset")
    assert "could not be reached" in come_back(client, back)


def test_the_session_that_began_it_has_to_end_it(crm, client, alice, bob):
    client.force_login(alice)
    back = consent(link(client))
    client.logout()
    client.force_login(alice)
    assert "another browser" in come_back(client, back)
    client.force_login(bob)
    assert "somebody else" in come_back(client, back)
    assert not Token.objects.exists()


def test_who_is_signed_out_meanwhile_is_told_and_the_code_goes_no_further(crm, client, alice):
    client.force_login(alice)
    back = consent(link(client))
    client.logout()
    answer = client.get(f"{CALLBACK}?{urlencode(back)}")
    page = answer.content.decode()
    assert answer.status_code == 401
    assert "You are signed out" in page
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not [secret for secret in (back["code"], back["state"]) if secret in page]
    assert AuthorizationRequest.objects.get().used_at is None


def test_no_page_holds_code_or_state_of_what_came_back(crm, client, alice):
    client.force_login(alice)
    for changes in ({}, {"error": "access_denied"}, {"state": "made-up"}):
        back = consent(link(client)) | changes
        page = come_back(client, back)
        assert back["code"] not in page
        assert back["state"] not in page


def test_without_a_result_there_is_nothing_to_see(client, alice):
    client.force_login(alice)
    assert client.get(RESULT).headers["Location"] == OVERVIEW


@pytest.mark.parametrize("method", ["post", "head"])
def test_only_a_get_comes_back(client, alice, method):
    client.force_login(alice)
    assert getattr(client, method)(CALLBACK).status_code == 405


def test_without_credentials_the_overview_says_what_to_set(registry, client, alice):
    client.force_login(alice)
    page = client.post(CONNECT, follow=True).content.decode()
    assert "ZOHO_CLIENT_ID and ZOHO_CLIENT_SECRET not set" in page


@pytest.mark.parametrize(
    ("role", "may"), [("Super Admin", True), ("IT Manager", False), ("Operations Manager", False)]
)
def test_it_is_offered_to_who_may_manage(crm, client, person, role, may):
    client.force_login(person("dana", role=role))
    assert (CONNECT in client.get(OVERVIEW).content.decode()) is may
    assert client.post(CONNECT).status_code == (200 if may else 403)
    assert Activity.objects.filter(action="permission_denied").exists() is not may


def test_a_grant_on_one_integration_offers_it_there_alone(crm, client, charlie):
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, crm)
    client.force_login(charlie)
    assert "Zoho CRM is connected" in come_back(client, consent(link(client)))
    assert client.post("/admin/integrations/zoho-sign/connect").status_code == 404


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("connected", False),
        ("retrying", False),
        ("revoking", False),
        ("uncertain", True),
        ("needs_reauth", True),
        ("revoked", True),
    ],
)
@pytest.mark.parametrize("health", ["down", "healthy"])
def test_it_is_offered_where_nothing_else_helps(registry, client, alice, state, offered, health):
    crm = registry["zoho-crm"]
    TokenFactory(integration=crm, grant=GrantFactory(state=state))
    Integration.objects.filter(pk=crm.pk).update(health_status=health)
    client.force_login(alice)
    page = client.get(OVERVIEW).content.decode()
    assert page.count(f'formaction="{CONNECT}"') == offered * (
        2 if health == "down" else 1
    )  # on the card, and where it needs attention
    assert ("Reconnect" in page) is offered


def test_what_uses_no_oauth_is_not_offered_it(registry, client, alice):
    client.force_login(alice)
    assert "/resend/connect" not in client.get(OVERVIEW).content.decode()


def test_the_query_of_a_link_is_whole(crm, client, alice):
    client.force_login(alice)
    query = dict(parse_qsl(urlsplit(link(client)).query))
    assert query["redirect_uri"].endswith(CALLBACK)
