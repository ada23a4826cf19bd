"""Pages and API closed for planned work, by a variable (MAINTENANCE) or a file (MAINTENANCE_FILE; no restart needed).

Receivers are never closed: they stand beside Django (`config/asgi.py`). What watches us goes on being answered.
"""

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from config import plain
from integrations.api import problems

STAY_OPEN = ("/healthz", "/readyz", "/metrics", "/brand.css")
RETRY_AFTER = 300
_WORDS = 300  # of a file: what people get to read


class MaintenanceMiddleware:
    """Asks neither the database nor who it is: either may be what is worked on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        words = reason()
        if words is None or request.path in STAY_OPEN:
            return self.get_response(request)
        response = _answer(request, words)
        response["Retry-After"] = str(RETRY_AFTER)
        return response


_OPEN, _CLOSED = ("", "0", "false", "no", "off"), ("1", "true", "yes", "on")


def reason() -> str | None:
    """Why it is closed, maybe in no words (""); None: it is open."""
    if settings.MAINTENANCE:
        said = settings.MAINTENANCE.strip()
        if said.lower() not in _OPEN:
            return "" if said.lower() in _CLOSED else said
    try:
        with Path(settings.MAINTENANCE_FILE).open(encoding="utf-8", errors="replace") as file:
            return file.read(_WORDS).strip()
    except PermissionError:
        return ""  # it is there
    except OSError:
        return None


def _answer(request: HttpRequest, words: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.response(503, "maintenance", f"Closed for planned work. {words}".strip())
    return plain.page(request, "503.html", 503, reason=words)
