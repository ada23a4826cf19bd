"""Checking integrations: look, judge, write down what it means. Only this module writes an integration's health."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from healthchecks import look, record, status
from healthchecks.models import CheckResult
from healthchecks.status import Seen
from integrations import activity, providers
from integrations.actor import Actor
from integrations.models import HealthStatus, Integration

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=40)  # longer than any check takes
AHEAD = timedelta(minutes=5)
"""What was checked so far in the future was checked by a clock that was ahead: it is due."""

Trigger = CheckResult.Trigger


# --- The sweep -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sweep:
    """What a sweep did; `recheck_at` is when the first suspicion wants another look. `broken`: those of which nothing
    could be written down, for a fault of ours."""

    checked: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    recheck_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        slugs = {"changed": self.changed, "suspects": self.suspects, "broken": self.broken}
        return {"checked": self.checked, **self.statuses, **slugs}


def sweep(*, now: datetime | None = None) -> Sweep:
    """Check every active integration that is due, all at once; one that hangs or fails disturbs no other."""
    now = now or timezone.now()
    is_due = Q(check_due_at__lte=now) | Q(last_health_check_at__gt=now + AHEAD)
    due = [one for one in Integration.objects.filter(is_due, is_active=True) if _claim(one, now)]
    done = Sweep()
    for integration, seen in look.at_all(due):
        try:
            _write_down(integration, seen, done)
        except Integration.DoesNotExist:
            log.info("%s was deleted while it was checked", integration.slug)
        except Exception:
            log.exception("The check of %s broke", integration.slug)
            done.broken.append(integration.slug)
    return done


def _write_down(integration: Integration, seen: Seen, done: Sweep) -> None:
    verdict = status.judge(seen, now=timezone.now())
    before = integration.health_status
    suspect = record.keep(integration, verdict, seen, trigger=Trigger.SWEEP)
    done.checked += 1
    done.statuses[verdict.status] = done.statuses.get(verdict.status, 0) + 1
    if suspect:
        done.suspects.append(integration.slug)
        done.recheck_at = min(done.recheck_at or suspect, suspect)
    elif integration.health_status != before:
        done.changed.append(f"{integration.slug}: {before} → {integration.health_status}")


class Inactive(Exception):
    """The integration is switched off: it is not checked."""


def check(*, integration: Integration, actor: Actor) -> CheckResult:
    """Check one now, at somebody's word: judged at once, without the second look, and counted towards no alert.

    Raises Inactive.
    """
    if not integration.is_active:
        words = _("{name} is switched off: it is checked again once it is on.")
        raise Inactive(words.format(name=integration.name))
    seen = look.at_one(integration, look.webhooks_seen([integration], timezone.now()).get(integration.pk))
    verdict = status.judge(seen, now=timezone.now())
    record.keep(integration, verdict, seen, trigger=Trigger.MANUAL)
    activity.record(
        actor=actor,
        action="health_check",
        integration=integration,
        details={"status": verdict.status, "reason": verdict.reason},
    )
    return CheckResult.objects.filter(integration=integration).latest("created_at")


def request_sweep(*, integrations: Iterable[Integration], actor: Actor, now: datetime) -> int:
    """Make `integrations` due at once and say who asked; the door then wakes the sweep. Returns how many there are."""
    ids = [one.pk for one in integrations]
    with transaction.atomic():
        count = Integration.objects.filter(pk__in=ids, is_active=True).update(check_due_at=now)
        activity.record(actor=actor, action="health_check_all", details={"integrations": count})
    return count


def outage_to_look_at(now: datetime) -> bool:
    """Whether one that is down is to be looked at again, between two turns: its end should be seen when it comes."""
    return Integration.objects.filter(is_active=True, health_status=HealthStatus.DOWN, check_due_at__lte=now).exists()


def heard_from(slugs: Iterable[str], *, now: datetime) -> bool:
    """Webhooks of these integrations were processed. Where their rhythm is the only sign of life (NetCash) and it was
    missed, look again at once instead of at the next turn. True when that makes a sweep worthwhile.
    """
    rhythmic = [slug for slug in slugs if (spec := providers.get(slug)) and spec.silence_hours]
    last_rule = CheckResult.objects.filter(integration=OuterRef("pk")).order_by("-created_at").values("rule")[:1]
    rows = Integration.objects.annotate(last_rule=Subquery(last_rule)).filter(slug__in=rhythmic, is_active=True)
    missed = rows.filter(Q(last_rule__in=["silence", "nothing_to_check"]) | Q(last_rule=None))
    return bool(Integration.objects.filter(pk__in=list(missed.values_list("pk", flat=True))).update(check_due_at=now))


def _claim(integration: Integration, now: datetime) -> bool:
    """Take this turn: two sweeps at once share the work instead of doubling it. Only for a moment: after a worker that
    is killed in mid-check the integration falls due again, not a whole interval later.
    """
    mine = Integration.objects.filter(pk=integration.pk, check_due_at=integration.check_due_at)
    won = bool(mine.update(check_due_at=now + LEASE))
    if won:
        integration.check_due_at = now + LEASE
    return won
