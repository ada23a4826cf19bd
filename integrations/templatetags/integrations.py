"""What templates need and Django lacks: permissions by the customer's names, figures and times as people read them."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import lucide
from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.humanize.templatetags.humanize import intcomma
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext_noop
from django.utils.translation import gettext as _

from integrations import permissions
from integrations.models import HealthStatus, Integration

if TYPE_CHECKING:
    from integrations.accounts.models import User

register = template.Library()

NONE = "–"
_BREAK = "\u00a0"  # a figure stays with its unit
_UNITS = (
    (1, gettext_noop("{n} s"), 90), (60, gettext_noop("{n} min"), 90), (3600, gettext_noop("{n} h"), 48)
)  # fmt: skip
_DAYS = (86_400, gettext_noop("{n} d"))


@register.filter(name="may")
def may_globally(user: "User | AnonymousUser", perm: str) -> bool:
    """`{% if user|may:"oauth:refresh" %}`: whether `user` holds it everywhere."""
    return permissions.may(user, permissions.Perm(perm))


@register.simple_tag
def may(user: "User | AnonymousUser", perm: str, integration: Integration | None = None) -> bool:
    """`{% may user "manage" integration as allowed %}`: whether `user` holds it on that one."""
    return permissions.may(user, permissions.Perm(perm), integration)


@register.simple_tag
def icon(name: str, size: int = 16, **attributes: str) -> SafeString:
    """An icon as inline SVG, by its name at lucide.dev; decoration only, so hidden from screen readers."""
    return _icon(name + "", size, tuple(sorted((key, value + "") for key, value in attributes.items())))


@lru_cache(maxsize=512)  # drawing one takes longer than the rest of its card
def _icon(name: str, size: int, attributes: tuple[tuple[str, str], ...]) -> SafeString:
    try:
        svg = lucide._render_icon(name, size, **{"aria_hidden": "true", **dict(attributes)})  # noqa: SLF001 - what its own tag calls
    except lucide.IconDoesNotExist:  # a provider's icon that this version doesn't know: a page matters more
        return _icon("plug", size, attributes)
    return mark_safe(svg)  # noqa: S308 - the library's own drawing; attributes are escaped by its XML writer


@register.simple_tag
def asset(path: str) -> str:
    """Like Django's `static`. Where the collected files are missing, a page without its looks is better than none."""
    try:
        return static(path)
    except (ValueError, OSError):
        return f"{settings.STATIC_URL}{path}"


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds: "< 1 ms", "312 ms", "1,240 ms", "12.4 s"."""
    if value is None:
        return NONE
    if value < 1:
        return f"<{_BREAK}1{_BREAK}ms"
    return f"{value / 1000:.1f}{_BREAK}s" if value >= 10_000 else f"{intcomma(round(value))}{_BREAK}ms"


@register.filter
def percent(value: float | None) -> str:
    """Cut, not rounded: 99.999 is not "100%"."""
    if value is None:
        return NONE
    return f"{int(value * 100) / 100:.2f}".rstrip("0").rstrip(".") + "%"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """A span, given as timedelta or seconds: "45 s", "12 min", "3 h", "2 d"."""
    if value is None:
        return NONE
    seconds = abs(int(value.total_seconds() if isinstance(value, timedelta) else value))
    size, unit = next(((size, unit) for size, unit, below in _UNITS if seconds < size * below), _DAYS)
    return _(unit).format(n=seconds // size).replace(" ", _BREAK)


@register.filter
def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long before (or after) `now`: "just now", "7 min ago", "in 2 h"; a date when two weeks lie between."""
    if moment is None:
        return _("never")
    span = (now or timezone.now()) - moment
    if abs(span) > timedelta(days=14):
        return date_format(timezone.localtime(moment), "j M Y")
    if abs(span) < timedelta(seconds=10):
        return _("just now") if span >= timedelta(0) else _("now")
    return (_("{span} ago") if span > timedelta(0) else _("in {span}")).format(span=duration(span))


@register.filter
def lasting(since: datetime, now: datetime | None = None) -> str:
    """How long something has been going on: "for 3 h"."""
    span = (now or timezone.now()) - since
    return _("just now") if span < timedelta(minutes=1) else _("for {span}").format(span=duration(span))


@register.filter
def exact(moment: datetime | None) -> str:
    """The very second, in the reader's time zone: "4 Nov 2026, 14:02:11 SAST"."""
    return _exact(moment, timezone.get_current_timezone_name(), get_language()) if moment else ""


@lru_cache(maxsize=4096)  # a page shows the same moments again at every poll
def _exact(moment: datetime, zone: str, language: str | None) -> str:  # `language` is there for the cache
    return date_format(timezone.localtime(moment, ZoneInfo(zone)), "j M Y, H:i:s T")


@register.simple_tag
def when(moment: datetime | None, now: datetime | None = None) -> SafeString | str:
    """`moment` as people say it, with the very second on hover and for machines."""
    if moment is None:
        return _("never")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        exact(moment),
        ago(moment, now),
    )


@register.filter
def health(status: str) -> str:
    """How an integration is, in a word: "down" → "Down"."""
    return str(HealthStatus(status).label) if status in HealthStatus.values else str(status).capitalize()


@register.filter
def words(name: str) -> str:
    """A rule's or a layer's name as people read it: "webhook_failures" → "webhook failures"."""
    return str(name).replace("_", " ")
