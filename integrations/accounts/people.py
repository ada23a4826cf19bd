"""Changing what other people may do. One change at a time, each told in the activity log in its own transaction.

Whoever changes somebody must hold all that the other holds, and all that they give: rights are handed on, never made.
Nobody changes their own, and one Super Admin who may come in always stays.
"""

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from guardian.models import UserObjectPermission
from guardian.shortcuts import remove_perm

from integrations import activity
from integrations.accounts import rights, sessions
from integrations.accounts.login import factors
from integrations.accounts.models import ApiToken, GrantNote, User
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import SUPER_ADMIN, Perm

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of an initial password: none that looks like another, for it may be read out."""


class Refused(Exception):
    """Why it isn't done, in words for people."""


# --- What may be changed by whom -------------------------------------------------------------------------------------


def may_manage(by: User) -> bool:
    return by.is_active and by.has_perm(Perm.MANAGE.django_name)


def why_not(person: User, *, by: User) -> str:
    """Why `by` may change nothing of `person`, in words; "" if they may."""
    if not may_manage(by):
        return _("You may no longer manage people.")
    if person.pk == by.pk:
        return _("Nobody changes their own rights: ask another administrator.")
    if person.is_superuser and not by.is_superuser:
        return _("{name} is a superuser: only a superuser changes them.").format(name=person.username)
    if not rights.held(by).covers(rights.held(person)):
        return _("{name} may do things that you may not: ask somebody who may.").format(name=person.username)
    return ""


def givable(by: User) -> list[Group]:
    """The roles in which nothing is that `by` doesn't hold."""
    mine = rights.held(by)
    return [role for role in Group.objects.order_by("name") if mine.covers(rights.of_role(role))]


def super_admins() -> QuerySet[User]:
    """Those who may come in, superusers among them."""
    of_role = Q(is_superuser=True) | Q(groups__name=SUPER_ADMIN)
    return User.objects.filter(of_role, is_active=True).distinct()


@contextmanager
def keeping_a_super_admin() -> Iterator[None]:
    """For changes of people, in a transaction of its own: one after the other, however many ask at once, and none that
    leaves nobody who could undo it. Raises Refused."""
    with transaction.atomic():
        # One row stands for all people: two who strip each other wait for each other here.
        list(Group.objects.select_for_update().filter(name=SUPER_ADMIN))
        before = super_admins().exists()
        yield
        if before and not super_admins().exists():
            raise Refused(_("That would leave no active Super Admin: give somebody else the role first."))


@contextmanager
def _changing(person: User, what: str, *, by: User, actor: Actor) -> Iterator[User]:
    """Their row as it is now, if `by` may change it, as they both are now. What is refused leaves its trace."""
    with _told(actor, what, person.username), keeping_a_super_admin():
        row = User.objects.select_for_update().get(pk=person.pk)
        if words := why_not(row, by=User.objects.get(pk=by.pk)):
            raise Refused(words)
        yield row


@contextmanager
def _told(actor: Actor, what: str, username: str) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        details = {"what": f"{what} {username}", "words": str(refused)}
        activity.record_refusal(actor=actor, where=f"people:{what}:{username}", details=details)
        raise


def _must_hold(by: User, given: rights.Held, words: str) -> None:
    if not rights.held(User.objects.get(pk=by.pk)).covers(given):
        raise Refused(words)


def _must_be_theirs(person: User, given: rights.Held) -> None:
    """Whoever gave them the password that they still have could use what is given: no more than they hold then."""
    giver = person.password_given_by
    if not giver:
        return
    known = User.objects.filter(username=giver, is_active=True).first()
    if known is None or not rights.held(known).covers(given):
        words = _("{name} still has the password that {giver} gave them, who may do less: let them change it first.")
        raise Refused(words.format(name=person.username, giver=giver))


# --- Coming and going ------------------------------------------------------------------------------------------------


def add(person: User, *, role: Group | None, by: User, actor: Actor) -> str:
    """Store `person`, who has names and no password yet; returns the initial password, which can't be had again."""
    with _told(actor, "adding", person.username), keeping_a_super_admin():
        if not may_manage(User.objects.get(pk=by.pk)):
            raise Refused(_("You may no longer manage people."))
        if role:
            _must_hold(by, rights.of_role(role), _not_all_of(role))
        password = _password(person)
        person.set_password(password)
        person.password_given_by = by.username
        try:
            with transaction.atomic():
                person.save(force_insert=True)
        except IntegrityError as error:
            words = _("{name} was added already, or somebody has that e-mail address.")
            raise Refused(words.format(name=person.username)) from error
        if role:
            person.groups.add(role)
        details = {"for": person.username, "email": person.email, "role": role.name if role else None}
        activity.record(actor=actor, action="person_added", details=details)
    return password


def _password(person: User) -> str:
    while True:
        made = "-".join("".join(secrets.choice(LETTERS) for _letter in range(5)) for _part in range(4))
        try:
            validate_password(made, person)
        except ValidationError:
            continue
        return made


def disable(person: User, *, by: User, actor: Actor, now: datetime) -> bool:
    """They are out at once, for good of every session; their tokens do nothing as long as they are. False: they were
    already."""
    with _changing(person, "disabling", by=by, actor=actor) as row:
        if not User.objects.filter(pk=row.pk, is_active=True).update(is_active=False):
            return False
        ended = sessions.end_all(row, now=now)
        details = {"for": row.username, "before": {"active": True}, "after": {"active": False}, "sessions": ended}
        activity.record(actor=actor, action="person_disabled", details=details)
    return True


