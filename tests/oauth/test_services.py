"""The only way to a token, against the simulated authorisation server."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from integrations import crypto
from integrations.actor import SYSTEM
from integrations.models import Activity, ApiMetric
from integrations.providers.spec import Answer, ProviderError
from oauth import flow, services
from oauth.models import Attempt, Grant, Token, TokenEvent
from oauth.services import refresh

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crm(sandbox, registry):
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


def expire(minutes: int = -1) -> None:
    Token.objects.update(expires_at=timezone.now() + timedelta(minutes=minutes))


def test_tokens_lie_encrypted_and_bound_to_their_place(crm):
    token = Token.objects.get()
    assert token.access_token().startswith("1000.")
    stored = Token.objects.values_list("access_sealed", "refresh_sealed").get()
    assert all(value.startswith("v1.t1.") for value in stored)
    Token.objects.update(access_sealed=token.refresh_sealed)
    with pytest.raises(crypto.CannotDecrypt):
        Token.objects.get().access_token()


def test_a_good_token_is_given_without_asking_anybody(crm):
    calls = ApiMetric.objects.count()
    assert services.access_token(crm) == Token.objects.get().access_token()
    assert ApiMetric.objects.count() == calls


def test_a_lease_of_a_clock_that_was_ahead_holds_nobody_up(crm):
    expire(-1)
    Grant.objects.update(lease_until=timezone.now() + timedelta(days=1))
    assert services.access_token(crm) == Token.objects.get().access_token()
    assert Token.objects.get().refresh_count == 1


def test_what_was_under_way_by_that_clock_is_not_asked_for_again_where_tokens_rotate(crm):
    expire(-1)
    Grant.objects.update(lease_until=timezone.now() + timedelta(days=1), rotates=True)
    Attempt.objects.create(
        grant=Grant.objects.get(), generation=Grant.objects.get().generation, started_at=timezone.now()
    )
    with pytest.raises(ProviderError):
        services.access_token(crm)
    assert Grant.objects.get().state == "uncertain"
    assert Token.objects.get().refresh_count == 0


@pytest.mark.parametrize("minutes", [-1, 4])
def test_a_token_with_less_than_five_minutes_left_is_refreshed_first(crm, minutes):
    before = Token.objects.select_related("grant").get()
    expire(minutes)
    fresh = services.access_token(crm)
    after = Token.objects.select_related("grant").get()
    assert fresh == after.access_token() != before.access_token()
    assert after.refresh_token() == before.refresh_token()
    assert (after.refresh_count, after.grant.generation, after.grant.lease_until) == (
        1,
        before.grant.generation + 1,
        None,
    )
    assert Attempt.objects.get().outcome == "given"
    assert after.expires_at > timezone.now() + timedelta(minutes=50)
    assert TokenEvent.objects.filter(kind="refreshed").count() == 1


def test_many_at_once_cause_one_refresh_and_all_get_the_new_token(crm):
    expire()
    got, start = [], threading.Barrier(12)

    def use() -> None:
        try:
            start.wait()
            got.append(services.access_token(crm))
        finally:
            connection.close()

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(got) == {Token.objects.get().access_token()}
    assert len(got) == 12
    assert Token.objects.get().refresh_count == 1


def test_a_provider_in_trouble_keeps_the_old_token_and_recovers(crm, sandbox):
    expire(3)
    old = Token.objects.get().access_token()
    sandbox.set_fault("zoho-accounts", "fail")
    assert services.access_token(crm) == old  # it is good for three minutes more
    grant = Grant.objects.get()
    assert (grant.state, grant.lease_until, grant.failures) == ("retrying", None, 1)
    assert grant.last_error
    expire(-1)
    with pytest.raises(ProviderError, match="Not tried again before") as error:
        services.access_token(crm)
    assert not error.value.permanent
    assert Attempt.objects.count() == 1
    assert Token.objects.get().access_token() == old
    sandbox.clear_fault("zoho-accounts")
    Grant.objects.update(next_try_at=timezone.now())
    assert services.access_token(crm) != old
    grant.refresh_from_db()
    assert (grant.state, grant.last_error, grant.failures, grant.next_try_at) == ("connected", "", 0, None)


def test_it_is_tried_again_after_growing_waits_and_at_once_by_hand(crm, sandbox):
    expire()
    sandbox.set_fault("zoho-accounts", "fail")
    waits = []
    for _ in range(5):
        before = timezone.now()
        with pytest.raises(ProviderError):
            services.refresh_now(crm, actor=SYSTEM)
        waits.append(round((Grant.objects.get().next_try_at - before).total_seconds(), -1))
    assert waits == [10, 30, 120, 300, 300] or waits == [0, 30, 120, 300, 300]
    sandbox.clear_fault("zoho-accounts")
    assert services.refresh_now(crm, actor=SYSTEM).grant.state == "connected"


def test_too_many_requests_wait_out_the_window_even_by_hand_and_the_grant_lives(crm, sandbox):
    expire()
    sandbox.set_fault("zoho-accounts", "throttle")
    for ask in (services.access_token, services.access_token, lambda crm: services.refresh_now(crm, actor=SYSTEM)):
        with pytest.raises(ProviderError) as error:
            ask(crm)
        assert error.value.code == flow.THROTTLED
    grant = Grant.objects.get()
    assert grant.state == "retrying"
    assert grant.next_try_at > timezone.now() + timedelta(minutes=9)
    assert [attempt.outcome for attempt in Attempt.objects.all()] == ["throttled"]
    sandbox.clear_fault("zoho-accounts")
    with time_machine.travel(timezone.now() + timedelta(minutes=11), tick=True):
        assert services.access_token(crm)


def test_we_stop_before_the_provider_does(crm):
    for _ in range(8):
        services.refresh_now(crm, actor=SYSTEM)
    budget = services.budget(Grant.objects.get(), crm.spec.oauth, now=timezone.now())
    assert (budget.used, budget.limit) == (8, 8)
    with pytest.raises(ProviderError, match="all that we allow ourselves") as error:
        services.refresh_now(crm, actor=SYSTEM)
    assert error.value.code == flow.THROTTLED
    assert Attempt.objects.count() == 8
    assert Grant.objects.get().next_try_at == budget.frees_at
    assert services.access_token(crm)  # the last one is as good as ever


def test_a_dead_grant_needs_reconnecting_and_is_never_tried_again(crm, sandbox):
    expire()
    sandbox.set_fault("zoho-accounts", "invalid_code")
    for _ in range(2):
        with pytest.raises(ProviderError) as error:
            services.access_token(crm)
        assert error.value.permanent
    assert services.status(Token.objects.get(), timezone.now()) == "revoked"
    assert Grant.objects.get().state == "needs_reauth"
    assert Attempt.objects.count() == 1
    assert TokenEvent.objects.filter(kind="refresh_failed").count() == 1


def test_those_who_waited_share_the_refusal_and_do_not_ask_again(crm, sandbox):
    expire()
    sandbox.set_fault("zoho-accounts", "fail")
    refusals, start = [], threading.Barrier(8)

    def use() -> None:
        try:
            start.wait()
            services.access_token(crm)
        except ProviderError as error:
            refusals.append(error.words)
        finally:
            connection.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 8
    assert Attempt.objects.count() == 1


# --- A process that died on the way ----------------------------------------------------------------------------------


def left_by_the_dead(*, rotates: bool | None) -> Attempt:
    """An attempt whose process was killed somewhere between its commit and that of the answer."""
    grant = Grant.objects.get()
    Grant.objects.update(lease_until=timezone.now() - timedelta(seconds=1), rotates=rotates)
    return Attempt.objects.create(
        grant=grant, generation=grant.generation, started_at=timezone.now() - timedelta(minutes=1)
    )


def test_where_refresh_tokens_stay_the_next_one_asks_again(crm):
    expire()
    lost = left_by_the_dead(rotates=False)
    assert services.access_token(crm)
    lost.refresh_from_db()
    assert lost.outcome == "unknown"
    assert Grant.objects.get().state == "connected"


@pytest.mark.parametrize(
    ("status", "rotates", "state"),
    [
        (500, True, "uncertain"), (502, True, "uncertain"), (504, None, "uncertain"), (503, True, "retrying"),
        (429, True, "retrying"), (400, True, "retrying"), (500, False, "retrying"),
    ],
)  # fmt: skip
def test_a_provider_that_fell_over_its_answer_may_have_obeyed(crm, monkeypatch, status, rotates, state):
    expire()
    Grant.objects.update(rotates=rotates)
    oauth = replace(crm.spec.oauth, rotates=None)
    monkeypatch.setattr(refresh, "oauth_or_refusal", lambda integration: oauth)
    monkeypatch.setattr(
        refresh.http, "send", lambda *a, **k: Answer(status=status, headers={}, body=b"{}", elapsed_ms=1)
    )
    with pytest.raises(ProviderError):
        services.access_token(crm)
    assert Grant.objects.get().state == state


@pytest.mark.parametrize("rotates", [True])
def test_where_they_rotate_the_old_one_is_never_presented_again(crm, rotates):
    old = Token.objects.get().access_token()
    left_by_the_dead(rotates=rotates)
    expire(3)
    assert services.access_token(crm) == old  # it still works, and that is all there is
    grant = Grant.objects.get()
    assert (grant.state, grant.error_code) == ("uncertain", "uncertain")
    expire(-1)
    for ask in (services.access_token, lambda crm: services.refresh_now(crm, actor=SYSTEM)):
        with pytest.raises(ProviderError, match="Connect it again") as error:
            ask(crm)
        assert error.value.code == "uncertain"
    assert Attempt.objects.count() == 1
    assert services.status(Token.objects.get(), timezone.now()) == "expired"  # not revoked: it isn't dead
    assert services.refresh_expiring()["failed"] == {}
    assert "Connect it again" in services.advice(Token.objects.get())


def test_who_comes_back_late_with_the_new_token_settles_the_doubt(crm):
    grant, now = Grant.objects.get(), timezone.now()
    late = Attempt.objects.create(grant=grant, generation=grant.generation, started_at=now)
    Grant.objects.update(state="uncertain", last_error="perhaps lost", rotates=True)
    given = flow.Tokens(access_token="new", refresh_token="next", issued_at=now, expires_at=now + timedelta(hours=1))
    refresh._keep(grant, late, given, rotated=True, actor=SYSTEM)
    assert Grant.objects.get().state == "connected"
    assert Token.objects.get().refresh_token() == "next"


def test_a_result_that_comes_after_a_new_connection_overwrites_nothing(crm):
    grant, now = Grant.objects.get(), timezone.now()
    late = Attempt.objects.create(grant=grant, generation=grant.generation, started_at=now)
    hour = {"issued_at": now, "expires_at": now + timedelta(hours=1)}
    services.connect(crm, flow.Tokens(access_token="new", refresh_token="newer", **hour), actor=SYSTEM)
    assert not Grant.objects.filter(pk=grant.pk).exists()
    given = flow.Tokens(access_token="late", refresh_token="", **hour)
    refresh._keep(grant, late, given, rotated=False, actor=SYSTEM)
    refresh._failed(grant, late, ProviderError("Late.", code="late"), crm.spec.oauth)
    assert services.access_token(crm) == "new"


def test_a_database_that_is_away_when_the_answer_comes_loses_no_token(crm, monkeypatch):
    expire()
    kept, once = [], refresh._keep_once

    def refuse_twice(*args) -> None:
        kept.append(args)
        if len(kept) < 3:
            raise OperationalError("the database went away")
        once(*args)

    monkeypatch.setattr(refresh, "_keep_once", refuse_twice)
    monkeypatch.setattr(refresh, "STORE_WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(refresh.connection, "close", lambda: None)
    assert services.access_token(crm) == Token.objects.get().access_token()
    assert Attempt.objects.count() == 1


def test_a_database_that_is_away_when_a_refusal_comes_makes_nothing_uncertain(crm, sandbox, monkeypatch):
    expire()
    Grant.objects.update(rotates=True)
    sandbox.set_fault("zoho-accounts", "throttle")
    settled, settle = [], refresh._settle

    def refuse_once(*args, **named) -> None:
        settled.append(args)
        if len(settled) == 1:
            raise OperationalError("the database went away")
        settle(*args, **named)

    monkeypatch.setattr(refresh, "_settle", refuse_once)
    monkeypatch.setattr(refresh, "STORE_WAITS", (0.01,))
    monkeypatch.setattr(refresh.connection, "close", lambda: None)
    with pytest.raises(ProviderError):
        services.access_token(crm)
    assert (Grant.objects.get().state, Attempt.objects.get().outcome) == ("retrying", "throttled")
    assert TokenEvent.objects.filter(kind="refresh_failed").count() == 1


def test_in_a_transaction_of_somebody_elses_nothing_is_asked(crm):
    """There the journal would not be written before the request is sent."""
    expire()
    calls = ApiMetric.objects.count()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        services.access_token(crm)
    assert (Attempt.objects.count(), ApiMetric.objects.count()) == (0, calls)


def test_tokens_are_kept_before_the_call_is_counted(crm, monkeypatch):
    """Whatever stands between the provider's answer and our commit is a moment in which a kill costs the tokens."""
    expire()
    kept_first = []

    def save(metric: ApiMetric) -> None:
        kept_first.append(Token.objects.get().refresh_count == 1)
        raise OperationalError("the disk is full")

    monkeypatch.setattr(refresh.http, "save", save)
    assert services.access_token(crm)
    assert kept_first == [True]


