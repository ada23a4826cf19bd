"""The API of jobs: the ledger, starting and ending a run, changing a job; and the door for outside schedulers."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import schedulers, tasks, wakeup
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity
from tests.api.conftest import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def told(monkeypatch) -> list[tuple[str, ...]]:
    """What workers were told; none runs here."""
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown, *args: found.append((task, *args)))
    return found


@pytest.fixture
def job(db) -> CronJob:
    CronJob.objects.update(ledger_until=timezone.now())
    return CronJob.objects.get(job_name="webhooks-process-due")


def made(job: CronJob, n: int = 1, **fields) -> list[CronRun]:
    now = timezone.now()
    moments = [now - timedelta(minutes=i) for i in range(1, n + 1)]
    rows = [
        CronRun(job=job, **{"status": "success", "scheduled_for": at, "started_at": at, **fields}) for at in moments
    ]
    return CronRun.objects.bulk_create(rows)


# --- The ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_tells_each_run_newest_first(api, job):
    made(job, 3, result_summary={"processed": 2}, duration_ms=12)
    CronRun.objects.create(
        job=job, scheduled_for=timezone.now(), status="missed", error_message="Nobody started it: beat was off."
    )
    answer = api.get(f"/cron/{job.pk}/logs").json()
    assert [row["status"] for row in answer["logs"]] == ["missed", "success", "success", "success"]
    assert answer["logs"][0]["errorMessage"] == "Nobody started it: beat was off."
    good = answer["logs"][1]
    assert (good["durationMs"], good["resultSummary"], good["trigger"]) == (12, {"processed": 2}, "schedule")
    assert (good["triggeredBy"], good["errorMessage"]) == (None, None)
    assert answer["pagination"]["total"] == 4
    only = api.get(f"/cron/{job.pk}/logs", status="missed").json()["logs"]
    assert len(only) == 1
    assert_problem(api.get(f"/cron/{job.pk}/logs", status="perhaps"), 400, "invalid")


def test_a_long_ledger_costs_the_same(api, job, django_assert_max_num_queries):
    made(job, 300)
    with django_assert_max_num_queries(12):
        assert len(api.get(f"/cron/{job.pk}/logs", limit="200").json()["logs"]) == 200


def test_an_unknown_job_is_404(api):
    assert_problem(api.get("/cron/00000000-0000-4000-8000-000000000000/logs"), 404, "not_found")


# --- Starting and ending ---------------------------------------------------------------------------------------------


def test_starting_it_answers_at_once_and_a_worker_does_it(api, job, told):
    answer = api.post(f"/cron/{job.pk}/trigger", {"reason": "after the outage"})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["success"], body["jobId"]) == (True, str(job.pk))
    assert told == [("cron.start", body["runId"])]
    assert_problem(api.post(f"/cron/{job.pk}/trigger"), 409, "already_running")
    tasks.start_run(body["runId"])
    (row,) = api.get(f"/cron/{job.pk}/logs").json()["logs"]
    assert (row["status"], row["trigger"], row["triggeredBy"]) == ("success", "manual", "alice")
    assert (row["reason"], row["scheduledFor"]) == ("after the outage", None)
    assert Activity.objects.get(action="cron_triggered").username == "alice"


def test_one_that_is_switched_off_may_be_started_all_the_same(api, job):
    CronJob.objects.filter(pk=job.pk).update(is_active=False)
    assert api.post(f"/cron/{job.pk}/trigger").status_code == 202


def test_a_run_is_ended_by_hand(api, job):
    run = api.post(f"/cron/{job.pk}/trigger").json()["runId"]
    assert api.post(f"/cron/{job.pk}/runs/{run}/cancel").json()["success"] is True
    assert_problem(api.post(f"/cron/{job.pk}/runs/{run}/cancel"), 409, "not_running")
    assert CronRun.objects.get().error_message == "Cancelled by alice before a worker began."
    other = CronJob.objects.exclude(pk=job.pk).first()
    assert_problem(api.post(f"/cron/{other.pk}/runs/{run}/cancel"), 404, "not_found")


def test_a_grant_on_one_integration_starts_its_jobs_and_no_others(calling, charlie, registry, job):
    for perm in ("read", "cron:trigger"):
        assign_perm(f"integrations.{perm}", charlie, registry["zoho-billing"])
    theirs = calling(charlie)
    sync = CronJob.objects.get(job_name="zoho-sync")
    assert theirs.post(f"/cron/{sync.pk}/trigger").status_code == 202
    assert_problem(theirs.post(f"/cron/{job.pk}/trigger"), 404, "not_found")


def test_who_may_only_look_starts_nothing_and_leaves_a_trace(calling, charlie, registry, job):
    assign_perm("integrations.read", charlie, registry["zoho-billing"])
    assign_perm("integrations.cron:trigger", charlie, registry["resend"])
    sync = CronJob.objects.get(job_name="zoho-sync")
    assert_problem(calling(charlie).post(f"/cron/{sync.pk}/trigger"), 403, "permission_denied")
    assert Activity.objects.filter(username="charlie", outcome="refused").count() == 1
    assert not CronRun.objects.exists()


# --- Changing --------------------------------------------------------------------------------------------------------


def test_a_change_holds_and_is_recorded(api, job):
    body = {"schedule": "*/2 * * * *", "timezone": "Europe/Berlin", "timeoutSeconds": 90, "catchUp": "latest"}
    answer = api.patch(f"/cron/{job.pk}", body).json()["job"]
    assert (answer["schedule"], answer["timezone"]) == ("*/2 * * * *", "Europe/Berlin")
    job.refresh_from_db()
    assert (job.timeout_seconds, job.catch_up) == (90, "latest")
    assert set(Activity.objects.get(action="cron_changed").details["after"]) == {
        "schedule", "timezone", "timeout_seconds", "catch_up",
    }  # fmt: skip
    assert api.get(f"/cron/{job.pk}").json()["job"]["schedule"] == "*/2 * * * *"


@pytest.mark.parametrize(
    ("typed", "stored"), [("@daily", "0 0 * * *"), ("0  3 * * sun", "0 3 * * 0"), ("0 3 * * 7", "0 3 * * 0")]
)
def test_a_schedule_is_stored_the_way_both_cron_and_celery_read_it(api, job, typed, stored):
    assert api.patch(f"/cron/{job.pk}", {"schedule": typed}).json()["job"]["schedule"] == stored


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"schedule": "* * *"}, "schedule"), ({"schedule": "0 0 1 * 1"}, "schedule"),
        ({"timezone": "Mars"}, "timezone"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"), ({"timeoutSeconds": 4000}, "timeoutSeconds"), ({"x": 1}, "x"),
        ({"catchUp": "all"}, "catchUp"),
    ],
)  # fmt: skip
def test_a_bad_change_says_which_field(api, job, body, field):
    problem = assert_problem(api.patch(f"/cron/{job.pk}", body), 400, "invalid")
    assert {error["field"] for error in problem["errors"]} == {field}


# --- Outside schedulers ----------------------------------------------------------------------------------------------

SECRET = "from-outside-0123456789"
CHECK, CLEAN = "/api/cron/integrations-health-check", "/api/cron/cleanup-webhook-logs"


def outside(path: str, secret: str = SECRET, method: str = "get", **query):
    return getattr(Client(), method)(path, query, headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def worker(settings, monkeypatch):
    """A worker in a thread of its own, that does what it is told. It can't take the time of what it does."""
    settings.CRON_SECRET = SECRET
    monkeypatch.setattr(tasks, "within", lambda work, seconds, cancelled: work)

    def work(task, countdown, *args):
        def do():
            try:
                tasks.start_run(*args)
            finally:
                connection.close()

        if task == wakeup.START:
            threading.Thread(target=do).start()

    monkeypatch.setattr(wakeup, "_send", work)


