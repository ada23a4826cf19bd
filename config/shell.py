"""What stands around every page: where its reader may go, and what scripts say."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, ngettext, to_locale
from django.utils.translation import gettext as _

from integrations import pages

_KEYS = {
    "integrations": "o", "webhooks": "w", "apis": "h", "alerts": "a", "oauth": "t", "cron": "c", "activity": "l",
    "people": "p",
}  # fmt: skip
_OF_WEBHOOKS = ("webhooks:", "replay-", "retry-queue", "test-webhook")


@dataclass(frozen=True, slots=True)
class Link:
    """`title`: the label in full, for who hears it without what stands beside it."""

    label: str
    icon: str
    href: str
    here: bool = False
    title: str = ""

    @property
    def key(self) -> str:
        """The letter that leads there after "g"; "" if none does."""
        return _KEYS.get(self.href.rpartition("/")[2], "")


@dataclass(frozen=True)
class Shell:
    """Only pages that show `nav` ask the database for it."""

    brand: str
    accent: bool
    sandbox: bool
    now: datetime
    language: str
    request: HttpRequest

    @cached_property
    def nav(self) -> tuple[tuple[str, tuple[Link, ...]], ...]:
        """Groups of links to what its reader may open; none for who may open nothing."""
        return navigation(self.request)

    @property
    def words(self) -> dict[str, Any]:
        """What scripts say (frontend/src)."""
        return words()


def shell(request: HttpRequest) -> dict[str, Shell]:
    """Context processor. Asks the database nothing: error pages and the Django admin pass here too."""
    return {
        "shell": Shell(
            brand=settings.BRAND_NAME,
            accent=bool(settings.BRAND_ACCENT),
            sandbox=bool(settings.SANDBOX_URL),
            now=timezone.now(),
            language=language(),
            request=request,
        )
    }


def language() -> str:
    """The language of the page as HTML names it: "en-ZA"."""
    return to_locale(get_language() or settings.LANGUAGE_CODE).replace("_", "-")


def navigation(request: HttpRequest) -> tuple[tuple[str, tuple[Link, ...]], ...]:
    here = request.resolver_match.view_name if request.resolver_match else ""
    monitor = (
        Link(_("Overview"), "layout-grid", reverse("overview"), here == "overview"),
        Link(_("API health"), "activity", reverse("apis:index"), here.startswith("apis:")),
        Link(_("Webhooks"), "webhook", reverse("webhooks:feed"), here.startswith(_OF_WEBHOOKS)),
        Link(_("Alerts"), "bell", reverse("alerts:index"), here.startswith("alerts:")),
    )
    manage = (
        Link(_("OAuth tokens"), "key-round", reverse("oauth:tokens"), here.startswith("oauth:")),
        Link(_("Scheduled jobs"), "calendar-clock", reverse("cron:index"), here.startswith("cron:")),
        Link(_("Activity"), "scroll-text", reverse("activity"), here == "activity"),
        Link(_("People"), "users-round", reverse("people:index"), here.startswith("people:")),
        Link(_("API docs"), "book-open", reverse("api-docs"), here == "api-docs"),
        Link("Django admin", "database", reverse("admin:index")),
    )
    groups = ((_("Monitor"), monitor), (_("Manage"), manage))
    open_to = tuple((name, tuple(one for one in links if _opens(one, request.user))) for name, links in groups)
    return tuple((name, links) for name, links in open_to if links)


def _opens(link: Link, user: Any) -> bool:
    if not user.is_authenticated:
        return False
    if link.href == reverse("admin:index"):
        return bool(user.is_superuser)
    return pages.opens(link.href, user)


_SAMPLES = (0, 1, 2, 3, 5, 6, 11, 100)
"""Numbers among which is one for each plural of any language: a script says what is said of one like its own."""


def words() -> dict[str, Any]:
    return {
        "copied": _("Copied"),
        "selected": _("Selected"),
        "sure": _("Are you sure?"),
        "continue": _("Continue"),
        "loading": _("Loading…"),
        "recent": _("Recent"),
        "found": {n: ngettext("{n} found", "{n} found", n) for n in _SAMPLES},
        "nothingFits": _("Nothing fits “{typed}”"),
        "noList": _("The list did not come. Close it and try again."),
        "newEvents": {n: ngettext("{n} new event", "{n} new events", n) for n in _SAMPLES},
    }
