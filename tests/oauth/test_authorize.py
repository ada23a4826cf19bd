"""Connecting, against the simulated authorisation server: the whole way, and every way that stores nothing."""

import re
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import time_machine
from django.utils import timezone

from integrations import actor, http, providers
from integrations.actor import Actor
from integrations.models import Activity, ApiMetric
from integrations.providers.spec import Answer, ProviderError
from oauth import flow, services
from oauth.models import AuthorizationRequest, Grant, Leftover, Token, TokenEvent
from oauth.services import authorize, refresh, servers
from oauth.services.authorize import Connected, Ending, NotConnected

pytestmark = pytest.mark.django_db(transaction=True)

SESSION = "alices-session-key"


@pytest.fixture
def crm(sandbox, registry):
    return registry["zoho-crm"]


@pytest.fixture
def who(alice) -> Actor:
    return Actor(username="alice", user_id=alice.pk)


def begin(integration, who: Actor, session: str = SESSION) -> str:
    return authorize.begin(integration, actor=who, session=session, now=timezone.now())


def consent(url: str, decision: str = "accept") -> dict[str, str]:
    """What the callback is asked with after a click on one of the consent page's buttons."""
    page = requests.get(url, timeout=5)
    assert page.status_code == 200, page.text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    target = urlsplit(url)
    origin = {"Origin": f"{target.scheme}://{target.netloc}", "Sec-Fetch-Site": "same-origin"}
    form = {**fields, "decision": decision}
    answer = requests.post(url.partition("?")[0], data=form, headers=origin, allow_redirects=False, timeout=5)
    location = answer.headers["Location"]
    assert location.startswith(authorize.redirect_uri() + "?")
    return dict(parse_qsl(urlsplit(location).query))


def finish(back: dict[str, str], user, session: str = SESSION) -> Connected:
    who = Actor(username=user.username, user_id=user.pk)
    return authorize.finish(back, user=user, session=session, actor=who, now=timezone.now())


def refused(back: dict[str, str], user, ending: Ending, session: str = SESSION) -> str:
    """What is told; nothing may be stored, and what was stored must be as it was."""
    before = list(Token.objects.values()), list(Grant.objects.values())
    with pytest.raises(NotConnected) as error:
        finish(back, user, session)
    assert error.value.ending == ending, error.value.words
    assert (list(Token.objects.values()), list(Grant.objects.values())) == before
    return error.value.words


# --- The whole way ---------------------------------------------------------------------------------------------------


def test_consent_leads_to_a_token_that_works_and_can_be_renewed(crm, alice, who):
    done = finish(consent(begin(crm, who)), alice)
    assert done.warnings == ()
    assert services.access_token(crm) == Token.objects.get().access_token()
    assert services.refresh_now(crm, actor=who).refresh_count == 1
    assert TokenEvent.objects.filter(kind="connected", actor="alice").count() == 1
    assert list(Activity.objects.values_list("action", "outcome").order_by("seq")) == [
        ("oauth_connect_started", "success"),
        ("oauth_connected", "success"),
        ("oauth_refreshed", "success"),
    ]
    assert ApiMetric.objects.filter(source=ApiMetric.Source.PROBE, status_code=200).count() == 1


def test_what_is_asked_for_is_what_the_provider_declares(crm, who, settings):
    settings.PUBLIC_URL = "https://integrations.example.com"
    url = urlsplit(begin(crm, who))
    asked = dict(parse_qsl(url.query))
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{settings.SANDBOX_URL}/accounts/oauth/v2/auth"
    assert asked.pop("state")
    assert asked == {
        "access_type": "offline",
        "prompt": "consent",
        "response_type": "code",
        "client_id": settings.SANDBOX_VALUES["ZOHO_CLIENT_ID"],
        "redirect_uri": "https://integrations.example.com/oauth/callback",
        "scope": ",".join(crm.spec.oauth.scopes),
    }


