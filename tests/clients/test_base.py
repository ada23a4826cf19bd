"""What `Client` does for all of them."""

from dataclasses import replace
from typing import Any

import pytest

from integrations import http, limiter, providers
from integrations.clients import base, resend
from integrations.clients.base import Client, Refusal, moment, retry_after
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Answer, ApiKey, ProviderError, Reading
from integrations.sandbox.server import Sandbox
from tests.clients.conftest import Made
from tests.factories import IntegrationFactory

pytestmark = pytest.mark.django_db
UUID = "6f1d3a52-0000-4000-8000-000000000001"


def answered(**headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=429, headers=named, body=b"", elapsed_ms=1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": " 0 "}, 0.0),
        ({"retry_after": "999999999999999999999"}, 3600.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "1.5"}, None),
        ({"retry_after": "٣"}, None),
        ({"retry_after": "Sun, 22 Nov 2026 08:00:30 GMT", "date": "Sun, 22 Nov 2026 08:00:00 GMT"}, 30.0),
        ({"retry_after": "Sun, 22 Nov 2026 07:00:00 GMT", "date": "Sun, 22 Nov 2026 08:00:00 GMT"}, 0.0),
        ({"retry_after": "Sun, 22 Nov 2037 07:00:00 GMT"}, 3600.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(answered(**headers)) == seconds


def test_times_are_read_and_nonsense_is_none() -> None:
    told = moment("2016-06-05T18:28:20-0700")
    assert told
    assert told.isoformat() == "2016-06-05T18:28:20-07:00"
    naive = moment("2016-06-05T18:28:20")
    assert naive
    assert naive.tzinfo
    assert [moment(value) for value in ("", "soon", None, [1])] == [None] * 4


@pytest.mark.parametrize("value", ["", ".", "..", "a\nb", "a\x00", "x" * 201])
def test_what_can_lead_away_from_a_path_is_no_part_of_it(made: Made, sandbox: Sandbox, value: str) -> None:
    with pytest.raises(ProviderError, match="is no e-mail id") as caught:
        resend.email(made("resend"), id=value)
    assert (caught.value.permanent, caught.value.code) == (True, "invalid")
    assert sandbox.requests("resend") == {}


def test_a_part_of_a_path_stays_one(made: Made) -> None:
    assert made("resend").part("a..b?c=d#e %", "id") == "a..b%3Fc%3Dd%23e%20%25"


@pytest.mark.parametrize("value", ["a/../b", "a\\b", "..", "", "a\nb", "x" * 201])
def test_what_could_lead_elsewhere_is_no_part_of_a_path(made: Made, value: str) -> None:
    with pytest.raises(ProviderError, match="is no id"):
        made("resend").part(value, "id")


def test_an_integration_without_a_provider_says_so(registry: dict[str, Integration]) -> None:
    client = Client(integration=IntegrationFactory(slug="gone", name="Gone"))
    with pytest.raises(ProviderError, match="Gone has no provider in this version"):
        client.call("GET", "/")


def test_an_answer_that_is_too_large_is_asked_for_once(made: Made, sandbox: Sandbox) -> None:
    client = made("resend", retries=2)
    with pytest.raises(http.Unreachable, match="Resend Email: The answer is larger than 10 bytes"):
        client.call("GET", "/domains", max_bytes=10)
    assert sandbox.requests("resend") == {"GET /domains": {200: 1}}


def test_an_answer_without_what_was_asked_for_is_no_answer(made: Made) -> None:
    client = made("resend")
    answer = client.call("GET", "/domains")
    for ask in (client.rows, client.found, client.text):
        with pytest.raises(Refusal, match=r"Resend Email answered HTTP 200, but without nothing\.there") as caught:
            ask(answer, "nothing.there")
        assert not caught.value.permanent
    assert client.rows(replace(answer, status=204, body=b""), "data") == []


def test_a_key_goes_where_the_operation_wants_it(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[http.Request] = []
    told = Answer(status=200, headers={}, body=b"{}", elapsed_ms=1)
    monkeypatch.setattr(http, "send", lambda request, **_: sent.append(request) or told)
    client = made("google-maps")
    client.call("GET", "/a", read=lambda answer: Reading("ok"))
    client.call("GET", "/a", auth=ApiKey(env="GOOGLE_MAPS_API_KEY", header="X-Goog-Api-Key"))
    client.call("GET", "/a", authenticated=False)
    key = client.credential("GOOGLE_MAPS_API_KEY")
    assert [dict(request.params) for request in sent] == [{"key": key}, {}, {}]
    assert [dict(request.headers) for request in sent] == [{}, {"X-Goog-Api-Key": key}, {}]
    assert not [request for request in sent if key in repr(request)]


def test_a_503_that_says_when_is_left_alone_until_then(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Answer(status=503, headers={"retry-after": "40"}, body=b"", elapsed_ms=1)
    monkeypatch.setattr(http, "_exchange", lambda *args: busy)
    with pytest.raises(Refusal, match="HTTP 503") as caught:
        resend.domains(made("resend", retries=2))
    assert (caught.value.wait, caught.value.permanent) == (40.0, False)
    assert ApiMetric.objects.count() == 1
    with pytest.raises(limiter.TooSoon):
        resend.domains(made("resend", patience=0))


def test_a_503_that_wants_an_hour_hides_the_outage_for_a_minute_at_most(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Answer(status=503, headers={"retry-after": "3600"}, body=b"", elapsed_ms=1)
    held: list[float] = []
    monkeypatch.setattr(http, "_exchange", lambda *args: busy)
    monkeypatch.setattr(limiter, "hold", lambda key, limit, seconds: held.append(seconds))
    with pytest.raises(Refusal) as caught:
        resend.domains(made("resend"))
    assert caught.value.wait == 3600.0
    assert held == [60.0]


@pytest.mark.parametrize(("status", "permanent"), [(400, True), (404, True), (408, False), (409, False), (425, False),
                                                   (301, True), (500, False), (503, False)])  # fmt: skip
def test_what_was_understood_and_turned_down_is_permanent(
    made: Made, monkeypatch: pytest.MonkeyPatch, status: int, permanent: bool
) -> None:
    told = Answer(status=status, headers={}, body=b"{}", elapsed_ms=1)
    monkeypatch.setattr(http, "_exchange", lambda *args: told)
    with pytest.raises(Refusal) as caught:
        resend.domains(made("resend"))
    assert caught.value.permanent is permanent


def test_whose_credential_is_refused_is_told_what_to_look_at(made: Made, sandbox: Sandbox) -> None:
    sandbox.set_fault("resend", "refuse")
    with pytest.raises(Refusal, match="Is RESEND_API_KEY right, and allowed to do this"):
        resend.domains(made("resend"))
    sandbox.set_fault("zoho-desk", "refuse")
    with pytest.raises(Refusal, match="Connect it again, with all the rights that it asks for"):
        made("zoho-desk").call("GET", "/api/v1/organizations")


def test_a_token_that_can_not_be_had_is_an_error_before_anybody_is_asked(made: Made, sandbox: Sandbox) -> None:
    def none() -> str:
        raise ProviderError("Zoho Desk was never connected.", permanent=True, code="missing")

    with pytest.raises(ProviderError, match="never connected"):
        made("zoho-desk", token=none).call("GET", "/api/v1/organizations")
    assert sandbox.requests("zoho-desk") == {}


def test_where_a_token_is_from_decides_which_region_is_called(
    made: Made, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SANDBOX_URL = ""
    assert made("zoho-crm", region=lambda: "eu").url("/crm") == "https://www.zohoapis.eu/crm"
    assert made("google-maps").url("/v1", host="places") == "https://places.googleapis.com/v1"
    monkeypatch.setenv("GOOGLE_PLACES_URL", "https://places.example.com/")
    assert made("google-maps").url("/v1", host="places") == "https://places.example.com/v1"


def test_the_sandbox_plays_all_of_a_provider_or_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from integrations import credentials

    google = providers.get("google-maps")
    assert google
    assert credentials.base_url(google, host="places") == f"{sandbox.url}/google-maps"
    monkeypatch.setenv("GOOGLE_PLACES_URL", "https://places.example.com")
    assert not credentials.sandboxed(google)


def test_pauses_grow_between_tries(made: Made, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BACKOFF", 0.3)
    slept: list[float] = []
    monkeypatch.setattr(base.time, "sleep", slept.append)
    sandbox.set_fault("clickatell", "fail")
    with pytest.raises(Refusal):
        made("clickatell", retries=2).call("GET", "/v1/balance")
    first, second = slept
    assert 0.2 < first < 0.4 < second < 0.8
