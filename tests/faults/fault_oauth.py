"""Fifty interpreters that need a token at once; two hundred workers killed while they renew one; keys that change."""

import time

import pytest

from tests.oauth import processes, rotation, rounds, server

ROUNDS = 200
MANY = 50


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_fifty_interpreters_that_need_a_token_at_once_cause_one_refresh(tmp_path, engine):
    """The fifty of `test_processes.py` are forked, as Celery does it; these share nothing but the database."""
    with server.running(pkce=True) as provider, processes.crew(tmp_path, engine, provider.url) as hire:
        began = time.monotonic()
        workers = [hire() for _ in range(MANY)]
        workers[0].run("connect", slug="acme", user="everybody")
        started = time.monotonic()
        tokens = rounds.all_at_once(workers, tmp_path, slug="acme")
        took = time.monotonic() - started
        family, asked = provider.families("everybody"), len(provider.asked())
    print(f"\n{MANY} on {engine}, there in {started - began:.0f} s: {took:.1f} s, {asked} request(s), {family}")
    assert len(tokens) == asked == 1
    assert family == [{"refreshes": 1, "reuses": 0, "revoked": ""}]


@pytest.mark.parametrize("rotates", [False, True], ids=["tokens-stay", "tokens-rotate"])
def test_two_hundred_killed_workers_cost_no_grant(tmp_path, rotates):
    with (
        server.running(pkce=True) as provider,
        processes.crew(tmp_path, "postgresql", provider.url) as hire,
    ):
        began = time.monotonic()
        seen = rounds.play(provider, hire, rotates=rotates, rounds=ROUNDS)
        took = time.monotonic() - began
    print(f"\n{ROUNDS} rounds in {took:.0f} s, refresh tokens {'rotate' if rotates else 'stay'}: {seen}")
    assert seen.ends.total() == ROUNDS
    assert seen.reuses == 0


@pytest.mark.parametrize("rotates", [False, True], ids=["tokens-stay", "tokens-rotate"])
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_keys_are_rotated_for_a_minute_while_tokens_are_renewed_and_processes_killed(tmp_path, engine, rotates):
    with (
        server.running(pkce=True) as provider,
        processes.crew(tmp_path, engine, provider.url, TOKEN_ENCRYPTION_KEYS=rotation.OLD) as hire,
    ):
        seen = rotation.play(provider, hire, rotates=rotates, seconds=60)
    print(f"\n{engine}, refresh tokens {'rotate' if rotates else 'stay'}: {seen}")
    assert seen.rotations_killed > 20
