"""The overview, put together from all apps: a handful of grouped queries, then pure functions of their rows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import CharField, Count, OuterRef, Q, Subquery
from django.db.models.functions import Cast
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from config import heartbeat
from config.heartbeat import SLOT, SLOTS, Heartbeat
from config.shell import Link
from healthchecks import figures, maintenance
from healthchecks import uptime as uptimes
from healthchecks.models import CheckResult
from healthchecks.uptime import Uptime
from integrations import credentials, permissions
from integrations.accounts.models import User
from integrations.models import Category, HealthStatus, Integration
from integrations.permissions import Perm
from oauth import services as oauth
from oauth import tokens
from webhooks.models import WebhookLog

DAY = timedelta(days=1)

HEALTHY, DEGRADED, DOWN, UNKNOWN = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.DOWN, HealthStatus.UNKNOWN
_LAYERS = {"api": "API", "grant": gettext_noop("OAuth grant"), "webhooks": gettext_noop("Webhooks")}


# --- What templates get ----------------------------------------------------------------------------------------------

CARDS, TROUBLES = 48, 20
"""So many cards at first, and rows that need attention: a page of 300 must come as fast as one of ten."""
_SIZES = {str(number) for number in range(CARDS, 50 * CARDS, CARDS)}


@dataclass(frozen=True, slots=True)
class Filters:
    q: str = ""
    category: str = ""
    status: str = ""
    oauth: bool = False
    webhooks: bool = False
    most: int = CARDS

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        """From the address bar. A value that isn't one of ours filters nothing."""
        category, status = query.get("category", ""), query.get("status", "")
        return cls(
            q=query.get("q", "").strip()[:100],
            category=category if category in Category.values else "",
            status=status if status in HealthStatus.values else "",
            oauth=bool(query.get("oauth")),
            webhooks=bool(query.get("webhooks")),
            most=int(most) if (most := query.get("most", "")) in _SIZES else CARDS,
        )

    @property
    def grown(self) -> bool:
        return self.most > CARDS

    @property
    def more(self) -> str:
        """The same in the address bar, with more cards."""
        told = {
            "q": self.q, "category": self.category, "status": self.status, "oauth": "1" if self.oauth else "",
            "webhooks": "1" if self.webhooks else "", "most": self.most + CARDS,
        }  # fmt: skip
        return urlencode({name: value for name, value in told.items() if value})

    def query(self) -> str:
        """The same as a query of the API, for the export."""
        told = {
            "search": self.q, "category": self.category, "healthStatus": self.status,
            "hasOAuth": "true" if self.oauth else "", "hasWebhooks": "true" if self.webhooks else "",
        }  # fmt: skip
        return urlencode({name: value for name, value in told.items() if value})

    def admit(self, row: Integration) -> bool:
        text = f"{row.name} {row.slug} {row.provider}".lower()
        return (
            self.q.lower() in text
            and self.category in ("", row.category)
            and self.status in ("", row.health_status)
            and (row.requires_oauth or not self.oauth)
            and (row.has_webhooks or not self.webhooks)
        )


@dataclass(frozen=True, slots=True)
class Deliveries:
    received: int
    failed: int
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`check` is where to post for a check at once, `refresh` for a new token, `connect` to connect it if that helps;
    none of them for who may not, or where it can't help."""

    slug: str
    name: str
    category: str
    icon: str
    status: str
    reason: str
    is_active: bool
    work_until: datetime | None
    sandboxed: bool
    checked_at: datetime | None
    heartbeat: Heartbeat
    uptime: Uptime
    latency_ms: float | None
    token: tokens.TokenState | None
    deliveries: Deliveries | None
    check: str
    connect: Link | None
    refresh: str


@dataclass(frozen=True, slots=True)
class Layer:
    name: str
    label: str
    status: str
    seen: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Why an integration isn't healthy, and the one thing that helps.

    `events` is set when looking at its webhooks helps more than checking again, `connect` when only a new
    authorisation does, `check` for those who may check.
    """

    slug: str
    name: str
    status: str
    reason: str
    since: datetime | None
    checked_at: datetime | None
    rule: str
    layers: tuple[Layer, ...]
    events: str
    check: str
    connect: Link | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`attention` and `cards` are the first of those `troubled` and `fitting`."""

    filters: Filters
    promise: str
    export: str
    counts: tuple[tuple[str, int], ...]
    total: int
    fitting: int
    troubled: int
    attention: tuple[Attention, ...]
    cards: tuple[Card, ...]
    categories: list[tuple[str, str]]
    statuses: list[tuple[str, str]]
    checkable: int


