"""What the command palette offers: each page, integration and action that its reader may go to or do, and no other.

Nothing that needs a second look is in it: what is dangerous is done where one sees what it is done to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from config.dashboard import Link, can_refresh
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


_HERE = (
    Option(key="theme", group="Here", label="Switch between light and dark", icon="sun-moon", press="theme"),
    Option(key="live", group="Here", label="Pause or resume live updates", icon="circle-pause", press="live"),
    Option(key="keys", group="Here", label="Keyboard shortcuts", icon="keyboard", words="help ?", press="keys"),
)


def options(user: User, pages: list[Link]) -> list[Option]:
    """In the order in which they stand while nothing is typed. `pages` are those of the navigation."""
    rows = list(permissions.visible(user, Perm.READ).select_related("token__grant").order_by("name", "slug"))
    manageable, renewable = (_held(user, perm) for perm in (Perm.MANAGE, Perm.OAUTH_REFRESH))
    return [
        *(_integration(row) for row in rows),
        *(_page(link) for link in _open_to(user, pages, reads=bool(rows) or permissions.may(user, Perm.READ))),
        *_everywhere(user, can_check=bool(manageable)),
        *_HERE,
        *(_check(row) for row in rows if row.is_active and row.pk in manageable),
        *(_refresh(row) for row in rows if row.pk in renewable and can_refresh(row)),
    ]


def _held(user: User, perm: Perm) -> set[UUID]:
    return set(permissions.visible(user, perm).values_list("pk", flat=True))


def _open_to(user: User, pages: list[Link], *, reads: bool) -> Iterator[Link]:
    if reads:
        yield from pages
    if user.is_superuser:
        yield Link("Django admin", "database", reverse("admin:index"))
    yield Link("Account", "user-round", reverse("account"))


def _everywhere(user: User, *, can_check: bool) -> Iterator[Option]:
    if can_check:
        yield Option(
            key="check-all", group="Actions", label="Check all integrations now", icon="heart-pulse",
            words="health sweep", post=reverse("check-all"),
        )  # fmt: skip
    if permissions.may(user, Perm.MANAGE):
        yield Option(
            key="test-alert", group="Actions", label="Send a test alert", icon="send", words="notification route",
            post=reverse("alerts:test"), ask="Everybody whom alerts reach gets a message, by the fallbacks too.",
        )  # fmt: skip


def _page(link: Link) -> Option:
    return Option(key=f"page-{link.href}", group="Pages", label=link.label, icon=link.icon, words="go", href=link.href)


def _integration(row: Integration) -> Option:
    return Option(
        key=f"go-{row.slug}", group="Integrations", label=row.name, icon=row.spec.icon if row.spec else "plug",
        words=f"{row.slug} {row.provider} {row.get_category_display()}", status=row.health_status,
        href=f"{reverse('overview')}/{row.slug}",
    )  # fmt: skip


def _check(row: Integration) -> Option:
    return Option(
        key=f"check-{row.slug}", group="Actions", label=f"Check {row.name} now", icon="heart-pulse",
        words=f"{row.slug} health", post=reverse("check", args=[row.slug]),
    )  # fmt: skip


def _refresh(row: Integration) -> Option:
    return Option(
        key=f"refresh-{row.slug}", group="Actions", label=f"Refresh the token of {row.name}", icon="refresh-cw",
        words=f"{row.slug} oauth renew", post=reverse("refresh", args=[row.slug]),
    )  # fmt: skip
