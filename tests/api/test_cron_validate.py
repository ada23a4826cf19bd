"""What a schedule means, told before anybody saves it."""

import re
from datetime import UTC, datetime

import pytest
import time_machine
from guardian.shortcuts import assign_perm

from integrations.cron.models import CronJob
from tests.api.conftest import assert_problem

pytestmark = pytest.mark.django_db

PATH = "/cron/validate"
ZULU = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z")


def test_a_good_schedule_is_told_in_words_with_its_next_five_runs(api):
    with time_machine.travel(datetime(2026, 11, 22, 10, 7, tzinfo=UTC), tick=False):
        response = api.post(PATH, {"schedule": " 17  3 * * MON-FRI "})
    assert response.status_code == 200
    assert response.json() == {
        "valid": True,
        "description": "At 03:17, Monday through Friday",
        "nextRuns": [
            f"2026-11-{day}T01:17:00Z" for day in (23, 24, 25, 26, 27)
        ],  # Johannesburg, unless told otherwise
        "errors": [],
        "schedule": "17 3 * * 1-5",
        "notes": [],
        "warnings": [],
    }


def test_a_bad_one_says_which_field_is_wrong(api):
    assert api.post(PATH, {"schedule": "61 * * * *", "timezone": "Berlin"}).json() == {
        "valid": False,
        "description": "",
        "nextRuns": [],
        "errors": [
            {"field": "minute", "position": 1, "code": "range", "detail": "minute: 61 is out of range 0-59"},
            {
                "field": "timezone",
                "position": None,
                "code": "zone",
                "detail": "Berlin is no time zone: perhaps Europe/Berlin is meant",
            },
        ],
        "schedule": None,
        "notes": [],
        "warnings": [],
    }


@pytest.mark.parametrize("typed", ["", "   ", "@reboot", "0 0 30 2 *", "x" * 900])
def test_what_is_no_schedule_is_an_answer_not_a_bad_request(api, typed):
    body = api.post(PATH, {"schedule": typed}).json()
    assert body["valid"] is False
    assert len(body["errors"]) == 1


def test_a_run_that_a_changed_clock_moves_is_noted(api):
    with time_machine.travel(datetime(2027, 3, 26, 12, tzinfo=UTC), tick=False):
        body = api.post(PATH, {"schedule": "30 2 * * *", "timezone": "Europe/Berlin"}).json()
    assert all(ZULU.fullmatch(run) for run in body["nextRuns"])
    (note,) = body["notes"]
    assert (note["at"], note["local"]) == (body["nextRuns"][1], "2027-03-28T03:00:00+02:00")
    assert "02:30 doesn't exist on 2027-03-28" in note["detail"]


def test_jobs_in_the_same_minute_are_warned_of_but_not_the_job_itself(api):
    job = CronJob.objects.get(job_name="oauth-auto-refresh")
    CronJob.objects.exclude(pk=job.pk).update(is_active=False)
    expected = ["oauth-auto-refresh starts in the same minute at 5 of the next 5 runs."]
    assert api.post(PATH, {"schedule": "*/10 * * * *"}).json()["warnings"] == expected
    assert api.post(PATH, {"schedule": "*/10 * * * *", "jobId": str(job.pk)}).json()["warnings"] == []


def test_jobs_that_one_may_not_see_are_not_named(calling, charlie, registry):
    assign_perm("integrations.read", charlie, registry["resend"])
    body = calling(charlie).post(PATH, {"schedule": "*/5 * * * *"}).json()
    assert (body["valid"], body["warnings"]) == (True, [])


def test_a_request_that_is_not_one(api, calling, charlie):
    assert_problem(api.post(PATH, {}), 400, "invalid")
    assert_problem(api.post(PATH, {"schedule": "* * * * *", "zone": "UTC"}), 400, "invalid")
    assert_problem(api.post(PATH, {"schedule": ["*"] * 5}), 400, "invalid")
    assert_problem(api.get(PATH), 405, "method_not_allowed")
    assert_problem(calling(charlie).post(PATH, {"schedule": "* * * * *"}), 403, "permission_denied")
