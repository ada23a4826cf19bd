"""The pages in a real browser: readable by all, alive without disturbing, whole without scripts."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from healthchecks import services as health
from healthchecks.alerts import alarms
from healthchecks.models import Alarm, Alert, CheckResult, Delivery, Incident, Maintenance
from integrations import services
from integrations.accounts.models import User
from integrations.actor import SYSTEM
from integrations.cron.models import CronJob, CronRun
from integrations.models import Integration
from oauth.models import TokenEvent
from tests.conftest import PASSWORD
from tests.factories import ApiMetricFactory, CheckResultFactory, IntegrationFactory, TokenFactory, WebhookLogFactory
from webhooks.models import Webhook, WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

OVERVIEW, FEED, LOGIN = "/admin/integrations", "/admin/integrations/webhooks", "/accounts/login/"
TOKENS, STORY = "/admin/integrations/oauth", "/admin/integrations/oauth/zoho-sign"
ALERTS, JOBS = "/admin/integrations/alerts", "/admin/integrations/cron"
DETAIL, ACTIVITY = "/admin/integrations/zoho-sign", "/admin/integrations/activity"
APIS, TARGETS = "/admin/integrations/apis", "/admin/integrations/apis/resend/thresholds"
API = f"{APIS}?integration=resend"
WORK = f"{APIS}/maintenance"
DECLARE, QUEUE = f"{WORK}/declare", f"{FEED}/retry-queue"
PEOPLE, ADD = "/admin/integrations/people", "/admin/integrations/people/add"
PLACES = [
    LOGIN, OVERVIEW, FEED, TOKENS, STORY, ALERTS, JOBS, DETAIL, ACTIVITY, APIS, API, TARGETS, WORK, DECLARE, QUEUE,
    PEOPLE, ADD, "person", "job", "edit", "bell", "event", "refused",
]  # fmt: skip
Enter = Callable[[User | None, str], Page]
TOO_WIDE = """[...document.querySelectorAll(".card, .card > *, summary")]
    .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.textContent)"""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture
def life(registry: dict[str, Integration]) -> list[WebhookLog]:
    """Integrations in every state, and sixty deliveries in every state; the newest first."""
    now = timezone.now()
    layers = [
        {"layer": "grant", "status": "degraded", "seen": "The token ends in 5 h.", "rule": "token_dying"},
        {"layer": "api", "status": "healthy", "seen": "The API answered in 90 ms.", "rule": "checks_passed"},
    ]
    states = {"netcash": "down", "zoho-sign": "degraded", "zoho-desk": "unknown"}
    for slug, row in registry.items():
        status = states.get(slug, "healthy")
        Integration.objects.filter(pk=row.pk).update(
            health_status=status,
            health_since=now - timedelta(hours=3),
            last_health_check_at=now,
            consecutive_failures=3,
            health_reason="There is no key, and it takes a long sentence to say which of them would have to be set.",
        )
        CheckResult.objects.bulk_create(
            CheckResultFactory.build(
                integration=row, status=status, layers=layers, created_at=now - timedelta(minutes=15 * n)
            )
            for n in range(50)
        )
    for slug, life in (("zoho-crm", 60), ("zoho-sign", -5)):
        TokenFactory(integration=registry[slug], expires_at=now + timedelta(minutes=life))
    for n in range(2):
        since, until = now - timedelta(days=n, hours=3), (now - timedelta(days=n)) if n else None
        Incident.objects.create(
            integration=registry["zoho-sign"], opened_at=since, closed_at=until, worst_status="degraded", cause="Slow."
        )
    for n, integration in enumerate([None, registry["resend"], registry["zoho-sign"]]):
        starts_at = now + timedelta(days=n - 1, hours=-1)
        Maintenance.objects.create(
            integration=integration, starts_at=starts_at, ends_at=starts_at + timedelta(hours=2), username="alice",
            reason="A long reason with a_word_that_knows_no_end_" + "and_goes_on_" * 20,
        )  # fmt: skip
    for on in (False, True):
        services.change(registry["zoho-sign"], actor=SYSTEM, is_active=on)
    for n, kind in enumerate(["expired", "refresh_failed", "refreshed", "refreshed", "revoked", "connected"]):
        TokenEvent.objects.create(
            integration=registry["zoho-sign"], kind=kind, at=now - timedelta(hours=n), actor="system",
            detail="A long reason with a_word_that_knows_no_end_" + "and_goes_on_" * 20 if n == 1 else "",
        )  # fmt: skip
    alarms.watch(now=now)
    Alarm.objects.filter(key="health:zoho-sign").update(closed_at=now)
    for n, status in enumerate(["sent", "failed", "spared", "waiting"]):
        alert = Alert.objects.create(
            alarm=Alarm.objects.earliest("opened_at"),
            kind="opened",
            severity="critical",
            subject="It is down",
            text="",
        )
        Delivery.objects.create(
            alert=alert, route="mailto:o…@example.com", position=n, status=status, attempts=n, sent_at=now,
            error="It took too long." if n else "", failed_at=now if n == 1 else None,
        )  # fmt: skip
    for n, status in enumerate(CronRun.Status.values):
        CronRun.objects.create(
            job=CronJob.objects.get(job_name="metrics-rollup"), status=status, started_at=now - timedelta(minutes=n),
            error_message="A long reason with a_word_that_knows_no_end_" + "and_goes_on_" * 20 if n else "",
            result_summary={"message": "3 of 40 hours rolled up.", "figures": [1, 2, 3]}, traceback="x" * 900,
        )  # fmt: skip
    for n in range(40):
        ApiMetricFactory(
            integration=registry["resend"], created_at=now - timedelta(minutes=20 * n),
            endpoint="/v1/a-path-that-goes-on-and-on/{id}/and-on", status_code=[200, 503][n % 4 == 0],
            error_message=["", "HTTP 503: " + "a_word_that_knows_no_end_" * 9][n % 4 == 0],
        )  # fmt: skip
    hooks = list(Webhook.objects.all())
    kinds = [
        {"status": "processed"},
        {
            "status": "failed",
            "due_at": now + timedelta(minutes=5),
            "error_message": "503 from the CRM",
            "retry_count": 1,
        },
        {"status": "failed", "error_message": "No customer is named.", "attempts": 8},
        {"status": "pending", "is_test": True},
        {"status": "duplicate"},
    ]
    return [
        WebhookLogFactory(
            webhook=hooks[n % len(hooks)], created_at=now - timedelta(minutes=n), **kinds[n % len(kinds)]
        )
        for n in range(60)
    ]


def arrive(**fields: Any) -> WebhookLog:
    """One more delivery."""
    return WebhookLogFactory(webhook=Webhook.objects.get(webhook_url="/api/webhooks/resend"), **fields)


def poll(page: Page) -> None:
    """Let the page's 30 seconds pass."""
    page.clock.fast_forward(30_500)


