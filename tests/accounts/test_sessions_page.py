"""Where one is signed in: listed, and ended."""

from datetime import timedelta

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.test import Client
from django.utils import timezone

from integrations.accounts import sessions
from integrations.accounts.models import User
from integrations.models import Activity
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

ACCOUNT, LOGIN, PAGE = "/admin/integrations/account", "/accounts/login/", "/admin/integrations"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def sign_in(name: str, agent: str = FIREFOX, address: str = "192.0.2.1") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    client.post(LOGIN, {"login": name, "password": PASSWORD})
    return client


def is_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


def test_each_is_listed_with_its_browser_and_address(alice: User, bob: User) -> None:
    here = sign_in("alice")
    sign_in("alice", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Version/19.0 Mobile Safari/604.1", "203.0.113.5")
    sign_in("bob", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "198.51.100.1")
    page = here.get(ACCOUNT).content.decode()
    assert "Firefox, Linux" in page
    assert "Safari, iPhone" in page
    assert "203.0.113.5" in page
    assert "198.51.100.1" not in page, "that is somebody else's"


def test_another_of_ones_own_is_ended_at_once_and_told(alice: User) -> None:
    here, lost = sign_in("alice"), sign_in("alice", "curl/8.9")
    row = UserSession.objects.get(user_agent="curl/8.9")
    here.post(f"{ACCOUNT}/sessions/{row.pk}/end")
    assert is_in(here)
    assert not is_in(lost)
    assert Activity.objects.get(action="session_ended").details == {"why": "by_hand", "sessions": 1}


def test_all_others_at_once(alice: User, bob: User) -> None:
    here, others, bobs = sign_in("alice"), [sign_in("alice") for _ in range(3)], sign_in("bob")
    here.post(f"{ACCOUNT}/sessions/end")
    assert [is_in(one) for one in (here, *others, bobs)] == [True, False, False, False, True]


def test_neither_this_one_nor_one_of_somebody_else_is_ended(alice: User, bob: User) -> None:
    here, bobs = sign_in("alice"), sign_in("bob")
    for row in UserSession.objects.all():
        here.post(f"{ACCOUNT}/sessions/{row.pk}/end")
    assert is_in(here)
    assert is_in(bobs)
    assert not Activity.objects.filter(action="session_ended").exists()


def test_those_that_are_over_are_not_listed(alice: User) -> None:
    here = sign_in("alice")
    sign_in("alice", "curl/8.9")
    with time_machine.travel(timezone.now() + timedelta(minutes=20), tick=False):
        assert is_in(here)
    with time_machine.travel(timezone.now() + timedelta(minutes=40), tick=False):
        page = here.get(ACCOUNT).content.decode()
    assert "Firefox, Linux" in page
    assert "curl" not in page


def test_a_disabled_persons_session_dies_at_the_next_request(alice: User) -> None:
    here = sign_in("alice")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not is_in(here)


@pytest.mark.parametrize(
    ("agent", "said"), [("", "Unknown browser"), ("curl/8.9", "curl/8.9"), ("x" * 300, "x" * 40), ("<b>", "<b>")]
)
def test_what_is_no_browser_of_ours_is_shown_as_it_calls_itself(agent: str, said: str) -> None:
    assert sessions.browser(agent) == said
