"""Writing down what a check found: the result, what it means for the status, the outage that it opens or closes.

A scheduled check that finds an integration down only raises a suspicion: it is looked at again within the minute, and
if that confirms it the outage is dated from the first failure: of that check, or of the real calls before it. While it
is down it is looked at every two minutes, so that the end of the outage is seen when it comes; these looks count
towards no alert. Where nobody looked for longer than a verdict may be believed, that gap becomes part of the history.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from healthchecks import uptime
from healthchecks.models import CheckResult, Incident, StatusChange
from healthchecks.status import Seen, Verdict
from integrations.models import ApiMetric, HealthStatus, Integration

TOLERANCE = timedelta(minutes=1)  # so that a check due a second after the sweep began doesn't wait for the next one
RECHECK_AFTER = timedelta(seconds=45)
LOOK_AGAIN = timedelta(minutes=2)
"""How soon an integration that is down is looked at again, at the earliest."""

Trigger = CheckResult.Trigger
DOWN = HealthStatus.DOWN
API_RULES = frozenset({"api_unreachable", "api_failing", "credentials_refused"})
LONGEST = timedelta(hours=2)
"""So far back an outage may have begun before a check found it: calls are looked at no further."""
GRANT_RULES = frozenset({"grant_dead", "token_expired", "token_dying", "refresh_failed"})


@transaction.atomic
def keep(integration: Integration, verdict: Verdict, seen: Seen, *, trigger: str) -> datetime | None:
    """Keep the result; change the status if it says so. Returns when to look again at a first suspicion of an outage.

    `trigger` is SWEEP or MANUAL; `integration` is the row as it was claimed, and is brought up to date.
    """
    now = timezone.now()
    row = Integration.objects.select_for_update(no_key=True).get(pk=integration.pk)
    suspected_at = _suspected_at(row)
    kind = _kind(row, trigger, suspected=suspected_at is not None, now=now)
    _note_gap(row, now)
    CheckResult.objects.create(
        integration=row,
        status=verdict.status,
        rule=verdict.rule,
        reason=verdict.reason,
        layers=[layer.as_dict() for layer in verdict.layers],
        response_time_ms=seen.api.elapsed_ms if seen.api else None,
        trigger=kind,
        created_at=now,
    )
    row.last_health_check_at = now
    if kind == Trigger.SWEEP:
        row.consecutive_failures = row.consecutive_failures + 1 if verdict.status in ("degraded", "down") else 0
    suspect = kind == Trigger.SWEEP and verdict.status == "down" and row.health_status != DOWN
    if suspect:
        row.health_reason = f"Perhaps down: {verdict.reason} It is looked at again within the minute."
    else:
        if verdict.status == "healthy":
            row.consecutive_failures = 0
        since = now
        if verdict.status == "down" and row.health_status != DOWN:
            since = _began(row, verdict, suspected_at or now)
        _change(row, verdict, seen, since=since)
    if row.check_due_at == integration.check_due_at or verdict.status == "down":  # else somebody wants it sooner
        row.check_due_at = _next_look(row, verdict, trigger, suspect=suspect, now=now)
    _save(row, integration)
    return row.check_due_at if suspect else None


def _kind(row: Integration, trigger: str, *, suspected: bool, now: datetime) -> str:
    """What a check is: one of the promised turns, or one between them, which doesn't count."""
    if trigger == Trigger.MANUAL:
        return Trigger.MANUAL
    if suspected:
        return Trigger.RECHECK
    turns = CheckResult.objects.filter(integration=row, trigger=Trigger.SWEEP).order_by("-created_at")
    last = turns.values_list("created_at", flat=True).first() if row.health_status == DOWN else None
    turn = timedelta(minutes=row.health_check_interval_minutes) - TOLERANCE
    return Trigger.RECHECK if last is not None and now - last < turn else Trigger.SWEEP