# --- For everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PLACES)
def test_nothing_stands_in_anybodys_way(
    enter: Enter, alice: User, charlie: User, life: list[WebhookLog], path: str, scheme: Any
) -> None:
    user = {LOGIN: None, "refused": charlie}.get(path, alice)
    page = enter(None, LOGIN)
    page.emulate_media(color_scheme=scheme)
    job = f"{JOBS}/{CronJob.objects.get(job_name='metrics-rollup').pk}"
    places = {"event": f"{FEED}/{life[1].pk}/body", "refused": OVERVIEW, "bell": ALERTS, "job": job,
              "person": f"{PEOPLE}/{charlie.pk}"}  # fmt: skip
    page = enter(user, (places | {"edit": f"{job}/edit"}).get(path, path))
    if path == "bell":
        page.locator("#bell summary").click()
        expect(page.get_by_role("link", name="All alerts")).to_be_visible()
    if path in (OVERVIEW, FEED, ALERTS, DETAIL, ACTIVITY, APIS, API, "job"):
        page.locator(".row > summary").nth(1).click()
        page.wait_for_load_state("networkidle")
    for width in (1440, 834, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(350)  # the sidebar's slide
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(TOO_WIDE) == []
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()
    if path == "refused":  # the browser itself tells of the 403
        page.complaints.clear()  # type: ignore[attr-defined]  # see the fixture


LONG = ("Superkalifragilistikexpialigetischunaussprechlichesunternehmen", "The one for all of the regions beyond " * 2)


@pytest.mark.parametrize("path", [OVERVIEW, FEED, TOKENS, ALERTS, JOBS, DETAIL, ACTIVITY, APIS, API])
def test_names_may_be_long(
    enter: Enter, alice: User, registry: dict[str, Integration], life: list[WebhookLog], path: str
) -> None:
    for n, row in enumerate(registry.values()):
        Integration.objects.filter(pk=row.pk).update(name=f"{LONG[n % 2].strip()} {n}")
    page = enter(alice, path)
    for width in (1440, 834, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(350)  # the sidebar's slide
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(TOO_WIDE) == [], width


def test_the_first_tab_skips_to_the_content(enter: Enter, alice: User) -> None:
    page = enter(alice, OVERVIEW)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_nothing_jumps_while_a_page_loads(enter: Enter, alice: User, life: list[WebhookLog]) -> None:
    enter(alice, OVERVIEW)
    for path in (OVERVIEW, FEED):
        page = enter(None, path)
        shift = page.evaluate(
            """new Promise((done) => new PerformanceObserver((list) =>
                done(list.getEntries().reduce((sum, entry) => sum + entry.value, 0))
            ).observe({ type: "layout-shift", buffered: true }) || setTimeout(done, 500, 0))"""
        )
        assert shift < 0.01


def test_the_theme_follows_the_system_until_somebody_chooses(enter: Enter, alice: User) -> None:
    page = enter(alice, OVERVIEW)
    expect(page.locator("html")).not_to_have_class("dark")
    page.get_by_role("button", name="Switch between light and dark theme").click()
    expect(page.locator("html")).to_have_class("dark")
    page.reload()
    expect(page.locator("html")).to_have_class("dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_the_navigation_opens_and_closes_on_a_phone(enter: Enter, alice: User) -> None:
    page = enter(alice, OVERVIEW)
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload(wait_until="networkidle")
    navigation, toggle = page.get_by_role("navigation", name="Main"), page.locator("[data-action=sidebar]")
    expect(navigation).to_be_hidden()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(navigation.get_by_role("link", name="Overview")).to_be_focused()
    page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()
    expect(toggle).to_be_focused()
    toggle.click()
    navigation.get_by_role("link", name="Webhooks").click()
    expect(page).to_have_url(re.compile(f"{FEED}$"))


# --- Signing in ------------------------------------------------------------------------------------------------------


def test_signing_in_after_a_slip(enter: Enter, alice: User) -> None:
    page = enter(None, f"{FEED}?status=failed")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    expect(page.get_by_label("Username")).to_be_focused()
    expect(page.get_by_label("Username")).to_have_accessible_description(re.compile("correct username"))
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"webhooks\?status=failed$"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_ends_while_a_page_polls_leads_to_the_login_and_back(
    enter: Enter, quiet_page: Page, alice: User
) -> None:
    quiet_page.clock.install()
    page = enter(alice, f"{OVERVIEW}?q=zoho")
    Session.objects.all().delete()
    poll(page)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"integrations\?q=zoho$"))


# --- Filters ---------------------------------------------------------------------------------------------------------


def test_filters_stand_in_the_address_and_the_back_button_knows_them(
    enter: Enter, alice: User, life: list[WebhookLog]
) -> None:
    page = enter(alice, OVERVIEW)
    page.get_by_role("searchbox").press_sequentially("zoho", delay=20)
    expect(page.get_by_role("article")).to_have_count(4)
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("4 of 10")
    assert page.url.endswith("?q=zoho")
    page.locator(".segmented").get_by_text("Degraded").click()
    expect(page.get_by_role("article")).to_have_count(1)
    assert page.url.endswith("?q=zoho&status=degraded")
    page.go_back()
    expect(page.get_by_role("article")).to_have_count(4)
    expect(page.get_by_role("radio", name="All")).to_be_checked()
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_role("article")).to_have_count(10)
    assert page.url.endswith(OVERVIEW)


