"""Connecting at an authorisation server that isn't ours, with PKCE: a provider that is only data."""

import pytest
import requests
from django.utils import timezone

from integrations.actor import Actor
from oauth import services
from oauth.models import Token
from oauth.services import authorize
from oauth.services.authorize import Ending, NotConnected
from tests.oauth import acme, server
from tests.oauth.test_real_server import provider, running, user  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def who(alice, provider, settings) -> Actor:  # noqa: F811 - a fixture
    settings.PUBLIC_URL = server.REDIRECT_URI.removesuffix(authorize.CALLBACK)
    return Actor(username="alice", user_id=alice.pk)


def come_back(url: str, user: str) -> dict[str, str]:  # noqa: F811
    """The query of the callback, once `user` has said yes there."""
    answer = requests.get(url, {"login_hint": user}, allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    _, _, query = answer.headers["Location"].partition("?")
    return dict(pair.split("=") for pair in query.split("&"))


def test_the_whole_way_with_pkce(who, alice, provider, user):  # noqa: F811
    integration, now = acme.row(), timezone.now()
    url = authorize.begin(integration, actor=who, session="s", now=now)
    assert "code_challenge_method=S256" in url
    done = authorize.finish(come_back(url, user), user=alice, session="s", actor=who, now=now)
    assert done.warnings == ()
    assert provider.whoami(services.access_token(integration)) == user
    services.refresh_now(integration, actor=who)
    assert provider.whoami(services.access_token(integration)) == user


def test_a_code_of_another_request_is_not_taken(who, alice, provider, user):  # noqa: F811
    """What an attacker got for their own verifier: the server compares it with ours."""
    integration, now = acme.row(), timezone.now()
    theirs = come_back(authorize.begin(integration, actor=who, session="s", now=now), user)
    ours = come_back(authorize.begin(integration, actor=who, session="s", now=now), user)
    with pytest.raises(NotConnected) as error:
        authorize.finish(ours | {"code": theirs["code"]}, user=alice, session="s", actor=who, now=now)
    assert error.value.ending == Ending.REFUSED
    assert not Token.objects.exists()


def test_who_says_no_there(who, alice, provider):  # noqa: F811
    integration, now = acme.row(), timezone.now()
    back = come_back(authorize.begin(integration, actor=who, session="s", now=now), server.NOBODY)
    with pytest.raises(NotConnected) as error:
        authorize.finish(back, user=alice, session="s", actor=who, now=now)
    assert error.value.ending == Ending.CANCELLED
