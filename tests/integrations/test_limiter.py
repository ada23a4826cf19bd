"""The limiter: no window ever holds more than the limit, wherever it begins, whatever the clock and Redis do."""

import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations import limiter
from integrations.limiter import LONGEST_HOLD, LONGEST_LEASE, Told, TooSoon, Window, span
from integrations.models import RateWindow
from integrations.providers.spec import Limit
from tests import services

TWO_A_SECOND = Limit(requests=2, seconds=1)
HUNDRED_A_MINUTE = Limit(requests=100, seconds=60)
DAILY = Limit(requests=50_000, seconds=86_400)
NOW = 1_795_000_000.0


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_away_until", 0.0)


# --- The window, pure ------------------------------------------------------------------------------------------------


def test_calls_pass_until_the_limit_is_reached_and_then_a_window_later() -> None:
    window = Window()
    assert [window.take(TWO_A_SECOND, NOW).wait for _ in range(2)] == [0.0, 0.0]
    wait = window.take(TWO_A_SECOND, NOW).wait
    assert span(TWO_A_SECOND) <= wait <= span(TWO_A_SECOND) * 1.05
    assert window.take(TWO_A_SECOND, NOW + wait + 0.001).wait == 0.0


def test_a_call_under_way_counts_until_it_is_over_and_a_window_more() -> None:
    window = Window()
    turn = window.take(TWO_A_SECOND, NOW, lease=10)
    assert window.take(TWO_A_SECOND, NOW).wait == 0.0
    assert window.take(TWO_A_SECOND, NOW + 2).wait == 0.0  # the other one is long over
    assert window.take(TWO_A_SECOND, NOW + 2.01).wait > 0
    window.settle(TWO_A_SECOND, NOW + 3, turn.slot)
    assert window.take(TWO_A_SECOND, NOW + 3.9).wait == 0.0  # beside the one that was just settled
    assert window.take(TWO_A_SECOND, NOW + 3.95).wait > 0
    assert window.take(TWO_A_SECOND, NOW + 4.1).wait == 0.0


def test_a_call_that_never_settles_is_forgotten_after_its_lease() -> None:
    window = Window()
    for _ in range(2):
        window.take(TWO_A_SECOND, NOW, lease=10)
    assert window.take(TWO_A_SECOND, NOW + 9).wait > 0
    assert window.take(TWO_A_SECOND, NOW + 11.1).wait == 0.0


def test_a_hold_lasts_as_long_as_the_longest_that_was_asked_for() -> None:
    window = Window()
    window.hold(NOW, 30)
    window.hold(NOW + 1, 5)
    told = window.take(TWO_A_SECOND, NOW + 20)
    assert (round(told.wait), told.held) == (10, True)
    assert window.take(TWO_A_SECOND, NOW + 30).wait == 0.0


def test_a_refused_call_is_not_counted() -> None:
    window = Window()
    for _ in range(2):
        window.take(TWO_A_SECOND, NOW)
    before = window.state()
    assert window.take(TWO_A_SECOND, NOW).wait > 0
    assert window.state() == before


def test_little_is_kept_of_a_high_limit() -> None:
    window = Window()
    for number in range(3000):
        assert window.take(DAILY, NOW + number * 40, lease=10).wait == 0.0
    assert len(window.slots) <= limiter.SLOTS + 2


@pytest.mark.parametrize("limit", [TWO_A_SECOND, HUNDRED_A_MINUTE, DAILY], ids=lambda limit: str(limit.seconds))
@pytest.mark.parametrize("back", [0.5, 30, 3600, 10 * 86_400])
def test_a_clock_that_was_set_back_locks_nobody_out_and_lets_nobody_through(limit: Limit, back: float) -> None:
    window = Window()
    for _ in range(limit.requests):
        window.take(limit, NOW)
    window.hold(NOW, 5)
    for moment in itertools.count(NOW - back, span(limit) / 20):
        told = window.take(limit, moment)
        if not told.wait:
            break
    waited = moment - (NOW - back)
    assert limit.seconds <= waited <= min(back, LONGEST_LEASE + LONGEST_HOLD) + span(limit) * 1.1 + 5


def test_a_call_under_way_when_the_clock_is_set_back_still_counts() -> None:
    window = Window()
    turns = [window.take(TWO_A_SECOND, NOW, lease=10) for _ in range(2)]
    for turn in turns:
        window.settle(TWO_A_SECOND, NOW - 86_400, turn.slot)
    assert window.take(TWO_A_SECOND, NOW - 86_400 + 1).wait > 0
    assert window.take(TWO_A_SECOND, NOW - 86_400 + LONGEST_LEASE + 2).wait == 0.0


