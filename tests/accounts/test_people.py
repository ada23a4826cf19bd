"""Who may change whom: rights are handed on and never made, each change is told, and one Super Admin stays."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group, Permission
from django.db import close_old_connections, connection
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import activity, permissions
from integrations.accounts import people, rights
from integrations.accounts.models import ApiToken, GrantNote, User
from integrations.actor import Actor
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

Person = Callable[..., User]


def as_actor(user: User) -> Actor:
    return Actor(username=user.username, user_id=user.pk)


def role(name: str) -> Group:
    return Group.objects.get(name=name)


def roles(person: User, *names: str, by: User) -> bool:
    chosen = Group.objects.filter(name__in=names)
    return people.choose_roles(person, roles=chosen, by=by, actor=as_actor(by))


def give(person: User, perm: Perm, on: Integration, *, by: User) -> bool:
    return people.give(person, perm, on, by=by, actor=as_actor(by), now=timezone.now())


def disable(person: User, *, by: User) -> bool:
    return people.disable(person, by=by, actor=as_actor(by), now=timezone.now())


def again(person: User) -> User:
    """As the next request has them: without what was kept of their rights."""
    return User.objects.get(pk=person.pk)


def of_a_mix(person: Person, name: str, *perms: Perm) -> User:
    group = Group.objects.create(name=f"Only {name}")
    group.permissions.set(Permission.objects.filter(content_type__app_label="integrations", codename__in=perms))
    user = person(name)
    user.groups.add(group)
    return user


# --- What is done, and told ------------------------------------------------------------------------------------------


def test_roles_are_chosen_and_told_with_what_was_before(alice: User, bob: User) -> None:
    assert roles(bob, "IT Manager", by=alice)
    assert permissions.may(again(bob), Perm.OAUTH_REFRESH)
    entry = Activity.objects.get(action="roles_changed")
    assert (entry.username, entry.details["for"]) == ("alice", "bob")
    assert entry.details["before"] == {"roles": ["Operations Manager"]}
    assert entry.details["after"] == {"roles": ["IT Manager"]}
    assert not roles(bob, "IT Manager", by=alice)
    assert Activity.objects.count() == 1


def test_a_grant_is_given_and_taken_on_that_integration_alone(
    alice: User, charlie: User, registry: dict[str, Integration]
) -> None:
    assert give(charlie, Perm.READ, registry["resend"], by=alice)
    assert set(permissions.visible(again(charlie))) == {registry["resend"]}
    assert GrantNote.objects.get().given_by == "alice"
    assert not give(charlie, Perm.READ, registry["resend"], by=alice)
    taken = {"by": alice, "actor": as_actor(alice)}
    assert not people.take(charlie, Perm.MANAGE, registry["resend"], **taken)  # type: ignore[arg-type]
    assert people.take(charlie, Perm.READ, registry["resend"], **taken)  # type: ignore[arg-type]
    assert not permissions.visible(again(charlie)).exists()
    told = Activity.objects.order_by("seq").values_list("action", "integration_slug", "details__for")
    assert list(told) == [("grant_given", "resend", "charlie"), ("grant_taken", "resend", "charlie")]


def test_a_change_that_can_not_be_told_is_not_made(
    alice: User, bob: User, registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_log(**_: Any) -> None:
        raise RuntimeError("no log")

    monkeypatch.setattr(activity, "record", no_log)
    for change in (
        lambda: roles(bob, "IT Manager", by=alice),
        lambda: give(bob, Perm.MANAGE, registry["resend"], by=alice),
        lambda: disable(bob, by=alice),
    ):
        with pytest.raises(RuntimeError):
            change()
    bob = again(bob)
    assert bob.is_active
    assert bob.role_name() == "Operations Manager"
    assert not permissions.may(bob, Perm.MANAGE, registry["resend"])


def test_who_is_disabled_is_out_at_once_and_stays_out_of_that_session(alice: User, bob: User, client: Client) -> None:
    client.force_login(bob)
    _row, token = ApiToken.issue(user=bob, name="x", scopes=[], expires_at=None)
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/admin/integrations").status_code == 200
    assert disable(bob, by=alice)
    assert client.get("/admin/integrations").status_code == 302
    assert Client().get("/api/admin/integrations", headers=bearer).status_code == 401
    assert people.enable(bob, by=alice, actor=as_actor(alice))
    assert client.get("/admin/integrations").status_code == 302  # they sign in anew
    assert Client().get("/api/admin/integrations", headers=bearer).status_code == 200
    assert people.revoke_tokens(bob, by=alice, actor=as_actor(alice), now=timezone.now()) == 1
    assert Client().get("/api/admin/integrations", headers=bearer).status_code == 401
    told = Activity.objects.filter(action__regex="person|tokens").order_by("seq").values_list("action", flat=True)
    assert list(told) == ["person_disabled", "person_enabled", "api_tokens_revoked"]


def test_a_new_password_ends_the_old_and_every_session(alice: User, bob: User, client: Client) -> None:
    client.force_login(bob)
    password = people.new_password(bob, by=alice, actor=as_actor(alice), now=timezone.now())
    assert client.get("/admin/integrations").status_code == 302
    assert not again(bob).check_password(PASSWORD)
    assert again(bob).check_password(password)
    entry = Activity.objects.get(action="password_reset")
    assert (entry.username, entry.details) == ("alice", {"for": "bob", "sessions": 1})
    assert password not in str(list(Activity.objects.values()))


def test_who_still_has_a_password_that_somebody_knows_gets_no_further_than_to_change_it(
    alice: User, bob: User, client: Client
) -> None:
    given = people.new_password(bob, by=alice, actor=as_actor(alice), now=timezone.now())
    client.login(username="bob", password=given)
    assert client.get("/admin/integrations")["Location"] == "/admin/integrations/account"
    assert client.get("/accounts/factors/")["Location"] == "/admin/integrations/account"
    assert client.post("/admin/integrations/account/tokens")["Location"] == "/admin/integrations/account"
    assert client.get("/api/admin/integrations").json()["code"] == "password_given"
    assert "alice knows your password." in client.get("/admin/integrations/account").content.decode()
    own = {"old_password": given, "new_password1": "a horse of mine", "new_password2": "a horse of mine"}
    client.post("/admin/integrations/account/password", own)
    assert client.get("/admin/integrations").status_code == 200
    assert again(bob).password_given_by == ""


def test_nobody_is_raised_whose_password_is_known_to_somebody_who_may_do_less(
    person: Person, alice: User, registry: dict[str, Integration]
) -> None:
    dana = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE)
    thandi = User(username="thandi", email="thandi@example.com")
    people.add(thandi, role=None, by=dana, actor=as_actor(dana))
    with pytest.raises(people.Refused, match="thandi still has the password that dana gave them, who may do less"):
        roles(thandi, "Super Admin", by=alice)
    with pytest.raises(people.Refused, match="who may do less"):
        give(thandi, Perm.CRON_TRIGGER, registry["resend"], by=alice)
    assert give(thandi, Perm.READ, registry["resend"], by=alice)  # dana holds that
    User.objects.filter(pk=dana.pk).update(is_active=False)
    with pytest.raises(people.Refused, match="who may do less"):
        give(thandi, Perm.MANAGE, registry["resend"], by=alice)
    User.objects.filter(pk=thandi.pk).update(password_given_by="")
    assert roles(thandi, "Super Admin", by=alice)


def test_who_signs_in_by_the_company_gets_no_second_door(alice: User, bob: User) -> None:
    bob.set_unusable_password()
    bob.save()
    refused(
        lambda: people.new_password(bob, by=alice, actor=as_actor(alice), now=timezone.now()),
        "signs in by the company",
    )
    assert not again(bob).has_usable_password()


def test_second_factors_are_taken_off_together_and_told_once(alice: User, bob: User, client: Client) -> None:
    TOTP.activate(bob, generate_totp_secret())
    RecoveryCodes.activate(bob)
    TOTP.activate(alice, generate_totp_secret())
    client.force_login(bob)
    assert people.reset_factors(bob, by=alice, actor=as_actor(alice), now=timezone.now()) == 2
    assert client.get("/admin/integrations").status_code == 302
    assert [row.user for row in Authenticator.objects.all()] == [alice]
    entry = Activity.objects.get()
    assert (entry.action, entry.details["factors"]) == ("second_factor_reset", ["recovery_codes", "totp"])
    assert people.reset_factors(bob, by=alice, actor=as_actor(alice), now=timezone.now()) == 0
    assert Activity.objects.count() == 1


def test_other_sessions_stay(alice: User, bob: User, charlie: User, client: Client) -> None:
    client.force_login(bob)
    disable(charlie, by=alice)
    assert client.get("/admin/integrations").status_code == 200


def test_somebody_new_gets_a_password_that_the_rules_allow(alice: User, client: Client) -> None:
    new = User(username="naledi", email="naledi@example.com", first_name="Naledi", last_name="Example")
    password = people.add(new, role=role("IT Manager"), by=alice, actor=as_actor(alice))
    assert client.login(username="naledi", password=password)
    assert again(new).role_name() == "IT Manager"
    entry = Activity.objects.get(action="person_added")
    assert (entry.details["for"], entry.details["role"]) == ("naledi", "IT Manager")
    assert password not in str(entry.details)
    twice = User(username="naledi", email="other@example.com")
    with pytest.raises(people.Refused, match="was added already"):
        people.add(twice, role=None, by=alice, actor=as_actor(alice))


# --- Nobody beyond their own -----------------------------------------------------------------------------------------


def refused(change: Callable[[], object], match: str) -> None:
    """It is refused with these words, nothing of it is left, and the log tells who tried what."""
    before = Activity.objects.filter(outcome="refused").count()
    with pytest.raises(people.Refused, match=match):
        change()
    assert Activity.objects.filter(outcome="refused").count() == before + 1
    assert not Activity.objects.filter(outcome="success").exists()


def test_nobody_gives_what_they_do_not_hold(person: Person, charlie: User, registry: dict[str, Integration]) -> None:
    dana = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE)
    assert [one.name for one in people.givable(dana)] == ["Only dana", "Operations Manager", "Support Agent"]
    refused(lambda: roles(charlie, "IT Manager", by=dana), "The role IT Manager holds what you don't")
    refused(lambda: give(charlie, Perm.CRON_TRIGGER, registry["resend"], by=dana), "You don't hold integrations:cron")
    new = User(username="eve", email="eve@example.com")
    refused(lambda: people.add(new, role=role("IT Manager"), by=dana, actor=as_actor(dana)), "The role IT Manager")
    assert again(charlie).role_name() == "Support Agent"
    assert not User.objects.filter(username="eve").exists()
    tried = Activity.objects.filter(outcome="refused").order_by("seq")[0]
    assert tried.details["what"] == "changing the roles of charlie"
    assert tried.details["words"] == "The role IT Manager holds what you don't: ask somebody who does."
    assert give(charlie, Perm.MANAGE, registry["resend"], by=dana)


def test_what_is_held_on_one_integration_is_given_on_that_one_only(
    person: Person, charlie: User, registry: dict[str, Integration]
) -> None:
    dana = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE)
    assign_perm(Perm.CRON_TRIGGER.django_name, dana, registry["resend"])
    refused(lambda: give(charlie, Perm.CRON_TRIGGER, registry["netcash"], by=dana), "on NetCash")
    assert give(charlie, Perm.CRON_TRIGGER, registry["resend"], by=dana)


def test_a_role_with_a_grant_is_given_only_by_who_holds_that_too(
    person: Person, charlie: User, registry: dict[str, Integration]
) -> None:
    finance = Group.objects.create(name="Finance")
    assign_perm(Perm.OAUTH_REFRESH.django_name, finance, registry["netcash"])
    dana = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE)
    refused(lambda: roles(charlie, "Finance", by=dana), "The role Finance")
    assign_perm(Perm.OAUTH_REFRESH.django_name, dana, registry["netcash"])
    assert roles(charlie, "Finance", by=dana)


def test_nobody_changes_who_holds_more(person: Person, alice: User, registry: dict[str, Integration]) -> None:
    dana, pieter = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE), person("pieter")
    assign_perm(Perm.WEBHOOKS_REPLAY.django_name, pieter, registry["resend"])
    for one in (alice, pieter):
        refused(lambda one=one: roles(one, by=dana), "may do things that you may not")  # type: ignore[misc]
        refused(lambda one=one: disable(one, by=dana), "may do things that you may not")  # type: ignore[misc]
    User.objects.filter(pk=alice.pk).update(is_active=False)  # a disabled one would come back with all of it
    now = timezone.now()
    refused(lambda: people.enable(alice, by=dana, actor=as_actor(dana)), "may do things that you may not")
    refused(lambda: people.revoke_tokens(pieter, by=dana, actor=as_actor(dana), now=now), "may do things")
    refused(lambda: people.new_password(pieter, by=dana, actor=as_actor(dana), now=now), "may do things")
    refused(lambda: people.reset_factors(pieter, by=dana, actor=as_actor(dana), now=now), "may do things")


def test_only_a_superuser_changes_a_superuser(person: Person, alice: User) -> None:
    root, other = person("root", is_superuser=True), person("other", is_superuser=True)
    refused(lambda: disable(root, by=alice), "root is a superuser")
    assert disable(root, by=other)


def test_nobody_raises_themselves(alice: User, person: Person, registry: dict[str, Integration]) -> None:
    root = person("root", is_superuser=True)
    for one in (alice, root):
        refused(lambda one=one: roles(one, "System Admin", by=one), "Nobody changes their own")  # type: ignore[misc]
        refused(lambda one=one: disable(one, by=one), "Nobody changes their own")  # type: ignore[misc]
    dana = of_a_mix(person, "dana", Perm.READ, Perm.MANAGE)
    refused(lambda: give(dana, Perm.CRON_TRIGGER, registry["resend"], by=dana), "Nobody changes their own")


@pytest.mark.parametrize("lost", ["disabled", "stripped"])
def test_rights_are_asked_as_they_are_now(alice: User, bob: User, charlie: User, person: Person, lost: str) -> None:
    """`alice` is the request's, who was let in a moment ago."""
    if lost == "disabled":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    else:
        User.objects.get(pk=alice.pk).groups.clear()
    person("other", role="Super Admin")
    refused(lambda: roles(charlie, "Operations Manager", by=alice), "You may no longer manage people")


