"""What stands around the pages: palette, shortcuts, account, toasts, the API's page and the Django admin."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from healthchecks import services as health
from integrations.accounts.models import User
from integrations.models import Integration
from tests.browser.test_pages import ALERTS, FEED, OVERVIEW, RULES, Enter
from tests.factories import CheckResultFactory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

ACCOUNT = "/admin/integrations/account"


def chosen(page: Page) -> Any:
    return page.locator("#palette-list [aria-selected=true]")


def test_the_palette_finds_and_does(
    enter: Enter, alice: User, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*, integration: Integration, actor: Any) -> Any:
        return CheckResultFactory(integration=integration, status="healthy", reason="It answered.")

    monkeypatch.setattr(health, "check", check)
    page = enter(alice, FEED)
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Page, integration or action")
    expect(field).to_be_focused()
    expect(chosen(page)).to_contain_text("Clickatell SMS")
    found = Axe().run(page, options=RULES)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("ArrowUp")  # around to the end
    expect(page.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    field.fill("zcrm")
    expect(chosen(page)).to_contain_text("Zoho CRM")
    field.fill("res now")
    expect(chosen(page)).to_contain_text("Check Resend Email now")
    assert field.get_attribute("aria-activedescendant") == chosen(page).get_attribute("id")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Resend Email is healthy")
    expect(field).to_be_hidden()
    page.keyboard.press("Control+k")  # what was done lately is on top
    expect(page.get_by_role("group", name="Recent").get_by_role("option")).to_have_text(["Check Resend Email now"])
    field.fill("qqqq")
    expect(page.get_by_text("Nothing fits “qqqq”")).to_be_visible()
    page.keyboard.press("Enter")  # nothing to do
    field.fill("alerts")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{ALERTS}$"))


def test_the_palette_works_by_touch_and_asks_where_the_page_would(enter: Enter, alice: User) -> None:
    page = enter(None, "/accounts/login/")
    page.set_viewport_size({"width": 390, "height": 844})
    page = enter(alice, OVERVIEW)
    page.get_by_role("button", name="Go to or do…").click()
    page.get_by_role("combobox", name="Page").fill("test alert")
    page.get_by_role("option", name="Send a test alert").click()
    expect(page.get_by_role("heading", name="Send a test alert?")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Go to or do…").click()
    expect(chosen(page)).to_have_text("Send a test alert")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("combobox", name="Page")).to_be_hidden()


def test_scripts_count_as_the_language_of_the_page_does(
    enter: Enter, quiet_page: Page, alice: User, registry: dict[str, Integration]
) -> None:
    """Polish has three plurals: 1, what ends in 2 to 4 (but not 12 to 14), and the others."""

    def in_polish(route: Route) -> None:
        answer = route.fetch()
        page = answer.text().replace('lang="en-ZA"', 'lang="pl"')
        for example, words in (("0", "{n} many"), ("2", "{n} few"), ("5", "{n} many")):
            page = page.replace(f'"{example}": "{{n}} found"', f'"{example}": "{words}"')
        route.fulfill(response=answer, body=page)

    quiet_page.route(re.compile(f"{OVERVIEW}$"), in_polish)
    page = enter(alice, OVERVIEW)
    page.keyboard.press("Control+k")
    told, field = page.locator("#palette-note"), page.get_by_role("combobox", name="Page")
    expect(told).to_have_text(re.compile(r"\d\d (few|many)"))
    said = set()
    for typed in ("", "zoho", "sms", "check", "o", "te", "net", "tokens", "job", "re"):
        field.fill(typed)
        number, words = told.inner_text().split()
        few = int(number) % 10 in (2, 3, 4) and int(number) % 100 not in (12, 13, 14)
        assert int(number) == 1 or words == ("few" if few else "many"), number
        said.add(words)
    assert said >= {"few", "many"}


def test_shortcuts_work_help_and_rest_while_somebody_types(enter: Enter, alice: User) -> None:
    page = enter(alice, OVERVIEW)
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    found = Axe().run(page, options=RULES)
    assert found.violations_count == 0, found.generate_report()
    expect(page.get_by_role("heading", name="On this page")).to_be_hidden()
    page.keyboard.press("t")  # a dialog is open
    page.keyboard.press("Escape")
    page.evaluate(
        """document.querySelector("main").insertAdjacentHTML("beforeend",
            '<template id="shortcuts"><div><dt>J</dt><dd>Next row</dd></div></template>')"""
    )
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="On this page")).to_be_visible()
    expect(page.get_by_text("Next row")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("p?t")
    expect(page.get_by_role("searchbox")).to_have_value("p?t")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_hidden()
    expect(page.locator("html")).not_to_have_class("dark")
    page.locator("#main").focus()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_class("dark")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile(f"{FEED}$"))


def test_single_keys_turned_off_stay_off_and_the_palette_remains(enter: Enter, alice: User) -> None:
    page = enter(alice, ACCOUNT)
    page.get_by_role("switch", name="Single-key shortcuts").click()
    page.get_by_role("button", name="Save preferences").click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    page.keyboard.press("t")
    page.keyboard.press("?")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Page")).to_be_visible()
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_hidden()
    expect(page.locator("html")).not_to_have_class("dark")


def test_a_toast_waits_while_it_has_the_keyboard(enter: Enter, quiet_page: Page, alice: User) -> None:
    quiet_page.clock.install()
    page = enter(alice, ACCOUNT)
    page.get_by_role("button", name="Save preferences").click()
    toast = page.locator(".toast")
    expect(toast).to_be_visible()
    page.clock.run_for(500)
    toast.get_by_role("button", name="Dismiss").focus()
    page.clock.run_for(20_000)
    expect(toast).to_be_visible()
    page.keyboard.press("Enter")
    expect(toast).to_be_hidden()
    expect(page.locator("#main")).to_be_focused()


def test_a_token_is_made_copied_and_revoked(enter: Enter, alice: User, registry: dict[str, Integration]) -> None:
    page = enter(alice, ACCOUNT)
    page.get_by_role("link", name="Tokens", exact=True).click()
    page.get_by_label("What it is for").fill("Grafana")
    page.get_by_role("checkbox", name="See integrations").check()
    page.locator("summary").filter(has_text="Where").click()
    page.get_by_role("checkbox", name="Resend Email").check()
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("#token")).to_have_text(re.compile("^cti_"))
    row = page.get_by_role("row", name="Grafana")
    page.get_by_role("button", name="Revoke Grafana").click()
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(page.locator(".toast")).to_contain_text("Grafana: revoked")
    expect(row).to_contain_text("Revoked")  # without a reload
    expect(page.get_by_role("button", name="Revoke Grafana")).to_have_count(0)
    page.goto(page.url)
    expect(page.locator("#token")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_account_is_for_everybody(enter: Enter, charlie: User, scheme: Any) -> None:
    page = enter(None, "/accounts/login/")
    page.emulate_media(color_scheme=scheme)
    page = enter(charlie, ACCOUNT)
    for width in (1440, 834, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(350)  # the sidebar's slide
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    found = Axe().run(page, options=RULES)
    assert found.violations_count == 0, found.generate_report()


def test_the_apis_page_is_in_the_same_look_and_may_act(enter: Enter, quiet_page: Page, alice: User) -> None:
    paths = {"/healthz": {"post": {"tags": ["Health"], "responses": {"200": {"description": "Done"}}}}}
    document = {"openapi": "3.1.0", "info": {"title": "API", "version": "1"}, "paths": paths}
    quiet_page.route("**/api/schema", lambda route: route.fulfill(json=document))  # the whole one takes its time
    page = enter(alice, "/api/docs")
    page.locator(".opblock-tag[data-tag=Health]").click()
    page.locator(".opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    with page.expect_request("**/healthz") as sent:
        page.get_by_role("button", name="Execute").click()
    token = page.locator("body").get_attribute("hx-headers:inherited") or ""
    assert sent.value.headers["x-csrftoken"] in token
    page.get_by_role("button", name="Switch between light and dark theme").click()
    expect(page.locator("html")).to_have_class(re.compile("dark-mode"))
    assert page.evaluate("getComputedStyle(document.querySelector('.opblock')).backgroundColor") == "rgb(18, 18, 18)"
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(350)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself tells of the 405


def test_the_django_admin_follows_the_theme_and_leads_back(enter: Enter, person: Callable[..., User]) -> None:
    page = enter(None, "/accounts/login/")
    page.emulate_media(color_scheme="dark")
    page = enter(person("root", is_superuser=True, is_staff=True), "/django-admin/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(10, 10, 10)"
    page.get_by_role("link", name="To the pages").click()
    expect(page).to_have_url(re.compile(f"{OVERVIEW}$"))


def test_without_scripts_there_is_no_button_that_would_do_nothing(
    without_scripts: Callable[..., Page], alice: User
) -> None:
    page = without_scripts(alice, ACCOUNT)
    expect(page.locator("[data-action=palette]")).to_be_hidden()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save preferences").click()
    expect(page.get_by_text("JST")).to_be_visible()
