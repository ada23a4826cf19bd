"""Sessions end by themselves: when nobody does anything, and in any case after twelve hours."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings as settings_of
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from integrations.accounts.models import User
from integrations.models import Activity
from tests.conftest import PASSWORD

PAGE, LOGIN = "/admin/integrations", "/accounts/login/"
POLL = {"HX-Request": "true", "X-Poll": "1"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(alice: User, client: Client) -> Any:
    """Alice has just signed in."""
    with time_machine.travel(timezone.now(), tick=False) as moving:
        client.post(LOGIN, {"login": "alice", "password": PASSWORD})
        yield moving


def signed_in(client: Client, **headers: Any) -> bool:
    return client.get(PAGE, **headers).status_code == 200


def test_it_lasts_as_long_as_its_person_does_something(client: Client, clock: Any) -> None:
    for _ in range(20):
        clock.shift(timedelta(minutes=29))
        assert signed_in(client)


def test_half_an_hour_of_nothing_ends_it_and_is_told(client: Client, clock: Any) -> None:
    clock.shift(timedelta(minutes=30))
    answer = client.get(PAGE)
    assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next={PAGE}")
    entry = Activity.objects.get(action="session_ended")
    assert (entry.username, entry.details) == ("alice", {"why": "idle"})
    assert not signed_in(client)
    assert Activity.objects.filter(action="session_ended").count() == 1


def test_two_polls_at_once_tell_it_once(client: Client, clock: Any) -> None:
    clock.shift(timedelta(minutes=31))
    kept = client.cookies[settings_of.SESSION_COOKIE_NAME].value
    ended = dict(Session.objects.values_list("session_key", "session_data"))
    assert not signed_in(client)
    Session.objects.create(session_key=kept, session_data=ended[kept], expire_date=timezone.now() + timedelta(days=1))
    client.cookies[settings_of.SESSION_COOKIE_NAME] = kept  # the other one had read it before it went
    assert not signed_in(client)
    assert Activity.objects.filter(action="session_ended").count() == 1


def test_a_page_that_polls_is_nobody_doing_something(client: Client, clock: Any) -> None:
    for _ in range(29):
        clock.shift(timedelta(minutes=1))
        assert signed_in(client, headers=POLL)
    clock.shift(timedelta(minutes=1))
    assert not signed_in(client, headers=POLL)


def test_after_twelve_hours_it_is_over_whatever_they_do(client: Client, clock: Any) -> None:
    for _ in range(12 * 3 - 1):
        clock.shift(timedelta(minutes=20))
        assert signed_in(client)
    clock.shift(timedelta(minutes=20))
    assert not signed_in(client)
    assert Activity.objects.get(action="session_ended").details == {"why": "age"}


def test_idleness_can_be_turned_off(client: Client, clock: Any, settings: Any) -> None:
    settings.SESSION_IDLE_MINUTES = 0
    clock.shift(timedelta(hours=11))
    assert signed_in(client)


def test_the_api_by_session_is_over_with_it(client: Client, clock: Any) -> None:
    assert client.get("/api/admin/integrations").status_code == 200
    clock.shift(timedelta(minutes=31))
    assert client.get("/api/admin/integrations").status_code == 401


def test_one_from_before_counts_from_the_last_sign_in(client: Client, alice: User) -> None:
    """Begun by a version that kept no moment of its own."""
    client.force_login(alice)
    User.objects.filter(pk=alice.pk).update(last_login=timezone.now() - timedelta(hours=13))
    assert not signed_in(client)


def test_a_sign_of_life_is_written_once_a_minute(client: Client, clock: Any) -> None:
    clock.shift(timedelta(seconds=59))
    before = client.session["seen_at"]
    signed_in(client)
    assert client.session["seen_at"] == before
    clock.shift(timedelta(seconds=1))
    signed_in(client)
    assert client.session["seen_at"] == before + 60
