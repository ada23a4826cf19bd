"""One's own account: what it shows, and what one may set there."""

from datetime import timedelta

import pytest
from django.contrib.auth.forms import PasswordChangeForm
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.accounts import account
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Activity, Integration
from tests.conftest import PASSWORD

ACCOUNT = "/admin/integrations/account"
NEW = "another horse battery"


def changed(client: Client, **given: str) -> str:
    asked = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW} | given
    return client.post(f"{ACCOUNT}/password", asked, follow=True).content.decode()


# --- What it shows ---------------------------------------------------------------------------------------------------


def test_it_says_what_a_role_allows(bob: User) -> None:
    seen = account.of(bob)
    assert seen.roles == ("Operations Manager",)
    assert {right.name: right.everywhere for right in seen.rights} == {
        "integrations:read": True,
        "integrations:manage": False,
        "integrations:oauth:refresh": False,
        "integrations:webhooks:replay": False,
        "integrations:cron:trigger": False,
    }


def test_a_grant_on_one_integration_names_it(client: Client, charlie: User, registry: dict[str, Integration]) -> None:
    assign_perm("integrations.read", charlie, registry["resend"])
    client.force_login(charlie)
    page = client.get(ACCOUNT).content.decode()
    assert "on Resend Email" in page
    assert "Zoho CRM" not in page
    assert "Nothing yet" not in page


def test_who_may_nothing_is_told_so_and_led_nowhere(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    page = client.get(ACCOUNT).content.decode()
    assert "Nothing yet: your role opens no page." in page
    assert 'href="/admin/integrations/webhooks"' not in page


# --- Password --------------------------------------------------------------------------------------------------------


def test_a_new_password_is_taken_and_ends_the_other_sessions(client: Client, bob: User) -> None:
    other = Client()
    for session in (client, other):
        session.force_login(bob)
    assert "Your password is changed" in changed(client)
    assert User.objects.get(pk=bob.pk).check_password(NEW)
    assert client.get(ACCOUNT).status_code == 200
    assert other.get(ACCOUNT).status_code == 302
    entry = Activity.objects.get(action="password_changed")
    assert (entry.username, entry.outcome, entry.details) == ("bob", "success", {})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"old_password": "wrong"}, "old password was entered incorrectly"),
        ({"new_password2": "something else entirely"}, "didn’t match"),
        ({"new_password1": "short", "new_password2": "short"}, "at least 12 characters"),
        ({"new_password1": "1" * 14, "new_password2": "1" * 14}, "entirely numeric"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(client: Client, bob: User, given: dict[str, str], words: str) -> None:
    client.force_login(bob)
    page = changed(client, **given)
    assert words in page
    assert 'aria-invalid="true"' in page
    assert not any(f'value="{value}"' in page for value in given.values())
    assert User.objects.get(pk=bob.pk).check_password(PASSWORD)


def test_somebody_who_guesses_the_old_password_leaves_a_trace_once_a_minute(bob: User) -> None:
    who, now = Actor(username="bob", user_id=bob.pk), timezone.now().replace(second=0)
    given = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    for seconds in (0, 30, 59, 60):
        form = PasswordChangeForm(bob, given)
        assert not account.change_password(form, actor=who, now=now + timedelta(seconds=seconds))
    assert (
        list(Activity.objects.values_list("username", "action", "outcome", "details"))
        == [("bob", "password_changed", "failure", {"fields": ["old_password"]})] * 2
    )


# --- Preferences -----------------------------------------------------------------------------------------------------


def test_times_are_told_in_ones_own_zone_on_pages_and_in_none_elsewhere(client: Client, bob: User) -> None:
    client.post("/accounts/login/", {"login": "bob", "password": PASSWORD})
    User.objects.filter(pk=bob.pk).update(last_login=timezone.now().replace(year=2026, month=1, day=4, hour=12))
    assert "SAST" in client.get(ACCOUNT).content.decode()
    page = client.post(f"{ACCOUNT}/preferences", {"time_zone": "Asia/Tokyo", "single_keys": "on"}, follow=True)
    assert "4 Jan 2026, 21:" in page.content.decode()
    assert "SAST" not in page.content.decode()
    assert timezone.get_current_timezone_name() == "Africa/Johannesburg"  # the next reader's is their own
    seen = client.get("/api/admin/integrations/resend").json()
    assert "+09:00" not in str(seen)


def test_a_zone_that_does_not_exist_is_refused(client: Client, bob: User) -> None:
    client.force_login(bob)
    page = client.post(f"{ACCOUNT}/preferences", {"time_zone": "../../etc/passwd"}, follow=True)
    assert "There is no such time zone." in page.content.decode()
    assert User.objects.get(pk=bob.pk).time_zone == ""


def test_single_key_shortcuts_can_be_turned_off(client: Client, bob: User) -> None:
    client.force_login(bob)
    assert 'data-keys="off"' not in client.get(ACCOUNT).content.decode()
    page = client.post(f"{ACCOUNT}/preferences", {"time_zone": ""}, follow=True).content.decode()
    assert 'data-keys="off"' in page


def test_nobody_sets_more_than_these(client: Client, bob: User) -> None:
    client.force_login(bob)
    client.post(f"{ACCOUNT}/preferences", {"time_zone": "", "is_superuser": "on", "username": "root"})
    now = User.objects.get(pk=bob.pk)
    assert (now.is_superuser, now.username) == (False, "bob")


def test_a_time_zone_that_this_machine_does_not_know_locks_nobody_out(client: Client, bob: User) -> None:
    for zone in ("Africa/Joburg", "../../etc/passwd", "/"):
        User.objects.filter(pk=bob.pk).update(time_zone=zone)
        client.force_login(bob)
        assert client.get(ACCOUNT).status_code == 200


def test_the_old_password_is_not_guessed_for_long(client: Client, alice: User) -> None:
    """By somebody who found the session open: then not even the right one is taken for a while."""
    client.force_login(alice)
    for _ in range(10):
        assert "Too many tries" not in changed(client, old_password="a guess")
    assert "Too many tries" in changed(client)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
