"""POST …/oauth/{slug}/authorize."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from guardian.shortcuts import assign_perm

from integrations.accounts.models import User
from integrations.models import Activity
from oauth.models import AuthorizationRequest
from tests.oauth.test_authorize import consent

from .conftest import BASE, Caller, assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

ROAD = "/oauth/zoho-crm/authorize"


def test_it_answers_the_address_to_open(api: Caller, sandbox: Any, registry: Any, alice: User, client: Client) -> None:
    answer = api.post(ROAD)
    assert answer.status_code == 200
    assert list(answer.json()) == ["authorizationUrl"]
    assert AuthorizationRequest.objects.get().session_hash == ""
    assert Activity.objects.filter(action="oauth_connect_started", username="alice").count() == 1
    client.force_login(alice)
    client.get("/oauth/callback", consent(answer.json()["authorizationUrl"]))
    tokens = api.get("/oauth/tokens").json()["tokens"]
    assert {row["integrationSlug"]: row["status"] for row in tokens}["zoho-crm"] == "valid"


def test_a_browser_that_calls_it_is_the_one_that_comes_back(
    sandbox: Any, registry: Any, alice: User, client: Client
) -> None:
    client.force_login(alice)
    url = client.post(BASE + ROAD).json()["authorizationUrl"]
    assert AuthorizationRequest.objects.get().session_hash
    elsewhere = Client()
    elsewhere.force_login(alice)
    back = consent(url)
    elsewhere.get("/oauth/callback", back)
    assert "another browser" in elsewhere.get("/oauth/result").content.decode()
    client.get("/oauth/callback", back)
    assert "is connected" in client.get("/oauth/result").content.decode()


def test_what_uses_no_oauth(api: Caller, registry: Any) -> None:
    assert_problem(api.post("/oauth/resend/authorize"), 409, "not_oauth")


def test_without_credentials_it_names_them(api: Caller, registry: Any) -> None:
    problem = assert_problem(api.post(ROAD), 409, "not_configured")
    assert "ZOHO_CLIENT_ID and ZOHO_CLIENT_SECRET" in problem["detail"]


def test_who_may(
    calling: Callable[..., Caller], sandbox: Any, registry: Any, alice: User, bob: User, charlie: User
) -> None:
    assert_problem(calling(bob).post(ROAD), 403, "permission_denied")
    assert_problem(calling(alice, scopes=["integrations:read"]).post(ROAD), 403, "permission_denied")
    assign_perm("integrations.manage", charlie, registry["zoho-crm"])
    assert calling(charlie).post(ROAD).status_code == 200
    assert_problem(calling(charlie).post("/oauth/zoho-sign/authorize"), 404, "not_found")
    assert_problem(calling(alice).post("/oauth/nothing/authorize"), 404, "not_found")
