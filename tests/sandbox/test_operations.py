"""The calls that the app's clients make beyond the probe, and what a provider without a file of its own gets."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from integrations import credentials, providers
from integrations.providers import answers, generic
from integrations.providers.signatures import StandardWebhooks
from integrations.providers.spec import ApiKey, Limit, OAuth2, Probe, Provider
from integrations.sandbox import apis, values
from integrations.sandbox.server import Sandbox

from .conftest import Clock, connect
from .receiver import Receiver, eventually

UUID = "6f1d3a52-0000-4000-8000-000000000001"
SIGN = b"\r\n".join(
    [
        b"--b",
        b'Content-Disposition: form-data; name="data"',
        b"",
        json.dumps({"requests": {"request_name": "NDA", "actions": [{"action_type": "SIGN"}]}}).encode(),
        b"--b--",
        b"",
    ]
)

CALLS: list[tuple[str, str, str, Any, int, str]] = [
    # slug, method, path, body, status, what its JSON holds
    ("zoho-crm", "GET", "/crm/v8/users?type=CurrentUser", None, 200, "users"),
    ("zoho-crm", "GET", "/crm/v8/Leads?fields=Email", None, 200, "info"),
    ("zoho-crm", "GET", "/crm/v8/Leads", None, 400, "REQUIRED_PARAM_MISSING"),
    ("zoho-crm", "GET", "/crm/v8/Dragons?fields=Email", None, 400, "INVALID_MODULE"),
    ("zoho-crm", "GET", "/crm/v8/Leads/5725767000003000001", None, 200, "5725767000003000001"),
    ("zoho-crm", "GET", "/crm/v8/Leads/search?email=lerato.dlamini@example.com", None, 200, "Dlamini"),
    ("zoho-crm", "GET", "/crm/v8/Leads/search?email=nobody@example.com", None, 204, ""),
    ("zoho-crm", "POST", "/crm/v8/Leads/upsert", {"data": [{"Last_Name": "X"}]}, 201, "SUCCESS"),
    ("zoho-crm", "POST", "/crm/v8/Leads/upsert", {"data": [{"Last_Name": "X"}, {}]}, 207, "MANDATORY_NOT_FOUND"),
    ("zoho-crm", "POST", "/crm/v8/Leads", {"data": [{}] * 101}, 400, "INVALID_DATA"),
    ("zoho-crm", "POST", "/crm/v8/coql", {"select_query": "select id from Leads"}, 200, "data"),
    ("zoho-crm", "POST", "/crm/v8/coql", {"select_query": "drop"}, 400, "SYNTAX_ERROR"),
    ("zoho-crm", "DELETE", "/crm/v8/actions/watch?channel_ids=1", None, 400, "INVALID_DATA"),
    ("zoho-crm", "PUT", "/crm/v8/actions/watch", {"watch": [{"channel_id": "9"}]}, 400, "INVALID_DATA"),
    ("zoho-crm", "POST", "/crm/v8/actions/watch", {"watch": [{"channel_id": "9"}]}, 400, "MANDATORY_NOT_FOUND"),
    ("zoho-crm", "GET", "/crm/v8/Leads?fields=Email&per_page=3", None, 200, "page-2"),
    ("zoho-crm", "GET", "/crm/v8/Leads?fields=Email&per_page=3&page_token=page-2", None, 200, '"count": 1'),
    ("zoho-crm", "GET", "/crm/v8/Leads?fields=Email&per_page=3&page_token=page-3", None, 204, ""),
    ("zoho-sign", "POST", "/api/v1/requests", SIGN, 200, "NDA"),
    ("zoho-sign", "POST", "/api/v1/requests", b"", 400, "failure"),
    ("zoho-sign", "POST", "/api/v1/requests/2220080/submit", None, 400, "9101"),
    ("zoho-sign", "GET", "/api/v1/requests/2220080", None, 200, "success"),
    ("zoho-sign", "GET", "/api/v1/requests/nothing", None, 400, "failure"),
    ("zoho-sign", "GET", "/api/v1/requests/2220080/pdf", None, 200, "%PDF"),
    ("zoho-billing", "GET", "/billing/v1/plans", None, 200, "fibre-50"),
    ("zoho-billing", "GET", "/billing/v1/customers", None, 200, "customer_id"),
    ("zoho-billing", "GET", "/billing/v1/customers?per_page=3&page=2", None, 200, "00004"),
    ("zoho-billing", "GET", "/billing/v1/subscriptions/42", None, 200, '"42"'),
    ("zoho-billing", "GET", "/billing/v1/events", None, 200, "page_context"),
    ("zoho-billing", "GET", "/billing/v1/events/1", None, 404, "does not exist"),
    ("zoho-desk", "GET", "/api/v1/tickets", None, 200, "ticketNumber"),
    ("zoho-desk", "GET", "/api/v1/tickets?from=3", None, 204, ""),
    ("zoho-desk", "POST", "/api/v1/tickets", {"subject": "Hi"}, 422, "departmentId"),
    ("zoho-desk", "POST", "/api/v1/tickets", {"subject": "Hi", "departmentId": "1", "contactId": "2"}, 200, "Hi"),
    ("zoho-desk", "PATCH", "/api/v1/tickets/7", {"status": "Closed"}, 200, "Closed"),
    ("zoho-desk", "POST", "/api/v1/tickets/7/comments", {"content": "Done"}, 200, "Done"),
    ("zoho-desk", "GET", "/api/v1/webhooks", None, 200, "/api/webhooks/zoho/desk"),
    ("didit-kyc", "POST", "/v3/session/", {"workflow_id": UUID}, 201, "Not Started"),
    ("didit-kyc", "POST", "/v3/session/", {}, 400, "workflow_id"),
    ("didit-kyc", "GET", f"/v3/session/{UUID}/decision/", None, 200, "id_verifications"),
    ("didit-kyc", "GET", "/v3/session/nobody/decision/", None, 404, "detail"),
    ("didit-kyc", "GET", "/v3/webhook/destinations/", None, 200, "/api/webhooks/didit/kyc"),
    ("clickatell", "POST", "/v1/message", {"messages": [{"to": "27820000001"}]}, 202, "apiMessageId"),
    ("clickatell", "POST", "/v1/message", {"messages": [{"to": "27820000001"}, {"to": "x"}]}, 207, "105"),
    ("clickatell", "POST", "/v1/message", {}, 400, "errorCode"),
    ("clickatell", "POST", "/messages", {"to": ["27820000001"], "content": "Hi"}, 202, "apiMessageId"),
    ("netcash", "POST", "/site/paynow.aspx", {}, 400, "invalid"),
    ("resend", "GET", "/emails/nothing", None, 404, "not_found"),
    ("resend", "POST", "/emails", {"from": "a@x.example", "to": ["b@x.example"], "subject": "Hi"}, 200, "id"),
    ("resend", "POST", "/emails", {"from": "a@x.example"}, 422, "missing_required_field"),
    ("resend", "GET", f"/emails/{UUID}", None, 200, "delivered"),
    ("resend", "GET", f"/domains/{UUID}", None, 404, "not_found"),
    ("resend", "GET", "/webhooks", None, 200, "/api/webhooks/resend"),
    ("google-maps", "GET", "/maps/api/geocode/json?address=nowhere", None, 200, "ZERO_RESULTS"),
    ("google-maps", "GET", "/maps/api/geocode/json", None, 200, "INVALID_REQUEST"),
    ("google-maps", "GET", "/maps/api/place/autocomplete/json?input=cent", None, 200, "predictions"),
    ("google-maps", "POST", "/v1/places:autocomplete", {"input": "cent"}, 200, "placePrediction"),
    ("google-maps", "POST", "/v1/places:autocomplete", {"input": "nowhere"}, 200, "{}"),
    ("google-maps", "POST", "/v1/places:autocomplete", {}, 400, "INVALID_ARGUMENT"),
    ("google-maps", "GET", "/v1/places/abc", None, 400, "FieldMask"),
]


@pytest.mark.parametrize(("slug", "method", "path", "body", "status", "holds"), CALLS)
def test_a_call_of_the_clients(
    sending: Sandbox, slug: str, method: str, path: str, body: Any, status: int, holds: str
) -> None:
    provider = providers.get(slug)
    assert provider
    params: dict[str, str] = {}
    headers = {"Content-Type": "multipart/form-data; boundary=b"} if isinstance(body, bytes) else {}
    match provider.auth:
        case ApiKey(env=env, header=header, query=query, prefix=prefix):
            (headers if header else params)[header or query] = prefix + credentials.value(env)
        case OAuth2():
            headers["Authorization"] = f"Zoho-oauthtoken {connect(slug)}"
    if provider.headers:
        headers |= provider.headers({name: credentials.value(name) for name in provider.settings})
    answer = requests.request(
        method, f"{sending.url}/{slug}{path}", params=params, headers=headers, timeout=5,
        data=body if isinstance(body, bytes) else None, json=None if isinstance(body, bytes) else body,
    )  # fmt: skip
    assert answer.status_code == status
    assert holds in answer.text


@pytest.mark.parametrize("slug", [provider.slug for provider in providers.PROVIDERS])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"\xff\x00",
        b'{"data": 1, "watch": 1, "messages": 1, "to": 1, "content": 1, "select_query": 1, "subject": 1, "input": 1}',
        b'{"data": [1], "watch": [1], "messages": [1], "to": [1], "content": [1], "contactId": [1], "from": [1]}',
        b'{"data": {}, "watch": {"a": 1}, "messages": {}, "to": {}, "content": {}, "workflow_id": {"a": 1}}',
    ],
)
def test_no_request_makes_it_stumble(
    sandbox: Sandbox, slug: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    api = apis.find(slug)
    assert api
    headers = {
        "Authorization": f"Bearer {credentials.value('RESEND_API_KEY')}",
        "X-Api-Key": credentials.value("DIDIT_API_KEY"),
        "orgId": credentials.value("ZOHO_ORG_ID"),
        "X-com-zoho-subscriptions-organizationid": credentials.value("ZOHO_ORG_ID"),
    }
    if slug.startswith("zoho"):
        headers["Authorization"] = f"Zoho-oauthtoken {connect(slug)}"
    elif slug == "clickatell":
        headers["Authorization"] = credentials.value("CLICKATELL_API_KEY")
    for route in api.routes:
        sandbox.state.meter = type(sandbox.state.meter)()
        url = f"{sandbox.url}/{slug}{route.path}?key={credentials.value('GOOGLE_MAPS_API_KEY')}&bbox=a&fields=Email"
        answer = requests.request(route.method, url, data=body, headers=headers, timeout=5, allow_redirects=False)
        assert answer.status_code not in (401, 403, 429, 500)
    assert not caplog.records


# --- A provider that somebody has just declared ----------------------------------------------------------------------

ACME = Provider(
    slug="acme",
    name="Acme",
    vendor="Acme",
    category="payment",
    icon="box",
    base_url_env="WEBHOOK_ACME_URL",
    base_url="https://api.acme.example",
    auth=ApiKey(env="WEBHOOK_ACME_KEY", header="X-Acme-Key", prefix="key "),
    probe=Probe(path="/ping"),
    limit=Limit(requests=2, seconds=60, remaining_header="X-Left", reset_header="X-Reset", reset="epoch"),
    read=answers.rest("error"),
    webhook=generic.webhook(
        path="/api/webhooks/acme", secret_env="WEBHOOK_ACME_SECRET", scheme=StandardWebhooks(), event_types=("paid",)
    ),
)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, clock: Clock, settings: Any, receiver: Receiver) -> Iterator[Sandbox]:
    monkeypatch.setattr(providers, "PROVIDERS", (*providers.PROVIDERS, ACME))
    monkeypatch.setitem(providers._BY_SLUG, "acme", ACME)
    lent = values.lend(lambda name: f"random-{name}")
    with Sandbox(values=lent, clock=clock, target=receiver.url) as sandbox:
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = sandbox.url, lent
        yield sandbox


def test_it_is_played_by_its_declaration(acme: Sandbox, clock: Clock) -> None:
    def probe(key: str) -> requests.Response:
        return requests.get(f"{credentials.base_url(ACME)}/ping", headers={"X-Acme-Key": key}, timeout=5)

    key = f"key {credentials.api_value(ACME, 'WEBHOOK_ACME_KEY')}"
    assert probe("key wrong").status_code == 401
    first, _, third = (probe(key) for _ in range(3))
    assert (first.status_code, first.headers["X-Left"], first.headers["X-Reset"]) == (
        200,
        "1",
        str(int(clock.now) + 60),
    )
    assert (third.status_code, third.headers["X-Left"]) == (429, "0")
    acme.set_fault("acme", "fail")
    assert probe(key).status_code == 500


def test_its_webhook_is_sent_as_soon_as_there_is_a_sample(
    acme: Sandbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, clock: Clock
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "paid.json").write_text('{"type": "paid", "id": "1"}')
    monkeypatch.setattr("integrations.providers.samples.FOLDER", tmp_path)
    acme.send("acme", "paid")
    ((path, delivery),) = receiver.wait(1)
    assert path == "/api/webhooks/acme"
    assert ACME.webhook
    assert ACME.webhook.verify(delivery, credentials.secrets("WEBHOOK_ACME_SECRET"), now=clock.now, options={})
    eventually(lambda: acme.ledger("acme")[0].status == 200)


def test_one_without_api_and_webhook_is_no_trouble(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(ACME, auth=None, probe=None, limit=None, webhook=None)
    monkeypatch.setattr(providers, "PROVIDERS", (*providers.PROVIDERS, bare))
    monkeypatch.setitem(providers._BY_SLUG, "acme", bare)
    assert requests.get(f"{sandbox.url}/acme/ping", timeout=5).status_code == 404
    assert "Acme" in requests.get(sandbox.url, timeout=5).text
