"""A provider's rate limit, kept by all our processes together: in Redis, or in the database where there is none.

A call counts from when it is let through until a window after its answer, since the provider may have seen it at any
moment between: so no window of that length ever holds more than the limit at the provider, wherever it begins and
however slow the way there is. A window is cut into slots, and only their counts are kept: little, however high the
limit. One clock serves all: that of Redis, or of the database.

While Redis doesn't answer the database stands in. Neither can know what the other has counted, so a tenth of the limit
is set aside for that; of a limit under ten, one call.
"""

import json
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models.functions import Now
from django.utils import timezone

from integrations import moments
from integrations.models import RateWindow
from integrations.providers.spec import Limit, ProviderError

log = logging.getLogger(__name__)

T = TypeVar("T")

SLOTS = 60
TRIES = 200
LEASE = 10.0
"""Seconds within which a call is answered or over, unless whoever makes it says otherwise."""
LONGEST_LEASE = 120.0
LONGEST_HOLD = 3600.0
REDIS_AWAY_SECONDS = 5.0
"""How long a Redis that didn't answer is left alone: each try costs its callers half a second."""
OWN_LIMIT = "own_limit"
"""`ProviderError.code`: nobody was asked, since the provider's limit is used up."""
NO_LIMIT = Limit(requests=1_000_000_000, seconds=1)
"""For a provider that declares none: it can still ask for a pause."""


class TooSoon(ProviderError):
    """Not now: the limit is used up, or the provider asked us to wait. `wait`: seconds."""

    def __init__(self, words: str, *, wait: float) -> None:
        super().__init__(words, code=OWN_LIMIT)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Turn:
    """A call that may be made now. Until `settle` it counts as if it were answered as late as it may be."""

    key: str
    limit: Limit
    slot: int
    in_redis: bool


def admit(key: str, limit: Limit, *, patience: float = 0.0, lease: float = LEASE) -> Turn:
    """Count one call under `key`, waiting up to `patience` seconds for room. Raises TooSoon.

    The call is over, answered or not, within `lease` seconds.
    """
    ends = time.monotonic() + patience
    while (told := _ask(key, limit, min(lease, LONGEST_LEASE))).wait:
        if time.monotonic() + told.wait > ends:
            raise TooSoon(_words(limit, told, timezone.now()), wait=told.wait)
        time.sleep(told.wait + random.uniform(0.0, 0.02))  # noqa: S311 - so that waiters don't ask in step
    return Turn(key, limit, told.slot, told.in_redis)


def settle(turn: Turn) -> None:
    """The call is over: from here on it counts for a window. Never raises: at worst it counts for longer."""
    try:
        if turn.in_redis:
            _redis("settle", turn.key, turn.limit, str(turn.slot))
        else:
            limit = turn.limit
            _in_database(turn.key, lambda window, now: window.settle(limit, now, turn.slot))
    except (redis.RedisError, DatabaseError) as error:
        log.warning("A call to %s counts for longer than it took (%s)", turn.key, error)


def hold(key: str, limit: Limit, seconds: float) -> None:
    """The provider asked for a pause: nobody gets through for `seconds` (an hour at most)."""
    pause = max(0.0, min(seconds, LONGEST_HOLD))
    if settings.REDIS_URL:
        try:
            _redis("hold", key, limit, f"{pause:.6f}")
        except redis.RedisError as error:
            log.warning("Redis doesn't hear that %s asks for a pause (%s)", key, error)
    try:  # with Redis too: the database may have to stand in any moment
        _in_database(key, lambda window, now: window.hold(now, pause))
    except DatabaseError as error:
        log.warning("The database doesn't hear that %s asks for a pause (%s)", key, error)


def key_of(slug: str, limit: Limit, endpoint: str) -> str:
    """Under which name calls to `endpoint` count. With the window's length: slots of another length mean nothing."""
    name = f"{slug}/{limit.seconds}"
    return f"{name}:{endpoint}"[:200] if limit.each == "endpoint" else name


def _words(limit: Limit, told: "Told", now: datetime) -> str:
    """They may be read long after: when, not how soon."""
    opens = now + timedelta(seconds=told.wait + 1)  # the first whole second in which it surely may
    next_one = f"the next call may be made at {moments.clock(opens, now=now, seconds=True)}."
    if told.held:
        return f"It asked us to slow down, so nobody calls it: {next_one}"
    window = f"{limit.seconds} s" if limit.seconds > 1 else "a second"
    return f"Its limit of {limit.requests:,} calls in {window} is used up by our own count: {next_one}"


