"""The page of alerts, the bell in every page's top bar, and the test."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from healthchecks.alerts import bell as bells
from healthchecks.alerts import routes, telling, trials
from healthchecks.models import Delivery
from integrations import actor, pages, permissions, seek
from integrations.pages import PageRequest
from integrations.permissions import Perm


@require_GET
@pages.requires(Perm.READ)
def index(request: PageRequest) -> HttpResponse:
    now, before = timezone.now(), seek.place(request.GET.get("before", ""))
    shown = {"page": bells.page(request.user, before=before, now=now), "before": before, "now": now}
    return pages.render_page(request, "healthchecks/alerts.html", shown, fragment="older" if before else "live")


@require_GET
@pages.requires(None)
def bell(request: PageRequest) -> HttpResponse:
    """Also on pages of those who may read nothing, error pages among them: for them it stays empty."""
    if not permissions.may_somewhere(request.user, Perm.READ):
        return HttpResponse(status=204)
    return _bell(request)


@require_POST
@pages.requires(Perm.READ)
def seen(request: PageRequest) -> HttpResponse:
    """What is in the bell was read. Nobody else sees that, so it leaves no trace."""
    bells.mark_seen(request.user, now=timezone.now())
    return _bell(request)


def _bell(request: PageRequest) -> HttpResponse:
    now = timezone.now()
    return render(request, "healthchecks/bell.html", {"bell": bells.bell(request.user, now=now), "now": now})


@require_POST
@pages.requires(Perm.MANAGE)
def test(request: PageRequest) -> HttpResponse:
    """A test alert by every route. Where the page could not ask first, for want of scripts, a page of its own does."""
    pages.demand(request, Perm.MANAGE)
    if pages.unsure(request):
        return render(request, "healthchecks/alert_test.html", {"routes": routes.configured()})
    try:
        alert = telling.trial(actor=actor.of(request), now=timezone.now())
    except telling.NoRoute as error:
        return pages.answer(request, title=_("Not sent"), text=str(error), tone="warning", back="alerts:index")
    done = trials.for_a_moment(alert)
    sent = sum(one.status == Delivery.Status.SENT for one in done)
    title = ngettext("Sent by {sent} of {n} route", "Sent by {sent} of {n} routes", len(done))
    tone = "success" if sent == len(done) else "error"
    title = title.format(sent=sent, n=len(done))
    return pages.answer(request, title=title, text=trials.in_words(done), tone=tone, back="alerts:index")