# --- Sharing, connecting ---------------------------------------------------------------------------------------------


def test_integrations_with_the_same_refresh_token_share_everything(crm, registry):
    ours = Token.objects.get()
    now = timezone.now()
    same = flow.Tokens(
        access_token=ours.access_token(), refresh_token=ours.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    sign = registry["zoho-sign"]
    services.connect(sign, same, actor=SYSTEM)
    assert Grant.objects.count() == 1
    expire()
    fresh = services.access_token(sign)
    assert services.access_token(crm) == fresh
    assert Attempt.objects.count() == 1
    assert {token.access_token() for token in Token.objects.all()} == {fresh}
    assert TokenEvent.objects.filter(kind="refreshed").count() == 2


def test_a_new_connection_replaces_a_dead_grant_and_the_row_stays(crm):
    row = Token.objects.get()
    Grant.objects.update(state="needs_reauth", last_error="gone")
    now = timezone.now()
    given = flow.Tokens(access_token="new", refresh_token="newer", issued_at=now, expires_at=now + timedelta(hours=1))
    services.connect(crm, given, actor=SYSTEM)
    assert services.access_token(crm) == "new"
    token = Token.objects.get()
    assert (token.pk, token.grant.state, token.grant.last_error) == (row.pk, "connected", "")
    assert Grant.objects.count() == 1
    assert Activity.objects.filter(action="oauth_connected").count() == 2


def test_a_value_that_can_not_be_decrypted_is_told_not_shown(crm, settings):
    settings.TOKEN_ENCRYPTION_KEYS = "other:key"
    with pytest.raises(ProviderError, match="can't be decrypted"):
        services.access_token(crm)


def test_what_was_never_connected_says_so(registry):
    with pytest.raises(ProviderError, match="never connected") as error:
        services.access_token(registry["zoho-sign"])
    assert error.value.code == "missing"


def test_tokens_that_expire_soon_are_renewed_ahead_of_time(sandbox, registry):
    for slug in ("zoho-crm", "zoho-sign", "zoho-desk"):
        services.connect_sandbox(registry[slug])
    soon = {"issued_at": timezone.now() - timedelta(minutes=50), "expires_at": timezone.now() + timedelta(minutes=10)}
    Token.objects.filter(integration__slug="zoho-crm").update(**soon)
    Token.objects.filter(integration__slug="zoho-sign").update(**soon, auto_refresh=False)
    assert services.refresh_expiring() == {"refreshed": ["zoho-crm"], "failed": {}, "skipped": 1}


@pytest.mark.parametrize(
    ("left", "life", "status"),
    [
        (timedelta(minutes=16), timedelta(hours=1), "valid"),
        (timedelta(minutes=14), timedelta(hours=1), "expiring_soon"),
        (timedelta(seconds=-1), timedelta(hours=1), "expired"),
        (timedelta(days=8), timedelta(days=60), "valid"),
        (timedelta(days=6), timedelta(days=60), "expiring_soon"),
    ],
)
def test_soon_is_a_week_or_a_quarter_of_the_tokens_own_life(left, life, status):
    now = timezone.now()
    token = Token(access_sealed="x", issued_at=now + left - life, expires_at=now + left, grant=Grant())
    assert services.status(token, now) == status


@pytest.mark.parametrize(
    ("state", "sealed", "status"),
    [
        ("connected", "", "missing"),
        ("connected", "x", "valid"),
        ("retrying", "x", "valid"),
        ("uncertain", "x", "valid"),
        ("needs_reauth", "x", "revoked"),
        ("revoking", "x", "revoked"),
        ("revoked", "", "revoked"),
    ],
)
def test_status_by_state(state, sealed, status):
    now = timezone.now()
    assert services.status(None, now) == "missing"
    assert services.status(Token(access_sealed=sealed, grant=Grant(state=state)), now) == status
