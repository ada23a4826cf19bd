"""The page, the bell, the test; and that no secret of a route shows anywhere."""

import logging
import re
from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.views import debug
from guardian.shortcuts import assign_perm

from config import logs
from healthchecks.alerts import alarms, outbox
from healthchecks.models import Alarm, Alert, AlertsSeen, Delivery, Maintenance
from integrations.models import Activity
from tests.config.test_access import routes
from tests.healthchecks.alerts.conftest import unwell, well

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/integrations/alerts"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def web(client: Client, alice) -> Client:
    client.force_login(alice)
    return client


def page(web: Client, path: str = PAGE, **more: object) -> str:
    return web.get(path, **more).content.decode()


def test_the_page_says_where_nothing_is_amiss_and_nobody_would_be_told(web, registry):
    told = page(web)
    assert "Nothing is amiss" in told
    assert "Set <code>ALERT_TO</code>" in told


def test_open_ones_stand_on_top_and_what_is_over_below(web, registry, to_phone, turn):
    unwell(registry["clickatell"])
    turn()
    well(registry["clickatell"])
    unwell(registry["resend"])
    turn()
    told = page(web)
    assert told.index("Resend Email is down") < told.index("over-title") < told.rindex("Clickatell SMS is down")
    assert "json://127.0.0.1" in told
    assert "ALERT_TO" not in told


def test_a_poll_gets_the_lists_and_older_ones_come_after(web, registry):
    now = timezone.now()
    Alarm.objects.bulk_create(
        Alarm(key=f"k{n}", kind="job", severity="warning", slugs=[], title=f"Alarm {n:02}", text="", opened_at=now,
              closed_at=now)
        for n in range(60)
    )  # fmt: skip
    fragment = web.get(PAGE, headers=HTMX)
    assert "<html" not in fragment.content.decode()
    assert fragment.headers["Vary"].find("HX-Request") >= 0
    whole = page(web)
    older = whole.partition('hx-get="/admin/integrations/alerts?')[2].partition('"')[0].replace("&amp;", "&")
    more = page(web, f"{PAGE}?{older}", headers=HTMX)
    shown = {title for title in (f"Alarm {n:02}" for n in range(60)) if title in whole}
    rest = {title for title in (f"Alarm {n:02}" for n in range(60)) if title in more}
    assert (len(shown), len(rest), len(shown | rest)) == (50, 10, 60)


def test_the_bell_counts_what_is_new_until_it_is_opened(web, alice, registry, to_phone, turn):
    assert 'aria-label="Alerts"' in page(web, f"{PAGE}/bell")
    unwell(registry["resend"])
    turn()
    told = page(web, f"{PAGE}/bell")
    assert 'aria-label="Alerts, 1 unread"' in told
    assert f"{PAGE}#alarm-{Alarm.objects.get().pk}" in told
    assert "unread" not in web.post(f"{PAGE}/seen").content.decode()
    assert AlertsSeen.objects.get().user == alice


def test_the_bell_holds_what_is_open_though_much_has_come_since(web, registry, to_phone, turn):
    unwell(registry["resend"])
    turn()
    now = timezone.now()
    Alarm.objects.bulk_create(
        Alarm(key=f"k{n}", kind="job", severity="warning", title=f"Later {n}", text="", opened_at=now, closed_at=now)
        for n in range(120)
    )
    told = page(web, f"{PAGE}/bell")
    assert "Resend Email is down" in told
    assert told.count("Later ") == 7
    assert "99+" in told


def test_the_bell_has_the_worst_on_top_then_the_newest(web):
    now = timezone.now()
    for minutes, severity in ((30, "critical"), (20, "warning"), (10, "critical"), (0, "warning")):
        opened_at = now - timedelta(minutes=minutes)
        Alarm.objects.create(
            key=f"k{minutes}", kind="job", severity=severity, title=f"Alarm {minutes:02}", text="", opened_at=opened_at
        )
    assert re.findall(r"Alarm \d\d", page(web, f"{PAGE}/bell")) == ["Alarm 10", "Alarm 30", "Alarm 00", "Alarm 20"]


def test_who_may_read_nothing_has_an_empty_bell(client, charlie, registry, to_phone, turn):
    unwell(registry["resend"])
    turn()
    client.force_login(charlie)
    assert client.get(f"{PAGE}/bell").status_code == 204
    assert client.get(PAGE).status_code == 403
    assign_perm("integrations.read", charlie, registry["netcash"])
    assert "Resend" not in page(client, f"{PAGE}/bell")
    assert "Resend" not in page(client)
    assign_perm("integrations.read", charlie, registry["resend"])
    charlie.__dict__.pop("_granted", None)
    assert "Resend Email is down" in page(client, f"{PAGE}/bell")
    assert "Send a test" not in page(client)
    assert "Routes" not in page(client)


