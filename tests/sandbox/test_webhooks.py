"""What the sandbox sends: genuine unless told otherwise, repeated when refused, and noted in the ledger."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from integrations import credentials, http, providers
from integrations.providers import samples
from integrations.providers.netcash import read_status, status_request
from integrations.providers.spec import Delivery, ProviderError, Refused, Unverified, Verified, Webhook
from integrations.sandbox.server import Sandbox

from .conftest import Clock, connect
from .receiver import Receiver, eventually

SENDERS = [provider.slug for provider in providers.PROVIDERS if provider.webhook]
SIGNERS = [slug for slug in SENDERS if slug != "netcash"]


def webhook(slug: str) -> Webhook:
    provider = providers.get(slug)
    assert provider
    assert provider.webhook
    return provider.webhook


def options(sandbox: Sandbox, slug: str) -> dict[str, Any]:
    """What verifying needs besides the secret: Zoho Desk's published keys."""
    path = webhook(slug).jwks_path
    return {"jwks": requests.get(f"{sandbox.url}/{slug}{path}", timeout=5).json()} if path else {}


def judge(sandbox: Sandbox, slug: str, delivery: Delivery, now: float) -> Verified | Unverified:
    secrets = credentials.secrets(webhook(slug).secret_env)
    return webhook(slug).verify(delivery, secrets, now=now, options=options(sandbox, slug))


@pytest.mark.parametrize("slug", SENDERS)
def test_every_event_of_a_provider_verifies_and_is_an_event_of_its_own(
    sending: Sandbox, receiver: Receiver, clock: Clock, slug: str
) -> None:
    types = samples.event_types(slug)
    for event_type in types:
        sending.send(slug, event_type)
        sending.send(slug, event_type)
        clock.now += 0.001  # some keys are made of the time
    keys = set()
    for path, delivery in receiver.wait(2 * len(types)):
        assert path == webhook(slug).path
        assert judge(sending, slug, delivery, clock.now)
        (payload,) = webhook(slug).parse(delivery)
        event = webhook(slug).event(payload, delivery)
        assert event.type in types
        keys.add(event.key)
    assert len(keys) == 2 * len(types)
    assert None not in keys


@pytest.mark.parametrize("slug", SENDERS)
def test_a_webhook_says_who_sends_it(sending: Sandbox, receiver: Receiver, slug: str) -> None:
    sending.send(slug)
    ((_, delivery),) = receiver.wait(1)
    assert "requests" not in delivery.headers["user-agent"]
    assert "circletel" not in delivery.headers["user-agent"].lower()


def test_a_secret_that_somebody_set_is_the_one_that_signs(
    sending: Sandbox, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldw==,whsec_b2xkLXNlY3JldA==")
    sending.send("resend")
    ((_, delivery),) = receiver.wait(1)
    verified = judge(sending, "resend", delivery, clock.now)
    assert isinstance(verified, Verified)
    assert verified.secret == 0


# --- The ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_tells_what_was_sent_and_what_was_answered(sending: Sandbox, receiver: Receiver) -> None:
    receiver.statuses = [401]
    (number,) = sending.send("didit-kyc", "status.updated")
    eventually(lambda: bool(sending.ledger("didit-kyc")[0].attempts))
    (entry,) = sending.ledger("didit-kyc")
    assert (entry.id, entry.event, entry.flaw, entry.status) == (number, "status.updated", "", 401)
    assert entry.attempts[0].words == '{"received":true}'


def test_the_ledger_is_bounded(sending: Sandbox) -> None:
    ledger = sending.state.ledger
    ledger.MOST = 3  # type: ignore[misc]
    numbers = [sending.send("resend")[0] for _ in range(5)]
    assert [entry.id for entry in ledger.entries()] == numbers[2:]


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SENDERS)
def test_a_forged_webhook_does_not_verify(sending: Sandbox, receiver: Receiver, clock: Clock, slug: str) -> None:
    sending.set_fault(slug, "forge", probability=1)
    sending.send(slug)
    ((_, delivery),) = receiver.wait(1)
    with pytest.raises(Refused) as caught:
        judge(sending, slug, delivery, clock.now)
    assert caught.value.reason == "mismatch"
    assert sending.ledger(slug)[0].flaw == "forged"


