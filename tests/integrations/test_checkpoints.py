"""What proves the log from outside: checkpoints kept elsewhere, exports with a seal."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations import activity, checkpoints, retention
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, ActivityHead

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, 12, 0, 7, 1234, tzinfo=UTC)


def write(count: int, **details: Any) -> None:
    for number in range(count):
        activity.record(actor=Actor(username="alice"), action="login", details={"number": number} | details)


def told(command: str, *args: str) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out)
    return out.getvalue()


# --- Checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_reads_back_as_it_was_written() -> None:
    write(3)
    line = str(checkpoints.take(now=NOW))
    assert line.startswith("activity-checkpoint v1 #3 2026-11-27T12:00:07Z ")
    assert checkpoints.read(line) == checkpoints.take(now=NOW)


def test_of_an_empty_log_there_is_one_too() -> None:
    line = str(checkpoints.take(now=NOW))
    assert list(checkpoints.compare([line, ""])) == []


def test_a_log_that_grew_fits_its_checkpoints() -> None:
    lines = []
    for _ in range(3):
        write(2)
        lines.append(str(checkpoints.take(now=NOW)))
    assert list(checkpoints.compare(lines)) == []


def test_an_end_that_was_cut_with_its_head_is_found() -> None:
    """What the chain alone can't see: the owner of the database took the newest rows and set the head back."""
    write(5)
    line = str(checkpoints.take(now=NOW))
    Activity.objects.filter(seq__gt=3).delete()
    ActivityHead.objects.update(seq=3, hash=Activity.objects.get(seq=3).hash)
    assert list(activity.verify()) == []
    assert list(checkpoints.compare([line])) == [
        "The log ends at #3, but on 2026-11-27 12:00 UTC it reached #5: its end was cut off."
    ]


def test_a_log_that_was_written_anew_is_found() -> None:
    """By somebody who has the key as well: the chain is whole, and another."""
    write(5)
    line = str(checkpoints.take(now=NOW))
    Activity.objects.all().delete()
    ActivityHead.objects.all().delete()
    write(6, other=True)
    assert list(activity.verify()) == []
    assert list(checkpoints.compare([line])) == [
        "Row #5 is not the one that stood there on 2026-11-27 12:00 UTC: the log was written anew."
    ]


def test_what_retention_removed_is_no_finding(settings: Any) -> None:
    write(4)
    lines = [str(checkpoints.take(now=NOW))]
    write(2)
    retention.run(now=timezone.now() + timedelta(days=400), actor=SYSTEM, keep_days=None, dry_run=False)
    assert not Activity.objects.filter(seq=4).exists()
    assert list(checkpoints.compare(lines)) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda line: line.replace("#3", "#2"), "carries a signature that isn't ours"),
        (lambda line: line[:-1] + ("0" if line[-1] != "0" else "1"), "carries a signature that isn't ours"),
        (lambda line: line.replace("12:00:07", "12:00:08"), "carries a signature that isn't ours"),
        (lambda line: line.replace("v1", "v2"), "is no checkpoint"),
        (lambda line: "nonsense", "is no checkpoint"),
        (lambda line: line.replace("#3", "#three"), "is no checkpoint"),
    ],
)
def test_a_line_that_is_not_ours_is_told(change: Any, finding: str) -> None:
    write(3)
    line = change(str(checkpoints.take(now=NOW)))
    assert list(checkpoints.compare(["", line])) == [f"Line 2 of the checkpoints {finding}."]


def test_another_key_signs_another_line(settings: Any) -> None:
    line = str(checkpoints.take(now=NOW))
    settings.ACTIVITY_KEY = "another key, as long as it has to be, at least"
    assert list(checkpoints.compare([line])) == ["Line 1 of the checkpoints carries a signature that isn't ours."]


def test_the_commands_find_a_cut_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "checkpoints"
    write(3)
    kept.write_text(told("activity_checkpoint"))
    assert "Held against 1 checkpoints." in told("verify_activity", "--checkpoints", str(kept))
    Activity.objects.filter(seq=3).delete()
    ActivityHead.objects.update(seq=2, hash=Activity.objects.get(seq=2).hash)
    with pytest.raises(SystemExit):
        told("verify_activity", "--checkpoints", str(kept))
    assert "its end was cut off" in capsys.readouterr().err
    with pytest.raises(CommandError, match="No such file"):
        told("verify_activity", "--checkpoints", str(tmp_path / "nowhere"))


# --- Exports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_export_is_proved_by_its_seal(tmp_path: Path, form: str) -> None:
    write(3, note="=1+1, “quoted”\n")
    file = tmp_path / f"activity.{form}"
    assert told("export_activity", str(file)) == f"3 entries, #1 to #3, sealed in activity.{form}.seal.\n"
    assert told("verify_activity", "--export", str(file)) == f"activity.{form} is as it was sealed.\n"
    text = file.read_text()
    if form == "json":
        rows = [json.loads(line) for line in text.splitlines()]
        assert rows[2]["details"] == {"number": 2, "note": "=1+1, “quoted”\n"}
    else:
        rows = list(csv.DictReader(StringIO(text)))
        assert json.loads(rows[2]["details"])["number"] == 2
    assert [int(row["seq"]) for row in rows] == [1, 2, 3]
    assert rows[0]["hash"] == Activity.objects.get(seq=1).hash


def test_cells_that_a_spreadsheet_would_calculate_are_neutralised(tmp_path: Path) -> None:
    activity.record(actor=Actor(username="=cmd()", user_agent="@x"), action="login")
    told("export_activity", str(tmp_path / "a.csv"))
    assert "'=cmd()" in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize("change", [lambda data: data + b" ", lambda data: data[:-9], lambda data: b"x" + data[1:]])
def test_a_file_that_was_changed_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any) -> None:
    write(2)
    file = tmp_path / "a.json"
    told("export_activity", str(file))
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(SystemExit):
        told("verify_activity", "--export", str(file))
    assert "not the one that was sealed" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"rows": 1}, {"last": 9}, {"at": "2020-01-01T00:00:00Z"}, {"signature": "00"}])
def test_a_seal_that_was_changed_is_found(tmp_path: Path, change: dict[str, Any]) -> None:
    write(2)
    file = tmp_path / "a.json"
    told("export_activity", str(file))
    seal = json.loads((tmp_path / "a.json.seal").read_text())
    assert (
        checkpoints.broken([file.read_bytes()], json.dumps(seal | change))
        == "The seal carries a signature that isn't ours."
    )
    assert checkpoints.broken([], "no seal") == "The seal can't be read."
    assert checkpoints.broken([], json.dumps({"rows": 1})) == "The seal can't be read."


def test_days_are_those_of_the_installation_and_nothing_is_written_over(tmp_path: Path) -> None:
    write(1)
    today = f"{timezone.localdate():%Y-%m-%d}"
    assert told("export_activity", str(tmp_path / "a.json"), "--from", today, "--to", today).startswith("1 entry,")
    assert told("export_activity", str(tmp_path / "b.json"), "--to", "2020-01-01").startswith("0 entries")
    with pytest.raises(CommandError, match="File exists"):
        told("export_activity", str(tmp_path / "a.json"))
    with pytest.raises(CommandError, match="must end in"):
        told("export_activity", str(tmp_path / "a.xlsx"))
