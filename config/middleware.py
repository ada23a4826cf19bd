"""What every answer of the Django side has in common. The webhook lane (`webhooks/lane.py`) does not pass here."""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware as DjangoLoginRequired
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from integrations import headers

GetResponse = Callable[[HttpRequest], HttpResponseBase]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

PAGE_METHODS = ("GET", "HEAD", "POST")


class RequestIdMiddleware:
    """One id from the click to the log line: the proxy's `X-Request-ID` if it is a sane one, else our own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # read by `integrations.actor`
        with bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


class PrivateByDefaultMiddleware:
    """Nothing that a login protects may stay in a cache; static files never get this far."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in headers.always().items():
            response.headers.setdefault(name, value)
        return response


class PageMethodsMiddleware:
    """Pages know GET, HEAD and POST, whatever a library would make of others. Of the API each route says its own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in PAGE_METHODS or request.path.startswith("/api/"):
            return self.get_response(request)
        return HttpResponseNotAllowed(PAGE_METHODS)


class TimeZoneMiddleware:
    """Pages tell times in their reader's zone; the API, and what is open to anybody, don't ask who reads."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()

    def process_view(self, request: HttpRequest, view_func, view_args, view_kwargs) -> None:  # type: ignore[no-untyped-def]  # Django's own signature is untyped
        if request.path.startswith("/api/") or not getattr(view_func, "login_required", True):
            return
        if zone := getattr(request.user, "time_zone", ""):
            with suppress(ValueError, KeyError, OSError):  # one that this machine doesn't know: the installation's
                timezone.activate(zone)


class LoginRequiredMiddleware(DjangoLoginRequired):
    """Everything is closed unless a view says `@login_not_required`. The API answers 401 by itself (API.md)."""

    def process_view(self, request: HttpRequest, view_func, view_args, view_kwargs) -> HttpResponseBase | None:  # type: ignore[no-untyped-def]  # Django's own signature is untyped
        if request.path.startswith("/api/") or request.path.startswith(settings.STATIC_URL):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)
