"""Sessions end: half an hour after their person last did something, and twelve hours after signing in anyhow.

Django's own age begins anew with each save, and a page that is left open polls for ever: neither counts here.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from integrations import activity, actor

BEGAN, SEEN = "began_at", "seen_at"
SEEN_EVERY = timedelta(minutes=1)
"""A sign of life, not a count: one write a minute is enough."""


class SessionEndMiddleware:
    """Signs out whose session is over, before anybody asks who they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if SESSION_KEY in request.session:
            self._look(request, timezone.now())
        return self.get_response(request)

    def _look(self, request: HttpRequest, now: datetime) -> None:
        if why := _over(request, now):
            _tell(request, why)
            logout(request)
        elif "X-Poll" not in request.headers and now - _seen(request) >= SEEN_EVERY:
            request.session[SEEN] = now.timestamp()
            request.session.setdefault(BEGAN, _began(request).timestamp())


def _tell(request: HttpRequest, why: str) -> None:
    """Once: a page that was left open asks by several polls at a time. Of the session's key only a hash is kept."""
    key = hashlib.sha256((request.session.session_key or "").encode()).hexdigest()
    activity.record_once(
        actor=actor.of(request),
        action="session_ended",
        key=f"session_ended:{key}",
        integration=None,
        outcome=activity.SUCCESS,
        details={"why": why},
    )


def begin(request: HttpRequest, *, now: datetime) -> None:
    """They have just signed in."""
    request.session[BEGAN] = request.session[SEEN] = now.timestamp()


def _over(request: HttpRequest, now: datetime) -> str:
    """Why it is over, as the activity log says it; "" while it isn't."""
    if now - _began(request) >= timedelta(seconds=settings.SESSION_COOKIE_AGE):
        return "age"
    idle = timedelta(minutes=settings.SESSION_IDLE_MINUTES)
    return "idle" if idle and now - _seen(request) >= idle else ""


def _seen(request: HttpRequest) -> datetime:
    return _moment(request, SEEN) or _began(request)


def _began(request: HttpRequest) -> datetime:
    """One that began before this was kept: when its person last signed in."""
    last: datetime | None = getattr(request.user, "last_login", None)
    return _moment(request, BEGAN) or last or timezone.now()


def _moment(request: HttpRequest, name: str) -> datetime | None:
    kept = request.session.get(name)
    return datetime.fromtimestamp(kept, tz=timezone.get_default_timezone()) if kept else None
