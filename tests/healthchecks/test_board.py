"""The page of API health: what it shows, to whom, at what cost."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import brotli
import pytest
from django.conf import settings
from django.http import Http404, QueryDict
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import board as boards
from healthchecks import drawing, failed, figures, rollups, traffic, uptime
from healthchecks.asked import Asked
from healthchecks.figures import Metrics
from healthchecks.models import Incident, RolledDay
from healthchecks.traffic import RANGES, Endpoint
from integrations.accounts.models import User
from integrations.models import Activity, ApiMetric, Integration
from integrations.permissions import Perm
from tests.factories import ApiMetricFactory, CheckResultFactory, IntegrationFactory

PAGE = "/admin/integrations/apis"
HTMX = {"HX-Request": "true"}
NOW = datetime(2026, 11, 25, 9, 37, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def call(integration: Integration, ago: timedelta, ms: int = 100, *, now: datetime = NOW, **fields: Any) -> ApiMetric:
    return ApiMetricFactory(integration=integration, created_at=now - ago, response_time_ms=ms, **fields)


def failing(integration: Integration, number: int, *, since: timedelta = timedelta(0)) -> None:
    for n in range(number):
        ago = since + timedelta(minutes=n + 1)
        call(integration, ago, now=timezone.now(), status_code=500, error_message=f"HTTP 500: number {n}")


def shown(page: Any) -> list[str]:
    """The failed calls on the page, by their message."""
    return re.findall(r"<p class=\"problem[^>]*>(?:HTTP 500: )?([^<]*)</p>", page.content.decode())


# --- Counting --------------------------------------------------------------------------------------------------------

CALLS = [
    ("resend", "/v1/a", timedelta(minutes=5), 100, ""),
    ("resend", "/v1/a", timedelta(hours=3), 300, "HTTP 500"),
    ("resend", "/v1/b", timedelta(hours=23, minutes=59), 500, ""),
    ("netcash", "/v1/a", timedelta(hours=10), 900, ""),
    ("resend", "/v1/a", timedelta(hours=24, minutes=1), 4000, ""),  # of the day before
    ("resend", "/v1/b", timedelta(hours=30), 4000, "HTTP 500"),
    ("resend", "/v1/a", timedelta(hours=48, minutes=1), 9000, ""),  # of neither
]


@pytest.fixture(params=["single calls", "rolled up"])
def called(request: Any, registry: dict[str, Integration]) -> Callable[..., traffic.Traffic]:
    for slug, endpoint, ago, ms, error in CALLS:
        call(registry[slug], ago, ms, endpoint=endpoint, error_message=error)
    if request.param == "rolled up":
        rollups.roll(now=NOW)

    def read(*slugs: str, key: str = "24h", **asked: Any) -> traffic.Traffic:
        pks = [registry[slug].pk for slug in slugs]
        return traffic.read(pks, RANGES[key], mark=rollups.mark(), now=NOW, **asked)

    return read


def test_a_window_has_its_own_calls_and_the_one_before_has_its_own(called: Callable[..., traffic.Traffic]) -> None:
    found = called("resend", "netcash")
    assert (found.whole.requests, found.whole.errors, found.whole.total_ms) == (4, 1, 1800)
    assert (found.before.requests, found.before.errors) == (2, 1)
    assert sorted(one.requests for one in found.by_integration.values()) == [1, 3]
    assert sum(one.requests for one in found.by_time.values()) == 4
    assert set(found.by_time) <= set(found.times)
    assert len(found.times) == 25  # the first and the last in part
    assert figures.of(found.whole).p95_ms == pytest.approx(900, rel=0.01)


def test_one_integrations_day_comes_in_quarters_of_an_hour_and_by_endpoint(
    called: Callable[..., traffic.Traffic],
) -> None:
    found = called("resend", endpoints=True)
    assert len(found.times) == 97
    assert datetime(2026, 11, 25, 6, 30, tzinfo=UTC) in found.by_time
    assert {key.path: (one.requests, one.errors) for key, one in found.by_endpoint.items()} == {
        "/v1/a": (2, 1), "/v1/b": (1, 0),
    }  # fmt: skip
    assert (found.whole.requests, found.before.requests) == (3, 2)


@pytest.mark.parametrize("endpoints", [True, False])
@pytest.mark.parametrize("key", ["24h", "7d"])
def test_of_one_endpoint_all_but_the_list_is_of_that_endpoint(
    called: Callable[..., traffic.Traffic], key: str, endpoints: bool
) -> None:
    found = called("resend", key=key, only=Endpoint("GET", "/v1/b"), endpoints=endpoints)
    assert (found.whole.requests, found.before.requests) == ((1, 1) if key == "24h" else (2, 0))
    assert len(found.by_endpoint) == (2 if endpoints else 0)


@pytest.mark.parametrize("key", list(RANGES))
def test_without_percentiles_the_sums_are_the_same(
    called: Callable[..., traffic.Traffic], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with_them = called("resend", "netcash", key=key)
    monkeypatch.setattr(traffic, "MOST_HISTOGRAMS", 0)
    without = called("resend", "netcash", key=key)
    assert without.whole.histogram == {}
    assert (without.whole.requests, without.whole.total_ms) == (with_them.whole.requests, with_them.whole.total_ms)
    assert {at: one.errors for at, one in without.by_time.items()} == {
        at: one.errors for at, one in with_them.by_time.items()
    }
    assert without.before.requests == with_them.before.requests


def test_days_are_those_of_utc(registry: dict[str, Integration]) -> None:
    """As the roll-ups are; in Johannesburg the installation's own began two hours before."""
    call(registry["resend"], timedelta(hours=9, minutes=37, seconds=12))  # 00:00
    call(registry["resend"], timedelta(hours=9, minutes=38))
    found = traffic.read([registry["resend"].pk], RANGES["90d"], mark=None, now=NOW)
    assert [at.isoformat()[:16] for at in sorted(found.by_time)] == ["2026-11-24T00:00", "2026-11-25T00:00"]