def test_filters_survive_a_poll(enter: Enter, quiet_page: Page, alice: User, life: list[WebhookLog]) -> None:
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    page.get_by_label("Category").select_option("crm")
    expect(page.get_by_role("article")).to_have_count(2)
    page.get_by_role("searchbox").focus()
    with page.expect_response(re.compile("category=crm")):
        poll(page)
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_everything_works_without_scripts(
    without_scripts: Callable[..., Page], alice: User, life: list[WebhookLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "check", lambda integration, actor: CheckResultFactory(integration=integration))
    page = without_scripts(alice, OVERVIEW)
    expect(page.locator("[data-action]").first).to_be_hidden()
    page.get_by_role("link", name="Down").click()
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_role("searchbox").fill("zoho")
    page.get_by_text("All", exact=True).click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("article")).to_have_count(4)
    page.get_by_role("button", name="Check Zoho CRM now").click()
    expect(page.get_by_text("Zoho CRM is healthy. The API answered in 120 ms.")).to_be_visible()
    page.get_by_role("link", name="Webhooks", exact=True).click()
    page.get_by_role("link", name="Load older").click()
    expect(page.locator(".row")).to_have_count(10)
    page.locator(".row summary").first.click()
    page.get_by_role("link", name="Open this event").first.click()
    expect(page.get_by_text("Idempotency key")).to_be_visible()


# --- Live ------------------------------------------------------------------------------------------------------------


