"""What the command palette offers: each page, integration and action that its reader may go to or do, and no other.

Nothing that needs a second look is in it: what is dangerous is done where one sees what it is done to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from config.dashboard import can_refresh
from config.shell import Link
from integrations import permissions
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.permissions import Perm


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """It leads to `href`, or posts to `post` (after `ask`, if that is set), or presses a button of the page's own
    (`press`, a name that frontend/src/glue.js knows). `words` are what else it is found by."""

    key: str
    group: str
    label: str
    icon: str
    words: str = ""
    status: str = ""
    href: str = ""
    post: str = ""
    press: str = ""
    ask: str = ""


def options(user: User, pages: list[Link]) -> list[Option]:
    """In the order in which they stand while nothing is typed. `pages` are those of the navigation: open to `user`."""
    rows = list(permissions.visible(user, Perm.READ).select_related("token__grant").order_by("name", "slug"))
    manageable, renewable = (_held(user, perm) for perm in (Perm.MANAGE, Perm.OAUTH_REFRESH))
    return [
        *(_integration(row) for row in rows),
        *(_page(link) for link in (*pages, Link(_("Account"), "user-round", reverse("account")))),
        *_everywhere(user, can_check=bool(manageable)),
        *_here(),
        *(_check(row) for row in rows if row.is_active and row.pk in manageable),
        *(_refresh(row) for row in rows if row.pk in renewable and can_refresh(row)),
    ]


def _held(user: User, perm: Perm) -> set[UUID]:
    return set(permissions.visible(user, perm).values_list("pk", flat=True))


def _here() -> Iterator[Option]:
    group = _("Here")
    label = _("Switch between light and dark")
    yield Option(key="theme", group=group, label=label, icon="sun-moon", press="theme")
    label = _("Pause or resume live updates")
    yield Option(key="live", group=group, label=label, icon="circle-pause", press="live")
    label, words = _("Keyboard shortcuts"), _("help ?")
    yield Option(key="keys", group=group, label=label, icon="keyboard", words=words, press="keys")


def _everywhere(user: User, *, can_check: bool) -> Iterator[Option]:
    if can_check:
        yield Option(
            key="check-all", group=_("Actions"), label=_("Check all integrations now"), icon="heart-pulse",
            words=_("health sweep"), post=reverse("check-all"),
        )  # fmt: skip
    if permissions.may(user, Perm.MANAGE):
        yield Option(
            key="test-alert", group=_("Actions"), label=_("Send a test alert"), icon="send",
            words=_("notification route"), post=reverse("alerts:test"),
            ask=_("Everybody whom alerts reach gets a message, by the fallbacks too."),
        )  # fmt: skip


def _page(link: Link) -> Option:
    return Option(
        key=f"page-{link.href}", group=_("Pages"), label=link.label, icon=link.icon, words=_("go"), href=link.href
    )


def _integration(row: Integration) -> Option:
    return Option(
        key=f"go-{row.slug}", group=_("Integrations"), label=row.name, icon=row.icon,
        words=f"{row.slug} {row.provider} {row.get_category_display()}", status=row.health_status,
        href=f"{reverse('overview')}/{row.slug}",
    )  # fmt: skip


def _check(row: Integration) -> Option:
    return Option(
        key=f"check-{row.slug}", group=_("Actions"), label=_("Check {name} now").format(name=row.name),
        icon="heart-pulse", words=" ".join([row.slug, _("health")]), post=reverse("check", args=[row.slug]),
    )  # fmt: skip


def _refresh(row: Integration) -> Option:
    return Option(
        key=f"refresh-{row.slug}", group=_("Actions"),
        label=_("Refresh the token of {name}").format(name=row.name), icon="refresh-cw",
        words=" ".join([row.slug, "oauth", _("renew")]), post=reverse("refresh", args=[row.slug]),
    )  # fmt: skip
