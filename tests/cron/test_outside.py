"""Jobs that call an outside URL: added, run through the ledger, refused where they could do harm."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from guardian.shortcuts import assign_perm

from config import schedule, tasks, wakeup
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity
from tests.api.conftest import Caller, assert_problem

pytestmark = pytest.mark.django_db(transaction=True)


class Target:
    """Answers with `status` and keeps what it got."""

    def __init__(self) -> None:
        self.status, self.got, self.location = 200, [], ""
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                target.got.append((self.command, self.path, dict(self.headers)))
                self.send_response(target.status)
                if target.location:
                    self.send_header("Location", target.location)
                self.end_headers()
                self.wfile.write(b"done for lerato.dlamini@example.com")

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/nightly"


@pytest.fixture
def target(settings, monkeypatch) -> Iterator[Target]:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    monkeypatch.setattr(wakeup, "_send", lambda *args: None)
    running = Target()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.fixture
def api(alice) -> Caller:
    return Caller(alice)


def added(api: Caller, url: str, **more: Any) -> CronJob:
    body = {"jobName": "partner-sync", "url": url, "schedule": "*/5 * * * *", **more}
    answer = api.post("/cron", body)
    assert answer.status_code == 201, answer.json()
    CronJob.objects.update(ledger_until=timezone.now())
    return CronJob.objects.get(job_name="partner-sync")


def ran(job: CronJob) -> CronRun:
    slot = cron.slot(job, timezone.now())  # named: one that is not may be late, by the clock of the moment
    tasks.run_job(str(job.pk), slot.isoformat())
    return CronRun.objects.filter(job=job).latest("started_at")


# --- Called ----------------------------------------------------------------------------------------------------------


def test_it_is_called_on_schedule_with_the_secret_that_it_names(api, target, monkeypatch):
    monkeypatch.setenv("WEBHOOK_PARTNER_SECRET", "partner-secret,older")
    job = added(api, target.url, secretEnv="WEBHOOK_PARTNER_SECRET", headers={"X-From": "ops"})
    assert PeriodicTask.objects.get(name="partner-sync").enabled
    run = ran(job)
    assert run.status == "success"
    assert run.result_summary["statusCode"] == 200
    ((method, path, headers),) = target.got
    assert (method, path) == ("POST", "/nightly")
    assert (headers["Authorization"], headers["X-From"]) == ("Bearer partner-secret", "ops")
    assert "partner-secret" not in str(run.result_summary)
    tasks.run_job(str(job.pk), run.scheduled_for.isoformat())
    assert len(target.got) == 1  # the same slot


def test_a_get_without_secret_sends_none(api, target):
    ran(added(api, target.url, method="GET"))
    ((method, _, headers),) = target.got
    assert method == "GET"
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("status", "expected", "outcome"),
    [(204, "2xx", "success"), (500, "2xx", "failed"), (404, "404", "success"), (200, "201", "failed")],
)
def test_only_the_expected_status_is_good(api, target, status, expected, outcome):
    target.status = status
    run = ran(added(api, target.url, expectedStatus=expected))
    assert run.status == outcome
    if outcome == "failed":
        assert run.error_message.startswith(f"HTTP {status} instead of {expected}")
        assert "lerato" not in run.error_message
        assert run.result_summary["statusCode"] == status


def test_a_redirect_is_not_followed(api, target):
    target.status, target.location = 302, f"{target.url}/elsewhere"
    assert ran(added(api, target.url)).status == "failed"
    assert len(target.got) == 1


def test_nobody_there_is_said_in_words(api, target):
    job = added(api, "http://127.0.0.1:9/nothing")
    run = ran(job)
    assert (run.status, run.traceback) == ("failed", "")
    assert run.error_message


def test_without_its_secret_it_is_not_called(api, target):
    run = ran(added(api, target.url, secretEnv="WEBHOOK_PARTNER_SECRET"))
    assert run.error_message == "WEBHOOK_PARTNER_SECRET is not set: the address was not called."
    assert target.got == []


def test_where_the_name_leads_is_checked_at_the_call(api, target, settings):
    """Added when private addresses were allowed, or its name leads elsewhere by now."""
    job = added(api, target.url)
    settings.OUTBOUND_ALLOW_PRIVATE = False
    assert ran(job).status == "failed"
    CronJob.objects.filter(pk=job.pk).update(job_url=target.url.replace("http://127.0.0.1", "https://localhost"))
    CronRun.objects.all().delete()
    assert ran(job).status == "failed"
    assert target.got == []


def test_by_hand_and_in_the_ledger_like_any_other(api, target):
    job = added(api, target.url)
    run = api.post(f"/cron/{job.pk}/trigger", {"reason": "test"}).json()["runId"]
    tasks.start_run(run)
    assert CronRun.objects.get(pk=run).status == "success"
    CronJob.objects.filter(pk=job.pk).update(ledger_until=timezone.now() - timedelta(hours=1))
    assert schedule.watch_ledger()["slots_missed"] + schedule.watch_ledger()["slots_unknown"] >= 0
    assert CronRun.objects.filter(job=job, status__in=["missed", "unknown"]).count() >= 10


def test_while_its_integration_is_off_it_is_skipped(api, target, registry):
    job = added(api, target.url, integration="resend")
    registry["resend"].is_active = False
    registry["resend"].save()
    assert ran(job).error_message == "Skipped: Resend Email is switched off."
    assert target.got == []


# --- Refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "ftp://example.com/x"}, "url"), ({"url": "https://user:pw@example.com/x"}, "url"),
        ({"url": "https://exa mple.com"}, "url"), ({"url": "/api/cron/x"}, "url"), ({"url": "https://[::1"}, "url"),
        ({"secretEnv": "CRON_SECRET"}, "secretEnv"), ({"secretEnv": "SECRET_KEY"}, "secretEnv"),
        ({"secretEnv": "DATABASE_URL"}, "secretEnv"), ({"headers": {"Authorization": "Bearer x"}}, "headers"),
        ({"headers": {"X-A": "b\nHost: c"}}, "headers"), ({"headers": {"a b": "c"}}, "headers"),
        ({"expectedStatus": "9"}, "expectedStatus"), ({"method": "DELETE"}, "method"),
        ({"schedule": "@reboot"}, "schedule"),
        ({"jobName": "zoho-sync"}, "jobName"), ({"jobName": "Not A Name"}, "jobName"), ({"extra": 1}, "extra"),
    ],
)  # fmt: skip
def test_what_could_do_harm_is_refused_with_its_field(api, db, more, field):
    body = {"jobName": "partner-sync", "url": "https://example.com/x", "schedule": "*/5 * * * *", **more}
    problem = assert_problem(api.post("/cron", body), 400, "invalid")
    assert {error["field"].partition(".")[0] for error in problem["errors"]} == {field}
    assert not CronJob.objects.filter(job_name="partner-sync").exists()


def test_plain_http_is_for_tests_alone(api, db):
    body = {"jobName": "partner-sync", "url": "http://example.com", "schedule": "@daily"}
    problem = assert_problem(api.post("/cron", body), 400, "invalid")
    assert problem["errors"][0]["message"] == "It must begin with https://."


# --- Changed and taken away ------------------------------------------------------------------------------------------


def test_a_change_is_checked_recorded_without_what_may_be_secret_and_a_removal_too(api, target):
    job = added(api, f"{target.url}?key=hidden", headers={"X-Key": "hidden"})
    path = f"/cron/{job.pk}"
    assert api.patch(path, {"url": "https://example.com/new?key=hidden", "expectedStatus": "204"}).status_code == 200
    assert_problem(api.patch(path, {"secretEnv": "CRON_SECRET"}), 400, "invalid")
    assert api.send("DELETE", path).status_code == 204
    assert not PeriodicTask.objects.filter(name="partner-sync").exists()
    assert list(Activity.objects.order_by("seq").values_list("action", flat=True)) == [
        "cron_added", "cron_changed", "cron_removed",
    ]  # fmt: skip
    assert "hidden" not in str(list(Activity.objects.values_list("details", flat=True)))


def test_work_of_ours_calls_no_address_and_stays(api, db):
    job = CronJob.objects.get(job_name="zoho-sync")
    problem = assert_problem(api.patch(f"/cron/{job.pk}", {"url": "https://example.com"}), 400, "invalid")
    assert problem["errors"][0]["field"] == "url"
    assert_problem(api.send("DELETE", f"/cron/{job.pk}"), 409, "declared")


def test_a_deploy_leaves_it_alone(api, target):
    from django.core.management import call_command

    job = added(api, target.url)
    call_command("migrate", verbosity=0)
    assert CronJob.objects.get(pk=job.pk).is_active
    assert PeriodicTask.objects.get(name="partner-sync").enabled


def test_who_may_manage_one_integration_adds_jobs_of_that_one_alone(charlie, registry, target):
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    theirs = Caller(charlie)
    body = {"jobName": "partner-sync", "url": target.url, "schedule": "@daily"}
    assert_problem(theirs.post("/cron", body), 403, "permission_denied")
    assert_problem(theirs.post("/cron", body | {"integration": "netcash"}), 404, "not_found")
    assert theirs.post("/cron", body | {"integration": "resend"}).status_code == 201


# --- Who may say where a secret is sent ------------------------------------------------------------------------------


@pytest.fixture
def dana(person, registry) -> Any:
    """She manages Resend and nothing else."""
    user = person("dana")
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", user, registry["resend"])
    return user


def test_who_manages_one_integration_sends_no_secret_anywhere(api, dana, target):
    hers = Caller(dana)
    body = {"jobName": "hers", "url": target.url, "schedule": "@daily", "integration": "resend"}
    refused = hers.post("/cron", body | {"secretEnv": "ZOHO_CLIENT_SECRET"})
    assert refused.status_code == 400
    assert "manage all integrations" in str(refused.json())
    assert hers.post("/cron", body).status_code == 201
    job = added(api, target.url, secretEnv="WEBHOOK_PARTNER_SECRET", integration="resend")
    for change in ({"url": f"{target.url}elsewhere"}, {"secretEnv": "ZOHO_CLIENT_SECRET"}, {"method": "GET"}):
        assert hers.patch(f"/cron/{job.pk}", change).status_code == 400
    assert hers.patch(f"/cron/{job.pk}", {"schedule": "@hourly"}).status_code == 200
    assert api.patch(f"/cron/{job.pk}", {"url": f"{target.url}elsewhere"}).status_code == 200


def test_nor_by_the_form(api, dana, target, client):
    client.force_login(dana)
    given = {
        "job_name": "hers", "job_url": target.url, "schedule": "@daily", "integration": "resend", "method": "GET",
        "secret_env": "ZOHO_CLIENT_SECRET", "timezone": "UTC", "timeout_seconds": "60", "catch_up": "none",
        "expected_status": "2xx", "headers": "",
    }  # fmt: skip
    page = client.post("/admin/integrations/cron/add", given)
    assert page.status_code == 422
    assert "manage all integrations" in page.content.decode()
    job = added(api, target.url, secretEnv="WEBHOOK_PARTNER_SECRET", integration="resend")
    told = {name: value for name, value in given.items() if name not in ("job_name", "integration")}
    initial = {
        "job_url": job.job_url, "schedule": job.schedule, "method": "POST", "secret_env": job.secret_env,
        "timezone": job.timezone, "timeout_seconds": job.timeout_seconds, "catch_up": job.catch_up,
        "expected_status": "2xx", "headers": "",
    }  # fmt: skip
    told |= {"secret_env": job.secret_env} | {f"initial-{name}": value for name, value in initial.items()}
    edit = f"/admin/integrations/cron/{job.pk}/edit"
    assert client.post(edit, told | {"job_url": f"{target.url}elsewhere"}).status_code == 422
    assert client.post(edit, told | {"job_url": job.job_url, "method": "POST"}).status_code == 302