def test_a_poll_disturbs_neither_what_is_open_nor_the_focus(
    enter: Enter, quiet_page: Page, alice: User, life: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.url) if "/body" in request.url else None)
    row = page.locator(f"#log-{life[3].pk}")
    row.locator("> summary").focus()
    page.keyboard.press("Enter")
    expect(row.locator("pre").first).to_contain_text("message.sent")
    row.evaluate("row => row.mark = 1")
    place = row.evaluate("row => row.getBoundingClientRect().top")
    new = arrive()
    WebhookLog.objects.filter(pk=life[3].pk).update(status="processed")
    poll(page)
    expect(page.locator(f"#log-{new.pk}")).to_be_attached()
    expect(row.locator(".badge")).to_have_text("Processed")  # the row itself is up to date
    expect(row).to_have_attribute("open", "")
    expect(row.locator("pre").first).to_contain_text("message.sent")
    expect(row.locator("> summary")).to_be_focused()
    assert row.evaluate("row => row.mark") == 1  # the very same element
    assert abs(row.evaluate("row => row.getBoundingClientRect().top") - place) < 2  # and it did not move
    assert len(bodies) == 1


def test_what_a_poll_brings_is_on_top_and_opens(
    enter: Enter, quiet_page: Page, alice: User, life: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    new = arrive(payload={"hello": "world"})
    poll(page)
    first = page.locator("#feed .row").first
    expect(first).to_have_id(f"log-{new.pk}")
    first.locator("> summary").click()
    expect(first.locator("pre").first).to_contain_text("world")
    expect(page.locator("#feed .row")).to_have_count(51)  # nothing dropped out below


def test_a_row_that_is_opened_again_asks_again(enter: Enter, alice: User, life: list[WebhookLog]) -> None:
    page = enter(alice, FEED)
    row = page.locator(f"#log-{life[0].pk}")
    row.locator("> summary").click()
    expect(row.locator("pre").first).to_contain_text("message.sent")
    WebhookLog.objects.filter(pk=life[0].pk).update(payload={"type": "something.else"})
    row.locator("> summary").click()
    row.locator("> summary").click()
    expect(row.locator("pre").first).to_contain_text("something.else")


def test_older_rows_come_below_and_polls_leave_them_there(
    enter: Enter, quiet_page: Page, alice: User, life: list[WebhookLog]
) -> None:
    quiet_page.clock.install()
    page = enter(alice, FEED)
    page.get_by_role("link", name="Load older").click()
    expect(page.locator("#older .row")).to_have_count(10)
    expect(page.get_by_role("link", name="Load older")).to_be_hidden()
    oldest = page.locator(f"#log-{life[59].pk}")
    oldest.locator("> summary").click()
    expect(oldest.locator(".tree")).to_be_visible()
    arrive()
    poll(page)
    expect(page.locator("#feed .row")).to_have_count(51)
    expect(page.locator("#older .row")).to_have_count(10)
    expect(oldest).to_have_attribute("open", "")
    page.locator(".segmented").get_by_text("Failed").click()  # another question, another list
    expect(page.locator("#older .row")).to_have_count(0)


def test_polls_rest_while_paused_or_out_of_sight(enter: Enter, quiet_page: Page, alice: User) -> None:
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    page.wait_for_load_state("networkidle")  # the bell and the icon are asked for once the page is there
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    live = page.get_by_role("button", name="Live")
    live.click()
    expect(live).to_have_attribute("aria-pressed", "false")
    expect(live).to_contain_text("paused since")
    poll(page)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true })")
    assert asked == []
    with page.expect_response(re.compile(OVERVIEW)):
        live.click()  # going on begins at once
    page.evaluate("window.away = true")
    asked.clear()
    poll(page)
    page.evaluate("0")  # a round trip: whatever was to be sent has been
    assert asked == []
    page.evaluate("window.away = false")
    with page.expect_response(re.compile(OVERVIEW)):
        poll(page)


def test_a_poll_says_that_nobody_did_anything(enter: Enter, quiet_page: Page, alice: User) -> None:
    """Or a page that was left open would keep its session for ever."""
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    with page.expect_request(re.compile(f"{OVERVIEW}$")) as asked:
        poll(page)
    assert asked.value.headers["x-poll"] == "1"
    with page.expect_request(re.compile("q=zoho")) as asked:
        page.get_by_role("searchbox").fill("zoho")
        page.clock.run_for(500)
    assert "x-poll" not in asked.value.headers


