"""Keys are rotated while tokens are really renewed, by processes that know them in either order, some of them killed.

What must hold: nothing fails to open, nothing stays under the old key, and no newer token is overwritten by an older
one, which a provider whose refresh tokens rotate would notice at the next renewal.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.oauth.processes import Worker
from tests.oauth.server import Provider

OLD, BOTH, NEW_FIRST, NEW = "1:old", "1:old,2:new", "2:new,1:old", "2:new"
"""The steps of docs/operations.md."""


@dataclass
class Seen:
    renewed: int = 0
    refreshers_killed: int = 0
    rotations_killed: int = 0
    resealed: int = 0
    left_on_the_old_key: int = 0

    def __str__(self) -> str:
        return (
            f"{self.renewed} renewals, {self.resealed} values moved by the rotations that ended; killed: "
            f"{self.rotations_killed} rotations, {self.refreshers_killed} refreshers; "
            f"{self.left_on_the_old_key} left under the old key"
        )


def play(
    provider: Provider, hire: Callable[..., Worker], *, rotates: bool, seconds: float, blind: bool = False
) -> Seen:
    """Raises AssertionError for the first thing that may not be. `blind`: the control, with which it has to.

    `rotates`: whether the provider gives a new refresh token each time; where it doesn't, refreshers are killed too.
    """
    chance, seen = random.Random(1), Seen()
    owner = hire(TOKEN_ENCRYPTION_KEYS=OLD)
    slugs = [f"acme-{'rotates' if rotates else 'stays'}-{number}" for number in (1, 2, 3)]
    provider.behave(rotates=rotates)
    for slug in slugs:
        owner.run("connect", slug=slug, user=f"{slug} {id(seen):x}")
    crews = {keys: hire(TOKEN_ENCRYPTION_KEYS=keys) for keys in (BOTH, NEW_FIRST)}
    rotator = hire(TOKEN_ENCRYPTION_KEYS=NEW_FIRST)
    ends = time.monotonic() + seconds
    churning = [
        (crew, slug, crew.start("churn", slug=slug, seconds=seconds, lease=40 if rotates else 1))
        for crew in crews.values()
        for slug in slugs
    ]
    # On a busy machine a rotation may take all the time there is: one at least has to be killed.
    while time.monotonic() < ends or (not (blind or seen.rotations_killed) and time.monotonic() < ends + 60):
        doomed = rotator.start("rotate", blind=blind)
        time.sleep(chance.uniform(0.0, 0.2))
        if not blind and chance.random() < 0.6:
            seen.rotations_killed += rotator.kill(doomed)
        else:
            done = rotator.wait(doomed)
            assert done["shut"] == [], done
            seen.resealed += done["resealed"]
        if not rotates and chance.random() < 0.3:
            crew = crews[BOTH]
            one = crew.start("use", slug=slugs[0], lease=1, keep_after=0.1)
            time.sleep(chance.uniform(0.0, 0.15))
            seen.refreshers_killed += crew.kill(one)
    for crew, slug, job in churning:
        told = crew.wait(job)
        seen.renewed += told["renewed"]
        assert set(told["errors"]) <= {"busy"}, (slug, Counter(told["errors"]))
    last = rotator.run("rotate")  # now nobody seals with the old one any more
    assert last["shut"] == [], last
    found = rotator.run("keys")
    seen.left_on_the_old_key = found.pop("1", 0)
    assert seen.left_on_the_old_key == 0
    assert set(found) == {"2"}, found
    heir = hire(TOKEN_ENCRYPTION_KEYS=NEW)
    for slug in slugs:
        told = heir.run("churn", slug=slug, seconds=0.2)  # the refresh token that is stored is the provider's newest
        assert told["errors"] == [], (slug, told)
        assert told["renewed"] > 0, (slug, told)
        assert heir.run("look", slug=slug)["state"] == "connected"
    assert provider.reuses() == 0
    return seen
