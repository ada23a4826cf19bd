"""Signing in and out, and the trace that each leaves."""

import pytest
from django.test import Client

from integrations.accounts.models import User
from integrations.models import Activity
from tests.conftest import PASSWORD

LOGIN, LOGOUT = "/accounts/login/", "/accounts/logout/"


def trace() -> list[tuple[str, str, str]]:
    return list(Activity.objects.order_by("seq").values_list("username", "action", "outcome"))


def test_signing_in_leads_on_and_is_recorded(client: Client, alice: User) -> None:
    response = client.post(LOGIN, {"login": "alice", "password": PASSWORD}, REMOTE_ADDR="192.0.2.7")
    assert response.headers["Location"] == "/admin/integrations"
    assert trace() == [("alice", "login", "success")]
    assert Activity.objects.get().ip_address == "192.0.2.7"


def test_a_wrong_password_is_announced_and_recorded(client: Client, alice: User) -> None:
    response = client.post(LOGIN, {"login": "alice", "password": "wrong"})
    page = response.content.decode()
    assert 'role="alert"' in page
    assert 'value="alice"' in page
    assert "wrong" not in page
    assert trace() == [("anonymous", "login", "failure")]
    assert Activity.objects.get().details == {"username": "alice"}


def test_a_disabled_user_stays_outside(client: Client, alice: User) -> None:
    User.objects.update(is_active=False)
    assert client.post(LOGIN, {"login": "alice", "password": PASSWORD}).status_code == 200
    assert trace() == [("anonymous", "login", "failure")]


def test_what_is_nobodys_name_is_not_kept_since_it_may_be_a_password(client: Client, db: None) -> None:
    client.post(LOGIN, {"login": "<b>\r\nS3cret\x1b[2J\x00" + "x" * 500, "password": "x"})
    assert Activity.objects.get().details == {"username": None}


def test_every_account_that_is_guessed_at_is_told_once_a_minute(client: Client, alice: User, bob: User) -> None:
    for _ in range(3):
        for name in ("alice", "bob", "nobody", "no one"):
            client.post(LOGIN, {"login": name, "password": "x"}, REMOTE_ADDR="2001:db8::1")
    client.post(LOGIN, {"login": "bob", "password": "x"}, REMOTE_ADDR="2001:db8::2")
    guessed = [entry.details["username"] for entry in Activity.objects.order_by("seq")]
    assert guessed == ["alice", "bob", None]


def test_nothing_typed_is_a_failure_too(client: Client, db: None) -> None:
    page = client.post(LOGIN, {}).content.decode()
    assert "Give both your username and your password." in page
    assert trace() == [("anonymous", "login", "failure")]


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("/admin/integrations/webhooks?status=failed", "/admin/integrations/webhooks?status=failed"),
        ("https://evil.example.com/", "/admin/integrations"),
        ("//evil.example.com/", "/admin/integrations"),
        ("javascript:alert(1)", "/admin/integrations"),
    ],
)
def test_next_is_followed_only_within_the_site(client: Client, alice: User, asked: str, leads: str) -> None:
    page = client.get(LOGIN, {"next": asked}).content.decode()
    assert ("evil" in page or "javascript:" in page) is False
    response = client.post(LOGIN, {"login": "alice", "password": PASSWORD, "next": asked})
    assert response.headers["Location"] == leads


def test_a_closed_page_sends_to_the_login_and_back(client: Client, db: None) -> None:
    response = client.get("/admin/integrations?status=down")
    assert response.headers["Location"] == "/accounts/login/?next=/admin/integrations%3Fstatus%3Ddown"


def test_a_poll_without_a_session_takes_the_whole_page_to_the_login(client: Client, db: None) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/integrations?q=zoho"}
    response = client.get("/admin/integrations?q=zoho", headers=headers, follow=True)
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=/admin/integrations%3Fq%3Dzoho"
    assert response.content == b""


def test_whoever_is_signed_in_needs_no_form(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(LOGIN).headers["Location"] == "/admin/integrations"


def test_signing_out_is_a_post_and_is_recorded(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(LOGOUT).status_code == 405
    assert client.post(LOGOUT).headers["Location"] == LOGIN
    assert trace() == [("alice", "logout", "success")]
    assert "_auth_user_id" not in client.session


def test_signing_out_without_a_session_is_no_error_and_leaves_no_trace(client: Client, db: None) -> None:
    assert client.post(LOGOUT).headers["Location"] == LOGIN
    assert trace() == []


def test_forms_are_guarded_against_forgery(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(LOGIN, {"login": "alice", "password": PASSWORD})
    assert response.status_code == 403
    assert b"This page was out of date" in response.content
    assert trace() == []