@pytest.mark.parametrize("slug", SIGNERS)
def test_an_unsigned_webhook_does_not_verify(sending: Sandbox, receiver: Receiver, clock: Clock, slug: str) -> None:
    sending.set_fault(slug, "unsigned")
    sending.send(slug)
    ((_, delivery),) = receiver.wait(1)
    with pytest.raises(Refused) as caught:
        judge(sending, slug, delivery, clock.now)
    assert caught.value.reason in ("missing_header", "missing_token")


def test_about_half_are_forged_when_nothing_else_is_said(sending: Sandbox, receiver: Receiver) -> None:
    sending.set_fault("resend", "forge")
    sending.send("resend", count=40)
    receiver.wait(40)
    assert {entry.flaw for entry in sending.ledger()} == {"", "forged"}


def test_a_repeated_webhook_is_the_same_event_twice(sending: Sandbox, receiver: Receiver) -> None:
    sending.set_fault("zoho-billing", "repeat")
    sending.send("zoho-billing")
    (_, first), (_, second) = receiver.wait(2)
    assert first.body == second.body
    eventually(lambda: len(sending.ledger()[0].attempts) == 2)
    assert len(sending.ledger()) == 1


def test_a_quiet_provider_sends_nothing_but_its_api_knows_the_events(sending: Sandbox, receiver: Receiver) -> None:
    sending.set_fault("zoho-billing", "quiet")
    sending.send("zoho-billing", "payment_declined")
    sending.clear_fault("zoho-billing")
    sending.send("zoho-billing", "payment_thankyou")
    ((_, delivery),) = receiver.wait(1)
    assert json.loads(delivery.body)["event_type"] == "payment_thankyou"
    assert [entry.flaw for entry in sending.ledger()] == ["withheld", ""]
    headers = {
        "Authorization": f"Zoho-oauthtoken {connect('zoho-billing')}",
        "X-com-zoho-subscriptions-organizationid": credentials.value("ZOHO_ORG_ID"),
    }
    events = requests.get(f"{sending.url}/zoho-billing/billing/v1/events", headers=headers, timeout=5).json()["events"]
    assert [event["event_type"] for event in events] == ["payment_thankyou", "payment_declined"]
    one = requests.get(
        f"{sending.url}/zoho-billing/billing/v1/events/{events[1]['event_id']}", headers=headers, timeout=5
    ).json()
    assert json.loads(one["event"]["payload"])["event_type"] == "payment_declined"


# --- NetCash: no proof in the notice, so the status service has the last word ----------------------------------------


def status_of(delivery: Delivery) -> Any:
    provider = providers.get("netcash")
    assert provider
    path, params = status_request(field(delivery, "RequestTrace"))
    request = http.Request(url=credentials.base_url(provider) + path, endpoint=path, params=params)
    return read_status(http.send(request))


def field(delivery: Delivery, name: str) -> str:
    return parse_qs(delivery.body.decode())[name][0]


def test_most_netcash_notices_carry_no_hash(sending: Sandbox, receiver: Receiver, clock: Clock) -> None:
    sending.send("netcash", count=60)
    verdicts = [type(judge(sending, "netcash", delivery, clock.now)) for _, delivery in receiver.wait(60)]
    assert verdicts.count(Unverified) > verdicts.count(Verified) > 0


def test_the_status_service_confirms_what_was_sent(sending: Sandbox, receiver: Receiver) -> None:
    sending.send("netcash", "TransactionAccepted")
    ((_, delivery),) = receiver.wait(1)
    status = status_of(delivery)
    assert status.trace == field(delivery, "RequestTrace")
    assert status.reference == field(delivery, "Reference")
    assert str(status.amount) == field(delivery, "Amount")
    assert status.accepted


@pytest.mark.parametrize("fault", ["unsigned", "forge"])
def test_the_status_service_does_not_confirm_what_it_has_not_sent(
    sending: Sandbox, receiver: Receiver, fault: str
) -> None:
    sending.set_fault("netcash", fault, probability=1)
    sending.send("netcash")
    ((_, delivery),) = receiver.wait(1)
    with pytest.raises(ProviderError):
        status_of(delivery)


def test_a_status_service_that_lost_its_books(sending: Sandbox, receiver: Receiver) -> None:
    sending.send("netcash")
    ((_, delivery),) = receiver.wait(1)
    sending.set_fault("netcash", "lost")
    with pytest.raises(ProviderError):
        status_of(delivery)
    sending.clear_fault("netcash")
    assert status_of(delivery)
