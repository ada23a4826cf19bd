"""Who keeps failing: refused deliveries, counted by receiver, source and minute, in this process's memory.

Only what is refused counts, so a genuine delivery is never turned away for its rate, whoever else sends from there.
"""

import ipaddress
from collections import Counter
from datetime import datetime
from uuid import UUID

MOST_SOURCES = 10_000
"""Beyond them, all further ones of a minute share one count: a flood from everywhere must not fill the memory."""

_Key = tuple[UUID, str]


class Sources:
    """`allowed`: refusals a minute; 0 for no limit."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._minute = ""
        self._refused: Counter[_Key] = Counter()

    def failed(self, webhook_id: UUID, address: str | None, now: datetime) -> bool:
        """Count a refusal. True when this source has had more than it may."""
        self._turn(now)
        key = self._key(webhook_id, address)
        self._refused[key] += 1
        return 0 < self._allowed < self._refused[key]

    def exhausted(self, webhook_id: UUID, address: str | None, now: datetime) -> bool:
        """Whether the next refusal would be one too many."""
        self._turn(now)
        return 0 < self._allowed <= self._refused[self._key(webhook_id, address)]

    def __bool__(self) -> bool:
        return bool(self._refused)

    def _turn(self, now: datetime) -> None:
        if (minute := f"{now:%Y%m%d%H%M}") != self._minute:
            self._minute, self._refused = minute, Counter()

    def _key(self, webhook_id: UUID, address: str | None) -> _Key:
        key = (webhook_id, source_of(address))
        return key if key in self._refused or len(self._refused) < MOST_SOURCES else (webhook_id, "others")


def source_of(address: str | None) -> str:
    """An IPv4 address, or the /64 of an IPv6 one: that much anybody can have."""
    if address is None or ":" not in address:
        return address or "unknown"
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
