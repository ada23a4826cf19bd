"""Celery: a way to say "wake up". Nothing that matters is in its messages, so losing all of them costs a minute.

Broker: Redis by ``REDIS_URL``, else files in ``DATA_DIR/broker`` (no server needed).
"""

import os
import warnings
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]  # missing in celery-types
from celery.signals import setup_logging, worker_init, worker_process_shutdown, worker_shutdown

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