# --- The property ----------------------------------------------------------------------------------------------------

Take = Callable[[float, float], Told]
Settle = Callable[[float, int], None]

limits = st.builds(Limit, requests=st.integers(1, 6), seconds=st.sampled_from([1, 2, 60]))
"""A pause before the call, how long it takes, when in that time it arrives, and whether its process dies meanwhile."""
calls = st.lists(
    st.tuples(st.floats(0, 1.5), st.floats(0, 0.9), st.floats(0, 1), st.booleans()), min_size=1, max_size=60
)


def arrivals(limit: Limit, plan: Any, take: Take, settle: Settle) -> list[float]:
    """When the provider saw each call that was let through, if everybody comes and goes as `plan` says. Times in it
    are in windows."""
    now, under_way, seen = NOW, [], []
    for pause, takes, arrives, dies in plan:
        now += pause * limit.seconds / limit.requests
        for over, slot in sorted(under_way):
            if over <= now:
                settle(over, slot)
        under_way = [each for each in under_way if each[0] > now]
        lease = limit.seconds
        told = take(now, lease)
        if told.wait:
            now += told.wait  # as those do who wait; they come again as the next of the plan
            continue
        took = takes * lease
        seen.append(now + arrives * took)
        if not dies:
            under_way.append((now + took, told.slot))
    return sorted(seen)


def most_in_a_window(limit: Limit, seen: list[float]) -> int:
    """The most that any window of that length holds, wherever it begins: it may as well begin with a call."""
    return max((sum(first <= each < first + limit.seconds for each in seen) for first in seen), default=0)


@given(limit=limits, plan=calls)
@settings(max_examples=400, deadline=None)
def test_no_window_ever_holds_more_than_the_limit_wherever_it_begins(limit: Limit, plan: Any) -> None:
    window = Window()
    seen = arrivals(
        limit,
        plan,
        lambda now, lease: window.take(limit, now, lease=lease),
        lambda now, slot: window.settle(limit, now, slot),
    )
    assert seen
    assert most_in_a_window(limit, seen) <= limit.requests


def test_the_property_can_fail() -> None:
    """A window that forgets what is under way is found out."""
    window = Window()
    plan = [(0.0, 0.9, 1.0, False), (0.0, 0.0, 0.0, False), (2.2, 0.0, 0.0, False), (0.0, 0.0, 0.0, False)]
    seen = arrivals(TWO_A_SECOND, plan, lambda now, lease: window.take(TWO_A_SECOND, now), lambda now, slot: None)
    assert most_in_a_window(TWO_A_SECOND, seen) == 3


# --- The same in Redis -----------------------------------------------------------------------------------------------

TOLD_TIME = limiter._LUA.replace("redis.call('TIME')", "{ARGV[8], ARGV[9]}")


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    services.need(services.redis(), "Redis")
    with redis.Redis.from_url(services.REDIS_URL, decode_responses=True) as client:
        yield client


@pytest.fixture
def key(client: redis.Redis) -> Iterator[str]:
    name = f"test-limiter-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    client.delete(f"limit:{name}")


@pytest.fixture
def with_redis(settings: Any, key: str) -> str:
    settings.REDIS_URL = services.REDIS_URL
    return key


class Scripted:
    """The script with a clock that is told, instead of Redis's own."""

    def __init__(self, client: redis.Redis, limit: Limit) -> None:
        self.client, self.limit, self.script = client, limit, client.register_script(TOLD_TIME)
        self.name = f"limit:test-{os.getpid()}-{time.monotonic_ns()}"

    def ask(self, what: str, now: float, told: float) -> Told:
        limit = self.limit
        numbers = (limit.requests, span(limit) / limiter.SLOTS, limiter.SLOTS, LONGEST_LEASE, LONGEST_HOLD)
        arguments = [what, *map(repr, numbers), repr(told), str(int(now)), str(round(now % 1 * 1e6))]
        wait, why, slot = self.script(keys=[self.name], args=arguments)
        return Told(float(wait), why == "1", int(slot))

    def state(self) -> dict[str, str]:
        return self.client.hgetall(self.name)


def rounded(plan: Any) -> Any:
    """To whole milliseconds: Redis's clock counts in microseconds, ours in whatever a float can."""
    return [(round(pause, 3), round(takes, 3), arrives, dies) for pause, takes, arrives, dies in plan]


