"""The rules for all of it: who may call, how errors look, how lists are paged, how often one may ask."""

import base64
import json
import re
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import activity, ids
from integrations.accounts.models import ApiToken
from integrations.actor import Actor
from integrations.api import limits, paging
from integrations.models import Activity
from tests.api.conftest import BASE, Caller, assert_problem
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db

# --- Who may call ----------------------------------------------------------------------------------------------------


def test_nobody_is_401(client):
    response = client.get(BASE)
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["", "cti_wrong", "x" * 5000, "ü"])
def test_an_unknown_token_is_401(client, token):
    assert_problem(client.get(BASE, headers={"Authorization": f"Bearer {token}"}), 401, "invalid_token")


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_a_token_that_is_over_is_401(api, change):
    ApiToken.objects.update(**change)
    assert_problem(api.get(""), 401, "invalid_token")


def test_a_disabled_user_is_nobody(api, alice, client):
    client.force_login(alice)
    assert client.get(BASE).status_code == 200
    alice.is_active = False
    alice.save()
    assert api.get("").status_code == 401
    assert client.get(BASE).status_code == 401


def test_a_token_is_stored_as_a_hash_only(api):
    stored = json.dumps(list(ApiToken.objects.values()), default=str)
    assert api.token not in stored
    assert api.token.removeprefix("cti_") not in stored


def test_a_tokens_use_is_noted_at_most_once_a_minute(api):
    api.get("")
    first = ApiToken.objects.get().last_used_at
    api.get("")
    assert ApiToken.objects.get().last_used_at == first is not None


