"""Guessing is slowed down, and locks nobody out.

Three things are counted, in windows of five minutes: the tries from one network at one name, those from one network at
any, and those of a browser that has signed in with that name before. Nothing is counted for a name alone that would
refuse it: else whoever knows a name could keep its owner out. A name at which many guess from everywhere leaves each
strange network two tries instead of five; browsers that its owner has used keep all of theirs.

Names that are nobody's are counted like any other: the answer tells nothing. Counts live in the cache, shared by all
processes; while it is away, each process counts for itself.
"""

import hashlib
import secrets
from dataclasses import dataclass
from ipaddress import ip_network

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase

from integrations import actor
from integrations.accounts.models import User
from integrations.api import limits

WINDOW = 300
HERE, HERE_BESIEGED, NETWORK, KNOWN = 5, 2, 50, 20
"""Tries in a window: at one name from one network, the same while many guess at it, at any name from one network, at
one name from a browser that it has signed in with."""

SIEGE, SIEGE_WINDOW = 100, 3600
"""So many misses at one name within an hour, from browsers unknown to it."""

CODES = 10
"""Tries at second factors and at proving who one is, for each person: only who has the password, or an open browser,
gets as far."""

COOKIE = "__Host-device" if settings.HTTPS else "device"
SALT, AGE = "accounts.device", 180 * 86400


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was let through; `names` are what it was counted under."""

    names: tuple[str, ...]
    name: str
    known: bool


class TooMany(Exception):
    """`wait`: seconds until the next try counts."""

    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


def take(request: HttpRequest, username: str) -> Try:
    """Count a try at `username` before anything is compared. `TooMany` when it has to wait."""
    name, network = _hashed(username.strip().casefold()), network_of(request)
    known = device_of(request, username)
    if known:
        counted = [(f"login:device:{known}", KNOWN)]
    else:
        besieged = limits.seen(f"login:missed:{name}", SIEGE_WINDOW) >= SIEGE
        here = HERE_BESIEGED if besieged else HERE
        counted = [(f"login:network:{network}", NETWORK), (f"login:here:{name}:{network}", here)]
    for key, allowed in counted:
        used, left = limits.hit(key, WINDOW)
        if used > allowed:
            raise TooMany(left)
    return Try(names=tuple(key for key, __ in counted), name=name, known=bool(known))


def hit(attempt: Try) -> None:
    """It was the right password: it doesn't count."""
    for key in attempt.names:
        limits.take_back(key, WINDOW)


def missed(attempt: Try) -> bool:
    """It wasn't. Whether just now many enough have guessed at that name to call it a siege."""
    if attempt.known:
        return False
    used, __ = limits.hit(f"login:missed:{attempt.name}", SIEGE_WINDOW)
    return used == SIEGE


def take_code(user: User) -> None:
    """Count a try at a code, a key or a password of somebody who has come half the way."""
    used, left = limits.hit(f"login:code:{user.pk}", WINDOW)
    if used > CODES:
        raise TooMany(left)


def code_hit(user: User) -> None:
    limits.take_back(f"login:code:{user.pk}", WINDOW)


def take_passkey(request: HttpRequest) -> None:
    """A passkey tells who it is only once it is believed: networks are counted."""
    used, left = limits.hit(f"login:network:{network_of(request)}", WINDOW)
    if used > NETWORK:
        raise TooMany(left)


# --- Browsers that have signed in before -----------------------------------------------------------------------------


def remember(response: HttpResponseBase, user: User) -> None:
    """From now on this browser is known to have signed in with that name."""
    value = signing.dumps([_hashed(user.get_username().casefold()), secrets.token_urlsafe(12)], salt=SALT)
    response.set_cookie(COOKIE, value, max_age=AGE, secure=settings.HTTPS, httponly=True, samesite="Lax")


def device_of(request: HttpRequest, username: str) -> str:
    """The id of this browser, if it has signed in with `username`; "" otherwise."""
    try:
        name, device = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=AGE)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return device if name == _hashed(username.strip().casefold()) else ""


def network_of(request: HttpRequest) -> str:
    """Whoever has one IPv6 address has all of its /64."""
    address = actor.of(request).ip_address
    if not address or ":" not in address:
        return address or ""
    return str(ip_network(f"{address.partition('%')[0]}/64", strict=False))


def _hashed(text: str) -> str:
    """What was typed may be a password in the wrong field: it is nowhere kept as it is."""
    return hashlib.blake2b(text.encode(), digest_size=16, key=settings.SECRET_KEY.encode()[:64]).hexdigest()
