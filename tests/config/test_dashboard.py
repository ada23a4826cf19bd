"""The overview: what it shows, to whom, at what cost; the pages around it."""

import gzip
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import brotli
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.http import QueryDict
from django.test import Client, RequestFactory
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import brand, dashboard, heartbeat, views, wakeup
from healthchecks import services as health
from healthchecks.models import StatusChange
from integrations import pages
from integrations.accounts.models import User
from integrations.models import Activity, Integration
from integrations.pages import Refused
from integrations.permissions import Perm
from oauth import tokens
from oauth.models import Grant, Token
from tests.factories import (
    ApiMetricFactory,
    CheckResultFactory,
    IntegrationFactory,
    TokenFactory,
    WebhookFactory,
    WebhookLogFactory,
)

OVERVIEW = "/admin/integrations"
NOW = datetime(2026, 11, 4, 12, 7, tzinfo=UTC)
HTMX = {"HX-Request": "true"}


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def drawn(*checks: tuple[datetime, str], interval: int = 15) -> dict[str, str]:
    return {bars.status: bars.path for bars in heartbeat.draw(checks, interval, NOW).bars}


# --- Heartbeat -------------------------------------------------------------------------------------------------------


def test_a_bar_stands_for_each_quarter_of_an_hour() -> None:
    checks = [(ago(minutes=15 * slot + 5), "healthy") for slot in range(48, -1, -1)]
    assert drawn(*checks) == {"healthy": "M1.25 17.5h285.5"}


def test_a_bar_shows_the_worst_that_was_found_in_it() -> None:
    checks = [(ago(minutes=9), "healthy"), (ago(minutes=8), "down"), (ago(minutes=7), "healthy")]
    assert drawn(*checks) == {"unknown": "M1.25 22h279.5", "down": "M283.25 12h3.5"}


def test_a_verdict_holds_until_the_next_check_is_due_and_no_longer() -> None:
    bars = drawn((ago(hours=3), "degraded"), interval=60)
    assert bars["degraded"] == "M211.25 15h27.5"  # its own quarter and the four after it
    assert bars["unknown"] == "M1.25 22h207.5M241.25 22h45.5"


def test_a_verdict_from_before_the_first_bar_still_holds_in_it() -> None:
    assert drawn((ago(hours=12, minutes=10), "down"), interval=60)["down"].startswith("M1.25 ")


def test_what_follows_a_bad_check_is_the_last_that_was_seen() -> None:
    bars = drawn((ago(minutes=25), "down"), (ago(minutes=20), "healthy"))
    assert bars["down"] == "M277.25 12h3.5"
    assert bars["healthy"] == "M283.25 17.5h3.5"


@pytest.mark.parametrize(
    ("checks", "label"),
    [
        ([], "No checks in the last 12 hours"),
        ([(ago(minutes=5), "healthy")], "Last 12 hours: checked for 0.25 h, healthy throughout"),
        (
            [(ago(minutes=35), "down"), (ago(minutes=20), "degraded"), (ago(minutes=5), "healthy")],
            "Last 12 hours: checked for 0.75 h, of these 0.25 h down and 0.25 h degraded",
        ),
    ],
)
def test_the_heartbeat_says_in_words_what_it_draws(checks: list[tuple[datetime, str]], label: str) -> None:
    assert heartbeat.draw(checks, 15, NOW).label == label


# --- Other pure parts ------------------------------------------------------------------------------------------------


def test_filters_come_from_the_address_and_ignore_what_is_not_theirs() -> None:
    filters = dashboard.Filters.of(QueryDict("q= zoho &category=crm&status=nonsense&oauth=1"))
    assert filters == dashboard.Filters(q="zoho", category="crm", oauth=True)


def test_one_that_outlived_its_provider_has_an_icon_too() -> None:
    assert [Integration(slug=slug).icon for slug in ("resend", "gone")] == ["mail", "plug"]


def test_layers_bear_whatever_the_column_holds() -> None:
    stored = [{"layer": "api", "status": "down", "seen": "503", "rule": "api_failing"}, "nonsense", {"status": "down"}]
    assert dashboard.read_layers(stored) == (dashboard.Layer("api", "API", "down", "503", "api_failing"),)
    assert dashboard.read_layers(None) == ()


