"""The activity log as people read it: words, filters, older pages, who sees what, what the page proves, and CSV."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import activity, deeds, services, trail
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Activity, ActivityAnchor, Integration
from integrations.permissions import Perm

pytestmark = pytest.mark.django_db

PAGE = "/admin/integrations/activity"
API = "/api/admin/integrations"
HTMX = {"HX-Request": "true"}
SECOND = timedelta(seconds=1)
PIETER = Actor(username="pieter", ip_address="192.0.2.7", user_agent="Firefox", request_id="req-1")


def ids(html: str) -> list[int]:
    return [int(seq) for seq in re.findall(r'<details[^>]* id="activity-(\d+)"', html)]


def of(query: str) -> trail.Filters:
    return trail.Filters.of(QueryDict(query))


def sentence(action: str, outcome: str = "success", **details: Any) -> str:
    return deeds.sentence(Activity(action=action, outcome=outcome, details=details), "Didit KYC")


# --- Words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (sentence("login"), "signed in"),
        (sentence("login", "failure"), "could not sign in"),
        (sentence("integration_changed", after={"is_active": False}), "switched Didit KYC off"),
        (sentence("integration_changed", after={"is_active": True}, held=4), "switched Didit KYC on"),
        (sentence("integration_changed", after={"is_active": True, "x": 1}), "changed the settings of Didit KYC"),
        (sentence("oauth_changed", after={"auto_refresh": True}), "let the token of Didit KYC renew itself"),
        (sentence("oauth_refreshed", "failure"), "could not renew the token of Didit KYC"),
        (sentence("permission_denied", permission="integrations:manage"), "was refused integrations:manage"),
        (sentence("permission_denied", method="PATCH", path="/x"), "was refused PATCH /x"),
        (sentence("webhook_verification_failed", reason="{it}"), "had a delivery to Didit KYC refused: {it}"),
        (sentence("health_check"), "checked Didit KYC"),
        (sentence("something_of_tomorrow"), ""),
    ],
)  # fmt: skip
def test_an_action_is_told_in_words(told: str, words: str) -> None:
    assert told == words


def test_there_are_words_for_every_action_that_the_code_records() -> None:
    recorded: set[str] = set()
    for app in ("config", "healthchecks", "webhooks", "oauth", "integrations"):
        for path in (Path(settings.BASE_DIR) / app).rglob("*.py"):
            if "activity.record" in (code := path.read_text()):
                recorded |= set(re.findall(r'\baction="(\w+)"', code))
    recorded -= {"store_true", "append"}  # argparse's
    assert len(recorded) > 30
    assert recorded - set(deeds.DONE) == set()
    assert set(deeds.LABELS) == set(deeds.DONE)


@pytest.mark.parametrize(
    ("action", "name"), [("oauth_refreshed", "OAuth refreshed"), ("something_of_tomorrow", "Something of tomorrow")]
)
def test_an_action_has_a_name_to_choose_it_by(action: str, name: str) -> None:
    assert deeds.label(action) == name


def test_details_say_from_what_to_what() -> None:
    details = {
        "before": {"is_active": True, "metadata": {}},
        "after": {"is_active": False, "metadata": {"owner": "Ops", "tags": ["a", "b"]}},
        "held": 3,
        "until": "2026-11-22T10:00:00Z",
        "odd": "2026-99-99T10:00:00Z",
        "nothing": None,
    }
    assert deeds.changes(details) == (
        ("switched on", "yes", "no"), ("metadata: owner", "–", "Ops"), ("metadata: tags", "–", "a, b"),
    )  # fmt: skip
    assert deeds.facts(details) == (
        ("held", "3"), ("until", "22 Nov 2026, 12:00:00 SAST"), ("odd", "2026-99-99T10:00:00Z"), ("nothing", "–"),
    )  # fmt: skip


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def deed(registry: dict[str, Integration]) -> Callable[..., Activity]:
    def record(slug: str = "", *, by: str = "pieter", action: str = "health_check", **more: Any) -> Activity:
        actor = Actor(username=by, ip_address="192.0.2.7", user_agent="Firefox", request_id=more.pop("request", ""))
        return activity.record(actor=actor, action=action, integration=registry.get(slug), **more)

    return record


def test_who_switched_it_off_is_told_with_where_from(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    services.change(registry["didit-kyc"], actor=PIETER, is_active=False)
    client.force_login(alice)
    page = client.get(f"{PAGE}?integration=didit-kyc").content.decode()
    assert "switched Didit KYC off" in page
    for words in ("pieter", "192.0.2.7", "Firefox", "req-1", "switched on: yes → no"):
        assert words in page


def test_an_action_without_words_is_shown_as_it_is(client: Client, alice: User, deed: Callable[..., Activity]) -> None:
    deed("resend", action="something_of_tomorrow")
    client.force_login(alice)
    page = client.get(PAGE).content.decode()
    assert "<code" in page
    assert "something_of_tomorrow</code> · Resend Email" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [4, 3, 2, 1]),
        ("integration=resend", [3, 1]),
        ("actor=thandi", [2]),
        ("action=login", [2]),
        ("outcome=failure", [2]),
        ("outcome=nonsense", [4, 3, 2, 1]),
        ("request=r-7", [3]),
        ("from=2000-01-01&to=2000-01-02", []),
        ("from=nonsense", [4, 3, 2, 1]),
        ("integration=resend&actor=thandi", []),
    ],
)
def test_filters_stand_in_the_address(alice: User, deed: Callable[..., Activity], query: str, expected: Any) -> None:
    deed("resend")
    deed(by="thandi", action="login", outcome="failure")
    deed("resend", request="r-7")
    deed("netcash")
    found = trail.read(alice, of(query))
    assert [row.seq for row in found.rows] == expected


def test_a_day_is_a_day_here_from_its_first_to_its_last_instant(alice: User, deed: Callable[..., Activity]) -> None:
    deed("resend")
    today = f"{timezone.localtime():%Y-%m-%d}"
    filters = of(f"from={today}&to={today}")
    assert len(trail.read(alice, filters).rows) == 1
    assert filters.query() == f"from={today}&to={today}"


def test_older_entries_come_by_cursor_and_what_grows_stays_on_the_page(
    client: Client, alice: User, deed: Callable[..., Activity]
) -> None:
    for _ in range(trail.PAGE + 5):
        deed("resend")
    client.force_login(alice)
    page = client.get(PAGE).content.decode()
    assert len(ids(page)) == trail.PAGE
    older = re.findall(r'hx-get="(/admin/integrations/activity\?before=[^"]+)"', page)[0]
    assert ids(client.get(older, headers=HTMX).content.decode()) == [5, 4, 3, 2, 1]
    floor = re.findall(r'name="floor" id="floor" value="([^"]+)"', page)[0]
    deed("netcash")
    fragment = client.get(PAGE, {"floor": floor}, headers=HTMX).content.decode()
    assert ids(fragment) == list(range(trail.PAGE + 6, 5, -1))
    assert "<!doctype html>" not in fragment
    assert '<hx-partial hx-target="#older"' not in fragment  # what was loaded below stays


def test_with_a_grant_on_one_integration_only_its_entries_exist(
    client: Client, charlie: User, registry: dict[str, Integration], deed: Callable[..., Activity]
) -> None:
    for slug in ("resend", "netcash", ""):
        deed(slug)
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    assert ids(client.get(PAGE).content.decode()) == [1]
    assert ids(client.get(f"{PAGE}?integration=netcash").content.decode()) == []
    lines = list(csv.DictReader(io.StringIO(b"".join(client.get(f"{API}/activity.csv")).decode())))
    assert [line["number"] for line in lines] == ["1"]
    assert "netcash" not in client.get(PAGE).content.decode()


def test_an_empty_log_says_what_will_be_here(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert "Nothing has been done yet" in client.get(PAGE).content.decode()
    assert "Nothing matches" in client.get(f"{PAGE}?actor=nobody").content.decode()


def test_it_costs_few_queries_however_many_entries(
    client: Client, alice: User, deed: Callable[..., Activity], django_assert_max_num_queries: Any
) -> None:
    for _ in range(trail.PAGE):
        deed("resend")
    client.force_login(alice)
    client.get(PAGE)
    with django_assert_max_num_queries(10):
        client.get(PAGE)


# --- What the page proves --------------------------------------------------------------------------------------------


def test_entries_that_stand_as_they_were_written_are_proved(
    client: Client, alice: User, deed: Callable[..., Activity]
) -> None:
    for slug in ("resend", "netcash", "resend"):
        deed(slug)
    client.force_login(alice)
    page = client.get(f"{PAGE}?integration=resend").content.decode()  # their neighbours aren't shown
    assert "Each of the 2 entries shown stands as it was written" in page
    assert activity.misfits([]) == set()


def test_an_entry_that_was_changed_by_hand_is_marked(
    client: Client, alice: User, deed: Callable[..., Activity]
) -> None:
    for slug in ("resend", "netcash", "resend"):
        deed(slug)
    Activity.objects.filter(seq=2).update(username="somebody else")
    client.force_login(alice)
    page = client.get(PAGE).content.decode()
    assert "1 of the 3 entries shown does not fit the chain: #2." in page
    assert page.count("Not as written") == 1
    assert "proved" not in page


def test_what_follows_a_gap_cannot_be_proved_unless_an_anchor_of_ours_covers_it(deed: Callable[..., Activity]) -> None:
    rows = [deed("resend") for _ in range(3)]
    Activity.objects.filter(seq__lte=2).delete()
    assert activity.misfits([rows[2]]) == {3}
    forged = ActivityAnchor.objects.create(seq=2, hash=rows[1].hash, signature="0" * 64)
    assert activity.misfits([rows[2]]) == {3}
    ActivityAnchor.objects.filter(pk=forged.pk).update(signature=activity.sign_anchor(2, rows[1].hash))
    assert activity.misfits([rows[2]]) == set()


@pytest.mark.parametrize("asked", ["action=deed7", "request=r-7", "outcome=refused", "actor=person7"])
def test_what_is_rare_is_found_by_an_index(alice: User, asked: str) -> None:
    now = timezone.now()
    Activity.objects.bulk_create(
        Activity(
            seq=n, username=f"person{n % 100}", action=f"deed{n % 100}", request_id=f"r-{n}", outcome="success",
            created_at=now - n * SECOND,
        )
        for n in range(1, 3001)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE integration_activity_log")
    plan = trail.listing(alice, of(asked)).query(0, 51).explain()
    # SQLite need not see that an index of failures and refusals has all refusals; the embedded log is small.
    may_read_all = connection.vendor == "sqlite" and asked == "outcome=refused"
    assert f"activity_by_{asked.partition('=')[0]}" in plan or may_read_all, plan


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_the_export_is_filtered_and_holds_no_formulas(
    client: Client, alice: User, deed: Callable[..., Activity]
) -> None:
    deed("resend", by="=cmd()", details={"before": {"is_active": True}, "after": {"is_active": False}, "why": "x"})
    deed("netcash")
    client.force_login(alice)
    answer = client.get(f"{API}/activity.csv?integration=resend")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="activity.csv"'
    (line,) = csv.DictReader(io.StringIO(b"".join(answer).decode()))
    assert tuple(line) == trail.COLUMNS
    assert (line["actor"], line["what"]) == ("'=cmd()", "checked resend")
    assert line["details"] == "switched on: yes → no; why: x"
    assert line["at"].endswith("Z")
    assert client.get(f"{API}/activity.csv?outcome=nonsense").status_code == 400


def test_the_export_of_a_page_has_the_days_of_its_reader(
    client: Client, alice: User, deed: Callable[..., Activity]
) -> None:
    """Auckland is eleven hours ahead of the installation: its 23 November begins at 13:00 of the day before."""
    User.objects.filter(pk=alice.pk).update(time_zone="Pacific/Auckland")
    client.force_login(alice)
    for clock in ("22 10:59:59", "22 11:00:00", "23 10:59:59", "23 11:00:00"):  # UTC
        with time_machine.travel(datetime.strptime(f"2026-11-{clock}+0000", "%Y-%m-%d %H:%M:%S%z"), tick=False):
            deed("resend")
    with time_machine.travel(datetime(2026, 11, 23, 20, tzinfo=UTC), tick=False):
        page = client.get(f"{PAGE}?from=2026-11-23&to=2026-11-23").content.decode()
        (href,) = re.findall(r'href="([^"]+\.csv[^"]*)"', page)
        lines = list(csv.DictReader(io.StringIO(b"".join(client.get(unescape(href))).decode())))
    assert ids(page) == [int(line["number"]) for line in lines] == [3, 2]


def test_the_export_goes_on_over_pages(
    client: Client, alice: User, deed: Callable[..., Activity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "EXPORT_PAGE", 2)
    for _ in range(5):
        deed("resend")
    client.force_login(alice)
    text = b"".join(client.get(f"{API}/activity.csv")).decode()
    assert [line["number"] for line in csv.DictReader(io.StringIO(text))] == ["5", "4", "3", "2", "1"]


def test_the_api_filters_by_outcome_and_request(client: Client, alice: User, deed: Callable[..., Activity]) -> None:
    deed("resend", request="r-7", outcome="failure")
    deed("resend")
    client.force_login(alice)
    for query in ("outcome=failure", "request=r-7"):
        (row,) = client.get(f"{API}/activity?{query}").json()["activities"]
        assert (row["outcome"], row["requestId"]) == ("failure", "r-7")


def test_the_registry_is_exported_as_it_is_filtered(
    client: Client, alice: User, charlie: User, registry: dict[str, Integration]
) -> None:
    Integration.objects.filter(slug="resend").update(health_reason="=1+1")
    client.force_login(alice)
    text = b"".join(client.get(f"{API}.csv?category=communication&hasOAuth=false")).decode()
    lines = {line["slug"]: line for line in csv.DictReader(io.StringIO(text))}
    assert set(lines) == {"clickatell", "resend"}
    assert (lines["resend"]["healthReason"], lines["resend"]["isActive"]) == ("'=1+1", "true")
    assign_perm(Perm.READ.django_name, charlie, registry["netcash"])
    client.force_login(charlie)
    assert len(b"".join(client.get(f"{API}.csv")).decode().splitlines()) == 2


@pytest.mark.parametrize("typed", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2026-13-45T00:00:00Z"])
def test_what_somebody_typed_breaks_no_page(client: Client, alice: User, typed: str) -> None:
    activity.record(actor=PIETER, action="cron_triggered", details={"job": "x", "reason": typed})
    client.force_login(alice)
    assert typed in client.get(PAGE).content.decode()


@pytest.mark.parametrize("query", ["from=0001-01-01", "to=9999-12-31", "from=1969-12-31"])
def test_a_day_that_no_database_knows_filters_nothing(client: Client, alice: User, query: str) -> None:
    client.force_login(alice)
    assert client.get(f"{PAGE}?{query}").status_code == 200
    assert not of(query)
