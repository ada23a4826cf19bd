"""Second factors: asked for, used once, required of those who must have one, and never told in the clear."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    SECRET_SESSION_KEY,
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
)
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations.accounts import people
from integrations.accounts.login import factors
from integrations.accounts.models import FactorSecret, User
from integrations.actor import Actor
from integrations.models import Activity, Integration
from tests.api.conftest import Caller
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

PAGE, LOGIN, SECOND, FACTORS = (
    "/admin/integrations",
    "/accounts/login/",
    "/accounts/second-factor/",
    "/accounts/factors/",
)


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """In the middle of thirty seconds, and it stands still."""
    now = timezone.now().replace(second=15, microsecond=0)
    with time_machine.travel(now, tick=False) as moving:
        yield moving


@pytest.fixture
def secret(alice: User) -> str:
    """Alice has an authenticator app."""
    shared = generate_totp_secret()
    TOTP.activate(alice, shared)
    return shared


def code(secret: str, *, away: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(timezone.now().timestamp()) // 30 + away))


def password(client: Client, name: str = "alice") -> Any:
    return client.post(LOGIN, {"login": name, "password": PASSWORD, "next": "/admin/integrations/cron"})


def signed_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


# --- Signing in ------------------------------------------------------------------------------------------------------


def test_the_password_alone_opens_nothing(client: Client, secret: str) -> None:
    assert password(client)["Location"] == SECOND
    assert not signed_in(client)
    assert not Activity.objects.filter(action="login").exists()
    assert client.get(SECOND).status_code == 200
    assert client.post(SECOND, {"code": code(secret)})["Location"] == "/admin/integrations/cron"
    assert signed_in(client)
    assert Activity.objects.get(action="login").details == {"by": ["password", "totp"]}


def test_the_second_step_cannot_be_the_first(client: Client, secret: str) -> None:
    assert client.post(SECOND, {"code": code(secret)})["Location"] == LOGIN
    assert not signed_in(client)


def test_a_wrong_code_is_told_and_kept(client: Client, secret: str) -> None:
    password(client)
    answer = client.post(SECOND, {"code": "000000"})
    assert "That code is wrong, or was used before." in answer.content.decode()
    assert Activity.objects.get(action="second_factor").outcome == "failure"
    assert not signed_in(client)


def test_codes_are_guessed_ten_times_and_then_no_more(client: Client, secret: str, clock: Any) -> None:
    password(client)
    for _ in range(10):
        client.post(SECOND, {"code": "000000"})
    answer = client.post(SECOND, {"code": code(secret)})
    assert "Too many tries" in answer.content.decode()
    clock.shift(timedelta(seconds=300))
    assert client.post(SECOND, {"code": code(secret)}).status_code == 302


@pytest.mark.parametrize("away", [-1, 0, 1])
def test_a_clock_may_be_off_by_thirty_seconds(client: Client, secret: str, away: int) -> None:
    password(client)
    assert client.post(SECOND, {"code": code(secret, away=away)}).status_code == 302


@pytest.mark.parametrize("away", [-2, 2])
def test_and_by_no_more(client: Client, secret: str, away: int) -> None:
    password(client)
    assert client.post(SECOND, {"code": code(secret, away=away)}).status_code == 200


def test_a_code_works_once_whatever_the_cache_forgets(client: Client, secret: str) -> None:
    seen = code(secret)
    password(client)
    client.post(SECOND, {"code": seen})
    cache.clear()
    over_the_shoulder = Client()
    password(over_the_shoulder)
    assert over_the_shoulder.post(SECOND, {"code": seen}).status_code == 200
    assert not signed_in(over_the_shoulder)


def test_nor_does_one_from_before_it(client: Client, secret: str) -> None:
    password(client)
    client.post(SECOND, {"code": code(secret)})
    other = Client()
    password(other)
    assert other.post(SECOND, {"code": code(secret, away=-1)}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_code_one_has_it(alice: User, secret: str) -> None:
    seen, taken = code(secret), []
    barrier = threading.Barrier(4)

    def take() -> None:
        barrier.wait()
        taken.append(factors.take(alice, seen) is not None)
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False, False, False, True]


def test_a_recovery_code_signs_in_once(client: Client, alice: User, secret: str) -> None:
    codes = RecoveryCodes.activate(alice).generate_codes()
    assert len(set(codes)) == 10
    password(client)
    assert client.post(SECOND, {"code": codes[3]}).status_code == 302
    assert Activity.objects.get(action="login").details["by"] == ["password", "recovery_codes"]
    other = Client()
    password(other)
    assert other.post(SECOND, {"code": codes[3]}).status_code == 200
    assert factors.of(alice).codes_left == 9


def test_whoever_is_disabled_in_between_gets_nowhere(client: Client, alice: User, secret: str) -> None:
    password(client)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    client.post(SECOND, {"code": code(secret)})
    assert not signed_in(client)


# --- Kept ------------------------------------------------------------------------------------------------------------


def test_secrets_are_sealed_and_go_with_what_they_are_for(alice: User, secret: str) -> None:
    RecoveryCodes.activate(alice)
    stored = [str(row.data) for row in Authenticator.objects.all()] + [
        row.sealed for row in FactorSecret.objects.all()
    ]
    assert FactorSecret.objects.count() == 2
    assert secret not in " ".join(stored)
    Authenticator.objects.all().delete()
    assert not FactorSecret.objects.exists()


# --- Set up ----------------------------------------------------------------------------------------------------------


def set_up(client: Client) -> tuple[str, Any]:
    page = client.get(f"{FACTORS}app/add/").content.decode()
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret
    return secret[1], client.post(f"{FACTORS}app/add/", {"code": code(secret[1])})


def test_an_app_is_set_up_and_recovery_codes_are_shown_once(client: Client, alice: User) -> None:
    client.force_login(alice)
    secret, answer = set_up(client)
    shown = client.get(answer["Location"]).content.decode()
    codes = re.findall(r"<code[^>]*>(\d{10})</code>", shown)
    assert len(codes) == 10
    assert codes[0] not in client.get(answer["Location"]).content.decode()
    assert Activity.objects.filter(action="second_factor_added", username="alice").exists()
    other = Client()
    password(other)
    assert other.post(SECOND, {"code": code(secret)}).status_code == 200, "the code that set it up is a used one"


def test_the_code_that_set_it_up_signs_nobody_in_even_by_a_clock_that_is_ahead(client: Client, alice: User) -> None:
    client.force_login(alice)
    page = client.get(f"{FACTORS}app/add/").content.decode()
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret
    early = code(secret[1], away=1)
    assert client.post(f"{FACTORS}app/add/", {"code": early}).status_code == 302
    other = Client()
    password(other)
    assert other.post(SECOND, {"code": early}).status_code == 200


@pytest.mark.parametrize("change", ["new_password", "disable"])
def test_who_is_half_way_in_is_out_too(client: Client, alice: User, secret: str, person: Any, change: str) -> None:
    root = Actor(username="root")
    by = person("root", is_superuser=True)
    password(client)
    getattr(people, change)(alice, by=by, actor=root, now=timezone.now())
    assert client.post(SECOND, {"code": code(secret)})["Location"] == LOGIN
    assert not Activity.objects.filter(action="login").exists()


def test_who_was_disabled_half_way_in_is_not_let_in_whatever_became_of_the_session(
    client: Client, alice: User, secret: str
) -> None:
    password(client)
    User.objects.update(is_active=False)
    assert client.post(SECOND, {"code": code(secret)})["Location"] == LOGIN
    assert not Activity.objects.filter(action="login", outcome="success").exists()


def test_while_it_is_set_up_its_secret_lies_sealed_in_the_session(client: Client, alice: User) -> None:
    client.force_login(alice)
    page = client.get(f"{FACTORS}app/add/").content.decode()
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret
    assert secret[1] not in str(dict(client.session))
    assert client.post(f"{FACTORS}app/add/", {"code": "000000"}).status_code == 200  # a slip
    assert client.post(f"{FACTORS}app/add/", {"code": code(secret[1])}).status_code == 302
    assert SECRET_SESSION_KEY not in client.session


def test_a_key_that_is_gone_meanwhile_makes_a_new_secret(client: Client, alice: User, settings: Any) -> None:
    client.force_login(alice)
    client.get(f"{FACTORS}app/add/")
    settings.TOKEN_ENCRYPTION_KEYS = "another:" + "k" * 43
    answer = client.post(f"{FACTORS}app/add/", {"code": "000000"})
    assert answer.status_code == 200
    assert "That code is wrong" in answer.content.decode()


def test_it_wants_a_fresh_login(client: Client, alice: User, clock: Any) -> None:
    client.force_login(alice)
    clock.shift(timedelta(minutes=6))
    assert client.get(f"{FACTORS}app/add/")["Location"].startswith("/accounts/prove/?next=")
    client.post("/accounts/prove/", {"password": PASSWORD})
    assert client.get(f"{FACTORS}app/add/").status_code == 200


def test_proving_who_one_is_takes_a_code_too_but_none_twice(
    client: Client, alice: User, secret: str, clock: Any
) -> None:
    client.force_login(alice)
    clock.shift(timedelta(minutes=6))
    right = client.post("/accounts/prove/", {"code": code(secret), "next": PAGE})
    assert right["Location"] == PAGE
    again = client.post("/accounts/prove/", {"code": code(secret), "next": PAGE})
    assert again.status_code == 422


def test_an_app_is_removed_and_told(client: Client, alice: User, secret: str) -> None:
    client.force_login(alice)
    assert client.get(f"{FACTORS}app/remove/").status_code == 200
    client.post(f"{FACTORS}app/remove/")
    assert not factors.has(alice)
    assert Activity.objects.filter(action="second_factor_removed", username="alice").exists()


# --- Required --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whom", "role", "must"),
    [
        ("nobody", "Super Admin", False),
        ("everyone", "Support Agent", True),
        ("acting", "Super Admin", True),
        ("acting", "IT Manager", True),
        ("acting", "Operations Manager", False),
        ("acting", "Support Agent", False),
        ("Operations Manager, IT Manager", "Operations Manager", True),
        ("Operations Manager, IT Manager", "Super Admin", False),
    ],
)
def test_who_must_have_one(
    client: Client, person: Callable[..., User], settings: Any, whom: str, role: str, must: bool
) -> None:
    settings.SECOND_FACTOR_FOR = whom
    client.force_login(person("dana", role=role))
    answer = client.get("/admin/integrations/palette")
    assert (answer.status_code, answer.get("Location")) == ((302, FACTORS) if must else (200, None))
    assert client.get(FACTORS).status_code == 200
    assert ("You must have one" in client.get(FACTORS).content.decode()) is must


def test_a_grant_to_act_on_one_integration_is_acting(
    client: Client, charlie: User, registry: dict[str, Integration], settings: Any
) -> None:
    settings.SECOND_FACTOR_FOR = "acting"
    assign_perm("integrations.oauth:refresh", charlie, registry["resend"])
    client.force_login(charlie)
    assert client.get(PAGE)["Location"] == FACTORS


def test_superusers_must_whatever_their_role(client: Client, person: Callable[..., User], settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "IT Manager"
    client.force_login(person("root", is_superuser=True, is_staff=True))
    assert client.get("/django-admin/")["Location"] == FACTORS


def test_polls_actions_and_the_api_get_nowhere_either(client: Client, alice: User, settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "acting"
    client.force_login(alice)
    assert client.get(PAGE, headers={"HX-Request": "true"})["HX-Redirect"] == FACTORS
    assert client.post(f"{PAGE}/check")["Location"] == FACTORS
    answer = client.get("/api/admin/integrations")
    assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required")
    assert client.get("/api/admin/integrations", headers={"Authorization": "Bearer cti_x"}).status_code == 401


def test_with_one_set_up_everything_opens_and_the_last_one_stays(client: Client, alice: User, settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "acting"
    client.force_login(alice)
    assert not signed_in(client)
    set_up(client)
    assert signed_in(client)
    assert "It is your only second factor" in client.get(f"{FACTORS}app/remove/").content.decode()
    client.post(f"{FACTORS}app/remove/")
    assert factors.has(alice)


def test_tokens_work_on(alice: User, settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "everyone"
    assert Caller(alice).get("").status_code == 200


def test_a_role_that_is_none_is_found(settings: Any) -> None:
    from integrations.accounts.login import required

    settings.SECOND_FACTOR_FOR = "Super Admin,Sysadmin"
    assert required.unknown_roles() == ["Sysadmin"]


def test_a_session_that_was_stolen_half_way_holds_no_password(client: Client, secret: str) -> None:
    password(client)
    assert PASSWORD not in str([Session(session_data=row.session_data).get_decoded() for row in Session.objects.all()])


# --- Lost ------------------------------------------------------------------------------------------------------------


def test_the_command_takes_all_off_and_whoever_holds_what_was_lost_is_out(
    client: Client, alice: User, secret: str, capsys: Any
) -> None:
    RecoveryCodes.activate(alice)
    client.force_login(alice)
    call_command("reset_second_factor", "alice")
    assert "2 taken off" in capsys.readouterr().out
    assert not signed_in(client)
    assert not Authenticator.objects.exists()
    assert Activity.objects.get(action="second_factor_reset").details["for"] == "alice"
    assert password(client)["Location"] == "/admin/integrations/cron"


def test_the_django_admin_does_so_too(client: Client, alice: User, secret: str, person: Callable[..., User]) -> None:
    client.force_login(alice)
    root = Client()
    root.force_login(person("root", is_superuser=True, is_staff=True))
    row = Authenticator.objects.get()
    assert secret not in root.get(f"/django-admin/mfa/authenticator/{row.pk}/change/").content.decode()
    root.post(f"/django-admin/mfa/authenticator/{row.pk}/delete/", {"post": "yes"})
    assert not signed_in(client)
    assert signed_in(root)
    entry = Activity.objects.get(action="second_factor_removed")
    assert (entry.username, entry.details) == ("root", {"for": "alice", "factor": "totp"})


def test_of_somebody_who_is_not_there_it_says_so() -> None:
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        call_command("reset_second_factor", "nobody")
