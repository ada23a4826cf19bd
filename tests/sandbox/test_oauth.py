"""Zoho's authorisation server, as the app meets it."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from integrations import providers
from integrations.providers.zoho import oauth as zoho_oauth
from integrations.sandbox import oauth, tokens
from integrations.sandbox.server import Sandbox

from .conftest import Ask, Clock, connect, grant, token

BACK = "http://localhost:8000/oauth/callback"


def asked(sandbox: Sandbox, lent: dict[str, str], **changes: str) -> dict[str, str]:
    return {
        "client_id": lent["ZOHO_CLIENT_ID"],
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "ZohoCRM.org.READ,Desk.basic.READ",
        "state": "s-1",
        "access_type": "offline",
        "prompt": "consent",
        **changes,
    }


def consented(sandbox: Sandbox, lent: dict[str, str], decision: str = "accept", **changes: str) -> dict[str, str]:
    """What the callback's query says after a click on one of the consent page's buttons."""
    url = f"{sandbox.url}/accounts/oauth/v2/auth"
    page = requests.get(url, params=asked(sandbox, lent, **changes), timeout=5)
    assert page.status_code == 200
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    origin = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
    answer = requests.post(
        url, data={**fields, "decision": decision}, headers=origin, allow_redirects=False, timeout=5
    )
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(BACK + "?")
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def test_accept_leads_back_with_a_code_that_gives_tokens(sandbox: Sandbox, lent: dict[str, str], ask: Ask) -> None:
    back = consented(sandbox, lent)
    assert (back["state"], back["location"], back["accounts-server"]) == ("s-1", "us", f"{sandbox.url}/accounts")
    content = token(grant_type="authorization_code", code=back["code"], redirect_uri=BACK).json()
    assert (content["token_type"], content["expires_in"], content["api_domain"]) == ("Bearer", 3600, sandbox.url)
    assert content["scope"] == "ZohoCRM.org.READ Desk.basic.READ"
    assert content["refresh_token"]
    for slug in ("zoho-crm", "zoho-desk"):  # one grant for two products
        assert ask(slug, key=content["access_token"]).status == 200
    assert ask("zoho-sign", key=content["access_token"]).status == 401


def test_reject_is_told_as_access_denied(sandbox: Sandbox, lent: dict[str, str]) -> None:
    assert consented(sandbox, lent, decision="reject") == {"error": "access_denied", "state": "s-1"}


def test_without_offline_there_is_no_refresh_token(sandbox: Sandbox, lent: dict[str, str]) -> None:
    code = consented(sandbox, lent, access_type="online")["code"]
    assert "refresh_token" not in token(grant_type="authorization_code", code=code, redirect_uri=BACK).json()


def test_a_code_is_good_once(sandbox: Sandbox, lent: dict[str, str]) -> None:
    code = consented(sandbox, lent)["code"]
    first, second = (token(grant_type="authorization_code", code=code, redirect_uri=BACK) for _ in range(2))
    assert "access_token" in first.json()
    assert (second.status_code, second.json()) == (200, {"error": "invalid_code"})


def test_a_code_is_good_for_a_minute(sandbox: Sandbox, lent: dict[str, str], clock: Clock) -> None:
    code = consented(sandbox, lent)["code"]
    clock.now += 60
    assert token(grant_type="authorization_code", code=code, redirect_uri=BACK).json() == {"error": "invalid_code"}


def test_a_code_belongs_to_its_redirect(sandbox: Sandbox, lent: dict[str, str]) -> None:
    code = consented(sandbox, lent)["code"]
    answer = token(grant_type="authorization_code", code=code, redirect_uri="http://localhost:8000/other")
    assert answer.json() == {"error": "invalid_redirect_uri"}


@pytest.mark.parametrize(("verifier", "good"), [("v" * 43, True), ("w" * 43, False), ("", False)])
def test_pkce_is_checked_when_a_challenge_was_given(
    sandbox: Sandbox, lent: dict[str, str], verifier: str, good: bool
) -> None:
    challenge = urlsafe_b64encode(sha256(b"v" * 43).digest()).decode().rstrip("=")
    code = consented(sandbox, lent, code_challenge=challenge, code_challenge_method="S256")["code"]
    form = {"code": code, "redirect_uri": BACK, "code_verifier": verifier}
    assert ("access_token" in token(grant_type="authorization_code", **form).json()) is good


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "1000.SOMEBODYELSE"},
        {"scope": ""},
        {"scope": "everything"},
        {"response_type": "token"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "/oauth/callback"},
        {"redirect_uri": "http://localhost/\r\nX: y"},
    ],
)
def test_a_wrong_request_gets_a_page_that_says_so(
    sandbox: Sandbox, lent: dict[str, str], change: dict[str, str]
) -> None:
    url, wrong = f"{sandbox.url}/accounts/oauth/v2/auth", asked(sandbox, lent, **change)
    for answer in (requests.get(url, params=wrong, timeout=5), requests.post(url, data=wrong, timeout=5)):
        assert answer.status_code == 400
        assert "Zoho refuses" in answer.text


def test_the_consent_page_escapes_what_it_was_given(sandbox: Sandbox, lent: dict[str, str]) -> None:
    wanted = asked(sandbox, lent, state='"><script>alert(1)</script>')
    page = requests.get(f"{sandbox.url}/accounts/oauth/v2/auth", params=wanted, timeout=5)
    assert "<script>" not in page.text
    assert "form-action 'self' http://localhost:8000;" in page.headers["Content-Security-Policy"]


# --- Refreshing ------------------------------------------------------------------------------------------------------


def test_a_refresh_gives_a_new_access_token_and_no_refresh_token(sandbox: Sandbox, ask: Ask) -> None:
    first = grant("zoho-billing")
    second = token(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert "refresh_token" not in second
    assert second["access_token"] != first["access_token"]
    assert ask("zoho-billing", key=second["access_token"]).status == 200
    assert ask("zoho-billing", key=first["access_token"]).status == 200  # the older lives on


def test_a_refresh_token_survives_a_restart(lent: dict[str, str], sandbox: Sandbox, settings, clock: Clock) -> None:
    refresh_token = grant("zoho-crm")["refresh_token"]
    clock.now += 90 * 86_400
    with Sandbox(values=lent, clock=clock) as again:
        settings.SANDBOX_URL = again.url
        assert "access_token" in token(grant_type="refresh_token", refresh_token=refresh_token).json()


def test_the_lifetime_can_be_chosen(lent: dict[str, str], settings) -> None:
    with Sandbox(values=lent, token_lifetime=90) as short:
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = short.url, lent
        assert grant("zoho-crm")["expires_in"] == 90


def test_the_eleventh_token_in_ten_minutes_is_too_many(sandbox: Sandbox, clock: Clock) -> None:
    refresh_token = grant("zoho-crm")["refresh_token"]  # the first of ten
    answers = [token(grant_type="refresh_token", refresh_token=refresh_token) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 9 + [400]
    assert answers[-1].json() == {
        "error_description": "You have made too many requests continuously. Please try again after some time.",
        "error": "Access Denied",
        "status": "failure",
    }
    assert zoho_oauth.throttled(answers[-1].status_code, answers[-1].json())
    assert grant("zoho-crm")["access_token"]  # another grant has a budget of its own
    clock.now += 600
    assert "access_token" in token(grant_type="refresh_token", refresh_token=refresh_token).json()


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "1000.made.up"}, "invalid_code"),
        ({"grant_type": "refresh_token"}, "invalid_code"),
        ({"grant_type": "authorization_code", "code": "sandbox:resend"}, "invalid_code"),
        ({"grant_type": "authorization_code", "code": "sandbox:nobody"}, "invalid_code"),
        ({"grant_type": "authorization_code", "code": "sandbox:zoho-crm", "client_id": "x"}, "invalid_client"),
        (
            {"grant_type": "authorization_code", "code": "sandbox:zoho-crm", "client_secret": "x"},
            "invalid_client_secret",
        ),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
    ],
)
def test_errors_come_inside_a_200(sandbox: Sandbox, form: dict[str, str], error: str) -> None:
    answer = token(**form)
    assert (answer.status_code, answer.json()) == (200, {"error": error})


def test_an_access_token_is_no_refresh_token(sandbox: Sandbox, ask: Ask) -> None:
    given = grant("zoho-crm")
    assert token(grant_type="refresh_token", refresh_token=given["access_token"]).json() == {"error": "invalid_code"}
    assert ask("zoho-crm", key=given["refresh_token"]).status == 401


# --- Revoking --------------------------------------------------------------------------------------------------------


def test_revoking_ends_the_grant_and_its_access_tokens(sandbox: Sandbox, ask: Ask) -> None:
    given, other = grant("zoho-crm"), connect("zoho-crm")
    url = f"{sandbox.url}/accounts/oauth/v2/token/revoke"
    for _ in range(2):  # once more does no harm
        assert requests.post(url, data={"token": given["refresh_token"]}, timeout=5).json() == {"status": "success"}
    assert token(grant_type="refresh_token", refresh_token=given["refresh_token"]).json() == {"error": "invalid_code"}
    assert ask("zoho-crm", key=given["access_token"]).status == 401
    assert ask("zoho-crm", key=other).status == 200


def test_what_was_never_a_token_can_not_be_revoked(sandbox: Sandbox) -> None:
    answer = requests.post(f"{sandbox.url}/accounts/oauth/v2/token/revoke", data={"token": "x"}, timeout=5)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_token"})


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("invalid_code", 200, "invalid_code"),
        ("throttle", 400, "Access Denied"),
        ("fail", 500, "general_error"),
        ("refuse", 200, "invalid_client"),
    ],
)
def test_faults_of_the_token_endpoint(sandbox: Sandbox, fault: str, status: int, error: str) -> None:
    refresh_token = grant("zoho-crm")["refresh_token"]
    sandbox.set_fault("zoho-accounts", fault)
    answer = token(grant_type="refresh_token", refresh_token=refresh_token)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    sandbox.clear_fault("zoho-accounts")
    assert "access_token" in token(grant_type="refresh_token", refresh_token=refresh_token).json()


# --- The tokens themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoilt", ["", "1000", "1000..", "1000.e30.", "1000.ä.ö", "2000.e30.x"])
def test_what_was_not_sealed_here_is_no_token(spoilt: str) -> None:
    assert tokens.unseal("access", spoilt, "key", 0) is None


def test_a_token_is_bound_to_its_kind_key_and_every_byte() -> None:
    good = tokens.seal("access", {"scope": "Desk.basic.READ", "until": 100}, "key")
    assert tokens.unseal("access", good, "key", 99)
    assert tokens.unseal("access", good, "key", 100) is None
    assert tokens.unseal("refresh", good, "key", 99) is None
    assert tokens.unseal("access", good, "other", 99) is None
    assert tokens.unseal("access", good, "", 99) is None
    head, body, mac = good.split(".")
    assert tokens.unseal("access", f"{head}.{body[:-2]}AA.{mac}", "key", 99) is None


def test_server_info_names_this_server(sandbox: Sandbox) -> None:
    content = requests.get(f"{sandbox.url}/accounts/oauth/serverinfo", timeout=5).json()
    assert content["locations"] == {"us": f"{sandbox.url}/accounts"}


def test_the_declared_paths_are_the_ones_played(sandbox: Sandbox) -> None:
    played = {route.path for route in oauth.API.routes}
    for provider in providers.PROVIDERS:
        if declared := provider.oauth:
            assert {declared.authorize_path, declared.token_path, declared.revoke_path} <= played