# --- The overview ----------------------------------------------------------------------------------------------------


def overview(user: User, filters: Filters, now: datetime) -> Overview:
    """Everything that `user` may see; the counts are of all of it, the cards of what `filters` admit."""
    rows = list(integrations(user))
    shown = [row for row in rows if filters.admit(row)]
    checkable = {row.pk for row in rows if row.may_manage}
    renewable = {row.pk for row in rows if row.may_refresh}
    counts = Counter(row.health_status for row in rows)
    bad = [row for row in rows if row.is_active and row.health_status in (DOWN, DEGRADED)]
    bad.sort(key=lambda row: row.health_status != DOWN)
    return Overview(
        filters=filters,
        promise=_promise(rows),
        export=filters.query(),
        counts=tuple((status, counts[status]) for status in HealthStatus.values),
        total=len(rows),
        fitting=len(shown),
        troubled=len(bad),
        attention=_attention(bad[:TROUBLES], checkable),
        cards=_cards(shown[: filters.most], checkable, renewable, now),
        categories=[(value, str(label)) for value, label in Category.choices],
        statuses=[(value, str(label)) for value, label in HealthStatus.choices],
        checkable=len(checkable),
    )


def _promise(rows: Iterable[Any]) -> str:
    """How often those are checked that are switched on."""
    minutes = {row.health_check_interval_minutes for row in rows if row.is_active}
    if not minutes:
        return _("Health of every third-party service.")
    least, most = min(minutes), max(minutes)
    if least == most:
        return _("Health of every third-party service, checked every {n} minutes.").format(n=least)
    words = _("Health of every third-party service, checked every {least} to {most} minutes.")
    return words.format(least=least, most=most)


def integrations(user: User) -> Iterable[Any]:
    """The rows with what belongs to each: its token, the layers of its last check, and what `user` may do with it."""
    last_check = CheckResult.objects.filter(integration=OuterRef("pk")).order_by("-created_at")
    return (
        permissions.visible(user, Perm.READ)
        .select_related("token__grant")
        .annotate(layers=Subquery(last_check.values("layers")[:1]), rule=Subquery(last_check.values("rule")[:1]))
        .annotate(may_manage=permissions.held(user, Perm.MANAGE))
        .annotate(may_refresh=permissions.held(user, Perm.OAUTH_REFRESH))
        .annotate(work_until=maintenance.until(timezone.now()))
        .order_by("name", "slug")
    )


def _cards(rows: list[Any], checkable: set[UUID], renewable: set[UUID], now: datetime) -> tuple[Card, ...]:
    pks = [row.pk for row in rows]
    checks, deliveries = checks_of(pks, now), deliveries_of(pks, now)
    uptime, metrics = uptimes.day(rows, now), figures.metrics(rows, since=now - DAY)
    href = Hrefs()
    return tuple(
        Card(
            slug=row.slug,
            name=row.name,
            category=row.get_category_display(),
            icon=row.icon,
            status=row.health_status,
            reason=row.health_reason,
            is_active=row.is_active,
            work_until=row.work_until,
            sandboxed=bool(row.spec and credentials.sandboxed(row.spec)),
            checked_at=row.last_health_check_at,
            heartbeat=heartbeat.draw(checks.get(row.pk, []), row.health_check_interval_minutes, now),
            uptime=uptime[row.pk],
            latency_ms=metrics.get(row.pk, figures.NO_METRICS).average_ms,
            token=tokens.state(getattr(row, "token", None), now) if row.requires_oauth else None,
            deliveries=Deliveries(*deliveries.get(row.pk, (0, 0)), href.events(row)) if row.has_webhooks else None,
            check=href.check(row) if row.pk in checkable and row.is_active else "",
            connect=href.connecting(row) if row.pk in checkable else None,
            refresh=href.refresh(row) if row.pk in renewable and can_refresh(row) else "",
        )
        for row in rows
    )


