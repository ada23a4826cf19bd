"""API health in a real browser: a chart that is read by mouse and keys, in both themes, and whole without scripts."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from playwright.sync_api import Page, expect

from integrations.accounts.models import User
from integrations.models import ApiMetric, Integration
from tests.factories import ApiMetricFactory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # pytest-base-url, which pytest-playwright brings along, isn't ready for pytest 10
    pytest.mark.filterwarnings("ignore:Session-scoped fixtures defined as instance methods"),
]

PAGE = "/admin/integrations/apis"
Enter = Callable[[User | None, str], Page]
DRAWN = """() => { // how many pixels are drawn, how many of them white
    const canvas = document.querySelector("#chart-plot canvas"), { width, height } = canvas;
    const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let drawn = 0, white = 0;
    for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 200) { drawn += 1; white += Math.min(data[i], data[i + 1], data[i + 2]) > 240; }
    return [drawn, white];
}"""
INSIDE = """() => {
    const boxes = [".chart-tooltip", "#chart-plot"].map((s) => document.querySelector(s).getBoundingClientRect());
    const [tip, plot] = boxes;
    return tip.left >= plot.left && tip.right <= plot.right && tip.top >= plot.top;
}"""


@pytest.fixture(autouse=True)
def mid_bucket() -> Iterator[None]:
    """Seven minutes into a bucket of the chart: else its newest one might begin as the page is drawn, and be empty."""
    now = timezone.now()
    began = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
    with time_machine.travel(began + timedelta(minutes=7), tick=True):
        yield


@pytest.fixture
def calls(registry: dict[str, Integration]) -> Integration:
    """A day of Resend's with a gap, and one endpoint that fails."""
    resend, now = registry["resend"], timezone.now()
    ApiMetric.objects.bulk_create(
        ApiMetricFactory.build(
            integration=resend, created_at=now - timedelta(minutes=15 * n + 1), response_time_ms=200 + 10 * (n % 9),
            endpoint=["/emails", "/domains"][n % 2], status_code=[200, 500][n % 8 == 1],
            error_message=["", "HTTP 500: oops"][n % 8 == 1],
        ) for n in range(90) if not 30 < n < 40
    )  # fmt: skip
    return resend


