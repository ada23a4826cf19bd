"""Beats and workers as processes of their own, over jobs that only count."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.flows.system import ROOT, System

BEAT = ["beat", "--loglevel", "WARNING", "--pidfile="]
WORKER = ["worker", "--loglevel", "WARNING", "--concurrency", "1", "--without-gossip", "--without-mingle"]


class Crew:
    """Beats and workers, each in a process group of its own."""

    def __init__(self, system: System, log: Path) -> None:
        self.system, self.log = system, log
        self.members: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "tests.faults.counting"]
        told = BEAT if name.startswith("beat") else [*WORKER, "--hostname", f"{name}@here"]
        with self.log.open("ab") as log:
            self.members[name] = subprocess.Popen(
                [*command, *told], cwd=ROOT, env=self.system.env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        os.killpg(self.members[name].pid, signal.SIGKILL)
        self.members[name].wait()

    def end(self) -> None:
        for member in self.members.values():
            with suppress(ProcessLookupError):
                os.killpg(member.pid, signal.SIGKILL)
            member.wait()


def prepared(folder: Path, env: Mapping[str, str], schedules: Mapping[str, str]) -> System:
    """A database in which only these jobs are on, at these times, with ledgers that begin now; nothing runs yet."""
    system = System(folder, {**env, "SANDBOX": "0"})
    system.manage("migrate")
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
        db.execute("CREATE TABLE effects (job text, pid integer, at timestamptz)")
        db.execute("UPDATE integration_cron_jobs SET is_active = false, timeout_seconds = 10")
        for name, schedule in schedules.items():
            told = "UPDATE integration_cron_jobs SET is_active = true, schedule = %s WHERE job_name = %s"
            db.execute(told, [schedule, name])
        system.manage("shell", "-c", FOLLOW)
        db.execute("UPDATE integration_cron_jobs SET ledger_until = now()")
    return system


FOLLOW = """
from integrations.cron import services
from integrations.cron.models import CronJob
for job in CronJob.objects.all():
    services.follow(job, runnable=True)
"""
