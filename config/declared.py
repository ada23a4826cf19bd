"""What code declares becomes rows: roles, integrations, webhooks, jobs.

Runs after every `migrate` and may run at any time: it adds what is missing and carries changed declarations over, but
a value that an admin has changed stays as the admin left it. Each row remembers, in `declared`, what it was last told.
"""

from typing import Any, TypeVar

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from config import schedule
from integrations import permissions, providers, vault
from integrations.cron import services as cron
from integrations.cron.models import CronJob
from integrations.models import ActivityHead, Declared, Integration
from integrations.providers.spec import Provider
from webhooks.models import Webhook

R = TypeVar("R", bound=Declared)


def after_migrate(**_: Any) -> None:
    """Receiver of Django's post_migrate signal (`config/apps.py`)."""
    sync()


@transaction.atomic
def sync() -> None:
    ActivityHead.objects.get_or_create(pk=1)
    vault.plant()
    _roles()
    for provider in providers.PROVIDERS:
        integration = _integration(provider)
        if provider.webhook:
            _webhook(integration, provider)
    for job in schedule.JOBS:
        _job(job)


def _roles() -> None:
    kind = ContentType.objects.get_for_model(Integration)
    ours = {perm: Permission.objects.get(content_type=kind, codename=perm.value) for perm in permissions.Perm}
    for name, held in permissions.ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.remove(*(ours[perm] for perm in ours if perm not in held))
        group.permissions.add(*(ours[perm] for perm in held))


def _integration(provider: Provider) -> Integration:
    row = Integration.objects.filter(slug=provider.slug).first() or Integration(slug=provider.slug)
    return carry_over(
        row,
        {
            "name": provider.name,
            "category": provider.category,
            "provider": provider.vendor,
            "requires_oauth": provider.oauth is not None,
            "has_webhooks": provider.webhook is not None,
            "has_api_client": True,
            "health_check_interval_minutes": provider.check_minutes,
        },
    )


def _webhook(integration: Integration, provider: Provider) -> Webhook:
    declared = provider.webhook
    assert declared is not None  # noqa: S101 - the caller asked
    row = Webhook.objects.filter(webhook_url=declared.path).first() or Webhook(webhook_url=declared.path)
    row.integration = integration
    return carry_over(
        row,
        {
            "event_types": list(declared.event_types),
            "verification_method": declared.method,
            "secret_env_var": declared.secret_env,
            "retention_days": 90,
        },
    )


def _job(job: schedule.Job) -> CronJob:
    row = CronJob.objects.filter(job_name=job.name).first() or CronJob(job_name=job.name)
    row.integration = Integration.objects.filter(slug=job.integration).first() if job.integration else None
    row = carry_over(
        row,
        {
            "job_url": job.url,
            "schedule": job.schedule,
            "timezone": job.timezone,
            "timeout_seconds": job.timeout_seconds,
            "catch_up": CronJob.CatchUp.LATEST if job.catches_up else CronJob.CatchUp.NONE,
            "is_active": job.work is not None,
        },
    )
    cron.follow(row, runnable=job.work is not None)
    return row


def carry_over(row: R, wanted: dict[str, Any]) -> R:
    """Set on `row` each wanted value, except where somebody has changed what was declared before."""
    new = row._state.adding
    changed = [
        name for name, value in wanted.items()
        if (new or row.declared.get(name) == getattr(row, name)) and getattr(row, name) != value
    ]  # fmt: skip
    for name in changed:
        setattr(row, name, wanted[name])
    if new:
        row.declared = wanted
        row.save()
    elif changed or row.declared != wanted:
        row.declared = wanted
        row.save(update_fields=[*changed, "declared", "updated_at"])
    return row
