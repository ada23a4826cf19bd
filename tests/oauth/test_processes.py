"""Real processes and a real authorisation server: one refresh for all, and what a kill -9 may cost."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import cache

import pytest

from tests.oauth import processes, rotation, rounds, server

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("oauth")]

MANY = 50


@pytest.fixture(scope="module")
def provider() -> Iterator[server.Provider]:
    with server.running(pkce=True) as running:
        yield running


@pytest.fixture(scope="module")
def crews(provider, tmp_path_factory):
    """One on each database, whatever the order of the tests."""
    with ExitStack() as stack:
        yield cache(
            lambda engine: stack.enter_context(processes.crew(tmp_path_factory.mktemp(engine), engine, provider.url))
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def hire(request, crews):
    return crews(request.param)


def test_fifty_processes_that_need_a_token_at_once_cause_one_refresh(hire, provider, tmp_path):
    worker = hire()
    user = f"everybody in {tmp_path}"
    provider.behave(rotates=True)
    worker.run("connect", slug="acme", user=user)
    tokens = rounds.all_at_once([worker] * MANY, tmp_path, slug="acme")
    assert len(tokens) == 1
    assert provider.whoami(tokens.pop()) == user
    assert rounds.given(provider, user) == 1
    assert [one["status"] for one in provider.asked() if one["user"] == user] == [200]
    assert worker.run("look", slug="acme")["refresh_count"] == 1


@pytest.mark.parametrize("rotates", [False, True], ids=["tokens stay", "tokens rotate"])
def test_a_worker_killed_while_it_renews_costs_no_grant(hire, provider, rotates):
    seen = rounds.play(provider, hire, rotates=rotates, rounds=6)
    assert seen.ends.total() == 6
    assert seen.reuses == 0


@pytest.mark.parametrize(("engine", "rotates"), [("sqlite", True), ("postgresql", False), ("postgresql", True)])
def test_keys_are_rotated_while_tokens_are_renewed_and_processes_killed(tmp_path, engine, rotates):
    with (
        server.running(pkce=True) as provider,
        processes.crew(tmp_path, engine, provider.url, TOKEN_ENCRYPTION_KEYS=rotation.OLD) as hire,
    ):
        seen = rotation.play(provider, hire, rotates=rotates, seconds=4)
    assert seen.renewed > 20
    assert seen.rotations_killed > 0


def test_a_rotation_that_wrote_blindly_would_cost_grants(tmp_path):
    """The control: it reads, and writes what it read over whatever has been stored meanwhile."""
    for attempt in range(4):  # whether the two meet is chance, if a likely one
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with (
            server.running(pkce=True) as provider,
            processes.crew(folder, "postgresql", provider.url, TOKEN_ENCRYPTION_KEYS=rotation.OLD) as hire,
        ):
            with suppress(AssertionError):
                rotation.play(provider, hire, rotates=True, seconds=8, blind=True)
            if provider.reuses() > 0:
                return
    pytest.fail("Four blind rotations cost nothing: the tests above would not notice one.")


def test_without_the_journal_an_old_refresh_token_would_be_presented_again(hire, provider):
    """The control: the same kill, but nobody believes what the dead wrote down."""
    worker, before = hire(), provider.reuses()
    provider.behave(rotates=True)
    worker.run("connect", slug="acme", user="the control")
    doomed = worker.start("use", slug="acme", lease=rounds.LEASE, keep_after=30)
    rounds.until(lambda: rounds.given(provider, "the control") == 1)
    assert worker.kill(doomed)
    told = worker.run("use", slug="acme", journal=False)
    assert told["code"] == "dead_grant"
    assert provider.reuses() == before + 1
    assert provider.families("the control")[-1]["revoked"] == "reuse"
    assert worker.run("look", slug="acme")["state"] == "needs_reauth"
