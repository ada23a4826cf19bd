"""The pages of API health, of the targets of an integration, of one incident, and of planned work."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from healthchecks import board as boards
from healthchecks import declaring, failed, incidents, planned
from healthchecks import maintenance as works
from healthchecks import thresholds as forms
from healthchecks.asked import Asked
from healthchecks.models import Incident, Maintenance
from integrations import actor, pages, permissions, seek, services
from integrations.pages import PageRequest
from integrations.permissions import Perm


@require_GET
@pages.requires(Perm.READ)
def index(request: PageRequest) -> HttpResponse:
    before, floor = (seek.place(request.GET.get(name, "")) for name in ("before", "floor"))
    asked, now = Asked.of(request.GET), timezone.now()
    if before and pages.wants_fragment(request):
        shown = {"errors": failed.before(request.user, asked, place=before, now=now), "now": now}
        return render(request, "healthchecks/apis.html#older", shown)
    board = boards.read(request.user, asked, before=before, floor=floor, now=now)
    shown = {"board": board, "errors": board.errors, "before": before, "now": now}
    return pages.render_page(request, "healthchecks/apis.html", shown, fragment="live")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.requires(Perm.READ)
def thresholds(request: PageRequest, slug: str, judge: forms.Judge) -> HttpResponse:
    """What an integration is to keep, as a form. `judge` comes from `config`: the rules are those of the API."""
    integration = get_object_or_404(permissions.visible(request.user), slug=slug)
    pages.demand(request, Perm.MANAGE, integration)
    given, wrong = request.POST if request.method == "POST" else None, dict[str, Any]()
    if given is not None:
        wanted, wrong = judge(forms.asked(given))
        if not wrong:
            services.change(integration, actor=actor.of(request), thresholds=wanted)
            back = f"{reverse('apis:index')}?{Asked(integration=slug).query()}"
            title = _("The targets of {name} are saved").format(name=integration.name)
            return pages.answer(request, title=title, back=back)
    shown = {"integration": integration, "form": forms.form(integration, given, wrong)}
    return render(request, "healthchecks/thresholds.html", shown, status=422 if wrong else 200)


@require_http_methods(["GET", "POST"])
@pages.requires(Perm.READ)
def incident(request: PageRequest, pk: UUID) -> HttpResponse:
    found = permissions.readable(request.user, Incident.objects.select_related("integration"))
    row, now = get_object_or_404(found, pk=pk), timezone.now()
    if request.method == "POST":
        return _note(request, row)
    moments = incidents.timeline(row, user=request.user, now=now)
    shown = {
        "row": row, "moments": moments, "now": now, "longest": incidents.LONGEST_NOTE,
        "may_note": permissions.may(request.user, Perm.MANAGE, row.integration),
    }  # fmt: skip
    return pages.render_page(request, "healthchecks/incident.html", shown, fragment="body")


def _note(request: PageRequest, row: Incident) -> HttpResponse:
    pages.demand(request, Perm.MANAGE, row.integration)
    text = request.POST.get("text", "").replace("\x00", "").strip()[: incidents.LONGEST_NOTE]
    if not text:
        title, text = _("Nothing to write down"), _("The note is empty.")
        return pages.answer(request, title=title, text=text, tone="warning", back="overview")
    incidents.note(row, text=text, actor=actor.of(request))
    text = _("It stands in the story of the incident.")
    return pages.answer(request, title=_("Noted"), text=text, back="overview")


# --- Planned work ----------------------------------------------------------------------------------------------------


@require_GET
@pages.requires(Perm.READ)
def maintenance(request: PageRequest) -> HttpResponse:
    now, (before, floor) = timezone.now(), (seek.place(request.GET.get(name, "")) for name in ("before", "floor"))
    shown = {
        "page": planned.read(request.user, before=before, floor=floor, now=now), "before": before, "now": now,
        "zone": timezone.get_current_timezone_name(),
        "may_declare": permissions.may_somewhere(request.user, Perm.MANAGE),
    }  # fmt: skip
    return pages.render_page(request, "healthchecks/maintenance.html", shown, fragment="older" if before else "live")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.requires(Perm.MANAGE)
def declare(request: PageRequest) -> HttpResponse:
    """The form; to htmx what is typed so far would keep quiet. Whose work may be declared the form knows."""
    now, posted = timezone.now(), request.method == "POST"
    given = request.POST if posted else request.GET if pages.wants_fragment(request) else None
    form = declaring.DeclareForm(given, initial=request.GET.dict(), user=request.user, now=now)
    if posted and form.is_valid():
        row = declaring.declare(form, actor=actor.of(request))
        messages.success(request, _("The work goes on.") if row.starts_at <= now else _("The work is planned."))
        return redirect("apis:maintenance")
    zone = timezone.get_current_timezone_name()
    shown = {"form": form, "meaning": declaring.meaning(form), "now": now, "zone": zone}
    if posted:
        return render(request, "healthchecks/declare.html", shown, status=422)
    return pages.render_page(request, "healthchecks/declare.html", shown, fragment="meaning")


@require_POST
@pages.requires(Perm.READ)
def end(request: PageRequest, maintenance_id: UUID) -> HttpResponse:
    """Where the page could not ask first, for want of scripts, a page of its own does."""
    rows = permissions.readable(request.user, Maintenance.objects.select_related("integration"))
    row, now = get_object_or_404(rows, pk=maintenance_id), timezone.now()
    pages.demand(request, Perm.MANAGE, row.integration)
    if pages.unsure(request):
        return render(request, "healthchecks/maintenance_end.html", {"row": row, "begun": row.starts_at < now})
    works.end(row, actor=actor.of(request), now=now)
    if row.starts_at < now:
        title, text = _("The work is over"), _("Alerts come again: what is amiss is told within the minute.")
    else:
        title, text = _("The work is taken back"), _("Alerts come in that time as ever.")
    return pages.answer(request, title=title, text=text, back="apis:maintenance")