@pytest.mark.parametrize("method", ["get", "post"])
def test_from_outside_a_job_runs_at_once_and_tells_what_it_did(worker, job, method):
    answer = outside(CLEAN, method=method)
    body = answer.json()
    assert (answer.status_code, body["success"], body["status"]) == (200, True, "success")
    assert "alarms_forgotten" in body["resultSummary"]
    run = CronRun.objects.get()
    assert (UUID(body["runId"]), run.trigger, run.triggered_by) == (run.pk, "external", "external scheduler")


def test_a_dry_run_from_outside_only_counts(worker, job, registry):
    from tests.factories import WebhookLogFactory
    from webhooks.models import Webhook, WebhookLog

    WebhookLogFactory(
        webhook=Webhook.objects.get(integration__slug="resend"), status="processed",
        created_at=timezone.now() - timedelta(days=20),
    )  # fmt: skip
    body = outside(CLEAN, dryRun="true", retentionDays="10").json()
    assert body["resultSummary"]["dry_run"] is True
    assert WebhookLog.objects.count() == 1
    assert CronRun.objects.get().arguments == {"dry_run": True, "days": 10}
    assert outside(CLEAN, retentionDays="10").json()["success"]
    assert WebhookLog.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        (CLEAN, {"dryRun": "perhaps"}, "dryRun"), (CLEAN, {"retentionDays": "0"}, "retentionDays"),
        (CLEAN, {"retentionDays": "9" * 30}, "retentionDays"), (CLEAN, {"retentionDays": "²"}, "retentionDays"),
        (CLEAN, {"days": "1"}, "days"), (CHECK, {"dryRun": "true"}, "dryRun"),
    ],
)  # fmt: skip
def test_a_bad_parameter_from_outside_starts_nothing(settings, job, path, query, words):
    settings.CRON_SECRET = SECRET
    problem = assert_problem(outside(path, **query), 400, "invalid")
    assert words in problem["detail"]
    assert not CronRun.objects.exists()


@pytest.mark.parametrize("path", [CHECK, CLEAN])
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", "Bearer \xe9"])
def test_without_the_secret_nothing_starts(settings, job, path, header):
    settings.CRON_SECRET = SECRET
    answer = Client().get(path, headers={"Authorization": header})
    assert_problem(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"]
    assert not CronRun.objects.exists()


def test_where_no_secret_is_set_the_door_is_shut(settings, job):
    settings.CRON_SECRET = ""
    assert_problem(outside(CHECK, secret=""), 503, "no_secret")


def test_while_it_runs_another_start_from_outside_is_refused(settings, job, monkeypatch):
    settings.CRON_SECRET = SECRET
    monkeypatch.setattr(schedulers, "WAIT_SECONDS", 0.1)
    first = outside(CHECK)  # no worker is there
    assert (first.status_code, first.json()["status"], first.json()["success"]) == (200, "running", True)
    assert_problem(outside(CHECK), 409, "already_running")
