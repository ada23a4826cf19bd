"""Didit, NetCash, MTN, Clickatell, Resend and Google, against the sandbox."""

import math
from decimal import Decimal
from typing import Any

import pytest
import requests

from integrations import credentials
from integrations.clients import clickatell, didit, google, mtn, netcash, resend
from integrations.clients.base import Refusal
from integrations.models import ApiMetric
from integrations.providers import mtn as mtn_provider
from integrations.providers.spec import ProviderError
from integrations.sandbox.server import Sandbox
from tests.clients.conftest import Made
from tests.clients.samples import SESSION, TRACE

pytestmark = pytest.mark.django_db


# --- Didit -----------------------------------------------------------------------------------------------------------


def test_didit_begins_a_verification_and_tells_how_it_ended(made: Made) -> None:
    client = made("didit-kyc")
    session = didit.create_session(client, workflow_id=SESSION, vendor_data="customer-4711", phone="+27820000001")
    assert (session.status, session.workflow_id) == ("Not Started", SESSION)
    assert session.url.endswith(session.id)
    assert session.url not in repr(session)  # who has it is let in
    decision = didit.decision(client, session_id=session.id)
    assert (decision.session_id, decision.status) == (session.id, "Approved")
    assert decision.content["id_verifications"]
    assert "id_verifications" not in repr(decision)


def test_didit_counts_credit_exactly(made: Made) -> None:
    assert didit.balance(made("didit-kyc")) == didit.Balance(amount=Decimal("142.5000"), refills_itself=False)


def test_didit_tells_which_webhooks_are_registered(made: Made, sandbox: Sandbox) -> None:
    assert didit.destinations(made("didit-kyc")) == []
    sandbox.state.receiver = "https://hooks.example.com"
    (told,) = didit.destinations(made("didit-kyc"))
    assert (told.url, told.enabled) == ("https://hooks.example.com/api/webhooks/didit/kyc", True)
    assert "status.updated" in told.events


def test_didit_of_an_unknown_session_says_so(made: Made) -> None:
    with pytest.raises(Refusal, match="HTTP 404: Not found") as caught:
        didit.decision(made("didit-kyc"), session_id="nobody")
    assert caught.value.permanent


# --- NetCash ---------------------------------------------------------------------------------------------------------


def test_netcash_a_payment_goes_from_the_form_to_the_books(made: Made) -> None:
    client = made("netcash")
    form = netcash.payment_form(
        client, reference="INV-42", description="Fibre 50/50", amount=Decimal("899.5"), extra=["customer-1042"]
    )
    assert form.fields == {
        "m1": credentials.api_value(client.provider, "NETCASH_SERVICE_KEY"), "m2": netcash.SOFTWARE_VENDOR,
        "p2": "INV-42", "p3": "Fibre 50/50", "p4": "899.50", "m4": "customer-1042",
    }  # fmt: skip
    assert form.fields["m1"] not in repr(form)
    page = requests.post(form.action, data=form.fields, timeout=5)
    assert page.status_code == 200
    trace = page.text.partition("Trace ")[2].partition("<")[0]
    status = netcash.transaction_status(client, trace=trace)
    assert (status.reference, status.amount, status.accepted) == ("INV-42", Decimal("899.50"), True)


