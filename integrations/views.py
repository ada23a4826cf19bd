"""The page of the activity log."""

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from integrations import pages, seek, trail
from integrations.pages import PageRequest
from integrations.permissions import Perm


@require_GET
@pages.requires(Perm.READ)
def activity(request: PageRequest) -> HttpResponse:
    before, floor = (seek.place(request.GET.get(name, "")) for name in ("before", "floor"))
    found = trail.read(request.user, trail.Filters.of(request.GET), before=before, floor=floor)
    shown = {"trail": found, "before": before, "now": timezone.now(), "kept": settings.ACTIVITY_RETENTION_DAYS}
    return pages.render_page(request, "activity.html", shown, fragment="older" if before else "rows")
