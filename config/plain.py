"""Pages that stand when nothing else does: no database, no session, no collected static files."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import loader

from config import shell as shells


def page(request: HttpRequest, template: str, status: int, **shown: str) -> HttpResponse:
    """Without context processors: whatever just failed must not fail again here."""
    shell = {
        "brand": settings.BRAND_NAME, "accent": bool(settings.BRAND_ACCENT), "sandbox": False,
        "language": shells.language(),
    }  # fmt: skip
    context = {"shell": shell, "request_id": getattr(request, "request_id", ""), **shown}
    return HttpResponse(loader.get_template(template).render(context), status=status)