def test_only_a_hash_of_the_state_and_of_the_session_is_kept(crm, who):
    state = dict(parse_qsl(urlsplit(begin(crm, who)).query))["state"]
    asked = AuthorizationRequest.objects.get()
    assert asked.state_hash == sha256(state.encode()).hexdigest()
    assert asked.session_hash == sha256(SESSION.encode()).hexdigest()
    assert len(state) >= 43
    assert begin(crm, who) != begin(crm, who)


def test_with_pkce_only_who_knows_the_verifier_can_use_the_code(crm, alice, who, monkeypatch):
    with_pkce(monkeypatch)
    url = begin(crm, who)
    asked, query = AuthorizationRequest.objects.get(), dict(parse_qsl(urlsplit(url).query))
    assert asked.verifier_sealed.startswith("v1.")
    assert asked.verifier() not in url
    assert (query["code_challenge"], query["code_challenge_method"]) == (flow.challenge(asked.verifier()), "S256")
    back = consent(url)
    client = servers.client_of(crm, crm.spec.oauth, server="")
    for verifier in ("", "another"):
        request = flow.exchange(
            crm.spec.oauth, client, code=back["code"], redirect_uri=authorize.redirect_uri(), verifier=verifier
        )
        assert b"invalid_code" in refresh.ask(crm, crm.spec.oauth, request).body
    finish(consent(begin(crm, who)), alice)
    assert services.access_token(crm)


def with_pkce(monkeypatch) -> None:
    provider = providers.get("zoho-crm")
    declared = replace(provider, auth=replace(provider.oauth, pkce=True))
    monkeypatch.setitem(providers._BY_SLUG, "zoho-crm", declared)


def test_a_verifier_that_was_moved_to_another_request_opens_nothing(crm, alice, who, monkeypatch):
    with_pkce(monkeypatch)
    begin(crm, who)
    stolen = AuthorizationRequest.objects.get().verifier_sealed
    back = consent(begin(crm, who))
    AuthorizationRequest.objects.update(verifier_sealed=stolen)
    assert "can't be read" in refused(back, alice, Ending.REFUSED)


def test_connecting_again_replaces_a_dead_grant(crm, alice, who):
    finish(consent(begin(crm, who)), alice)
    Grant.objects.update(state="needs_reauth", last_error="gone")
    assert services.needs_connecting(Token.objects.select_related("grant").get())
    finish(consent(begin(crm, who)), alice)
    assert services.access_token(crm)
    assert (Token.objects.count(), Grant.objects.count()) == (1, 1)


def test_who_asked_with_an_api_token_may_come_back_in_any_browser(crm, alice, who):
    finish(consent(begin(crm, who, session="")), alice, session="whatever")
    assert services.access_token(crm)


def test_without_a_refresh_token_it_is_kept_and_told(crm, alice, who):
    url = begin(crm, who).replace("access_type=offline", "access_type=online")
    done = finish(consent(url), alice)
    assert len(done.warnings) == 1
    assert "No refresh token" in done.warnings[0]
    assert services.access_token(crm)
    assert TokenEvent.objects.get().detail == done.warnings[0]
    assert services.needs_connecting(done.token)


@pytest.mark.parametrize("fault", ["fail", "throttle", "reset"])
def test_an_api_that_is_merely_down_does_not_stand_in_the_way(crm, sandbox, alice, who, fault):
    sandbox.set_fault("zoho-crm", fault)
    done = finish(consent(begin(crm, who)), alice)
    assert "could not be tried" in done.warnings[0]
    assert services.access_token(crm)


# --- Ways that store nothing -----------------------------------------------------------------------------------------


@pytest.fixture
def connected(crm, alice, who):
    """An older connection, which has to stay as it is."""
    finish(consent(begin(crm, who)), alice)
    return crm


