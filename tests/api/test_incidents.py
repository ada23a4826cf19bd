"""Incidents and planned work by the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from guardian.shortcuts import assign_perm

from healthchecks import incidents
from healthchecks.models import Alarm, Alert, CheckResult, Delivery, Incident, IncidentNote, Maintenance, StatusChange
from integrations.accounts.models import User
from integrations.models import Activity, Integration
from oauth.models import TokenEvent
from tests.api.conftest import assert_problem

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
OVER = BEGAN + timedelta(hours=2)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def incident(registry: dict[str, Integration]) -> Incident:
    """Two hours of Zoho CRM's night, with all that is written down in such a night."""
    crm = registry["zoho-crm"]
    found = [("healthy", "checks_passed"), ("down", "api_unreachable"), ("down", "api_unreachable"),
             ("down", "grant_dead"), ("healthy", "checks_passed")]  # fmt: skip
    for n, (status, rule) in enumerate(found):
        CheckResult.objects.create(
            integration=crm, status=status, rule=rule, reason=f"reason {n}", trigger="sweep",
            created_at=BEGAN - MINUTE + n * 15 * MINUTE,
        )  # fmt: skip
    for at, old, new in ((BEGAN, "healthy", "down"), (OVER, "down", "healthy")):
        StatusChange.objects.create(integration=crm, old_status=old, new_status=new, reason="why", at=at)
    TokenEvent.objects.create(
        integration=crm, kind="refresh_failed", at=BEGAN + 40 * MINUTE, actor="system", detail="gone"
    )
    TokenEvent.objects.create(integration=crm, kind="refreshed", at=BEGAN + 41 * MINUTE, actor="system")
    TokenEvent.objects.create(integration=crm, kind="connected", at=OVER - MINUTE, actor="alice")
    alarm = Alarm.objects.create(
        key="health:zoho-crm", kind="health", severity="critical", integration=crm, slugs=["zoho-crm"],
        title="Zoho CRM is down", text="…", opened_at=BEGAN + 30 * MINUTE, closed_at=OVER,
    )  # fmt: skip
    alert = Alert.objects.create(
        alarm=alarm, integration=crm, kind="opened", severity="critical", subject="Zoho CRM is down", text="…",
        created_at=BEGAN + 31 * MINUTE,
    )  # fmt: skip
    Delivery.objects.create(
        alert=alert, route="mailto:o…@example.com", position=0, status="sent", sent_at=BEGAN + 31 * MINUTE
    )
    Maintenance.objects.create(
        integration=None, starts_at=BEGAN + 50 * MINUTE, ends_at=BEGAN + 60 * MINUTE, reason="new firewall",
        username="bob",
    )  # fmt: skip
    row = Incident.objects.create(
        integration=crm, opened_at=BEGAN, closed_at=OVER, worst_status="down", cause="gone", rule="grant_dead",
        root="grant:1",
    )  # fmt: skip
    IncidentNote.objects.create(incident=row, username="alice", text="Reconnected it.", at=OVER)
    return row


def test_an_incident_tells_its_story_in_order(api: Any, incident: Incident) -> None:
    told = api.get(f"/incidents/{incident.pk}").json()["incident"]
    assert (told["integrationSlug"], told["durationSeconds"], told["rule"]) == ("zoho-crm", 7200, "grant_dead")
    assert [(one["kind"], one["title"]) for one in told["timeline"]] == [
        ("status", "Became down"),
        ("finding", "api unreachable"),
        ("alert", "Zoho CRM is down"),
        ("token", "Token not renewed"),
        ("finding", "grant dead"),
        ("work", "Planned work begins"),
        ("work", "Planned work is over"),
        ("token", "Token connected"),
        ("status", "Became healthy"),
        ("note", "alice"),
    ]
    alert = next(one for one in told["timeline"] if one["kind"] == "alert")
    assert alert["text"] == "Told by mailto:o…@example.com."


