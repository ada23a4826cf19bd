"""Tokens by the API: how they are, a new one by hand, the clock on and off, giving one up, its story."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.actor import SYSTEM
from integrations.models import Activity, Integration
from oauth import flow, services
from oauth.models import Attempt, Grant, Token, TokenEvent
from tests.api.conftest import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

ZOHO = ["zoho-billing", "zoho-crm", "zoho-desk", "zoho-sign"]


@pytest.fixture(autouse=True)
def woken(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup._sweeper, "wake", lambda: told.append("sweep"))
    Integration.objects.update(check_due_at=timezone.now() + timedelta(hours=1))
    return told


@pytest.fixture
def crm(sandbox, registry) -> Integration:
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


@pytest.fixture
def sign(crm, registry) -> Integration:
    """Lives by the same grant."""
    ours, now = Token.objects.get(), timezone.now()
    same = flow.Tokens(
        access_token=ours.access_token(), refresh_token=ours.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(registry["zoho-sign"], same, actor=SYSTEM)
    return registry["zoho-sign"]


def looked_at() -> set[str]:
    """Whose health is due now."""
    return set(Integration.objects.filter(check_due_at__lte=timezone.now()).values_list("slug", flat=True))


def granted(user: Any, slug: str, *perms: str) -> None:
    for perm in ("read", *perms):
        assign_perm(f"integrations.{perm}", user, Integration.objects.get(slug=slug))


def row(caller: Any, slug: str = "zoho-crm") -> dict[str, Any]:
    found: dict[str, Any] = next(
        token for token in caller.get("/oauth/tokens").json()["tokens"] if token["integrationSlug"] == slug
    )
    return found


# --- The list --------------------------------------------------------------------------------------------------------


def test_a_row_says_how_the_grant_is_what_to_do_the_budget_and_who_shares_it(api, crm, sign):
    services.refresh_now(crm, actor=SYSTEM)
    found = row(api)
    assert (found["state"], found["advice"], found["sharedWith"]) == ("connected", "", ["zoho-sign"])
    assert found["budget"] == {"used": 1, "limit": 8, "windowSeconds": 600, "freesAt": None}
    absent = row(api, "zoho-desk")
    assert (absent["status"], absent["state"], absent["budget"], absent["sharedWith"]) == ("missing", None, None, [])
    assert absent["advice"] == "Connect it."


def test_a_used_up_budget_says_when_it_frees(api, crm):
    began = timezone.now()
    grant = Grant.objects.get()
    for second in range(8):
        Attempt.objects.create(
            grant=grant, generation=0, started_at=began - timedelta(seconds=second), outcome="given"
        )
    budget = row(api)["budget"]
    assert budget["used"] == 8
    assert budget["freesAt"] == (began + timedelta(seconds=593)).isoformat().replace("+00:00", "Z")


def test_who_shares_it_is_told_only_of_what_one_may_see(calling, charlie, crm, sign):
    granted(charlie, "zoho-crm")
    assert [token["integrationSlug"] for token in calling(charlie).get("/oauth/tokens").json()["tokens"]] == [
        "zoho-crm"
    ]
    assert row(calling(charlie))["sharedWith"] == []


def test_the_list_takes_few_queries_however_many_there_are(api, sandbox, registry):
    for slug in ZOHO:
        services.connect_sandbox(registry[slug])
    api.get("/oauth/tokens")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(api.get("/oauth/tokens").json()["tokens"]) == 4
    assert len(queries) <= 12, [query["sql"] for query in queries]


# --- A new one by hand -----------------------------------------------------------------------------------------------


def test_a_refresh_by_hand_gives_a_new_token_and_has_health_looked_at(api, crm, woken):
    old = Token.objects.get().access_token()
    response = api.post("/oauth/zoho-crm/refresh")
    token = Token.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "success": True, "expiresAt": token.expires_at.isoformat().replace("+00:00", "Z"),
        "message": "Zoho CRM has a new token.",
    }  # fmt: skip
    assert token.access_token() != old
    assert (looked_at(), woken) == ({"zoho-crm"}, ["sweep"])
    trail = Activity.objects.get(action="oauth_refreshed")
    assert (trail.username, trail.outcome, trail.integration_slug) == ("alice", "success", "zoho-crm")
    assert TokenEvent.objects.get(kind="refreshed").actor == "alice"


def test_what_can_not_be_refreshed_is_a_conflict(api, crm, registry):
    assert_problem(api.post("/oauth/zoho-desk/refresh"), 409, "nothing_to_refresh")
    assert_problem(api.post("/oauth/resend/refresh"), 409, "not_oauth")
    Token.objects.update(refresh_sealed="")
    assert_problem(api.post("/oauth/zoho-crm/refresh"), 409, "nothing_to_refresh")
    Integration.objects.update(is_active=False)
    assert_problem(api.post("/oauth/zoho-crm/refresh"), 409, "inactive")
    failures = Activity.objects.filter(action="oauth_refreshed", outcome="failure", integration_slug="zoho-crm")
    assert [trail.details["code"] for trail in failures.order_by("seq")] == ["nothing_to_refresh", "inactive"]


@pytest.mark.parametrize("state", ["needs_reauth", "revoking", "revoked"])
def test_a_grant_that_has_ended_has_nothing_to_refresh(api, crm, state):
    Grant.objects.update(state=state)
    assert_problem(api.post("/oauth/zoho-crm/refresh"), 409, "nothing_to_refresh")


def test_a_grant_in_doubt_is_not_presented_again(api, crm):
    Grant.objects.update(state="uncertain", last_error="An answer was lost.")
    assert assert_problem(api.post("/oauth/zoho-crm/refresh"), 409, "uncertain")["detail"] == "An answer was lost."


@pytest.mark.parametrize(
    ("fault", "status", "code", "state"),
    [
        ("fail", 502, "provider_rejected", "retrying"),
        ("refuse", 502, "provider_rejected", "retrying"),
        ("invalid_code", 502, "provider_rejected", "needs_reauth"),
        ("reset", 504, "provider_unreachable", "retrying"),
        ("throttle", 429, "provider_rate_limited", "retrying"),
    ],
)
def test_a_refusal_says_why_and_keeps_the_token(api, crm, sandbox, woken, fault, status, code, state):
    old = Token.objects.get().access_token()
    sandbox.set_fault("zoho-accounts", fault)
    response = api.post("/oauth/zoho-crm/refresh")
    assert_problem(response, status, code)
    assert Token.objects.get().access_token() == old
    assert Grant.objects.get().state == state
    assert looked_at() == {"zoho-crm"}
    if status == 429:
        assert 590 <= int(response.headers["Retry-After"]) <= 601
    assert old not in str(list(Activity.objects.values()))


def test_our_own_budget_is_a_limit_too(api, crm):
    grant = Grant.objects.get()
    for _ in range(8):
        Attempt.objects.create(grant=grant, generation=0, started_at=timezone.now(), outcome="given")
    response = api.post("/oauth/zoho-crm/refresh")
    assert_problem(response, 429, "provider_rate_limited")
    assert 590 <= int(response.headers["Retry-After"]) <= 601


def test_who_may_refresh_one_integration_refreshes_that_one(calling, charlie, crm, registry):
    services.connect_sandbox(registry["zoho-sign"])
    granted(charlie, "zoho-crm", "oauth:refresh")
    granted(charlie, "zoho-desk")
    caller = calling(charlie)
    assert caller.post("/oauth/zoho-crm/refresh").status_code == 200
    assert_problem(caller.post("/oauth/zoho-desk/refresh"), 403, "permission_denied")
    assert_problem(caller.post("/oauth/zoho-sign/refresh"), 404, "not_found")
    assert_problem(caller.send("DELETE", "/oauth/zoho-crm/revoke"), 403, "permission_denied")
    assert_problem(caller.patch("/oauth/zoho-crm", {"autoRefresh": False}), 403, "permission_denied")


@pytest.mark.parametrize(
    ("role", "refresh", "manage"),
    [("System Admin", 200, 200), ("IT Manager", 200, 403), ("Operations Manager", 403, 403)],
)
def test_each_role(calling, person, crm, role, refresh, manage):
    caller = calling(person("dana", role=role))
    assert caller.post("/oauth/zoho-crm/refresh").status_code == refresh
    assert caller.post("/oauth/refresh").status_code == refresh
    assert caller.get("/oauth/zoho-crm/events").status_code == 200
    assert caller.patch("/oauth/zoho-crm", {"autoRefresh": False}).status_code == manage
    assert caller.send("DELETE", "/oauth/zoho-crm/revoke").status_code == manage


# --- All that expire soon --------------------------------------------------------------------------------------------


def test_all_that_expire_soon_are_renewed_and_each_is_told_of(api, sandbox, registry, woken):
    for slug in ZOHO[:3]:
        services.connect_sandbox(registry[slug])
    soon = {"issued_at": timezone.now() - timedelta(minutes=50), "expires_at": timezone.now() + timedelta(minutes=5)}
    Token.objects.filter(integration__slug="zoho-billing").update(**soon, auto_refresh=False)
    desk = Token.objects.get(integration__slug="zoho-desk")
    now = timezone.now()
    strange = flow.Tokens(
        access_token="a", refresh_token="strange", issued_at=now, expires_at=now, metadata={"sandbox": "yes"}
    )
    services.connect(desk.integration, strange, actor=SYSTEM)
    body = api.post("/oauth/refresh").json()
    assert (body["refreshed"], body["failed"], body["skipped"]) == (1, 1, 1)
    assert [(one["slug"], one["success"]) for one in body["results"]] == [("zoho-billing", True), ("zoho-desk", False)]
    assert "connect it again" in body["results"][1]["message"]
    assert looked_at() == {"zoho-billing", "zoho-desk"}
    trail = Activity.objects.get(action="oauth_all_refreshed")
    assert trail.details["refreshed"] == ["zoho-billing"]


def test_only_those_that_one_may_renew_are_renewed(calling, charlie, sandbox, registry):
    for slug in ZOHO:
        services.connect_sandbox(registry[slug])
    Token.objects.update(expires_at=timezone.now())
    granted(charlie, "zoho-desk", "oauth:refresh")
    granted(charlie, "zoho-crm")
    body = calling(charlie).post("/oauth/refresh").json()
    assert [one["slug"] for one in body["results"]] == ["zoho-desk"]
    assert set(Token.objects.filter(refresh_count=1).values_list("integration__slug", flat=True)) == {"zoho-desk"}


# --- The clock on and off --------------------------------------------------------------------------------------------


def test_automatic_renewal_is_switched_and_only_a_change_is_logged(api, crm, sign):
    for _ in range(2):
        response = api.patch("/oauth/zoho-crm", {"autoRefresh": False})
        assert response.status_code == 200
        assert response.json() == {"token": row(api)}
        assert response.json()["token"]["autoRefresh"] is False
    trail = Activity.objects.get(action="oauth_changed")
    assert trail.details == {"before": {"auto_refresh": True}, "after": {"auto_refresh": False}}


@pytest.mark.parametrize(
    "body", [{}, {"autoRefresh": None}, {"autoRefresh": "perhaps"}, {"autoRefresh": True, "x": 1}]
)
def test_a_change_that_is_none_is_refused(api, crm, body):
    assert_problem(api.patch("/oauth/zoho-crm", body), 400, "invalid")


def test_what_has_no_token_can_not_be_set(api, registry):
    assert_problem(api.patch("/oauth/zoho-crm", {"autoRefresh": True}), 409, "not_connected")
    assert_problem(api.patch("/oauth/resend", {"autoRefresh": True}), 409, "not_oauth")


# --- Giving it up ----------------------------------------------------------------------------------------------------


def test_it_is_revoked(api, crm, woken):
    response = api.send("DELETE", "/oauth/zoho-crm/revoke")
    assert (response.status_code, response.json()) == (
        200, {"success": True, "message": "The provider has revoked it."},
    )  # fmt: skip
    assert (row(api)["status"], row(api)["state"], row(api)["hasRefreshToken"]) == ("revoked", "revoked", False)
    assert (looked_at(), woken) == ({"zoho-crm"}, ["sweep"])
    assert_problem(api.send("DELETE", "/oauth/zoho-crm/revoke"), 409, "nothing_to_revoke")


def test_a_provider_that_is_away_makes_it_pending(api, crm, sandbox):
    sandbox.set_fault("zoho-accounts", "fail")
    response = api.send("DELETE", "/oauth/zoho-crm/revoke")
    body = response.json()
    assert (response.status_code, body["success"], body["pending"]) == (202, True, True)
    assert "doesn't know yet" in body["message"]
    found = row(api)
    assert (found["state"], found["status"], found["lastError"]) == ("revoking", "revoked", body["message"])
    assert found["advice"].startswith("Nothing: it is unusable here")


def test_those_who_share_it_are_named_and_force_revokes_them_all(api, crm, sign):
    problem = assert_problem(api.send("DELETE", "/oauth/zoho-crm/revoke"), 409, "shared_grant")
    assert problem["detail"] == "Its grant is shared with zoho-sign. With ?force=true they are all revoked."
    assert_problem(api.send("DELETE", "/oauth/zoho-crm/revoke?force=perhaps"), 400, "invalid")
    assert Grant.objects.get().state == "connected"
    assert api.send("DELETE", "/oauth/zoho-crm/revoke?force=true").status_code == 200
    assert {row(api, slug)["status"] for slug in ("zoho-crm", "zoho-sign")} == {"revoked"}
    assert looked_at() == {"zoho-crm", "zoho-sign"}


def test_nobody_ends_through_one_integration_what_they_may_not_manage(calling, charlie, crm, sign):
    granted(charlie, "zoho-crm", "manage")
    caller = calling(charlie)
    problem = assert_problem(caller.send("DELETE", "/oauth/zoho-crm/revoke"), 409, "shared_grant")
    assert "zoho-sign" not in problem["detail"]
    assert "1 more that you may not see" in problem["detail"]
    assert_problem(caller.send("DELETE", "/oauth/zoho-crm/revoke?force=true"), 403, "permission_denied")
    assert Grant.objects.get().state == "connected"
    assert Activity.objects.filter(action="permission_denied", integration_slug="zoho-crm").exists()
    granted(charlie, "zoho-sign", "manage")
    assert calling(charlie).send("DELETE", "/oauth/zoho-crm/revoke?force=true").status_code == 200


def test_there_may_be_nothing_to_revoke(api, registry):
    assert_problem(api.send("DELETE", "/oauth/zoho-crm/revoke"), 409, "nothing_to_revoke")
    assert_problem(api.send("DELETE", "/oauth/resend/revoke"), 409, "not_oauth")
    assert_problem(api.send("DELETE", "/oauth/unheard-of/revoke"), 404, "not_found")


# --- Its story -------------------------------------------------------------------------------------------------------


def test_its_story_newest_first_by_page(api, crm):
    services.refresh_now(crm, actor=SYSTEM)
    api.send("DELETE", "/oauth/zoho-crm/revoke")
    body = api.get("/oauth/zoho-crm/events").json()
    assert [event["kind"] for event in body["events"]] == ["revoked", "refreshed", "connected"]
    assert set(body["events"][0]) == {"id", "kind", "at", "actor", "detail", "expiresAt"}
    assert (body["events"][0]["actor"], body["events"][0]["expiresAt"]) == ("alice", None)
    assert body["events"][1]["at"].endswith("Z")
    assert body["pagination"]["total"] == 3
    second = api.get("/oauth/zoho-crm/events", page=2, limit=1).json()
    assert [event["kind"] for event in second["events"]] == ["refreshed"]
    assert_problem(api.get("/oauth/zoho-crm/events", limit=0), 400, "invalid")
    assert_problem(api.get("/oauth/resend/events"), 409, "not_oauth")


def test_a_story_is_for_those_who_may_read_the_integration(calling, charlie, crm):
    granted(charlie, "zoho-desk")
    assert_problem(calling(charlie).get("/oauth/zoho-crm/events"), 404, "not_found")
    assert calling(charlie).get("/oauth/zoho-desk/events").json()["events"] == []


def test_no_answer_holds_a_token(api, crm, sign):
    token = Token.objects.first()
    secrets = [token.access_token(), token.refresh_token(), token.access_sealed, token.refresh_sealed]
    answers = [
        api.get("/oauth/tokens"), api.post("/oauth/zoho-crm/refresh"), api.post("/oauth/refresh"),
        api.patch("/oauth/zoho-crm", {"autoRefresh": False}), api.send("DELETE", "/oauth/zoho-crm/revoke"),
        api.get("/oauth/zoho-crm/events"), api.get("/activity"),
    ]  # fmt: skip
    secrets += [Token.objects.first().access_token(), Token.objects.first().access_sealed]
    for answer in answers:
        assert answer.status_code < 500
        assert not [secret for secret in secrets if secret in answer.content.decode()]
