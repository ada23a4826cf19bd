"""Who acts, and from where: made once at the door, passed down to the services, copied into the activity log."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    username: str
    user_id: UUID | None = None
    token_id: UUID | None = None
    ip_address: str | None = None
    user_agent: str = ""
    request_id: str = ""


SYSTEM = Actor(username="system")


def of(request: HttpRequest) -> Actor:
    """The person behind `request`; "anonymous" when nobody is signed in."""
    user = request.user
    return Actor(
        username=user.get_username() or "anonymous",
        user_id=user.pk,
        token_id=getattr(getattr(request, "auth", None), "pk", None),
        ip_address=client_ip(request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")),
        user_agent=request.headers.get("User-Agent", "")[:300],
        request_id=getattr(request, "request_id", ""),
    )


def client_ip(peer: str, forwarded_for: str, trusted: Sequence[str] | None = None) -> str | None:
    """The caller's address. `forwarded_for` is believed only as far as it was written by our own proxies.

    Read from the right: each address that belongs to TRUSTED_PROXIES vouches for the one before it. The first that
    does not is the caller; anything to its left is whatever the caller chose to write there.
    """
    networks = [ipaddress.ip_network(net) for net in (settings.TRUSTED_PROXIES if trusted is None else trusted)]
    hops = [*forwarded_for.split(","), peer] if forwarded_for else [peer]
    address = None
    for hop in reversed(hops):
        try:
            address = ipaddress.ip_address(hop.strip())
        except ValueError:
            break
        if not any(address in net for net in networks):
            break
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address) if address else None
