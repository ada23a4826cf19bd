"""A token that the API refuses before its time: renewed once, for all who hold it, and the call made again."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection
from django.utils import timezone

from healthchecks import look
from integrations import crypto
from integrations.clients import crm, desk
from integrations.clients.base import Refusal
from oauth import services
from oauth.models import Grant, Token
from oauth.services import store

pytestmark = pytest.mark.django_db(transaction=True)

TOKENS = "POST /oauth/v2/token"


@pytest.fixture
def ended(registry, sandbox):
    """Zoho ended our token, which is twenty minutes old and should last forty more."""
    services.connect_sandbox(registry["zoho-crm"])
    token = Token.objects.get()
    token.access_sealed = crypto.seal("1000.ended-before-its-time", context=token.context("access_token"))
    token.issued_at = timezone.now() - timedelta(minutes=20)
    token.save()
    return registry["zoho-crm"]


def asked(sandbox) -> int:
    return sum(sandbox.requests("zoho-accounts").get(TOKENS, {}).values())


def test_the_caller_gets_its_answer_and_notices_nothing(ended, sandbox):
    before = asked(sandbox)
    page = crm.records(services.client_of(ended), module="Leads", fields=["Last_Name"])
    assert page.rows
    assert asked(sandbox) == before + 1
    assert Grant.objects.get().state == "connected"
    assert crm.records(services.client_of(ended), module="Leads", fields=["Last_Name"]).rows
    assert asked(sandbox) == before + 1


def test_what_was_refused_is_made_once_more_even_where_twice_would_harm(ended, sandbox):
    made = crm.upsert(services.client_of(ended), module="Leads", records=[{"Last_Name": "Dlamini"}])
    assert [one.ok for one in made] == [True]
    assert sandbox.requests("zoho-crm") == {"POST /crm/{version}/{module}/upsert": {401: 1, 201: 1}}


def test_the_sweep_renews_it_too_and_is_content(ended, sandbox):
    seen = look.at_one(ended, None)
    assert (seen.api.finding, seen.api.status_code) == ("ok", 200)


def test_a_young_token_that_is_refused_is_not_renewed_again_and_again(ended, sandbox):
    sandbox.set_fault("zoho-crm", "refuse")
    before = asked(sandbox)
    for _ in range(3):
        with pytest.raises(Refusal, match="Connect it again") as caught:
            crm.records(services.client_of(ended), module="Leads", fields=["Last_Name"])
        assert caught.value.status == 401
    assert asked(sandbox) == before + 1  # once, when it was twenty minutes old


def test_a_right_that_is_missing_is_no_reason_to_renew(registry, sandbox):
    services.connect_sandbox(registry["zoho-desk"])
    Token.objects.update(issued_at=timezone.now() - timedelta(minutes=20))
    sandbox.set_fault("zoho-desk", "SCOPE_MISMATCH")
    before = asked(sandbox)
    with pytest.raises(Refusal):
        desk.tickets(services.client_of(registry["zoho-desk"]))
    assert asked(sandbox) == before


def test_when_it_cannot_be_renewed_the_refusal_is_told(ended, sandbox):
    sandbox.set_fault("zoho-accounts", "fail")
    with pytest.raises(Refusal) as caught:
        crm.records(services.client_of(ended), module="Leads", fields=["Last_Name"])
    assert caught.value.status == 401


def test_what_somebody_renewed_meanwhile_is_taken_without_asking(ended, sandbox):
    before = asked(sandbox)
    assert services.replacement(ended, refused="1000.an-older-one") == store.opened(Token.objects.get().access_token)
    assert asked(sandbox) == before


def test_many_who_are_refused_at_once_renew_it_once(ended, sandbox):
    held = store.opened(Token.objects.get().access_token)
    before, together, got = asked(sandbox), Barrier(8), []

    def work():
        together.wait()
        try:
            got.append(services.replacement(ended, refused=held))
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1
    assert got[0] not in ("", held)
    assert asked(sandbox) == before + 1
