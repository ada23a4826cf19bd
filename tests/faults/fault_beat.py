"""Beat is killed for seven minutes: what was missed is in the ledger, told once, and caught up as declared."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import psycopg

from tests.faults.counting import JOBS
from tests.faults.crew import Crew, prepared
from tests.flows.system import database

MINUTE, OFF = timedelta(minutes=1), 7.0
EACH_MINUTE, TOO, HOURLY = JOBS


class Told(BaseHTTPRequestHandler):
    """Where alerts go."""

    bodies: list[str] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_seven_minutes_without_beat(tmp_path):
    now = datetime.now(UTC)
    # The hourly one is due in the first minute of the outage.
    hourly = (now + timedelta(minutes=4)).replace(second=0, microsecond=0)
    channel = HTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=channel.serve_forever, daemon=True).start()
    with database("postgresql") as own:
        own["REDIS_URL"] = urlsplit(own["REDIS_URL"])._replace(path="/8").geturl()
        own["ALERT_TO"] = f"json://127.0.0.1:{channel.server_port}/"
        own["OUTBOUND_ALLOWED_NETWORKS"] = "127.0.0.0/8"
        schedules = {EACH_MINUTE: "* * * * *", TOO: "* * * * *", HOURLY: f"{hourly.minute} * * * *"}
        system = prepared(tmp_path, own, schedules)
        with psycopg.connect(own["DATABASE_URL"], autocommit=True) as db:
            db.execute("UPDATE integration_cron_jobs SET catch_up = 'latest' WHERE job_name = %s", [HOURLY])
        crew = Crew(system, tmp_path / "crew.log")
        try:
            crew.start("beat")
            crew.start("worker")
            time.sleep((hourly - MINUTE - datetime.now(UTC)).total_seconds() + 10)
            crew.kill("beat")
            off = datetime.now(UTC)
            time.sleep(OFF * 60)
            on = datetime.now(UTC)
            crew.start("beat")
            time.sleep(180)  # what was missed is found, told, and done late
        finally:
            crew.end()
            channel.shutdown()
            channel.server_close()
        rows = system.rows(
            "SELECT job_name, scheduled_for, status, started_at FROM integration_cron_runs r "
            "JOIN integration_cron_jobs j ON j.id = r.job_id ORDER BY scheduled_for"
        )
        effects = Counter(job for (job,) in system.rows("SELECT job FROM effects"))
        alarms = system.rows("SELECT title, opened_at FROM integration_alarms WHERE kind = 'slots'")
    told = [body for body in Told.bodies if "missed" in body]
    missed = {name: [at for job, at, status, _ in rows if (job, status) == (name, "missed")] for name in schedules}
    print(
        f"\nbeat was off {off:%H:%M:%S}-{on:%H:%M:%S}; missed: "
        f"{ {name: [f'{at:%H:%M}' for at in slots] for name, slots in missed.items()} }\n"
        f"hourly: {[(f'{at:%H:%M}', status, f'{began:%H:%M:%S}') for job, at, status, began in rows if job == HOURLY]}"
        f"\n{dict(Counter(status for _, _, status, _ in rows))}; alarms: {alarms}; messages: {len(told)}\n{told[:1]}"
    )
    assert max(Counter((job, at) for job, at, *_ in rows).values()) == 1
    for name in (EACH_MINUTE, TOO):
        inside = [at for at in missed[name] if off < at < on]
        # The last may be started late, by beat that makes good on it.
        assert len(missed[name]) == len(inside)
        assert OFF - 1 <= len(inside) <= OFF
        assert effects[name] == sum(job == name and status == "success" for job, _, status, _ in rows)
    assert [(at, status) for job, at, status, _ in rows if job == HOURLY] == [(hourly, "success")]
    assert effects[HOURLY] == 1
    assert len(alarms) == len(told) == 1
