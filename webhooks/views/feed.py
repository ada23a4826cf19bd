"""The live feed of deliveries, its table for spreadsheets, and one delivery with everything that is known of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from integrations import actor, pages, permissions, seek
from integrations.accounts import fresh
from integrations.accounts.models import User
from integrations.api import export
from integrations.pages import PageRequest
from integrations.permissions import Perm
from webhooks import event as events
from webhooks import feed as feeds
from webhooks import sheet
from webhooks.feed import Filters
from webhooks.services import backlog, figures, personal

LATE = timedelta(minutes=1)
"""An event that is due is processed within seconds; after a minute no worker is at it."""


@require_GET
@pages.requires(Perm.READ)
def feed(request: PageRequest) -> HttpResponse:
    before, floor, after = (seek.place(request.GET.get(name, "")) for name in ("before", "floor", "after"))
    now, filters = timezone.now(), Filters.of(request.GET)
    if after and pages.wants_fragment(request):
        number = feeds.newer(request.user, filters, than=after, now=now)
        return render(request, "webhooks/feed.html#waiting", {"number": number, "most": feeds.MOST_NEW})
    found = feeds.read(request.user, filters, before=before, floor=floor, now=now)
    context = {"feed": found, "before": before, "now": now, "lane": None if before else _lane(request.user, now)}
    return pages.render_page(request, "webhooks/feed.html", context, fragment="older" if before else "rows")


@require_GET
@pages.requires(Perm.READ)
def csv(request: PageRequest) -> StreamingHttpResponse:
    """All that fit the filters, not only what the page shows."""
    filters = Filters.of(request.GET)
    rows = sheet.pages(filters.wanted(request.user), filters.q)
    return export.stream(request, name="webhook-logs", columns=sheet.COLUMNS, pages=rows)


@require_GET
@pages.requires(Perm.READ)
def log(request: PageRequest, pk: UUID) -> HttpResponse:
    found = get_object_or_404(feeds.visible(request.user).select_related("forward"), pk=pk)
    context = {"body": events.body(found, request.user), "now": timezone.now()}
    return pages.render_page(request, "webhooks/log.html", context, fragment="body")


@require_GET
@pages.requires(Perm.READ)
def raw(request: PageRequest, pk: UUID) -> HttpResponse:
    return _file(events.raw(get_object_or_404(feeds.visible(request.user), pk=pk)))


@require_POST
@pages.requires(Perm.MANAGE)
@fresh.required(back="webhooks:feed")
def reveal(request: PageRequest, pk: UUID) -> HttpResponse:
    """What is personal in one event, told in the activity log before it leaves; `file`: to be taken away."""
    found = get_object_or_404(feeds.visible(request.user).select_related("forward"), pk=pk)
    pages.demand(request, Perm.MANAGE, found.webhook.integration)
    clean, file = None, "file" in request.POST
    if events.hides(found):
        personal.tell(found, actor=actor.of(request), how="download" if file else "page")
        clean = events.revealed
    if clean and file:
        return _file(events.raw_revealed(found))
    context = {"body": events.body(found, request.user, clean), "now": timezone.now()}
    return pages.render_page(request, "webhooks/log.html", context, fragment="body")


def _file(taken: tuple[bytes, str, str]) -> HttpResponse:
    content, kind, name = taken
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@dataclass(frozen=True, slots=True)
class _Lane:
    done: figures.Counts
    due: backlog.Due
    late: bool
    most: int = backlog.MOST


def _lane(user: User, now: datetime) -> _Lane | None:
    """What the lanes did in the last hour and what waits: for those who may read all of it, for it is told in one."""
    if not permissions.may(user, Perm.READ):
        return None
    due = backlog.due(now=now)
    late = due.since is not None and now - due.since > LATE
    return _Lane(figures.recent(timedelta(hours=1), now=now), due, late)
