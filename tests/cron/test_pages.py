"""The pages of scheduled jobs: what they show to whom, what can be done from there, and how it is told."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import schedule, wakeup
from healthchecks.alerts import words
from healthchecks.models import Alarm
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.cron import board as boards
from integrations.cron import journal, lanes, services
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity, Integration

pytestmark = pytest.mark.django_db

PAGE = "/admin/integrations/cron"
HTMX = {"HX-Request": "true"}
ALICE = Actor(username="alice")
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    told: list[Any] = []
    monkeypatch.setattr(wakeup, "_send", lambda task, countdown, *args: told.append((task, *args)))
    return told


@pytest.fixture
def job(db: None) -> CronJob:
    """Of all integrations, with a ledger that is complete up to now."""
    CronJob.objects.update(ledger_until=timezone.now())
    return CronJob.objects.get(job_name="integrations-health-check")


@pytest.fixture
def sync(job: CronJob) -> CronJob:
    """Of Zoho Billing alone."""
    return CronJob.objects.get(job_name="zoho-sync")


@pytest.fixture
def outside(job: CronJob) -> CronJob:
    wanted = {"job_name": "acme-nightly", "job_url": "https://acme.example.com/x?key=hush", "schedule": "0 2 * * *",
              "headers": {"X-Team": "ops"}}  # fmt: skip
    return services.add(actor=ALICE, wanted=wanted)


@pytest.fixture
def see(client: Client, alice: User) -> Any:
    """A page as alice sees it."""
    client.force_login(alice)
    return lambda path=PAGE, **more: client.get(path, **more).content.decode()


@pytest.fixture
def act(client: Client, alice: User) -> Any:
    client.force_login(alice)
    return lambda path, data=None: client.post(path, data or {}, headers=HTMX)


def ran(job: CronJob, ago: timedelta = MINUTE, **fields: Any) -> CronRun:
    at = timezone.now() - ago
    told = {"status": "success", "started_at": at, "scheduled_for": at, "duration_ms": 1240, "picked_up_at": at}
    return CronRun.objects.create(job=job, **told | fields)


def read(user: User, **more: Any) -> boards.Board:
    return boards.read(user, now=timezone.now(), runnable=schedule.is_runnable, **more)


def line_of(user: User, job: CronJob) -> boards.Line:
    (line,) = read(user, only=job.pk).lines
    return line


def row_of(page: str, job: CronJob) -> str:
    found = re.search(rf'<tr id="job-{job.pk}">(.*?)</tr>', page, re.DOTALL)
    assert found is not None
    return found[1]


def at(job: CronJob, *rest: Any) -> str:
    return "/".join([PAGE, str(job.pk), *map(str, rest)])


# --- All of them -----------------------------------------------------------------------------------------------------


def test_each_job_has_its_row_in_words(see: Any, job: CronJob) -> None:
    ran(job, result_summary={"message": "10 checked: 1 down, 9 healthy."})
    row = row_of(see(), job)
    for told in ("Every 15 minutes", "*/15 * * * *", "Success", "10 checked: 1 down, 9 healthy.", "1,240\u00a0ms",
                 "All integrations", at(job), at(job, "edit"), at(job, "start"), at(job, "switch")):  # fmt: skip
        assert told in row
    assert len(re.findall(r'<tr id="job-', see())) == len(schedule.JOBS)


def test_a_job_that_failed_says_why_first_thing(see: Any, job: CronJob) -> None:
    ran(job, status="failed", error_message="HTTP 503 instead of 2xx: try later")
    shown = see()
    trouble = shown.partition('id="trouble-title"')[2].partition('id="day-title"')[0]
    assert "HTTP 503 instead of 2xx: try later" in trouble
    assert "Failed" in trouble
    ran(job, timedelta(seconds=5))
    assert 'id="trouble-title"' not in see()


@pytest.mark.parametrize("home", ["Africa/Johannesburg", "Europe/Berlin"])
def test_a_jobs_zone_is_named_where_it_is_not_the_readers(see: Any, alice: User, job: CronJob, home: str) -> None:
    """Whichever of the two is the installation's: each reader has a zone of their own."""
    other = {"Africa/Johannesburg": "Europe/Berlin", "Europe/Berlin": "Africa/Johannesburg"}[home]
    CronJob.objects.filter(pk=job.pk).update(timezone=other, schedule="30 6 * * *")
    job.refresh_from_db()
    User.objects.filter(pk=alice.pk).update(time_zone=home)
    assert f"· {other}" in row_of(see(), job)
    page = see(at(job))
    assert f"At 06:30 ({other})" in page
    assert f"Next runs, {other}" in page
    ahead = page.partition("Next runs, ")[2].partition("</section>")[0]
    mine = journal.upcoming(job, timezone.now())[0].at.astimezone(ZoneInfo(home))
    assert f"{mine:%H:%M} in {home}" in ahead
    assert ", 06:30</span>" in ahead
    User.objects.filter(pk=alice.pk).update(time_zone=other)
    assert f"· {other}" not in row_of(see(), job)
    page = see(at(job))
    assert f"At 06:30 ({other})" not in page
    assert "Next runs</h3>" in page
    assert f"in {other}" not in page.partition("Next runs<")[2].partition("</section>")[0]


