"""The pages of OAuth: all tokens, the story of one, what can be done about it, and the way to a provider and back."""

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from integrations import actor, pages, permissions, seek
from integrations.accounts import fresh
from integrations.models import Integration
from integrations.pages import PageRequest
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from oauth import services, tokens
from oauth.services import authorize
from oauth.services.status import oauth_of

RESULT = "oauth_result"
"""The session's key for what came of the last way to a provider and back: words, never a secret."""


LookAt = Callable[[Integration], object]
"""Has the health of an integration looked at soon; it never blocks. It comes from `config`."""


@require_GET
@pages.requires(Perm.READ)
def index(request: PageRequest) -> HttpResponse:
    now, span = timezone.now(), tokens.SPANS.get(request.GET.get("range", ""), tokens.SPANS["24h"])
    lines = tokens.lines(request.user, now)
    due = tokens.due(lines, now)
    shown = {
        "lines": lines, "trouble": tokens.in_trouble(lines), "due": due, "now": now,
        "due_names": _names(due),
        "lanes": tokens.lanes(lines, span, now), "span": span, "spans": tokens.SPANS.values(), "width": tokens.WIDTH,
    }  # fmt: skip
    return pages.render_page(request, "oauth/tokens.html", shown, fragment="live")


@require_GET
@pages.requires(Perm.READ)
def story(request: PageRequest, slug: str) -> HttpResponse:
    now, (before, floor) = timezone.now(), (seek.place(request.GET.get(name, "")) for name in ("before", "floor"))
    line = next(iter(tokens.lines(request.user, now, only=slug)), None)
    if line is None:
        raise Http404
    told = tokens.story(line.integration, before=before, floor=floor)
    shown = {"line": line, "story": told, "before": before, "now": now}
    return pages.render_page(request, "oauth/story.html", shown, fragment="older" if before else "live")


# --- What can be done about them -------------------------------------------------------------------------------------


@require_POST
@pages.requires(Perm.OAUTH_REFRESH)
def refresh_all(request: PageRequest, look_at: LookAt) -> HttpResponse:
    """Renew what expires soon, of those that the reader may renew, once somebody is sure."""
    if pages.unsure(request) and (names := _expiring(request)):
        title, text = _("Refresh all that expire soon?"), _("{names}: each is asked for a new token.")
        place, back, text = _("OAuth tokens"), reverse("oauth:tokens"), text.format(names=names)
        return pages.ask(request, title=title, text=text, yes=_("Refresh"), place=place, back=back)
    among = list(permissions.visible(request.user, Perm.OAUTH_REFRESH))
    done = services.refresh_all(among=among, actor=actor.of(request))
    for integration in among:
        if integration.slug in done["refreshed"] or integration.slug in done["failed"]:
            look_at(integration)
    words = services.in_words(done)
    if done["failed"]:
        return pages.answer(request, title=_("Not all were renewed"), text=words, tone="warning", back="oauth:tokens")
    title = _("Renewed") if done["refreshed"] else _("Nothing expires soon")
    return pages.answer(request, title=title, text=words, back="oauth:tokens")


def _expiring(request: PageRequest) -> str:
    """The names of those that would be renewed, as the page tells them."""
    now = timezone.now()
    return _names(tokens.due(tokens.lines(request.user, now), now))


def _names(lines: Iterable[tokens.Line]) -> str:
    return ", ".join(line.integration.name for line in lines)


