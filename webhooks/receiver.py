"""Receivers as their pages tell them: all in a list, one with everything that is known of it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from webhooks import owners, reasons, refused, state
from webhooks.feed import Filters
from webhooks.models import Forward, Refusal, RefusalTally, Registration, RegistrationCheck, Webhook, WebhookLog
from webhooks.rhythm import span
from webhooks.services import backfill, channels, forward, quarantine, registrations, silence
from webhooks.services.silence import Expected

DAY = timedelta(hours=24)
SHOWN = 25
"""Refusals and forwards on a page; the API goes further back."""

TABS = {
    "": gettext_noop("Facts"), "refused": gettext_noop("Refused"), "forwards": gettext_noop("Forwards"),
    "latency": gettext_noop("Latency"), "registration": gettext_noop("Registration"),
}  # fmt: skip

_STANDING = {
    "unset": ("down", gettext_noop("No secret")),
    "held": ("unknown", gettext_noop("Paused")),
    "silent": ("degraded", gettext_noop("Silent")),
    "ready": ("healthy", gettext_noop("Receiving")),
}
"""How a receiver is in one word, and its tone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A receiver in the list. Figures are of the last 24 hours; `last` is as the watch for silence saw it. `standing`
    is its `label` in no language of its reader."""

    webhook: Webhook
    pk: UUID
    integration: str
    icon: str
    url: str
    tone: str
    standing: str
    label: str
    why: str
    last: datetime | None
    received: int
    failed: int
    refused: int
    events: str


def lines(user: User | AnonymousUser, *, now: datetime) -> tuple[Line, ...]:
    rows = silence.with_open(Webhook.objects.select_related("integration", "rhythm"))
    webhooks = list(permissions.readable(user, rows).order_by("integration__name"))
    pks = [webhook.pk for webhook in webhooks]
    counted, turned = _deliveries(pks, now), _refusals(pks, now)
    return tuple(_line(webhook, counted.get(webhook.pk, (0, 0)), turned[webhook.pk]) for webhook in webhooks)


def _line(webhook: Webhook, counted: tuple[int, int], turned: int) -> Line:
    standing, why = _standing(webhook)
    tone, label = _STANDING[standing]
    rhythm = getattr(webhook, "rhythm", None)
    return Line(
        webhook=webhook,
        pk=webhook.pk,
        integration=webhook.integration.name,
        icon=webhook.integration.icon,
        url=settings.PUBLIC_URL + webhook.webhook_url,
        tone=tone,
        standing=label,
        label=_(label),
        why=why,
        last=rhythm.last_received_at if rhythm else None,
        received=counted[0],
        failed=counted[1],
        refused=turned,
        events=Filters(integration=webhook.integration.slug).query(),
    )


def _standing(webhook: Webhook) -> tuple[str, str]:
    """What is to be said of it first, and why."""
    if name := state.unset(webhook):
        return "unset", _("{variable} is not set: nothing is accepted.").format(variable=name)
    match state.held_by(webhook):
        case "integration":
            return "held", _("The integration is switched off: events are stored and wait.")
        case "webhook":
            return "held", _("This receiver is switched off: events are stored and wait.")
    if silent := silence.of(webhook):
        words = _("Nothing came, though usually something does at least every {span}.")
        return "silent", words.format(span=span(silent.expected_minutes))
    return "ready", ""


def _deliveries(webhooks: Collection[UUID], now: datetime) -> dict[UUID, tuple[int, int]]:
    rows = WebhookLog.objects.filter(webhook__in=webhooks, created_at__gte=now - DAY, is_test=False).order_by()
    counts = rows.values_list("webhook").annotate(
        received=Count("pk"), failed=Count("pk", filter=Q(status=WebhookLog.Status.FAILED))
    )
    return {pk: (received, failed) for pk, received, failed in counts}


def _refusals(webhooks: Collection[UUID], now: datetime) -> Counter[UUID]:
    found = Counter[UUID]()
    rows = RefusalTally.objects.filter(webhook__in=webhooks, hour__gt=now - DAY)
    for pk, counted in rows.values_list("webhook_id", "reasons"):
        found[pk] += sum(counted.values())
    return found


# --- One -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    label: str
    number: int
    here: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why so many were refused in the last 24 hours."""

    named: str
    number: int
    meaning: refused.Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A forward. `again`: it can be sent once more; `under_way`: a worker is sending it."""

    row: Forward
    url: str
    tone: str
    under_way: bool
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the provider has registered. `error`: why the last look told nothing."""

    readable: bool
    fillable: bool
    checked_at: datetime | None
    error: str
    backfilled_to: datetime | None
    channel: str
    rows: tuple[Registration, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A receiver, and what the open tab needs; the others are empty. `manages`, `replays`: what its reader may do."""

    webhook: Webhook
    icon: str
    url: str
    forward_url: str
    tone: str
    label: str
    why: str
    state: state.State
    tab: str
    tabs: tuple[Tab, ...]
    events: str
    manages: bool
    replays: bool
    last: datetime | None
    expected: Expected
    refused: int
    reasons: tuple[Reason, ...]
    refusals: tuple[Refusal, ...]
    forwards: tuple[Passed, ...]
    latency: owners.Told | None
    registered: Registered | None


def visible(user: User) -> QuerySet[Webhook]:
    return permissions.readable(user, silence.with_open(Webhook.objects.select_related("integration", "rhythm")))


def page(webhook: Webhook, user: User, *, tab: str, now: datetime) -> Page:
    tab = tab if tab in TABS else ""
    found = state.read(webhook, now=now)
    standing, why = _standing(webhook)
    tone, label = _STANDING[standing]
    counts = found.counts
    numbers = {"refused": counts.refused_open, "forwards": counts.forwards_failed + counts.forwards_stopped}
    return Page(
        webhook=webhook,
        icon=webhook.integration.icon,
        url=settings.PUBLIC_URL + webhook.webhook_url,
        forward_url=bare(webhook.forward_url),
        tone=tone,
        label=_(label),
        why=why,
        state=found,
        tab=tab,
        tabs=tuple(Tab(key, _(words), numbers.get(key, 0), key == tab) for key, words in TABS.items()),
        events=Filters(integration=webhook.integration.slug).query(),
        manages=permissions.may(user, Perm.MANAGE, webhook.integration),
        replays=permissions.may(user, Perm.WEBHOOKS_REPLAY, webhook.integration),
        last=None if tab else silence.newest(webhook),
        expected=silence.expected(webhook),
        refused=sum(found.refused.values()),
        reasons=_reasons(found) if tab == "refused" else (),
        refusals=_kept(webhook, now) if tab == "refused" else (),
        forwards=_passed(webhook, now) if tab == "forwards" else (),
        latency=owners.tell(webhook, now=now) if tab == "latency" else None,
        registered=_registered(webhook) if tab == "registration" else None,
    )


def _reasons(found: state.State) -> tuple[Reason, ...]:
    counted = Counter(found.refused).most_common()
    return tuple(Reason(reasons.named(reason), number, refused.meaning(reason)) for reason, number in counted)


def _kept(webhook: Webhook, now: datetime) -> tuple[Refusal, ...]:
    rows = Refusal.objects.filter(webhook=webhook, created_at__gt=now - quarantine.LIFE).defer("body", "sealed")
    return tuple(rows.order_by("-created_at", "-id")[:SHOWN])


def _passed(webhook: Webhook, now: datetime) -> tuple[Passed, ...]:
    """The newest of those that did not get through, then the newest of the others."""
    rows = Forward.objects.filter(webhook=webhook).select_related("log").defer("log__payload", "log__body")
    newest = rows.order_by("-created_at", "-id")
    stuck = list(newest.exclude(status=Forward.Status.DELIVERED)[:SHOWN])
    done = list(newest.filter(status=Forward.Status.DELIVERED)[: SHOWN - len(stuck)])
    return tuple(_forward(row, now) for row in [*stuck, *done])


_FORWARD_TONES: dict[str, str] = {
    Forward.Status.DELIVERED: "healthy", Forward.Status.FAILED: "down", Forward.Status.STOPPED: "degraded"
}  # fmt: skip


def _forward(row: Forward, now: datetime) -> Passed:
    under_way = bool(
        row.started_at and row.due_at and row.due_at == row.started_at + forward.LEASE and row.due_at > now
    )
    open_ = row.status in (Forward.Status.PENDING, Forward.Status.FAILED)
    tone = _FORWARD_TONES.get(row.status, "unknown")
    return Passed(row=row, url=bare(row.url), tone=tone, under_way=under_way, again=open_ and not under_way)


def _registered(webhook: Webhook) -> Registered:
    check = RegistrationCheck.objects.filter(webhook=webhook).first()
    return Registered(
        readable=registrations.readable(webhook),
        fillable=backfill.fillable(webhook),
        checked_at=check.checked_at if check else None,
        error=check.error if check else "",
        backfilled_to=check.backfilled_to if check else None,
        channel=webhook.metadata.get("channel", channels.RENEW) if channels.concern(webhook) else "",
        rows=tuple(registrations.rows(webhook)),
    )


def bare(url: str) -> str:
    """Without the parts of an address that may hold a credential: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if url else ""