def test_what_was_missed_is_told_of_all_jobs_together_with_the_reason(see: Any, job: CronJob, sync: CronJob) -> None:
    for one, hours in ((job, 3), (job, 4), (sync, 4)):
        ran(one, timedelta(hours=hours), status="missed", started_at=timezone.now() - timedelta(hours=2),
            duration_ms=None, error_message="Nobody started it.")  # fmt: skip
    gap = see().partition('id="gap-missed"')[2].partition("</li>")[0]
    assert "3 runs between" in gap
    assert "beat was off, or messages were lost" in gap
    assert f"{at(job)}?status=missed" in gap
    assert f"{at(sync)}?status=missed" in gap
    assert 'id="gap-unknown"' not in see()


def test_a_slot_that_nobody_began_is_overdue_before_the_ledger_says_so(alice: User, job: CronJob) -> None:
    now = datetime(2026, 11, 22, 10, 20, tzinfo=UTC)
    CronJob.objects.filter(pk=job.pk).update(ledger_until=datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
    job.refresh_from_db()
    assert boards.overdue(job, None, None, now) == datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert boards.overdue(job, None, None, now - 3 * MINUTE) is None  # two minutes late is nothing yet
    done = CronRun(job=job, scheduled_for=datetime(2026, 11, 22, 10, 15, tzinfo=UTC))
    assert boards.overdue(job, done, None, now) is None
    assert boards.overdue(job, None, done, now) is None


def test_one_that_is_switched_off_or_can_not_be_done_is_no_trouble_or_says_so(
    alice: User, job: CronJob, sync: CronJob
) -> None:
    ran(job, status="failed", error_message="It broke.")
    CronJob.objects.filter(pk=job.pk).update(is_active=False)
    assert line_of(alice, job).trouble is None
    assert line_of(alice, job).next_at is None
    (line,) = boards.read(alice, now=timezone.now(), runnable=lambda one: False, only=sync.pk).lines
    assert line.trouble is not None
    assert "no work" in line.trouble.words
    assert not line.can_start


def test_the_last_run_is_the_one_whose_slot_is_the_newest(alice: User, job: CronJob) -> None:
    """What was missed is written down after later runs have begun."""
    good = ran(job, 2 * MINUTE)
    ran(job, 30 * MINUTE, status="missed", started_at=timezone.now() - MINUTE)
    last = line_of(alice, job).last
    assert last is not None
    assert last.run == good


def test_one_that_runs_says_since_when_and_how_far(see: Any, alice: User, job: CronJob) -> None:
    run = ran(job, 2 * MINUTE, status="running", duration_ms=None, result_summary={"message": "3 of 40 rolled up."})
    row = row_of(see(), job)
    assert "3 of 40 rolled up." in row
    assert f"since {timezone.localtime(run.started_at):%H:%M:%S}" in row
    assert at(job, "runs", run.pk, "cancel") in row
    assert at(job, "start") not in row
    shown = see(at(job))
    assert "Running since" in shown
    assert 'hx-trigger="every 3s"' in shown


def test_one_that_was_asked_for_and_that_no_worker_has_begun_says_so(see: Any, job: CronJob) -> None:
    services.ask(job, actor=ALICE, trigger="manual", reason="why not", now=timezone.now() - 2 * MINUTE)
    assert "no worker has begun" in row_of(see(), job)
    assert "no worker has begun yet" in see(at(job))


def test_a_poll_brings_what_changes_and_no_page(client: Client, alice: User, job: CronJob) -> None:
    client.force_login(alice)
    for path, targets in ((PAGE, ("#figures", "#trouble", "#day")), (at(job), ("#head", "#day", "#facts"))):
        response = client.get(path, headers=HTMX)
        shown = response.content.decode()
        assert "<html" not in shown
        assert response.headers["Vary"].count("HX-Request") == 1
        for target in (*targets, "#updated"):
            assert f'hx-target="{target}"' in shown


def test_jobs_of_one_integration_alone(alice: User, sync: CronJob, registry: dict[str, Integration]) -> None:
    assert [line.job for line in read(alice, integration=registry["zoho-billing"]).lines] == [sync]
    assert read(alice, integration=registry["resend"]).lines == ()


# --- The last day ----------------------------------------------------------------------------------------------------


def test_ticks_show_the_worst_of_each_quarter_of_an_hour() -> None:
    now = datetime(2026, 11, 22, 10, 7, tzinfo=UTC)

    def ago(minutes: int, status: str, number: int = 1) -> lanes.Tally:
        return lanes.Tally(status, now - minutes * MINUTE, number)

    drawn = lanes.draw(
        [ago(1, "success", 7), ago(17, "success"), ago(32, "success", 14), ago(33, "failed"), ago(60, "missed", 2),
         ago(120, "skipped"), ago(180, "unknown"), ago(24 * 60 + 20, "failed")], now,
    )  # fmt: skip
    assert {(tone, height): path for tone, height, path in drawn.bars} == {
        ("healthy", 12): "M566 12h8",  # two in a row are one stroke
        ("down", 22): "M560 12h2",
        ("degraded", 18): "M548 12h2",
        ("unknown", 8): "M524 12h2",
        ("unknown", 3): "M500 12h2",
    }
    assert drawn.label == "Last 24 hours: 22 succeeded, 1 failed, 2 missed, 1 skipped, 1 unknown"


def test_a_day_of_a_job_that_runs_every_minute_is_a_few_bytes_and_few_queries(
    alice: User, job: CronJob, client: Client, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    CronRun.objects.bulk_create(
        CronRun(job=one, scheduled_for=now - n * MINUTE, started_at=now - n * MINUTE, status="success")
        for one in CronJob.objects.all()
        for n in range(1440)
    )
    with django_assert_max_num_queries(7):
        board = read(alice)
    assert all(line.lane.counts["success"] >= 1425 for line in board.lines)
    assert all(sum(len(path) for *_, path in line.lane.bars) < 40 for line in board.lines)
    client.force_login(alice)
    with django_assert_max_num_queries(12):
        client.get(PAGE)


def test_a_lane_is_never_more_than_a_few_hundred_bytes() -> None:
    now = timezone.now()
    every_other = [lanes.Tally(("success", "failed")[n % 2], now - n * lanes.SLOT, 1) for n in range(lanes.SLOTS)]
    assert sum(len(path) for *_, path in lanes.draw(every_other, now).bars) < 1100


# --- The runs of one -------------------------------------------------------------------------------------------------


def test_its_runs_are_listed_newest_first_and_filtered_by_the_address(see: Any, job: CronJob) -> None:
    ran(job, 3 * MINUTE, result_summary={"message": "Nothing to do."})
    bad = ran(job, 2 * MINUTE, status="failed", error_message="It broke.")
    missed = ran(job, MINUTE, status="missed", error_message="Nobody started it.", duration_ms=None)
    shown = see(at(job))
    assert re.findall(r'id="run-([0-9a-f-]+)"', shown)[:2] == [str(missed.pk), str(bad.pk)]
    assert "Nothing to do." in shown
    only = see(f"{at(job)}?status=missed")
    assert re.findall(r'id="run-([0-9a-f-]+)"', only) == [str(missed.pk)]
    assert '<option value="missed" selected>' in only
    assert "No run ended like that" in see(f"{at(job)}?status=timeout")
    assert see(f"{at(job)}?status=nonsense").count('id="run-') == 3


def test_a_long_list_is_loaded_piece_by_piece_and_a_poll_drops_nothing(
    client: Client, alice: User, job: CronJob
) -> None:
    now = timezone.now()
    CronRun.objects.bulk_create(
        CronRun(job=job, scheduled_for=now - n * MINUTE, started_at=now - n * MINUTE, status="success")
        for n in range(journal.PAGE + 30)
    )
    client.force_login(alice)
    first = client.get(at(job)).content.decode()
    found = re.findall(r'id="run-([0-9a-f-]+)"', first)
    assert len(found) == journal.PAGE
    older = re.search(r'hx-get="\?(before=[^"]+)"', first)
    assert older is not None
    more = client.get(f"{at(job)}?{older[1]}", headers=HTMX).content.decode()
    found += re.findall(r'id="run-([0-9a-f-]+)"', more)
    assert len(set(found)) == journal.PAGE + 30
    assert "Load older" not in more
    floor = re.search(r'id="floor" value="([^"]+)"', first)
    assert floor is not None
    fresh = ran(job, timedelta(seconds=-1))
    polled = client.get(at(job), {"floor": floor[1]}, headers=HTMX).content.decode()
    assert re.findall(r'id="run-([0-9a-f-]+)"', polled) == [str(fresh.pk), *found[: journal.PAGE]]


def test_a_run_in_full_and_its_traceback_for_who_may_manage(
    client: Client, alice: User, bob: User, job: CronJob
) -> None:
    run = ran(
        job, status="failed", trigger="manual", triggered_by="alice", reason="after the outage", scheduled_for=None,
        error_message="ValueError: no", traceback="Traceback: line 7",
        result_summary={"message": "3 of 40.", "hours_counted": 1234, "failed": [], "which": ["a", "b"]},
    )  # fmt: skip
    client.force_login(alice)
    body = client.get(at(job, "runs", run.pk), headers=HTMX).content.decode()
    for told in ("ValueError: no", "after the outage", "3 of 40.", "hours counted", "1,234", "a, b", "line 7",
                 "None: it was started by hand"):  # fmt: skip
        assert told in body
    assert "<html" not in body
    assert "failed</dt>" not in body  # what is empty is left out
    assert "<html" in client.get(at(job, "runs", run.pk)).content.decode()
    client.force_login(bob)
    assert b"line 7" not in client.get(at(job, "runs", run.pk)).content
    assert client.get(at(CronJob.objects.get(job_name="zoho-sync"), "runs", run.pk)).status_code == 404


def test_the_page_says_when_it_would_be_skipped_and_why(see: Any, sync: CronJob, monkeypatch: Any) -> None:
    monkeypatch.setitem(schedule.BY_NAME, sync.job_name, schedule.Job(name=sync.job_name, schedule="0 0 * * *"))
    assert "Zoho Billing has to be connected first." in see(at(sync))


def test_csv_has_a_line_for_each_run_and_no_formula(client: Client, alice: User, job: CronJob) -> None:
    ran(job, 2 * MINUTE, result_summary={"message": "Done."})
    ran(job, status="failed", error_message='=HYPERLINK("x")', triggered_by="+me")
    client.force_login(alice)
    path = f"/api/admin/integrations/cron/{job.pk}/logs.csv"
    response = client.get(path)
    assert response.headers["Content-Disposition"] == 'attachment; filename="runs-integrations-health-check.csv"'
    lines = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [line["message"] for line in lines] == ['\'=HYPERLINK("x")', "Done."]
    assert lines[0]["triggeredBy"] == "'+me"
    assert lines[1]["durationMs"] == "1240"
    only = b"".join(client.get(f"{path}?status=failed").streaming_content).decode()  # type: ignore[attr-defined]
    assert len(only.splitlines()) == 2
    assert path in client.get(at(job)).content.decode()


# --- Starting, ending, switching -------------------------------------------------------------------------------------


def test_starting_one_says_so_and_keeps_who_and_why(act: Any, job: CronJob, started: list[Any]) -> None:
    response = act(at(job, "start"), {"reason": "after the outage"})
    run = CronRun.objects.get(job=job)
    assert (run.triggered_by, run.reason, run.status) == ("alice", "after the outage", "running")
    assert started == [("cron.start", str(run.pk))]
    assert response.headers["HX-Trigger"] == "refresh"
    assert b"integrations-health-check starts" in response.content
    assert b"one run at a time" in act(at(job, "start")).content
    assert CronRun.objects.filter(job=job).count() == 1


def test_one_that_this_version_can_not_do_is_not_started(act: Any, job: CronJob, monkeypatch: Any) -> None:
    monkeypatch.setitem(schedule.BY_NAME, job.job_name, schedule.Job(name=job.job_name, schedule="* * * * *"))
    assert b"no work" in act(at(job, "start")).content
    assert not CronRun.objects.exists()


def test_cancelling_one(act: Any, job: CronJob) -> None:
    run = ran(job, status="running", duration_ms=None)
    assert b"is cancelled" in act(at(job, "runs", run.pk, "cancel")).content
    run.refresh_from_db()
    assert run.cancelled_by == "alice"
    CronRun.objects.update(status="success")
    assert b"over already" in act(at(job, "runs", run.pk, "cancel")).content


def test_switching_one_off_and_on_is_recorded(act: Any, see: Any, job: CronJob) -> None:
    assert b"is off" in act(at(job, "switch")).content
    job.refresh_from_db()
    assert not job.is_active
    assert "Switched off" in row_of(see(), job)
    act(at(job, "switch"), {"on": "on"})
    job.refresh_from_db()
    assert job.is_active
    assert Activity.objects.filter(action="cron_changed", username="alice").count() == 2


def test_without_scripts_switching_off_is_asked_on_a_page_and_switching_on_is_not(
    client: Client, alice: User, job: CronJob
) -> None:
    client.force_login(alice)
    asked = client.post(at(job, "switch")).content.decode()
    assert f"Switch {job.job_name} off?" in asked
    assert f'action="{at(job, "switch")}"' in asked
    job.refresh_from_db()
    assert job.is_active
    assert client.post(at(job, "switch"), {"sure": "yes"}, follow=True).redirect_chain == [(at(job), 302)]
    job.refresh_from_db()
    assert not job.is_active
    client.post(at(job, "switch"), {"on": "on"})
    job.refresh_from_db()
    assert job.is_active


@pytest.mark.parametrize("what", ["start", "cancel"])
def test_without_scripts_a_page_asks_first_and_leads_back(
    client: Client, alice: User, job: CronJob, what: str
) -> None:
    run = ran(job, status="running") if what == "cancel" else None
    path = at(job, "runs", run.pk, "cancel") if run else at(job, "start")
    client.force_login(alice)
    asked = client.post(path)
    assert asked.status_code == 200
    assert f'action="{path}"' in asked.content.decode()
    assert not Activity.objects.filter(action__in=["cron_triggered", "cron_cancelled"]).exists()
    done = client.post(path, {"sure": "yes", "reason": "x"}, follow=True)
    assert done.redirect_chain == [(at(job), 302)]
    assert Activity.objects.filter(action__in=["cron_triggered", "cron_cancelled"]).exists()


# --- Changing --------------------------------------------------------------------------------------------------------


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send back, hidden fields and all."""
    form = page.partition('<form method="post" class="grid')[2].partition("</form>")[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = value[1] if value else ""
    found |= dict(re.findall(r'<textarea name="([^"]+)"[^>]*>\n?([^<]*)</textarea>', form))
    for name, options in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    return found


def test_saving_changes_what_was_changed_and_beat_follows(client: Client, alice: User, job: CronJob) -> None:
    client.force_login(alice)
    fields = fields_of(client.get(at(job, "edit")).content.decode())
    assert fields["schedule"] == "*/15 * * * *"
    CronJob.objects.filter(pk=job.pk).update(timeout_seconds=123)  # somebody else was quicker
    done = client.post(at(job, "edit"), fields | {"schedule": "@hourly", "timezone": "Europe/Berlin"}, follow=True)
    assert done.redirect_chain == [(at(job), 302)]
    assert "Saved." in done.content.decode()
    job.refresh_from_db()
    assert (job.schedule, job.timezone, job.timeout_seconds) == ("0 * * * *", "Europe/Berlin", 123)
    told = Activity.objects.get(action="cron_changed").details
    assert told["after"] == {"schedule": "0 * * * *", "timezone": "Europe/Berlin"}


def test_what_is_wrong_stands_at_its_field_and_nothing_is_saved(client: Client, alice: User, job: CronJob) -> None:
    client.force_login(alice)
    wrong = {"schedule": "61 * * FOO *", "timezone": "Berlin", "timeout_seconds": "9999", "catch_up": "none"}
    answer = client.post(at(job, "edit"), wrong)
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert "minute: 61 is out of range 0-59." in shown
    assert "month: FOO is no month" in shown
    assert "perhaps Europe/Berlin is meant" in shown
    assert "3600" in shown
    assert 'id="id_schedule_error"' in shown
    assert 'aria-invalid="true"' in shown
    assert 'value="61 * * FOO *"' in shown  # what was typed is still there
    job.refresh_from_db()
    assert job.schedule == "*/15 * * * *"


def test_adding_changing_and_removing_one_that_calls_an_address(client: Client, alice: User, job: CronJob) -> None:
    client.force_login(alice)
    told = fields_of(client.get(f"{PAGE}/add").content.decode()) | {
        "job_name": "acme-sync", "job_url": "https://acme.example.com/nightly", "schedule": "@daily",
        "secret_env": "WEBHOOK_ACME_SECRET", "headers": "X-Team: ops\r\nAccept: text/plain",
    }  # fmt: skip
    made = client.post(f"{PAGE}/add", told, follow=True)
    acme = CronJob.objects.get(job_name="acme-sync")
    assert made.redirect_chain == [(at(acme), 302)]
    assert acme.headers == {"X-Team": "ops", "Accept": "text/plain"}
    assert (acme.schedule, acme.method, acme.expected_status, acme.is_active) == ("0 0 * * *", "POST", "2xx", True)
    assert "There is a job of that name." in client.post(f"{PAGE}/add", told).content.decode()
    client.post(at(acme, "edit"), fields_of(client.get(at(acme, "edit")).content.decode()) | {"method": "GET"})
    acme.refresh_from_db()
    assert (acme.method, acme.headers) == ("GET", {"X-Team": "ops", "Accept": "text/plain"})
    ran(acme)
    assert "the record of its 1 run goes" in client.get(at(acme, "remove")).content.decode()
    client.post(at(acme, "remove"), {"sure": "yes"})
    assert not CronJob.objects.filter(pk=acme.pk).exists()
    actions = set(Activity.objects.filter(username="alice").values_list("action", flat=True))
    assert {"cron_added", "cron_changed", "cron_removed"} <= actions


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("job_url", "http://acme.example.com", "It must begin with https://."),
        ("secret_env", "CRON_SECRET", "may not be named here"),
        ("expected_status", "9xx", "Give a status such as 200"),
        ("headers", "Authorization: Bearer x", "is no header that a job may set"),
        ("headers", "nonsense", "has no colon"),
        ("job_name", "Acme Sync", "Small letters, digits and hyphens"),
    ],
)
def test_an_address_that_may_not_be_called_is_refused_at_its_field(
    client: Client, alice: User, job: CronJob, settings: Any, field: str, value: str, says: str
) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = False
    client.force_login(alice)
    told = fields_of(client.get(f"{PAGE}/add").content.decode()) | {
        "job_name": "acme-sync", "job_url": "https://acme.example.com", "schedule": "@daily", field: value,
    }  # fmt: skip
    shown = client.post(f"{PAGE}/add", told).content.decode()
    errors = re.search(rf'<ul[^>]*id="id_{field}_error">(.*?)</ul>', shown, re.DOTALL)
    assert errors is not None
    assert says in errors[1]
    assert not CronJob.objects.filter(job_name="acme-sync").exists()


def test_work_of_ours_has_no_address_to_change_and_can_not_be_removed(
    client: Client, alice: User, job: CronJob
) -> None:
    client.force_login(alice)
    shown = client.get(at(job, "edit")).content.decode()
    assert 'name="job_url"' not in shown
    assert at(job, "remove") not in shown
    client.post(at(job, "edit"), fields_of(shown) | {"job_url": "https://elsewhere.example.com"})
    client.post(at(job, "remove"), {"sure": "yes"})
    job.refresh_from_db()
    assert job.job_url == "/api/cron/integrations-health-check"


# --- What a schedule means -------------------------------------------------------------------------------------------


def test_a_schedule_is_told_in_words_with_its_next_runs_and_who_else_starts_then(see: Any, job: CronJob) -> None:
    shown = see(f"{PAGE}/check", data={"schedule": "@hourly"}, headers=HTMX)
    assert "Every hour" in shown
    assert "Stored as <code>0 * * * *</code>" in shown
    assert shown.count("<time") == 5
    assert "integrations-health-check starts in the same minute" in shown
    itself = see(f"{PAGE}/check", data={"schedule": "@hourly", "job": str(job.pk)}, headers=HTMX)
    assert "integrations-health-check starts in the same minute" not in itself


def test_what_is_wrong_with_a_schedule_is_told_with_its_place(see: Any, job: CronJob) -> None:
    shown = see(f"{PAGE}/check", data={"schedule": "30 2,61 * * *", "timezone": "Nowhere"}, headers=HTMX)
    assert "Field 2, hour: 61 is out of range 0-23." in shown
    assert "Nowhere is no time zone" in shown
    wrong = re.findall(r'title="(\w+)">\w+<span class="sr-only">: wrong', shown)
    assert wrong == ["hour"]


def test_the_validator_is_a_page_of_its_own_without_scripts(see: Any, job: CronJob) -> None:
    shown = see(f"{PAGE}/check", data={"schedule": "0 12 * * *", "timezone": "Europe/Berlin"})
    assert "<html" in shown
    assert "At 12:00" in shown
    assert ", 12:00</span>" in shown  # by the zone's clock, not by ours
    assert "Five fields" in see(f"{PAGE}/check")
    assert see(f"{PAGE}/check", data={"schedule": "\x00" * 2000, "job": "nonsense"})


# --- For whom --------------------------------------------------------------------------------------------------------


def test_whoever_may_only_look_sees_no_button(client: Client, bob: User, job: CronJob, outside: CronJob) -> None:
    client.force_login(bob)
    for path in (PAGE, at(job), at(outside)):
        shown = client.get(path).content.decode().partition("<main")[2].partition('id="act"')[0]
        assert "formaction" not in shown
        assert 'role="switch"' not in shown
        assert "/edit" not in shown
        assert "/add" not in shown
        assert "hush" not in shown  # an address's query may hold a key


def test_whoever_may_only_start_can_start_and_nothing_else(
    client: Client, charlie: User, sync: CronJob, registry: dict[str, Integration], started: list[Any]
) -> None:
    for perm in ("read", "cron:trigger"):
        assign_perm(f"integrations.{perm}", charlie, registry["zoho-billing"])
    client.force_login(charlie)
    shown = client.get(PAGE).content.decode()
    assert re.findall(r'<tr id="job-([0-9a-f-]+)"', shown) == [str(sync.pk)]
    assert at(sync, "start") in shown
    assert at(sync, "edit") not in shown
    assert client.post(at(sync, "switch"), headers=HTMX).status_code == 403
    assert client.get(at(sync, "edit")).status_code == 403
    assert client.post(at(sync, "start"), headers=HTMX).status_code == 200
    assert len(started) == 1


def test_a_grant_on_one_integration_shows_its_jobs_alone(
    client: Client, charlie: User, job: CronJob, sync: CronJob, registry: dict[str, Integration]
) -> None:
    assign_perm("integrations.read", charlie, registry["zoho-billing"])
    ran(job, status="missed")
    client.force_login(charlie)
    shown = client.get(PAGE).content.decode()
    assert job.job_name not in shown
    for path in (at(job), f"{PAGE}/named/{job.job_name}", at(job, "runs", ran(job, 2 * MINUTE).pk)):
        assert client.get(path).status_code == 404
    assert client.get(at(sync)).status_code == 200
    assert job.job_name not in client.get(f"{PAGE}/check", {"schedule": "@hourly"}).content.decode()


def test_an_address_is_added_for_an_integration_by_who_may_manage_that_one(
    client: Client, charlie: User, job: CronJob, registry: dict[str, Integration]
) -> None:
    for perm in ("read", "manage"):
        assign_perm(f"integrations.{perm}", charlie, registry["resend"])
    client.force_login(charlie)
    told = fields_of(client.get(f"{PAGE}/add").content.decode()) | {
        "job_name": "acme-sync", "job_url": "https://acme.example.com", "schedule": "@daily",
    }  # fmt: skip
    for slug in ("", "netcash"):
        assert client.post(f"{PAGE}/add", told | {"integration": slug}).status_code == 422
    assert client.post(f"{PAGE}/add", told | {"integration": "resend"}).status_code == 302
    assert CronJob.objects.get(job_name="acme-sync").integration == registry["resend"]


def test_an_empty_page_says_why(client: Client, charlie: User, job: CronJob, registry: dict[str, Integration]) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    assert "No scheduled jobs here" in client.get(PAGE).content.decode()


# --- From an alarm to the answer -------------------------------------------------------------------------------------


def test_an_alarm_about_a_job_leads_to_its_page(client: Client, alice: User, job: CronJob) -> None:
    client.force_login(alice)
    path = words.place(Alarm.Kind.JOB, [], f"job:{job.job_name}")
    assert client.get(path, follow=True).redirect_chain == [(at(job), 302)]
    assert words.place(Alarm.Kind.SLOTS, [], "slots:missed") == PAGE
