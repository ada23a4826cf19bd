"""Old entries go under a signed anchor, and what is left proves itself at every moment. The triggers are on."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from config import schedule
from integrations import activity, retention, triggers
from integrations.actor import Actor
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity, ActivityAnchor, ActivityHead

NOW = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
ALICE = Actor(username="alice", ip_address="192.0.2.7")
ROOT = Path(__file__).resolve().parent.parent.parent


def write(*ages: float) -> None:
    """One entry for each age, in days before NOW."""
    for age in ages:
        with time_machine.travel(NOW - timedelta(days=age), tick=False):
            activity.record(actor=ALICE, action="login", details={"days": int(age)})


def left() -> list[int]:
    return list(Activity.objects.order_by("seq").values_list("seq", flat=True))


def anchors() -> list[int]:
    return list(ActivityAnchor.objects.order_by("seq").values_list("seq", flat=True))


def whole() -> bool:
    return list(activity.verify()) == []


def refuses(attempt: Callable[[], Any]) -> bool:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        attempt()
    return True


def by_hand(change: Callable[[], Any]) -> None:
    """What only the database's owner can do: lift the triggers, and put them back."""
    triggers.remove(connection)
    change()
    triggers.install(connection)


@pytest.fixture(autouse=True)
def _at_half_past_two() -> Iterator[None]:
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def guarded(db: None) -> Iterator[None]:
    triggers.install(connection)
    yield
    triggers.remove(connection)


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """The same, where other threads and processes see it."""
    triggers.install(connection)
    yield
    triggers.remove(connection)


# --- What goes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ages", [(), (400,), (89, 10), (90, 89)])
def test_where_nothing_is_due_nothing_happens(guarded: None, ages: tuple[float, ...]) -> None:
    write(*ages)
    done = retention.run(now=NOW)
    assert (done["removed"], done["from"], done["left"], done["finished"]) == (0, None, 0, True)
    assert done["message"] == "Nothing to remove: entries are kept for 90 days."
    assert left() == list(range(1, len(ages) + 1))
    assert anchors() == []


def test_what_is_older_goes_under_a_signed_anchor_and_an_entry_tells_of_it(guarded: None) -> None:
    write(200, 100, 91, 89, 1)
    assert whole()
    done = retention.run(now=NOW)
    assert (done["removed"], done["from"], done["to"], done["finished"]) == (3, 1, 3, True)
    assert done["message"] == "3 entries older than 90 days were removed (#1 to #3)."
    assert left() == [4, 5, 6]
    anchor = ActivityAnchor.objects.get()
    assert (anchor.seq, anchor.created_at) == (3, NOW)
    entry = Activity.objects.latest("seq")
    assert (entry.username, entry.action, entry.outcome) == ("system", "activity_removed", "success")
    assert entry.details == {"from": 1, "to": 3, "rows": 3, "older_than_days": 90}
    assert whole()
    assert retention.run(now=NOW)["removed"] == 0
    write(0)
    assert left() == [4, 5, 6, 7]
    assert whole()


def test_where_all_is_due_the_newest_stays(guarded: None) -> None:
    write(400, 300, 200)
    assert retention.run(now=NOW)["to"] == 2
    assert left() == [3, 4]
    assert whole()
    assert retention.run(now=NOW + timedelta(days=1))["to"] == 3
    assert left() == [4, 5]
    later = NOW + timedelta(days=400)  # nobody came for a year
    with time_machine.travel(later):
        assert [retention.run(now=later)["removed"] for _ in range(3)] == [1, 1, 0]
    assert whole()


def test_day_after_day_each_anchor_stands_above_the_one_before(guarded: None) -> None:
    write(93, 92, 91, 5)
    for day in range(-2, 2):
        retention.run(now=NOW + timedelta(days=day))
        assert whole()
    assert anchors() == [1, 2, 3]
    assert left()[0] == 4


def test_a_wrong_clock_takes_nothing_younger_with_it(guarded: None) -> None:
    write(100, 10, 9000, 5)
    assert retention.run(now=NOW)["to"] == 1
    assert left()[:3] == [2, 3, 4]


@pytest.mark.parametrize(("days", "kept"), [(120, 120), (30, 30), (7, 30), (0, 30)])
def test_the_setting_says_how_long_but_a_month_is_the_least(
    guarded: None, settings: Any, days: int, kept: int
) -> None:
    settings.ACTIVITY_RETENTION_DAYS = days
    write(kept + 1, kept - 1, 0)
    assert retention.run(now=NOW)["to"] == 1
    assert Activity.objects.latest("seq").details["older_than_days"] == kept


def test_a_dry_run_proves_and_counts_and_changes_nothing(guarded: None) -> None:
    write(100, 95, 10)
    done = retention.run(now=NOW, dry_run=True)
    assert (done["removed"], done["from"], done["to"], done["left"]) == (2, 1, 2, 0)
    assert done["message"] == "2 entries older than 90 days would be removed (#1 to #2)."
    assert (left(), anchors(), ActivityHead.objects.get().seq) == ([1, 2, 3], [], 3)


