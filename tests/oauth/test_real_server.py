"""Our engine against an authorisation server that isn't ours: a new OAuth integration needs data only."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
import time_machine
from django.utils import timezone

from integrations import providers
from integrations.actor import SYSTEM, Actor
from integrations.providers.spec import ProviderError
from oauth import flow, services
from oauth.models import Attempt, Grant, Token, TokenEvent
from oauth.services import authorize
from oauth.services.revoke import go_on
from tests.oauth import acme, server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def running():
    with server.running() as one:
        yield one


@pytest.fixture
def provider(running, settings, monkeypatch):
    running.behave(rotates=True, pkce=True, trouble="", answer_after=0)
    settings.OUTBOUND_ALLOW_PRIVATE = True
    monkeypatch.setattr(providers, "_BY_SLUG", {**providers._BY_SLUG, **acme.declared()})
    for name, value in acme.environment(running.url).items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
def user(request):
    """Who authorises: a name of the test's own, so that the server's counters are too."""
    return request.node.name


@pytest.fixture
def connected(provider, user):
    integration = acme.row()
    acme.connect(integration, user=user)
    return integration


def expire(seconds: int = -1) -> None:
    Token.objects.update(expires_at=timezone.now() + timedelta(seconds=seconds))


def refused(integration) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        services.access_token(integration)
    return error.value


def test_a_provider_that_is_only_data_is_connected_and_renewed(connected, provider, user):
    first = Token.objects.get()
    assert provider.whoami(services.access_token(connected)) == user
    assert first.scope == "orders.read orders.write"
    expire()
    assert provider.whoami(services.access_token(connected)) == user
    second = Token.objects.select_related("grant").get()
    assert second.refresh_token() != first.refresh_token()
    assert second.grant.rotates
    expire()
    services.access_token(connected)
    assert provider.families(user) == [{"refreshes": 2, "reuses": 0, "revoked": ""}]


def test_a_person_connects_it_without_a_line_of_code_about_it(provider, alice, user):
    """From the button to the API's own word, and back with a no, which costs nothing."""
    integration, who = acme.row(), Actor(username=alice.username, user_id=alice.pk)

    def back_from(somebody: str) -> authorize.Connected:
        url = authorize.begin(integration, actor=who, session="s", now=timezone.now())
        brought = provider.follow(url, somebody)
        return authorize.finish(brought, user=alice, session="s", actor=who, now=timezone.now())

    assert back_from(user).warnings == ()
    assert provider.whoami(services.access_token(integration)) == user
    with pytest.raises(authorize.NotConnected) as no:
        back_from(server.NOBODY)
    assert no.value.ending == authorize.Ending.CANCELLED
    assert provider.whoami(services.access_token(integration)) == user


def test_a_refresh_token_that_stays_is_kept(provider, user):
    provider.behave(rotates=False)
    integration = acme.row("acme-stays-1")
    acme.connect(integration, user=user)
    kept = Token.objects.get().refresh_token()
    for _ in range(3):
        expire()
        assert provider.whoami(services.access_token(integration)) == user
        assert Token.objects.get().refresh_token() == kept
    assert not Grant.objects.get().rotates


def test_without_the_verifier_nobody_can_use_a_code(provider, user):
    brought = provider.consent(user, code_challenge="x" * 43, code_challenge_method="S256")
    oauth = acme.row().spec.oauth
    request = flow.exchange(oauth, acme.client(), code=brought["code"], redirect_uri=server.REDIRECT_URI)
    answer = services.refresh.ask(acme.row(), oauth, request)
    with pytest.raises(ProviderError):
        flow.read_tokens(oauth, answer, now=timezone.now())
    assert provider.families(user) == []


def test_the_server_asks_for_pkce_and_knows_a_no(provider, user):
    assert provider.consent(user)["error"] == "invalid_request"
    no = provider.consent(server.NOBODY, state="s", code_challenge="x" * 43, code_challenge_method="S256")
    assert no == {"error": "access_denied", "state": "s"} | {"error_description": no["error_description"]}