def test_what_is_down_and_not_told_yet_is_said_with_how_many_checks_it_has_had(web, registry, to_phone, turn):
    unwell(registry["mtn-coverage"], failures=1)
    unwell(registry["resend"], failures=2, status="degraded", rule="api_slow")
    Maintenance.objects.create(
        integration=registry["netcash"], starts_at=timezone.now(), ends_at=timezone.now() + timedelta(hours=1),
        reason="Planned", username="alice",
    )  # fmt: skip
    unwell(registry["netcash"], failures=1)
    turn()
    since = f"{timezone.localtime() - timedelta(minutes=30):%a %H:%M}"
    told, rung = re.sub(r"<[^>]+>", "", page(web)), page(web, f"{PAGE}/bell")
    assert f"MTN Coverage is down since {since}, nobody told yet: 1 of 3 checks." in told
    assert f"Resend Email is degraded since {since}, nobody told yet: 2 of 3 checks." in told
    assert "NetCash" not in told
    assert "Nothing is amiss" not in told
    assert "MTN Coverage is down, nobody told yet" in rung
    unwell(registry["mtn-coverage"], failures=3)
    turn()
    told = re.sub(r"<[^>]+>", "", page(web))
    assert "MTN Coverage is down since" not in told  # it has its own row now
    assert "Resend Email is degraded since" in told
    assert "MTN Coverage is down, nobody told yet" not in page(web, f"{PAGE}/bell")


def test_what_is_not_told_yet_is_said_to_who_may_see_it(client, charlie, registry):
    for slug in ("mtn-coverage", "resend"):
        unwell(registry[slug], failures=1)
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert "Resend Email</a> is down" in page(client)
    assert "MTN Coverage" not in page(client)
    assert "MTN Coverage" not in page(client, f"{PAGE}/bell")


def test_a_few_queries_are_enough(web, registry, to_phone, turn, django_assert_max_num_queries):
    for slug in registry:
        unwell(registry[slug])
    turn()
    with django_assert_max_num_queries(12):
        page(web, f"{PAGE}/bell")
    with django_assert_max_num_queries(25):
        page(web)


def test_the_test_button_says_what_became_of_it(web, registry, to_phone):
    told = web.post(f"{PAGE}/test", headers=HTMX).content.decode()
    assert "Sent by 1 of 1 route" in told
    assert len(to_phone.got) == 1
    assert "This is a test alert." in to_phone.got[0]["message"]
    assert "alice asked for it" in to_phone.got[0]["message"]
    assert "Sent" in page(web).partition("ways-title")[2]


def test_without_scripts_a_page_asks_first(web, registry, to_phone):
    assert "Send a test alert?" in web.post(f"{PAGE}/test").content.decode()
    assert to_phone.asked == 0
    assert web.post(f"{PAGE}/test", {"sure": "yes"}).status_code == 302
    assert len(to_phone.got) == 1


def test_where_nobody_would_be_told_the_test_says_so(web, registry):
    assert "set ALERT_TO" in web.post(f"{PAGE}/test", headers=HTMX).content.decode()


# --- No secret of a route --------------------------------------------------------------------------------------------

SECRETS = ("hidden-path", "hidden-user", "hidden-password", "operations-team", "820000777")


@pytest.fixture
def lived(registry, settings, phone, caplog, person):
    """Routes full of secrets, sent by, failed by and tested, with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    settings.ALERT_TO = (
        f"mailto:operations-team@example.com,json://hidden-user:hidden-password@{phone.url[7:]}/hidden-path"
    )
    settings.ALERT_FALLBACK_TO = "sms:+27820000777,slack://hidden-path/hidden-user/hidden-password/"
    settings.DEADMAN_URL = "http://127.0.0.1:9/hidden-path"
    unwell(registry["netcash"])
    for answer in (500, 200):
        phone.answer = answer
        alarms.watch(now=timezone.now())
        outbox.run_due()
        Delivery.objects.filter(status="waiting").update(due_at=timezone.now())
    assert Delivery.objects.exclude(error="").exists()
    client = Client()
    client.force_login(person("root", is_superuser=True, is_staff=True))
    return client


def test_no_page_no_answer_no_table_and_no_log_holds_one(lived, caplog):
    from config import schedule

    seen = [lived.post(f"{PAGE}/test", {"sure": "yes"}).content.decode()]
    schedule.deadman.call()
    for route in routes():
        response = lived.get(f"/{route}") if "<" not in route else None
        if response is not None and not response.streaming:
            seen.append(response.content.decode(errors="replace"))
    for model in (Alarm, Alert, Delivery, Activity):
        if model in site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            seen.append(lived.get(reverse(f"{name}_changelist")).content.decode())
            seen += [
                lived.get(reverse(f"{name}_change", args=[row.pk])).content.decode() for row in model.objects.all()
            ]
        seen.append(str(list(model.objects.values())))
    seen += [logs.Line().format(one) for one in caplog.records if one.name != "apprise"]
    seen.append(str(debug.get_default_exception_reporter_filter().get_safe_settings()))
    assert any("json://127.0.0.1" in text for text in seen)
    for text in seen:
        assert [secret for secret in SECRETS if secret in text] == []


def test_the_list_of_routes_has_none_in_its_repr(lived):
    from healthchecks.alerts.routes import configured

    assert [secret for secret in SECRETS if secret in repr(configured())] == []