def test_a_token_that_the_api_refuses_leaves_the_old_one(connected, sandbox, alice, who):
    sandbox.set_fault("zoho-crm", "refuse")
    assert "does not take it" in refused(consent(begin(connected, who)), alice, Ending.REFUSED)
    assert Activity.objects.filter(action="oauth_connected", outcome="failure").count() == 1


def test_a_token_that_the_api_refuses_is_revoked_where_it_is_from(connected, sandbox, alice, who):
    held = Token.objects.get().refresh_token()
    sandbox.set_fault("zoho-crm", "refuse")
    refused(consent(begin(connected, who)), alice, Ending.REFUSED)
    left = Leftover.objects.get()
    assert (left.why, left.hint, left.token() != held) == ("refused", "refresh_token", True)
    sandbox.clear_fault("zoho-crm")
    assert services.keep_fresh()["revoked"] == ["zoho-crm"]
    assert not Leftover.objects.exists()
    assert services.access_token(connected)
    assert services.refresh_now(connected, actor=who)  # the grant that was there is untouched


def test_cancelled_is_no_error(connected, alice, who):
    refused(consent(begin(connected, who), "reject"), alice, Ending.CANCELLED)
    back = {"state": state_of(begin(connected, who)), "error": "Access Denied"}
    refused(back, alice, Ending.CANCELLED)
    assert Activity.objects.filter(action="oauth_connected", details__reason="cancelled").count() == 2


@pytest.mark.parametrize("error", ["invalid_scope", "general_error", "x" * 2000, "\x1b[31m"])
def test_an_error_of_the_providers_is_told(connected, alice, who, error):
    words = refused({"state": state_of(begin(connected, who)), "error": error}, alice, Ending.REFUSED)
    assert words.isprintable()
    assert len(words) < 100