def test_netcash_the_form_goes_to_netcash_itself_without_a_sandbox(
    made: Made, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SANDBOX_URL = ""
    monkeypatch.setenv("NETCASH_SERVICE_KEY", "key-1")
    form = netcash.payment_form(made("netcash"), reference="INV-42", description="Fibre", amount=Decimal(1))
    assert (form.action, form.fields["m1"]) == ("https://paynow.netcash.co.za/site/paynow.aspx", "key-1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": ""}, "a reference has 1 to 25"),
        ({"reference": "x" * 26}, "a reference has 1 to 25"),
        ({"reference": "a\nb"}, "printable"),
        ({"description": "x" * 51}, "a description has 1 to 50"),
        ({"amount": Decimal(0)}, "0.01 to 1,000,000 rand"),
        ({"amount": Decimal(-1)}, "0.01 to 1,000,000 rand"),
        ({"amount": Decimal("0.001")}, "two decimals at most"),
        ({"amount": Decimal("1000000.01")}, "0.01 to 1,000,000 rand"),
        ({"amount": Decimal("NaN")}, "0.01 to 1,000,000 rand"),
        ({"amount": Decimal("Infinity")}, "0.01 to 1,000,000 rand"),
        ({"amount": Decimal("1e30")}, "0.01 to 1,000,000 rand"),
        ({"mobile": "27820000001"}, "0 and nine digits"),
        ({"extra": ["a"] * 4}, "three extra fields"),
        ({"extra": [""]}, "an extra field has 1 to 50"),
    ],
)
def test_netcash_a_form_that_the_payer_would_stumble_over_is_not_made(
    made: Made, changes: dict[str, Any], words: str
) -> None:
    asked = {"reference": "INV-42", "description": "Fibre", "amount": Decimal("899.00"), **changes}
    with pytest.raises(ProviderError, match=words):
        netcash.payment_form(made("netcash"), **asked)


def test_netcash_an_unknown_payment_is_permanent_however_it_is_said(made: Made, sandbox: Sandbox) -> None:
    with pytest.raises(ProviderError) as caught:
        netcash.transaction_status(made("netcash"), trace="000000")
    assert (caught.value.permanent, caught.value.status) == (True, 404)
    sandbox.set_fault("netcash", "null")
    with pytest.raises(ProviderError, match="doesn't know this transaction") as caught:
        netcash.transaction_status(made("netcash"), trace=TRACE)
    assert caught.value.permanent


def test_netcash_is_asked_without_any_key(made: Made, settings: Any) -> None:
    settings.SANDBOX_VALUES = {}
    assert netcash.transaction_status(made("netcash"), trace=TRACE).amount == Decimal("899.00")
    with pytest.raises(ProviderError, match="NETCASH_SERVICE_KEY not set"):
        netcash.payment_form(made("netcash"), reference="a", description="b", amount=Decimal(1))


# --- MTN -------------------------------------------------------------------------------------------------------------


def test_mtn_tells_for_each_layer_whether_a_point_is_covered(made: Made) -> None:
    told = mtn.covered(made("mtn-coverage"), latitude=-26.2, longitude=28.05)
    assert [each.layer for each in told] == list(mtn_provider.LAYERS)
    assert all(each.covered for each in told)
    karoo = mtn.covered(made("mtn-coverage"), latitude=-31.2, longitude=20.5, layers=["mtnsi:MTNSA-Coverage-5G-5G"])
    assert [each.covered for each in karoo] == [False]
    assert set(ApiMetric.objects.values_list("endpoint", flat=True)) == {"GetFeatureInfo"}


def test_mtn_points_become_web_mercator() -> None:
    assert mtn.mercator(0, 0) == pytest.approx((0, 0), abs=1e-6)
    assert mtn.mercator(0, 180)[0] == pytest.approx(20037508.34)
    assert mtn.mercator(85.05112878, 0)[1] == pytest.approx(20037508.34)  # the world is a square there
    west, south, east, north = map(int, mtn_provider.PROVIDER.probe.params["bbox"].split(","))
    johannesburg = ((west + east) / 2, (south + north) / 2)
    assert math.dist(mtn.mercator(-26.2041, 28.0473), johannesburg) < 50


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(-35.01, 28), (-21.9, 28), (-26, 15.9), (-26, 33.1), (math.nan, 28), (-26, math.inf), (28, -26)],
)
def test_mtn_points_elsewhere_are_not_asked_for(
    made: Made, sandbox: Sandbox, latitude: float, longitude: float
) -> None:
    with pytest.raises(ProviderError, match="not in South Africa"):
        mtn.covered(made("mtn-coverage"), latitude=latitude, longitude=longitude)
    assert sandbox.requests("mtn-coverage") == {}


def test_mtn_an_unknown_layer_is_named_with_what_to_do(made: Made) -> None:
    with pytest.raises(Refusal, match=r"nowhere: MTN Coverage: .*Could not find layer.*Set MTN_LAYERS") as caught:
        mtn.covered(made("mtn-coverage"), latitude=-26.2, longitude=28.05, layers=["nowhere"])
    assert (caught.value.provider_code, caught.value.status) == ("LayerNotDefined", 200)