@require_POST
@pages.requires(Perm.READ)
def renewal(request: PageRequest, slug: str) -> HttpResponse:
    """Whether it is renewed by itself: on, or off where the field `auto` isn't there, as of a checkbox."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.MANAGE, integration)
    on = bool(request.POST.get("auto"))
    try:
        services.change(integration, auto_refresh=on, actor=actor.of(request))
    except services.NeverConnected as error:
        return pages.answer(request, title=_("Not changed"), text=str(error), tone="warning", back="oauth:tokens")
    if on:
        title = _("{name} renews itself").format(name=integration.name)
        return pages.answer(request, title=title, back="oauth:tokens")
    title = _("{name} is no longer renewed by itself").format(name=integration.name)
    text = _("It runs out unless somebody renews it.")
    return pages.answer(request, title=title, text=text, tone="info", back="oauth:tokens")


@require_POST
@pages.requires(Perm.READ)
@fresh.required(back="oauth:tokens")
def revoke(request: PageRequest, slug: str, look_at: LookAt) -> HttpResponse:
    """Give the grant up. Where the page could not ask first, for want of scripts, a page of its own does."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    sharing = services.sharing(integration)
    for one in (integration, *sharing):  # whoever may manage one must not end others through it
        pages.demand(request, Perm.MANAGE, one)
    named = ",".join(sorted(one.slug for one in sharing))
    if "sure" not in request.POST:
        names = ", ".join(one.name for one in sharing)
        shown = {"integration": integration, "sharing": sharing, "names": names, "together_with": named}
        return render(request, "oauth/revoke.html", shown)
    if request.POST.get("with", "") != named:  # whom it shares the grant with is not what the reader was shown
        text = _("Others live by its grant now. Look again, and decide then.")
        return pages.answer(request, title=_("Not revoked"), text=text, tone="warning", back="oauth:tokens")
    return _revoked(request, integration, sharing, look_at)


def _revoked(
    request: PageRequest, integration: Integration, sharing: list[Integration], look_at: LookAt
) -> HttpResponse:
    try:
        done = services.revoke(integration, actor=actor.of(request), together_with=sharing)
    except (services.NothingToRevoke, services.SharedGrant, ProviderError) as error:
        return pages.answer(request, title=_("Not revoked"), text=str(error), tone="warning", back="oauth:tokens")
    for one in done.integrations:
        look_at(one)
    names = [one.name for one in done.integrations]
    title = _("{name}: revoked").format(name=_(" and ").join(names))
    tone = "warning" if done.pending else "success"
    return pages.answer(request, title=title, text=_(done.words), tone=tone, back="oauth:tokens")


# --- There, and back -------------------------------------------------------------------------------------------------


@require_POST
@pages.requires(Perm.READ)
def connect(request: PageRequest, slug: str) -> HttpResponse:
    """A page with the link to the provider: a redirect would need its address in our Content-Security-Policy."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.MANAGE, integration)
    session, now = request.session.session_key or "", timezone.now()
    try:
        url = authorize.begin(integration, actor=actor.of(request), session=session, now=now)
    except ProviderError as error:
        title = _("{name} can't be connected").format(name=integration.name)
        return pages.answer(request, title=title, text=error.words, tone="warning", back="overview")
    oauth = oauth_of(integration)
    shown = {"integration": integration, "url": url, "host": urlsplit(url).netloc}
    return render(request, "oauth/connect.html", shown | {"scopes": oauth.scopes if oauth else ()})


@login_not_required  # it says so itself: a login page would carry the code on in its address
@require_GET
def callback(request: HttpRequest, look_at: LookAt) -> HttpResponse:
    """Where the provider sends the browser back to."""
    if not request.user.is_authenticated:
        response = render(request, "oauth/result.html", {"ending": "signed_out"}, status=401)
        response["Referrer-Policy"] = "no-referrer"
        return response
    session, now = request.session.session_key or "", timezone.now()
    try:
        done = authorize.finish(
            request.GET.dict(), user=request.user, session=session, actor=actor.of(request), now=now
        )
    except authorize.NotConnected as error:
        return _told(request, error.ending, error.integration, [error.words])
    look_at(done.token.integration)
    return _told(request, "connected", done.token.integration, list(done.warnings))


def _told(request: HttpRequest, ending: str, integration: Integration | None, words: list[str]) -> HttpResponse:
    """On to a page whose address holds neither code nor state, and that may be loaded again."""
    slug = integration.slug if integration else ""
    request.session[RESULT] = {"ending": ending, "slug": slug, "words": words}
    return redirect("oauth:result")


@require_GET
def result(request: PageRequest) -> HttpResponse:
    told = request.session.get(RESULT)
    if told is None:
        return redirect("overview")
    integration = permissions.visible(request.user).filter(slug=told["slug"]).first()
    may = integration is not None and permissions.may(request.user, Perm.MANAGE, integration)
    words = [_(line) for line in told["words"] if line]
    return render(request, "oauth/result.html", {**told, "words": words, "integration": integration, "may": may})
