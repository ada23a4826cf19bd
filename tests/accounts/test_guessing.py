"""Guessing is slowed down, nobody is locked out by it, and nothing tells which names there are."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from integrations.accounts.login import guessing
from integrations.accounts.models import User
from integrations.models import Activity
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

LOGIN, PAGE = "/accounts/login/", "/admin/integrations"
SLOW = "Too many tries. Try again in"


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """At the beginning of a window, and it stands still."""
    now = timezone.now().replace(minute=0, second=1, microsecond=0)
    with time_machine.travel(now, tick=False) as moving:
        yield moving


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def attempt(password: str, *, address: str = "192.0.2.1", name: str = "alice", client: Client | None = None) -> str:
    answer = (client or Client()).post(LOGIN, {"login": name, "password": password}, REMOTE_ADDR=address)
    return "in" if answer.status_code == 302 else "slow" if SLOW in answer.content.decode() else "wrong"


def test_five_misses_in_five_minutes_and_the_sixth_waits_even_if_it_is_right(alice: User, clock: Any) -> None:
    assert [attempt("guessed") for _ in range(5)] == ["wrong"] * 5
    assert attempt(PASSWORD) == "slow"
    clock.shift(timedelta(minutes=5))
    assert attempt(PASSWORD) == "in"


def test_the_right_one_takes_no_try_away(alice: User) -> None:
    assert [attempt(PASSWORD) for _ in range(20)] == ["in"] * 20


def test_a_thousand_guesses_from_everywhere_leave_the_victim_able_to_sign_in(alice: User) -> None:
    for n in range(1000):
        attempt(f"guess {n}", address=f"198.51.{n // 250}.{n % 250 + 1}")
    assert attempt(PASSWORD, address="203.0.113.7") == "in"


def test_nor_do_a_thousand_from_one_network(alice: User) -> None:
    told = [attempt(f"guess {n}") for n in range(1000)]
    assert told.count("wrong") == 5, "the other 995 were not even compared"
    assert attempt(PASSWORD, address="203.0.113.7") == "in"


def test_a_browser_that_was_there_before_has_tries_of_its_own(alice: User) -> None:
    own = Client()
    assert attempt(PASSWORD, client=own) == "in"
    own.post("/accounts/logout/")
    for _ in range(1000):
        attempt("guessed")  # from the very same network
    assert attempt("a slip", client=own) == "wrong"
    assert attempt(PASSWORD, client=own) == "in"


def test_that_cookie_is_worth_nothing_for_another_name(alice: User, bob: User) -> None:
    own = Client()
    attempt(PASSWORD, client=own)
    own.post("/accounts/logout/")
    told = [attempt("guessed", name="bob", client=own) for _ in range(6)]
    assert told == ["wrong"] * 5 + ["slow"]


@pytest.mark.parametrize("value", ["", "x", "W10:1:abc", "\x00", "a" * 5000])
def test_nor_is_a_made_up_one(alice: User, value: str) -> None:
    own = Client()
    own.cookies[guessing.COOKIE] = value
    assert [attempt("guessed", client=own) for _ in range(6)][-1] == "slow"


def test_a_stolen_cookie_is_slowed_down_too(alice: User) -> None:
    own = Client()
    attempt(PASSWORD, client=own)
    kept = own.cookies[guessing.COOKIE].value
    told = []
    for n in range(guessing.KNOWN + 1):
        thief = Client()
        thief.cookies[guessing.COOKIE] = kept
        told.append(attempt("guessed", client=thief, address=f"198.51.100.{n + 1}"))
    assert told == ["wrong"] * guessing.KNOWN + ["slow"]


def test_one_network_that_tries_many_names_waits(alice: User) -> None:
    told = [attempt("guessed", name=f"name{n}") for n in range(51)]
    assert told == ["wrong"] * 50 + ["slow"]


def test_all_of_an_ipv6_64_is_one_network(alice: User) -> None:
    told = [attempt("guessed", address=f"2001:db8::{n + 1:x}") for n in range(6)]
    assert told[-1] == "slow"
    assert attempt(PASSWORD, address="2001:db8:0:1::1") == "in"


def test_a_siege_leaves_strange_networks_two_tries_and_is_told_once_an_hour(alice: User) -> None:
    for n in range(guessing.SIEGE + 20):
        attempt("guessed", address=f"198.51.100.{n + 1}")
    assert [attempt("guessed", address="203.0.113.9") for _ in range(3)] == ["wrong", "wrong", "slow"]
    entry = Activity.objects.get(action="login_besieged")
    assert (entry.outcome, entry.details) == ("failure", {"username": "alice"})


def test_names_that_are_nobodys_are_answered_and_counted_the_same(alice: User) -> None:
    for name in ("alice", "nobody"):
        answers = [
            Client().post(LOGIN, {"login": name, "password": "guessed"}, REMOTE_ADDR=f"192.0.2.{len(name)}")
            for _ in range(6)
        ]
        texts = [one.content.decode().replace(name, "X") for one in answers]
        assert [SLOW in text for text in texts] == [False] * 5 + [True]
        assert all("Please enter a correct username and password" in text for text in texts[:5])


def test_for_names_that_are_nobodys_a_password_is_hashed_too(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time would tell who there is, and who is disabled."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    hashed: list[str] = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher,
        "encode",
        lambda self, password, salt: hashed.append(password) or encode(self, password, salt),
    )
    User.objects.filter(pk=bob.pk).update(is_active=False)
    for name in ("alice", "nobody", "bob"):
        hashed.clear()
        attempt("guessed", name=name)
        assert hashed.count("guessed") == 1, name


def test_the_disabled_are_answered_like_a_wrong_password(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert attempt(PASSWORD, name="bob") == "wrong"


def test_while_the_cache_is_away_each_process_counts_for_itself(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise ConnectionError

    for name in ("add", "incr", "decr", "get"):
        monkeypatch.setattr(cache, name, away, raising=False)
    assert [attempt("guessed", address="192.0.2.77") for _ in range(6)][-1] == "slow"
    assert attempt(PASSWORD, address="192.0.2.78") == "in"


def test_a_flood_writes_the_log_once_a_minute_for_each_network(alice: User) -> None:
    for _ in range(100):
        attempt("guessed")
    assert Activity.objects.filter(action="login", outcome="failure").count() == 2  # missed, and slowed down