def test_mtn_layers_are_configuration(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTN_LAYERS", "mtnsi:A, ,mtnsi:B,mtnsi:A")
    told = mtn.covered(made("mtn-coverage"), latitude=-26.2, longitude=28.05)
    assert [each.layer for each in told] == ["mtnsi:A", "mtnsi:B"]
    for wrong in ([], [f"mtnsi:{number}" for number in range(21)]):
        with pytest.raises(ProviderError, match="1 to 20 layers"):
            mtn.covered(made("mtn-coverage"), latitude=-26.2, longitude=28.05, layers=wrong)


# --- Clickatell ------------------------------------------------------------------------------------------------------


def test_clickatell_sends_one_message_and_gives_its_id(made: Made, sandbox: Sandbox) -> None:
    assert len(clickatell.send_sms(made("clickatell"), to="+27 82 000-0001", text="It works.")) == 32
    assert sandbox.requests("clickatell") == {"POST /v1/message": {202: 1}}


@pytest.mark.parametrize("to", ["27820000001", "+27820000001", "0027 82 000 0001", "+27 (82) 000-00.01"])
def test_clickatell_takes_a_number_as_people_write_it(made: Made, to: str) -> None:
    assert clickatell.number(made("clickatell"), to) == "27820000001"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("0820000001", r"lacks its country code: write \+27 82"),
        ("", "no phone number"),
        ("2782", "no phone number"),
        ("2782000000123456", "no phone number"),
        ("27820000001,27820000002", "no phone number"),
        ("+2782000000x", "no phone number"),
        ("٢٧٨٢٠٠٠٠٠٠١", "no phone number"),
    ],
)
def test_clickatell_says_what_is_wrong_with_a_number_and_does_not_repeat_it(
    made: Made, sandbox: Sandbox, to: str, words: str
) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        clickatell.send_sms(made("clickatell"), to=to, text="Hi")
    assert not to or to not in caught.value.words
    assert caught.value.permanent
    assert sandbox.requests("clickatell") == {}


@pytest.mark.parametrize("wrong", [{"text": " "}, {"text": "x" * 1601}, {"client_message_id": "x" * 65}])
def test_clickatell_checks_a_message_before_it_goes(made: Made, wrong: dict[str, str]) -> None:
    with pytest.raises(ProviderError) as caught:
        clickatell.send_sms(made("clickatell"), **{"to": "27820000001", "text": "Hi", **wrong})
    assert caught.value.code == "invalid"


def test_clickatell_a_message_turned_down_inside_a_207_is_an_error(made: Made) -> None:
    with pytest.raises(
        Refusal, match="1 of 1 messages were turned down: The destination address is invalid"
    ) as caught:
        clickatell.send_sms(made("clickatell"), to="27000000001", text="Hi")
    assert (caught.value.provider_code, caught.value.permanent, caught.value.status) == ("105", True, 207)