def test_a_session_reads_but_acts_only_with_its_csrf_token(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.get(BASE).status_code == 200
    change = {"data": "{}", "content_type": "application/json"}
    assert_problem(browser.patch(f"{BASE}/resend", **change), 403, "csrf_failed")
    token = "a" * 32
    browser.cookies[django_settings.CSRF_COOKIE_NAME] = token
    assert browser.patch(f"{BASE}/resend", **change, headers={"X-CSRFToken": token}).status_code == 200


def test_without_the_permission_it_is_403_and_an_action_leaves_its_trace(calling, bob, charlie):
    assert_problem(calling(charlie).get(""), 403, "permission_denied")
    assert_problem(calling(bob).patch("/resend", {"isActive": False}), 403, "permission_denied")
    entry = Activity.objects.get()
    assert (entry.username, entry.outcome) == ("bob", "refused")
    assert entry.details == {"method": "PATCH", "path": f"{BASE}/resend"}


def test_the_permission_comes_before_the_404(calling, bob):
    assert_problem(calling(bob).patch("/nothing-here", {}), 403, "permission_denied")
    assert_problem(calling(bob).get("/nothing-here"), 404, "not_found")


def test_a_scoped_token_does_no_more_than_its_scope(calling, alice):
    reader = calling(alice, scopes=["integrations:read"])
    assert reader.get("/resend").status_code == 200
    assert_problem(reader.patch("/resend", {}), 403, "permission_denied")


def test_a_token_that_may_only_manage_manages(calling, alice, bob, registry):
    assert calling(alice, scopes=["integrations:manage"]).patch("/resend", {"isActive": False}).status_code == 200
    assert calling(alice, scopes=["integrations:manage"]).get("/resend").status_code == 403
    assert_problem(calling(bob).patch("/resend", {"isActive": True}), 403, "permission_denied")


def test_a_grant_on_one_integration_shows_that_one_everywhere(calling, charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    activity.record(actor=Actor(username="x"), action="a", integration=registry["netcash"])
    activity.record(actor=Actor(username="x"), action="b", integration=registry["resend"])
    activity.record(actor=Actor(username="x"), action="c")
    for webhook in Webhook.objects.all():
        WebhookLog.objects.create(webhook=webhook, body=b"")
    caller = calling(charlie)
    assert [row["slug"] for row in caller.get("").json()["integrations"]] == ["resend"]
    assert [row["integrationName"] for row in caller.get("/webhooks").json()["webhooks"]] == ["Resend Email"]
    assert len(caller.get("/webhooks/logs").json()["logs"]) == 1
    assert caller.get("/health").json()["summary"] == {"healthy": 0, "degraded": 0, "down": 0, "unknown": 1}
    assert caller.get("/oauth/tokens").json()["tokens"] == []
    assert caller.get("/cron").json()["jobs"] == []
    assert [row["action"] for row in caller.get("/activity").json()["activities"]] == ["b"]
    assert caller.get("/resend").status_code == 200
    assert_problem(caller.get("/netcash"), 404, "not_found")
    assert_problem(caller.get("/health/netcash"), 404, "not_found")
    other = Webhook.objects.get(integration__slug="netcash")
    assert_problem(caller.get(f"/webhooks/{other.pk}/logs"), 404, "not_found")
    assert_problem(caller.patch("/resend", {}), 403, "permission_denied")


def test_a_grant_to_manage_one_lets_one_manage_that_one(calling, bob, registry):
    assign_perm("integrations.manage", bob, registry["resend"])
    assert calling(bob).patch("/resend", {"isActive": False}).status_code == 200
    assert_problem(calling(bob).patch("/netcash", {"isActive": False}), 403, "permission_denied")


# --- Bad requests ----------------------------------------------------------------------------------------------------


def unpadded(text: str) -> str:
    """As a cursor comes: with its "=" it would be refused for that alone."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("", {"category": "weather"}, "category"),
        ("", {"healthStatus": "sick"}, "healthStatus"),
        ("", {"isActive": "perhaps"}, "isActive"),
        ("", {"search": "a\x00b"}, "search"),
        ("/webhooks", {"integration_id": "7"}, "integration_id"),
        ("/webhooks/logs", {"page": "0"}, "page"),
        ("/webhooks/logs", {"page": "x"}, "page"),
        ("/webhooks/logs", {"limit": "201"}, "limit"),
        ("/webhooks/logs", {"limit": "0"}, "limit"),
        ("/webhooks/logs", {"status": "lost"}, "status"),
        ("/webhooks/logs", {"from": "yesterday"}, "from"),
        ("/webhooks/logs", {"to": "2026-13-01"}, "to"),
        ("/webhooks/logs", {"cursor": "nonsense"}, "cursor"),
        ("/webhooks/logs", {"cursor": unpadded("2026-01-01T00:00:00|x")}, "cursor"),
        *[
            ("/webhooks/logs", {"cursor": unpadded(f"{at}|{ids.new()}")}, "cursor")
            for at in ("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00")
        ],
        ("/webhooks/logs", {"from": "0001-01-01"}, "from"),
        ("/activity", {"to": "9999-12-31T23:00:00-10:00"}, "to"),
        ("/webhooks/logs", {"eventType": "x" * 300}, "eventType"),
        ("/activity", {"integration": "no slug!"}, "integration"),
    ],
)
def test_a_bad_query_is_400_and_names_the_field(api, path, query, field):
    problem = assert_problem(api.get(path, **query), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff", b'{"metadata": NaN}', b'{"metadata": {"a": "\\u0000"}}', b'{"metadata": {"a": "\\ud800"}}',
     b"[" * 100_000, b'{"metadata": {"n": ' + b"9" * 5000 + b"}}", b'{"metadata": {"n": 1e999}}',
     b'{"metadata": {"n": ' + b"[" * 600 + b"]" * 600 + b"}}"],
)  # fmt: skip
def test_a_body_that_can_not_be_read_is_400(api, raw):
    problem = assert_problem(api.send("PATCH", "/resend", raw=raw), 400, "parse_error")
    assert [error["field"] for error in problem["errors"]] == [""]


def test_a_malformed_request_is_a_problem_too(client):
    assert_problem(client.get(BASE, headers={"Host": "evil.example/"}), 400, "bad_request")
    assert_problem(client.get(BASE, {f"q{n}": "1" for n in range(1001)}), 400, "bad_request")
    assert client.get("/accounts/login/", headers={"Host": "evil.example/"}).status_code == 400


def test_a_body_over_a_mebibyte_is_413(api):
    assert_problem(api.send("PATCH", "/resend", raw=b" " * 1_048_577), 413, "too_large")


def test_a_body_that_is_not_json_is_415(api):
    assert_problem(api.send("PATCH", "/resend", raw=b"a=1", content_type="text/plain"), 415, "unsupported_media_type")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS"])
def test_a_method_that_is_not_there_is_405(api, calling, charlie, method):
    assert_problem(api.send(method, "/resend"), 405, "method_not_allowed")
    assert_problem(calling(charlie).send(method, "/resend"), 403, "permission_denied")


@pytest.mark.parametrize("path", ["/api/nothing", f"{BASE}/webhooks/not-a-uuid/logs", f"{BASE}/"])
def test_an_address_that_is_not_there_is_a_problem_too(client, path):
    assert_problem(client.get(path), 404, "not_found")


def test_an_unknown_id_is_404(api):
    assert_problem(api.get(f"/webhooks/{ids.new()}/logs"), 404, "not_found")


# --- Lists -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def logs(db) -> list[str]:
    """25 logs, newest first; five of them in the very same instant."""
    webhook = Webhook.objects.first()
    now = timezone.now()
    rows = [
        WebhookLog(webhook=webhook, body=b"", created_at=now - timedelta(seconds=max(0, n - 5))) for n in range(25)
    ]
    WebhookLog.objects.bulk_create(rows)
    return [str(row.pk) for row in sorted(rows, key=lambda row: (row.created_at, row.pk), reverse=True)]


def test_pages_follow_each_other_without_gap_or_repeat(api, logs):
    pages = [api.get("/webhooks/logs", page=number, limit=10).json() for number in (1, 2, 3, 4)]
    assert [row["id"] for page in pages for row in page["logs"]] == logs
    assert pages[0]["pagination"] | {"nextCursor": ""} == {
        "total": 25, "totalIsCapped": False, "page": 1, "limit": 10, "totalPages": 3, "nextCursor": "",
    }  # fmt: skip
    assert pages[3]["logs"] == []
    assert pages[2]["pagination"]["nextCursor"] is None


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_a_cursor_goes_on_to_the_end(api, logs, limit):
    seen, cursor = [], {}
    while True:
        page = api.get("/webhooks/logs", limit=limit, **cursor).json()
        seen += [row["id"] for row in page["logs"]]
        if page["pagination"]["nextCursor"] is None:
            break
        cursor = {"cursor": page["pagination"]["nextCursor"]}
    assert seen == logs


def test_rows_that_come_in_meanwhile_move_no_page_that_follows_a_cursor(api, logs):
    first = api.get("/webhooks/logs", limit=10).json()
    WebhookLog.objects.create(webhook=Webhook.objects.first(), body=b"")
    second = api.get("/webhooks/logs", limit=10, cursor=first["pagination"]["nextCursor"]).json()
    assert [row["id"] for row in second["logs"]] == logs[10:20]


@pytest.mark.parametrize("number", [1000, 2**62, 10**30])
def test_a_page_past_the_end_is_empty(api, logs, number):
    answer = api.get("/webhooks/logs", page=number, limit=200)
    assert answer.status_code == 200
    assert (answer.json()["logs"], answer.json()["pagination"]["total"]) == ([], 25)


def test_a_total_is_capped_and_deeper_pages_need_the_cursor(api, logs, monkeypatch):
    monkeypatch.setattr(paging, "CAP", 20)
    page = api.get("/webhooks/logs", limit=10).json()["pagination"]
    assert (page["total"], page["totalIsCapped"], page["totalPages"]) == (20, True, 2)
    assert len(api.get("/webhooks/logs", limit=10, page=2).json()["logs"]) == 10
    problem = assert_problem(api.get("/webhooks/logs", limit=10, page=3), 400, "use_cursor")
    assert [error["field"] for error in problem["errors"]] == ["page"]


def test_a_day_means_that_day_here(api, logs):
    today = timezone.localdate()
    assert api.get("/webhooks/logs", **{"from": today, "to": today}).json()["pagination"]["total"] == 25
    yesterday = today - timedelta(days=1)
    assert api.get("/webhooks/logs", **{"from": yesterday, "to": yesterday}).json()["pagination"]["total"] == 0


def test_the_filters_of_the_registry(api, registry):
    def slugs(**query):
        return {row["slug"] for row in api.get("", **query).json()["integrations"]}

    assert slugs(category="payment") == {"zoho-billing", "netcash"}
    assert slugs(hasOAuth="true") == {"zoho-crm", "zoho-sign", "zoho-billing", "zoho-desk"}
    assert slugs(hasWebhooks="false") == {"mtn-coverage", "google-maps"}
    assert slugs(search="zoho", category="crm") == {"zoho-crm", "zoho-sign"}
    assert slugs(healthStatus="down") == set()
    assert len(slugs(isActive="true")) == 10


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_reads_and_actions_are_counted_apart(api, settings):
    settings.API_READ_RATE, settings.API_ACTION_RATE = "3/min", "1/min"
    reads = [api.get("") for _ in range(4)]
    assert [response.status_code for response in reads] == [200, 200, 200, 429]
    assert [response.headers["RateLimit-Remaining"] for response in reads] == ["2", "1", "0", "0"]
    assert reads[0].headers["RateLimit-Limit"] == "3"
    problem = assert_problem(reads[3], 429, "throttled")
    assert 0 < int(reads[3].headers["Retry-After"]) <= 60
    assert problem["detail"]
    assert api.patch("/resend", {}).status_code == 200
    assert api.patch("/resend", {}).status_code == 429


def test_each_person_has_a_limit_of_their_own(api, bob, settings):
    settings.API_READ_RATE = "1/min"
    assert [api.get("").status_code for _ in range(2)] == [200, 429]
    assert Caller(bob).get("").status_code == 200


def test_a_call_that_is_refused_counts_and_floods_no_log(calling, charlie, settings):
    settings.API_ACTION_RATE = "5/min"
    caller = calling(charlie)
    statuses = [caller.post(f"/x{n}/health").status_code for n in range(8)]
    assert statuses == [403] * 5 + [429] * 3
    assert Activity.objects.filter(action="permission_denied").count() == 1


def test_while_the_cache_is_away_each_process_counts_for_itself(api, monkeypatch, settings):
    settings.API_READ_RATE = "2/min"

    def away(*args, **kwargs):
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(limits.cache, "add", away)
    assert [api.get("").status_code for _ in range(3)] == [200, 200, 429]


# --- The document ----------------------------------------------------------------------------------------------------


def test_the_schema_is_openapi_3_1_and_knows_every_route(api, client, alice):
    client.force_login(alice)
    schema = client.get("/api/schema", headers={"Accept": "application/json"}).json()
    assert schema["openapi"].startswith("3.1")
    from config.api import urlpatterns

    declared = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{pattern.pattern}") for pattern in urlpatterns}
    assert set(schema["paths"]) == declared
    for path in schema["paths"].values():
        for operation in path.values():
            assert {"400", "401", "403", "404", "429"} <= set(operation["responses"])
            assert operation["operationId"]


def test_the_document_is_for_signed_in_readers(client, charlie, bob):
    assert_problem(client.get("/api/schema"), 401, "not_authenticated")
    assert client.get("/api/docs").headers["Location"] == "/accounts/login/?next=/api/docs"  # a page, for people
    client.force_login(charlie)
    assert_problem(client.get("/api/schema"), 403, "permission_denied")
    assert client.get("/api/docs").status_code == 403
    client.force_login(bob)
    assert client.get("/api/schema").status_code == 200
    assert client.get("/api/docs").status_code == 200
    assert client.get("/api/schema?version=%0d%0aX-Evil:1").status_code == 200


def test_the_document_says_which_bodies_take_no_other_field(client, bob):
    client.force_login(bob)
    schemas = client.get("/api/schema", headers={"Accept": "application/json"}).json()["components"]["schemas"]
    assert schemas["PatchedChangeRequest"]["additionalProperties"] is False
