"""What a provider has registered to call, held against what we have. Pure: no ORM, no network, no clock."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from urllib.parse import unquote, urlsplit

from integrations.clients.base import Registered

MISSING, FOREIGN, DISABLED, EVENTS, EXPIRING = "missing", "foreign", "disabled", "events", "expiring"
"""What can be wrong with a registration: `Registration.code`."""

SOON = timedelta(hours=48)
"""What ends within this much time should have been renewed."""
NAMED = 12
RECEIVERS = "/api/webhooks/"
"""Where this system's receivers are, below PUBLIC_URL."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One of ours. `name`: who calls it; `address`: PUBLIC_URL and its `path`; `wanted`: the event types it is for.

    `covers` says in those words what a provider means by its own ("Leads.all"). Not `expected`: nothing need call it,
    so it is no trouble if what does ends or tells little.
    """

    name: str
    address: str
    path: str
    wanted: Sequence[str]
    covers: Callable[[Iterable[str]], Collection[str]] = field(default=set)
    expected: bool = True

    def is_called_by(self, one: Registered) -> bool:
        """Whether its address is this very one; what comes behind a "?" is left out of account."""
        return _place(one.url) == _place(self.address)

    def is_meant_by(self, one: Registered) -> bool:
        """Whether its address was this one's once, or nearly is: another host, scheme or slash."""
        (_, host, path), (_, ours, _) = _place(one.url), _place(self.address)
        return path.rstrip("/").endswith(self.path) or (_name(host) == _name(ours) and RECEIVERS in f"{path}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A registration, and what is wrong with it, "" when nothing is. `registered` None: the one that isn't there."""

    registered: Registered | None
    ours: bool = False
    code: str = ""
    finding: str = ""


def judge(
    found: Sequence[Registered], receiver: Receiver, *, now: datetime, troubles: Mapping[str, str] | None = None
) -> list[Judged]:
    """Each registration with what is wrong with it, and the one that is missing, if it is.

    `troubles`: why those of these ids, which end soon, could not be renewed.
    """
    ours = [one for one in found if receiver.is_called_by(one)]
    live = [one for one in ours if one.enabled and not _over(one, now)]
    judged = []
    for one in found:
        if one not in ours:
            judged.append(_foreign(one, receiver))
        elif one in live:
            told = _ending(one, now, (troubles or {}).get(one.id, ""))
            told += _lacking(live, receiver) if one is live[0] else []
            judged.append(_with(one, told if receiver.expected else []))
        else:  # no trouble while another does its work
            judged.append(_with(one, [] if live else _dead(one, receiver)))
    if not ours and receiver.expected:
        words = f"Nothing at {receiver.name} calls {receiver.address}: what happens there isn't told to us."
        judged.append(Judged(registered=None, code=MISSING, finding=words))
    return judged


def merged(found: Iterable[Registered]) -> list[Registered]:
    """One for each id: what a provider tells in several rows (a channel, module by module) is put together."""
    each = groupby(sorted(found, key=lambda one: one.id), key=lambda one: one.id)
    return [_together(list(rows)) for _, rows in each]


def listed(words: Iterable[str]) -> str:
    """ "a, b, c and 7 more"."""
    names = sorted(words)
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


# --- What is wrong ---------------------------------------------------------------------------------------------------

Told = list[tuple[str, str]]


def _with(one: Registered, told: Told) -> Judged:
    code = told[0][0] if told else ""
    return Judged(registered=one, ours=True, code=code, finding=" ".join(words for _, words in told))


def _foreign(one: Registered, receiver: Receiver) -> Judged:
    if not receiver.is_meant_by(one):
        return Judged(registered=one)
    words = f"It calls {bare(one.url)}, where this receiver is not: that is {receiver.address}."
    return Judged(registered=one, code=FOREIGN, finding=words)


def _dead(one: Registered, receiver: Receiver) -> Told:
    if not one.enabled:
        return [(DISABLED, f"It is switched off at {receiver.name}: nothing is sent.")]
    return [(EXPIRING, f"It ended at {shown(one.expires_at)}: nothing is sent." if one.expires_at else "It ended.")]


def _ending(one: Registered, now: datetime, trouble: str) -> Told:
    if one.expires_at is None or one.expires_at - now > SOON:
        return []
    why = trouble or "nobody renews it."
    return [(EXPIRING, f"It ends at {shown(one.expires_at)} and was not renewed: {why}")]


def _lacking(live: Sequence[Registered], receiver: Receiver) -> Told:
    if not all(one.events for one in live):  # it doesn't say, which is no finding
        return []
    lacking = set(receiver.wanted) - set(receiver.covers([event for one in live for event in one.events]))
    return [(EVENTS, f"{receiver.name} doesn't tell us of {listed(lacking)}.")] if lacking else []


def _over(one: Registered, now: datetime) -> bool:
    return one.expires_at is not None and one.expires_at <= now


def _together(rows: Sequence[Registered]) -> Registered:
    events = tuple(dict.fromkeys(event for one in rows for event in one.events))
    ends = [one.expires_at for one in rows if one.expires_at]
    return replace(rows[0], events=events, expires_at=min(ends, default=None))


# --- Addresses -------------------------------------------------------------------------------------------------------


def bare(url: str) -> str:
    """An address without what may be secret in it: user, password, query, fragment."""
    scheme, host, path = _place(url)
    return f"{scheme}://{host}{path}" if host else path


def host_of(url: str) -> str:
    """No more than where an address is: of many services (Slack, Zapier) the path is the secret."""
    scheme, host, path = _place(url)
    return f"{scheme}://{host}/…" if host else "…" if path else ""


def _place(url: str) -> tuple[str, str, str]:
    """Scheme, host with a port that isn't the usual one, path; of what is no address, nothing but its beginning."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", "", url.partition("?")[0].rpartition("@")[2]
    if ":" in host:
        host = f"[{host}]"
    usual = port is None or _PORTS.get(parts.scheme) == port
    return parts.scheme, host if usual else f"{host}:{port}", unquote(parts.path)


def _name(host: str) -> str:
    return host.rpartition("]")[0] or host.partition(":")[0]