def test_availability_of_several_weighs_each_by_what_is_known_of_it() -> None:
    known = [uptime.Uptime(100.0, 90.0), uptime.Uptime(0.0, 10.0), uptime.Uptime(None, 0.0)]
    assert uptime.together(known) == 90
    assert uptime.together([uptime.Uptime(None, 0.0)]) is None


# --- Drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([None, None], ""),
        ([1, 2, 3], "M0.0 22.0L48.0 12.0L96.0 2.0"),
        ([5, 5], "M0.0 12.0L96.0 12.0"),
        ([1, None, 3], "M0.0 22.0h.01M96.0 2.0h.01"),
        ([None, 1, 3], "M48.0 22.0L96.0 2.0"),
    ],
)
def test_a_sparkline_has_gaps_where_nothing_was_measured(values: list[float | None], path: str) -> None:
    assert drawing.sparkline(values) == path


def test_a_long_sparkline_has_as_many_points_as_can_be_told_apart() -> None:
    assert drawing.sparkline([float(n) for n in range(168)]).count(" ") <= drawing.MOST_POINTS


@pytest.mark.parametrize("percentiles", [True, False])
def test_a_chart_has_nothing_where_nothing_was_measured(percentiles: bool) -> None:
    times = [NOW, NOW + timedelta(hours=1)]
    metrics = Metrics(4, 120.4, 25.0, 1, 100.0, 300.0)
    chart = drawing.chart(times, {times[0]: metrics}, step=3600, percentiles=percentiles)
    data = json.loads(chart.data)
    lines = {one["label"]: one["values"] for one in data["series"]}
    assert lines == ({"p95": [300, None], "p50": [100, None]} if percentiles else {"Average": [120, None]}) | {
        "Errors": [1, None]
    }
    assert data["zone"] == "Africa/Johannesburg"
    assert [point.at for point in chart.points] == [NOW]


# --- The page --------------------------------------------------------------------------------------------------------


def test_what_the_address_says_that_is_not_ours_is_as_if_it_were_not_there() -> None:
    asked = Asked.of(QueryDict("range=2y&sort=name&endpoint=GET /x&integration="))
    assert asked == Asked()
    assert asked.query() == ""
    told = Asked.of(QueryDict("integration=resend&range=7d&endpoint=GET+/v1/a&sort=slow"))
    assert told.only == Endpoint("GET", "/v1/a")
    assert told.query(endpoint="", sort="calls") == "integration=resend&range=7d"


def test_the_board_tells_of_the_window_and_of_the_one_before(alice: User, registry: dict[str, Integration]) -> None:
    for n in range(4):
        call(registry["resend"], timedelta(hours=n), 200, error_message="HTTP 500" if n else "")
        call(registry["resend"], timedelta(hours=25 + n), 100)
    board = boards.read(alice, Asked(), now=NOW)
    told = {one.key: (one.value, one.change) for one in board.figures}
    assert told["response"] == ("200", "+100 ms on the 24 h before")
    assert told["errors"] == ("75", "+75.00 pt on the 24 h before")
    assert told["calls"] == ("4", "4 in the 24 h before")
    assert told["availability"] == ("", "")  # nobody ever looked
    lines = {line.integration.slug: line for line in board.lines}
    assert lines["resend"].missed == {"errors"}
    assert lines["netcash"].metrics.total == 0
    assert len(lines) == 10


