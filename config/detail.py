"""All about one integration, put together from all apps: how it is and why, then a tab for each side of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from config import dashboard, heartbeat, schedule
from config.dashboard import Attention, Deliveries
from config.heartbeat import Heartbeat
from config.shell import Link
from healthchecks import board as health_board
from healthchecks import figures, incidents
from healthchecks import uptime as uptimes
from healthchecks.alerts import targets
from healthchecks.alerts.targets import Targets
from healthchecks.asked import Asked
from healthchecks.figures import Metrics
from healthchecks.incidents import Moment
from healthchecks.models import Incident, StatusChange
from healthchecks.uptime import Uptime
from integrations import credentials, permissions, trail
from integrations.accounts.models import User
from integrations.cron import board as cron_board
from integrations.cron.models import CronJob
from integrations.models import HealthStatus, Integration
from integrations.permissions import Perm
from oauth import tokens
from webhooks import feed

DAY = timedelta(days=1)
SPANS = ((gettext_noop("24 hours"), DAY), (gettext_noop("7 days"), 7 * DAY), (gettext_noop("90 days"), 90 * DAY))
"""Of which uptime is told."""
INCIDENTS, CHANGES, DEEDS = 5, 6, 5


# --- What templates get ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What stands on every tab. `check`, `refresh`, `connect`, `test` are what the reader may do and what can help;
    `may_switch` whether they may switch it on or off, `switched` who did so last if it is off."""

    row: Any
    icon: str
    sandboxed: bool
    attention: Attention
    switched: trail.Row | None
    may_switch: bool
    check: str
    refresh: str
    connect: Link | None
    test: str
    tab: str
    tabs: tuple[Link, ...]
    here: str


@dataclass(frozen=True, slots=True)
class TokenCard:
    """Its access token, and the last day of its life. `used`: how much of that is over, in percent."""

    token: Any
    state: tokens.TokenState
    used: int | None
    lane: tokens.Lane | None

    @property
    def tone(self) -> str:
        return self.state.tone or HealthStatus.HEALTHY


@dataclass(frozen=True, slots=True)
class Fact:
    """`href` where the value is an address to go to; `code` where it is to be copied as it stands."""

    name: str
    value: str
    href: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The tab "Overview"."""

    heartbeat: Heartbeat
    uptimes: tuple[tuple[str, Uptime], ...]
    targets: Targets
    calls: Metrics
    deliveries: Deliveries | None
    incidents: tuple[Incident, ...]
    changes: tuple[Moment, ...]
    token: TokenCard | None
    deeds: tuple[trail.Row, ...]
    facts: tuple[Fact, ...]
    unset: tuple[str, ...]


# --- Reading ---------------------------------------------------------------------------------------------------------


def head(user: User, slug: str, tab: str) -> Head:
    """Raises Http404 for one that isn't there, or that `user` may not see."""
    rows: Any = dashboard.integrations(user)
    jobs = CronJob.objects.filter(integration=OuterRef("pk"))
    row = get_object_or_404(rows.annotate(has_jobs=Exists(jobs)), slug=slug)
    href, page = dashboard.Hrefs(), reverse("detail", args=[slug])
    offered = {key: one for key, one in _tabs(row).items() if one}
    tab = tab if tab in offered else "overview"
    links = {key: Link(one[0], one[1], f"{page}?tab={key}", key == tab) for key, one in offered.items()}
    links["overview"] = Link(*offered["overview"], page, tab == "overview")
    return Head(
        row=row,
        icon=row.icon,
        sandboxed=bool(row.spec and credentials.sandboxed(row.spec)),
        attention=dashboard.attention_of(row, href, may_manage=row.may_manage),
        switched=None if row.is_active else trail.switched(row),
        may_switch=row.may_manage,
        check=href.check(row) if row.may_manage and row.is_active else "",
        refresh=href.refresh(row) if row.may_refresh and dashboard.can_refresh(row) else "",
        connect=href.connecting(row) if row.may_manage else None,
        test=_test_of(row) if row.has_webhooks and permissions.may(user, Perm.WEBHOOKS_REPLAY, row) else "",
        tab=tab,
        tabs=tuple(links.values()),
        here=links[tab].href,
    )


def _tabs(row: Any) -> dict[str, tuple[str, str] | None]:
    """Those that don't apply to it are None."""
    return {
        "overview": (_("Overview"), "layout-grid"),
        "oauth": ("OAuth", "key-round") if row.requires_oauth else None,
        "webhooks": (_("Webhooks"), "webhook") if row.has_webhooks else None,
        "apis": (_("API metrics"), "chart-line") if row.has_api_client else None,
        "cron": (_("Scheduled jobs"), "calendar-clock") if row.has_jobs else None,
        "activity": (_("Activity"), "scroll-text"),
    }


