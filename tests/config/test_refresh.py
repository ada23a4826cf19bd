"""A new token by a button of the overview's cards."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.accounts.models import User
from integrations.models import Activity, Integration
from oauth import services
from oauth.models import Grant, Token

pytestmark = pytest.mark.django_db

OVERVIEW = "/admin/integrations"
REFRESH = f"{OVERVIEW}/zoho-crm/refresh"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup, "sweep", lambda: told.append("sweep"))
    return told


@pytest.fixture
def crm(sandbox: object, registry: dict[str, Integration]) -> Integration:
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


def test_it_renews_says_so_and_has_health_looked_at(
    client: Client, alice: User, crm: Integration, woken: list[str]
) -> None:
    Integration.objects.update(check_due_at=timezone.now() + timedelta(hours=1))
    client.force_login(alice)
    assert f'hx-post="{REFRESH}"' in client.get(OVERVIEW).content.decode()
    response = client.post(REFRESH, headers=HTMX)
    assert response.headers["HX-Trigger"] == "refresh"
    assert b"Zoho CRM has a new token" in response.content
    assert b'data-category="success"' in response.content
    until = timezone.localtime(Token.objects.get().expires_at)
    assert f"It is good until {until:%H:%M}." in response.content.decode()
    assert Token.objects.get().refresh_count == 1
    crm.refresh_from_db()
    assert (crm.check_due_at <= timezone.now(), woken) == (True, ["sweep"])
    assert Activity.objects.get(action="oauth_refreshed").username == "alice"


def test_without_scripts_it_comes_back_with_a_message(client: Client, alice: User, crm: Integration) -> None:
    client.force_login(alice)
    response = client.post(REFRESH, follow=True)
    assert response.redirect_chain == [(OVERVIEW, 302)]
    assert b"Zoho CRM has a new token. It is good until" in response.content


def test_a_provider_that_refuses_is_told_in_its_words(
    client: Client, alice: User, crm: Integration, sandbox: object
) -> None:
    sandbox.set_fault("zoho-accounts", "refuse")  # type: ignore[attr-defined]
    client.force_login(alice)
    response = client.post(REFRESH, headers=HTMX)
    assert response.status_code == 200
    assert b"Zoho CRM was not renewed" in response.content
    assert b"invalid_client" in response.content
    assert b'data-category="error"' in response.content
    assert "Retrying" in client.get(OVERVIEW).content.decode()


@pytest.mark.parametrize("slug", ["resend", "zoho-desk"])
def test_what_has_nothing_to_renew_says_so(
    client: Client, alice: User, registry: dict[str, Integration], slug: str
) -> None:
    client.force_login(alice)
    response = client.post(f"{OVERVIEW}/{slug}/refresh", headers=HTMX)
    assert b"was not renewed" in response.content
    assert f"{OVERVIEW}/{slug}/refresh" not in client.get(OVERVIEW).content.decode()


@pytest.mark.parametrize("state", ["uncertain", "needs_reauth", "revoking", "revoked"])
def test_where_only_connecting_helps_there_is_no_button(
    client: Client, alice: User, crm: Integration, state: str
) -> None:
    Grant.objects.update(state=state)
    client.force_login(alice)
    assert REFRESH not in client.get(OVERVIEW).content.decode()


def test_only_those_who_may_renew_it_see_the_button(
    client: Client, bob: User, charlie: User, crm: Integration
) -> None:
    client.force_login(bob)
    assert REFRESH not in client.get(OVERVIEW).content.decode()
    assert client.post(REFRESH, headers=HTMX).status_code == 403
    assert client.get(REFRESH).status_code == 405
    for perm in ("read", "oauth:refresh"):
        assign_perm(f"integrations.{perm}", charlie, crm)
    client.force_login(charlie)
    page = client.get(OVERVIEW).content.decode()
    assert REFRESH in page
    assert "/check" not in page
    assert client.post(REFRESH, headers=HTMX).status_code == 200
    assert Token.objects.get().refresh_count == 1


def test_what_one_may_not_see_is_not_there(client: Client, charlie: User, registry: dict[str, Integration]) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert client.post(REFRESH).status_code == 404
