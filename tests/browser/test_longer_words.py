"""A language whose words are longer than English ones, as most are: nothing bursts, and nothing is said in English."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from integrations.accounts.models import User
from integrations.cron.models import CronJob
from tests import pseudo
from tests.browser import test_pages
from tests.browser.test_pages import (
    ACTIVITY,
    ADD,
    ALERTS,
    API,
    APIS,
    DETAIL,
    FEED,
    JOBS,
    OVERVIEW,
    PEOPLE,
    STORY,
    TOKENS,
    TOO_WIDE,
    Enter,
)
from webhooks.models import WebhookLog

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

life = test_pages.life
PLACES = [
    OVERVIEW, FEED, TOKENS, STORY, ALERTS, JOBS, "job", "edit", DETAIL, ACTIVITY, APIS, API, "account", PEOPLE, ADD,
    "person",
]  # fmt: skip


@pytest.fixture(autouse=True)
def longer() -> Iterator[None]:
    with pseudo.spoken():
        yield


@pytest.mark.parametrize("path", PLACES)
def test_no_page_bursts(enter: Enter, alice: User, bob: User, life: list[WebhookLog], path: str) -> None:
    job = f"{JOBS}/{CronJob.objects.get(job_name='metrics-rollup').pk}"
    places = {"job": job, "edit": f"{job}/edit", "account": f"{OVERVIEW}/account", "person": f"{PEOPLE}/{bob.pk}"}
    page = enter(alice, places.get(path, path))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for width in (1440, 834, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(350)  # the sidebar's slide
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        # a table of many columns may be pushed sideways in its place
        assert [
            text[:200] for text in page.evaluate(TOO_WIDE.replace(".card > *", ".card > :not(.table-container)"))
        ] == [], width