def test_one_integration_is_not_enough_to_manage_people(
    charlie: User, bob: User, registry: dict[str, Integration]
) -> None:
    assign_perm(Perm.MANAGE.django_name, charlie, registry["resend"])
    refused(lambda: disable(bob, by=again(charlie)), "You may no longer manage people")


# --- One Super Admin stays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["disable", "strip"])
def test_the_last_super_admin_stays(alice: User, person: Person, change: str) -> None:
    boss = person("boss", role="System Admin")
    do: Callable[[], object] = {
        "disable": lambda: disable(alice, by=boss),
        "strip": lambda: roles(alice, "Support Agent", by=boss),
    }[change]
    refused(do, "would leave no active Super Admin")
    assert again(alice).is_active
    assert again(alice).role_name() == "Super Admin"
    second = person("second", role="Super Admin")
    User.objects.filter(pk=second.pk).update(is_active=False)
    refused_before = Activity.objects.filter(outcome="refused").count()
    with pytest.raises(people.Refused):  # one who may not come in is none; told once a minute
        do()
    assert Activity.objects.filter(outcome="refused").count() == refused_before
    User.objects.filter(pk=second.pk).update(is_active=True)
    assert do()


def test_a_superuser_is_one(alice: User, person: Person) -> None:
    root = person("root", is_superuser=True)
    assert disable(alice, by=root)