def test_many_go_in_batches_and_what_a_run_does_not_reach_stays_for_the_next(
    guarded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "MOST", 5)
    write(*range(108, 100, -1), 1)
    assert retention.run(now=NOW, budget_seconds=-1)["message"] == "Nothing was removed; 8 more next time."
    done = retention.run(now=NOW)
    assert (done["removed"], done["left"], done["finished"]) == (5, 3, False)
    assert done["message"] == "5 entries older than 90 days were removed (#1 to #5); 3 more next time."
    assert (left()[0], anchors()) == (6, [2, 4, 5])
    assert whole()
    assert retention.run(now=NOW)["removed"] == 3
    told = [entry.details for entry in Activity.objects.filter(action="activity_removed").order_by("seq")]
    assert [(each["from"], each["to"]) for each in told] == [(1, 2), (3, 4), (5, 5), (6, 7), (8, 8)]
    assert whole()


# --- What the database forbids ---------------------------------------------------------------------------------------


def test_plain_sql_removes_nothing_that_retention_has_left(guarded: None) -> None:
    write(100, 95, 10, 5)
    table = "integration_activity_log"

    def execute(statement: str) -> Callable[[], Any]:
        return lambda: connection.cursor().execute(statement)

    assert refuses(execute(f"DELETE FROM {table} WHERE seq = 1"))
    retention.run(now=NOW)
    for seq in left():
        assert refuses(execute(f"DELETE FROM {table} WHERE seq = {seq}"))
        assert refuses(execute(f"UPDATE {table} SET username = 'mallory' WHERE seq = {seq}"))
    assert left() == [3, 4, 5]
    assert whole()


# --- Evidence stays --------------------------------------------------------------------------------------------------

