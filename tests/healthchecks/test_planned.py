"""The page of planned work: what it lists, what its form says before it is declared, and who may do what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import planned
from healthchecks.models import Incident, Maintenance
from integrations.models import Activity

pytestmark = pytest.mark.django_db

PAGE = "/admin/integrations/apis/maintenance"
DECLARE = f"{PAGE}/declare"
HTMX = {"HX-Request": "true"}
HOUR = timedelta(hours=1)


@pytest.fixture
def web(client: Client, alice) -> Client:
    client.force_login(alice)
    return client


def work(integration=None, *, begins: timedelta = -HOUR, lasts: timedelta = 2 * HOUR, reason: str = "DNS moves"):
    starts_at = timezone.now() + begins
    return Maintenance.objects.create(
        integration=integration, starts_at=starts_at, ends_at=starts_at + lasts, reason=reason, username="alice"
    )


def told(web: Client, path: str = PAGE, **more: Any) -> str:
    return web.get(path, **more).content.decode()


def local(moment: datetime) -> str:
    """As a browser's field writes it."""
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"


# --- The list --------------------------------------------------------------------------------------------------------


def test_what_goes_on_stands_before_what_is_to_come_and_what_is_over(web, registry):
    work(registry["resend"], begins=-3 * HOUR, lasts=HOUR, reason="Was")
    work(registry["resend"], begins=HOUR, reason="Will be")
    work(reason="Is")
    page = told(web)
    assert page.index("Under way") < page.index("Is</p>") < page.index("Will be</p>") < page.index("Was</p>")
    assert "All integrations" in page
    assert "(2 h)" in page


def test_without_any_it_says_that_nothing_is_kept_quiet(web):
    assert "Nothing is kept quiet" in told(web)


def test_what_began_meanwhile_is_named_a_few_and_counted(web, registry):
    now, row = timezone.now(), work()
    for n, slug in enumerate(["resend", "netcash", "zoho-crm", "zoho-sign", "zoho-desk"]):
        opened_at = now - timedelta(minutes=30 - n)
        Incident.objects.create(integration=registry[slug], opened_at=opened_at, worst_status="down", cause="?")
    before = Incident.objects.create(
        integration=registry["clickatell"], opened_at=row.starts_at - HOUR, worst_status="down", cause="?"
    )
    page = told(web)
    assert page.count("/admin/integrations/incidents/") == 3
    assert "2 more" in page
    assert str(before.pk) not in page


def test_older_ones_come_a_page_at_a_time(web, registry, monkeypatch):
    monkeypatch.setattr(planned, "PER_PAGE", 2)
    for n in range(3):
        work(registry["resend"], begins=-(n + 3) * HOUR, lasts=HOUR, reason=f"Work {n}")
    page = told(web)
    older = page.partition(f'hx-get="{PAGE}?')[2].partition('"')[0].replace("&amp;", "&")
    assert "Work 2" not in page
    more = told(web, f"{PAGE}?{older}", headers=HTMX)
    assert "Work 2" in more
    assert "Work 1" not in more
    assert "<html" not in more


def test_what_ends_meanwhile_comes_on_top_and_nothing_drops_out_below(web, registry, monkeypatch):
    monkeypatch.setattr(planned, "PER_PAGE", 2)
    for n in range(4):
        work(registry["resend"], begins=-(n + 3) * HOUR, lasts=HOUR, reason=f"Work {n}")
    page = told(web)
    floor = page.partition('name="floor"')[2].partition('value="')[2].partition('"')[0]
    assert 'hx-include="#floor"' in page
    work(registry["resend"], begins=-HOUR, lasts=HOUR / 2, reason="Ended meanwhile")
    polled = web.get(PAGE, {"floor": floor}, headers=HTMX).content.decode()
    for reason in ("Ended meanwhile", "Work 0", "Work 1"):
        assert reason in polled
    assert "Work 2" not in polled  # that stands below, or comes by the button
    assert 'hx-target="#more"' not in polled  # what was loaded below stays, and the button too
    monkeypatch.setattr(planned, "MOST_OVER", 2)
    polled = web.get(PAGE, {"floor": floor}, headers=HTMX).content.decode()
    assert "Work 1" not in polled
    assert 'hx-target="#more"' in polled


