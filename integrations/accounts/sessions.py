"""Sessions end: half an hour after their person last did something, and twelve hours after signing in anyhow.

Django's own age begins anew with each save, and a page that is left open polls for ever: neither counts here.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from allauth.account.utils import user_pk_to_url_str
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import activity, actor
from integrations.accounts.models import User

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
            if request.session.session_key:
                UserSession.objects.create_from_request(request)


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


# --- One's own, on the account page ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A session as its person sees it; `pk` says which, its key is nobody's business."""

    pk: int
    browser: str
    address: str
    seen_at: datetime
    began_at: datetime
    current: bool


def of(request: HttpRequest) -> list[Line]:
    """This one first, then the latest seen. Those that have ended meanwhile are swept away."""
    now, user = timezone.now(), request.user
    rows = [row for row in UserSession.objects.purge_and_list(user) if not _dead(row, now)]
    here = request.session.session_key
    lines = [
        Line(row.pk, browser(row.user_agent), row.ip, row.last_seen_at, row.created_at, row.session_key == here)
        for row in rows
    ]
    return sorted(lines, key=lambda line: (not line.current, -line.seen_at.timestamp()))


def end(request: HttpRequest, *, pk: int | None) -> int:
    """End one of one's own other sessions, or (None) all of them; how many there were."""
    rows = UserSession.objects.filter(user=request.user).exclude(session_key=request.session.session_key)
    ended = list(rows if pk is None else rows.filter(pk=pk))
    if not ended:
        return 0
    with transaction.atomic():
        for row in ended:
            row.end()
        details = {"why": "by_hand", "sessions": len(ended)}
        activity.record(actor=actor.of(request), action="session_ended", details=details)
    return len(ended)


def _dead(row: UserSession, now: datetime) -> bool:
    idle = timedelta(minutes=settings.SESSION_IDLE_MINUTES)
    if now - row.created_at >= timedelta(seconds=settings.SESSION_COOKIE_AGE):
        return True
    return bool(idle) and now - row.last_seen_at >= idle


_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip


def browser(agent: str) -> str:
    """ "Firefox, Linux": enough to know one's own by; the first words of an agent that is none of these."""
    names = [next((name for mark, name in known if mark in agent), "") for known in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, names)) or agent[:40] or _("Unknown browser")


def begin(request: HttpRequest, *, now: datetime) -> None:
    """They have just signed in."""
    request.session[BEGAN] = request.session[SEEN] = now.timestamp()


def end_all(person: User, *, now: datetime) -> int:
    """For good: one of somebody who is disabled must not come to life again with them. Returns how many there were."""
    living = Session.objects.filter(expire_date__gt=now)
    theirs = [row.pk for row in living.iterator() if _is_of(row.get_decoded(), person)]
    return Session.objects.filter(pk__in=theirs).delete()[0]


def _is_of(kept: dict[str, Any], person: User) -> bool:
    """They are signed in by it, or half the way there: past the password, before the second factor."""
    half = kept.get(LOGIN_SESSION_KEY) or {}
    return kept.get(SESSION_KEY) == str(person.pk) or half.get("user_pk") == user_pk_to_url_str(person)


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
