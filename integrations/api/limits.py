"""Rate limits per person: reads and actions counted apart, in fixed windows, shared by all server processes.

The count lives in the cache (Redis; without it there is one web process, and its memory). While Redis is away each
process counts for itself: a limit protects, it must not be what breaks, nor be gone.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache, caches
from django.core.cache.backends.base import BaseCache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:  # DRF imports its defaults while it is still importing its views
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
READS = ("GET", "HEAD", "OPTIONS")


class PerUser(BaseThrottle):
    def __init__(self) -> None:
        self.retry_after = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        reads = request.method in READS
        allowed, window = parse(settings.API_READ_RATE if reads else settings.API_ACTION_RATE)
        used, resets_in = hit(f"rate:{'read' if reads else 'action'}:{request.user.pk}", window)
        self.retry_after = resets_in
        request._request.rate_limit_headers = {  # type: ignore[attr-defined]
            "RateLimit-Limit": str(allowed),
            "RateLimit-Remaining": str(max(0, allowed - used)),
            "RateLimit-Reset": str(resets_in),
        }
        return used <= allowed

    def wait(self) -> float:
        return self.retry_after


def parse(rate: str) -> tuple[int, int]:
    """ "120/min" → (120, 60)."""
    count, _, unit = rate.partition("/")
    return int(count), SECONDS[unit.strip().lower()]


def hit(name: str, window: int) -> tuple[int, int]:
    """Count one; returns how many there were in this window, and the seconds until the next."""
    key, left = _key(name, window)

    def count(store: BaseCache) -> int:
        store.add(key, 0, timeout=window + 5)
        used: int = store.incr(key)
        return used

    return _counted(count), left


def seen(name: str, window: int) -> int:
    """How many there were in this window, none counted."""
    key, __ = _key(name, window)
    return _counted(lambda store: int(store.get(key) or 0))


def take_back(name: str, window: int) -> None:
    """Count one less: it turned out to be none of those that are limited."""
    key, __ = _key(name, window)

    def back(store: BaseCache) -> int:
        with suppress(ValueError):  # its window is over
            store.decr(key)
        return 0

    _counted(back)


def _key(name: str, window: int) -> tuple[str, int]:
    now = time.time()
    return f"{name}:{int(now // window)}", window - int(now % window)


def _counted(count: Callable[[BaseCache], int]) -> int:
    try:
        return count(cache)
    except Exception as error:  # noqa: BLE001 - the cache's client raises its own kinds
        log.warning("Each process counts requests for itself (%s)", error)
        return count(caches["alone"])
