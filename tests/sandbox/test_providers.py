"""The ten APIs: what the app's own reading makes of their answers, good and bad."""

import json
import time

import pytest
import requests

from integrations import credentials, http, providers
from integrations.providers.netcash import read_status, status_request
from integrations.providers.spec import Answer, ProviderError
from integrations.sandbox.server import Sandbox
from integrations.sandbox.shapes import SHAPES

from .conftest import Ask, Clock, connect, grant

PROBED = [provider.slug for provider in providers.PROVIDERS if provider.probe]
KEYED = [provider.slug for provider in providers.PROVIDERS if provider.probe and provider.auth]


def finding(slug: str, answer: Answer) -> str:
    provider = providers.get(slug)
    assert provider
    return provider.read(answer).finding


@pytest.mark.parametrize("slug", PROBED)
def test_a_probe_with_the_credentials_lent_is_fine(ask: Ask, slug: str) -> None:
    assert finding(slug, ask(slug)) == "ok"


def test_all_ten_are_played(sandbox: Sandbox) -> None:
    assert len(providers.PROVIDERS) == 10
    assert {provider.slug for provider in providers.PROVIDERS} - set(PROBED) == {"netcash"}


@pytest.mark.parametrize("slug", KEYED)
@pytest.mark.parametrize("key", ["", "wrong", "1000.e30.00000000000000000000000000000000"])
def test_a_wrong_or_missing_key_is_refused(ask: Ask, slug: str, key: str) -> None:
    assert finding(slug, ask(slug, key=key)) == "refused"


@pytest.mark.parametrize("slug", PROBED)
@pytest.mark.parametrize(
    ("fault", "read_as"),
    [("fail", "failed"), ("refuse", "refused"), ("throttle", "throttled"), ("garbage", "failed")],
)
def test_a_fault_is_read_as_what_it_is(sandbox: Sandbox, ask: Ask, slug: str, fault: str, read_as: str) -> None:
    sandbox.set_fault(slug, fault)
    assert [finding(slug, ask(slug)) for _ in range(3)] == [read_as] * 3
    sandbox.clear_fault(slug)
    assert finding(slug, ask(slug)) == "ok"


@pytest.mark.parametrize("slug", PROBED)
@pytest.mark.parametrize(("fault", "words"), [("hang", "within 0.2 s"), ("drip", "within 0.2 s"), ("reset", "broke")])
def test_a_provider_that_gives_no_answer_is_unreachable(
    sandbox: Sandbox, ask: Ask, slug: str, fault: str, words: str
) -> None:
    key = connect(slug) if slug.startswith("zoho") else None
    sandbox.set_fault(slug, fault)
    with pytest.raises(http.Unreachable, match=words):
        ask(slug, key=key, timeout_s=0.2)


