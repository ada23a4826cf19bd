"""Token answers, with the quirks of real providers."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from integrations.providers import get
from integrations.providers.spec import Answer, OAuth2, ProviderError
from oauth import flow

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ZOHO = get("zoho-crm").oauth
PLAIN = OAuth2(
    base_url_env="X", base_url="https://auth.example.com", authorize_path="/a", token_path="/t", revoke_path="/r",
    client_id_env="X_ID", client_secret_env="X_SECRET", scopes=("all",),
)  # fmt: skip
CLIENT = flow.Client(base_url="https://auth.example.com", client_id="id", client_secret="hush")


def answer(body: object, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={}, body=raw, elapsed_ms=1)


def test_a_refresh_is_a_form_with_the_clients_credentials():
    request = flow.refresh(ZOHO, CLIENT, refresh_token="r")
    assert request.method == "POST"
    assert request.url == "https://auth.example.com/oauth/v2/token"
    assert request.form == {
        "grant_type": "refresh_token", "refresh_token": "r", "client_id": "id", "client_secret": "hush",
    }  # fmt: skip


def test_nothing_secret_shows_in_a_repr():
    grant = flow.read_tokens(
        ZOHO, answer({"access_token": "top", "refresh_token": "secret", "expires_in": 3600}), now=NOW
    )
    assert "top" not in repr(grant)
    assert "secret" not in repr(grant)
    assert "hush" not in repr(CLIENT)


@pytest.mark.parametrize(
    ("body", "lifetime"),
    [
        ({"access_token": "a", "expires_in": 3600}, timedelta(hours=1)),
        ({"access_token": "a", "expires_in": "1800"}, timedelta(minutes=30)),
        ({"access_token": "a", "expires_in": 3600000, "expires_in_sec": 3600}, timedelta(hours=1)),
        ({"access_token": "a"}, timedelta(hours=1)),
        ({"access_token": "a", "expires_in": "soon"}, timedelta(hours=1)),
        ({"access_token": "a", "expires_in": -5}, timedelta(hours=1)),
        ({"access_token": "a", "expires_in": 1e300}, timedelta(hours=1)),
        (b'{"access_token": "a", "expires_in": 1%s}' % (b"0" * 400), timedelta(hours=1)),
        (b'{"access_token": "a", "expires_in": 1%s}' % (b"0" * 5000), timedelta(hours=1)),
        (b'{"access_token": "a", "expires_in": Infinity}', timedelta(hours=1)),
        (b'{"access_token": "a", "expires_in": NaN}', timedelta(hours=1)),
        ({"access_token": "a", "expires_in": "1" + "0" * 400}, timedelta(hours=1)),
    ],
)
def test_the_lifetime_is_what_the_provider_says_or_usually_gives(body, lifetime):
    assert flow.read_tokens(ZOHO, answer(body), now=NOW).expires_at == NOW + lifetime


def test_without_a_refresh_token_the_one_there_is_stays():
    assert flow.read_tokens(ZOHO, answer({"access_token": "a"}), now=NOW).refresh_token == ""


def test_an_error_inside_a_200_is_an_error():
    with pytest.raises(ProviderError) as error:
        flow.read_tokens(ZOHO, answer({"error": "invalid_client"}), now=NOW)
    assert not error.value.permanent
    assert "ZOHO_CLIENT_SECRET" in error.value.words


@pytest.mark.parametrize(("oauth", "code"), [(ZOHO, "invalid_code"), (PLAIN, "invalid_grant")])
def test_a_dead_grant_is_permanent(oauth, code):
    with pytest.raises(ProviderError) as error:
        flow.read_tokens(oauth, answer({"error": code}), now=NOW)
    assert (error.value.permanent, error.value.code) == (True, flow.DEAD)


@pytest.mark.parametrize(
    ("oauth", "status", "body"),
    [
        (PLAIN, 429, {}),
        (
            ZOHO,
            400,
            {
                "error_description": "You have made too many requests continuously. Please try again after some time.",
                "error": "Access Denied",
                "status": "failure",
            },
        ),
    ],
)
def test_too_many_requests_is_no_dead_grant(oauth, status, body):
    with pytest.raises(ProviderError) as error:
        flow.read_tokens(oauth, answer(body, status), now=NOW)
    assert (error.value.permanent, error.value.code) == (False, flow.THROTTLED)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"[]", b"null", b"[" * 5000, {"access_token": 7}, {"access_token": ""}]
)
def test_nonsense_is_a_passing_error(body):
    with pytest.raises(ProviderError) as error:
        flow.read_tokens(ZOHO, answer(body, 502), now=NOW)
    assert not error.value.permanent


def test_oddities_beside_a_token_do_not_cost_the_token():
    body = {
        "access_token": "a",
        "scope": "one\x00two",
        "token_type": ["Bearer"],
        "api_domain": "\ud800https://x",
        "refresh_token": 7,
    }
    given = flow.read_tokens(ZOHO, answer(body), now=NOW)
    assert (given.access_token, given.refresh_token, given.scope) == ("a", "", "onetwo")
    assert (given.token_type, given.metadata) == ("Bearer", {"api_domain": "https://x"})


@pytest.mark.parametrize("token", ["", "a\x00b", "é", "\ud800", 5, None, ["a"]])
def test_what_can_not_be_a_token_is_none(token):
    with pytest.raises(ProviderError, match="refused to give a token"):
        flow.read_tokens(ZOHO, answer({"access_token": token}), now=NOW)


# --- The browser's way -----------------------------------------------------------------------------------------------


def test_the_address_of_the_consent_page_follows_the_providers_data():
    url = flow.authorization_url(PLAIN, CLIENT, redirect_uri="https://us.example/back", state="s", verifier="v" * 43)
    assert url == (
        "https://auth.example.com/a?response_type=code&client_id=id&redirect_uri=https%3A%2F%2Fus.example%2Fback"
        f"&scope=all&state=s&code_challenge={flow.challenge('v' * 43)}&code_challenge_method=S256"
    )
    assert "hush" not in url
    quirky = flow.authorization_url(ZOHO, CLIENT, redirect_uri="https://us.example/back", state="s")
    assert "access_type=offline&prompt=consent" in quirky
    assert "scope=ZohoCRM.org.READ%2CZohoCRM.modules.ALL" in quirky
    assert "challenge" not in quirky


def test_the_challenge_is_that_of_rfc_7636_appendix_b():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert flow.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_verifier_goes_with_the_code_and_only_where_there_is_one():
    plain = flow.exchange(PLAIN, CLIENT, code="c", redirect_uri="https://us.example/back")
    assert "code_verifier" not in plain.form
    assert flow.exchange(PLAIN, CLIENT, code="c", redirect_uri="u", verifier="v").form["code_verifier"] == "v"


def test_a_callback_says_what_came_and_hides_it_in_its_repr():
    back = flow.read_callback({"state": "s-1", "code": "c-1", "accounts-server": "https://auth.example.com"})
    assert (back.state, back.code, back.error, back.server) == ("s-1", "c-1", "", "https://auth.example.com")
    assert not [secret for secret in ("s-1", "c-1") if secret in repr(back)]
    assert not back.cancelled
    assert flow.read_callback({}) == flow.Callback(state="", code="", error="", server="")


@pytest.mark.parametrize(
    ("error", "cancelled"), [("access_denied", True), ("Access Denied", True), ("server_error", False), ("", False)]
)
def test_a_no_is_told_apart_from_an_error(error, cancelled):
    assert flow.read_callback({"error": error}).cancelled is cancelled


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example", "https://a.example/", True),
        ("https://a.example:443", "HTTPS://A.EXAMPLE", True),
        ("http://127.0.0.1:9000/accounts", "http://127.0.0.1:9000/accounts/", True),
        ("http://127.0.0.1:9000/accounts", "http://127.0.0.1:9001/accounts", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example.evil.example", False),
        ("https://a.example", "https://a.example/x", False),
        ("https://a.example", "https://u@a.example", False),
        ("ftp://a.example", "ftp://a.example", False),
        ("", "", False),
    ],
)
def test_servers_are_the_same_to_the_letter_or_not_at_all(one, other, same):
    assert flow.same_server(one, other) is same


# --- Taking a token back ---------------------------------------------------------------------------------------------


def test_a_revocation_names_our_client_where_the_rfc_wants_it_and_not_to_zoho():
    request = flow.revoke(PLAIN, CLIENT, token="r", hint="refresh_token")
    assert (request.method, request.url, request.params) == ("POST", "https://auth.example.com/r", {})
    assert request.form == {
        "token": "r", "token_type_hint": "refresh_token", "client_id": "id", "client_secret": "hush",
    }  # fmt: skip
    request = flow.revoke(ZOHO, CLIENT, token="r", hint="refresh_token")
    assert (request.url, request.form) == ("https://auth.example.com/oauth/v2/token/revoke", {"token": "r"})


@pytest.mark.parametrize(
    ("oauth", "body", "status"),
    [
        (PLAIN, b"", 200),
        (PLAIN, b"whatever: the RFC says to look at the status alone", 200),
        (PLAIN, {"error": "invalid_token"}, 400),
        (PLAIN, {"error": "invalid_grant"}, 400),
        (ZOHO, {"status": "success"}, 200),
        (ZOHO, {"error": "invalid_token"}, 400),
        (ZOHO, {"error": "invalid_code"}, 200),
    ],
)
def test_a_token_is_gone(oauth, body, status):
    flow.read_revoked(oauth, answer(body, status))
    assert flow.revoke_error_in(answer(body, status), oauth) == ""


@pytest.mark.parametrize(
    ("oauth", "body", "status", "code"),
    [
        (PLAIN, b"", 503, "not_revoked"),
        (PLAIN, {"error": "invalid_client"}, 401, "invalid_client"),
        (PLAIN, {"error": "unsupported_token_type"}, 400, "unsupported_token_type"),
        (PLAIN, b"", 302, "not_revoked"),
        (ZOHO, b"<html>Down for maintenance</html>", 200, "not_revoked"),
        (ZOHO, {"error": "general_error"}, 200, "general_error"),
        (ZOHO, {"status": "failure"}, 200, "not_revoked"),
        (ZOHO, ["success"], 200, "not_revoked"),
    ],
)
def test_a_token_may_still_be_good(oauth, body, status, code):
    with pytest.raises(ProviderError, match="did not confirm") as error:
        flow.read_revoked(oauth, answer(body, status))
    assert (error.value.code, error.value.permanent) == (code, False)
    assert flow.revoke_error_in(answer(body, status), oauth)


def test_asked_for_too_much_a_revocation_waits():
    body = {"error": "Access Denied", "error_description": "You have made too many requests continuously."}
    with pytest.raises(flow.Throttled) as error:
        flow.read_revoked(ZOHO, answer(body, 400))
    assert error.value.wait == timedelta(minutes=10)