# --- What is kept ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What the counter said: come again in `wait` seconds, or 0.0 and the slot that the call counts in."""

    wait: float = 0.0
    held: bool = False
    slot: int = 0
    in_redis: bool = False


@dataclass(slots=True)
class Window:
    """`slots`: how many calls in each slot, by its number since 1970; `held`: nobody passes before (Unix time).

    Calls under way stand in the slot in which they will be over at the latest.
    """

    slots: dict[int, int] = field(default_factory=dict)
    held: float = 0.0

    @classmethod
    def read(cls, state: dict[str, Any]) -> "Window":
        return cls({int(slot): int(count) for slot, count in state.get("slots", {}).items()}, state.get("held", 0.0))

    def state(self) -> dict[str, Any]:
        return {"slots": {str(slot): count for slot, count in self.slots.items()}, "held": self.held}

    def take(self, limit: Limit, now: float, *, lease: float = 0.0) -> Told:
        """Count one call, if it may be made at `now`; it will be over within `lease` seconds."""
        self._mend(limit, now)
        if now < self.held:
            return Told(max(0.001, self.held - now), held=True)
        length = span(limit) / SLOTS
        current = math.floor(now / length)
        self.slots = {slot: count for slot, count in self.slots.items() if slot >= current - SLOTS}
        if sum(self.slots.values()) < limit.requests:
            slot = math.floor((now + lease) / length)
            self.slots[slot] = self.slots.get(slot, 0) + 1
            return Told(slot=slot)
        # Those under way may be over sooner than they must: that is worth another look after one window.
        first = min([*self.slots, current])
        return Told(max(0.01, (first + SLOTS + 1) * length - now))

    def settle(self, limit: Limit, now: float, slot: int) -> None:
        """A call that stood in `slot` is over at `now`."""
        self._mend(limit, now)
        if slot not in self.slots:  # the clock was set back meanwhile: it stands somewhere else, and not too early
            return
        self.slots[slot] -= 1
        if not self.slots[slot]:
            del self.slots[slot]
        current = math.floor(now / (span(limit) / SLOTS))
        self.slots[current] = self.slots.get(current, 0) + 1

    def hold(self, now: float, pause: float) -> None:
        self.held = min(max(self.held, now + pause), now + LONGEST_HOLD)

    def _mend(self, limit: Limit, now: float) -> None:
        """After the clock was set back: all moves with it, so that the newest is at most a lease ahead. Nothing is
        moved before the time at which it was, and nobody waits for the old time to come again."""
        self.held = min(self.held, now + LONGEST_HOLD)
        ahead = max(self.slots, default=0) - math.floor((now + LONGEST_LEASE) / (span(limit) / SLOTS))
        if ahead > 0:
            self.slots = {slot - ahead: count for slot, count in self.slots.items()}


def span(limit: Limit) -> float:
    """The length of the window that we keep, in seconds: a little longer, since clocks go at their own pace."""
    return limit.seconds + min(1.0, max(0.02, limit.seconds * 0.005))


def shares(limit: Limit) -> tuple[Limit, Limit]:
    """What Redis gives away, and what the database does while it stands in."""
    aside = limit.requests // 10
    return _of(limit, limit.requests - aside), _of(limit, max(1, aside))


@cache
def _of(limit: Limit, requests: int) -> Limit:
    return Limit(requests=requests, seconds=limit.seconds, each=limit.each)


# --- In the database -------------------------------------------------------------------------------------------------


def _ask(key: str, limit: Limit, lease: float) -> Told:
    if not settings.REDIS_URL:
        return _in_database(key, lambda window, now: window.take(limit, now, lease=lease), Told(0.1))
    of_redis, of_database = shares(limit)
    try:
        wait, held, slot = _redis("take", key, of_redis, f"{lease:.6f}")
        return Told(float(wait), held == "1", int(slot), in_redis=True)
    except redis.RedisError as error:
        log.warning("Calls to %s are counted in the database: Redis doesn't answer (%s)", key, error)
    return _in_database(key, lambda window, now: window.take(of_database, now, lease=lease), Told(0.1))


