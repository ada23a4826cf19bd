"""The API of alerts."""

from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks.alerts import alarms, outbox, trials
from healthchecks.models import Alarm, Alert, AlertsSeen, Delivery
from integrations.models import Activity, Integration
from oauth.models import Grant
from tests.api.conftest import assert_problem
from tests.factories import GrantFactory, TokenFactory
from tests.healthchecks.alerts.conftest import unwell, well
from tests.healthchecks.alerts.receivers import Target

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def phone(settings):
    with Target() as running:
        settings.ALERT_TO = f"{running.url}/s3cret-path"
        yield running


def happen() -> None:
    alarms.watch(now=timezone.now())
    outbox.run_due()


@pytest.fixture
def life(registry, phone) -> dict[str, Integration]:
    """One that is down, one that was, and a grant that two share."""
    unwell(registry["clickatell"])
    happen()
    well(registry["clickatell"])
    unwell(registry["resend"])
    grant = GrantFactory(state=Grant.State.NEEDS_REAUTH)
    for slug in ("zoho-crm", "zoho-desk"):
        TokenFactory(integration=registry[slug], grant=grant)
    happen()
    return registry


def test_alarms_come_newest_first_with_who_was_told(api, life):
    answer = api.get("/alerts").json()
    first = next(row for row in answer["alarms"] if row["kind"] == "health" and row["closedAt"] is None)
    assert first["integrations"] == ["resend"]
    assert first["title"] == "Resend Email is down"
    assert "Rule: api_unreachable" in first["text"]
    assert first["severity"] == "critical"
    assert first["toldAt"].endswith("Z")
    (alert,) = first["alerts"]
    (delivery,) = alert["deliveries"]
    assert (alert["kind"], delivery["status"], delivery["attempts"], delivery["error"]) == ("opened", "sent", 1, "")
    assert delivery["route"].startswith("json://127.0.0.1")
    over = next(row for row in answer["alarms"] if row["integrations"] == ["clickatell"])
    assert over["closedAt"]
    assert [one["kind"] for one in over["alerts"]] == ["recovered", "opened"]
    assert answer["pagination"]["total"] == 3
    assert answer["unread"] == 3


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({"open": "true"}, {"Resend Email is down", "Zoho CRM and Zoho Desk must be connected again"}),
        ({"open": "false"}, {"Clickatell SMS is down"}),
        ({"integration": "zoho-desk"}, {"Zoho CRM and Zoho Desk must be connected again"}),
        ({"integration": "netcash"}, set()),
    ],
)
def test_they_are_filtered(api, life, query, titles):
    assert {row["title"] for row in api.get("/alerts", **query).json()["alarms"]} == titles


def test_a_bad_filter_is_told(api, life):
    assert_problem(api.get("/alerts", open="perhaps"), 400, "invalid")
    assert api.get("/alerts", integration="nothing").status_code == 404


def test_with_grants_on_single_integrations_the_rest_does_not_show(calling, charlie, life):
    assign_perm("integrations.read", charlie, life["zoho-desk"])
    caller = calling(charlie)
    (row,) = caller.get("/alerts").json()["alarms"]
    assert row["integrations"] == ["zoho-desk"]
    assert (row["title"], row["text"]) == ("Zoho Desk: OAuth grant", "")
    assert "Zoho CRM" not in str(row)
    assert caller.get("/alerts", integration="resend").status_code == 404


def test_why_nobody_was_told_stands_with_it(api, registry, settings):
    settings.ALERT_TO = ""
    unwell(registry["resend"])
    happen()
    (row,) = api.get("/alerts").json()["alarms"]
    assert row["held"] == "Nobody is told: ALERT_TO is not set."


def test_a_test_alert_goes_by_every_route_and_tells_what_became_of_it(api, registry, settings, phone):
    with Target() as other:
        settings.ALERT_TO, settings.ALERT_FALLBACK_TO = f"{phone.url}/s3cret-path", f"{other.url},nonsense"
        answer = api.post("/alerts/test").json()
        assert (len(phone.got), len(other.got)) == (1, 1)
    assert [row["status"] for row in answer["routes"]] == ["sent", "sent", "waiting"]
    assert answer["success"] is False
    assert "It is no route" in answer["routes"][2]["error"]
    assert "s3cret-path" not in str(answer)
    assert Alert.objects.get().username == "alice"
    activity = Activity.objects.get(action="alert_test")
    assert "s3cret-path" not in str(activity.details)
    assert not Alarm.objects.exists()