def test_those_that_went_down_of_the_same_cause_are_named_if_they_may_be_seen(
    api: Any, calling: Any, charlie: User, incident: Incident, registry: dict[str, Integration]
) -> None:
    for slug, opened in (("zoho-sign", BEGAN + MINUTE), ("zoho-desk", OVER + MINUTE)):
        Incident.objects.create(
            integration=registry[slug], opened_at=opened, worst_status="down", cause="gone", root="grant:1"
        )
    assert api.get(f"/incidents/{incident.pk}").json()["incident"]["sharedWith"] == ["zoho-sign"]
    assign_perm("integrations.read", charlie, registry["zoho-crm"])
    assert calling(charlie).get(f"/incidents/{incident.pk}").json()["incident"]["sharedWith"] == []


def test_lists_newest_first_of_one_and_of_all(api: Any, incident: Incident, registry: dict[str, Integration]) -> None:
    with time_machine.travel(OVER, tick=False):
        running = Incident.objects.create(
            integration=registry["resend"], opened_at=OVER - 5 * MINUTE, worst_status="degraded", cause="slow"
        )
        found = api.get("/incidents").json()
        assert [(one["id"], one["durationSeconds"]) for one in found["incidents"]] == [
            (str(running.pk), 300), (str(incident.pk), 7200),
        ]  # fmt: skip
    assert found["pagination"]["total"] == 2
    assert [one["id"] for one in api.get("/incidents", open="true").json()["incidents"]] == [str(running.pk)]
    assert [one["id"] for one in api.get("/incidents", open="false").json()["incidents"]] == [str(incident.pk)]
    assert len(api.get("/health/zoho-crm/incidents").json()["incidents"]) == 1
    assert api.get("/health/netcash/incidents").json()["incidents"] == []
    assert_problem(api.get("/incidents", open="perhaps"), 400, "invalid")


def test_a_note_is_kept_with_its_author_and_told_in_the_log(api: Any, incident: Incident) -> None:
    made = api.post(f"/incidents/{incident.pk}/notes", {"text": "It was us."}).json()["note"]
    assert (made["author"], made["text"]) == ("alice", "It was us.")
    assert [note["text"] for note in api.get(f"/incidents/{incident.pk}").json()["incident"]["notes"]] == [
        "Reconnected it.", "It was us.",
    ]  # fmt: skip
    assert Activity.objects.get(action="incident_noted").integration_slug == "zoho-crm"
    for bad in ({}, {"text": ""}, {"text": "x" * 4001}, {"text": "x", "author": "bob"}):
        assert_problem(api.post(f"/incidents/{incident.pk}/notes", bad), 400, "invalid")


def test_who_may_only_look_writes_no_note_and_who_may_not_look_finds_nothing(
    calling: Any, bob: User, charlie: User, incident: Incident, registry: dict[str, Integration]
) -> None:
    assert_problem(calling(bob).post(f"/incidents/{incident.pk}/notes", {"text": "x"}), 403, "permission_denied")
    assign_perm("integrations.manage", charlie, registry["netcash"])
    assign_perm("integrations.read", charlie, registry["netcash"])
    theirs = calling(charlie)
    assert theirs.get("/incidents").json()["incidents"] == []
    assert_problem(theirs.get(f"/incidents/{incident.pk}"), 404, "not_found")
    assert_problem(theirs.post(f"/incidents/{incident.pk}/notes", {"text": "x"}), 404, "not_found")


def test_a_page_of_incidents_asks_the_same_few_questions(
    api: Any, registry: dict[str, Integration], django_assert_max_num_queries: Any
) -> None:
    for n in range(50):
        Incident.objects.create(
            integration=registry["resend"], opened_at=BEGAN + n * MINUTE, closed_at=BEGAN + (n + 1) * MINUTE,
            worst_status="down", cause="x", root="grant:1",
        )  # fmt: skip
    with django_assert_max_num_queries(12):
        assert len(api.get("/incidents", limit=50).json()["incidents"]) == 50