def test_a_wrong_client_is_not_a_dead_grant(connected, monkeypatch):
    monkeypatch.setenv("WEBHOOK_ACME_CLIENT_SECRET", "another")
    expire()
    error = refused(connected)
    assert (error.code, error.permanent) == ("invalid_client", False)
    assert "WEBHOOK_ACME_CLIENT_SECRET" in error.words
    assert Grant.objects.get().state == "retrying"


def test_a_grant_that_the_provider_took_back_is_dead_and_not_asked_for_again(connected, provider, user):
    provider.take_back(Token.objects.get().refresh_token())
    expire()
    for _ in range(3):
        error = refused(connected)
        assert (error.code, error.permanent) == (flow.DEAD, True)
    assert Grant.objects.get().state == "needs_reauth"
    assert len([one for one in provider.asked() if one["user"] == user]) == 1
    acme.connect(connected, user=user)
    assert provider.whoami(services.access_token(connected)) == user


def test_an_answer_that_was_lost_is_uncertain_where_tokens_may_rotate(connected, provider, user):
    """The server obeyed, the connection broke. Nobody knows yet whether this provider rotates."""
    provider.behave(trouble="mute")
    expire()
    refused(connected)
    assert Grant.objects.get().state == "uncertain"
    provider.behave(trouble="")
    for _ in range(3):
        assert refused(connected).code == "uncertain"
    assert provider.families(user) == [{"refreshes": 1, "reuses": 0, "revoked": ""}]
    acme.connect(connected, user=user)
    assert provider.whoami(services.access_token(connected)) == user
    assert Grant.objects.get().state == "connected"


def test_an_answer_that_was_lost_is_asked_for_again_where_they_stay(provider, user):
    provider.behave(rotates=False)
    integration = acme.row("acme-stays-1")
    acme.connect(integration, user=user)
    provider.behave(trouble="mute")
    expire()
    refused(integration)
    provider.behave(trouble="")
    with time_machine.travel(timezone.now() + timedelta(seconds=6)):
        assert provider.whoami(services.access_token(integration)) == user
    assert provider.families(user) == [{"refreshes": 2, "reuses": 0, "revoked": ""}]


@pytest.mark.parametrize(("slug", "state"), [("acme-stays-1", "retrying"), ("acme-rotates-1", "uncertain")])
def test_a_server_that_never_answers_is_not_waited_for(provider, user, monkeypatch, slug, state):
    provider.behave(rotates="rotates" in slug)
    integration = acme.row(slug)
    acme.connect(integration, user=user)
    expire()
    provider.behave(trouble="deaf", seconds=3)
    real = flow.refresh
    monkeypatch.setattr(flow, "refresh", lambda *told, **named: replace(real(*told, **named), timeout_s=0.3))
    assert "no complete answer within 0.3 s" in refused(integration).words
    assert Grant.objects.get().state == state


def test_told_to_wait_we_wait_as_long_as_we_were_told(connected, provider):
    provider.behave(trouble="throttled", seconds=90)
    expire()
    assert refused(connected).code == flow.THROTTLED
    wait = Grant.objects.get().next_try_at - timezone.now()
    assert timedelta(seconds=85) < wait <= timedelta(seconds=90)


