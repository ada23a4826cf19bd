"""Ways in which a grant could be lost, overwritten, revived, or left behind unseen, and no longer is."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import look
from integrations import activity
from integrations import services as registry_services
from integrations.actor import SYSTEM, Actor
from integrations.models import Integration
from integrations.providers.spec import Answer, ProviderError
from oauth import flow, services, tokens
from oauth.models import AuthorizationRequest, Grant, Leftover, Token, TokenEvent
from oauth.services import authorize, importing, refresh, servers, store
from tests.api.conftest import Caller
from tests.oauth.test_authorize import begin, consent, finish
from tests.oauth.test_leftovers import lives

pytestmark = pytest.mark.django_db(transaction=True)

DANA = Actor(username="dana")
SANDBOXED = {"sandbox": "yes"}


@pytest.fixture
def crm(sandbox: Any, registry: dict[str, Integration]) -> Integration:
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


def given(refresh_token: str, **more: Any) -> flow.Tokens:
    now = timezone.now()
    told = {"access_token": "a", "issued_at": now, "expires_at": now + timedelta(hours=1), "metadata": SANDBOXED}
    return flow.Tokens(refresh_token=refresh_token, **told | more)


def shared_with(crm: Integration, other: Integration) -> None:
    held = Token.objects.get(integration=crm)
    services.connect(other, given(held.refresh_token(), access_token=held.access_token()), actor=SYSTEM)


def line(slug: str, **changes: Any) -> bytes:
    told = {"slug": slug, "access_token": "x", "refresh_token": "y", "expires_at": "2036-01-01T00:00:00Z"} | changes
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


def at_once(*works: Callable[[], Any]) -> list[BaseException]:
    failed: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        try:
            start.wait()
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test names it
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


# --- Connecting anew -------------------------------------------------------------------------------------------------


def test_the_grant_that_a_new_one_replaces_is_taken_back_at_the_provider(crm: Integration) -> None:
    """Zoho keeps twenty of a user's, and pushes out the oldest for each one too many: perhaps one in use."""
    old = Token.objects.get().refresh_token()
    oauth = crm.spec.oauth
    client = servers.client_of(crm, oauth, server="")
    request = flow.exchange(oauth, client, code="sandbox:zoho-crm", redirect_uri="")
    new = flow.read_tokens(oauth, refresh.ask(crm, oauth, request), now=timezone.now())
    services.connect(crm, servers.with_memory(crm, oauth, new, client.base_url), actor=DANA)
    assert lives(crm, old)
    assert services.keep_fresh()["revoked"] == ["zoho-crm"]
    assert not lives(crm, old)
    assert services.access_token(crm)


def test_a_grant_that_others_still_live_by_is_left_alone(crm: Integration, registry: dict[str, Integration]) -> None:
    shared_with(crm, registry["zoho-sign"])
    services.connect(crm, given("another"), actor=DANA)
    assert not Leftover.objects.exists()
    services.connect(registry["zoho-sign"], given("a third"), actor=DANA)
    assert Leftover.objects.count() == 1


def test_one_that_the_provider_called_dead_is_not_told_again(crm: Integration) -> None:
    Grant.objects.update(state="needs_reauth", error_code=flow.DEAD)
    services.connect(crm, given("another"), actor=DANA)
    assert not Leftover.objects.exists()


