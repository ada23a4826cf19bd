"""The guard under the door out (`integrations/http.py`): which addresses may be reached, and until when.

Every address that a name resolves to is checked, and the very one that was checked is connected to; a connection that
was kept alive is checked again. When an exchange's time is up its sockets are cut.
"""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from integrations.providers.spec import ProviderError

CONNECT_SECONDS = 5.0

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# IANA's special-purpose registries as of 2025: what Python's own tables say changes from one release to the next.
_SPECIAL = [
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "::/96", "64:ff9b:1::/48", "100::/63", "2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/9", "ff00::/8",
    )
]  # fmt: skip


class Unreachable(ProviderError):
    """No answer: name, address, connection, TLS, time or size. Trying later may help.

    `maybe_sent`: the request may have arrived and been obeyed, though we never heard of it.
    """

    def __init__(self, words: str, *, permanent: bool = False, code: str = "", maybe_sent: bool = True) -> None:
        super().__init__(words, permanent=permanent, code=code)
        self.maybe_sent = maybe_sent


class AddressRefused(Unreachable):
    """The host resolves to an address that this system must not call."""

    def __init__(self, words: str, *, permanent: bool = False, code: str = "") -> None:
        super().__init__(words, permanent=permanent, code=code, maybe_sent=False)


# --- Deadline: a slow drip can't outlive it --------------------------------------------------------------------------


class _Call(threading.local):
    """The exchange under way in this thread: which addresses it may reach and which sockets it holds."""

    def __init__(self) -> None:
        self.networks: tuple[IPNetwork, ...] = ()
        self.sockets: list[socket.socket] = []
        self.expired = threading.Event()
        self.sent = False

    def hold(self, sock: socket.socket) -> None:
        """Let the deadline know this socket; one that comes after it, because a name took so long, goes no further."""
        self.sockets.append(sock)
        if self.expired.is_set():
            raise TimeoutError


_call = _Call()


@contextmanager
def deadline(seconds: float, networks: tuple[IPNetwork, ...]) -> Iterator[threading.Event]:
    """Cut this thread's sockets when `seconds` are over: read timeouts alone start anew with every byte.

    Yields an event that tells afterwards whether it came to that.
    """
    sockets: list[socket.socket] = []
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    _call.networks, _call.sockets, _call.expired, _call.sent = networks, sockets, expired, False
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        _call.networks, _call.sockets, _call.expired = (), [], threading.Event()


def sent() -> bool:
    """Whether this thread's exchange has come so far that the other side may have heard of it."""
    return _call.sent


# --- Addresses -------------------------------------------------------------------------------------------------------


def is_public(address: IPAddress) -> bool:
    """Whether `address` belongs to the public internet, looking into the IPv4 address that an IPv6 one may carry."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    if any(address in net for net in _SPECIAL if net.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _check(address: str, host: str, port: int) -> None:
    """`host` and `port` are what is connected to, not what a URL looks like."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if is_public(ip) or settings.OUTBOUND_ALLOW_PRIVATE or any(ip in net for net in _call.networks):
        return
    if settings.SANDBOX_URL and (host, port) == _sandbox():
        return
    raise AddressRefused(
        f"{host} resolves to {ip}, which is not a public address: only those are called.", permanent=True
    )


def _sandbox() -> tuple[str | None, int]:
    its = urlsplit(settings.SANDBOX_URL)
    return its.hostname, its.port or (443 if its.scheme == "https" else 80)


def _connect(host: str, port: int, timeout: float | None) -> socket.socket:
    """Resolve, check every address, and connect to one that was checked: a name can't change in between."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, where in found:
        _check(str(where[0]), host, port)
    last: OSError = OSError("no address")
    for family, kind, protocol, _, where in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _call.hold(sock)
            sock.connect(where)
        except OSError as error:
            last = error
            sock.close()
            if _call.expired.is_set():
                raise TimeoutError from error
        else:
            return sock
    raise last


class _Guarded:
    """Mixed into urllib3's connections: they connect through `_connect`, and the deadline knows their socket."""

    host: str
    port: int
    timeout: Any
    sock: Any

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            return _connect(self.host.strip("[]"), self.port, timeout)
        except TimeoutError:
            raise
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]  # a mixin is no connection

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # provided by the class this is mixed into
        else:  # kept alive from a call that may have been allowed more than this one is
            _check(str(self.sock.getpeername()[0]), self.host.strip("[]"), self.port)
        _call.hold(self.sock)
        _call.sent = True
        super().request(*args, **kwargs)  # type: ignore[misc]  # likewise


class _HTTP(_Guarded, HTTPConnection):
    pass


class _HTTPS(_Guarded, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):  # connections beyond so many to one host are made, and not kept
        session.mount(scheme, _Adapter(pool_connections=64, pool_maxsize=32))
    return session


session = _new_session()