def enable(person: User, *, by: User, actor: Actor) -> bool:
    with _changing(person, "enabling", by=by, actor=actor) as row:
        if not User.objects.filter(pk=row.pk, is_active=False).update(is_active=True):
            return False
        details = {"for": row.username, "before": {"active": False}, "after": {"active": True}}
        activity.record(actor=actor, action="person_enabled", details=details)
    return True


def revoke_tokens(person: User, *, by: User, actor: Actor, now: datetime) -> int:
    """All that live; returns how many those were."""
    with _changing(person, "revoking the tokens of", by=by, actor=actor) as row:
        number = ApiToken.objects.alive(now).filter(user=row).update(revoked_at=now)
        if number:
            details = {"for": row.username, "tokens": number}
            activity.record(actor=actor, action="api_tokens_revoked", details=details)
    return number


# --- What they lost --------------------------------------------------------------------------------------------------


def new_password(person: User, *, by: User, actor: Actor, now: datetime) -> str:
    """Instead of one that was forgotten or told: an initial one, which can't be had again. They are out everywhere, so
    that whoever knew the old one is."""
    with _changing(person, "giving a new password to", by=by, actor=actor) as row:
        if not row.has_usable_password():
            raise Refused(_("{name} signs in by the company: there is no password here.").format(name=row.username))
        password = _password(row)
        row.set_password(password)
        row.password_given_by = by.username
        row.save(update_fields=["password", "password_given_by"])
        details = {"for": row.username, "sessions": sessions.end_all(row, now=now)}
        activity.record(actor=actor, action="password_reset", details=details)
    return password


def reset_factors(person: User, *, by: User, actor: Actor, now: datetime) -> int:
    """For who has lost phone, key and recovery codes. Returns how many were taken off."""
    with _changing(person, "taking the second factors off", by=by, actor=actor) as row:
        return len(factors.take_off(row, actor=actor, now=now))


@transaction.atomic
def hand_over(person: User, *, actor: Actor, now: datetime) -> None:
    """To the company, which vouches for them from now on: what whoever made the account knows of it opens nothing."""
    person.set_unusable_password()
    person.password_given_by = ""
    person.save(update_fields=["password", "password_given_by"])
    ended = sessions.end_all(person, now=now)
    tokens = ApiToken.objects.alive(now).filter(user=person).update(revoked_at=now)
    factors.take_off(person, actor=actor, now=now)
    details = {"for": person.username, "sessions": ended, "tokens": tokens}
    activity.record(actor=actor, action="company_connected", details=details)


# --- Roles and grants ------------------------------------------------------------------------------------------------


def choose_roles(person: User, *, roles: Collection[Group], by: User, actor: Actor) -> bool:
    """From now on these and no others; False: so it was."""
    with _changing(person, "changing the roles of", by=by, actor=actor) as row:
        before, after = set(row.groups.all()), set(roles)
        if before == after:
            return False
        for role in after - before:
            _must_hold(by, rights.of_role(role), _not_all_of(role))
            _must_be_theirs(row, rights.of_role(role))
        row.groups.set(after)
        old, new = ({"roles": sorted(role.name for role in some)} for some in (before, after))
        details = {"for": row.username, "before": old, "after": new}
        activity.record(actor=actor, action="roles_changed", details=details)
    return True


def give(person: User, perm: Perm, integration: Integration, *, by: User, actor: Actor, now: datetime) -> bool:
    """A permission on one integration; False: they had it."""
    words = _("You don't hold {permission} on {name} yourself: ask somebody who does.")
    words = words.format(permission=perm.public_name, name=integration.name)
    with _changing(person, "granting to", by=by, actor=actor) as row:
        _must_hold(by, rights.of_grant(perm, integration), words)
        _must_be_theirs(row, rights.of_grant(perm, integration))
        if _granted(row, perm, integration):
            return False
        grant = UserObjectPermission.objects.assign_perm(perm.value, row, integration)
        GrantNote.objects.create(grant=grant, given_by=actor.username[:150], given_at=now)
        _tell_of_grant("grant_given", row, perm, integration, actor)
    return True


def take(person: User, perm: Perm, integration: Integration, *, by: User, actor: Actor) -> bool:
    """Take such a grant back; False: there was none."""
    with _changing(person, "taking a grant from", by=by, actor=actor) as row:
        if not _granted(row, perm, integration):
            return False
        remove_perm(perm.django_name, row, integration)
        _tell_of_grant("grant_taken", row, perm, integration, actor)
    return True


def _granted(person: User, perm: Perm, integration: Integration) -> bool:
    return any(one.perm == perm and one.integration == integration for one in _grants(person))


def _grants(person: User) -> Collection[rights.Grant]:
    return rights.grants([person]).get(person.pk, [])


def _tell_of_grant(action: str, person: User, perm: Perm, integration: Integration, actor: Actor) -> None:
    had, has = (False, True) if action == "grant_given" else (True, False)
    before, after = ({perm.public_name: value} for value in (had, has))
    details = {"for": person.username, "permission": perm.public_name, "before": before, "after": after}
    activity.record(actor=actor, action=action, integration=integration, details=details)


def _not_all_of(role: Group) -> str:
    words = _("The role {role} holds what you don't: ask somebody who does.")
    return words.format(role=role.name)