def test_of_each_as_many_are_counted_as_began_in_it_however_many_the_others_have(web, registry):
    now, quiet, loud = timezone.now(), work(registry["netcash"], begins=-9 * HOUR), work(registry["resend"])
    opened_at = quiet.starts_at + HOUR
    first = Incident.objects.create(
        integration=registry["netcash"], opened_at=opened_at, closed_at=now, worst_status="down", cause="?"
    )
    Incident.objects.bulk_create(
        Incident(
            integration=registry["resend"], opened_at=loud.starts_at + timedelta(seconds=n), closed_at=now,
            worst_status="down", cause="?",
        )
        for n in range(600)
    )  # fmt: skip
    page = told(web)
    assert str(first.pk) in page
    assert "597 more" in page
    assert "without an alert" not in page  # of that nothing is known here


def test_a_grant_on_one_integration_sees_that_ones_and_not_everybodys(client, charlie, registry):
    work(reason="Everybody's")
    work(registry["resend"], reason="Its own")
    work(registry["netcash"], reason="Another's")
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    page = told(client)
    assert "Its own" in page
    assert "Everybody" not in page
    assert "Another" not in page
    assert "End now" not in page
    assert "Declare work" not in page


def test_its_queries_stay_few(web, registry, django_assert_max_num_queries):
    for n, row in enumerate(registry.values()):
        work(row, reason=f"Work {n}")
        work(row, begins=-9 * HOUR, lasts=HOUR, reason=f"Past {n}")
    told(web)
    with django_assert_max_num_queries(10):
        told(web)


# --- Declaring -------------------------------------------------------------------------------------------------------


def test_it_is_declared_in_the_readers_zone_and_recorded(web, alice, registry):
    alice.time_zone = "America/New_York"
    alice.save()
    given = {"integration": "resend", "starts_at": "2030-01-10T14:00", "ends_at": "2030-01-10T16:30", "reason": "DNS"}
    response = web.post(DECLARE, given)
    assert response.headers["Location"] == PAGE
    row = Maintenance.objects.get()
    assert (row.starts_at, row.ends_at) == (
        datetime(2030, 1, 10, 19, tzinfo=UTC), datetime(2030, 1, 10, 21, 30, tzinfo=UTC)
    )  # fmt: skip
    assert (row.integration, row.reason, row.username) == (registry["resend"], "DNS", "alice")
    assert Activity.objects.filter(action="maintenance_declared", integration_slug="resend").exists()


def test_without_a_beginning_it_begins_now_and_without_an_integration_it_is_everybodys(web):
    web.post(DECLARE, {"ends_at": local(timezone.now() + HOUR), "reason": "Network"})
    row = Maintenance.objects.get()
    assert row.integration is None
    assert abs(row.starts_at - timezone.now()) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("starts", "ends", "words"),
    [
        (2 * HOUR, HOUR, "It ends before it starts."),
        (-3 * HOUR, HOUR, "within its first hour"),
        (-HOUR / 2, -HOUR / 4, "It would be over already."),
        (HOUR, timedelta(days=20), "Work lasts 14 days at most."),
    ],
)
def test_what_the_service_refuses_is_told_at_its_field(web, starts, ends, words):
    now = timezone.now()
    given = {"starts_at": local(now + starts), "ends_at": local(now + ends), "reason": "x"}
    response = web.post(DECLARE, given)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert not Maintenance.objects.exists()


