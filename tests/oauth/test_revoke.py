"""Giving a grant up: unusable at once, told to the provider until it knows, and only then wiped."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from integrations.accounts.models import User
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, ApiMetric
from integrations.providers.spec import ProviderError
from oauth import flow, services
from oauth.models import Attempt, Grant, Token, TokenEvent
from oauth.services import refresh, servers
from oauth.services.revoke import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

DANA = Actor(username="dana")
REVOKE = "/oauth/v2/token/revoke"


@pytest.fixture
def crm(sandbox, registry):
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


@pytest.fixture
def sign(crm, registry):
    """Lives by the same grant."""
    ours, now = Token.objects.get(), timezone.now()
    same = flow.Tokens(
        access_token=ours.access_token(), refresh_token=ours.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(registry["zoho-sign"], same, actor=SYSTEM)
    return registry["zoho-sign"]


def told() -> int:
    """How often a provider was asked to revoke."""
    return ApiMetric.objects.filter(endpoint=REVOKE).count()


def wiped() -> bool:
    return not Token.objects.exclude(access_sealed="", refresh_sealed="").exists()


def events(slug: str = "zoho-crm") -> list[tuple[str, str]]:
    found = TokenEvent.objects.filter(integration__slug=slug, kind="revoked").order_by("at", "id")
    return list(found.values_list("actor", "detail"))


def later(**wait: float) -> Any:
    return time_machine.travel(timezone.now() + timedelta(**wait), tick=True)


def test_it_is_revoked_at_the_provider_and_wiped_here(crm, sandbox):
    before = Token.objects.get()
    refresh_token, access_token = before.refresh_token(), before.access_token()
    done = services.revoke(crm, actor=DANA)
    assert (done.pending, done.words, done.integrations) == (False, "The provider has revoked it.", (crm,))
    assert wiped()
    grant = Grant.objects.get()
    assert (grant.state, grant.lease_until, grant.generation) == ("revoked", None, 1)
    oauth = crm.spec.oauth
    client = servers.client_of(crm, oauth)
    answer = refresh.ask(crm, oauth, flow.refresh(oauth, client, refresh_token=refresh_token))
    with pytest.raises(ProviderError) as error:  # the provider itself knows
        flow.read_tokens(oauth, answer, now=timezone.now())
    assert error.value.code == flow.DEAD
    assert events() == [("dana", "The provider has revoked it.")]
    actions = list(Activity.objects.filter(username="dana").order_by("seq").values_list("action", flat=True))
    assert actions == ["oauth_revoke_asked", "oauth_revoked"]
    everything = str([*Activity.objects.values(), *TokenEvent.objects.values(), *ApiMetric.objects.values()])
    assert refresh_token not in everything
    assert access_token not in everything
    assert ApiMetric.objects.get(endpoint=REVOKE).error_message == ""
    with pytest.raises(ProviderError, match="connect it again"):
        services.access_token(crm)


@pytest.mark.parametrize("fault", ["fail", "reset", "garbage", "refuse", "throttle"])
def test_a_provider_that_does_not_confirm_leaves_it_pending_and_unusable(crm, sandbox, fault):
    sandbox.set_fault("zoho-accounts", fault)
    done = services.revoke(crm, actor=DANA)
    assert done.pending
    assert not wiped()
    grant = Grant.objects.get()
    assert (grant.state, grant.failures, grant.lease_until) == ("revoking", 1, None)
    assert grant.last_error == done.words
    assert grant.next_try_at > timezone.now()
    with pytest.raises(ProviderError, match="doesn't know yet") as error:
        services.access_token(crm)
    assert error.value.permanent
    token = Token.objects.select_related("grant").get()
    assert services.status(token, timezone.now()) == "revoked"
    assert "Tried again after" in services.advice(token)
    sandbox.clear_fault("zoho-accounts")
    summary = services.keep_fresh()
    assert (summary["revoked"], summary["revoking"], told()) == ([], {}, 1)  # not before its time
    with later(minutes=11):
        summary = services.keep_fresh()
    assert (summary["revoked"], told()) == (["zoho-crm"], 2)
    assert summary["message"] == "Revoked at the provider: zoho-crm."
    assert wiped()
    assert Grant.objects.get().state == "revoked"
    assert [actor for actor, _ in events()] == ["dana", "system"]


def test_it_is_tried_again_after_growing_waits_told_once_and_at_once_by_hand(crm, sandbox):
    sandbox.set_fault("zoho-accounts", "fail")
    waits = []
    for _ in range(8):
        before = timezone.now()
        assert services.revoke(crm, actor=DANA).pending
        waits.append(round((Grant.objects.get().next_try_at - before).total_seconds() / 60))
    assert waits == [1, 5, 15, 60, 180, 360, 360, 360]
    assert len(events()) == 1
    assert Activity.objects.filter(action="oauth_revoke_asked").count() == 1
    with later(hours=7):
        pending = services.keep_fresh()
    assert list(pending["revoking"]) == ["zoho-crm"]
    assert "Revocation pending: zoho-crm (" in pending["message"]
    sandbox.clear_fault("zoho-accounts")
    assert not services.revoke(crm, actor=DANA).pending


def test_what_the_provider_does_not_know_any_more_counts_as_done(crm, lent, sandbox):
    old = Token.objects.get()
    given = flow.Tokens(
        access_token="strange", refresh_token="unknown there", issued_at=old.issued_at, expires_at=old.expires_at,
        metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(crm, given, actor=SYSTEM)
    assert not services.revoke(crm, actor=DANA).pending
    assert told() == 1
    assert wiped()


def test_without_a_refresh_token_the_access_token_is_revoked(crm):
    access_token = Token.objects.get().access_token()
    Token.objects.update(refresh_sealed="")
    assert not services.revoke(crm, actor=DANA).pending
    oauth = crm.spec.oauth
    request = flow.revoke(oauth, servers.client_of(crm, oauth), token=access_token, hint="access_token")
    assert request.form == {"token": access_token}
    assert wiped()


def test_what_the_provider_called_dead_is_wiped_without_asking(crm, sandbox):
    Token.objects.update(expires_at=timezone.now())
    sandbox.set_fault("zoho-accounts", "invalid_code")
    with pytest.raises(ProviderError):
        services.access_token(crm)
    sandbox.set_fault("zoho-accounts", "hang")
    done = services.revoke(crm, actor=DANA)
    assert (done.pending, told(), wiped()) == (False, 0, True)
    assert Grant.objects.get().state == "revoked"


@pytest.mark.parametrize("state", ["retrying", "uncertain"])
def test_a_grant_in_doubt_is_revoked_too(crm, state):
    Grant.objects.update(state=state, last_error="?", next_try_at=timezone.now() + timedelta(hours=1))
    assert not services.revoke(crm, actor=DANA).pending
    assert (told(), wiped()) == (1, True)


def test_there_may_be_nothing_to_revoke(sandbox, registry, crm):
    with pytest.raises(services.NothingToRevoke):
        services.revoke(registry["zoho-desk"], actor=DANA)
    services.revoke(crm, actor=DANA)
    with pytest.raises(services.NothingToRevoke):
        services.revoke(crm, actor=DANA)
    with pytest.raises(ProviderError) as error:
        services.revoke(registry["resend"], actor=DANA)
    assert error.value.code == "not_oauth"
    assert told() == 1


def test_without_our_client_it_stays_pending_and_says_what_is_missing(crm, settings):
    settings.SANDBOX_URL = ""
    done = services.revoke(crm, actor=DANA)
    assert done.pending
    assert "ZOHO_CLIENT_ID and ZOHO_CLIENT_SECRET not set" in done.words
    assert Grant.objects.get().error_code == "not_configured"


def test_a_secret_that_can_not_be_decrypted_is_not_given_up_for_lost(crm, settings):
    settings.TOKEN_ENCRYPTION_KEYS = "other:key"
    done = services.revoke(crm, actor=DANA)
    assert done.pending
    assert "can't be decrypted" in done.words
    assert not wiped()


# --- Sharing ---------------------------------------------------------------------------------------------------------


def test_those_who_share_the_grant_are_named_first(crm, sign):
    with pytest.raises(services.SharedGrant, match="zoho-sign") as error:
        services.revoke(crm, actor=DANA)
    assert error.value.slugs == ["zoho-sign"]
    assert Grant.objects.get().state == "connected"
    assert told() == 0
    assert not Activity.objects.filter(action="oauth_revoke_asked").exists()


def test_with_force_all_who_share_it_are_revoked_by_one_request(crm, sign):
    done = services.revoke(sign, actor=DANA, together_with=[crm])
    assert [one.slug for one in done.integrations] == ["zoho-crm", "zoho-sign"]
    assert (told(), wiped()) == (1, True)
    assert events("zoho-crm") == events("zoho-sign") == [("dana", "The provider has revoked it.")]
    trail = Activity.objects.filter(action="oauth_revoke_asked").order_by("integration_slug")
    assert [row.details for row in trail] == [{"together_with": 1}] * 2


# --- At the same time ------------------------------------------------------------------------------------------------


def at_once(number: int, work: Any) -> list[Any]:
    got: list[Any] = []
    start = threading.Barrier(number)

    def one() -> None:
        try:
            start.wait()
            got.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_two_workers_at_once_send_one_request(crm, sandbox):
    sandbox.set_fault("zoho-accounts", "fail")
    services.revoke(crm, actor=DANA)
    Grant.objects.update(next_try_at=timezone.now())
    sandbox.set_fault("zoho-accounts", "slow", delay=0.5)
    done = at_once(4, services.keep_fresh)
    assert len(done) == 4
    assert sum(summary["revoked"] == ["zoho-crm"] for summary in done) == 1
    assert told() == 2
    assert wiped()


def under_way(rotates: bool = True) -> Attempt:
    """A refresh as its process sees it just before the answer comes."""
    grant, now = Grant.objects.get(), timezone.now()
    Grant.objects.update(lease_until=now + refresh.LEASE, rotates=rotates)
    return Attempt.objects.create(grant=grant, generation=grant.generation, started_at=now)


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Nobody waits for a refresh that is under way."""
    monkeypatch.setitem(services.revoke.__globals__, "PATIENCE_SECONDS", 0.0)