def shared_alarm(slugs: list[str], alone: Integration | None = None) -> Alarm:
    """A grant that died with all of these; told a minute after the incident began."""
    title = "Zoho CRM and Zoho Desk must be connected again"
    now_titled = title if len(slugs) > 1 else "Zoho CRM must be connected again"
    alarm = Alarm.objects.create(
        key="grant:1", kind="grant", severity="critical", integration=None, slugs=slugs, title=now_titled,
        text="…", opened_at=BEGAN,
    )  # fmt: skip
    Alert.objects.create(
        alarm=alarm, integration=alone, kind="opened", severity="critical", subject=f"[X] {title}", text="…",
        created_at=BEGAN + MINUTE,
    )  # fmt: skip
    return alarm


def told_in(caller: Any, incident: Incident) -> list[str]:
    timeline = caller.get(f"/incidents/{incident.pk}").json()["incident"]["timeline"]
    return [one["title"] for one in timeline if one["kind"] == "alert"]


def test_an_alert_about_several_stands_in_the_story_of_each(api: Any, incident: Incident) -> None:
    shared_alarm(["zoho-crm", "zoho-desk"])
    assert told_in(api, incident) == ["[X] Zoho CRM and Zoho Desk must be connected again", "Zoho CRM is down"]


@pytest.mark.parametrize("slugs", [["zoho-crm", "zoho-desk"], ["zoho-crm"]], ids=["about both", "by now about one"])
def test_of_an_alert_about_others_too_only_that_it_was_is_shown(
    calling: Any, charlie: User, incident: Incident, registry: dict[str, Integration], slugs: list[str]
) -> None:
    shared_alarm(slugs)
    assign_perm("integrations.read", charlie, registry["zoho-crm"])
    first, second = told_in(calling(charlie), incident)
    assert first.startswith("Alert: Zoho CRM")
    assert "Desk" not in first
    assert second == "Zoho CRM is down"


def test_an_alert_told_of_one_before_its_alarm_widened_is_masked_too(
    calling: Any, charlie: User, incident: Incident, registry: dict[str, Integration]
) -> None:
    shared_alarm(["zoho-crm", "zoho-desk"], alone=registry["zoho-crm"])
    assign_perm("integrations.read", charlie, registry["zoho-crm"])
    assert told_in(calling(charlie), incident)[0] == "Alert: Zoho CRM: OAuth grant"


def test_of_one_root_only_the_time_of_the_page_is_read(incident: Incident, registry: dict[str, Integration]) -> None:
    def another(slug: str, opened: datetime, closed: datetime | None) -> Incident:
        return Incident.objects.create(
            integration=registry[slug], opened_at=opened, closed_at=closed, worst_status="down", cause="x",
            root="grant:1",
        )  # fmt: skip

    another("zoho-sign", BEGAN - 60 * MINUTE, BEGAN - MINUTE)
    another("zoho-sign", OVER + MINUTE, None)
    during = another("zoho-billing", BEGAN - MINUTE, BEGAN)
    lasting = another("zoho-desk", BEGAN, None)
    found = incidents.together([incident], now=OVER + 60 * MINUTE)
    assert {one.pk for one in found["grant:1"]} == {incident.pk, during.pk, lasting.pk}


def test_what_a_long_incident_holds_is_bounded(api: Any, incident: Incident) -> None:
    CheckResult.objects.bulk_create(
        CheckResult(
            integration=incident.integration, status="down", rule=f"rule_{n}", reason="", trigger="sweep",
            created_at=BEGAN + timedelta(seconds=n),
        )
        for n in range(250)
    )  # fmt: skip
    IncidentNote.objects.bulk_create(
        IncidentNote(incident=incident, username="bob", text=str(n), at=OVER + timedelta(seconds=n))
        for n in range(1, 251)
    )
    told = api.get(f"/incidents/{incident.pk}").json()["incident"]
    for kind in ("finding", "note"):
        assert sum(one["kind"] == kind for one in told["timeline"]) == 200
    assert [note["text"] for note in told["notes"]] == [str(n) for n in range(51, 251)]
    (listed,) = api.get("/incidents").json()["incidents"]
    assert [note["text"] for note in listed["notes"]] == [str(n) for n in range(231, 251)]
    assert set(listed["notes"][0]) == {"id", "at", "author", "text"}