@pytest.mark.parametrize(
    ("changes", "told", "tone"),
    [
        ({}, "Valid", ""),
        ({"expires_at": NOW + timedelta(minutes=5)}, "Valid", ""),  # soon, but it renews itself
        ({"expires_at": NOW + timedelta(minutes=5), "auto_refresh": False}, "Expiring", "degraded"),
        ({"expires_at": NOW - timedelta(minutes=5)}, "Expired", "down"),
        ({"grant": Grant(state="needs_reauth")}, "Revoked", "down"),
        ({"grant": Grant(state="revoked"), "access_sealed": "", "refresh_sealed": ""}, "Revoked", "down"),
        ({"grant": Grant(state="revoking")}, "Revocation pending", "down"),
        ({"grant": Grant(state="retrying")}, "Retrying", "degraded"),
        ({"grant": Grant(state="retrying"), "expires_at": NOW - timedelta(minutes=5)}, "Expired", "down"),
        ({"grant": Grant(state="uncertain")}, "Uncertain", "degraded"),
        ({"access_sealed": "", "refresh_sealed": ""}, "Not connected", "degraded"),
    ],
)
def test_a_token_is_told_in_a_word_and_warned_of_only_when_nobody_renews_it(
    changes: dict[str, Any], told: str, tone: str
) -> None:
    fields = {"issued_at": NOW - timedelta(minutes=30), "expires_at": NOW + timedelta(minutes=30)} | changes
    state = tokens.state(Token(**{"access_sealed": "x", "refresh_sealed": "x", "grant": Grant()} | fields), NOW)
    assert (state.label, state.tone) == (told, tone)


# --- What the overview shows -----------------------------------------------------------------------------------------


def test_a_card_tells_latency_uptime_token_and_webhooks_of_a_day(
    alice: User, registry: dict[str, Integration]
) -> None:
    zoho, now = registry["zoho-crm"], timezone.now()
    TokenFactory(integration=zoho)
    Integration.objects.filter(pk=zoho.pk).update(health_status="healthy", last_health_check_at=now)
    for taken in (100, 300):
        ApiMetricFactory(integration=zoho, response_time_ms=taken)
    ApiMetricFactory(integration=zoho, response_time_ms=9000, created_at=now - timedelta(days=2))
    hook = WebhookFactory(webhook_url=zoho.webhooks.get().webhook_url)
    for status in ("processed", "failed", "processed"):
        WebhookLogFactory(webhook=hook, status=status)
    WebhookLogFactory(webhook=hook, created_at=now - timedelta(days=2))
    WebhookLogFactory(webhook=hook, is_test=True)

    card = next(c for c in dashboard.overview(alice, dashboard.Filters(), now).cards if c.slug == "zoho-crm")

    assert (card.latency_ms, card.uptime.percent) == (200, 100)
    assert card.token is not None
    assert card.token.label == "Valid"
    assert card.deliveries is not None
    assert (card.deliveries.received, card.deliveries.failed) == (3, 1)


