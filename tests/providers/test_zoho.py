"""Zoho: data centres, OAuth, and what its four products answer and send."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from integrations.providers.spec import Delivery, Provider
from integrations.providers.zoho import billing, crm, desk, sign
from integrations.providers.zoho.oauth import ACCOUNTS, API, hosts, oauth2, throttled
from tests.providers.answers import answer
from tests.providers.rigs import BY_NAME

CRM, SIGN, BILLING, DESK = crm.PROVIDER, sign.PROVIDER, billing.PROVIDER, desk.PROVIDER
TOO_MANY = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}

# --- Data centres and OAuth ------------------------------------------------------------------------------------------


def test_canada_and_the_others_are_where_the_sdk_says() -> None:
    assert ACCOUNTS["ca"] == "https://accounts.zohocloud.ca"
    assert hosts("sign")["ca"] == "https://sign.zohocloud.ca"
    assert hosts("desk")["au"] == "https://desk.zoho.com.au"
    assert API["ca"] == "https://www.zohoapis.ca"
    assert set(API) == set(ACCOUNTS) == set(hosts("sign"))


@pytest.mark.parametrize("product", [CRM, SIGN, BILLING, DESK], ids=lambda provider: provider.slug)
def test_every_region_is_a_zoho_host_over_https(product: Provider) -> None:
    assert product.oauth is not None
    for url in (*product.regions.values(), *product.oauth.regions.values()):
        assert urlsplit(url).scheme == "https"
        assert "zoho" in str(urlsplit(url).hostname)
    assert product.regions["us"] == product.base_url


def test_zohos_oauth_differs_from_the_rfc_as_documented() -> None:
    oauth = oauth2("A", "B")
    assert oauth.scope_separator.join(oauth.scopes) == "A,B"
    assert oauth.header_prefix == "Zoho-oauthtoken "
    assert oauth.authorize_params == {"access_type": "offline", "prompt": "consent"}
    assert not oauth.rotates
    assert oauth.lifetime.total_seconds() == 3600
    assert "invalid_code" in oauth.dead_grant
    assert "Access Denied" not in oauth.dead_grant


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, TOO_MANY, True),
        (429, None, True),
        (400, {"error": "invalid_code"}, False),
        (200, {"error": "Access Denied"}, False),
        (400, [], False),
        (400, None, False),
    ],
)
def test_too_many_token_requests_are_no_dead_grant(status: int, body: Any, expected: bool) -> None:
    assert throttled(status, body) is expected


@pytest.mark.parametrize("product", [CRM, SIGN, BILLING, DESK], ids=lambda provider: provider.slug)
def test_the_400_of_too_many_requests_is_throttling_everywhere(product: Provider) -> None:
    reading = product.read(answer(400, TOO_MANY))
    assert reading.finding == "throttled"
    assert "too many requests" in reading.words


# --- Answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (200, {"org": [{"company_name": "Example"}]}, "ok"),
        (200, {"data": [{"id": "1"}], "info": {"more_records": False}}, "ok"),
        (201, {"data": [{"code": "SUCCESS", "details": {"id": "1"}, "status": "success"}]}, "ok"),
        (202, {"data": [{"code": "MANDATORY_NOT_FOUND", "message": "field not found", "status": "error"}]}, "failed"),
        (401, {"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error"}, "refused"),
        (200, {"code": "INVALID_TOKEN", "message": "invalid oauth token", "status": "error"}, "refused"),
        (401, {"code": "OAUTH_SCOPE_MISMATCH", "message": "invalid oauth scope", "status": "error"}, "refused"),
        (403, {"code": "NO_PERMISSION", "message": "permission denied", "status": "error"}, "refused"),
        (429, {"code": "TOO_MANY_REQUESTS", "message": "Too many requests", "status": "error"}, "throttled"),
        (200, {"code": "TOO_MANY_REQUESTS", "status": "error"}, "throttled"),
        (400, {"code": "INVALID_QUERY", "message": "invalid query", "status": "error"}, "failed"),
        (400, {"code": "LIMIT_EXCEEDED", "message": "limit exceeded", "status": "error"}, "failed"),
        (404, {"code": "INVALID_MODULE", "message": "no such module", "status": "error"}, "failed"),
    ],
)  # fmt: skip
def test_crm_answers_are_read_as_documented(status: int, body: Any, finding: str) -> None:
    assert CRM.read(answer(status, body)).finding == finding


def test_crm_tells_how_many_records_failed_and_why() -> None:
    good, bad = (
        {"code": "SUCCESS", "status": "success"},
        {"code": "DUPLICATE_DATA", "message": "duplicate", "status": "error"},
    )
    reading = CRM.read(answer(207, {"data": [good, bad, bad]}))
    assert reading.words == "2 of 3 records: DUPLICATE_DATA: duplicate"


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (200, {"code": 0, "message": "Request list retrieved", "status": "success", "requests": []}, "ok"),
        (200, {"code": 9101, "message": "Add at least one field", "status": "failure"}, "failed"),
        (400, {"code": 12008, "message": "Document already submitted", "status": "failure"}, "failed"),
        (401, {"code": 9041, "message": "Invalid Oauth token", "status": "failure"}, "refused"),
        (200, {"status": "failure"}, "failed"),
    ],
)
def test_sign_answers_are_read_as_documented(status: int, body: Any, finding: str) -> None:
    assert SIGN.read(answer(status, body)).finding == finding


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (200, {"code": 0, "message": "success", "organizations": []}, "ok"),
        (200, {"code": 5, "message": "Invalid URL Passed"}, "failed"),
        (404, {"code": 1002, "message": "Plan does not exist"}, "failed"),
        (401, {"code": 57, "message": "You are not authorized to perform this operation"}, "refused"),
        (401, {"code": 14, "message": "Invalid value passed for authtoken"}, "refused"),
        (200, {"code": 57, "message": "You are not authorized to perform this operation"}, "refused"),
        (429, {"code": 44, "message": "For security reasons your organization has been blocked"}, "throttled"),
        (400, {"code": 45, "message": "Daily limit"}, "throttled"),
        (200, {"code": 1070, "message": "Concurrent requests"}, "throttled"),
    ],
)
def test_billing_answers_are_read_as_documented(status: int, body: Any, finding: str) -> None:
    assert BILLING.read(answer(status, body)).finding == finding


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (200, {"data": [{"id": 1, "companyName": "Example"}]}, "ok"),
        (200, {"id": "1", "status": "Open"}, "ok"),
        (401, {"errorCode": "INVALID_OAUTH", "message": "The OAuth Token you provided is invalid."}, "refused"),
        (403, {"errorCode": "FORBIDDEN", "message": "You do not have permission"}, "refused"),
        (422, {"errorCode": "INVALID_DATA", "message": "The data is invalid", "errors": []}, "failed"),
        (429, {"errorCode": "TOO_MANY_REQUESTS", "message": "Concurrency"}, "throttled"),
        (429, {"errorCode": "THRESHOLD_EXCEEDED", "message": "Daily credits"}, "throttled"),
        (200, {"errorCode": "THRESHOLD_EXCEEDED"}, "throttled"),
    ],
)
def test_desk_answers_are_read_as_documented(status: int, body: Any, finding: str) -> None:
    assert DESK.read(answer(status, body)).finding == finding


def test_zohos_own_words_are_passed_on() -> None:
    assert BILLING.read(answer(200, {"code": 5, "message": "Invalid URL"})).words == "HTTP 200, but: 5: Invalid URL"
    assert CRM.read(answer(401, {"code": "INVALID_TOKEN", "message": "bad"})).words == "HTTP 401: INVALID_TOKEN: bad"


# --- CRM's events ----------------------------------------------------------------------------------------------------

NOTIFICATION = {"module": "Leads", "operation": "insert", "ids": ["7", "8"], "channel_id": "10", "server_time": 9}


def read(name: str, delivery: Delivery) -> Any:
    webhook = BY_NAME[name].webhook
    (payload,) = webhook.parse(delivery)
    return webhook.event(payload, delivery)


def test_a_notifications_key_is_the_hash_of_all_that_tells_it_apart() -> None:
    event = crm.event(NOTIFICATION, Delivery(body=b""))
    assert event.type == "Leads.insert"
    assert event.key == hashlib.sha256(b"10|Leads|insert|7,8|9").hexdigest()


@pytest.mark.parametrize("field", ["ids", "channel_id", "server_time"])
def test_a_notification_that_lacks_a_part_of_its_key_claims_none(field: str) -> None:
    assert crm.event({**NOTIFICATION, field: None}, Delivery(body=b"")).key is None


def test_the_channels_token_is_not_kept_in_the_payload() -> None:
    event = read("zoho-crm", Delivery(body=b'{"token":"secret","module":"Leads","operation":"insert"}'))
    assert event.payload == {"module": "Leads", "operation": "insert"}


def test_json_that_comes_under_the_name_of_a_form_is_read_as_json() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    event = read("zoho-crm", Delivery(body=b' {"token":"secret","module":"Leads","operation":"insert"}', headers=form))
    assert event.payload == {"module": "Leads", "operation": "insert"}


@pytest.mark.parametrize(
    ("body", "content_type", "event_type", "has_key"),
    [
        (b'{"lead":"7"}', "application/json", None, False),
        (b'{"event_type":"lead_won","event_id":7}', "application/json", "lead_won", True),
        (b"event_type=lead_won&event_id=7&lead=1", "application/x-www-form-urlencoded", "lead_won", True),
        (b"lead=1", "application/x-www-form-urlencoded;charset=UTF-8", None, False),
    ],
)
def test_a_workflow_webhook_says_what_its_admin_made_it_say(
    body: bytes, content_type: str, event_type: str | None, has_key: bool
) -> None:
    event = read("zoho-crm", Delivery(body=body, headers={"content-type": content_type}))
    assert event.type == event_type
    assert (event.key is not None) is has_key


def test_a_workflow_webhook_is_signed_by_the_header() -> None:
    signed = crm.SCHEME.sign({"lead": "7"}, "s", now=0, delivery_id="1")
    assert signed.headers["x-webhook-secret"] == "s"
    assert b"token" not in signed.body


# --- Sign's, Billing's and Desk's events -----------------------------------------------------------------------------


def test_a_request_id_is_the_same_as_text_and_as_number() -> None:
    told = {"operation_type": "RequestViewed", "performed_at": 9, "action_id": "5"}
    keys = {
        sign.event({"requests": {"request_id": request_id}, "notifications": told}, Delivery(body=b"")).key
        for request_id in ("200000000000016075", 200000000000016075)
    }
    assert keys == {"200000000000016075|RequestViewed|9|5"}


def test_an_event_of_no_signer_has_a_key_too() -> None:
    payload = {
        "requests": {"request_id": "1"},
        "notifications": {"operation_type": "RequestExpired", "performed_at": 9},
    }
    assert sign.event(payload, Delivery(body=b"")).key == "1|RequestExpired|9|-"


def test_two_signers_of_one_moment_are_two_events() -> None:
    def key(action: str) -> str | None:
        told = {"operation_type": "RequestSigningSuccess", "performed_at": 9, "action_id": action}
        return sign.event({"requests": {"request_id": 1}, "notifications": told}, Delivery(body=b"")).key

    assert key("1") != key("2")


def test_billings_key_is_its_event_id() -> None:
    assert read("zoho-billing", Delivery(body=b'{"event_id":5675,"event_type":"x"}')).key == "5675"
    assert read("zoho-billing", Delivery(body=b'{"event_type":"x"}')).key is None


def test_a_billing_webhook_that_sends_a_form_is_read_as_its_fields() -> None:
    form = Delivery(body=b"event_id=7&event_type=x", headers={"content-type": "application/x-www-form-urlencoded"})
    assert read("zoho-billing", form).key == "7"


def test_a_desk_delivery_is_one_payload_for_each_event() -> None:
    body = b'[{"eventType":"Ticket_Add"},{"eventType":"Ticket_Update"}]'
    assert [payload["eventType"] for payload in desk.parse(Delivery(body=body))] == ["Ticket_Add", "Ticket_Update"]
    assert desk.parse(Delivery(body=b"[]")) == []
    assert desk.parse(Delivery(body=b'{"eventType":"Ticket_Add"}')) == [{"eventType": "Ticket_Add"}]
    with pytest.raises(ValueError, match="array of events"):
        desk.parse(Delivery(body=b'[{"eventType":"Ticket_Add"},1]'))


def test_a_desk_events_key_is_the_hash_of_organisation_type_thing_and_time() -> None:
    payload = {"orgId": "4", "eventType": "Ticket_Add", "eventTime": "9", "payload": {"id": "7"}}
    assert desk.event(payload, Delivery(body=b"")).key == hashlib.sha256(b"4|Ticket_Add|7|9").hexdigest()
    assert desk.event({**payload, "payload": {}}, Delivery(body=b"")).key is None


def test_desk_is_answered_when_it_asks_with_get() -> None:
    assert DESK.webhook is not None
    assert DESK.webhook.answers_get
    assert DESK.webhook.jwks_path == "/.well-known/jwks.json"