def test_before_it_is_declared_it_says_what_it_keeps_quiet_and_for_how_long(web, registry):
    now = timezone.now()
    given = {"integration": "resend", "starts_at": local(now + HOUR), "ends_at": local(now + 3 * HOUR)}
    said = told(web, DECLARE, data=given, headers=HTMX)
    assert "<html" not in said
    assert "Resend Email" in said
    assert "2 h</strong>" in said
    assert "about others too still come" in said
    everybodys = told(web, DECLARE, data=given | {"integration": ""}, headers=HTMX)
    assert "This silences every alert" in everybodys
    assert not Maintenance.objects.exists()


def test_what_cannot_be_yet_is_said_instead(web):
    now = timezone.now()
    given = {"starts_at": local(now + 3 * HOUR), "ends_at": local(now + HOUR)}
    assert "To: It ends before it starts." in told(web, DECLARE, data=given, headers=HTMX)
    assert "Say when it ends" in told(web, DECLARE, data={}, headers=HTMX)
    assert "This field is required" not in told(web, DECLARE, data={}, headers=HTMX)


def test_who_manages_one_integration_declares_for_that_one_only(client, charlie, registry):
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    client.force_login(charlie)
    form = told(client, DECLARE)
    assert "Resend Email" in form
    assert "NetCash" not in form
    given = {"ends_at": local(timezone.now() + HOUR), "reason": "x"}
    for slug in ("", "netcash"):
        assert client.post(DECLARE, given | {"integration": slug}).status_code == 422
    assert client.post(DECLARE, given | {"integration": "resend"}).status_code == 302
    assert Maintenance.objects.get().integration == registry["resend"]


# --- Ending ----------------------------------------------------------------------------------------------------------


def test_it_is_ended_now_or_taken_back_and_recorded(web, registry):
    going, coming = work(registry["resend"]), work(registry["resend"], begins=HOUR)
    assert "The work is over" in web.post(f"{PAGE}/{going.pk}/end", headers=HTMX).content.decode()
    assert "The work is taken back" in web.post(f"{PAGE}/{coming.pk}/end", headers=HTMX).content.decode()
    assert Maintenance.objects.get().ends_at <= timezone.now()
    assert Activity.objects.filter(action="maintenance_ended").count() == 2


def test_without_scripts_a_page_asks_first(web, registry):
    row = work(registry["resend"])
    page = web.post(f"{PAGE}/{row.pk}/end").content.decode()
    assert "End “DNS moves” now?" in page
    assert Maintenance.objects.get().ends_at > timezone.now()
    assert web.post(f"{PAGE}/{row.pk}/end", {"sure": "yes"}).headers["Location"] == PAGE
    assert Maintenance.objects.get().ends_at <= timezone.now()


def test_everybodys_is_ended_by_who_manages_all(client, bob, charlie, registry):
    row = work()
    client.force_login(bob)
    assert client.post(f"{PAGE}/{row.pk}/end", headers=HTMX).status_code == 403
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    client.force_login(charlie)
    assert client.post(f"{PAGE}/{row.pk}/end", headers=HTMX).status_code == 404
    assert Maintenance.objects.get().ends_at > timezone.now()


# --- Elsewhere -------------------------------------------------------------------------------------------------------


def test_it_shows_on_the_card_and_on_the_integrations_page_while_it_goes_on(web, registry):
    work(registry["resend"])
    work(registry["netcash"], begins=HOUR)
    overview = told(web, "/admin/integrations")
    assert overview.count(">planned work</span>") == 1
    assert "Planned work goes on" in told(web, "/admin/integrations/resend")
    assert "Planned work goes on" not in told(web, "/admin/integrations/netcash")


def test_everybodys_shows_on_each(web, registry):
    work()
    assert told(web, "/admin/integrations").count(">planned work</span>") == len(registry)


def test_what_no_database_takes_is_no_integration(web):
    assert "Say when it ends" in told(web, DECLARE, data={"integration": "a\x00"}, headers=HTMX)
    assert web.post(DECLARE, {"integration": "a\x00", "reason": "x\x00"}).status_code == 422