def test_clickatell_accepted_without_an_id_is_told_and_not_sent_again(
    made: Made, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.sandbox.apis.clickatell._result", lambda to: {"accepted": True, "to": to})
    with pytest.raises(Refusal, match=r"without the message's id\. It may have been obeyed") as caught:
        clickatell.send_sms(made("clickatell", retries=2), to="27820000001", text="Hi")
    assert caught.value.permanent
    assert sandbox.requests("clickatell") == {"POST /v1/message": {202: 1}}


def test_clickatell_tells_what_is_left(made: Made) -> None:
    assert clickatell.balance(made("clickatell")) == clickatell.Balance(amount=Decimal("1842.5"), currency="ZAR")


# --- Resend ----------------------------------------------------------------------------------------------------------

EMAIL = {"sender": "CircleTel <noreply@example.com>", "to": ["lerato@example.com"], "subject": "Hi", "text": "Hello"}


def test_resend_sends_and_then_tells_what_became_of_it(made: Made) -> None:
    client = made("resend")
    number = resend.send_email(client, **EMAIL, html="<p>Hello</p>")
    assert resend.email(client, id=number)["last_event"] == "delivered"


@pytest.mark.parametrize(("key", "tries"), [("", 1), ("alert-42", 3)])
def test_resend_is_asked_again_only_with_an_idempotency_key(
    made: Made, sandbox: Sandbox, key: str, tries: int
) -> None:
    sandbox.set_fault("resend", "reset")
    with pytest.raises(ProviderError):
        resend.send_email(made("resend", retries=2, patience=30), **EMAIL, idempotency_key=key)
    assert sandbox.requests("resend") == {"POST /emails": {0: tries}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["a@example.com"] * 51},
        {"to": ["nobody"]},
        {"sender": "nobody"},
        {"idempotency_key": "x" * 257},
        {"idempotency_key": "a\nb"},
        {"idempotency_key": "é"},
    ],
)
def test_resend_checks_an_email_before_it_goes(made: Made, sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        resend.send_email(made("resend"), **{**EMAIL, **wrong})
    assert caught.value.code == "invalid"
    assert sandbox.requests("resend") == {}


def test_resend_says_what_an_email_lacks(made: Made) -> None:
    with pytest.raises(Refusal, match="missing_required_field: Missing `subject`") as caught:
        resend.send_email(made("resend"), **{**EMAIL, "subject": ""})
    assert (caught.value.provider_code, caught.value.permanent) == ("missing_required_field", True)


def test_resend_a_key_that_may_only_send_is_healthy_but_can_read_nothing(made: Made, sandbox: Sandbox) -> None:
    sandbox.set_fault("resend", "restricted_api_key")
    client = made("resend")
    with pytest.raises(Refusal, match="Is RESEND_API_KEY right, and allowed to do this"):
        resend.domains(client)
    assert client.call("GET", "/domains").status == 401  # as the probe reads it


def test_resend_tells_which_webhooks_are_registered(made: Made, sandbox: Sandbox) -> None:
    assert resend.webhooks(made("resend")) == []
    sandbox.state.receiver = "https://hooks.example.com"
    (told,) = resend.webhooks(made("resend"))
    assert (told.url, told.enabled) == ("https://hooks.example.com/api/webhooks/resend", True)
    assert "email.bounced" in told.events


# --- Google ----------------------------------------------------------------------------------------------------------


def test_google_finds_an_address_and_nothing_is_an_empty_list(made: Made) -> None:
    (place,) = google.geocode(made("google-maps"), address="1 Sandbox Street, Centurion")
    assert (place.latitude, place.longitude, place.precision) == (-25.8603, 28.1894, "ROOFTOP")
    assert google.geocode(made("google-maps"), address="nowhere") == []


def test_google_suggests_what_may_be_meant(made: Made, sandbox: Sandbox) -> None:
    client = made("google-maps")
    (suggestion,) = google.autocomplete(client, text="1 Sand", session=SESSION)
    assert "Sandbox Street" in suggestion.text
    assert google.autocomplete(client, text="nowhere") == []
    assert sandbox.requests("google-maps") == {"POST /v1/places:autocomplete": {200: 2}}


@pytest.mark.parametrize("text", ["", "  "])
def test_google_is_not_paid_to_look_for_nothing(made: Made, sandbox: Sandbox, text: str) -> None:
    for ask in (lambda: google.geocode(made("google-maps"), address=text),
                lambda: google.autocomplete(made("google-maps"), text=text)):  # fmt: skip
        with pytest.raises(ProviderError) as caught:
            ask()
        assert caught.value.code == "invalid"
    assert sandbox.requests("google-maps") == {}


def test_google_the_key_travels_in_a_header_to_places(made: Made, sandbox: Sandbox, settings: Any) -> None:
    seen = []
    respond = sandbox._server.respond
    sandbox._server.respond = lambda call: seen.append(call) or respond(call)
    google.autocomplete(made("google-maps"), text="1 Sand")
    (call,) = seen
    assert call.headers["x-goog-api-key"] == settings.SANDBOX_VALUES["GOOGLE_MAPS_API_KEY"]
    assert not call.query
