"""The page of all tokens, the story of one, and what can be done about them from there."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import wakeup
from integrations.accounts.models import User
from integrations.actor import SYSTEM
from integrations.models import Activity, Integration
from oauth import flow, services, tokens
from oauth.models import Grant, Leftover, Token, TokenEvent

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/integrations/oauth"
STORY, REVOKE, RENEWAL = f"{PAGE}/zoho-crm", f"{PAGE}/zoho-crm/revoke", f"{PAGE}/zoho-crm/renewal"
HTMX = {"HX-Request": "true"}
SURE = {"sure": "yes", "with": ""}


@pytest.fixture(autouse=True)
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(wakeup, "sweep", lambda: told.append("sweep"))
    return told


@pytest.fixture
def crm(sandbox: Any, registry: dict[str, Integration]) -> Integration:
    services.connect_sandbox(registry["zoho-crm"])
    return registry["zoho-crm"]


@pytest.fixture
def sign(crm: Integration, registry: dict[str, Integration]) -> Integration:
    """Lives by the same grant."""
    ours, now = Token.objects.get(), timezone.now()
    same = flow.Tokens(
        access_token=ours.access_token(), refresh_token=ours.refresh_token(), issued_at=now,
        expires_at=now + timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(registry["zoho-sign"], same, actor=SYSTEM)
    return registry["zoho-sign"]


@pytest.fixture
def see(client: Client, alice: User) -> Any:
    """The page as alice sees it."""
    client.force_login(alice)
    return lambda path=PAGE: client.get(path).content.decode()


def soon_over(integration: Integration) -> None:
    now = timezone.now()
    Token.objects.filter(integration=integration).update(
        issued_at=now - timedelta(minutes=50), expires_at=now + timedelta(minutes=10)
    )


# --- What it shows ---------------------------------------------------------------------------------------------------


def test_every_integration_with_oauth_has_its_line(see: Any, crm: Integration) -> None:
    shown = see()
    assert re.findall(r'<tr id="token-([a-z-]+)"', shown) == ["zoho-billing", "zoho-crm", "zoho-desk", "zoho-sign"]
    assert "resend" not in shown.partition("<main")[2]
    assert shown.count("Not connected") >= 3


def test_what_needs_a_person_stands_on_top_with_the_one_button_that_helps(see: Any, crm: Integration) -> None:
    Grant.objects.update(
        state="needs_reauth", last_error="The provider says that the grant is gone (invalid_code): connect it again."
    )
    shown = re.search(r'<li[^>]* id="trouble-zoho-crm">(.*?)</li>', see(), re.DOTALL)
    assert shown is not None
    assert "(invalid_code): connect it again.</span>" in shown[1]  # and not twice
    assert "Reconnect Zoho CRM" in shown[1]


def test_one_that_renews_itself_is_not_worth_a_word(see: Any, crm: Integration) -> None:
    soon_over(crm)
    assert 'id="trouble-zoho-crm"' not in see()


def test_a_poll_brings_the_lines_the_troubles_and_the_lives(client: Client, alice: User, crm: Integration) -> None:
    client.force_login(alice)
    response = client.get(PAGE, headers=HTMX)
    shown = response.content.decode()
    assert "<html" not in shown
    assert response.headers["Vary"].count("HX-Request") == 1
    for target in ("#trouble", "#lives", "#due", "#updated"):
        assert f'hx-target="{target}"' in shown


@pytest.mark.parametrize(("span", "paths"), [("24h", 2), ("7d", 3), ("nonsense", 2)])
def test_lives_are_drawn_tick_by_tick_and_told_in_words(see: Any, crm: Integration, span: str, paths: int) -> None:
    TokenEvent.objects.all().delete()
    now = timezone.now()
    for hours, kind in ((1, "refreshed"), (2, "refreshed"), (3, "connected"), (100, "refresh_failed")):
        TokenEvent.objects.create(integration=crm, kind=kind, at=now - timedelta(hours=hours), actor="system")
    lane = re.search(r'<div[^>]*id="life-zoho-crm">(.*?)</svg>', see(f"{PAGE}?range={span}"), re.DOTALL)
    assert lane is not None
    assert lane[1].count("<path") == paths
    failed = ", 1 failed" if span == "7d" else ""
    label = f"Zoho CRM, last {'7 days' if span == '7d' else '24 hours'}: 2 renewed{failed}, 1 connected"
    assert f'aria-label="{label}"' in lane[1]


def test_ten_thousand_renewals_are_no_heavier_than_their_ticks(
    crm: Integration, alice: User, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    TokenEvent.objects.bulk_create(
        TokenEvent(integration=crm, kind="refreshed", at=now - timedelta(seconds=60 * n), actor="system")
        for n in range(10_000)
    )
    with django_assert_max_num_queries(12):
        lines = tokens.lines(alice, now)
        (lane,) = tokens.lanes(lines, tokens.SPANS["7d"], now)
    assert sum(path.count("M") for _, path in lane.ticks) <= 7 * 24 + 2


def test_the_story_folds_what_happened_again_and_again(see: Any, crm: Integration) -> None:
    now = timezone.now()
    for n in range(1, 31):
        kind = "refresh_failed" if n == 10 else "refreshed"
        detail = "The provider refused to give a token: HTTP 503." if n == 10 else ""
        at = now - timedelta(minutes=45 * n)
        TokenEvent.objects.create(integration=crm, kind=kind, at=at, actor="system", detail=detail)
    shown = see(STORY)
    titles = re.findall(r'<span class="font-medium">([^<]+)</span>', shown.partition('id="live"')[2])
    assert titles[:4] == ["Connected", "Renewed 9 times", "Renewal failed", "Renewed 20 times"]
    assert "HTTP 503" in shown


def test_a_long_story_is_loaded_piece_by_piece(client: Client, alice: User, crm: Integration) -> None:
    now = timezone.now()
    TokenEvent.objects.bulk_create(
        TokenEvent(integration=crm, kind="refreshed", at=now - timedelta(minutes=n), actor=f"person {n}")
        for n in range(1, tokens.PAGE + 50)
    )
    client.force_login(alice)
    shown, told = client.get(STORY).content.decode(), []
    told += re.findall(r"by (person \d+)<", shown)
    older = re.search(r'hx-get="\?before=([^"]+)"', shown)
    assert older is not None
    more = client.get(f"{STORY}?before={older[1]}", headers=HTMX).content.decode()
    told += re.findall(r"by (person \d+)<", more)
    assert told == [f"person {n}" for n in range(1, tokens.PAGE + 50)]
    assert "Load older" not in more
    assert client.get(f"{STORY}?before=nonsense").status_code == 200


def test_budget_scopes_and_older_grants_are_told(see: Any, crm: Integration) -> None:
    services.refresh_now(crm, actor=SYSTEM)
    Leftover.objects.create(integration=crm, why="replaced", token_sealed="x", hint="refresh_token")
    shown = see(STORY)
    assert "1 of 8" in shown
    assert "ZohoCRM.modules.ALL" in shown
    assert "1; the provider is told until it knows" in shown
    assert "1 older grant still to be revoked" in see()


def test_what_uses_no_oauth_or_is_not_ours_to_see_has_no_story(
    client: Client, alice: User, charlie: User, crm: Integration, registry: dict[str, Integration]
) -> None:
    client.force_login(alice)
    assert client.get(f"{PAGE}/resend").status_code == 404
    assert client.get(f"{PAGE}/nothing").status_code == 404
    assign_perm("integrations.read", charlie, registry["zoho-desk"])
    client.force_login(charlie)
    assert client.get(STORY).status_code == 404
    shown = client.get(PAGE).content.decode()
    assert re.findall(r'<tr id="token-([a-z-]+)"', shown) == ["zoho-desk"]


def test_whoever_may_only_look_sees_no_button(client: Client, bob: User, crm: Integration) -> None:
    client.force_login(bob)
    for path in (PAGE, STORY):
        shown = client.get(path).content.decode().partition("<main")[2].partition('id="confirm"')[0]
        assert "formaction" not in shown
        assert 'role="switch"' not in shown


def test_those_who_share_a_grant_are_named_as_far_as_they_may_be_seen(
    client: Client, see: Any, charlie: User, crm: Integration, sign: Integration
) -> None:
    assert "Lives by the same grant as Zoho Sign" in see()
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, crm)
    client.force_login(charlie)
    shown = client.get(PAGE).content.decode()
    assert "Lives by the same grant as 1 more" in shown
    assert "Zoho Sign" not in shown
    assert REVOKE not in shown  # it would end what they may not even see


# --- Revoking --------------------------------------------------------------------------------------------------------


def test_revoking_is_told_and_looked_at(client: Client, alice: User, crm: Integration, looked_at: list[str]) -> None:
    client.force_login(alice)
    response = client.post(REVOKE, SURE, headers=HTMX)
    assert b"Zoho CRM: revoked" in response.content
    assert b"The provider has revoked it." in response.content
    assert response.headers["HX-Trigger"] == "refresh"
    assert Grant.objects.get().state == "revoked"
    assert looked_at == ["sweep"]
    assert Activity.objects.filter(action="oauth_revoked", username="alice").exists()
    assert b"Not revoked" in client.post(REVOKE, SURE, headers=HTMX).content


def test_a_provider_that_is_away_is_told_later_and_the_page_says_so(
    client: Client, alice: User, crm: Integration, sandbox: Any
) -> None:
    sandbox.set_fault("zoho-accounts", "fail")
    client.force_login(alice)
    response = client.post(REVOKE, SURE, headers=HTMX)
    assert b'data-category="warning"' in response.content
    shown = client.get(PAGE).content.decode()
    assert "Revocation pending" in shown
    assert "Tell it again" in shown


def test_without_scripts_a_page_asks_first_and_names_who_would_lose_it_too(
    client: Client, alice: User, crm: Integration, sign: Integration
) -> None:
    client.force_login(alice)
    asked = client.post(REVOKE)
    assert asked.status_code == 200
    assert "Zoho Sign would lose it too" in asked.content.decode()
    assert Grant.objects.get().state == "connected"
    fields = dict(re.findall(r'<input type="hidden" name="(sure|with)" value="([^"]*)">', asked.content.decode()))
    done = client.post(REVOKE, fields, follow=True)
    assert done.redirect_chain == [(PAGE, 302)]
    assert "revoked" in done.content.decode()
    assert Grant.objects.get().state == "revoked"


def test_whoever_was_shown_less_than_would_end_is_asked_again(
    client: Client, alice: User, crm: Integration, sign: Integration
) -> None:
    """Somebody connected Zoho Sign with that grant after the page was loaded."""
    client.force_login(alice)
    assert b"Others live by its grant now" in client.post(REVOKE, SURE, headers=HTMX).content
    assert Grant.objects.get().state == "connected"
    assert b"revoked" in client.post(REVOKE, SURE | {"with": "zoho-sign"}, headers=HTMX).content
    assert Grant.objects.get().state == "revoked"


def test_nobody_ends_through_one_what_they_may_not_manage(
    client: Client, charlie: User, crm: Integration, sign: Integration
) -> None:
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, crm)
    client.force_login(charlie)
    assert client.post(REVOKE, SURE | {"with": "zoho-sign"}, headers=HTMX).status_code == 403
    assert Grant.objects.get().state == "connected"
    assert Activity.objects.filter(action="permission_denied", username="charlie").exists()


# --- Renewing --------------------------------------------------------------------------------------------------------


def test_all_that_expire_are_renewed_at_once(
    client: Client, alice: User, crm: Integration, registry: dict[str, Integration], looked_at: list[str]
) -> None:
    services.connect_sandbox(registry["zoho-desk"])
    soon_over(crm)
    client.force_login(alice)
    assert "Zoho CRM: each is asked for a new token." in client.get(PAGE).content.decode()
    response = client.post(f"{PAGE}/refresh", headers=HTMX)
    assert b"Renewed: zoho-crm. 1 good for longer." in response.content
    assert looked_at == ["sweep"]
    assert "Refresh all that expire" not in client.get(PAGE).content.decode()
    assert b"Nothing expires soon" in client.post(f"{PAGE}/refresh", headers=HTMX).content


def test_without_scripts_renewing_all_that_expire_asks_first(client: Client, alice: User, crm: Integration) -> None:
    client.force_login(alice)
    assert client.post(f"{PAGE}/refresh").headers["Location"] == PAGE  # nothing to ask about
    soon_over(crm)
    asked = client.post(f"{PAGE}/refresh").content.decode()
    assert "Refresh all that expire soon?" in asked
    assert "Zoho CRM: each is asked for a new token." in asked
    assert not TokenEvent.objects.filter(kind="refreshed").exists()
    assert client.post(f"{PAGE}/refresh", {"sure": "yes"}).headers["Location"] == PAGE
    assert TokenEvent.objects.filter(kind="refreshed").exists()


def test_what_could_not_be_renewed_is_named_with_the_reason(
    client: Client, alice: User, crm: Integration, sandbox: Any
) -> None:
    soon_over(crm)
    sandbox.set_fault("zoho-accounts", "fail")
    client.force_login(alice)
    response = client.post(f"{PAGE}/refresh", headers=HTMX)
    assert b"Not all were renewed" in response.content
    assert b"Not renewed: zoho-crm (" in response.content


def test_automatic_renewal_is_switched_off_and_on(client: Client, alice: User, crm: Integration) -> None:
    client.force_login(alice)
    assert b"no longer renewed by itself" in client.post(RENEWAL, headers=HTMX).content
    assert not Token.objects.get().auto_refresh
    assert b"renews itself" in client.post(RENEWAL, {"auto": "on"}, headers=HTMX).content
    assert Token.objects.get().auto_refresh
    assert Activity.objects.filter(action="oauth_changed", username="alice").count() == 2
    assert b"Not changed" in client.post(f"{PAGE}/zoho-desk/renewal", headers=HTMX).content


# --- Back to where the button was ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came_from", "goes_to"),
    [
        (f"http://testserver{PAGE}?range=7d", f"{PAGE}?range=7d"),
        (f"http://testserver{STORY}", STORY),
        ("http://testserver/admin/integrations?status=down", "/admin/integrations?status=down"),
        (f"http://testserver{REVOKE}", "/admin/integrations"),
        (f"http://evil.example{PAGE}", "/admin/integrations"),
        (f"https://testserver.evil.example{PAGE}", "/admin/integrations"),
        ("http://testserver//evil.example/admin/integrations", "/admin/integrations"),
        ("javascript:alert(1)", "/admin/integrations"),
        ("", "/admin/integrations"),
    ],
)
def test_without_scripts_one_comes_back_to_where_the_button_was(
    client: Client, alice: User, crm: Integration, came_from: str, goes_to: str
) -> None:
    client.force_login(alice)
    response = client.post("/admin/integrations/zoho-crm/refresh", headers={"Referer": came_from})
    assert response.headers["Location"] == goes_to
