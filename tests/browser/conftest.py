"""A real browser against a live server; what it may not see is any complaint in its console."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations.accounts.models import User

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's event loop runs in the test's own thread

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong

TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation",
  (e) => console.error("CSP " + e.violatedDirective + " " + e.blockedURI + " " + e.sample))"""

# Sixty seconds without an answer and htmx gives a request up: the clock of a test leaps over them, its server doesn't.
PATIENT = """document.addEventListener("DOMContentLoaded", () => {
  if (globalThis.htmx) htmx.config.defaultTimeout = 0 })"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last of all, whatever the shuffle: that event loop runs on to the end, and Django's test client refuses one."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's chromium instead of a download of Playwright's own; root in a container needs --no-sandbox."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
    return browser_type_launch_args | {
        "executable_path": os.environ.get("CHROMIUM", "/usr/bin/chromium"),
        "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *quiet],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {
        "viewport": {"width": 1440, "height": 900},
        "reduced_motion": "reduce",
        "locale": "en-ZA",
        "timezone_id": "Africa/Johannesburg",
    }


@pytest.fixture
def quiet_page(transactional_db: None, live_server: LiveServer, page: Page) -> Iterator[Page]:
    """A page that fails its test on any console error, uncaught exception or violation of the Content-Security-Policy.

    A test that provokes one takes it off `page.complaints`.
    """
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(TELL_VIOLATIONS)
    page.add_init_script(PATIENT)
    page.complaints = complaints  # type: ignore[attr-defined]  # for the tests' own use
    page.set_default_timeout(20_000)
    yield page
    assert complaints == []


@pytest.fixture
def enter(quiet_page: Page, live_server: LiveServer) -> Callable[..., Page]:
    """`enter(alice, "/admin/integrations")`: that page, as she sees it."""

    def go(user: User | None, path: str) -> Page:
        if user:
            quiet_page.context.add_cookies([session_of(user, live_server)])
        quiet_page.goto(live_server.url + path, wait_until="networkidle")
        return quiet_page

    return go


@pytest.fixture
def without_scripts(
    transactional_db: None, browser: Browser, live_server: LiveServer
) -> Iterator[Callable[..., Page]]:
    """The same for a browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})

    def go(user: User, path: str) -> Page:
        context.add_cookies([session_of(user, live_server)])
        page = context.new_page()
        page.goto(live_server.url + path)
        return page

    yield go
    context.close()


def session_of(user: User, live_server: LiveServer) -> Any:
    client = Client()
    client.force_login(user)
    return {
        "name": settings.SESSION_COOKIE_NAME,
        "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
        "url": live_server.url,
    }