def test_a_refresh_under_way_is_waited_for_and_what_it_brings_is_revoked_too(crm, in_a_hurry):
    attempt, now = under_way(), timezone.now()
    done = services.revoke(crm, actor=DANA)
    assert (done.pending, told()) == (True, 0)
    with pytest.raises(ProviderError):
        services.access_token(crm)
    given = flow.Tokens(access_token="new", refresh_token="next", issued_at=now, expires_at=now + timedelta(hours=1))
    refresh._keep(attempt.grant, attempt, given, rotated=True, actor=SYSTEM)
    assert Grant.objects.get().state == "revoking"  # not resurrected
    assert Token.objects.get().refresh_token() == "next"  # kept only to be revoked
    assert services.keep_fresh()["revoked"] == ["zoho-crm"]
    assert (told(), wiped()) == (1, True)


def test_a_refresh_that_fails_meanwhile_lets_go_of_its_lease(crm, in_a_hurry):
    attempt = under_way()
    assert services.revoke(crm, actor=DANA).pending
    refresh._failed(attempt.grant, attempt, ProviderError("no", status=503), crm.spec.oauth)
    assert (Grant.objects.get().state, Grant.objects.get().lease_until) == ("revoking", None)
    assert services.keep_fresh()["revoked"] == ["zoho-crm"]


