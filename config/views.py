"""The pages that need several apps: the overview, one integration in detail, what is done there; the error pages."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_POST, require_safe

from config import brand, dashboard, palette, plain, shell, switch, wakeup
from config import detail as details
from healthchecks import services as health
from integrations import actor, pages, permissions
from integrations.accounts.models import User
from integrations.models import HealthStatus
from integrations.pages import PageRequest
from integrations.permissions import Perm
from integrations.providers.spec import ProviderError
from oauth import services as oauth
from oauth import tokens

_VERDICTS: dict[str, tuple[str, str]] = {
    HealthStatus.HEALTHY: ("success", gettext_noop("{name} is healthy")),
    HealthStatus.DEGRADED: ("warning", gettext_noop("{name} is degraded")),
    HealthStatus.DOWN: ("error", gettext_noop("{name} is down")),
    HealthStatus.UNKNOWN: ("info", gettext_noop("{name} could not be checked")),
}
"""How a check is answered: the toast's tone and its words."""


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("overview")


@require_GET
@pages.requires(Perm.READ)
def overview(request: PageRequest) -> HttpResponse:
    now = timezone.now()
    view = dashboard.overview(request.user, dashboard.Filters.of(request.GET), now)
    return pages.render_page(request, "overview.html", {"view": view, "now": now}, fragment="live")


@require_GET
@pages.requires(Perm.READ)
def detail(request: PageRequest, slug: str) -> HttpResponse:
    now, head = timezone.now(), details.head(request.user, slug, request.GET.get("tab", ""))
    shown = {"head": head, "now": now, "width": tokens.WIDTH} | details.body(head, request.user, now)
    return pages.render_page(request, "detail.html", shown, fragment="live")


@require_POST
@pages.requires(Perm.READ)
def turn(request: PageRequest, slug: str) -> HttpResponse:
    """Switch it on or off. Where the page could not ask first, for want of scripts, a page of its own does."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.MANAGE, integration)
    on = request.POST.get("to") == "on"
    if not on and "sure" not in request.POST:
        return render(request, "switch.html", {"integration": integration})
    done = switch.turn(integration, on=on, actor=actor.of(request))
    title, text = _switched(done, on=on)
    return pages.answer(request, title=title, text=text, tone="success" if on else "info", back="overview")


def _switched(done: switch.Switched, *, on: bool) -> tuple[str, str]:
    name = done.integration.name
    if not on:
        text = _("It is not checked, and its webhook events are held.")
        return _("{name} is switched off").format(name=name), text
    title = _("{name} is switched on").format(name=name)
    if not done.held:
        return title, _("It is checked again.")
    text = ngettext(
        "It is checked again. {n} webhook event had waited and run now.",
        "It is checked again. {n} webhook events had waited and run now.",
        done.held,
    )
    return title, text.format(n=f"{done.held:,}")


@require_POST
@pages.requires(Perm.READ)
def check(request: PageRequest, slug: str) -> HttpResponse:
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.MANAGE, integration)
    try:
        result = health.check(integration=integration, actor=actor.of(request))
    except health.Inactive as error:
        return pages.answer(request, title=_("Not checked"), text=str(error), tone="warning", back="overview")
    tone, words = _VERDICTS[result.status]
    title = _(words).format(name=integration.name)
    return pages.answer(request, title=title, text=result.reason, tone=tone, back="overview")


@require_POST
@pages.requires(Perm.READ)
def refresh(request: PageRequest, slug: str) -> HttpResponse:
    """Renew its token now; the health that follows from it is looked at soon."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.OAUTH_REFRESH, integration)
    try:
        token = oauth.refresh_now(integration, actor=actor.of(request))
    except ProviderError as error:
        title, words, tone = _("{name} was not renewed"), error.words, "error"
    else:
        until = f"{timezone.localtime(token.expires_at):%H:%M}" if token.expires_at else ""
        words = _("It is good until {clock}.").format(clock=until) if until else _("It does not run out.")
        title, tone = _("{name} has a new token"), "success"
    wakeup.check_soon(integration)
    title = title.format(name=integration.name)
    return pages.answer(request, title=title, text=words, tone=tone, back="overview")


@require_POST
@pages.requires(Perm.MANAGE)
def check_all(request: PageRequest) -> HttpResponse:
    integrations = permissions.visible(request.user, Perm.MANAGE)
    number = health.request_sweep(integrations=integrations, actor=actor.of(request), now=timezone.now())
    wakeup.sweep()
    title = ngettext("Checking {n} integration…", "Checking {n} integrations…", number).format(n=number)
    text = _("The cards follow as the answers come.")
    return pages.answer(request, title=title, text=text, tone="info", back="overview")


@require_GET
@pages.requires(None)
def command_palette(request: PageRequest) -> HttpResponse:
    links = [link for __, group in shell.navigation(request) for link in group]
    return render(request, "palette.html", {"options": palette.options(request.user, links)})


@require_GET
@pages.requires(Perm.READ)
def api_docs(request: PageRequest) -> HttpResponse:
    return render(request, "api_docs.html")


@login_not_required
@require_safe
@cache_control(public=True, max_age=3600)
def brand_css(request: HttpRequest) -> HttpResponse:
    """The accent as a style sheet of its own: the Content-Security-Policy allows no inline styles."""
    return HttpResponse(brand.stylesheet(settings.BRAND_ACCENT), content_type="text/css; charset=utf-8")


# --- Errors (`handler403` … in config/urls.py) -----------------------------------------------------------------------


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Says which permission is missing and whom to ask. An action is told by a toast; a poll loads this page anew."""
    perm = getattr(exception, "perm", None)
    if getattr(request, "htmx", False) and request.method == "GET":
        return HttpResponse(status=403, headers={"HX-Refresh": "true"})
    if getattr(request, "htmx", False):
        text = _("It needs the permission {permission}.").format(permission=perm.public_name) if perm else ""
        return pages.toast(request, title=_("You may not do this"), text=text, status=403)
    return render(request, "403.html", {"perm": perm, "administrators": _administrators() if perm else []}, status=403)


def _administrators() -> list[User]:
    """Whom to ask: the first few who may give roles away."""
    roles = [role for role, perms in permissions.ROLES.items() if Perm.MANAGE in perms]
    return list(
        User.objects.filter(is_active=True, groups__name__in=roles).order_by("first_name", "username").distinct()[:3]
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if getattr(request, "htmx", False):
        text = _("Somebody may have removed it.")
        return pages.toast(request, title=_("It is no longer there"), text=text, status=404)
    return render(request, "404.html", status=404)


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form whose token no longer counts (CSRF_FAILURE_VIEW)."""
    if request.headers.get("HX-Request"):
        text = _("Nothing was changed. Reload the page and do it again.")
        return pages.toast(request, title=_("This page was out of date"), text=text, status=403)
    return render(request, "403_csrf.html", status=403)


def bad_request(request: HttpRequest) -> HttpResponse:
    return plain.page(request, "400.html", 400)


def server_error(request: HttpRequest) -> HttpResponse:
    return plain.page(request, "500.html", 500)
