"""Real processes that record calls and are told to stop: `python -m tests.integrations.recorder HOW`.

Their buffers wait an hour for company: what is in the database afterwards was written because they stopped, and for no
other reason. HOW: "celery" (a worker, whose task records), "exit" (a command that ends), "fork" (parent and child), or
"deaf" (a worker that does not listen to its own end: the control). As `recorder:application` it is a web process.
"""

import os
import sys
from pathlib import Path
from typing import Any

from config import celery
from config.asgi import application as ours  # which sets up Django
from integrations import metrics
from integrations.models import ApiMetric, Integration

CALLS = 50
TASK = "tests.record"


def patient() -> None:
    metrics._buffer._pause, metrics._buffer._batch = 3600, 10 * CALLS


def record(endpoint: str) -> None:
    integration = Integration.objects.get(slug="resend")
    for _ in range(CALLS):
        metrics.record(
            ApiMetric(integration=integration, endpoint=endpoint, method="GET", status_code=200, response_time_ms=1)
        )
    Path(os.environ["RECORDED"]).touch()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        await ours(scope, receive, send)
        return
    from asgiref.sync import sync_to_async

    await sync_to_async(record)("/web")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"recorded"})


@celery.app.task(name=TASK)
def task() -> None:
    record("/task")


def main(how: str) -> None:
    if how in ("celery", "deaf"):
        if how == "deaf":
            celery.worker_process_shutdown.disconnect(celery.write_what_is_recorded)
        task.delay()
        celery.app.worker_main(["worker", "--loglevel", "ERROR", "--concurrency", "1", "--without-gossip",
                                "--without-mingle", "--without-heartbeat"])  # fmt: skip
    elif how == "exit":
        record("/command")
    elif how == "fork":
        record("/parent")
        if not (pid := os.fork()):
            inherited = len(metrics._buffer._rows)
            record("/child")
            sys.exit(inherited)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


patient()
if __name__ == "__main__":
    main(sys.argv[1])