def state_of(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["state"]


@pytest.mark.parametrize("state", [None, "", "guessed", "x" * 5000, "\x00"])
def test_a_state_that_was_never_given_out(connected, alice, who, state):
    back = consent(begin(connected, who))
    given = {name: value for name, value in (back | {"state": state}).items() if value is not None}
    assert "not given out here" in refused(given, alice, Ending.STALE)
    finish(back, alice)  # and it harmed nobody


def test_a_state_is_good_once(connected, alice, who):
    back = consent(begin(connected, who))
    finish(back, alice)
    again = consent(begin(connected, who))
    assert "used already" in refused(again | {"state": back["state"]}, alice, Ending.STALE)


def test_somebody_else_can_not_use_it_nor_use_it_up(connected, alice, who, person):
    back = consent(begin(connected, who))
    assert "somebody else" in refused(back, person("mallory", role="Super Admin"), Ending.STALE)
    finish(back, alice)


def test_another_browser_can_not_use_it_nor_use_it_up(connected, alice, who):
    back = consent(begin(connected, who))
    for session in ("another", ""):
        assert "another browser" in refused(back, alice, Ending.STALE, session)
    finish(back, alice)


def test_after_ten_minutes_it_is_over(connected, alice, who):
    back = consent(begin(connected, who))
    with time_machine.travel(timezone.now() + timedelta(minutes=10, seconds=1), tick=True):
        assert "expired" in refused(back, alice, Ending.STALE)


def test_who_may_not_manage_it_any_more_stores_nothing(connected, alice, who):
    back = consent(begin(connected, who))
    alice.groups.clear()
    alice = type(alice).objects.get(pk=alice.pk)
    assert "no longer" in refused(back, alice, Ending.REFUSED)


FOREIGN = [
    "https://accounts.zoho.com.evil.example",
    "https://evil.example/accounts",
    "https://accounts.zoho.eu@evil.example",
    "http://accounts.zoho.eu",
    "https://accounts.zoho.eu:8443",
    "https://accounts.zoho.eu/elsewhere",
    "https://accounts.zoho.eu?x=1",
    "https://accounts.zoho.eu#x",
    "https://accounts.zoho.eu\\@evil.example",
    "//accounts.zoho.eu",
    "accounts.zoho.eu",
    "https://accounts.zoho.eu\t",
    "https://аccounts.zoho.eu",  # its first а is a Cyrillic one
    "https://[::1",
    "https://",
]


@pytest.mark.parametrize("server", FOREIGN)
def test_a_foreign_server_is_told_nothing(connected, alice, who, server, monkeypatch):
    """Its address is refused before the client secret goes anywhere, with real credentials as in the sandbox."""
    urls = real_zoho(monkeypatch)
    back = {"state": state_of(begin(connected, who)), "code": "1000.x.y", "accounts-server": server}
    refused(back, alice, Ending.FOREIGN)
    assert urls == []


def test_in_the_sandbox_the_real_servers_are_foreign_too(connected, alice, who, monkeypatch):
    back = consent(begin(connected, who)) | {"accounts-server": "https://accounts.zoho.eu"}
    urls = listened(monkeypatch)
    refused(back, alice, Ending.FOREIGN)
    assert urls == []


def test_a_code_that_the_provider_does_not_take(connected, sandbox, alice, who):
    back = consent(begin(connected, who))
    sandbox.set_fault("zoho-accounts", "invalid_code")
    assert "did not take its own code" in refused(back, alice, Ending.REFUSED)
    assert Grant.objects.get().state == "connected"
    without = consent(begin(connected, who))
    del without["code"]
    refused(without, alice, Ending.REFUSED)


@pytest.mark.parametrize(("fault", "ending"), [("fail", Ending.REFUSED), ("reset", Ending.UNREACHABLE)])
def test_a_token_endpoint_in_trouble(connected, sandbox, alice, who, fault, ending):
    back = consent(begin(connected, who))
    sandbox.set_fault("zoho-accounts", fault)
    refused(back, alice, ending)


def test_no_secret_is_told(connected, sandbox, alice, who, caplog, settings):
    """Not in the log, in no error, in no activity row: neither code, state, verifier nor token."""
    url = begin(connected, who)
    back = consent(url)
    sandbox.set_fault("zoho-accounts", "fail")
    told = refused(back, alice, Ending.REFUSED)
    sandbox.clear_fault("zoho-accounts")
    finish(consent(begin(connected, who)), alice)
    token = Token.objects.get()
    kept = " ".join(str(row) for row in (*Activity.objects.values(), *TokenEvent.objects.values()))
    kept += f" {told} {flow.read_callback(back)!r} {caplog.text}"
    secrets = [back["code"], state_of(url), token.access_token(), token.refresh_token()]
    assert not [secret for secret in (*secrets, settings.SANDBOX_VALUES["ZOHO_CLIENT_SECRET"]) if secret in kept]


# --- Beginning -------------------------------------------------------------------------------------------------------


def test_what_uses_no_oauth_can_not_be_connected(registry, who):
    with pytest.raises(ProviderError) as error:
        begin(registry["resend"], who)
    assert error.value.code == "not_oauth"


def test_without_credentials_it_says_which_to_set(registry, who):
    with pytest.raises(ProviderError, match="ZOHO_CLIENT_ID and ZOHO_CLIENT_SECRET not set") as error:
        begin(registry["zoho-crm"], who)
    assert error.value.code == "not_configured"
    assert not AuthorizationRequest.objects.exists()


def test_requests_older_than_a_day_are_removed(crm, who):
    with time_machine.travel(timezone.now() - timedelta(hours=25), tick=True):
        begin(crm, who)
    with time_machine.travel(timezone.now() - timedelta(hours=23), tick=True):
        begin(crm, who)
    assert AuthorizationRequest.objects.count() == 2
    begin(crm, who)
    assert AuthorizationRequest.objects.count() == 2


# --- Regions ---------------------------------------------------------------------------------------------------------


def listened(monkeypatch) -> list[str]:
    """Every address that is asked, from now on; each answers as a Zoho in good order would."""
    urls: list[str] = []

    def answered(request: http.Request, **_: Any) -> Answer:
        urls.append(request.url)
        body = b'{"org": []}'
        if request.method == "POST":
            body = b'{"access_token": "a", "refresh_token": "r", "expires_in": 3600}'
        return Answer(status=200, headers={}, body=body, elapsed_ms=1)

    monkeypatch.setattr(http, "send", answered)
    return urls


def real_zoho(monkeypatch) -> list[str]:
    monkeypatch.setenv("ZOHO_CLIENT_ID", "real")
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "secret")
    return listened(monkeypatch)


