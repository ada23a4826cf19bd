"""People: who may come in, what each may do, and why. For whoever may manage everything."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from integrations import actor, pages
from integrations.accounts import fresh, people, roster
from integrations.accounts.models import User
from integrations.pages import PageRequest
from integrations.permissions import Perm


@require_GET
@pages.requires_everywhere(Perm.MANAGE)
def index(request: PageRequest) -> HttpResponse:
    context = {"roster": roster.read(request.GET.get("q", "")), "now": timezone.now()}
    return pages.render_page(request, "accounts/people.html", context, fragment="live")


@require_GET
@pages.requires_everywhere(Perm.MANAGE)
def person(request: PageRequest, person_id: UUID) -> HttpResponse:
    now = timezone.now()
    page = roster.page(get_object_or_404(User, pk=person_id), reader=request.user, now=now)
    return render(request, "accounts/person.html", {"page": page, "grant": roster.NewGrant(), "now": now})


@require_http_methods(["GET", "POST"])
@never_cache
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
def add(request: PageRequest) -> HttpResponse:
    """The initial password is shown by the very answer that makes it, and never again."""
    form = roster.NewPerson(request.user, request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render(request, "accounts/add.html", {"form": form}, status=422 if form.errors else 200)
    new, role = form.save(commit=False), form.cleaned_data["role"]
    try:
        password = people.add(new, role=role, by=request.user, actor=actor.of(request))
    except people.Refused as refused:
        form.add_error(None, str(refused))
        return render(request, "accounts/add.html", {"form": form}, status=409)
    return render(request, "accounts/added.html", {"person": new, "role": role, "password": password})


# --- Changes ---------------------------------------------------------------------------------------------------------


def _of_somebody(view: Callable[[PageRequest, User], HttpResponse]) -> Callable[[PageRequest, UUID], HttpResponse]:
    """A change of the person in the address; what is refused is said."""

    @wraps(view)
    def guarded(request: PageRequest, person_id: UUID) -> HttpResponse:
        who = get_object_or_404(User, pk=person_id)
        try:
            return view(request, who)
        except people.Refused as refused:
            return _said(request, who, _("Not done"), str(refused), tone="warning")

    return guarded


def _said(request: PageRequest, who: User, title: str, text: str = "", *, tone: str = "success") -> HttpResponse:
    return pages.answer(request, title=title, text=text, tone=tone, back=reverse("people:person", args=[who.pk]))


def _ask(request: PageRequest, who: User, title: str, text: str, yes: str) -> HttpResponse:
    place, back = who.username, reverse("people:person", args=[who.pk])
    return pages.ask(request, title=title, text=text, yes=yes, place=place, back=back, danger=True)


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def disable(request: PageRequest, who: User) -> HttpResponse:
    if pages.unsure(request):
        text = _("They are signed out everywhere at once, and their API tokens do nothing any more.")
        return _ask(request, who, _("Disable {name}?").format(name=who.username), text, _("Disable"))
    done = people.disable(who, by=request.user, actor=actor.of(request), now=timezone.now())
    text = _("They are signed out everywhere, and their API tokens do nothing.") if done else _("They were already.")
    return _said(request, who, _("{name} is disabled").format(name=who.username), text)


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def enable(request: PageRequest, who: User) -> HttpResponse:
    people.enable(who, by=request.user, actor=actor.of(request))
    text = _("They may sign in again, and those of their tokens that live work again.")
    return _said(request, who, _("{name} is enabled").format(name=who.username), text)


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def revoke_tokens(request: PageRequest, who: User) -> HttpResponse:
    if pages.unsure(request):
        text = _("Whatever uses one is refused from then on. It can't be taken back.")
        title = _("Revoke all tokens of {name}?").format(name=who.username)
        return _ask(request, who, title, text, _("Revoke all"))
    number = people.revoke_tokens(who, by=request.user, actor=actor.of(request), now=timezone.now())
    title = ngettext("{n} token revoked", "{n} tokens revoked", number).format(n=number)
    return _said(request, who, title, _("Whatever used one is refused from now on.") if number else "")


@require_POST
@never_cache
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def new_password(request: PageRequest, who: User) -> HttpResponse:
    """As in `add`: shown by the very answer that makes it."""
    if pages.unsure(request):
        text = _("The old one is worth nothing from then on, and they are signed out everywhere. Their tokens stay.")
        title = _("Give {name} a new password?").format(name=who.username)
        return _ask(request, who, title, text, _("Give a new password"))
    password = people.new_password(who, by=request.user, actor=actor.of(request), now=timezone.now())
    return render(request, "accounts/new_password.html", {"person": who, "password": password})


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def reset_factors(request: PageRequest, who: User) -> HttpResponse:
    if pages.unsure(request):
        text = _("Be sure that it is them who ask: from then on their password alone signs in.")
        title = _("Take all second factors off {name}?").format(name=who.username)
        return _ask(request, who, title, text, _("Take off"))
    number = people.reset_factors(who, by=request.user, actor=actor.of(request), now=timezone.now())
    title = _("{name} has no second factor any more").format(name=who.username)
    return _said(request, who, title, _("They are signed out everywhere.") if number else _("They had none before."))


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def choose_roles(request: PageRequest, who: User) -> HttpResponse:
    form = roster.Roles(request.POST)
    if not form.is_valid():
        return _said(request, who, _("Not saved"), _("There is no such role."), tone="error")
    roles = form.cleaned_data["roles"]
    people.choose_roles(who, roles=roles, by=request.user, actor=actor.of(request))
    names = ", ".join(role.name for role in roles) or _("no role")
    return _said(request, who, _("{name}: {roles}").format(name=who.username, roles=names))


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def give(request: PageRequest, who: User) -> HttpResponse:
    form = roster.NewGrant(request.POST)
    if not form.is_valid():
        return _said(request, who, _("Not given"), _("Choose a permission and an integration."), tone="error")
    perm, on = form.cleaned_data["permission"], form.cleaned_data["integration"]
    done = people.give(who, perm, on, by=request.user, actor=actor.of(request), now=timezone.now())
    told = _("{name}: {permission} on {it}").format(name=who.username, permission=perm.public_name, it=on.name)
    return _said(request, who, told, "" if done else _("They had it before."), tone="success" if done else "info")


@require_POST
@pages.requires_everywhere(Perm.MANAGE)
@fresh.required(back="people:index")
@_of_somebody
def take(request: PageRequest, who: User) -> HttpResponse:
    form = roster.NewGrant(request.POST)
    if not form.is_valid():
        return _said(request, who, _("Not taken"), _("There is no such grant."), tone="error")
    perm, on = form.cleaned_data["permission"], form.cleaned_data["integration"]
    people.take(who, perm, on, by=request.user, actor=actor.of(request))
    told = _("{name}: no longer {permission} on {it}")
    return _said(request, who, told.format(name=who.username, permission=perm.public_name, it=on.name))