def test_a_server_that_does_not_answer_is_told_beside_live(enter: Enter, quiet_page: Page, alice: User) -> None:
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    cards = page.get_by_role("article").count()

    def broken(route: Route) -> None:
        route.fulfill(status=500, body="<h1>Broken</h1>")

    page.route("**/*", broken)
    poll(page)
    expect(page.get_by_text("no answer since")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_text("· no answer", exact=True)).to_be_visible()
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.get_by_role("article").count() == cards  # an error page is never put into a page
    page.unroute("**/*", broken)
    page.complaints.clear()  # type: ignore[attr-defined]  # see the fixture
    poll(page)
    expect(page.get_by_text("no answer since")).to_be_hidden()


# --- Actions ---------------------------------------------------------------------------------------------------------


def test_a_check_tells_its_verdict_and_the_card_follows(
    enter: Enter, alice: User, life: list[WebhookLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*, integration: Integration, actor: Any) -> Any:
        Integration.objects.filter(pk=integration.pk).update(health_status="down")
        return CheckResultFactory(integration=integration, status="down", reason="Nobody <answers>.")

    monkeypatch.setattr(health, "check", check)
    page = enter(alice, OVERVIEW)
    card = page.get_by_role("article", name="Google Maps")
    expect(card).to_contain_text("Healthy")
    card.get_by_role("button", name="Check Google Maps now").click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("Google Maps is down")
    expect(toast).to_contain_text("Nobody <answers>.")
    expect(card).to_contain_text("Down")
    expect(page.locator("#count-down")).to_contain_text("2")
    expect(page.locator("#attention-google-maps")).to_be_visible()
    toast.get_by_role("button", name="Dismiss").click()
    expect(toast).to_be_hidden()


def test_a_verdict_is_explained_layer_by_layer(enter: Enter, alice: User, life: list[WebhookLog]) -> None:
    page = enter(alice, OVERVIEW)
    row = page.locator("#attention-zoho-sign")
    row.locator("> summary").click()
    expect(row.get_by_text("OAuth grant")).to_be_visible()
    expect(row.get_by_text("The token ends in 5 h.")).to_be_visible()
    expect(row.get_by_role("button", name="Check now")).to_be_visible()


def test_what_is_refused_is_told(enter: Enter, quiet_page: Page, alice: User, life: list[WebhookLog]) -> None:
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    alice.groups.clear()
    page.get_by_role("button", name="Check Google Maps now").click()
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.locator(".toast")).to_contain_text("integrations:read")
    poll(page)
    expect(page.get_by_role("heading", name="You can't open this page yet")).to_be_visible()
    page.complaints.clear()  # type: ignore[attr-defined]  # see the fixture


def test_the_payload_can_be_copied(enter: Enter, alice: User, life: list[WebhookLog]) -> None:
    page = enter(alice, FEED)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".row summary").first.click()
    page.get_by_role("button", name="Copy payload").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == '{\n  "type": "message.sent"\n}'


def test_what_is_dangerous_asks_in_the_shared_dialog(enter: Enter, live_server: LiveServer, alice: User) -> None:
    page = enter(alice, OVERVIEW)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method) if request.method == "POST" else None)
    page.evaluate(
        """() => {
            const main = document.getElementById("main");
            main.insertAdjacentHTML("beforeend", `<button id="risky" hx-post="/admin/integrations/nothing/check"
                hx-swap="none" hx-confirm="It stops working." data-confirm-title="Revoke?"
                data-confirm-label="Revoke">R</button>`);
            htmx.process(main);
        }"""
    )
    dialog = page.get_by_role("dialog")
    page.locator("#risky").click()
    expect(dialog.get_by_role("heading", name="Revoke?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog.get_by_role("heading")).to_be_hidden()
    assert sent == []
    page.locator("#risky").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.locator(".toast")).to_contain_text("It is no longer there")
    assert sent == ["POST"]
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself tells of the 404


def test_of_many_integrations_the_first_stand_there_and_more_on_demand(
    enter: Enter, quiet_page: Page, alice: User, registry: dict[str, Integration]
) -> None:
    IntegrationFactory.create_batch(100)
    quiet_page.clock.install()
    page = enter(alice, OVERVIEW)
    expect(page.locator("#live > article")).to_have_count(48)
    expect(page.locator("#count")).to_have_text("110 of 110")
    page.get_by_role("link", name="Show more").click()
    expect(page.locator("#live > article")).to_have_count(96)
    expect(page.get_by_text("96 of 110 shown")).to_be_visible()
    assert page.url.endswith("?most=96")
    with page.expect_response(re.compile(OVERVIEW)) as polled:
        poll(page)
    assert "most=96" in polled.value.url
    expect(page.locator("#live > article")).to_have_count(96)
    page.get_by_role("link", name="Show more").click()
    expect(page.locator("#live > article")).to_have_count(110)
    expect(page.get_by_role("link", name="Show more")).to_be_hidden()
