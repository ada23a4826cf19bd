"""Grants that nothing here uses any more while the provider would go on honouring them."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from config import vault as sealed
from integrations import vault
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity
from integrations.providers.spec import ProviderError
from oauth import flow, services
from oauth.models import Attempt, Grant, Leftover, Token, TokenEvent
from oauth.services import leftovers, refresh, servers
from oauth.services.revoke import WAITS

pytestmark = pytest.mark.django_db(transaction=True)

DANA = Actor(username="dana")


@pytest.fixture
def crm(sandbox, registry):
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


@pytest.fixture
def replaced(crm, sandbox):
    """Revoked while the provider was away, and connected anew before it came back. Gives the old refresh token."""
    old = Token.objects.get().refresh_token()
    sandbox.set_fault("zoho-accounts", "fail")
    assert services.revoke(crm, actor=DANA).pending
    sandbox.clear_fault("zoho-accounts")
    assert services.connect_sandbox(crm)
    return old


def later(**wait: float) -> Any:
    return time_machine.travel(timezone.now() + timedelta(**wait), tick=True)


def lives(integration: Any, refresh_token: str) -> bool:
    """Whether the provider itself still takes it."""
    oauth = integration.spec.oauth
    request = flow.refresh(oauth, servers.client_of(integration, oauth), refresh_token=refresh_token)
    answer = refresh.ask(integration, oauth, request)
    try:
        flow.read_tokens(oauth, answer, now=timezone.now())
    except ProviderError as error:
        return error.code != flow.DEAD
    return True


def test_what_was_replaced_while_its_revocation_was_pending_is_revoked_all_the_same(crm, replaced):
    assert lives(crm, replaced)
    assert leftovers.TOLD_LATER in TokenEvent.objects.filter(kind="connected").latest("at").detail
    summary = services.keep_fresh()
    assert summary["revoked"] == ["zoho-crm"]
    assert not lives(crm, replaced)
    assert services.access_token(crm)  # the new grant is another one
    assert lives(crm, Token.objects.get().refresh_token())
    assert not Leftover.objects.exists()
    event = TokenEvent.objects.get(kind="revoked", detail__startswith="The grant before this one")
    assert event.detail == "The grant before this one: The provider has revoked it."
    assert Activity.objects.filter(action="oauth_revoked").latest("seq").details["which"] == "replaced"


def test_a_provider_that_is_away_is_told_later_and_the_new_grant_goes_on_meanwhile(crm, replaced, sandbox):
    sandbox.set_fault("zoho-accounts", "fail")
    summary = services.keep_fresh()
    assert list(summary["revoking"]) == ["zoho-crm"]
    assert "Revocation pending: zoho-crm (" in summary["message"]
    assert "did not confirm that the token is revoked" in Leftover.objects.get().last_error
    assert services.access_token(crm)
    sandbox.clear_fault("zoho-accounts")
    assert services.keep_fresh()["revoked"] == []  # not before its time
    with later(seconds=WAITS[0].total_seconds() + 1):
        assert services.keep_fresh()["revoked"] == ["zoho-crm"]


def test_its_secret_is_sealed_for_that_row_alone_and_keys_can_be_changed(crm, replaced, settings):
    left = Leftover.objects.get()
    assert left.token() == replaced
    assert replaced not in str(Leftover.objects.values())
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another,t1:test-only-key"
    vault.rotate(sealed.COLUMNS, actor=SYSTEM)
    settings.TOKEN_ENCRYPTION_KEYS = "t2:another"
    assert Leftover.objects.get().token() == replaced


def test_a_worker_that_dies_over_it_holds_it_up_for_its_lease(crm, replaced):
    left = Leftover.objects.get()
    assert Leftover.objects.claim(left, now=timezone.now(), lease=leftovers.LEASE)
    assert services.keep_fresh()["revoked"] == []
    with later(seconds=leftovers.LEASE.total_seconds() + 1):
        assert services.keep_fresh()["revoked"] == ["zoho-crm"]


def test_who_connects_with_the_very_grant_that_was_to_be_revoked_keeps_it(crm, sandbox):
    """As by importing it: then it isn't to be revoked any more."""
    held = Token.objects.get()
    same = flow.Tokens(
        access_token=held.access_token(), refresh_token=held.refresh_token(), issued_at=timezone.now(),
        expires_at=timezone.now() + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    sandbox.set_fault("zoho-accounts", "fail")
    services.revoke(crm, actor=DANA)
    sandbox.clear_fault("zoho-accounts")
    services.connect(crm, same, actor=DANA)
    assert not Leftover.objects.exists()
    services.keep_fresh()
    assert lives(crm, same.refresh_token)


def test_while_others_live_by_it_the_old_grant_is_revoked_through_them(crm, registry, sandbox):
    held, now = Token.objects.get(), timezone.now()
    shared = flow.Tokens(
        access_token=held.access_token(), refresh_token=held.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(registry["zoho-sign"], shared, actor=SYSTEM)
    sandbox.set_fault("zoho-accounts", "fail")
    services.revoke(crm, actor=DANA, together_with=[registry["zoho-sign"]])
    sandbox.clear_fault("zoho-accounts")
    services.connect_sandbox(crm)
    assert not Leftover.objects.exists()
    services.connect_sandbox(registry["zoho-sign"])  # and now nobody is left who does
    assert Leftover.objects.get().token() == shared.refresh_token


def test_somebody_who_connects_while_the_provider_is_being_told_breaks_nothing(crm, sandbox, monkeypatch):
    sandbox.set_fault("zoho-accounts", "fail")
    services.revoke(crm, actor=DANA)
    sandbox.clear_fault("zoho-accounts")
    ask = refresh.ask

    def slow(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(refresh, "ask", ask)
        services.connect_sandbox(crm)
        return ask(*args, **kwargs)

    monkeypatch.setattr(refresh, "ask", slow)
    assert not services.revoke(crm, actor=DANA).pending
    assert services.access_token(crm)
    assert services.keep_fresh()["revoked"] == ["zoho-crm"]  # told twice, which harms nobody
    assert services.access_token(crm)


def test_where_one_revocation_ends_all_nobody_is_told_behind_the_new_grant(crm, sandbox, monkeypatch):
    monkeypatch.setattr(leftovers, "_can_be_told", lambda oauth: False)
    sandbox.set_fault("zoho-accounts", "fail")
    services.revoke(crm, actor=DANA)
    sandbox.clear_fault("zoho-accounts")
    services.connect_sandbox(crm)
    assert not Leftover.objects.exists()
    assert leftovers.UNCONFIRMED in TokenEvent.objects.filter(kind="connected").latest("at").detail


def test_what_is_told_no_more_is_forgotten_and_what_went_wrong_is_kept(crm):
    grant, now = Grant.objects.get(), timezone.now()
    for days in (1, 31, 100):
        at = now - timedelta(days=days)
        Attempt.objects.create(grant=grant, generation=0, started_at=at, ended_at=at, outcome="given")
        Attempt.objects.create(grant=grant, generation=0, started_at=at)
        for kind in ("refreshed", "refresh_failed"):
            TokenEvent.objects.create(integration=crm, kind=kind, at=at, actor="system")
    assert services.keep_fresh()["forgotten"] == 3
    assert Attempt.objects.exclude(ended_at=None).count() == 1
    assert Attempt.objects.filter(ended_at=None).count() == 3
    assert TokenEvent.objects.filter(kind="refreshed").count() == 2
    assert TokenEvent.objects.filter(kind="refresh_failed").count() == 3