def _suspected_at(row: Integration) -> datetime | None:
    """When the suspicion now to be confirmed was raised: the last check failed, but nothing was changed yet."""
    if row.health_status == DOWN:
        return None
    last = CheckResult.objects.filter(integration=row).order_by("-created_at").first()
    if last is None or last.status != DOWN or last.trigger == Trigger.MANUAL:
        return None
    return last.created_at


def _began(row: Integration, verdict: Verdict, found_at: datetime) -> datetime:
    """When an outage began that a check found at `found_at`: where real calls failed before it, at the first of these
    after the last that went well. What the provider merely turned down says nothing."""
    if verdict.rule not in API_RULES:
        return found_at
    calls = ApiMetric.objects.filter(integration=row, created_at__gt=found_at - LONGEST, created_at__lt=found_at)
    calls = calls.filter(source=ApiMetric.Source.CALL)
    failed = calls.exclude(error_message="").filter(Q(status_code=None) | Q(status_code__gte=500))
    if verdict.rule == "credentials_refused":
        failed = calls.filter(status_code__in=[401, 403])
    well = calls.filter(error_message="").order_by("-created_at").values_list("created_at", flat=True).first()
    checks = CheckResult.objects.filter(integration=row, created_at__lt=found_at, created_at__gt=found_at - LONGEST)
    good = checks.exclude(status=DOWN).order_by("-created_at").values_list("created_at", flat=True).first()
    after = max(filter(None, (well, good)), default=None)
    if after is None:
        return found_at
    first = failed.filter(created_at__gt=after).order_by("created_at").values_list("created_at", flat=True).first()
    return min(first or found_at, found_at)


def _next_look(row: Integration, verdict: Verdict, trigger: str, *, suspect: bool, now: datetime) -> datetime:
    if suspect:
        return now + RECHECK_AFTER
    if verdict.status == "down":
        return min(row.check_due_at, now + LOOK_AGAIN) if trigger == Trigger.MANUAL else now + LOOK_AGAIN
    if trigger == Trigger.MANUAL:
        return row.check_due_at
    return now + timedelta(minutes=row.health_check_interval_minutes) - TOLERANCE


def _save(row: Integration, integration: Integration) -> None:
    fields = (
        "last_health_check_at", "consecutive_failures", "check_due_at", "health_status", "health_reason",
        "health_since",
    )  # fmt: skip
    row.save(update_fields=[*fields, "updated_at"])
    for name in fields:
        setattr(integration, name, getattr(row, name))


# --- History ---------------------------------------------------------------------------------------------------------


def _note_gap(row: Integration, now: datetime) -> None:
    """Nobody looked for longer than the last verdict may be believed: from there to now nothing is known."""
    overdue = uptime.believed_until(row)
    if overdue is None or overdue >= now or row.health_status == HealthStatus.UNKNOWN:
        return
    unwatched = "Nobody looked: the checks had stopped, or it was switched off."
    unknown, status = HealthStatus.UNKNOWN, row.health_status
    for at, old, new in ((overdue, status, unknown), (now, unknown, status)):
        StatusChange.objects.create(
            integration=row, old_status=old, new_status=new, reason=unwatched, at=at, gap=True
        )  # fmt: skip


def _change(row: Integration, verdict: Verdict, seen: Seen, *, since: datetime) -> None:
    row.health_reason = verdict.reason
    old, new = row.health_status, verdict.status
    if old == new:
        return
    row.health_status, row.health_since = new, since
    StatusChange.objects.create(integration=row, old_status=old, new_status=new, reason=verdict.reason, at=since)
    running = Incident.objects.filter(integration=row, closed_at=None)
    if new == "healthy":
        running.update(closed_at=since)
    elif new in ("degraded", "down"):
        root = f"grant:{seen.grant.grant}" if verdict.rule in GRANT_RULES and seen.grant and seen.grant.grant else ""
        worse = {"worst_status": new, "cause": verdict.reason, "rule": verdict.rule, "root": root}
        if not running.exists():
            Incident.objects.create(integration=row, opened_at=since, **worse)
        elif new == "down":
            running.update(**worse)
