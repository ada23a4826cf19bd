"""CRM, Sign, Billing and Desk, against the sandbox."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.clients import billing, crm, desk, sign
from integrations.clients.base import Refusal
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import ProviderError
from integrations.sandbox.server import Sandbox
from oauth import services as oauth
from tests.clients.conftest import Made
from tests.clients.samples import EVENT, PERSON, RECORD, REQUEST

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]


def test_a_client_of_an_integration_brings_its_own_token(sandbox: Sandbox, registry: dict[str, Integration]) -> None:
    oauth.connect_sandbox(registry["zoho-crm"])
    client = oauth.client_of(registry["zoho-crm"])
    assert crm.search(client, module="Leads", email=PERSON).rows[0]["Email"] == PERSON


# --- CRM -------------------------------------------------------------------------------------------------------------


def test_crm_records_come_by_page_and_then_by_token(made: Made) -> None:
    client = made("zoho-crm")
    first = crm.records(client, module="Leads", fields=["Email"], per_page=3)
    second = crm.records(client, module="Leads", fields=["Email"], per_page=3, page_token=first.token)
    beyond = crm.records(client, module="Leads", fields=["Email"], per_page=3, page=3)
    assert [len(page.rows) for page in (first, second, beyond)] == [3, 1, 0]
    assert [page.more for page in (first, second, beyond)] == [True, False, False]
    assert {metric.endpoint for metric in ApiMetric.objects.all()} == {"/crm/v8/{module}"}


def test_crm_fields_must_be_named(made: Made, sandbox: Sandbox) -> None:
    with pytest.raises(ProviderError, match="name the fields to list"):
        crm.records(made("zoho-crm"), module="Leads", fields=[])
    with pytest.raises(Refusal, match="INVALID_MODULE") as caught:
        crm.records(made("zoho-crm"), module="Dragons", fields=["Email"])
    assert caught.value.provider_code == "INVALID_MODULE"


def test_crm_finds_by_one_thing_and_nothing_is_an_empty_page(made: Made) -> None:
    client = made("zoho-crm")
    assert crm.search(client, module="Leads", word="Dlamini").rows[0]["Last_Name"] == "Dlamini"
    nothing = crm.search(client, module="Leads", email="nobody@example.com")
    assert (nothing.rows, nothing.more) == ([], False)
    for wrong in ({}, {"email": "a", "phone": "b"}):
        with pytest.raises(ProviderError, match="exactly one of"):
            crm.search(client, module="Leads", **wrong)


def test_crm_gives_one_record(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert crm.record(made("zoho-crm"), module="Leads", id=RECORD)["id"] == RECORD


def test_crm_tells_each_records_outcome_and_loses_none(made: Made) -> None:
    outcomes = crm.upsert(made("zoho-crm"), module="Leads", records=[{"Last_Name": "X"}, {}, {"id": RECORD}])
    assert [each.ok for each in outcomes] == [True, False, True]
    assert (outcomes[1].code, outcomes[1].id) == ("MANDATORY_NOT_FOUND", "")
    assert outcomes[2].id == RECORD


def test_crm_upsert_of_one_bad_record_raises_nothing(made: Made, sandbox: Sandbox) -> None:
    sandbox.set_fault("zoho-crm", "DUPLICATE_DATA")
    (outcome,) = crm.upsert(made("zoho-crm"), module="Leads", records=[{"Last_Name": "X"}])
    assert (outcome.ok, outcome.code, outcome.details) == (False, "DUPLICATE_DATA", {"api_name": "Email"})


def test_crm_upsert_that_tells_of_fewer_records_than_it_got_is_an_error(made: Made, sandbox: Sandbox) -> None:
    sandbox.set_fault("zoho-crm", "DUPLICATE_DATA")
    with pytest.raises(Refusal, match=r"told of 1 of 2 records.*look there") as caught:
        crm.upsert(made("zoho-crm"), module="Leads", records=[{"Last_Name": "X"}, {"Last_Name": "Y"}])
    assert caught.value.permanent


@pytest.mark.parametrize("number", [0, 101])
def test_crm_takes_a_hundred_records_at_most(made: Made, number: int) -> None:
    with pytest.raises(ProviderError, match="1 to 100 records"):
        crm.upsert(made("zoho-crm"), module="Leads", records=[{"Last_Name": "X"}] * number)


def test_crm_coql_says_what_is_wrong_with_a_query(made: Made) -> None:
    assert crm.coql(made("zoho-crm"), query="select Email from Leads").rows
    with pytest.raises(Refusal) as caught:
        crm.coql(made("zoho-crm"), query="drop table Leads")
    assert (caught.value.provider_code, caught.value.permanent) == ("SYNTAX_ERROR", True)


CHANNEL = {
    "channel_id": "1000000068001",
    "events": ["Leads.all", "Deals.edit"],
    "notify_url": "https://hooks.example.com/api/webhooks/zoho/crm",
    "token": "TOKEN_1",
}


def test_crm_channels_are_opened_renewed_seen_and_closed(made: Made, sandbox: Sandbox) -> None:
    client, now = made("zoho-crm"), timezone.now().replace(microsecond=0)
    assert crm.watches(client) == []
    opened = crm.watch(client, **CHANNEL, until=now + timedelta(days=2))
    renewed = crm.watch(client, **CHANNEL, until=now + timedelta(days=6))
    assert [opened.expires_at, renewed.expires_at] == [now + timedelta(days=2), now + timedelta(days=6)]
    assert crm.watches(client) == [renewed]
    counted = sandbox.requests("zoho-crm")
    assert counted["POST /crm/{version}/actions/watch"] == {201: 1}
    assert counted["PUT /crm/{version}/actions/watch"] == {200: 1}
    crm.unwatch(client, channel_ids=[CHANNEL["channel_id"]])
    assert crm.watches(client) == []
    with pytest.raises(Refusal, match="INVALID_DATA"):
        crm.unwatch(client, channel_ids=["1000000068001"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"until": timedelta(days=8)}, "within a week"),
        ({"until": timedelta(0)}, "within a week"),
        ({"token": "x" * 51}, "1 to 50 characters"),
        ({"token": ""}, "1 to 50 characters"),
        ({"channel_id": "one"}, "a number"),
        ({"events": []}, "events"),
    ],
)
def test_crm_channels_that_zoho_would_shorten_or_refuse_are_not_asked_for(
    made: Made, sandbox: Sandbox, changes: dict[str, Any], words: str
) -> None:
    asked = {**CHANNEL, "until": timedelta(days=6), **changes}
    asked["until"] = timezone.now() + asked["until"]
    with pytest.raises(ProviderError, match=words):
        crm.watch(made("zoho-crm"), **asked)
    assert "POST /crm/{version}/actions/watch" not in sandbox.requests("zoho-crm")


def test_crm_opens_no_channel_a_second_time_when_nobody_answered(made: Made, sandbox: Sandbox) -> None:
    client = made("zoho-crm", retries=2)
    client.token()
    strike = sandbox.state.faults.strike
    posts: list[str] = []

    def struck(owner: str, kind: Any, now: float) -> Any:
        posts.append(owner)
        if len(posts) > 1:  # the look before it was answered
            sandbox.set_fault("zoho-crm", "reset")
        return strike(owner, kind, now)

    sandbox.state.faults.strike = struck  # type: ignore[method-assign]
    with pytest.raises(ProviderError, match="look there before you send it again"):
        crm.watch(client, **CHANNEL, until=timezone.now() + timedelta(days=1))
    assert sandbox.requests("zoho-crm")["POST /crm/{version}/actions/watch"] == {0: 1}


# --- Sign ------------------------------------------------------------------------------------------------------------

SIGNERS = [
    sign.Signer(name="Lerato Dlamini", email=PERSON),
    sign.Signer(name="Pieter van Wyk", email="pieter.vanwyk@example.com", action="VIEW", order=1, verify="EMAIL"),
]


def draft(made: Made, documents: dict[str, bytes] | None = None) -> sign.Envelope:
    return sign.create(
        made("zoho-sign"), name="Service agreement", documents=documents or {"nda.pdf": b"%PDF-1.4"}, signers=SIGNERS
    )


def test_sign_goes_from_draft_to_signed_document(made: Made) -> None:
    client = made("zoho-sign")
    made_one = draft(made)
    assert (made_one.status, [each.type for each in made_one.actions]) == ("draft", ["SIGN", "VIEW"])
    assert [each.name for each in made_one.documents] == ["nda.pdf"]
    field = sign.Field(action_id=made_one.actions[0].id, document_id=made_one.documents[0].id, x=100, y=200)
    assert sign.submit(client, id=made_one.id, fields=[field]).status == "inprogress"
    assert sign.request(client, id=made_one.id).status == "inprogress"
    assert sign.pdf(client, id=made_one.id).startswith(b"%PDF")
    with pytest.raises(Refusal) as caught:
        sign.submit(client, id=made_one.id, fields=[field])
    assert caught.value.provider_code == "12008"


def test_sign_says_when_a_signer_has_nothing_to_sign(made: Made) -> None:
    made_one = draft(made)
    with pytest.raises(Refusal, match="Add at least one field") as caught:
        sign.submit(made("zoho-sign"), id=made_one.id, fields=[])
    assert (caught.value.provider_code, caught.value.permanent) == ("9101", True)
    stranger = sign.Field(action_id="42", document_id="1", x=1, y=1)
    with pytest.raises(ProviderError, match="the request has no action 42"):
        sign.submit(made("zoho-sign"), id=made_one.id, fields=[stranger])


def test_sign_gives_a_zip_where_there_are_several_documents(made: Made) -> None:
    made_one = draft(made, {"a.pdf": b"%PDF-1.4", 'with "quotes".pdf': b"%PDF-1.4"})
    assert sign.pdf(made("zoho-sign"), id=made_one.id).startswith(b"PK")


def test_sign_takes_no_page_for_a_document(made: Made, sandbox: Sandbox) -> None:
    sandbox.set_fault("zoho-sign", "8026")
    with pytest.raises(Refusal, match="Upgrade your license"):
        sign.pdf(made("zoho-sign"), id=REQUEST)


def test_sign_lists_requests(made: Made) -> None:
    page = sign.requests(made("zoho-sign"), rows=1)
    assert (page.rows[0]["request_id"], page.more) == (REQUEST, False)


@pytest.mark.parametrize(
    ("documents", "signers", "words"),
    [
        ({}, SIGNERS, "1 to 40 documents"),
        ({str(n): b"x" for n in range(41)}, SIGNERS, "1 to 40 documents"),
        ({"a": b"x"}, [], "1 to 25 signers"),
        ({"a": b""}, SIGNERS, "none is empty"),
        ({"a": bytes(25 * 1024 * 1024 + 1)}, SIGNERS, "up to 25 MB"),
        ({str(n): bytes(21 * 1024 * 1024) for n in range(2)}, SIGNERS, "up to 40 MB"),
    ],
)
def test_sign_checks_what_zoho_would_refuse(
    made: Made, sandbox: Sandbox, documents: dict[str, bytes], signers: Any, words: str
) -> None:
    with pytest.raises(ProviderError, match=words):
        sign.create(made("zoho-sign"), name="x", documents=documents, signers=signers)
    assert sandbox.requests("zoho-sign") == {}


# --- Billing ---------------------------------------------------------------------------------------------------------


def happened(sandbox: Sandbox, number: int, when: datetime | None) -> None:
    told = {"event_time": when.isoformat()} if when else {}
    sandbox.state.remember("zoho-billing", {"event_id": f"e-{number}", "event_type": "payment_thankyou", **told})


def test_billing_lists_come_by_page(made: Made) -> None:
    client = made("zoho-billing")
    pages = [billing.customers(client, page=number, per_page=3) for number in (1, 2)]
    assert [(len(page.rows), page.more) for page in pages] == [(3, True), (1, False)]
    assert billing.plans(client).rows[0]["plan_code"] == "fibre-50"
    assert billing.subscriptions(client).rows[0]["status"] == "live"


@pytest.mark.parametrize("wrong", [{"page": 0}, {"per_page": 0}, {"per_page": 201}])
def test_billing_pages_are_within_bounds(made: Made, wrong: dict[str, int]) -> None:
    with pytest.raises(ProviderError, match="pages count from 1"):
        billing.plans(made("zoho-billing"), **wrong)


def test_billing_events_come_newest_first_and_the_older_pages_are_not_asked_for(made: Made, sandbox: Sandbox) -> None:
    client, now = made("zoho-billing"), datetime(2026, 11, 22, 20, 31, tzinfo=UTC)
    for number in range(700):
        happened(sandbox, number, now + timedelta(minutes=number))
    found = billing.events(client, since=now + timedelta(minutes=450))
    assert [each.id for each in found] == [f"e-{number}" for number in range(699, 449, -1)]
    assert sandbox.requests("zoho-billing")["GET /billing/v1/events"] == {200: 2}


def test_billing_events_in_no_order_are_all_found(made: Made, sandbox: Sandbox) -> None:
    client, now = made("zoho-billing"), datetime(2026, 11, 22, 20, 31, tzinfo=UTC)
    for number in range(450):
        happened(sandbox, number, now + timedelta(minutes=number * 7 % 450))
    happened(sandbox, 450, None)
    found = billing.events(client, since=now + timedelta(minutes=400))
    assert len(found) == 51
    assert "e-450" in {each.id for each in found}


def test_billing_events_bring_what_the_webhook_would(made: Made) -> None:
    told = billing.event(made("zoho-billing"), id=EVENT)
    assert (told.id, told.type, told.payload["event_id"]) == (EVENT, "payment_thankyou", EVENT)
    assert json.loads(told.body) == told.payload
    with pytest.raises(Refusal, match="does not exist") as caught:
        billing.event(made("zoho-billing"), id="1")
    assert (caught.value.provider_code, caught.value.permanent) == ("5", True)


def test_billing_events_need_a_time_zone_and_an_end(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderError, match="needs its time zone"):
        billing.events(made("zoho-billing"), since=datetime(2026, 11, 22))
    monkeypatch.setattr(billing, "MOST_PAGES", 0)
    with pytest.raises(ProviderError, match="begin at a later time"):
        billing.events(made("zoho-billing"), since=timezone.now())


# --- Desk ------------------------------------------------------------------------------------------------------------


def test_desk_tickets_are_listed_made_changed_and_commented(made: Made) -> None:
    client = made("zoho-desk")
    first, beyond = desk.tickets(client, limit=2), desk.tickets(client, start=3)
    assert [(len(page.rows), page.more) for page in (first, beyond)] == [(2, True), (0, False)]
    contact = {"lastName": "Dlamini", "email": PERSON}
    ticket = desk.create_ticket(
        client, subject="No connection", department_id="1892", contact=contact, description="Since Monday"
    )
    assert (ticket["subject"], bool(ticket["ticketNumber"])) == ("No connection", True)
    assert desk.update_ticket(client, id=ticket["id"], changes={"status": "Closed"})["status"] == "Closed"
    assert desk.ticket(client, id=ticket["id"])["id"] == ticket["id"]
    assert desk.add_comment(client, ticket_id=ticket["id"], content="Looking into it.").isdigit()
    assert desk.comments(client, ticket_id=ticket["id"]).rows[0]["content"] == "Looking into it."
    assert "/api/v1/tickets/{id}/comments" in ApiMetric.objects.values_list("endpoint", flat=True)


def test_desk_says_what_a_ticket_lacks(made: Made, sandbox: Sandbox) -> None:
    client = made("zoho-desk")
    for wrong in ({}, {"contact_id": "1", "contact": {"lastName": "X"}}):
        with pytest.raises(ProviderError, match="either contact_id or contact"):
            desk.create_ticket(client, subject="x", department_id="1", **wrong)
    with pytest.raises(ProviderError, match="nothing to change"):
        desk.update_ticket(client, id="7", changes={})
    with pytest.raises(ProviderError, match="says something"):
        desk.add_comment(client, ticket_id="7", content=" ")
    with pytest.raises(ProviderError, match="begins at 0 to 4,999"):
        desk.tickets(client, limit=101)
    assert sandbox.requests("zoho-desk") == {}
    with pytest.raises(Refusal) as caught:
        desk.create_ticket(client, subject="", department_id="1", contact_id="1")
    assert caught.value.provider_code == "INVALID_DATA"


def test_desk_tells_which_webhooks_are_registered(made: Made, sandbox: Sandbox) -> None:
    assert desk.webhooks(made("zoho-desk")) == []
    sandbox.state.receiver = "https://hooks.example.com"
    (told,) = desk.webhooks(made("zoho-desk"))
    assert (told.url, told.enabled) == ("https://hooks.example.com/api/webhooks/zoho/desk", True)
    assert "Ticket_Add" in told.events
