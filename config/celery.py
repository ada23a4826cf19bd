"""Celery: a way to say "wake up". Nothing that matters is in its messages, so losing all of them costs a minute.

Broker: Redis by ``REDIS_URL``, else files in ``DATA_DIR/broker`` (no server needed).
"""

import os
import re
import warnings
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]  # missing in celery-types
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_shutdown,
    worker_shutdown,
)
from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Celery warns when root runs it, because of pickle; only JSON is accepted here.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("integrations")

LONGEST_JOB = 3600
"""Seconds a job may be given."""


def configure() -> None:
    from django.conf import settings

    url: str = settings.CELERY_BROKER_URL
    app.conf.update(
        broker_url=url,
        broker_transport="config.broker:Transport" if url.startswith("filesystem:") else None,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(url, settings.DATA_DIR),
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue="integrations",
        # The last resort, for what no alarm interrupts: a job has an alarm of its own (`config/tasks.py`).
        task_time_limit=LONGEST_JOB + 300,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
        beat_max_loop_interval=5,
        timezone=settings.TIME_ZONE,
        imports=["config.tasks"],
    )


def _transport(url: str, data_dir: Any) -> dict[str, Any]:
    if url.startswith("filesystem:"):
        folder = data_dir / "broker"
        for name in ("messages", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": folder / "control",
            "polling_interval": 0.3,
        }
    # A dead Redis is noticed in a second, and a frozen one too: nobody waits for a hint.
    return {"socket_connect_timeout": 1, "socket_timeout": 5, "visibility_timeout": 3600}


@setup_logging.connect
def keep_ours(**_: Any) -> None:
    """Celery configures no logging when somebody listens here: Django's stays."""


REQUEST_ID = "request_id"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


@before_task_publish.connect
def carry_the_request_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Whatever a click sets off bears its id: what the worker logs can be found by it."""
    if headers is not None and (current := get_contextvars().get(REQUEST_ID)):
        headers[REQUEST_ID] = current


@task_prerun.connect
def take_the_request_id(task_id: str = "", task: Any = None, **_: Any) -> None:
    """That of the click, else the task's own: so the lines of one run can be found too."""
    given = task.request.get(REQUEST_ID) if task is not None else None
    bind_contextvars(request_id=given if isinstance(given, str) and _SANE_ID.fullmatch(given) else task_id)


@task_postrun.connect
def let_go_of_the_request_id(**_: Any) -> None:
    unbind_contextvars(REQUEST_ID)


@worker_init.connect
def tell_of_keys(**_: Any) -> None:
    """A worker with other keys than the web process would fail at one token after the other: it says so at start."""
    from config import checks

    checks.tell_of_keys()


@worker_process_shutdown.connect  # where tasks run; it ends without Python's own farewell (atexit)
@worker_shutdown.connect
def write_what_is_recorded(**_: Any) -> None:
    from integrations import metrics

    metrics.flush()


configure()