def test_twenty_minutes_of_503_cost_seven_requests_and_no_token(connected, provider, user):
    """Asked for every five seconds, by hand now and then, and by the job: only the backoff decides."""
    kept = Token.objects.get()
    began = timezone.now()
    expire(118)
    provider.behave(trouble="503")
    given = hopeless = 0
    with time_machine.travel(began) as clock:
        for seconds in range(0, 1200, 5):
            clock.move_to(began + timedelta(seconds=seconds, milliseconds=100))
            try:
                assert services.access_token(connected) == kept.access_token()
                given += 1
            except ProviderError as error:
                hopeless += error.permanent
            if seconds % 300 == 0:
                services.refresh_expiring()
        attempts = list(Attempt.objects.order_by("started_at").values_list("started_at", flat=True))
        assert (given, hopeless) == (12, 0)  # given while it still lasted for a minute
        ours = [one for one in provider.asked() if one["user"] == user]  # another test's may come in late
        assert len(ours) == len(attempts)
        token = Token.objects.select_related("grant").get()
        assert (token.refresh_token(), token.grant.state) == (kept.refresh_token(), "retrying")
        assert TokenEvent.objects.filter(kind="refresh_failed").count() == 1  # a trouble that lasts is told once
        waits = [(later - earlier).total_seconds() for earlier, later in pairwise(attempts)]
        for wait, backoff in zip(waits, (5, 30, 120, 300, 300, 300), strict=True):
            assert backoff <= wait <= backoff + 6  # and a question is asked only every five seconds
        provider.behave(trouble="")
        clock.move_to(token.grant.next_try_at + timedelta(seconds=1))
        assert services.refresh_expiring()["refreshed"] == ["acme"]
        assert provider.whoami(services.access_token(connected)) == user
    assert Grant.objects.get().state == "connected"
    assert provider.families(user) == [{"refreshes": 1, "reuses": 0, "revoked": ""}]


def test_a_refresh_by_hand_asks_the_provider_once(connected, provider, user):
    services.refresh_now(connected, actor=SYSTEM)
    assert provider.families(user) == [{"refreshes": 1, "reuses": 0, "revoked": ""}]


@pytest.mark.parametrize("trouble", ["", "503"])
def test_who_is_at_it_while_somebody_connects_anew_gets_the_new_connections_token(
    connected, provider, user, monkeypatch, trouble
):
    expire()
    provider.behave(trouble=trouble)
    ask = services.refresh.ask

    def connect_meanwhile(*told, **named):
        patched.undo()
        answer = ask(*told, **named)
        provider.behave(trouble="")
        acme.connect(connected, user=f"{user}, again")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(services.refresh, "ask", connect_meanwhile)
        if trouble:
            assert refused(connected).status == 503
        else:
            assert provider.whoami(services.access_token(connected)) == f"{user}, again"
    assert provider.whoami(services.access_token(connected)) == f"{user}, again"
    grant = Grant.objects.get()
    assert (grant.state, grant.failures, grant.lease_until) == ("connected", 0, None)


def test_what_is_given_up_is_revoked_there_and_wiped_here(connected, provider, user):
    mine = services.access_token(connected)
    assert not services.revoke(connected, actor=SYSTEM).pending
    assert provider.families(user) == [{"refreshes": 0, "reuses": 0, "revoked": "asked"}]
    assert provider.whoami(mine) == ""
    token = Token.objects.select_related("grant").get()
    assert (token.access_sealed, token.refresh_sealed, token.grant.state) == ("", "", "revoked")


def test_while_the_provider_is_away_it_is_useless_here_and_revoked_there_later(connected, provider, user):
    provider.behave(trouble="503")
    assert services.revoke(connected, actor=SYSTEM).pending
    assert refused(connected).permanent
    assert provider.families(user)[-1]["revoked"] == ""
    provider.behave(trouble="")
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert go_on()["revoked"] == ["acme"]
    assert provider.families(user)[-1]["revoked"] == "asked"
    assert Grant.objects.get().state == "revoked"


def test_a_token_that_comes_while_it_is_given_up_is_revoked_too(connected, provider, user, monkeypatch):
    """Rotation makes the token that we would have named worthless to name."""
    expire()
    ask = services.refresh.ask

    def revoke_meanwhile(*told, **named):
        patched.undo()
        answer = ask(*told, **named)
        Grant.objects.update(state="revoking")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(services.refresh, "ask", revoke_meanwhile)
        assert refused(connected).permanent
    go_on()
    assert provider.families(user) == [{"refreshes": 1, "reuses": 0, "revoked": "asked"}]
    assert Grant.objects.get().state == "revoked"
    assert Token.objects.get().refresh_sealed == ""
