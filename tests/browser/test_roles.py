"""What each role is offered on each page: all that its permissions allow, and nothing that would be refused."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.urls import resolve
from guardian.shortcuts import assign_perm
from playwright.sync_api import Page, expect

from integrations.accounts.models import User
from integrations.cron.models import CronJob
from integrations.models import Integration
from integrations.permissions import ROLES, Perm
from tests.browser import test_pages
from tests.browser.test_pages import ACTIVITY, ALERTS, APIS, DETAIL, FEED, JOBS, OVERVIEW, STORY, TOKENS, Enter
from tests.config.test_access import ANYBODY, MANAGE, READ, REFRESH, REPLAY, SIGNED_IN, SUPERUSER, TABLE, TRIGGER
from webhooks.models import Webhook, WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

life = test_pages.life
NEEDS = {
    READ: Perm.READ,
    MANAGE: Perm.MANAGE,
    REFRESH: Perm.OAUTH_REFRESH,
    REPLAY: Perm.WEBHOOKS_REPLAY,
    TRIGGER: Perm.CRON_TRIGGER,
}
READERS = [role for role, perms in ROLES.items() if Perm.READ in perms and role != "Super Admin"]
# All that can be followed or pressed, as "METHOD address".
OFFERS = """[...document.querySelectorAll("[hx-post], [formaction], form[method=post][action], a[href], [hx-get]")]
    .filter((one) => one.checkVisibility() || one.matches("form"))
    .flatMap((one) => [
        one.getAttribute("hx-post") && "POST " + one.getAttribute("hx-post"),
        one.getAttribute("formaction") && "POST " + one.getAttribute("formaction"),
        one.matches("form[method=post]") && one.getAttribute("action") && "POST " + one.getAttribute("action"),
        one.getAttribute("hx-get") && "GET " + one.getAttribute("hx-get"),
        one.matches("a") && "GET " + one.getAttribute("href"),
    ])
    .filter((one) => one && / \\//.test(one))"""


@pytest.fixture
def pages(life: list[WebhookLog]) -> list[str]:
    job = f"{JOBS}/{CronJob.objects.get(job_name='metrics-rollup').pk}"
    receiver = f"{FEED}/{Webhook.objects.get(webhook_url='/api/webhooks/zoho/sign').pk}"
    return [OVERVIEW, DETAIL, TOKENS, STORY, FEED, f"{FEED}/receivers", receiver, APIS, JOBS, job, ACTIVITY, ALERTS]


def offers(page: Page) -> set[str]:
    """What the page offers with all of its rows open, each with the permission that its route asks for."""
    page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
    page.wait_for_load_state("networkidle")
    return set(page.evaluate(OFFERS))


def needed(offer: str) -> str:
    method, address = offer.split(" ", 1)
    route = resolve(urlsplit(address).path).route
    return TABLE[route][method] if route in TABLE else SUPERUSER


def test_a_role_is_offered_what_it_may_and_nothing_else(
    enter: Enter, alice: User, person: Callable[..., User], pages: list[str]
) -> None:
    def of(user: User, path: str) -> set[str]:
        page = enter(user, path)
        page.locator("#bell-menu").wait_for(state="attached")  # it comes after the page
        return offers(page)

    everything = {path: of(alice, path) for path in pages}
    assert {needed(offer) for found in everything.values() for offer in found} >= set(NEEDS)
    for role in READERS:
        held = {asked for asked, perm in NEEDS.items() if perm in ROLES[role]} | {ANYBODY, SIGNED_IN}
        user = person(role.partition(" ")[0].lower(), role=role)
        for path in pages:
            hers = of(user, path)
            assert {offer for offer in hers if needed(offer) not in held} == set(), role
            assert {offer for offer in everything[path] - hers if needed(offer) in held} == set(), role


def test_who_may_see_nothing_is_told_so_and_by_whom_it_is_changed(
    enter: Enter, quiet_page: Page, person: Callable[..., User], pages: list[str]
) -> None:
    user = person("dana", role="Support Agent")
    for path in pages:
        page = enter(user, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("An administrator can give it to you")
        assert {offer for offer in offers(page) if needed(offer) not in (ANYBODY, SIGNED_IN)} <= {f"GET {path}"}
    quiet_page.complaints.clear()  # type: ignore[attr-defined]  # the browser itself tells of each 403


def test_with_a_grant_on_one_no_other_is_named(
    enter: Enter, quiet_page: Page, person: Callable[..., User], registry: dict[str, Integration], pages: list[str]
) -> None:
    user = person("dana")
    for perm in (Perm.READ, Perm.OAUTH_REFRESH):
        assign_perm(perm.django_name, user, registry["zoho-sign"])
    others = [row.name for row in registry.values() if row.slug != "zoho-sign"]
    refresh = f"POST {OVERVIEW}/zoho-sign/refresh"
    for path in pages:
        page = enter(user, path)
        allowed = {offer for offer in offers(page) if needed(offer) not in (READ, ANYBODY, SIGNED_IN)}
        assert allowed <= {refresh, f"POST {TOKENS}/refresh"}
        text = page.locator("body").inner_text()
        assert [name for name in others if name in text] == []
    enter(user, OVERVIEW)
    assert refresh in offers(page)
    quiet_page.complaints.clear()  # type: ignore[attr-defined]  # a job that is nobody's is not found