def test_a_route_that_hangs_is_not_waited_for(api, registry, phone, monkeypatch):
    import threading

    gate = threading.Event()
    monkeypatch.setattr(trials, "SECONDS", 0.1)
    monkeypatch.setattr(outbox.channels, "send", lambda *_: gate.wait(5) and "")
    answer = api.post("/alerts/test").json()
    gate.set()
    assert (answer["success"], answer["routes"][0]["status"]) == (False, "waiting")
    for thread in [one for one in threading.enumerate() if one.name == "alert-test"]:
        thread.join(5)
    assert Delivery.objects.get().status == "sent"


def test_without_a_route_there_is_nothing_to_test(api, registry):
    problem = assert_problem(api.post("/alerts/test"), 409, "no_route")
    assert "ALERT_TO" in problem["detail"]


def test_who_manages_one_integration_may_not_wake_everybody(calling, charlie, registry, phone):
    assign_perm("integrations.manage", charlie, registry["resend"])
    assert_problem(calling(charlie).post("/alerts/test"), 403, "permission_denied")
    assert phone.asked == 0
    assert Activity.objects.filter(action="permission_denied").exists()


def test_what_was_read_is_read_until_something_new_comes(api, calling, bob, life):
    assert api.get("/alerts").json()["unread"] == 3
    assert api.post("/alerts/seen").json() == {"unread": 0}
    assert calling(bob).get("/alerts").json()["unread"] == 3  # each for themselves
    unwell(life["netcash"])
    happen()
    assert api.get("/alerts").json()["unread"] == 1
    api.post("/alerts/seen")
    assert AlertsSeen.objects.count() == 1


def test_pages_and_queries_stay_few(api, registry, django_assert_max_num_queries):
    now = timezone.now()
    Alarm.objects.bulk_create(
        Alarm(
            key=f"health:{n}", kind="health", severity="warning", slugs=["resend"], title=str(n), text="",
            opened_at=now - timedelta(minutes=n), closed_at=now,
        )
        for n in range(120)
    )  # fmt: skip
    with django_assert_max_num_queries(12):
        page = api.get("/alerts", page=2, limit=50).json()
    assert [row["title"] for row in page["alarms"]] == [str(n) for n in range(50, 100)]
    older = api.get("/alerts", cursor=page["pagination"]["nextCursor"]).json()
    assert [row["title"] for row in older["alarms"]] == [str(n) for n in range(100, 120)]


# --- Quiet hours -----------------------------------------------------------------------------------------------------


def test_quiet_hours_are_set_and_taken_back(api, registry):
    hours = {"from": "22:00", "to": "06:00"}
    answer = api.patch("/resend", {"thresholds": {"quietHours": hours, "uptime": 99.9}})
    assert answer.json()["integration"]["thresholds"] == {"quietHours": hours, "uptime": 99.9}
    answer = api.patch("/resend", {"thresholds": {"quietHours": None}})
    assert answer.json()["integration"]["thresholds"] == {"uptime": 99.9}


@pytest.mark.parametrize(
    "hours",
    [
        {"from": "22:00"}, {"from": "25:00", "to": "06:00"}, {"from": "22", "to": "06"}, {"from": 22, "to": 6},
        {"from": "06:00", "to": "06:00"}, {"from": "06:00", "to": "05:00"}, {"from": "22:00", "to": "06:00", "x": 1},
        "22:00-06:00", [], {"from": "22:00:00", "to": "06:00"}, {"from": None, "to": None},
    ],
)  # fmt: skip
def test_bad_quiet_hours_are_told(api, registry, hours):
    assert api.patch("/resend", {"thresholds": {"quietHours": hours}}).status_code == 400
    assert Integration.objects.get(slug="resend").thresholds == {}
