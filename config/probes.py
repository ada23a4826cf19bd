"""For load balancers and container health checks: is this process up, and can it reach what it needs?"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from config.celery import app
from integrations.cron.models import CronRun

log = logging.getLogger(__name__)

BEAT_SILENT_AFTER = timedelta(minutes=3)  # a job runs every minute


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Database, cache, broker and beat, each "ok" or "failing"; 503 when one fails. Why stands in the log alone."""
    checks = {"database": _database, "cache": _cache, "broker": _broker, "beat": _beat}
    found = {name: "ok" if _holds(name, check) else "failing" for name, check in checks.items()}
    ready = all(state == "ok" for state in found.values())
    return JsonResponse({"status": "ok" if ready else "failing", "checks": found}, status=200 if ready else 503)


def _holds(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - each client raises its own kinds
        log.warning("readyz: %s fails (%s)", name, error)
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _cache() -> bool:
    cache.set("readyz", 1, timeout=10)
    return bool(cache.get("readyz") == 1)


def _broker() -> bool:
    with app.connection_for_write(connect_timeout=1) as broker:
        broker.ensure_connection(max_retries=0, timeout=1)
    return True


def _beat() -> bool:
    recent = CronRun.objects.filter(
        started_at__gte=timezone.now() - BEAT_SILENT_AFTER, trigger=CronRun.Trigger.SCHEDULE
    )
    return recent.exists()