def _in_database(key: str, change: Callable[[Window, float], T], busy: T | None = None) -> T:
    """Read, change, and write only over what was read; again, if somebody was quicker. `busy`, if that is always so;
    without it, DatabaseError."""
    for _ in range(TRIES):
        row = RateWindow.objects.filter(pk=key).annotate(now=Now()).first()
        if row is None:
            RateWindow.objects.bulk_create([RateWindow(pk=key)], ignore_conflicts=True)
            continue
        window = Window.read(row.state)
        result = change(window, row.now.timestamp())
        state = window.state()
        if state == row.state:
            return result
        mine = RateWindow.objects.filter(pk=key, version=row.version)
        if mine.update(state=state, version=row.version + 1):
            return result
        time.sleep(random.uniform(0.0, 0.01))  # noqa: S311 - so that they don't meet again
    if busy is None:
        raise DatabaseError(f"the window of {key} was always somebody else's")
    return busy


# --- In Redis --------------------------------------------------------------------------------------------------------

# The same as `Window`, by Redis's own clock: a hash of slots and "held".
_LUA = """
local what, limit, length, slots = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most_ahead, longest_hold, told = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local current = math.floor(now / length)

local kept, newest, held = {}, nil, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] == 'held' then
    held = tonumber(all[i + 1])
  else
    local slot = tonumber(all[i])
    kept[slot] = tonumber(all[i + 1])
    if not newest or slot > newest then newest = slot end
  end
end

local ahead = newest and newest - math.floor((now + most_ahead) / length) or 0
local changed = false
if ahead > 0 then
  local moved = {}
  for slot, count in pairs(kept) do moved[slot - ahead] = count end
  kept, changed = moved, true
end
if held > now + longest_hold then held, changed = now + longest_hold, true end

local wait, why, place = 0, '0', 0
if what == 'hold' then
  held, changed = math.min(math.max(held, now + told), now + longest_hold), true
elseif what == 'settle' then
  if kept[told] then
    kept[told] = kept[told] - 1
    if kept[told] == 0 then kept[told] = nil end
    kept[current] = (kept[current] or 0) + 1
    changed = true
  end
elseif now < held then
  wait, why = math.max(0.001, held - now), '1'
else
  local used, first = 0, current
  for slot, count in pairs(kept) do
    if slot < current - slots then
      kept[slot] = nil
    else
      used = used + count
      if slot < first then first = slot end
    end
  end
  if used < limit then
    place = math.floor((now + told) / length)
    kept[place] = (kept[place] or 0) + 1
    changed = true
  else
    wait = math.max(0.01, (first + slots + 1) * length - now)
  end
end

if changed then
  redis.call('DEL', KEYS[1])
  local newest_end = now
  for slot, count in pairs(kept) do
    redis.call('HSET', KEYS[1], string.format('%.0f', slot), string.format('%.0f', count))
    newest_end = math.max(newest_end, (slot + 1) * length)
  end
  if held > 0 then
    redis.call('HSET', KEYS[1], 'held', string.format('%.6f', held))
    newest_end = math.max(newest_end, held)
  end
  redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * (newest_end - now + length * (slots + 1))))
end
return {string.format('%.6f', wait), why, string.format('%.0f', place)}
"""

_away_until = 0.0


def _redis(what: str, key: str, limit: Limit, told: str) -> tuple[str, str, str]:
    """Ask or tell Redis. Raises RedisError, and at once for a while after it hasn't answered."""
    global _away_until
    if time.monotonic() < _away_until:
        raise redis.ConnectionError("it didn't a moment ago")
    numbers = (limit.requests, span(limit) / SLOTS, SLOTS, LONGEST_LEASE, LONGEST_HOLD)
    arguments = [what, *(json.dumps(number) for number in numbers), told]
    try:
        wait, why, slot = _script(settings.REDIS_URL)(keys=[f"limit:{key}"], args=arguments)
    except redis.RedisError:
        _away_until = time.monotonic() + REDIS_AWAY_SECONDS
        raise
    return wait, why, slot


@cache
def _script(url: str) -> Any:
    # Nobody waits for a limit longer than for the provider: a frozen Redis is given up on quickly.
    client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, decode_responses=True)
    return client.register_script(_LUA)
