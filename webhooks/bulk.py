"""Replaying many, as people and programs ask for it: what they may replay, and the batch they asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.utils.dateparse import parse_datetime
from django.utils.translation import ngettext

from integrations import permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from webhooks.models import ReplayBatch, Webhook, WebhookLog
from webhooks.services import replay
from webhooks.services.selection import Selection

FAILED_SHOWN = 20


def scope(user: User | AnonymousUser) -> tuple[UUID, ...] | None:
    """The receivers whose events `user` may replay; None: all there are."""
    if permissions.may(user, Perm.WEBHOOKS_REPLAY):
        return None
    granted = permissions.visible(user, Perm.WEBHOOKS_REPLAY)
    return tuple(Webhook.objects.filter(integration__in=granted).values_list("pk", flat=True))


def batch(user: User | AnonymousUser, pk: UUID) -> ReplayBatch | None:
    """That one, if all that it may touch is `user`'s to replay."""
    found, mine = ReplayBatch.objects.filter(pk=pk).first(), scope(user)
    if found is None or mine is None:
        return found
    asked = Selection.of_json(found.selection).scope
    return found if asked is not None and set(asked) <= set(mine) else None


@dataclass(frozen=True, slots=True)
class Counted:
    """What a page counted before it asked: events up to `at`, so many. It is all that a yes is good for."""

    at: datetime
    number: int

    @classmethod
    def of(cls, told: Mapping[str, str]) -> Self | None:
        """As the page's own form brings it back; None for anything else."""
        try:
            at = parse_datetime(told.get("counted_at", ""))
            return cls(at.astimezone(UTC), int(told.get("counted", ""))) if at and at.tzinfo else None
        except (ValueError, OverflowError):
            return None

    def pin(self, chosen: Selection) -> Selection:
        return replace(chosen, before=self.at)


def differs(made: ReplayBatch, counted: Counted, chosen: Selection, *, now: datetime) -> str:
    """What of `chosen` is not in the batch though it was counted, and what came since; "" when it is all the same."""
    told, gone = [], counted.number - made.total
    if gone > 0:
        words = ngettext(
            "{n} that was counted is gone, or has changed since.",
            "{n} that were counted are gone, or have changed since.",
            gone,
        )
        told.append(words.format(n=f"{gone:,}"))
    came = chosen.rows(before=now).filter(created_at__gte=counted.at)[: replay.MOST].count()
    if came:
        words = ngettext("{n} that came since is not among them.", "{n} that came since are not among them.", came)
        told.append(words.format(n=f"{came:,}"))
    return " ".join(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is. `done` in percent; `failed` rows are the newest of those that failed."""

    pk: UUID
    status: str
    label: str
    tone: str
    username: str
    created_at: datetime
    finished_at: datetime | None
    total: int
    skipped: int
    processed: int
    failed: int
    pending: int
    done: int
    failures: tuple[WebhookLog, ...]
    stopped_why: str

    @property
    def running(self) -> bool:
        return self.status == ReplayBatch.Status.RUNNING


def progress(batch: ReplayBatch) -> Progress:
    told = replay.progress(batch)
    status = ReplayBatch.Status(told["status"])
    tried = told["processed"] + told["failed"] + told["skipped"]
    failed = WebhookLog.objects.filter(batch_id=batch.pk, status=WebhookLog.Status.FAILED)
    rows = failed.select_related("webhook__integration").defer("payload", "body", "headers", "traceback")
    good = {ReplayBatch.Status.DONE: "healthy", ReplayBatch.Status.STOPPED: "degraded"}
    tone = "down" if told["failed"] else good.get(status, "unknown")
    return Progress(
        pk=batch.pk,
        status=status,
        label=str(status.label),
        tone=tone,
        username=batch.username,
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        total=told["total"],
        skipped=told["skipped"],
        processed=told["processed"],
        failed=told["failed"],
        pending=max(0, told["total"] - tried) if status == ReplayBatch.Status.RUNNING else told["pending"],
        done=min(100, 100 * tried // max(1, told["total"])),
        stopped_why=told["stoppedBecause"],
        failures=tuple(rows.order_by("-created_at", "-id")[:FAILED_SHOWN]) if told["failed"] else (),
    )
