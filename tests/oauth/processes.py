"""What the tests steer `tests/oauth/worker.py` with.

with crew(tmp_path, "postgresql", provider.url) as hire:
    worker = hire()
    worker.run("connect", slug="acme", user="alice")
    job = worker.start("use", slug="acme")
    worker.kill(job)
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.flows.system import ROOT, database
from tests.oauth import acme

_numbers = count()


@dataclass(frozen=True)
class Job:
    pid: int
    out: Path


class Worker:
    """A process that starts others. One thread at a time may steer it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / f"worker-{next(_numbers)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.oauth.worker"],
                cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def start(self, task: str, **told: Any) -> Job:
        out = self.folder / f"job-{next(_numbers)}.json"
        return Job(self._ask(start=task, told=told, out=str(out)), out)

    def wait(self, job: Job) -> dict[str, Any]:
        """What it gave. It fails the test if the job failed."""
        status = self._ask(wait=job.pid)
        assert status == 0, self.log.read_text()[-3000:]
        told: dict[str, Any] = json.loads(job.out.read_text())
        return told

    def kill(self, job: Job) -> bool:
        """kill -9; whether it was still at work."""
        return bool(self._ask(kill=job.pid) == -9)

    def run(self, task: str, **told: Any) -> dict[str, Any]:
        return self.wait(self.start(task, **told))

    def dismiss(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _ask(self, **asked: Any) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(asked)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        return int(line)


@contextmanager
def crew(folder: Path, engine: str, provider_url: str, **first: str) -> Iterator[Callable[..., Worker]]:
    """Workers on a database of their own, with `acme` at `provider_url`. `first`: the variables with which it is made;
    each worker may get others."""
    with database(engine) as own, ExitStack() as stack:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "TEST_"))}
        env |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull, "SANDBOX": "0"}
        env |= {
            "DATA_DIR": str(folder / "data"),
            "OUTBOUND_ALLOW_PRIVATE": "1",
            **own,
            **acme.environment(provider_url),
        }
        env |= {"REDIS_URL": ""}

        def hire(**more: str) -> Worker:
            worker = Worker(folder, env | more)
            stack.callback(worker.dismiss)
            return worker

        hire(**first).run("migrate")
        yield hire