@pytest.mark.redis
@given(limit=limits, plan=calls)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_window_in_redis_ever_holds_more(client: redis.Redis, limit: Limit, plan: Any) -> None:
    scripted = Scripted(client, limit)
    seen = arrivals(
        limit,
        rounded(plan),
        lambda now, lease: scripted.ask("take", now, lease),
        lambda now, slot: scripted.ask("settle", now, slot) and None,
    )
    client.delete(scripted.name)
    assert seen
    assert most_in_a_window(limit, seen) <= limit.requests


steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "settle", "hold"]),
        st.sampled_from([0, 1, 7, 40, 90, -3, -500, -90_000]),  # seconds that the clock goes on, or is set back
        st.integers(0, 12),
    ),
    max_size=40,
)


@pytest.mark.redis
@given(limit=limits, steps=steps)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_and_the_database_say_the_same_whatever_the_clock_does(
    client: redis.Redis, limit: Limit, steps: Any
) -> None:
    scripted, window, now, slots = Scripted(client, limit), Window(), NOW, [0]
    for what, passes, number in steps:
        now += passes
        told = slots[number % len(slots)] if what == "settle" else number
        there = scripted.ask(what, now, told)
        if what == "take":
            here = window.take(limit, now, lease=number)
            assert (round(here.wait, 3), here.held, here.slot) == (round(there.wait, 3), there.held, there.slot)
            slots.append(here.slot)
        elif what == "settle":
            window.settle(limit, now, told)
        else:
            window.hold(now, number)
    client.delete(scripted.name)


@pytest.mark.parametrize(
    ("wait", "told"),
    [(0.3, "at 15:58:31 SAST."), (30.0, "at 15:59:01 SAST."), (36_000.0, "at 2026-11-28 01:58:31 SAST.")],
)
def test_why_a_call_must_wait_says_until_when_since_its_words_are_kept(wait: float, told: str) -> None:
    """They stand as the reason of an integration until its next check: "in 30 s" would be wrong all that time."""
    now = datetime(2026, 11, 27, 13, 58, 30, tzinfo=UTC)
    for held in (False, True):
        words = limiter._words(TWO_A_SECOND, Told(wait, held=held), now)
        assert words.endswith(f"the next call may be made {told}")


@pytest.mark.redis
@pytest.mark.django_db
def test_redis_keeps_a_key_while_it_is_held_and_no_longer_than_it_matters(
    client: redis.Redis, with_redis: str
) -> None:
    limiter.hold(with_redis, TWO_A_SECOND, 600)
    limiter.hold(with_redis, TWO_A_SECOND, 1)  # the shorter one must not make it forget the longer
    assert 590 < client.ttl(f"limit:{with_redis}") <= 603
    with pytest.raises(TooSoon, match="asked us to slow down"):
        limiter.admit(with_redis, TWO_A_SECOND)


@pytest.mark.redis
@pytest.mark.django_db
def test_a_call_counts_in_redis_until_a_window_after_it_is_over(client: redis.Redis, with_redis: str) -> None:
    turns = [limiter.admit(with_redis, TWO_A_SECOND) for _ in range(2)]
    with pytest.raises(TooSoon, match="Its limit of 2 calls in a second is used up by our own count"):
        limiter.admit(with_redis, TWO_A_SECOND)
    assert all(turn.in_redis for turn in turns)
    for turn in turns:
        limiter.settle(turn)
    began = time.monotonic()
    limiter.admit(with_redis, TWO_A_SECOND, patience=3)
    assert time.monotonic() - began > 0.9
    assert not RateWindow.objects.filter(pk=with_redis).exists()


# --- Redis away ------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(settings: Any) -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{sock.getsockname()[1]}/0"
        yield settings.REDIS_URL