def test_what_renews_itself_is_not_given_up_for_what_does_not(
    crm: Integration, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that gives no refresh token this time."""
    held, who = Token.objects.get(), Actor(username="alice", user_id=alice.pk)
    read = flow.read_tokens

    def without_refresh_token(*args: Any, **kwargs: Any) -> flow.Tokens:
        from dataclasses import replace

        return replace(read(*args, **kwargs), refresh_token="")

    back = consent(begin(crm, who))
    monkeypatch.setattr(flow, "read_tokens", without_refresh_token)
    with pytest.raises(authorize.NotConnected, match="that one was kept"):
        finish(back, alice)
    monkeypatch.undo()
    assert Token.objects.get().refresh_token() == held.refresh_token()
    assert Leftover.objects.get().hint == "access_token"
    assert services.refresh_now(crm, actor=DANA)


@pytest.mark.parametrize("meanwhile", ["renewed", "revoked"])
def test_a_grant_that_changes_while_somebody_connects_with_it_is_not_overwritten(
    crm: Integration, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Somebody imports or connects the refresh token that CRM had a moment ago."""
    old = Token.objects.get().refresh_token()
    seen = store.holder_of(old)
    if meanwhile == "renewed":
        attempt = refresh._claim(refresh.usable(crm))
        assert attempt is not None
        refresh._keep(Grant.objects.get(), attempt, given("rotated"), rotated=True, actor=SYSTEM)
    else:
        services.revoke(crm, actor=SYSTEM)
    monkeypatch.setattr(store, "holder_of", lambda refresh_token: seen)
    services.connect(registry["zoho-sign"], given(old), actor=DANA)
    ours = Token.objects.get(integration=crm)
    assert ours.refresh_token() == ("rotated" if meanwhile == "renewed" else "")
    assert ours.grant.state == ("connected" if meanwhile == "renewed" else "revoked")
    assert Token.objects.get(integration=registry["zoho-sign"]).grant_id != ours.grant_id


def test_a_database_that_fails_for_a_moment_costs_no_new_token(
    crm: Integration, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "STORE_WAITS", (0.0, 0.0))
    stored, failures = authorize.connect, iter([OperationalError("gone"), OperationalError("still gone")])

    def failing(*args: Any, **kwargs: Any) -> Token:
        if error := next(failures, None):
            raise error
        return stored(*args, **kwargs)

    monkeypatch.setattr(authorize, "connect", failing)
    done = finish(consent(begin(crm, Actor(username="alice", user_id=alice.pk))), alice)
    assert services.access_token(crm) == done.token.access_token()


def test_a_database_that_stays_away_is_told_on_a_page(
    crm: Integration, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "STORE_WAITS", (0.0,))

    def failing(*args: Any, **kwargs: Any) -> Token:
        raise OperationalError("gone")

    monkeypatch.setattr(authorize, "connect", failing)
    with pytest.raises(authorize.NotConnected, match="database could not be written to") as error:
        finish(consent(begin(crm, Actor(username="alice", user_id=alice.pk))), alice)
    assert error.value.ending == authorize.Ending.UNREACHABLE


def test_a_provider_that_went_away_while_somebody_was_there_is_told_on_a_page(
    crm: Integration, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = consent(begin(crm, Actor(username="alice", user_id=alice.pk)))
    monkeypatch.setattr(Integration, "spec", None)
    with pytest.raises(authorize.NotConnected, match="uses no OAuth"):
        finish(back, alice)


# --- Importing, and the sandbox --------------------------------------------------------------------------------------


def test_a_line_without_a_refresh_token_takes_none_away(crm: Integration) -> None:
    held = Token.objects.get().refresh_token()
    (verdict,) = importing.take(line("zoho-crm", refresh_token=None), actor=DANA)
    assert (verdict.taken, "would not" in verdict.words) == (False, True)
    assert Token.objects.get().refresh_token() == held


def test_a_real_token_is_never_shown_to_the_sandbox_nor_replaced_by_it(
    sandbox: Any, registry: dict[str, Integration]
) -> None:
    importing.take(line("zoho-crm", refresh_token="1000.real", expires_at="2020-01-01T00:00:00Z"), actor=DANA)
    crm = registry["zoho-crm"]
    with pytest.raises(ProviderError, match="The token is a real one") as error:
        services.access_token(crm)
    assert error.value.code == servers.FOREIGN
    assert sandbox.requests("zoho-accounts") == {}
    Grant.objects.update(state="needs_reauth")
    assert not services.connect_sandbox(crm)
    assert Token.objects.get().refresh_token() == "1000.real"


def test_the_sandboxs_token_is_shown_to_nobody_else(
    crm: Integration, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_CLIENT_ID", "real")
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "secret")
    monkeypatch.setattr(refresh, "ask", lambda *args, **kwargs: pytest.fail("nobody is to be asked"))
    with pytest.raises(ProviderError, match="The token is the sandbox's"):
        services.refresh_now(crm, actor=DANA)


# --- Giving up -------------------------------------------------------------------------------------------------------


def test_whoever_joins_after_the_question_is_not_revoked_with_it(
    crm: Integration, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oauth.services.revoke import revoke

    locked = revoke.__globals__["_locked"]

    def late(integration: Integration) -> Grant | None:
        monkeypatch.setitem(revoke.__globals__, "_locked", locked)
        shared_with(crm, registry["zoho-sign"])
        return locked(integration)

    monkeypatch.setitem(revoke.__globals__, "_locked", late)
    with pytest.raises(services.SharedGrant) as error:
        services.revoke(crm, actor=DANA, together_with=[])
    assert error.value.slugs == ["zoho-sign"]
    assert Grant.objects.get().state == "connected"


def test_by_the_api_nobody_ends_through_one_what_joined_it_after_the_check(
    crm: Integration, registry: dict[str, Integration], charlie: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, crm)
    revoke = services.revoke

    def late(*args: Any, **kwargs: Any) -> Any:
        shared_with(crm, registry["zoho-sign"])
        return revoke(*args, **kwargs)

    monkeypatch.setattr(services, "revoke", late)
    answer = Caller(charlie).send("DELETE", "/oauth/zoho-crm/revoke?force=true")
    assert (answer.status_code, answer.json()["code"]) == (409, "shared_grant")
    assert "zoho-sign" not in answer.json()["detail"]
    assert Grant.objects.get().state == "connected"


def test_the_log_names_no_integration_that_its_reader_may_not_see(
    crm: Integration, registry: dict[str, Integration], charlie: Any
) -> None:
    shared_with(crm, registry["zoho-sign"])
    services.revoke(crm, actor=DANA, together_with=[registry["zoho-sign"]])
    assign_perm("integrations.read", charlie, crm)
    assert "zoho-sign" not in Caller(charlie).get("/activity").content.decode()


def test_who_may_manage_but_not_read_can_switch_automatic_renewal(crm: Integration, charlie: Any) -> None:
    assign_perm("integrations.manage", charlie, crm)
    answer = Caller(charlie).patch("/oauth/zoho-crm", {"autoRefresh": False})
    assert (answer.status_code, answer.json()["token"]["autoRefresh"]) == (200, False)


def test_revoking_is_not_offered_to_who_can_not_see_all_that_would_end(
    crm: Integration, registry: dict[str, Integration], charlie: Any
) -> None:
    shared_with(crm, registry["zoho-sign"])
    for perm, slug in (("read", "zoho-crm"), ("manage", "zoho-crm"), ("manage", "zoho-sign")):
        assign_perm(f"integrations.{perm}", charlie, registry[slug])
    (shown,) = tokens.lines(charlie, timezone.now())
    assert (shown.can_revoke, shown.hidden) == (False, 1)


def test_an_integration_whose_grant_lives_is_not_deleted_and_what_is_left_of_one_goes(
    crm: Integration, client: Any, person: Any
) -> None:
    client.force_login(person("root", is_superuser=True, is_staff=True))
    page = f"/django-admin/integrations/integration/{crm.pk}/delete/"
    assert client.get(page).status_code == 403
    services.revoke(crm, actor=DANA)
    assert client.get(page).status_code == 200
    Integration.objects.filter(pk=crm.pk).delete()
    Grant.objects.update(updated_at=timezone.now() - timedelta(days=2))
    services.keep_fresh()
    assert not Grant.objects.exists()


# --- At the same time ------------------------------------------------------------------------------------------------


def test_nobody_waits_for_another_for_ever(crm: Integration, registry: dict[str, Integration]) -> None:
    """On PostgreSQL each of these was a deadlock with another: revoking a dead grant, switching renewal, changing the
    registry, importing, connecting."""
    sign, desk = registry["zoho-sign"], registry["zoho-desk"]
    services.connect(sign, given("s"), actor=SYSTEM)
    for round_ in range(6):
        Grant.objects.filter(tokens__integration=sign).update(state="needs_reauth", error_code=flow.DEAD)
        lines_ = b"\n".join(line(slug, refresh_token=f"{slug}{round_}") for slug in ("zoho-desk", "zoho-billing"))
        failed = at_once(
            lambda: services.revoke(sign, actor=DANA),
            lambda on=bool(round_ % 2): services.change(sign, auto_refresh=on, actor=DANA),
            lambda n=round_: registry_services.change(sign, actor=DANA, metadata={"n": n}),
            lambda content=lines_: importing.take(content, actor=DANA),
            lambda n=round_: services.connect(desk, given(f"d{n}"), actor=DANA),
            lambda n=round_: services.connect(crm, given(f"d{n}"), actor=DANA),
        )
        assert [error for error in failed if not isinstance(error, services.NothingToRevoke)] == []
        services.connect(sign, given(f"s{round_}"), actor=SYSTEM)
    assert list(activity.verify()) == []


@pytest.mark.parametrize("zeros", [400, 5000])
def test_a_lifetime_beyond_all_numbers_costs_no_new_token(
    crm: Integration, monkeypatch: pytest.MonkeyPatch, zeros: int
) -> None:
    Token.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    body = b'{"access_token": "new", "refresh_token": "newer", "expires_in": 1%s}' % (b"0" * zeros)
    answer = Answer(status=200, headers={}, body=body, elapsed_ms=1)
    monkeypatch.setattr(refresh, "ask", lambda *_args, **_kwargs: answer)
    assert services.access_token(crm) == "new"
    assert Token.objects.get(integration=crm).refresh_token() == "newer"


# --- By the clock ----------------------------------------------------------------------------------------------------


def test_a_token_without_a_refresh_token_serves_to_its_last_minute(crm: Integration) -> None:
    Token.objects.update(refresh_sealed="", expires_at=timezone.now() + timedelta(minutes=4))
    assert services.access_token(crm)
    seen = look.at_one(crm, None)
    assert seen.grant is not None
    assert not seen.grant.dead
    Token.objects.update(expires_at=timezone.now() + timedelta(seconds=30))
    with pytest.raises(ProviderError, match="no refresh token"):
        services.access_token(crm)


def test_a_trouble_that_lasts_is_told_once_and_another_one_again(crm: Integration, sandbox: Any) -> None:
    def refused() -> None:
        Grant.objects.update(next_try_at=None)
        with pytest.raises(ProviderError):
            services.refresh_now(crm, actor=SYSTEM)

    for fault in ("fail", "fail", "fail", "refuse", "refuse"):
        sandbox.set_fault("zoho-accounts", fault)
        refused()
    assert TokenEvent.objects.filter(kind="refresh_failed").count() == 2
    assert Grant.objects.get().failures == 5


def test_one_answer_without_a_new_refresh_token_proves_nothing_yet(crm: Integration) -> None:
    Grant.objects.update(rotates=None)
    seen = []
    for _ in range(refresh.PROOF):
        services.refresh_now(crm, actor=SYSTEM)
        seen.append(Grant.objects.get().rotates)
    assert seen == [None, None, False]


def test_requests_that_nobody_came_back_from_go_by_themselves(crm: Integration, alice: Any) -> None:
    begin(crm, Actor(username="alice", user_id=alice.pk))
    AuthorizationRequest.objects.update(created_at=timezone.now() - timedelta(days=2))
    services.keep_fresh()
    assert not AuthorizationRequest.objects.exists()


def test_what_is_loaded_anew_goes_down_to_what_was_there(crm: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more event on top, and none falls between the page and what was loaded after it."""
    monkeypatch.setattr(tokens, "PAGE", 3)
    now = timezone.now()
    TokenEvent.objects.all().delete()
    for n in range(6):
        TokenEvent.objects.create(integration=crm, kind="refreshed", at=now - timedelta(minutes=n), actor=f"p{n}")
    first = tokens.story(crm)
    assert [one.actor for one in first.chapters] == ["p0", "p1", "p2"]
    TokenEvent.objects.create(integration=crm, kind="refreshed", at=now + timedelta(minutes=1), actor="new")
    polled = tokens.story(crm, floor=first.floor)
    assert [one.actor for one in polled.chapters] == ["new", "p0", "p1", "p2"]
    assert [one.actor for one in tokens.story(crm, before=first.older).chapters] == ["p3", "p4", "p5"]


def test_a_name_that_takes_too_long_to_resolve_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from integrations import http, outbound

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.4)
        return [(2, 1, 6, "", ("127.0.0.1", 9))]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", slow)
    with pytest.raises(http.Unreachable) as error:
        http.send(http.Request(url="http://slow.example.com/x", endpoint="/x", timeout_s=0.2))
    assert not error.value.maybe_sent
