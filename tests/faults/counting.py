"""The Celery application, its jobs replaced by some that leave a row for each time that they are done.

Nothing else is changed: messages, ledger, timeouts and the watch are the real ones.
"""

import os
import time
from dataclasses import replace
from typing import Any

from celery.signals import worker_init

from config.celery import app

__all__ = ["app"]

JOBS = ("webhooks-process-due", "oauth-auto-refresh", "metrics-rollup")
SECONDS = 1.0


@worker_init.connect
def count_what_is_done(**_: Any) -> None:
    from config import schedule

    for name in JOBS:
        schedule.BY_NAME[name] = replace(schedule.BY_NAME[name], work=_counted(name))


def _counted(name: str) -> Any:
    def work() -> dict[str, Any]:
        from django.db import connection

        from config import schedule

        time.sleep(SECONDS)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO effects (job, pid, at) VALUES (%s, %s, clock_timestamp())", [name, os.getpid()]
            )
        return schedule.watch_ledger() | schedule.look_for_trouble() if name == JOBS[0] else {}

    return work