@pytest.fixture
def frozen(settings: Any) -> Iterator[socket.socket]:
    """Somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield server


@pytest.mark.django_db
def test_without_redis_the_database_stands_in_with_the_tenth_that_is_set_aside(dead: str) -> None:
    limit = Limit(requests=30, seconds=60)
    for _ in range(3):
        assert not limiter.admit("k", limit).in_redis
    with pytest.raises(TooSoon):
        limiter.admit("k", limit)
    of_redis, of_database = limiter.shares(limit)
    assert of_redis.requests + of_database.requests == 30


@pytest.mark.django_db
def test_a_pause_holds_whichever_of_the_two_is_asked(dead: str, settings: Any) -> None:
    limiter.hold("k", TWO_A_SECOND, 60)
    settings.REDIS_URL = ""
    with pytest.raises(TooSoon, match="asked us to slow down"):
        limiter.admit("k", TWO_A_SECOND)


@pytest.mark.django_db
def test_a_frozen_redis_is_given_up_on_once_and_then_left_alone_for_a_while(
    frozen: socket.socket, caplog: Any
) -> None:
    began = time.monotonic()
    for number in range(50):
        limiter.admit(f"k{number}", TWO_A_SECOND)
    assert 0.4 < time.monotonic() - began < 10  # each time would be 25 s
    assert "Redis doesn't answer" in caplog.text


@pytest.mark.redis
@pytest.mark.django_db
def test_redis_is_asked_again_once_the_while_is_over(with_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_away_until", time.monotonic() + 0.2)
    assert not limiter.admit(with_redis, HUNDRED_A_MINUTE).in_redis
    time.sleep(0.25)
    assert limiter.admit(with_redis, HUNDRED_A_MINUTE).in_redis


@pytest.mark.redis
@pytest.mark.django_db
def test_a_call_that_redis_counted_settles_nowhere_while_redis_is_away(
    with_redis: str, dead: str, settings: Any, caplog: Any
) -> None:
    settings.REDIS_URL = services.REDIS_URL
    turn = limiter.admit(with_redis, TWO_A_SECOND)
    settings.REDIS_URL = dead
    with caplog.at_level(logging.WARNING):
        limiter.settle(turn)
    assert "counts for longer than it took" in caplog.text


@pytest.mark.redis
@pytest.mark.django_db
def test_however_redis_comes_and_goes_redis_and_database_stay_within_the_limit(
    with_redis: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, passed = Limit(requests=20, seconds=60), 0
    for number in range(60):
        monkeypatch.setattr(limiter, "_away_until", time.monotonic() + 60 if number % 3 == 0 else 0.0)
        try:
            limiter.admit(with_redis, limit)
        except TooSoon:
            continue
        passed += 1
    assert passed == 20


# --- In the database -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_threads_that_come_at_once_share_the_limit() -> None:
    passed: list[bool] = []
    barrier = threading.Barrier(8)

    def come() -> None:
        from django.db import connection

        barrier.wait()
        for _ in range(5):
            try:
                limiter.admit("k", Limit(requests=15, seconds=60))
                passed.append(True)
            except TooSoon:
                pass
        connection.close()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 15
    assert sum(RateWindow.objects.get(pk="k").state["slots"].values()) == 15


@pytest.mark.django_db
def test_whoever_has_patience_gets_a_turn_when_there_is_one() -> None:
    for _ in range(2):
        limiter.settle(limiter.admit("k", TWO_A_SECOND))
    with pytest.raises(TooSoon) as caught:
        limiter.admit("k", TWO_A_SECOND, patience=0.2)
    assert 0.5 < caught.value.wait < 1.2
    assert (caught.value.code, caught.value.permanent) == ("own_limit", False)
    began = time.monotonic()
    limiter.admit("k", TWO_A_SECOND, patience=3)
    assert time.monotonic() - began > 0.5


@pytest.mark.django_db
def test_a_window_that_is_always_somebody_elses_is_given_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "TRIES", 3)
    monkeypatch.setattr("django.db.models.query.QuerySet.update", lambda self, **values: 0)
    with pytest.raises(TooSoon):
        limiter.admit("k", TWO_A_SECOND)
    limiter.hold("k", TWO_A_SECOND, 5)  # neither of them raises
    limiter.settle(limiter.Turn("k", TWO_A_SECOND, 0, in_redis=False))


@pytest.mark.django_db
def test_the_databases_clock_counts_and_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW - 10**6)
    limiter.admit("k", TWO_A_SECOND, lease=0)
    (slot,) = RateWindow.objects.get(pk="k").state["slots"]
    monkeypatch.undo()
    assert abs(int(slot) * span(TWO_A_SECOND) / limiter.SLOTS - time.time()) < 30


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        (TWO_A_SECOND, "zoho-sign/1"),
        (Limit(requests=50, seconds=60, each="endpoint"), "zoho-sign/60:/api/v1/requests"),
    ],
)
def test_calls_count_by_key_or_by_endpoint_and_never_with_those_of_another_window(limit: Limit, key: str) -> None:
    assert limiter.key_of("zoho-sign", limit, "/api/v1/requests") == key
