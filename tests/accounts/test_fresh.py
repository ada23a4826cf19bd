"""Dangerous actions want a fresh login, by pages and by the API."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from integrations.accounts.models import User
from integrations.models import Activity, Integration
from tests.api.conftest import Caller, assert_problem
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

PROVE, REVOKE, TOKENS = "/accounts/prove/", "/admin/integrations/oauth/zoho-crm/revoke", "/admin/integrations/oauth"
BY_API = "/api/admin/integrations/oauth/zoho-crm/revoke"


@pytest.fixture
def stale(client: Client, alice: User, registry: dict[str, Integration]) -> Iterator[Client]:
    """Alice, who signed in six minutes ago."""
    client.force_login(alice)
    later = timezone.now() + timedelta(minutes=6)
    with time_machine.travel(later, tick=True):
        yield client


def test_within_five_minutes_nobody_is_asked(client: Client, alice: User, registry: dict[str, Integration]) -> None:
    client.force_login(alice)
    assert client.post(REVOKE).status_code == 200  # it asks whether they are sure, as ever


def test_later_they_prove_who_they_are_and_come_back_to_the_page(stale: Client) -> None:
    answer = stale.post(REVOKE, headers={"Referer": f"http://testserver{TOKENS}?q=zoho"})
    assert answer["Location"] == f"{PROVE}?next=%2Fadmin%2Fintegrations%2Foauth%3Fq%3Dzoho"
    wrong = stale.post(PROVE, {"next": TOKENS, "password": "guessed"})
    assert wrong.status_code == 422
    assert stale.post(REVOKE).status_code == 302
    right = stale.post(PROVE, {"next": TOKENS, "password": PASSWORD})
    assert right["Location"] == TOKENS
    assert stale.post(REVOKE).status_code == 200


@pytest.mark.parametrize("then", ["overview", "foo", "//evil.example", "https://evil.example/", "/\\evil.example"])
def test_whoever_proved_it_goes_nowhere_else(stale: Client, then: str) -> None:
    assert stale.post(PROVE, {"next": then, "password": PASSWORD})["Location"] == "/admin/integrations"


def test_htmx_is_led_there_by_its_own_header(stale: Client) -> None:
    answer = stale.post(REVOKE, headers={"HX-Request": "true", "Referer": f"http://testserver{TOKENS}"})
    assert answer["HX-Redirect"] == f"{PROVE}?next=%2Fadmin%2Fintegrations%2Foauth"


def test_nobody_is_led_elsewhere_by_it(stale: Client) -> None:
    answer = stale.post(PROVE, {"next": "https://evil.example/", "password": PASSWORD})
    assert answer["Location"] == "/admin/integrations"


def test_the_api_says_so_and_the_refusal_is_kept(stale: Client) -> None:
    assert_problem(stale.delete(BY_API), 403, "fresh_login_required")
    assert Activity.objects.get(outcome="refused").username == "alice"


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ([], 403),
        (["integrations:manage"], 403),
        (["dangerous"], 409),
        (["integrations:manage", "dangerous"], 409),
        (["integrations:read", "dangerous"], 403),
    ],
)
def test_a_token_needs_the_scope(
    alice: User, registry: dict[str, Integration], scopes: list[str], status: int
) -> None:
    """409: nothing to revoke. The scope alone opens no door and confines to nothing."""
    assert Caller(alice, scopes=scopes).send("DELETE", "/oauth/zoho-crm/revoke").status_code == status


def test_the_scope_makes_nobody_more_than_they_are(bob: User) -> None:
    assert_problem(
        Caller(bob, scopes=["dangerous"]).send("DELETE", "/oauth/zoho-crm/revoke"), 403, "permission_denied"
    )