def test_a_slow_provider_answers_in_the_end(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.set_fault("clickatell", "slow", delay=0.05)
    answer = ask("clickatell")
    assert finding("clickatell", answer) == "ok"
    assert answer.elapsed_ms >= 50


def test_a_drip_is_whole_for_those_who_wait(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.set_fault("clickatell", "drip", delay=0.0)
    assert finding("clickatell", ask("clickatell")) == "ok"


def test_a_fault_ends_by_itself(sandbox: Sandbox, ask: Ask, clock: Clock) -> None:
    sandbox.set_fault("resend", "fail", seconds=60)
    assert ask("resend").status == 500
    clock.now += 60
    assert ask("resend").status == 200


def test_a_fault_hits_its_share(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.set_fault("clickatell", "fail", probability=0.5)
    statuses = {ask("clickatell").status for _ in range(40)}
    assert statuses == {200, 500}


def test_stopping_does_not_wait_for_those_who_hang(lent: dict[str, str]) -> None:
    sandbox = Sandbox(values=lent).start()
    sandbox.set_fault("resend", "hang")
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("GET", f"{sandbox.url}/resend/domains"))
        with pytest.raises(requests.Timeout):
            session.send(request, timeout=0.1)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 20  # it hangs for two minutes


# --- Rate limits -----------------------------------------------------------------------------------------------------


def test_resend_allows_two_a_second_and_tells_in_seconds(ask: Ask, clock: Clock) -> None:
    answers = [ask("resend") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].headers["ratelimit-reset"] == answers[2].headers["retry-after"] == "1"
    clock.now += 1
    assert ask("resend").status == 200


def test_didit_tells_its_reset_as_unix_time(ask: Ask, clock: Clock) -> None:
    headers = ask("didit-kyc").headers
    assert headers["x-ratelimit-limit"] == "600"
    assert headers["x-ratelimit-remaining"] == "599"
    assert int(headers["x-ratelimit-reset"]) == clock.now + 60


@pytest.mark.parametrize(("slug", "allowed"), [("zoho-sign", 50), ("zoho-billing", 100)])
def test_zoho_limits_by_the_minute(ask: Ask, clock: Clock, slug: str, allowed: int) -> None:
    key = connect(slug)
    assert {finding(slug, ask(slug, key=key)) for _ in range(allowed)} == {"ok"}
    over = ask(slug, key=key)
    assert finding(slug, over) == "throttled"
    if slug == "zoho-billing":
        assert json.loads(over.body)["code"] == 44
    clock.now += 60
    assert finding(slug, ask(slug, key=key)) == "ok"


def test_desk_tells_the_credits_that_remain(ask: Ask) -> None:
    assert ask("zoho-desk").headers["x-rate-limit-remaining-v3"] == "49999"


def test_crm_tells_its_credits_only_when_half_are_gone(sandbox: Sandbox, ask: Ask) -> None:
    key = connect("zoho-crm")
    assert "x-api-credits-remaining" not in ask("zoho-crm", key=key).headers
    for _ in range(24_998):
        sandbox.state.meter.hit(("zoho-crm", "50000"), limit=50_000, seconds=86_400, now=sandbox.state.clock())
    assert ask("zoho-crm", key=key).headers["x-api-credits-remaining"] == "25000"


# --- Zoho's tokens ---------------------------------------------------------------------------------------------------


def test_a_token_opens_only_the_product_it_was_given_for(ask: Ask) -> None:
    token = connect("zoho-crm")
    assert finding("zoho-crm", ask("zoho-crm", key=token)) == "ok"
    for other in ("zoho-sign", "zoho-billing", "zoho-desk"):
        assert finding(other, ask(other, key=token)) == "refused"


def test_a_token_that_expired_is_refused(ask: Ask, clock: Clock) -> None:
    token = connect("zoho-desk")
    clock.now += 3599
    assert finding("zoho-desk", ask("zoho-desk", key=token)) == "ok"
    clock.now += 1
    assert json.loads(ask("zoho-desk", key=token).body)["errorCode"] == "INVALID_OAUTH"


def test_tokens_survive_a_restart(lent: dict[str, str], sandbox: Sandbox, clock: Clock) -> None:
    access = grant("zoho-crm")["access_token"]
    with Sandbox(values=lent, clock=clock) as again:
        answer = requests.get(
            f"{again.url}/zoho-crm/crm/v8/org", headers={"Authorization": f"Zoho-oauthtoken {access}"}, timeout=5
        )
    assert answer.status_code == 200


# --- One provider each -----------------------------------------------------------------------------------------------


def test_didit_redirects_a_path_without_its_slash(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/didit-kyc/v3/billing/balance", allow_redirects=False, timeout=5)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/didit-kyc/v3/billing/balance/")


def test_billing_wants_its_organization(sandbox: Sandbox, lent: dict[str, str]) -> None:
    headers = {"Authorization": f"Zoho-oauthtoken {connect('zoho-billing')}"}
    url = f"{sandbox.url}/zoho-billing/billing/v1/plans"
    assert requests.get(url, headers=headers, timeout=5).json()["code"] == 6041
    headers["X-com-zoho-subscriptions-organizationid"] = lent["ZOHO_ORG_ID"]
    assert requests.get(url, headers=headers, timeout=5).json()["code"] == 0


def test_crm_grants_a_channel_a_week_at_most(sandbox: Sandbox, clock: Clock) -> None:
    headers = {"Authorization": f"Zoho-oauthtoken {connect('zoho-crm')}"}
    url = f"{sandbox.url}/zoho-crm/crm/v8/actions/watch"
    assert requests.get(url, headers=headers, timeout=5).status_code == 204
    for number, asked in (("1", "2026-11-20T00:00:00+02:00"), ("2", "2027-01-01T00:00:00+02:00"), ("3", None)):
        channel = {"channel_id": number, "events": ["Deals.all"], "notify_url": "https://x.example", "token": "t"}
        body = {"watch": [channel | ({"channel_expiry": asked} if asked else {})]}
        assert requests.post(url, json=body, headers=headers, timeout=5).status_code == 201
    watched = requests.get(url, headers=headers, timeout=5).json()["watch"]
    expiries = {channel["channel_id"]: channel["channel_expiry"] for channel in watched}
    assert expiries == {
        "1": "2026-11-20T00:00:00+02:00",
        "2": "2026-11-18T12:06:40+00:00",
        "3": "2026-11-18T12:06:40+00:00",
    }
    assert not any("token" in channel for channel in watched)


def test_google_says_no_inside_a_200(ask: Ask) -> None:
    answer = ask("google-maps", key="wrong")
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "REQUEST_DENIED")


def test_mtn_answers_an_unknown_layer_with_xml_inside_a_200(sandbox: Sandbox) -> None:
    params = {"request": "GetFeatureInfo", "query_layers": "none", "bbox": "1,1,2,2"}
    answer = requests.get(f"{sandbox.url}/mtn-coverage", params=params, timeout=5)
    assert answer.status_code == 200
    assert "LayerNotDefined" in answer.text


def test_netcash_does_not_know_what_it_has_not_sent(sandbox: Sandbox) -> None:
    provider = providers.get("netcash")
    assert provider
    path, params = status_request("123456789012")
    answer = http.send(http.Request(url=credentials.base_url(provider) + path, endpoint=path, params=params))
    with pytest.raises(ProviderError) as caught:
        read_status(answer)
    assert caught.value.permanent


def test_an_unknown_path_has_the_providers_own_404(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/resend/nothing", timeout=5)
    assert answer.json() == {
        "statusCode": 404,
        "name": "not_found",
        "message": "The requested endpoint does not exist.",
    }


def test_requests_are_counted_by_endpoint(sandbox: Sandbox, ask: Ask) -> None:
    ask("resend")
    ask("resend", key="wrong")
    requests.get(f"{sandbox.url}/resend/nothing", timeout=5)
    assert sandbox.requests("resend") == {"GET /domains": {200: 1, 403: 1}, "unknown path": {404: 1}}


@pytest.mark.parametrize(("slug", "word"), [(slug, word) for slug, words in SHAPES.items() for word in words])
def test_a_documented_error_can_be_set_by_its_own_word(sandbox: Sandbox, slug: str, word: str) -> None:
    sandbox.set_fault(slug, word)
    got = requests.get(f"{sandbox.url}/{slug}/", timeout=5)
    assert got.status_code == SHAPES[slug][word].status
    assert word in got.text or word in ("no_credits", "fields", "null")
    other = "netcash" if slug != "netcash" else "resend"
    with pytest.raises(ValueError, match="has no fault"):
        sandbox.set_fault(other, word)
