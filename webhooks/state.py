"""How a receiver is: its secrets, what it holds, what it passes on, what it refused. All of it in four looks."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery

from integrations import credentials
from webhooks.models import Forward, Refusal, RefusalTally, Reverification, SecretUse, Webhook, WebhookLog
from webhooks.services import backlog, figures, quarantine

RETIRED_SHOWN = 20
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Secret:
    """One that is configured. `position` counts from 1, the newest; `fingerprint` names it and tells nothing of it."""

    position: int
    fingerprint: str
    last_matched_at: datetime | None


@dataclass(frozen=True, slots=True)
class Retired:
    """One that proved deliveries genuine and is configured no more."""

    fingerprint: str
    last_matched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Each up to 10,000. `waiting` events and forwards will be tried; `failed` forwards gave up; `delivered` and
    `refused_open` are those of the last 24 hours and seven days; `refused_kept` also counts what was released."""

    waiting: int
    forwards_waiting: int
    forwards_stopped: int
    forwards_failed: int
    forwards_delivered: int
    refused_open: int
    refused_kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`unset` names the variable without which nothing is accepted, "" when all is there; `held_by` says what is
    switched off ("webhook", "integration" or ""). `refused`: how many in the last 24 hours, by reason, also those
    that were not kept. `reverifying`: judging again that goes on in the background."""

    secrets: tuple[Secret, ...]
    retired: tuple[Retired, ...]
    unset: str
    held_by: str
    counts: Counts
    refused: dict[str, int]
    reverifying: Reverification | None


def read(webhook: Webhook, *, now: datetime) -> State:
    secrets, retired = _secrets(webhook)
    hours = RefusalTally.objects.filter(webhook=webhook, hour__gt=now - DAY).values_list("reasons", flat=True)
    return State(
        secrets=secrets,
        retired=retired,
        unset=unset(webhook),
        held_by=held_by(webhook),
        counts=_counts(webhook, now),
        refused=dict(sum((Counter(reasons) for reasons in hours), Counter[str]())),
        reverifying=Reverification.objects.filter(webhook=webhook, due_at__isnull=False).first(),
    )


def unset(webhook: Webhook) -> str:
    """The variable without which this receiver accepts nothing, "" when it is set or none is needed."""
    needed = webhook.verification_method != Webhook.Method.MD5_HASH  # without a hash, the provider is asked instead
    return webhook.secret_env_var if needed and not credentials.secrets(webhook.secret_env_var) else ""


def _secrets(webhook: Webhook) -> tuple[tuple[Secret, ...], tuple[Retired, ...]]:
    """What stands in the variable of a receiver that is proved by a public key is no secret."""
    if webhook.verification_method == Webhook.Method.JWT:
        return (), ()
    uses = SecretUse.objects.filter(webhook=webhook).order_by("-last_matched_at")
    seen = dict(uses.values_list("fingerprint", "last_matched_at"))
    names = [figures.fingerprint(secret) for secret in credentials.secrets(webhook.secret_env_var)]
    secrets = tuple(Secret(place, name, seen.get(name)) for place, name in enumerate(names, 1))
    retired = [Retired(name, at) for name, at in seen.items() if name not in names]
    return secrets, tuple(retired[:RETIRED_SHOWN])


def held_by(webhook: Webhook) -> str:
    """What is switched off, so that its events are held: "webhook", "integration" or ""."""
    if not webhook.integration.is_active:
        return "integration"
    return "" if webhook.is_active else "webhook"


class _Capped(Subquery):
    """How many rows there are, counted no further than to `backlog.MOST`."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any]) -> None:
        super().__init__(rows.order_by().values("pk")[: backlog.MOST])


def _counts(webhook: Webhook, now: datetime) -> Counts:
    forwards = Forward.objects.filter(webhook=webhook.pk)
    refused = Refusal.objects.filter(webhook=webhook.pk, created_at__gt=now - quarantine.LIFE)
    status = Forward.Status
    found = Webhook.objects.filter(pk=webhook.pk).values(
        waiting=_Capped(WebhookLog.objects.filter(webhook=webhook.pk, due_at__isnull=False)),
        forwards_waiting=_Capped(forwards.filter(due_at__isnull=False)),
        forwards_stopped=_Capped(forwards.filter(status=status.STOPPED)),
        forwards_failed=_Capped(forwards.filter(status=status.FAILED, due_at=None)),
        forwards_delivered=_Capped(forwards.filter(status=status.DELIVERED, created_at__gt=now - DAY)),
        refused_open=_Capped(refused.filter(released_at=None)),
        refused_kept=_Capped(refused),
    )
    return Counts(**found.get())