def test_a_card_tells_no_uptime_of_a_day_of_which_next_to_nothing_is_known(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    """A new installation: down at its first look, mended a minute later. The integration's own page says how much."""
    row, now = registry["resend"], timezone.now()
    Integration.objects.filter(pk=row.pk).update(health_status="healthy", last_health_check_at=now)
    for minutes, old, new in ((5, "unknown", "down"), (1, "down", "healthy")):
        StatusChange.objects.create(
            integration=row, old_status=old, new_status=new, reason="", at=now - timedelta(minutes=minutes)
        )
    client.force_login(alice)
    card = client.get(OVERVIEW).content.decode().partition('id="card-resend"')[2].partition("</article>")[0]
    assert "too little known" in card
    assert "Uptime of the last 24 hours: under 1% of it is known" in card
    assert "% uptime" not in card
    assert "under 1% of it is known" in client.get(f"{OVERVIEW}/resend").content.decode()
    assert "under 1% of it is known" in client.get(f"{OVERVIEW}/apis?integration=resend").content.decode()
    StatusChange.objects.filter(integration=row, new_status="down").update(at=now - timedelta(hours=4))
    card = client.get(OVERVIEW).content.decode().partition('id="card-resend"')[2].partition("</article>")[0]
    assert "% uptime" in card


def test_how_often_they_are_checked_is_said_of_those_that_are(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    client.force_login(alice)
    Integration.objects.update(health_check_interval_minutes=15)
    assert "checked every 15 minutes." in client.get(OVERVIEW).content.decode()
    Integration.objects.filter(slug="google-maps").update(health_check_interval_minutes=60)
    assert "checked every 15 to 60 minutes." in client.get(OVERVIEW).content.decode()
    Integration.objects.filter(slug="google-maps").update(is_active=False)
    assert "checked every 15 minutes." in client.get(OVERVIEW).content.decode()


def test_what_is_bad_is_listed_worst_first_with_its_layers(alice: User, registry: dict[str, Integration]) -> None:
    layers = [{"layer": "webhooks", "status": "down", "seen": "Silence for 51 h.", "rule": "silence"}]
    CheckResultFactory(integration=registry["netcash"], status="down", rule="silence", layers=layers)
    for slug, status in (("resend", "degraded"), ("netcash", "down"), ("google-maps", "down")):
        Integration.objects.filter(slug=slug).update(health_status=status, is_active=slug != "google-maps")

    netcash, resend = dashboard.overview(alice, dashboard.Filters(), timezone.now()).attention

    assert (netcash.slug, netcash.rule) == ("netcash", "silence")
    assert netcash.layers[0].seen == "Silence for 51 h."
    assert netcash.events == f"{OVERVIEW}/webhooks?integration=netcash"
    assert (resend.slug, resend.events, resend.check) == ("resend", "", f"{OVERVIEW}/resend/check")


def test_the_counts_are_of_everything_and_the_cards_of_what_the_filters_admit(client: Client, alice: User) -> None:
    Integration.objects.filter(slug="zoho-crm").update(health_status="down")
    client.force_login(alice)
    page = client.get(f"{OVERVIEW}?status=down&q=zoho&oauth=1&webhooks=1&category=crm").content.decode()
    assert re.findall(r'<article[^>]* id="card-([\w-]+)"', page) == ["zoho-crm"]
    assert "1 of 10" in page
    assert 'value="down" checked' in page


def test_with_a_grant_on_one_integration_only_that_one_exists(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    Integration.objects.update(health_status="down")
    client.force_login(charlie)
    page = client.get(OVERVIEW).content.decode()
    assert re.findall(r'<(?:article|details)[^>]* id="([\w-]+)"', page) == ["attention-resend", "card-resend"]
    assert "1 of 1" in page
    assert "Zoho" not in page
    assert "/check" not in page


def test_whoever_may_only_look_is_shown_no_buttons(client: Client, bob: User) -> None:
    client.force_login(bob)
    page = client.get(OVERVIEW).content.decode()
    assert "card-resend" in page
    assert "/check" not in page


@pytest.mark.parametrize("who", ["everything", "one grant each"])
@pytest.mark.parametrize("number", [0, 290])
def test_thirteen_queries_do_for_10_or_300_integrations(
    client: Client, alice: User, charlie: User, number: int, who: str, django_assert_max_num_queries: Any
) -> None:
    kinds = ["healthy", "degraded", "down", "unknown"]
    Integration.objects.bulk_create(
        IntegrationFactory.build(slug=f"s-{n}", health_status=kinds[n % 4], requires_oauth=True) for n in range(number)
    )
    grant = Grant.objects.create()
    rows = Integration.objects.filter(slug__startswith="s-")
    Token.objects.bulk_create(Token(integration=row, grant=grant) for row in rows)
    for row in Integration.objects.all() if who != "everything" else ():
        assign_perm(Perm.READ.django_name, charlie, row)
    client.force_login(alice if who == "everything" else charlie)
    client.get(OVERVIEW)  # content types are cached once and for all
    for query, shown in (("", min(number + 10, dashboard.CARDS)), ("?most=336", number + 10)):
        with django_assert_max_num_queries(13):
            response = client.get(f"{OVERVIEW}{query}")
        assert response.content.count(b"<article") == shown


def test_one_address_gives_the_page_and_its_fragment(client: Client, alice: User) -> None:
    client.force_login(alice)
    page, fragment = client.get(OVERVIEW), client.get(OVERVIEW, headers=HTMX)
    assert b"<!doctype html>" in page.content
    assert b"<!doctype html>" not in fragment.content
    assert b'<hx-partial hx-target="#summary"' in fragment.content
    assert page.headers["Vary"] == fragment.headers["Vary"]
    assert "HX-Request" in page.headers["Vary"]
    restored = client.get(OVERVIEW, headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert b"<!doctype html>" in restored.content


def test_home_is_the_overview(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/").headers["Location"] == OVERVIEW


# --- Checks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which integrations were checked; each is found down."""
    slugs: list[str] = []

    def check(*, integration: Integration, actor: Any) -> Any:
        slugs.append(f"{integration.slug} by {actor.username}")
        return CheckResultFactory(
            integration=integration, status="down", reason="The API can't be reached: <no route>."
        )

    monkeypatch.setattr(health, "check", check)
    return slugs


def test_a_check_says_what_it_found_and_refreshes_the_page(client: Client, alice: User, checked: list[str]) -> None:
    client.force_login(alice)
    response = client.post(f"{OVERVIEW}/resend/check", headers=HTMX)
    assert checked == ["resend by alice"]
    assert response.headers["HX-Trigger"] == "refresh"
    assert b"Resend Email is down" in response.content
    assert b"&lt;no route&gt;" in response.content
    assert b'data-category="error"' in response.content


def test_a_check_without_scripts_comes_back_with_a_message(client: Client, alice: User, checked: list[str]) -> None:
    client.force_login(alice)
    response = client.post(f"{OVERVIEW}/resend/check", follow=True)
    assert response.redirect_chain == [(OVERVIEW, 302)]
    assert b"Resend Email is down. The API can&#x27;t be reached" in response.content


def test_a_check_needs_the_permission_and_leaves_a_trace_when_refused(
    client: Client, bob: User, checked: list[str]
) -> None:
    client.force_login(bob)
    for _ in range(3):
        response = client.post(f"{OVERVIEW}/resend/check", headers=HTMX)
    assert (response.status_code, checked) == (403, [])
    assert b'<hx-partial hx-target="#toaster"' in response.content
    row = Activity.objects.get(action="permission_denied")  # one for the minute, not three
    assert (row.username, row.outcome, row.integration_slug) == ("bob", "refused", "resend")
    assert row.details == {"permission": "integrations:manage", "page": "check"}


def test_a_check_of_what_one_may_not_see_finds_nothing(
    client: Client, charlie: User, registry: dict[str, Integration], checked: list[str]
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    assert client.post(f"{OVERVIEW}/netcash/check").status_code == 404
    assert client.get(f"{OVERVIEW}/resend/check").status_code == 405
    assert checked == []


def test_a_script_that_clicks_is_told_to_wait(
    client: Client, alice: User, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ACTION_RATE", "2/min")
    monkeypatch.setattr(wakeup, "sweep", lambda: None)
    client.force_login(alice)
    assert [client.post(f"{OVERVIEW}/check", headers=HTMX).status_code for _ in range(3)] == [200, 200, 429]
    assert "Too many actions" in client.post(f"{OVERVIEW}/check", follow=True).content.decode()


@pytest.mark.parametrize(("grants", "number"), [(0, 10), (1, 1)])
def test_check_all_asks_for_what_one_may_manage(
    client: Client, alice: User, charlie: User, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch,
    grants: int, number: int,
) -> None:  # fmt: skip
    woken: list[bool] = []
    monkeypatch.setattr(wakeup, "sweep", lambda: woken.append(True))
    if grants:
        assign_perm(Perm.MANAGE.django_name, charlie, registry["resend"])
    client.force_login(charlie if grants else alice)
    response = client.post(f"{OVERVIEW}/check", headers=HTMX)
    assert f"Checking {number} integration{'s' if number > 1 else ''}…" in response.content.decode()
    assert woken == [True]


# --- The shell -------------------------------------------------------------------------------------------------------


def test_only_superusers_are_shown_the_django_admin(client: Client, alice: User, person: Callable[..., User]) -> None:
    for user, shown in ((alice, False), (person("root", is_superuser=True), True)):
        client.force_login(user)
        assert (b'href="/django-admin/"' in client.get(OVERVIEW).content) is shown


def test_the_foot_names_the_reader_and_the_role(client: Client, bob: User) -> None:
    client.force_login(bob)
    page = client.get(OVERVIEW).content.decode()
    assert "Bob Example" in page
    assert "Operations Manager" in page


def test_a_banner_says_that_providers_are_simulated(client: Client, alice: User, settings: Any) -> None:
    client.force_login(alice)
    assert b"simulated providers" not in client.get(OVERVIEW).content
    settings.SANDBOX_URL = "http://127.0.0.1:8001"
    page = client.get(OVERVIEW).content.decode()
    assert "simulated providers" in page
    assert page.count(">sandbox</span>") == 10


def test_every_page_is_private(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(OVERVIEW).headers["Cache-Control"] == "no-store"


# --- Brand -----------------------------------------------------------------------------------------------------------


def test_name_and_accent_are_settings(client: Client, settings: Any) -> None:
    settings.BRAND_NAME = "Acme"
    assert b"brand.css" not in client.get("/accounts/login/").content
    settings.BRAND_ACCENT = "#0055ff"
    page = client.get("/accounts/login/").content.decode()
    assert "Acme" in page
    assert 'href="/brand.css"' in page
    style = client.get("/brand.css")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b":root{--brand:#0055ff;" in style.content


@pytest.mark.parametrize("accent", ["#ffff00", "#000000", "#0055ff", "#e87a1e", "#ffffff"])
def test_an_accent_can_be_read_as_text_in_both_themes(accent: str) -> None:
    light, dark = re.findall(r"--brand-text:(#[0-9a-f]{6})", brand.stylesheet(accent))
    assert brand._contrast(brand._rgb(light), (250, 250, 250)) >= 4.5
    assert brand._contrast(brand._rgb(dark), (18, 18, 18)) >= 4.5


@pytest.mark.parametrize("accent", ["", "red", "#fff", "#fffff;}body{display:none", "#0055ff;"])
def test_an_accent_that_is_no_colour_gives_no_style(accent: str) -> None:
    assert brand.stylesheet(accent) == ""


# --- Errors ----------------------------------------------------------------------------------------------------------


def test_a_stranger_learns_which_permission_is_missing_and_whom_to_ask(
    client: Client, alice: User, charlie: User
) -> None:
    client.force_login(charlie)
    response = client.get(OVERVIEW)
    page = response.content.decode()
    assert response.status_code == 403
    for words in ("integrations:read", "Support Agent", "Alice Example", "alice@example.com"):
        assert words in page
    assert Activity.objects.get(action="permission_denied").username == "charlie"


def test_losing_the_permission_while_a_page_polls_loads_the_page_that_says_so(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    response = client.get(OVERVIEW, headers=HTMX)
    assert (response.status_code, response.headers["HX-Refresh"]) == (403, "true")


def test_giving_the_permission_opens_the_page(client: Client, charlie: User) -> None:
    charlie.user_permissions.add(Permission.objects.get(codename="read", content_type__app_label="integrations"))
    client.force_login(charlie)
    assert client.get(OVERVIEW).status_code == 200


def test_an_unknown_address_gets_a_page(client: Client, alice: User) -> None:
    client.force_login(alice)
    response = client.get("/admin/nothing")
    assert response.status_code == 404
    assert b"There is nothing here" in response.content
    assert b"<hx-partial" in client.get("/admin/nothing", headers=HTMX).content


def test_a_broken_page_needs_neither_database_nor_context(rf: RequestFactory) -> None:
    response = views.server_error(rf.get("/"))
    assert response.status_code == 500
    assert b"Something broke on our side" in response.content


def test_a_refusal_is_named_by_its_permission() -> None:
    assert str(Refused(Perm.MANAGE)) == "integrations:manage"


# --- Weight ----------------------------------------------------------------------------------------------------------


def test_scripts_and_styles_stay_under_their_weight() -> None:
    dist = Path(settings.BASE_DIR) / "static" / "dist"
    weight = sum(len(brotli.compress((dist / name).read_bytes())) for name in ("app.css", "app.js", "theme.js"))
    assert weight < 45 * 1024


def test_a_poll_is_small(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert len(gzip.compress(client.get(OVERVIEW, headers=HTMX).content)) < 8 * 1024


def test_roles_that_manage_are_the_ones_to_ask(alice: User, person: Callable[..., User]) -> None:
    gone = person("gone", role="Super Admin", is_active=False)
    both = person("both", role="System Admin")
    both.groups.add(Group.objects.get(name="Super Admin"))
    assert gone not in views._administrators()
    assert sorted(user.username for user in views._administrators()) == ["alice", "both"]


def test_of_many_only_the_worst_and_the_first_are_drawn(alice: User) -> None:
    for n in range(60):
        IntegrationFactory(health_status="degraded" if n else "down", name=f"Partner {n:02}")
    view = dashboard.overview(alice, dashboard.Filters(), timezone.now())
    assert (view.troubled, len(view.attention), view.attention[0].status) == (60, dashboard.TROUBLES, "down")
    assert (view.fitting, len(view.cards)) == (70, dashboard.CARDS)
    wider = dashboard.Filters.of(QueryDict(view.filters.more))
    assert len(dashboard.overview(alice, wider, timezone.now()).cards) == 70
    for text in ("", "0", "47", "-48", "x", "99999999999"):
        assert dashboard.Filters.of(QueryDict(f"most={text}")).most == dashboard.CARDS