def test_the_chart_is_read_by_mouse_and_by_keys(enter: Enter, alice: User, calls: Integration) -> None:
    page = enter(alice, f"{PAGE}?integration=resend")
    plot, tip = page.locator("#chart-plot"), page.locator("#chart-plot .chart-tooltip")
    expect(tip).to_be_hidden()
    plot.hover()
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("p95")
    plot.focus()
    page.keyboard.press("End")
    expect(page.locator("#chart-told")).to_have_text(re.compile(r"p95 [\d,]+ ms, p50 [\d,]+ ms, Errors \d"))
    newest = tip.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(tip).not_to_have_text(newest)
    for _ in range(34):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#chart-told")).to_contain_text("p95 –")  # nothing was measured there
    assert page.evaluate(INSIDE)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_on_a_phone_uptime_latency_and_the_check_stand_under_the_name(
    enter: Enter, alice: User, calls: Integration
) -> None:
    page = enter(alice, PAGE)
    checks, row = page.get_by_role("button", name=re.compile("^Check .+ now$")), page.locator("#line-resend")
    number = Integration.objects.filter(is_active=True).count()
    for width in (1440, 834, 390):
        page.set_viewport_size({"width": width, "height": 844})
        expect(checks).to_have_count(number)  # each once: what is hidden has no role
        for one in checks.all():
            box = one.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width, width
    page.reload()  # the sidebar closes
    for words in ("Uptime 24 h", "Uptime 7 d", "Average 2"):
        expect(row.get_by_text(words)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    row.get_by_role("button", name="Check Resend Email now").click()
    expect(page.locator(".toast")).to_be_visible()


def test_the_chart_follows_theme_size_and_new_figures(
    enter: Enter, quiet_page: Page, alice: User, calls: Integration
) -> None:
    quiet_page.clock.install()
    page = enter(alice, f"{PAGE}?integration=resend")
    drawn, white = page.evaluate(DRAWN)
    assert (drawn > 1000, white) == (True, 0)
    page.get_by_role("button", name="Switch between light and dark theme").click()
    page.clock.run_for(200)
    assert page.evaluate(DRAWN)[1] > 100  # the line of p50, on black
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.querySelector('#chart-plot canvas').clientWidth < 360")
    expect(page.locator("#figure-calls")).to_contain_text("81")
    ApiMetricFactory(integration=calls, endpoint="/emails", response_time_ms=9000)
    page.clock.fast_forward(30_500)
    expect(page.locator("#figure-calls")).to_contain_text("82")
    page.locator("#chart-plot").focus()
    page.keyboard.press("End")
    expect(page.locator("#chart-told")).to_contain_text(re.compile(r"p95 [89],\d\d\d ms"))


def test_in_three_clicks_from_the_overview_to_the_call_that_fails(
    enter: Enter, alice: User, calls: Integration
) -> None:
    page = enter(alice, "/admin/integrations")
    page.get_by_role("link", name="API health").click()
    page.locator("#line-resend").get_by_role("link", name="Resend Email", exact=True).click()
    page.locator("#failed summary").first.click()
    expect(page.locator("#failed .problem").first).to_have_text("HTTP 500: oops")
    page.locator("#failed details[open]").get_by_role("link", name="GET /domains").click()
    expect(page.locator("#response")).to_contain_text("GET /domains")
    page.get_by_role("link", name="All endpoints").click()
    expect(page).to_have_url(re.compile(r"apis\?integration=resend$"))


def test_another_integration_is_chosen_in_place_and_the_address_follows(
    enter: Enter, quiet_page: Page, alice: User, calls: Integration
) -> None:
    quiet_page.clock.install()
    page = enter(alice, f"{PAGE}?range=7d")
    page.get_by_label("Integration", exact=True).select_option("Resend Email")
    expect(page.locator("#verdict")).to_contain_text("Resend Email")
    expect(page.get_by_role("link", name="Export CSV", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?integration=resend&range=7d$|\?range=7d&integration=resend$"))
    page.clock.fast_forward(30_500)  # a poll asks for what is shown, not for what was
    expect(page.locator("#verdict")).to_be_visible()
    page.get_by_role("link", name="24 h").click()
    expect(page).to_have_url(re.compile(r"apis\?integration=resend$"))


def test_without_scripts_it_is_whole(
    without_scripts: Callable[[User, str], Page], alice: User, calls: Integration
) -> None:
    page = without_scripts(alice, PAGE)
    page.get_by_label("Integration", exact=True).select_option("Resend Email")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#chart-plot")).to_be_hidden()
    page.get_by_text("Show data as a table").click()
    expect(page.get_by_role("columnheader", name="p50")).to_be_visible()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Error rate").fill("120")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Error rate")).to_have_accessible_description(re.compile("less than or equal to 100"))
    page.get_by_label("Error rate").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toaster")).to_contain_text("The targets of Resend Email are saved")
    expect(page.locator("#verdict")).to_contain_text("at most 2 %")


# --- Planned work ----------------------------------------------------------------------------------------------------


def test_work_is_declared_with_a_word_on_what_it_keeps_quiet_and_ended_after_a_question(
    enter: Enter, alice: User, registry: dict[str, Integration]
) -> None:
    page = enter(alice, PAGE)
    page.get_by_role("link", name="Planned work").click()
    page.get_by_role("link", name="Declare work").click()
    said = page.locator("#meaning")
    ends_at = timezone.localtime(timezone.now() + timedelta(hours=2, minutes=1))
    page.get_by_label("To", exact=True).fill(f"{ends_at:%Y-%m-%dT%H:%M}")
    expect(said).to_contain_text("This silences every alert")
    page.get_by_label("Integration", exact=True).select_option("resend")
    expect(said).to_contain_text("Nobody is told of what happens to Resend Email")
    expect(said).to_contain_text("for 2 h")
    page.get_by_label("What is done").fill("DNS moves")
    page.get_by_role("button", name="Declare it").click()
    page.wait_for_url(re.compile("/apis/maintenance$"))
    current, dialog = page.locator("#current-card"), page.locator("#confirm")
    expect(current).to_contain_text("DNS moves")
    current.get_by_role("button", name="End “DNS moves” now").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(current).to_contain_text("DNS moves")
    current.get_by_role("button", name="End “DNS moves” now").click()
    dialog.get_by_role("button", name="End it").click()
    expect(page.locator("#toaster")).to_contain_text("The work is over")
    expect(current).to_contain_text("Nothing is kept quiet")  # without a reload
    expect(page.locator("#over-card")).to_contain_text("DNS moves")


def test_without_scripts_work_is_declared_and_a_page_asks_before_it_is_taken_back(
    without_scripts: Callable[[User, str], Page], alice: User, registry: dict[str, Integration]
) -> None:
    page = without_scripts(alice, f"{PAGE}/maintenance/declare")
    page.get_by_role("button", name="Declare it").click()
    expect(page.get_by_role("alert")).to_contain_text("2 fields need another look")
    begins = timezone.localtime(timezone.now() + timedelta(hours=1))
    page.get_by_label("From (optional)").fill(f"{begins:%Y-%m-%dT%H:%M}")
    page.get_by_label("To", exact=True).fill(f"{begins + timedelta(hours=1):%Y-%m-%dT%H:%M}")
    page.get_by_label("What is done").fill("Network")
    page.get_by_role("button", name="Declare it").click()
    expect(page.get_by_text("The work is planned.")).to_be_visible()
    page.get_by_role("button", name="Take “Network” back").click()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("The work is taken back")).to_be_visible()
    expect(page.locator("#ahead-card")).to_have_count(0)