@pytest.mark.parametrize(
    "told", ["https://accounts.zoho.eu", "https://accounts.zoho.eu/", "HTTPS://Accounts.Zoho.EU:443"]
)
def test_the_region_that_answered_is_asked_from_then_on(registry, alice, who, monkeypatch, told):
    urls, crm = real_zoho(monkeypatch), registry["zoho-crm"]
    assert begin(crm, who).startswith("https://accounts.zoho.com/oauth/v2/auth?")
    finish({"state": state_of(begin(crm, who)), "code": "c", "accounts-server": told, "location": "eu"}, alice)
    assert urls == ["https://accounts.zoho.eu/oauth/v2/token", "https://www.zohoapis.eu/crm/v8/org"]
    token = Token.objects.get()
    assert (token.metadata["accounts_server"], token.metadata["region"]) == ("https://accounts.zoho.eu", "eu")
    services.refresh_now(crm, actor=who)
    assert urls[2:] == ["https://accounts.zoho.eu/oauth/v2/token"]
    assert Token.objects.get().metadata == token.metadata


def test_a_data_centre_may_have_a_client_secret_of_its_own(registry, alice, who, monkeypatch):
    """Zoho's console shows one for each, where Multi DC is on and the secret isn't shared."""
    real_zoho(monkeypatch)
    monkeypatch.setenv("ZOHO_CLIENT_SECRET_EU", "europe's")
    sent, send = [], http.send
    monkeypatch.setattr(http, "send", lambda request, **more: (sent.append(request), send(request, **more))[1])
    crm = registry["zoho-crm"]
    for told in ("https://accounts.zoho.eu", "https://accounts.zoho.in", ""):
        back = {"state": state_of(begin(crm, who)), "code": "c"}
        finish(back | ({"accounts-server": told} if told else {}), alice)
    exchanges = [one.form for one in sent if one.form]
    assert [form["client_secret"] for form in exchanges] == ["europe's", "secret", "secret"]
    assert {form["client_id"] for form in exchanges} == {"real"}


def test_a_remembered_server_is_checked_again_before_it_is_used(registry, alice, who, monkeypatch):
    urls, crm = real_zoho(monkeypatch), registry["zoho-crm"]
    finish({"state": state_of(begin(crm, who)), "code": "c"}, alice)
    Token.objects.update(metadata={"accounts_server": "https://evil.example"})
    urls.clear()
    with pytest.raises(ProviderError, match="none of the provider's") as error:
        services.refresh_now(crm, actor=who)
    assert error.value.code == servers.FOREIGN
    assert urls == []


def test_without_a_named_server_the_configured_one_is_asked(registry, alice, who, monkeypatch):
    monkeypatch.setenv("ZOHO_REGION", "in")
    urls, crm = real_zoho(monkeypatch), registry["zoho-crm"]
    finish({"state": state_of(begin(crm, who)), "code": "c"}, alice)
    assert urls == ["https://accounts.zoho.in/oauth/v2/token", "https://www.zohoapis.in/crm/v8/org"]
    assert services.region(Token.objects.get()) == "in"


def test_the_sandbox_is_found_by_the_settings_each_time(crm, alice, who):
    finish(consent(begin(crm, who)), alice)
    assert "accounts_server" not in Token.objects.get().metadata


def test_an_anonymous_actor_can_not_begin(crm):
    with pytest.raises(ValueError, match="Only a person"):
        begin(crm, actor.SYSTEM)