def test_a_refresh_whose_process_died_holds_it_up_only_for_its_lease(crm, in_a_hurry):
    attempt = under_way()
    assert services.revoke(crm, actor=DANA).pending
    assert services.keep_fresh()["revoked"] == []
    with later(seconds=refresh.LEASE.total_seconds() + 5):
        assert services.keep_fresh()["revoked"] == ["zoho-crm"]
    attempt.refresh_from_db()
    assert attempt.outcome == "unknown"


def test_a_new_token_that_comes_while_the_old_one_is_revoked_is_not_lost_sight_of(crm, monkeypatch):
    """The slowest of refreshes: its lease has run out, and it stores just after the provider was told."""
    attempt, now = under_way(), timezone.now()
    Grant.objects.update(lease_until=now - timedelta(seconds=1))
    given = flow.Tokens(access_token="new", refresh_token="next", issued_at=now, expires_at=now + timedelta(hours=1))
    presented, ask = [], refresh.ask

    def slow(integration, oauth, request, judge=flow.error_in):
        presented.append(request.form["token"])
        answer = ask(integration, oauth, request, judge=judge)
        if len(presented) == 1:
            refresh._keep(attempt.grant, attempt, given, rotated=True, actor=SYSTEM)
        return answer

    old = Token.objects.get().refresh_token()
    monkeypatch.setattr(refresh, "ask", slow)
    assert not services.revoke(crm, actor=DANA).pending
    assert presented == [old, "next"]
    assert (Grant.objects.get().state, wiped()) == ("revoked", True)


