"""Several web processes refuse at once: each reason is told once a minute, at the first, and all are counted."""

import json
import os
import subprocess
import sys
import time

import psycopg
import pytest

from tests.flows.system import ROOT, database
from tests.webhooks.conftest import SECRETS

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

PROCESSES, EACH = 3, 400


def test_each_reason_is_told_once_a_minute_at_the_first_and_all_are_counted(tmp_path):
    with database("postgresql") as own:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "TEST_"))}
        env |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull, "SANDBOX": "0", **SECRETS}
        env |= {"DATA_DIR": str(tmp_path / "data"), **own, "REDIS_URL": "", "PYTHONPATH": str(ROOT)}

        def start(*args: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, *args], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

        def end(process: subprocess.Popen[str]) -> str:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err[-3000:]
            return out

        end(start("manage.py", "migrate", "--verbosity=0"))
        go, names = tmp_path / "go", [f"web{n}" for n in range(PROCESSES)]
        crew = [start("-m", "tests.webhooks.refuser", name, str(EACH), str(go)) for name in names]
        ends = time.monotonic() + 60
        while not all((tmp_path / f"{name}.ready").exists() for name in names) and time.monotonic() < ends:
            time.sleep(0.02)
        go.touch()
        seen = [json.loads(end(process)) for process in crew]
        with psycopg.connect(own["DATABASE_URL"]) as connection:
            keys = [key for (key,) in connection.execute(
                "SELECT once_key FROM integration_activity_log WHERE action = 'webhook_verification_failed'"
            )]  # fmt: skip
            tallies = list(connection.execute("SELECT kept, reasons FROM integration_webhook_refusals"))
            rows = connection.execute("SELECT count(*) FROM integration_webhook_quarantine").fetchone()
            logs = connection.execute("SELECT count(*) FROM integration_webhook_logs").fetchone()
        end(start("manage.py", "verify_activity"))
    assert [one["told"] for one in seen] == [[True, True]] * PROCESSES
    assert {status for one in seen for status in one["answers"]} == {"401", "429"}
    minutes = {key.rpartition(":")[2] for key in keys}
    assert len(keys) == len(set(keys)) == 2 * len(minutes)  # mismatch and missing_header, in each minute of it
    assert len(minutes) <= 2
    counted = {}
    for _, reasons in tallies:
        counted = {reason: counted.get(reason, 0) + number for reason, number in reasons.items()}
    assert counted == {"mismatch": PROCESSES * EACH // 2, "missing_header": PROCESSES * EACH // 2}
    assert sum(kept for kept, _ in tallies) == (rows or [0])[0] <= 100 * len(tallies)
    assert logs == (0,)
