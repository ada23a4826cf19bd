"""Rounds of kill -9: a worker that renews a token dies at some moment, others come after it, and what must hold holds.

The provider's own counters are the oracle: what it gave, and whether an old refresh token was ever presented again.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.oauth.processes import Worker
from tests.oauth.server import Provider

KEEP_AFTER = 0.25
"""Seconds between the provider's answer and our commit; in truth a few milliseconds, too few to aim at."""
LEASE = 1.0
ASKERS = 3
LANES = 3


@dataclass
class Seen:
    """How many rounds ended how, by when the kill came and what the grant was then."""

    ends: Counter[str] = field(default_factory=Counter)
    refreshes: int = 0
    reuses: int = 0

    def __str__(self) -> str:
        lines = [f"  {number:4} x {end}" for end, number in sorted(self.ends.items())]
        return "\n".join([f"{self.refreshes} refreshes, {self.reuses} old refresh tokens presented again", *lines])


def play(provider: Provider, hire: Callable[[], Worker], *, rotates: bool, rounds: int, seed: int = 1) -> Seen:
    """`rounds` rounds, several beside each other. Raises AssertionError for the first that ended as none may."""
    provider.behave(rotates=rotates)
    seen, refreshes, reuses = Seen(), len(provider.asked()), provider.reuses()
    crew = [hire() for _ in range(LANES)]

    def lane(number: int) -> list[str]:
        chance = random.Random(seed * 100 + number)
        slug = f"acme-{'rotates' if rotates else 'stays'}-{number + 1}"
        mine = range(number, rounds, LANES)
        return [
            one_round(provider, crew[number], slug, f"{slug} round {n} of {seed}, {id(seen):x}", rotates, chance)
            for n in mine
        ]

    with ThreadPoolExecutor(LANES) as pool:
        for ends in pool.map(lane, range(LANES)):
            seen.ends.update(ends)
    seen.refreshes, seen.reuses = len(provider.asked()) - refreshes, provider.reuses() - reuses
    return seen


def one_round(provider: Provider, worker: Worker, slug: str, user: str, rotates: bool, chance: random.Random) -> str:
    worker.run("connect", slug=slug, user=user)
    doomed = worker.start("use", slug=slug, lease=LEASE, keep_after=KEEP_AFTER)
    moment = chance.uniform(0, KEEP_AFTER * 3)
    if chance.random() < 0.7:  # most die where it hurts: they have the answer, and nobody else does
        until(lambda: given(provider, user) == 1)
        moment = chance.uniform(0, KEEP_AFTER)
    time.sleep(moment)
    killed = worker.kill(doomed)
    answered, after = given(provider, user), worker.run("look", slug=slug)
    when = _when(killed, answered, after)
    askers = [worker.start("use", slug=slug) for _ in range(ASKERS)]
    told = [worker.wait(asker) for asker in askers]
    ended = worker.run("look", slug=slug)
    what = f"killed {when}: {ended['state']}"
    case = f"{user}, {what}; {after} {told} {ended}"

    family = provider.families(user)[-1]
    assert (family["reuses"], family["revoked"]) == (0, ""), case
    if ended["state"] == "connected":
        tokens = {one.get("token", "") for one in told}
        assert len(tokens) == 1, case
        assert provider.whoami(tokens.pop()) == user, case
    else:
        assert rotates, case
        assert ended["state"] == "uncertain", case
        assert when in (BEFORE, BETWEEN), case
        assert {one.get("code") for one in told} == {"uncertain"}, case
        assert "Connect it again" in ended["advice"], case
        worker.run("connect", slug=slug, user=user)
        assert provider.whoami(worker.run("use", slug=slug)["token"]) == user, case
    if rotates and when == BETWEEN:
        assert ended["state"] == "uncertain", case
    return what


BEFORE, BETWEEN, AFTER = "before the answer", "between answer and commit", "after the commit"


def _when(killed: bool, answered: int, after: dict[str, object]) -> str:
    if after["generation"]:
        return AFTER
    assert killed, after
    if answered:
        return BETWEEN
    return BEFORE if after["attempts"] else "before it was written down"


def all_at_once(workers: Sequence[Worker], folder: Path, *, slug: str) -> set[str]:
    """The tokens that as many processes get, started by `workers`, when all ask at the same moment."""
    barrier = folder / "go"
    jobs = [(worker, worker.start("use", slug=slug, wait_for=str(barrier))) for worker in workers]
    until(lambda: len(list(folder.glob("ready-*"))) == len(workers), 60)
    barrier.touch()
    told = [worker.wait(job) for worker, job in jobs]
    assert all("token" in one for one in told), told
    return {one["token"] for one in told}


def given(provider: Provider, user: str) -> int:
    """How many times the provider gave tokens for the newest authorisation by `user`'s refresh token."""
    refreshes: int = provider.families(user)[-1]["refreshes"]
    return refreshes


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
