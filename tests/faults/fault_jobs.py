"""Two beats and three workers for ten minutes, one of them killed every half a minute: each slot runs once."""

import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from tests.faults.counting import JOBS
from tests.faults.crew import Crew, prepared
from tests.flows.system import database

MINUTES = float(os.environ.get("FAULT_MINUTES", "10"))


def test_each_slot_has_one_row_and_ran_once(tmp_path):
    chosen = random.Random(6)  # the same deaths each time
    # A database of Redis for itself: other tests' messages are in the usual one.
    with database("postgresql") as own:
        own["REDIS_URL"] = urlsplit(own["REDIS_URL"])._replace(path="/7").geturl()
        system = prepared(tmp_path, own, dict.fromkeys(JOBS[:2], "* * * * *"))
        crew = Crew(system, tmp_path / "crew.log")
        names = ["beat-1", "beat-2", "worker-1", "worker-2", "worker-3"]
        deaths: Counter[str] = Counter()
        try:
            for name in names:
                crew.start(name)
            ends = time.monotonic() + MINUTES * 60
            while time.monotonic() < ends:
                time.sleep(chosen.uniform(15, 35))
                victim = chosen.choice(names)
                crew.kill(victim)
                deaths[victim.partition("-")[0]] += 1
                time.sleep(chosen.uniform(1, 6))
                crew.start(victim)
            time.sleep(75)  # what was in hand ends, what was lost is found
        finally:
            crew.end()
        rows = system.rows(
            "SELECT job_name, scheduled_for, status FROM integration_cron_runs r "
            "JOIN integration_cron_jobs j ON j.id = r.job_id WHERE scheduled_for IS NOT NULL"
        )
        effects = system.rows("SELECT job, at FROM effects")
        said = (tmp_path / "crew.log").read_text()[-2000:]
    slots = Counter((job, at) for job, at, _ in rows)
    statuses = Counter(status for *_, status in rows)
    # An effect belongs to the slot in whose minute its run began.
    done = Counter((job, (at - timedelta(seconds=1)).replace(second=0, microsecond=0)) for job, at in effects)
    print(
        f"\n{len(rows)} slots of {len(JOBS[:2])} jobs, {dict(statuses)}; killed: {dict(deaths)}\n"
        f"{len(effects)} effects; slots with more than one: {[slot for slot, n in done.items() if n > 1]}\n{said}"
    )
    assert set(slots.values()) == {1}
    for name in JOBS[:2]:
        mine = sorted(at for job, at in slots if job == name)
        assert all(after - before == timedelta(minutes=1) for before, after in pairwise(mine))
        assert mine[-1] > datetime.now(UTC) - timedelta(minutes=4)
    assert max(done.values()) == 1
    assert sum(done.values()) >= statuses["success"]
    assert statuses["success"] >= MINUTES * len(JOBS[:2]) * 0.6
    assert set(statuses) <= {"success", "timeout", "missed", "running", "skipped"}