def test_where_there_never_was_one_others_can_still_be_changed(person: Person, bob: User) -> None:
    boss = person("boss", role="System Admin")
    assert roles(bob, "IT Manager", by=boss)


@pytest.fixture
def root(client: Client, person: Person) -> Client:
    client.force_login(person("root", is_superuser=True, is_staff=True))
    return client


def form_of(user: User, **changed: Any) -> dict[str, Any]:
    kept = {"username": user.username, "email": user.email, "is_active": "on", "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00", "is_superuser": "on"}  # fmt: skip
    return {name: value for name, value in (kept | changed).items() if value is not None}


@pytest.mark.parametrize("change", [{"is_active": None}, {"is_superuser": None}])
def test_the_django_admin_keeps_one_too(root: Client, change: dict[str, None]) -> None:
    me = User.objects.get(username="root")
    answer = root.post(f"/django-admin/accounts/user/{me.pk}/change/", form_of(me, **change), follow=True)
    assert "would leave no active Super Admin" in answer.content.decode()
    assert (again(me).is_active, again(me).is_superuser) == (True, True)
    assert Activity.objects.get(outcome="refused").username == "root"
    assert not Activity.objects.filter(action="admin_changed").exists()
    User.objects.get(username="root").groups.add(role("Super Admin"))
    root.post(f"/django-admin/accounts/user/{me.pk}/change/", form_of(me, is_superuser=None, groups=[1]))
    assert people.super_admins().exists()