def test_nothing_called_is_said_and_nothing_is_nought(client: Client, alice: User) -> None:
    client.force_login(alice)
    page = client.get(PAGE).content.decode()
    assert "Nothing was called" in page
    assert "data-metric-chart" not in page
    assert "No call failed" in page
    assert "No incident" in page


def test_quotas_are_yellow_from_80_and_red_from_95_percent(alice: User, registry: dict[str, Integration]) -> None:
    for slug, remaining in (("zoho-crm", 190), ("zoho-desk", 40), ("didit-kyc", 500)):
        call(
            registry[slug], timedelta(seconds=5), rate_limit_remaining=remaining, rate_limit_limit=1000,
            rate_limit_reset_at=NOW + timedelta(minutes=5),
        )  # fmt: skip
    quotas = {line.integration.slug: line for line in boards.read(alice, Asked(), now=NOW).quotas}
    assert [(quotas[slug].used, quotas[slug].tone) for slug in ("zoho-crm", "zoho-desk", "didit-kyc")] == [
        (81, "degraded"), (96, "down"), (50, ""),
    ]  # fmt: skip
    assert "resend" not in quotas  # two a second


def test_one_integration_shows_why_it_is_as_it_is_and_its_endpoints(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    layers = [{"layer": "api", "status": "down", "seen": "HTTP <500>", "rule": "api_failing"}, "nonsense"]
    CheckResultFactory(integration=registry["resend"], status="down", rule="api_failing", layers=layers)
    for n, path in enumerate(["/v1/a", "/v1/a", "/v1/b"]):
        call(registry["resend"], timedelta(minutes=n), 100 * n, now=timezone.now(), endpoint=path)
    client.force_login(alice)
    page = client.get(f"{PAGE}?integration=resend&sort=slow").content.decode()
    assert "api failing" in page
    assert "HTTP &lt;500&gt;" in page
    assert "status page" in page  # what to do about it
    paths = re.findall(r"</span>(/v1/\w)</code></a></th>", page)
    assert paths == ["/v1/b", "/v1/a"]
    assert f"{PAGE}/resend/thresholds" in page
    assert "/api/admin/integrations/health/resend/metrics.csv" in page
    assert 'id="lines"' not in page
    narrowed = client.get(f"{PAGE}?integration=resend&endpoint=GET+/v1/b").content.decode()
    assert re.search(r'id="figure-calls".*?tabular-nums">\s*1<', narrowed, re.DOTALL)


def test_an_integration_that_one_may_not_see_is_not_there(
    client: Client, charlie: User, registry: dict[str, Integration]
) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    failing(registry["netcash"], 2)
    failing(registry["resend"], 1)
    Incident.objects.create(
        integration=registry["netcash"], opened_at=timezone.now(), worst_status="down", cause="Secret"
    )
    client.force_login(charlie)
    page = client.get(PAGE)
    assert shown(page) == ["number 0"]
    assert b"NetCash" not in page.content
    assert b"Secret" not in page.content
    assert b"/check" not in page.content
    assert client.get(f"{PAGE}?integration=netcash").status_code == 404
    with pytest.raises(Http404):
        boards.read(charlie, Asked(integration="netcash"), now=NOW)


@pytest.fixture
def crowd(registry: dict[str, Integration]) -> int:
    """Three hundred, each called now and again."""
    rows = Integration.objects.bulk_create(IntegrationFactory.build(slug=f"s-{n}") for n in range(290))
    now = timezone.now()
    ApiMetric.objects.bulk_create(
        ApiMetricFactory.build(integration=row, created_at=now - timedelta(hours=hours), endpoint="/v1/a")
        for row in [*rows, *registry.values()]
        for hours in (0, 2, 30, 50)
    )
    for hours in (50, 30, 2):
        rollups.roll_hour(rollups.floor(now - timedelta(hours=hours)), now=now)
    today = now.date()
    days = [today - timedelta(days=n) for n in range(10, 1, -1)]
    RolledDay.objects.bulk_create(RolledDay(day=day, until=day + timedelta(days=1)) for day in days)
    return 300


@pytest.mark.parametrize(("who", "grants"), [("everything", 0), ("one grant each", 1)])
def test_twelve_queries_do_for_300_integrations_and_one_more_for_what_stands_around(
    client: Client, alice: User, charlie: User, crowd: int, who: str, grants: int, django_assert_max_num_queries: Any
) -> None:
    """And one to see which integrations somebody's grants are on."""
    if grants:
        assign_perm(Perm.READ.django_name, charlie, Integration.objects.all())
    client.force_login(alice if who == "everything" else charlie)
    client.get(PAGE)  # content types are cached once and for all
    for asked in ("", "?range=7d", "?range=90d", "?integration=resend", "?integration=resend&range=90d"):
        with django_assert_max_num_queries(13 + grants):
            page = client.get(PAGE + asked)
        assert page.content.count(b'<tr id="line-') == (0 if "integration" in asked else boards.MOST_LINES)
        assert page.content.count(b"<option") == crowd + 1
        with django_assert_max_num_queries(12 + grants):
            client.get(PAGE + asked, headers=HTMX)


def test_of_too_many_integrations_the_worst_are_listed(alice: User, crowd: int) -> None:
    Integration.objects.filter(slug="s-250").update(health_status="down")
    Integration.objects.filter(slug="s-249").update(health_status="degraded")
    board = boards.read(alice, Asked(), now=timezone.now())
    assert [line.integration.slug for line in board.lines[:2]] == ["s-250", "s-249"]
    assert (len(board.lines), board.lines_more) == (50, crowd - 50)


def test_one_address_gives_the_page_and_its_fragment(client: Client, alice: User) -> None:
    client.force_login(alice)
    page, fragment = client.get(PAGE), client.get(PAGE, headers=HTMX)
    assert b"<!doctype html>" in page.content
    assert b"dist/charts" in page.content
    assert b"<!doctype html>" not in fragment.content
    assert b'<hx-partial hx-target="#tools"' in fragment.content


# --- Failed calls ----------------------------------------------------------------------------------------------------


@pytest.fixture
def log(client: Client, alice: User, registry: dict[str, Integration]) -> Callable[..., Any]:
    client.force_login(alice)

    def look(query: str = "", **headers: str) -> Any:
        return client.get(f"{PAGE}?{query}", headers=headers or HTMX)

    return look


def older(page: Any) -> str:
    found = re.search(r'href="/admin/integrations/apis\?([^"]*before[^"]*)"', page.content.decode())
    return found[1].replace("&amp;", "&") if found else ""


def floor(page: Any) -> str:
    found = re.search(r'name="floor" value="([^"]*)"', page.content.decode())
    assert found
    return "floor=" + found[1].replace("+", "%2B")


@pytest.mark.parametrize("parts", [40, 1])  # each integration in order, or a day of all of them
def test_failed_calls_come_newest_first_a_page_at_a_time(
    log: Callable[..., Any], registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(failed.seek, "MOST_PARTS", parts)
    failing(registry["resend"], failed.ERRORS - 2)
    failing(registry["netcash"], 4, since=timedelta(hours=1))
    call(registry["resend"], timedelta(0), now=timezone.now())  # went well
    first = log()
    second = log(older(first))
    assert (len(shown(first)), len(shown(second))) == (failed.ERRORS, 2)
    assert shown(second) == ["number 2", "number 3"]
    assert older(second) == ""
    assert b"<!doctype html>" not in second.content
    assert b'hx-target="#more"' in second.content
    whole = log(older(first), Accept="text/html")  # without scripts
    assert b"<!doctype html>" in whole.content
    assert shown(whole) == shown(second)


def test_what_fails_while_one_reads_comes_on_top_and_nothing_drops_out(
    log: Callable[..., Any], registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(registry["resend"], failed.ERRORS + 5, since=timedelta(minutes=5))
    first = log()
    failing(registry["netcash"], 2)
    then = log(floor(first))
    assert shown(then) == ["number 0", "number 1", *shown(first)]
    assert b'hx-target="#older"' not in then.content  # what was loaded of older ones still follows on
    monkeypatch.setattr(failed, "MOST_ERRORS", failed.ERRORS)
    anew = log(floor(first))
    assert len(shown(anew)) == failed.ERRORS
    assert b'hx-target="#older"' in anew.content


def test_failed_calls_of_one_endpoint(log: Callable[..., Any], registry: dict[str, Integration]) -> None:
    failing(registry["resend"], 1)
    call(registry["resend"], timedelta(0), now=timezone.now(), endpoint="/v1/other", error_message="no answer")
    assert shown(log("integration=resend&endpoint=GET+/v1/other")) == ["no answer"]


# --- Incidents -------------------------------------------------------------------------------------------------------


def incident(integration: Integration, days: float, *, over: bool = False) -> Incident:
    opened = timezone.now() - timedelta(days=days)
    return Incident.objects.create(
        integration=integration, opened_at=opened, worst_status="down", cause="No answer.", rule="api_unreachable",
        closed_at=opened + timedelta(hours=1) if over else None,
    )  # fmt: skip


def test_open_incidents_come_first_whatever_their_age(alice: User, registry: dict[str, Integration]) -> None:
    old, recent = incident(registry["resend"], 80), incident(registry["netcash"], 2, over=True)
    incident(registry["zoho-crm"], 40, over=True)
    board = boards.read(alice, Asked(), now=timezone.now())
    assert list(board.incidents) == [old, recent]


def test_targets_are_changed_by_a_form_and_the_change_is_recorded(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    Integration.objects.filter(slug="resend").update(thresholds={"errorRate": 3.0, "uptime": 99.0})
    client.force_login(alice)
    form = client.get(f"{PAGE}/resend/thresholds").content.decode()
    assert 'value="3.0"' in form
    given = {"responseTimeMs": "800", "errorRate": "2.5", "uptime": "", "from": "22:00", "to": "06:00"}
    answer = client.post(f"{PAGE}/resend/thresholds", given, follow=True)
    assert answer.redirect_chain == [(f"{PAGE}?integration=resend", 302)]
    assert b"The targets of Resend Email are saved" in answer.content
    assert Integration.objects.get(slug="resend").thresholds == {
        "responseTimeMs": 800, "errorRate": 2.5, "quietHours": {"from": "22:00", "to": "06:00"},
    }  # fmt: skip
    row = Activity.objects.get(action="integration_changed")
    assert (row.username, row.details["after"]["thresholds"]["errorRate"]) == ("alice", "2.5")


def test_quiet_hours_are_those_of_the_installation_wherever_who_sets_them_reads(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Tokyo")
    client.force_login(alice)
    form = client.get(f"{PAGE}/resend/thresholds").content.decode()
    assert "Times are those of Africa/Johannesburg; 16 hours at most." in form


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"errorRate": "101"}, "less than or equal to 100"),
        ({"errorRate": "many"}, "valid number"),
        ({"uptime": "nan"}, "valid number"),
        ({"responseTimeMs": "0"}, "greater than or equal to 1"),
        ({"from": "22:00", "to": "22:00"}, "same time"),
        ({"from": "22:00"}, "may not be blank"),
    ],
)
def test_what_the_api_would_refuse_the_form_refuses_in_words_and_keeps_what_was_typed(
    client: Client, alice: User, registry: dict[str, Integration], given: dict[str, str], words: str
) -> None:
    client.force_login(alice)
    answer = client.post(f"{PAGE}/resend/thresholds", given)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert 'aria-invalid="true"' in page
    assert f'value="{next(iter(given.values()))}"' in page
    assert Integration.objects.get(slug="resend").thresholds == {}


def test_targets_are_for_those_who_manage_the_integration(
    client: Client, bob: User, charlie: User, registry: dict[str, Integration]
) -> None:
    client.force_login(bob)
    assert client.get(f"{PAGE}/resend/thresholds").status_code == 403
    assert b"/thresholds" not in client.get(f"{PAGE}?integration=resend").content
    for perm in (Perm.READ, Perm.MANAGE):
        assign_perm(perm.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    assert client.post(f"{PAGE}/resend/thresholds", {"errorRate": "1"}).status_code == 302
    assert client.get(f"{PAGE}/netcash/thresholds").status_code == 404


# --- Weight ----------------------------------------------------------------------------------------------------------


def test_a_page_weighs_less_than_60_kb_and_the_charts_less_than_30() -> None:
    dist = Path(settings.BASE_DIR) / "static/dist"
    others = {"admin.css", "docs.css", "docs.js", "passkeys.js"}  # of other pages
    parts = [path for path in dist.iterdir() if path.suffix in (".js", ".css") and path.name not in others]
    size = {path.name: len(brotli.compress(path.read_bytes())) for path in parts}
    assert size.pop("charts.js") <= 30 * 1024
    assert set(size) == {"app.js", "theme.js", "app.css"}
    assert sum(size.values()) <= 60 * 1024