# --- Planned work ----------------------------------------------------------------------------------------------------


def soon(**offset: float) -> str:
    return (timezone.now() + timedelta(**offset)).isoformat()


def test_work_is_planned_listed_and_ended_early(api: Any, registry: dict[str, Integration]) -> None:
    made = api.post("/maintenance", {"integration": "resend", "endsAt": soon(hours=2), "reason": "DNS moves"})
    assert made.status_code == 201
    row = made.json()["maintenance"]
    assert (row["integrationSlug"], row["reason"], row["declaredBy"]) == ("resend", "DNS moves", "alice")
    everybody = api.post(
        "/maintenance", {"startsAt": soon(days=1), "endsAt": soon(days=1, hours=1), "reason": "Network"}
    )
    assert everybody.json()["maintenance"]["integrationSlug"] is None
    assert [one["reason"] for one in api.get("/maintenance").json()["maintenance"]] == ["Network", "DNS moves"]
    assert api.send("DELETE", f"/maintenance/{row['id']}").status_code == 204
    ended = Maintenance.objects.get(pk=row["id"])
    assert ended.ends_at <= timezone.now()
    assert api.send("DELETE", f"/maintenance/{everybody.json()['maintenance']['id']}").status_code == 204
    assert Maintenance.objects.count() == 1  # what never began is gone, what was is history
    assert api.send("DELETE", f"/maintenance/{row['id']}").status_code == 204
    assert Maintenance.objects.get() == ended
    actions = list(Activity.objects.order_by("seq").values_list("action", flat=True))
    assert actions == ["maintenance_declared"] * 2 + ["maintenance_ended"] * 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endsAt": lambda: soon(minutes=-1)}, "endsAt"),
        ({"startsAt": lambda: soon(hours=3)}, "endsAt"),
        ({"startsAt": lambda: soon(hours=-2)}, "startsAt"),
        ({"endsAt": lambda: soon(days=15)}, "endsAt"),
        ({"endsAt": lambda: "tomorrow"}, "endsAt"),
        ({"reason": lambda: ""}, "reason"),
        ({"who": lambda: "me"}, "who"),
    ],
)
def test_what_can_not_be_meant_is_told_by_its_field(api: Any, change: dict[str, Any], field: str) -> None:
    body = {"integration": "resend", "endsAt": soon(hours=2), "reason": "x"}
    body |= {name: value() for name, value in change.items()}
    problem = assert_problem(api.post("/maintenance", body), 400, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert not Maintenance.objects.exists()


def test_work_on_all_needs_the_right_on_all(calling: Any, charlie: User, registry: dict[str, Integration]) -> None:
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    theirs = calling(charlie)
    body = {"endsAt": soon(hours=2), "reason": "x"}
    assert_problem(theirs.post("/maintenance", body), 403, "permission_denied")
    assert theirs.post("/maintenance", body | {"integration": "resend"}).status_code == 201
    assert_problem(theirs.post("/maintenance", body | {"integration": "netcash"}), 404, "not_found")
    others = Maintenance.objects.create(
        integration=registry["netcash"], starts_at=timezone.now(), ends_at=timezone.now() + timedelta(hours=1),
        reason="secret", username="alice",
    )  # fmt: skip
    assert [one["reason"] for one in theirs.get("/maintenance").json()["maintenance"]] == ["x"]
    assert_problem(theirs.send("DELETE", f"/maintenance/{others.pk}"), 404, "not_found")