def test_who_revokes_by_hand_waits_for_a_refresh_that_ends_soon(crm, sandbox):
    sandbox.set_fault("zoho-accounts", "slow", delay=0.7)
    Token.objects.update(expires_at=timezone.now())
    results: list[Any] = []

    def use() -> None:
        try:
            services.access_token(crm)
        except ProviderError as error:
            results.append(error.words)
        finally:
            connection.close()

    thread = threading.Thread(target=use)
    thread.start()
    while not Attempt.objects.exists():
        time.sleep(0.01)
    began = time.monotonic()
    assert not services.revoke(crm, actor=DANA).pending
    assert time.monotonic() - began < PATIENCE_SECONDS
    thread.join()
    assert results  # whoever wanted the token does not get it
    assert wiped()


# --- By the clock ----------------------------------------------------------------------------------------------------


def test_that_a_token_ran_out_is_written_down_once_with_the_reason(crm, sandbox):
    ran_out = timezone.now() - timedelta(minutes=1)
    Token.objects.update(expires_at=ran_out)
    sandbox.set_fault("zoho-accounts", "fail")
    first, second = services.keep_fresh(), services.keep_fresh()
    assert (first["expired"], second["expired"]) == (["zoho-crm"], [])
    assert "Ran out unrenewed: zoho-crm." in first["message"]
    assert "Not renewed: zoho-crm (" in first["message"]
    event = TokenEvent.objects.get(kind="expired")
    assert (event.at, event.expires_at, event.actor) == (ran_out, ran_out, "system")
    assert event.detail == Grant.objects.get().last_error != ""


def test_a_token_that_is_renewed_in_time_never_ran_out(crm):
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    done = services.keep_fresh()
    assert (done["refreshed"], done["expired"], done["message"]) == (["zoho-crm"], [], "Renewed: zoho-crm.")
    assert not TokenEvent.objects.filter(kind="expired").exists()


@pytest.mark.parametrize(
    ("changes", "inactive", "why"),
    [
        ({"refresh_sealed": ""}, False, "There is no refresh token to renew it with."),
        ({"auto_refresh": False}, False, "Automatic renewal is off."),
        ({}, True, "The integration is switched off."),
    ],
)
def test_why_it_ran_out(crm, changes, inactive, why):
    Token.objects.update(expires_at=timezone.now() - timedelta(minutes=1), **changes)
    if inactive:
        crm.is_active = False
        crm.save()
    assert services.keep_fresh()["expired"] == ["zoho-crm"]
    assert TokenEvent.objects.get(kind="expired").detail == why


def test_at_once_it_is_still_written_once(crm):
    Token.objects.update(expires_at=timezone.now() - timedelta(minutes=1), auto_refresh=False)
    done = at_once(4, services.keep_fresh)
    assert sorted(summary["expired"] for summary in done) == [[], [], [], ["zoho-crm"]]
    assert TokenEvent.objects.filter(kind="expired").count() == 1


def test_what_is_refused_to_one_is_not_asked_again_for_those_who_share_it(crm, sign, sandbox):
    Token.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    sandbox.set_fault("zoho-accounts", "fail")
    done = services.refresh_all(among=[crm, sign], actor=DANA)
    assert sorted(done["failed"]) == ["zoho-crm", "zoho-sign"]
    assert Attempt.objects.count() == 1


def test_who_may_no_longer_renews_no_more_of_those_that_were_left(crm, sign, person, monkeypatch):
    dana, renewed = person("dana", role="IT Manager"), []
    Token.objects.update(expires_at=timezone.now() - timedelta(minutes=1))

    def renew(token, **_):
        renewed.append(token.integration.slug)
        User.objects.filter(pk=dana.pk).update(is_active=False)

    monkeypatch.setattr(refresh, "renew", renew)
    done = services.refresh_all(among=[crm, sign], actor=Actor(username="dana", user_id=dana.pk))
    assert (renewed, done["refreshed"]) == (["zoho-crm"], ["zoho-crm"])
    assert done["failed"] == {"zoho-sign": "Stopped: dana was disabled."}


def test_the_job_with_nothing_to_do_says_so(sandbox, registry):
    assert services.keep_fresh()["message"] == "There was nothing to do."
