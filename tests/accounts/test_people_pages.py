"""The pages of people: who may open them, what they show, and what a press of a button does."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import permissions
from integrations.accounts.models import ApiToken, User
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

PAGE = "/admin/integrations/people"
Person = Callable[..., User]


@pytest.fixture
def boss(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def told(answer: Any) -> str:
    page: str = answer.content.decode()
    return page


def post(client: Client, who: User, change: str, **form: Any) -> str:
    return told(client.post(f"{PAGE}/{who.pk}/{change}", {"sure": "yes"} | form, follow=True))


# --- Who may open them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/add", "person"])
def test_manage_on_one_integration_opens_none_of_them(
    client: Client, charlie: User, bob: User, registry: dict[str, Integration], path: str
) -> None:
    for perm in Perm:
        assign_perm(perm.django_name, charlie, registry["resend"])
    client.force_login(charlie)
    assert client.get(f"{PAGE}/{bob.pk}" if path == "person" else path).status_code == 403
    assert PAGE not in told(client.get("/admin/integrations"))


def test_who_may_is_led_there(boss: Client) -> None:
    assert f'href="{PAGE}"' in told(boss.get("/admin/integrations"))
    assert f'data-key="page-{PAGE}"' in told(boss.get("/admin/integrations/palette"))


@pytest.mark.parametrize(
    "change", ["disable", "enable", "tokens", "password", "factors", "roles", "grants/give", "grants/take"]
)
def test_every_change_wants_a_fresh_login(boss: Client, bob: User, change: str) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6), tick=True):
        answer = boss.post(f"{PAGE}/{bob.pk}/{change}", {"sure": "yes"})
        assert answer["Location"].startswith("/accounts/prove/")
        assert boss.get(f"{PAGE}/{bob.pk}").status_code == 200  # to look wants none
    assert not Activity.objects.filter(outcome="success").exclude(action="login").exists()


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_list_says_who_may_what_where(boss: Client, bob: User, charlie: User, registry: Any) -> None:
    assign_perm(Perm.READ.django_name, charlie, registry["resend"])
    User.objects.filter(pk=bob.pk).update(is_active=False)
    page = told(boss.get(PAGE))
    rows = re.findall(r'<tr id="person-.*?</tr>', page, re.DOTALL)
    assert ["Alice" in rows[0], "Charlie" in rows[1], "Bob" in rows[2]] == [True] * 3  # who is disabled comes last
    assert "Super Admin" in rows[0]
    assert re.search(r"Resend Email\s*<span[^>]*>read<", rows[1])
    assert "Disabled" in rows[2]
    assert "3 people" in page


def test_people_are_found_by_any_part_of_their_names(boss: Client, bob: User, charlie: User) -> None:
    for search, found in (("BOB", {"bob"}), ("example bob", {"bob"}), ("charlie@", {"charlie"}), ("zz\x00", set())):
        page = told(boss.get(PAGE, {"q": search}))
        assert {name for name in ("alice", "bob", "charlie") if f"{name}@example.com" in page} == found
    assert "Nobody matches" in told(boss.get(PAGE, {"q": "nobody"}))
    part = told(boss.get(PAGE, {"q": "bob"}, headers={"HX-Request": "true"}))
    assert "1 person" in part
    assert "<html" not in part


def test_a_longer_list_costs_no_more_questions(
    boss: Client, person: Person, registry: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        one = person(f"person{number}", role="Support Agent")
        assign_perm(Perm.READ.django_name, one, registry["resend"])
    with django_assert_max_num_queries(16):
        assert boss.get(PAGE).status_code == 200


# --- One person ------------------------------------------------------------------------------------------------------


def test_a_page_says_why(boss: Client, bob: User, registry: dict[str, Integration]) -> None:
    post(boss, bob, "grants/give", permission="manage", integration="resend")
    page = re.sub(r"<[^>]+>|\s+", " ", told(boss.get(f"{PAGE}/{bob.pk}")))
    page = re.sub(r"\s+", " ", page)
    assert "integrations:read everywhere because of the role Operations Manager" in page
    assert "integrations:manage on Resend Email because of a grant by alice" in page
    assert "integrations:cron:trigger no: no role and no grant of theirs holds it" in page
    assert f'href="/admin/integrations/activity?actor={bob.username}"' in told(boss.get(f"{PAGE}/{bob.pk}"))


def test_a_grant_is_given_and_taken(boss: Client, charlie: User, registry: dict[str, Integration]) -> None:
    grant = {"permission": "read", "integration": "resend"}
    assert "charlie: integrations:read on Resend Email" in post(boss, charlie, "grants/give", **grant)
    assert "They had it before." in post(boss, charlie, "grants/give", **grant)
    assert permissions.may(User.objects.get(pk=charlie.pk), Perm.READ, registry["resend"])
    assert "no longer integrations:read on Resend Email" in post(boss, charlie, "grants/take", **grant)
    assert not permissions.may(User.objects.get(pk=charlie.pk), Perm.READ, registry["resend"])
    for wrong in ({"permission": "everything"}, {"integration": "nowhere"}):
        assert "Not given" in post(boss, charlie, "grants/give", **(grant | wrong))


def test_roles_are_chosen(boss: Client, charlie: User) -> None:
    chosen = [Group.objects.get(name=name).pk for name in ("IT Manager", "Support Agent")]
    assert "charlie: IT Manager, Support Agent" in post(boss, charlie, "roles", roles=chosen)
    assert "charlie: no role" in post(boss, charlie, "roles")
    assert "There is no such role." in post(boss, charlie, "roles", roles=[9999])


def test_roles_that_follow_the_groups_of_the_company_say_so(boss: Client, bob: User, settings: Any) -> None:
    words = "its groups set these anew each time: IT Manager, Super Admin."
    assert words not in told(boss.get(f"{PAGE}/{bob.pk}"))
    settings.OIDC_ISSUER, settings.OIDC_ROLES = "https://id.example.com", ["noc=IT Manager", "it=Super Admin"]
    assert words in told(boss.get(f"{PAGE}/{bob.pk}"))


def test_disabling_asks_first_and_enabling_does_not(boss: Client, bob: User) -> None:
    asked = told(boss.post(f"{PAGE}/{bob.pk}/disable"))
    assert "Disable bob?" in asked
    assert User.objects.get(pk=bob.pk).is_active
    assert "bob is disabled" in post(boss, bob, "disable")
    page = told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "Nothing while they are disabled" in page
    assert "bob is enabled" in told(boss.post(f"{PAGE}/{bob.pk}/enable", follow=True))


def test_tokens_are_counted_and_revoked_together(boss: Client, bob: User) -> None:
    for name in ("a", "b"):
        ApiToken.issue(user=bob, name=name, scopes=[], expires_at=None)
    assert "2 API tokens live" in told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "Revoke all tokens of bob?" in told(boss.post(f"{PAGE}/{bob.pk}/tokens"))
    assert "2 tokens revoked" in post(boss, bob, "tokens")
    assert "0 API tokens live" in told(boss.get(f"{PAGE}/{bob.pk}"))


def test_a_new_password_is_asked_for_shown_once_and_opens_the_door(boss: Client, bob: User) -> None:
    assert "Signs in with a password" in told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "Give bob a new password?" in told(boss.post(f"{PAGE}/{bob.pk}/password"))
    assert User.objects.get(pk=bob.pk).check_password(PASSWORD)
    answer = boss.post(f"{PAGE}/{bob.pk}/password", {"sure": "yes"})
    assert "no-store" in answer["Cache-Control"]
    password = re.search(r'id="password">([^<]+)<', told(answer))
    assert password
    page = told(boss.get(f"{PAGE}/{bob.pk}"))
    assert password[1] not in page
    assert "Signs in with a password that alice made, and chooses another first" in page
    assert Client().login(username="bob", password=password[1])


def test_who_signs_in_by_the_company_has_no_password_to_replace(boss: Client, bob: User) -> None:
    bob.set_unusable_password()
    bob.save()
    page = told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "Signs in by the company" in page
    assert f"/people/{bob.pk}/password" not in page
    assert "there is no password here" in post(boss, bob, "password")


def test_second_factors_are_told_and_taken_off(boss: Client, bob: User, settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "Operations Manager"
    page = told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "No second factor · sets one up when they sign in" in page
    assert f"/people/{bob.pk}/factors" not in page
    TOTP.activate(bob, generate_totp_secret())
    RecoveryCodes.activate(bob)
    assert "Second factor: authenticator app, 10 recovery codes left" in told(boss.get(f"{PAGE}/{bob.pk}"))
    assert "Take all second factors off bob?" in told(boss.post(f"{PAGE}/{bob.pk}/factors"))
    assert "bob has no second factor any more" in post(boss, bob, "factors")
    assert "They had none before." in post(boss, bob, "factors")
    assert "No second factor" in told(boss.get(f"{PAGE}/{bob.pk}"))


def test_what_may_not_be_changed_has_no_button_and_is_refused_in_words(
    boss: Client, alice: User, person: Person
) -> None:
    root = person("root", is_superuser=True)
    for one, words in ((root, "root is a superuser"), (alice, "Nobody changes their own rights")):
        page = told(boss.get(f"{PAGE}/{one.pk}"))
        assert words in page
        assert f"/people/{one.pk}/disable" not in page
        assert "Save roles" not in page
        assert words in post(boss, one, "disable")
    assert Activity.objects.filter(outcome="refused").count() == 2


def test_htmx_gets_a_toast_and_the_page_refreshes(boss: Client, bob: User) -> None:
    answer = boss.post(f"{PAGE}/{bob.pk}/disable", headers={"HX-Request": "true"})
    assert answer["HX-Trigger"] == "refresh"
    assert "bob is disabled" in told(answer)


# --- Somebody new ----------------------------------------------------------------------------------------------------


def somebody(**given: Any) -> dict[str, Any]:
    return {"username": "naledi", "email": "naledi@example.com", "first_name": "Naledi", "role": ""} | given


def test_the_password_of_somebody_new_is_shown_once(boss: Client, client: Client) -> None:
    answer = boss.post(f"{PAGE}/add", somebody(role=Group.objects.get(name="IT Manager").pk))
    found = re.search(r'id="password">([^<]+)<', told(answer))
    assert found
    assert "no-store" in answer["Cache-Control"]
    assert Client().login(username="naledi", password=found[1])
    again = boss.post(f"{PAGE}/add", somebody())
    assert again.status_code == 422
    assert 'id="password"' not in told(again)
    naledi = User.objects.get(username="naledi")
    assert found[1] not in told(boss.get(f"{PAGE}/{naledi.pk}"))
    assert naledi.role_name() == "IT Manager"


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": ""},
        {"username": "two words"},
        {"email": "no address"},
        {"email": "BOB@example.com"},
        {"role": "9"},
    ],
)
def test_what_is_wrong_adds_nobody(boss: Client, bob: User, wrong: dict[str, str]) -> None:
    answer = boss.post(f"{PAGE}/add", somebody(**wrong))
    assert answer.status_code == 422
    assert "needs another look" in told(answer)
    assert not User.objects.filter(first_name="Naledi").exists()


def test_roles_beyond_ones_own_are_not_offered(client: Client, person: Person) -> None:
    group = Group.objects.create(name="Office")
    group.permissions.add(Group.objects.get(name="Super Admin").permissions.get(codename="manage"))
    dana = person("dana")
    dana.groups.add(group)
    client.force_login(dana)
    page = told(client.get(f"{PAGE}/add"))
    assert "Support Agent" in page
    assert "IT Manager" not in page
    it = Group.objects.get(name="IT Manager").pk
    assert client.post(f"{PAGE}/add", somebody(role=it)).status_code == 422
