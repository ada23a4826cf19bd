"""Zoho's retry queue: a page, and a card on the page of scheduled jobs."""

from urllib.parse import urlsplit

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from integrations import actor, pages
from integrations.pages import PageRequest
from integrations.permissions import Perm
from webhooks import queue as queues
from webhooks.services import retry


@require_http_methods(["GET", "HEAD", "POST"])
@pages.requires(Perm.READ)
def queue(request: PageRequest, run: retry.Work) -> HttpResponse:
    """POST tries now what waits, once somebody is sure. `run` processes one event; it comes from `config`."""
    if request.method == "POST":
        return _try(request, run)
    found = queues.read(request.user)
    if found is None:
        raise Http404
    here = urlsplit(request.htmx.current_url or "").path == request.path
    shown = {"queue": found, "now": timezone.now()}
    return pages.render_page(request, "webhooks/retry_queue.html", shown, fragment="live" if here else "card")


def _try(request: PageRequest, run: retry.Work) -> HttpResponse:
    mine = list(queues.theirs(request.user, Perm.CRON_TRIGGER).values_list("pk", flat=True))
    if not mine:
        pages.demand(request, Perm.CRON_TRIGGER)
    if pages.unsure(request):
        title, yes = _("Try now what waits?"), _("Try them now")
        text = _("At most a hundred, the longest waiting first, for some twenty seconds.")
        return pages.ask(request, title=title, text=text, yes=yes, place=_("Zoho retry queue"), back=request.path)
    done = retry.run(mine, work=run, actor=actor.of(request))
    if not done.processed:
        text = _why_not(request)
        return pages.answer(request, title=_("Nothing was tried"), text=text, tone="info", back="retry-queue")
    title = ngettext("{n} was tried once more", "{n} were tried once more", done.processed).format(n=done.processed)
    tone = "warning" if done.failed else "success"
    return pages.answer(request, title=title, text=_outcome(done), tone=tone, back="retry-queue")


def _why_not(request: PageRequest) -> str:
    found, told = queues.read(request.user), []
    others = found.of_others if found else ""
    if not others or (found and found.theirs):
        told.append(
            _("Nothing waits that could be tried: what a worker has in its hands, or what is switched off, is left.")
        )
    if others:
        told.append(_("You may not try now what waits of {names}.").format(names=others))
    return " ".join(told)


def _outcome(done: retry.Done) -> str:
    told = []
    if done.succeeded:
        told.append(ngettext("{n} succeeded.", "{n} succeeded.", done.succeeded).format(n=done.succeeded))
    if done.failed:
        told.append(ngettext("{n} failed again.", "{n} failed again.", done.failed).format(n=done.failed))
    return " ".join(told)
