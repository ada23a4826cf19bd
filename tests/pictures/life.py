"""A week in the life of a small company, as rows: what the pictures of the docs show. Nobody in it is real."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from healthchecks import rollups
from healthchecks.alerts import alarms
from healthchecks.models import CheckResult, StatusChange
from integrations import activity
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import ApiMetric, Category, Integration
from oauth.models import TokenEvent
from webhooks.models import Attempt, Webhook, WebhookLog
from webhooks.services import trial

CALLS = {
    "zoho-crm": (("GET", "/crm/v8/Deals"), ("POST", "/crm/v8/Contacts"), ("GET", "/crm/v8/Contacts/{id}")),
    "zoho-billing": (("GET", "/billing/v1/invoices"), ("POST", "/billing/v1/subscriptions")),
    "zoho-desk": (("GET", "/api/v1/tickets"), ("PATCH", "/api/v1/tickets/{id}")),
    "resend": (("POST", "/emails"),),
    "clickatell": (("POST", "/messages"),),
    "mtn-coverage": (("GET", "/coverage/feasibility"),),
    "google-maps": (("GET", "/maps/api/geocode/json"), ("GET", "/maps/api/place/autocomplete/json")),
    "didit-kyc": (("POST", "/v3/session/"), ("GET", "/v3/session/{id}/decision/")),
    "netcash": (("POST", "/NIWS/niws_nif.svc"),),
}
PEOPLE = ("thandi.example", "pieter.example", "naledi.example")


def make(*, days: int = 7, others: int = 0) -> None:
    """`days` of calls, checks, runs and deliveries; `others`: so many integrations more, for a crowded page."""
    chance, now = random.Random(7), timezone.now()
    _others(others)
    rows = {row.slug: row for row in Integration.objects.all()}
    for slug in CALLS:
        ApiMetric.objects.bulk_create(_calls(rows[slug], now, days, chance), batch_size=2000)
    for row in rows.values():
        CheckResult.objects.bulk_create(_checks(row, now, chance))
    _outages(rows, now)
    _tokens(rows, now)
    _deliveries(now, chance)
    _runs(now, chance)
    _people(rows, now)
    rollups.roll(now=now, budget_seconds=600)
    alarms.watch(now=now)


def more(others: int) -> None:
    """`others` integrations more, each with its checks."""
    chance, now = random.Random(8), timezone.now()
    for row in _others(others):
        CheckResult.objects.bulk_create(_checks(row, now, chance))


def _others(number: int) -> list[Integration]:
    return Integration.objects.bulk_create(
        Integration(
            slug=f"partner-{n:03}", name=f"Partner {n:03}", provider="Acme", category=Category.values[n % 3],
            health_status=("healthy", "degraded", "down", "unknown")[n % 4],
        )
        for n in range(number)
    )  # fmt: skip


def _bad(slug: str, hours: float) -> bool:
    """Clickatell was slow a while ago, and Didit refused calls for an hour three days ago."""
    return (slug == "clickatell" and 5 < hours < 6.5) or (slug == "didit-kyc" and 70 < hours < 71)


def _calls(row: Integration, now: datetime, days: int, chance: random.Random) -> Iterator[ApiMetric]:
    usual = 90 + 40 * (len(row.slug) % 7)
    for minute in range(0, days * 1440, 6):
        hours = minute / 60
        busy = 1 + 0.35 * math.sin((now.hour - hours) / 24 * 2 * math.pi)
        bad = _bad(row.slug, hours)
        method, endpoint = chance.choice(CALLS[row.slug])
        failed = chance.random() < (0.4 if bad else 0.006)
        yield ApiMetric(
            integration=row, endpoint=endpoint, method=method, status_code=503 if failed else 200,
            error_message="HTTP 503: Service Unavailable" if failed else "",
            response_time_ms=int(usual * busy * chance.lognormvariate(0, 0.35) * (4 if bad else 1)),
            rate_limit_limit=1000, rate_limit_remaining=1000 - min(990, minute % 1440 // 2),
            source=ApiMetric.Source.PROBE if chance.random() < 0.3 else ApiMetric.Source.CALL,
            created_at=now - timedelta(minutes=minute, seconds=chance.randrange(300)),
        )  # fmt: skip


def _checks(row: Integration, now: datetime, chance: random.Random) -> Iterator[CheckResult]:
    for n in range(1, 97):
        bad = _bad(row.slug, n / 4)
        yield CheckResult(
            integration=row, status="degraded" if bad else "healthy", trigger=CheckResult.Trigger.SWEEP,
            rule="slow" if bad else "checks_passed", response_time_ms=chance.randrange(80, 400) * (5 if bad else 1),
            reason="Half of its calls took longer than 2 s." if bad else "The API answered.",
            created_at=now - timedelta(minutes=15 * n),
        )  # fmt: skip


def _outages(rows: dict[str, Integration], now: datetime) -> None:
    """What is judged by its changes needs them: since when each is as it is."""
    changes = [
        ("clickatell", "healthy", "degraded", 6.5, "Half of its calls took longer than 2 s."),
        ("clickatell", "degraded", "healthy", 5, "The API answered."),
        ("didit-kyc", "healthy", "degraded", 71, "One call of three failed."),
        ("didit-kyc", "degraded", "healthy", 70, "The API answered."),
    ]
    begun = [(slug, "unknown", "healthy", 24.0 * 90, "The API answered.") for slug in CALLS]
    StatusChange.objects.bulk_create(
        StatusChange(
            integration=rows[slug], old_status=old, new_status=new, at=now - timedelta(hours=hours), reason=reason
        )
        for slug, old, new, hours, reason in sorted([*begun, *changes], key=lambda one: -one[3])
    )


def _tokens(rows: dict[str, Integration], now: datetime) -> None:
    for slug in ("zoho-crm", "zoho-sign", "zoho-billing", "zoho-desk"):
        for hour in range(1, 24):
            at = now - timedelta(hours=hour)
            TokenEvent.objects.create(
                integration=rows[slug], kind=TokenEvent.Kind.REFRESHED, at=at, actor="system",
                expires_at=at + timedelta(hours=1),
            )  # fmt: skip


def _deliveries(now: datetime, chance: random.Random) -> None:
    """A day of them; a payment that could not be matched, and one that is tried again."""
    for webhook in Webhook.objects.select_related("integration"):
        kinds = list(webhook.event_types) or ["event"]
        for n in range(chance.randrange(18, 40)):
            failed = chance.random() < (0.12 if webhook.integration.slug == "netcash" else 0.02)
            kind = chance.choice(kinds)
            log = WebhookLog.objects.create(
                webhook=webhook, event_type=kind, payload=trial.sample(webhook, kind) or {"type": kind},
                body=b"{}", headers={"content-type": "application/json", "user-agent": "provider/1.0"},
                status="failed" if failed else "processed", verification="Secret 1 matched.",
                idempotency_key=f"{webhook.pk}-{n}", processing_time_ms=chance.randrange(4, 90),
                error_message="No invoice has the reference CT-1042." if failed else "",
                created_at=now - timedelta(minutes=n * 45 + chance.randrange(40)), attempts=5 if failed else 1,
            )  # fmt: skip
            Attempt.objects.create(log=log, target="handler", at=log.created_at, duration_ms=12)


def _runs(now: datetime, chance: random.Random) -> None:
    """What the ledger holds of the last day: an outage of beat at night, one sweep that took too long."""
    CronRun.objects.exclude(status=CronRun.Status.RUNNING).delete()
    runs = []
    for job in CronJob.objects.filter(is_active=True):
        taken = set(job.runs.values_list("scheduled_for", flat=True))
        at = now - timedelta(minutes=1)
        while (at := cron.slot(job, at - timedelta(minutes=1))) > now - timedelta(days=1):
            hours = (now - at).total_seconds() / 3600
            status, words = CronRun.Status.SUCCESS, ""
            if 9 < hours < 9.2:
                status, words = CronRun.Status.MISSED, "Nobody started it: beat was off, or its message was lost."
            elif job.job_name == "integrations-health-check" and 3 < hours < 3.3:
                status, words = CronRun.Status.TIMEOUT, "It was ended after 300 s, which is all the time it has."
            if at in taken:
                continue
            runs.append(
                CronRun(
                    job=job, scheduled_for=at, started_at=at + timedelta(seconds=1), status=status, picked_up_at=at,
                    error_message=words, duration_ms=None if words else chance.randrange(60, 4000),
                    result_summary={} if words else {"message": "There was nothing to do."},
                )
            )  # fmt: skip
    CronRun.objects.bulk_create(runs, batch_size=1000)


def _people(rows: dict[str, Integration], now: datetime) -> None:
    for name in PEOPLE:
        User.objects.get_or_create(username=name, defaults={"email": f"{name}@example.com"})
    for n, (slug, action, details) in enumerate(
        (
            ("resend", "health_check", {"status": "healthy"}),
            ("zoho-crm", "oauth_refreshed", {"reason": "asked for"}),
            ("didit-kyc", "integration_changed", {"before": {"is_active": True}, "after": {"is_active": False}}),
            ("didit-kyc", "integration_changed", {"before": {"is_active": False}, "after": {"is_active": True}}),
            ("netcash", "webhook_replayed", {"webhook": "/api/webhooks/netcash"}),
        )
    ):
        activity.record(
            actor=Actor(username=PEOPLE[n % len(PEOPLE)]), action=action, integration=rows[slug], details=details
        )