def test_the_django_admin_deletes_no_last_one(root: Client, bob: User) -> None:
    me = User.objects.get(username="root")
    root.post(f"/django-admin/accounts/user/{me.pk}/delete/", {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [str(me.pk)], "post": "yes"}
    root.post("/django-admin/accounts/user/", chosen)
    assert User.objects.filter(username="root").exists()
    root.post(f"/django-admin/accounts/user/{bob.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(username="bob").exists()


def test_the_django_admin_keeps_the_declared_roles(root: Client) -> None:
    own = Group.objects.create(name="Finance")
    for group, left in ((role("Super Admin"), True), (own, False)):
        root.post(f"/django-admin/auth/group/{group.pk}/delete/", {"post": "yes"})
        assert Group.objects.filter(pk=group.pk).exists() == left
    chosen = {"action": "delete_selected", "_selected_action": [role("Super Admin").pk], "post": "yes"}
    root.post("/django-admin/auth/group/", chosen)
    root.post(f"/django-admin/auth/group/{role('Super Admin').pk}/change/", {"name": "Nobody", "permissions": []})
    assert Group.objects.filter(name="Super Admin").exists()


# --- Two at once -----------------------------------------------------------------------------------------------------


@pytest.fixture
def two(transactional_db: None) -> tuple[User, User]:
    """The only two Super Admins there are."""
    made = []
    for name in ("one", "other"):
        user = User.objects.create_user(name, f"{name}@example.com", "correct horse battery")
        user.groups.add(Group.objects.get_or_create(name="Super Admin")[0])
        made.append(user)
    Group.objects.get(name="Super Admin").permissions.set(
        Permission.objects.filter(content_type__app_label="integrations", codename__in=list(Perm))
    )
    return made[0], made[1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["disable", "strip"])
def test_two_who_undo_each_other_at_once_leave_one(
    two: tuple[User, User], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log too lets one write at a time: without it, it is seen whether the change itself does.
    monkeypatch.setattr(activity, "record", lambda **_: None)
    ready, came = threading.Barrier(2), list[str]()

    def undo(mine: User, theirs: User) -> None:
        ready.wait(timeout=10)
        try:
            disable(theirs, by=mine) if change == "disable" else roles(theirs, by=mine)
            came.append("done")
        except people.Refused as refusal:
            came.append(str(refusal))
        finally:
            close_old_connections()
            connection.close()

    for _round in range(5):
        came.clear()
        threads = [threading.Thread(target=undo, args=pair) for pair in (two, two[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert len(came) == 2
        assert came.count("done") == 1, came
        assert people.super_admins().count() == 1
        for user in two:
            User.objects.filter(pk=user.pk).update(is_active=True)
            user.groups.add(role("Super Admin"))


# --- Why -------------------------------------------------------------------------------------------------------------


def reasons(person: User) -> dict[str, list[tuple[str, str]]]:
    granted = rights.grants([person]).get(person.pk, [])
    return {
        right.name.removeprefix("integrations:"): [(reason.on, reason.words) for reason in right.reasons]
        for right in rights.why(person, granted)
    }


def test_why_somebody_may_is_said(alice: User, bob: User, registry: dict[str, Integration]) -> None:
    finance = Group.objects.create(name="Finance")
    bob.groups.add(finance)
    assign_perm(Perm.MANAGE.django_name, finance, registry["netcash"])
    give(bob, Perm.MANAGE, registry["resend"], by=alice)
    GrantNote.objects.update(given_at="2026-11-03T10:00:00Z")
    assign_perm(Perm.OAUTH_REFRESH.django_name, bob, registry["zoho-crm"])  # by a hand that left no note
    bob.user_permissions.add(Permission.objects.get(codename="cron:trigger"))
    assert reasons(bob) == {
        "read": [("", "because of the role Operations Manager")],
        "manage": [
            ("Resend Email", "because of a grant by alice, 3 Nov 2026"),
            ("NetCash Pay Now", "because of a grant to Finance"),
        ],
        "oauth:refresh": [("Zoho CRM", "because of a grant")],
        "webhooks:replay": [],
        "cron:trigger": [("", "because it was given to them in the Django admin")],
    }


def test_what_is_said_is_what_holds(person: Person, registry: dict[str, Integration]) -> None:
    """Everybody in every way, against the one question that all doors ask."""
    finance = Group.objects.create(name="Finance")
    assign_perm(Perm.MANAGE.django_name, finance, registry["netcash"])
    everybody = [person(name.replace(" ", ""), role=name) for name in permissions.ROLES]
    everybody += [person("root", is_superuser=True), person("nobody"), of_a_mix(person, "mix", Perm.MANAGE)]
    for number, one in enumerate(everybody):
        if number % 2:
            one.groups.add(finance)
        assign_perm(list(Perm)[number % 5].django_name, one, registry["resend"])
    for one in map(again, everybody):
        said, held = reasons(one), rights.held(one)
        for perm in Perm:
            everywhere = any(not on for on, _words in said[perm])
            assert everywhere == permissions.may(one, perm), (one, perm)
            assert (held.superuser or perm.django_name in held.everywhere) == everywhere
            for row in registry.values():
                on_it = everywhere or any(on == row.name for on, _words in said[perm])
                assert on_it == permissions.may(one, perm, row), (one, perm, row)
                assert held.covers(rights.of_grant(perm, row)) == on_it


def test_a_grant_on_what_was_removed_is_none(alice: User, charlie: User) -> None:
    gone = Integration.objects.create(slug="gone", name="Gone", provider="Acme", category="crm")
    give(charlie, Perm.READ, gone, by=alice)
    gone.delete()
    assert rights.grants([charlie]) == {}
    assert reasons(charlie)["read"] == []


def test_sessions_that_ended_by_themselves_are_not_counted(alice: User, bob: User, client: Client) -> None:
    client.force_login(bob)
    later = timezone.now() + timedelta(days=2)
    people.disable(bob, by=alice, actor=as_actor(alice), now=later)
    assert Activity.objects.get(action="person_disabled").details["sessions"] == 0