def body(head: Head, user: User, now: datetime) -> dict[str, Any]:
    """What the open tab shows, for its template."""
    return _BODIES[head.tab](head, user, now)


def _test_of(row: Integration) -> str:
    receiver = row.webhooks.values_list("pk", flat=True).first()
    return f"{reverse('test-webhook')}?receiver={receiver}" if receiver else ""


def _overview(head: Head, user: User, now: datetime) -> dict[str, Any]:
    row = head.row
    spans = uptimes.over(row, since=[now - length for __, length in SPANS], end=now)
    found = Incident.objects.filter(integration=row).order_by("-opened_at")
    changes = StatusChange.objects.filter(integration=row).order_by("-at", "-id")
    received = dashboard.deliveries_of([row.pk], now) if row.has_webhooks else {}
    events = dashboard.Hrefs().events(row)
    summary = Summary(
        heartbeat=heartbeat.draw(
            dashboard.checks_of([row.pk], now).get(row.pk, []), row.health_check_interval_minutes, now
        ),
        uptimes=tuple((_(label), one) for (label, __), one in zip(SPANS, spans, strict=True)),
        targets=targets.of(row),
        calls=figures.windows(row, since=[now - DAY])[0],
        deliveries=Deliveries(*received.get(row.pk, (0, 0)), events) if row.has_webhooks else None,
        incidents=tuple(found[:INCIDENTS]),
        changes=tuple(incidents.of_change(change) for change in changes[:CHANGES]),
        token=_token(row, now) if row.requires_oauth else None,
        deeds=trail.newest(row, DEEDS),
        facts=tuple(_facts(row)),
        unset=credentials.missing(row.spec) if row.spec else (),
    )
    return {"summary": summary}


def _token(row: Any, now: datetime) -> TokenCard:
    token = getattr(row, "token", None)
    lanes = tokens.lives([row], tokens.SPANS["24h"], now) if token else ()
    return TokenCard(token, tokens.state(token, now), tokens.used(token, now), lanes[0] if lanes else None)


def _facts(row: Integration) -> Iterable[Fact]:
    """What it is, and what admins have noted of it (`metadata`: its owner, how much hangs on it)."""
    spec = row.spec
    for name, value in row.metadata.items() if isinstance(row.metadata, dict) else ():
        told = str(value)
        yield Fact(str(name).replace("_", " "), told, href=told if told.startswith(("https://", "http://")) else "")
    if spec and spec.docs_url:
        yield Fact(_("Its documentation"), spec.docs_url.split("/")[2], href=spec.docs_url)
    if spec and spec.webhook:
        yield Fact(_("Receives webhooks at"), spec.webhook.path, code=True)
    if spec and (names := credentials.names(spec)):
        yield Fact(_("Credentials"), ", ".join(names), code=True)
    yield Fact(_("Checked every"), _("{n} min").format(n=row.health_check_interval_minutes))


def _oauth(head: Head, user: User, now: datetime) -> dict[str, Any]:
    (line,) = tokens.lines(user, now, only=head.row.slug)
    return {"line": line, "story": tokens.story(head.row)}


def _webhooks(head: Head, user: User, now: datetime) -> dict[str, Any]:
    found = feed.read(user, feed.Filters(integration=head.row.slug), before=None, floor=None, now=now)
    return {"feed": found}


def _activity(head: Head, user: User, now: datetime) -> dict[str, Any]:
    return {"trail": trail.read(user, trail.Filters(integration=head.row.slug))}


def _apis(head: Head, user: User, now: datetime) -> dict[str, Any]:
    """Its figures of a day; what is asked of them further leads to the page of all."""
    board = health_board.read(user, Asked(integration=head.row.slug), now=now)
    return {"board": board, "base": reverse("apis:index")}


def _cron(head: Head, user: User, now: datetime) -> dict[str, Any]:
    return {"board": cron_board.read(user, now=now, runnable=schedule.is_runnable, integration=head.row)}


_BODIES: dict[str, Callable[[Head, User, datetime], dict[str, Any]]] = {
    "overview": _overview,
    "oauth": _oauth,
    "webhooks": _webhooks,
    "apis": _apis,
    "cron": _cron,
    "activity": _activity,
}