def checks_of(pks: list[UUID], now: datetime) -> Mapping[UUID, list[tuple[datetime, str]]]:
    # An hour more than is drawn: a verdict from before the first bar may still hold in it.
    since = now - SLOTS * SLOT - timedelta(hours=1)
    found: dict[UUID, list[tuple[datetime, str]]] = defaultdict(list)
    rows = CheckResult.objects.filter(integration__in=pks, created_at__gte=since).order_by("created_at")
    # As text and to the minute: of 15,000 rows nearly all the time goes into making datetimes, and most are the same.
    for pk, at, status in rows.values_list("integration_id", Cast("created_at", CharField()), "status"):
        found[pk].append((_minute(at[:16]), status))
    return found


@lru_cache(maxsize=4096)
def _minute(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def deliveries_of(pks: list[UUID], now: datetime) -> dict[UUID, tuple[int, int]]:
    rows = (
        WebhookLog.objects.filter(webhook__integration__in=pks, created_at__gte=now - DAY, is_test=False)
        .values_list("webhook__integration_id")
        .annotate(received=Count("pk"), failed=Count("pk", filter=Q(status=WebhookLog.Status.FAILED)))
    )
    return {pk: (received, failed) for pk, received, failed in rows}


def _attention(rows: list[Any], checkable: set[UUID]) -> tuple[Attention, ...]:
    href = Hrefs()
    return tuple(attention_of(row, href, may_manage=row.pk in checkable) for row in rows)


def attention_of(row: Any, href: "Hrefs", *, may_manage: bool) -> Attention:
    """How one of `integrations` is, whatever its status, and the one thing that helps."""
    layers = read_layers(row.layers)
    return Attention(
        slug=row.slug,
        name=row.name,
        status=row.health_status,
        reason=row.health_reason,
        since=row.health_since,
        checked_at=row.last_health_check_at,
        rule=row.rule or "",
        layers=layers,
        events=href.decisive(row) if _webhooks_decided(layers, row.health_status) else "",
        check=href.check(row) if may_manage and row.is_active else "",
        connect=href.connecting(row) if may_manage else None,
    )


class Hrefs:
    """Addresses that belong to a row; each route is resolved once, not once for each of 300 rows."""

    def __init__(self) -> None:
        self._feed, self._check = reverse("webhooks:feed"), reverse("check", args=["_"])
        self._connect = reverse("oauth:connect", args=["_"])
        self._refresh = reverse("refresh", args=["_"])

    def events(self, row: Integration, **filters: str) -> str:
        return f"{self._feed}?{urlencode({'integration': row.slug, **filters})}"

    def decisive(self, row: Any) -> str:
        """Its failed events; where it is the silence that is amiss, all, with what the receiver refused above them."""
        return self.events(row) if row.rule == "silence" else self.events(row, status="failed")

    def check(self, row: Integration) -> str:
        return self._check.replace("/_/", f"/{row.slug}/")

    def connecting(self, row: Any) -> Link | None:
        """None where a new authorisation isn't needed."""
        token = getattr(row, "token", None)
        if not row.requires_oauth or not oauth.needs_connecting(token):
            return None
        label, title = (_("Reconnect"), _("Reconnect {name}")) if token else (_("Connect"), _("Connect {name}"))
        return Link(label, "plug", self._connect.replace("/_/", f"/{row.slug}/"), title=title.format(name=row.name))

    def refresh(self, row: Integration) -> str:
        return self._refresh.replace("/_/", f"/{row.slug}/")


def can_refresh(row: Any) -> bool:
    """Whether somebody's word may bring a new token; not where only connecting it again helps."""
    token = getattr(row, "token", None)
    return bool(row.requires_oauth and row.is_active and token and oauth.can_refresh(token))


# --- Pure ------------------------------------------------------------------------------------------------------------


def read_layers(stored: Any) -> tuple[Layer, ...]:
    """`CheckResult.layers` as it lies in the database; what isn't a layer is left out."""
    return tuple(
        Layer(
            name=(name := str(layer["layer"])),
            label=_(_LAYERS[name]) if name in _LAYERS else name.capitalize(),
            status=str(layer.get("status", UNKNOWN)),
            seen=str(layer.get("seen", "")),
            rule=str(layer.get("rule", "")),
        )
        for layer in stored or []
        if isinstance(layer, dict) and "layer" in layer
    )


def _webhooks_decided(layers: Iterable[Layer], verdict: str) -> bool:
    return verdict in (DEGRADED, DOWN) and {layer.name for layer in layers if layer.status == verdict} == {"webhooks"}