BREAKS: dict[str, tuple[Callable[[], Any], str]] = {
    "changed": (lambda: Activity.objects.filter(seq=2).update(username="mallory"), "Row #2 (mallory"),
    "last to go": (lambda: Activity.objects.filter(seq=4).update(details={}), "Row #4"),
    "first gone": (lambda: Activity.objects.filter(seq=1).delete(), "Row #1 is missing before #2"),
    "one gone": (lambda: Activity.objects.filter(seq=3).delete(), "Row #3 is missing before #4"),
    "last gone": (lambda: Activity.objects.filter(seq=4).delete(), "Row #4 is missing."),
    "aged": (
        lambda: Activity.objects.filter(seq=5).update(created_at=NOW - timedelta(days=300)),
        "Row #5",
    ),
    "forged anchor": (
        lambda: ActivityAnchor.objects.create(seq=2, hash="f" * 64, signature="0" * 64),
        "anchor at #2 carries a signature that isn't ours",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_was_tampered_with_is_not_swept_away(
    guarded: None, monkeypatch: pytest.MonkeyPatch, name: str, dry_run: bool
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    change, told = BREAKS[name]
    write(100, 99, 98, 97, 10, 5)
    by_hand(change)
    before = (left(), anchors(), ActivityHead.objects.get().seq)
    done = retention.run(now=NOW, dry_run=dry_run)
    assert (done["removed"], done["finished"]) == (0, False)
    assert told in done["findings"][0]
    assert done["message"].startswith("Nothing was removed: what comes next isn't whole, and is kept as evidence.")
    assert (left(), anchors(), ActivityHead.objects.get().seq) == before
    assert not whole()


def test_what_is_tampered_with_while_it_runs_stops_it_there(guarded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    write(100, 99, 98, 97, 5)
    remove = retention._remove

    def remove_and_tamper(*args: Any, **kwargs: Any) -> range:
        batch = remove(*args, **kwargs)
        by_hand(lambda: Activity.objects.filter(seq=4).update(username="mallory"))
        return batch

    monkeypatch.setattr(retention, "_remove", remove_and_tamper)
    done = retention.run(now=NOW)
    assert (done["removed"], done["to"], done["left"]) == (2, 2, 2)
    assert "(#1 to #2): what comes next isn't whole" in done["message"]
    assert (left()[:3], anchors()) == ([3, 4, 5], [2])


def test_what_is_broken_above_hinders_nothing_below_and_is_still_found(guarded: None) -> None:
    write(100, 99, 10, 5, 1)
    by_hand(lambda: Activity.objects.filter(seq=4).update(username="mallory"))
    assert retention.run(now=NOW)["to"] == 2
    assert ["Row #4" in finding for finding in activity.verify()] == [True]


def test_the_job_fails_and_says_what_was_tampered_with(guarded: None) -> None:
    job = CronJob.objects.get(job_name="activity-retention")
    work = schedule.BY_NAME[job.job_name].work
    write(100, 99, 5)
    by_hand(lambda: Activity.objects.filter(seq=1).update(username="mallory"))
    assert work is not None
    run = cron.run(job, work, scheduled_for=None, trigger="manual", now=NOW)
    assert run is not None
    assert run.status == CronRun.Status.FAILED
    assert "Row #1 (mallory login" in run.error_message
    assert left() == [1, 2, 3]


# --- Cut short, and two at once --------------------------------------------------------------------------------------


def test_an_anchor_whose_rows_are_still_there_is_taken_up(guarded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    write(100, 99, 98, 97, 5)
    for seq in (2, 3):
        signed = Activity.objects.get(seq=seq).hash
        ActivityAnchor.objects.create(seq=seq, hash=signed, signature=activity.sign_anchor(seq, signed))
    assert whole()
    assert retention.run(now=NOW)["removed"] == 4
    assert (left()[0], anchors()) == (5, [2, 3, 4])
    assert whole()


KILLED = """
import json, os, signal, sys
told = json.loads(sys.argv[1])
import django
django.setup()
from datetime import datetime
import time_machine
from django.db import connection
connection.settings_dict["NAME"] = told["database"]
from integrations import activity, retention
now = datetime.fromisoformat(told["now"])
owner, name = (retention, told["name"]) if hasattr(retention, told["name"]) else (activity, told["name"])
begun, calls = getattr(owner, name), 0
def then_die(*args, **kwargs):
    global calls
    calls += 1
    done = begun(*args, **kwargs)
    if calls == told["call"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(owner, name, then_die)
retention.BATCH = 2
with time_machine.travel(now):
    retention.run(now=now)
"""


@pytest.mark.parametrize(
    ("name", "call", "gone"),
    [
        ("_anchor", 1, 0),  # signed, nothing removed yet
        ("_anchor", 2, 2),
        ("record", 2, 2),  # removed and told, not committed
        ("_remove", 1, 2),  # committed: between two batches
        ("_remove", 2, 4),
    ],
)
def test_kill_9_at_any_point_leaves_a_whole_log_and_the_next_run_goes_on(
    committed: None, name: str, call: int, gone: int
) -> None:
    write(*range(105, 100, -1), 5)
    told = {"database": str(connection.settings_dict["NAME"]), "now": NOW.isoformat(), "name": name, "call": call}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(told)],
        cwd=ROOT, env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert left()[0] == gone + 1
    assert anchors() == list(range(2, gone + 1, 2))
    assert Activity.objects.filter(action="activity_removed").count() == gone / 2
    assert whole()
    assert retention.run(now=NOW)["removed"] == 5 - gone
    assert left()[0] == 6
    assert whole()


def test_several_at_once_remove_each_row_once_while_others_write_and_verify(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    write(*([100] * 60), 5)
    runs: list[dict[str, Any]] = []
    findings: list[str] = []
    errors: list[BaseException] = []

    def remove() -> None:
        runs.append(retention.run(now=NOW))

    def append() -> None:
        for number in range(20):
            activity.record(actor=ALICE, action="login", details={"number": number})

    def prove() -> None:
        for _ in range(20):
            findings.extend(activity.verify())

    def guarded_run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded_run, args=(work,)) for work in (remove, prove, append, remove, prove)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, findings) == ([], [])
    assert sum(run["removed"] for run in runs) == 60
    assert all(run["finished"] for run in runs)
    told = [entry.details for entry in Activity.objects.filter(action="activity_removed").order_by("seq")]
    assert [seq for each in told for seq in range(each["from"], each["to"] + 1)] == list(range(1, 61))
    assert left() == list(range(61, 61 + 1 + 20 + len(told)))
    assert whole()


# --- The commands ----------------------------------------------------------------------------------------------------


def test_the_command_counts_or_removes_and_verify_says_what_was_removed(
    guarded: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write(100, 99, 40, 5)
    call_command("prune_activity", "--dry-run", "--days", "30")
    call_command("prune_activity")
    call_command("verify_activity")
    assert capsys.readouterr().out.splitlines() == [
        "3 entries older than 30 days would be removed (#1 to #3).",
        "2 entries older than 90 days were removed (#1 to #2).",
        "The activity log is whole: 3 rows, chained without a break.",
        "Rows #1 to #2 were removed under an anchor of 2026-11-22.",
    ]
    assert Activity.objects.latest("seq").username == "command line"
    with pytest.raises(CommandError, match="begins at 30"):
        call_command("prune_activity", "--days", "29")


def test_the_commands_fail_where_the_log_is_broken(guarded: None, capsys: pytest.CaptureFixture[str]) -> None:
    write(100, 99, 98, 5)
    retention.run(now=NOW - timedelta(days=9))
    by_hand(lambda: Activity.objects.filter(seq=2).update(username="mallory"))
    with pytest.raises(CommandError, match=r"Row #2 \(mallory"):
        call_command("prune_activity")
    with pytest.raises(SystemExit):
        call_command("verify_activity")
    told = capsys.readouterr()
    assert told.out == "Rows #1 to #1 were removed under an anchor of 2026-11-13.\n"
    assert "Row #2 (mallory" in told.err
