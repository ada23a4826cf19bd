"""What code declares becomes rows, and what admins changed survives."""

import pytest
from django.contrib.auth.models import Group, Permission
from django_celery_beat.models import PeriodicTask

from config import declared, schedule
from integrations import providers
from integrations.cron.models import CronJob
from integrations.models import Integration
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db


def test_ten_integrations_eight_webhooks_seven_jobs_five_roles():
    assert Integration.objects.count() == 10
    assert Webhook.objects.count() == 8
    assert CronJob.objects.count() == 7
    assert Group.objects.count() == 5


def test_the_registry_is_the_customers_table():
    table = {
        "zoho-crm": ("crm", "Zoho", True, True),
        "zoho-sign": ("crm", "Zoho", True, True),
        "zoho-billing": ("payment", "Zoho", True, True),
        "zoho-desk": ("communication", "Zoho", True, True),
        "didit-kyc": ("kyc", "Didit", False, True),
        "netcash": ("payment", "NetCash", False, True),
        "mtn-coverage": ("coverage", "MTN", False, False),
        "clickatell": ("communication", "Clickatell", False, True),
        "resend": ("communication", "Resend", False, True),
        "google-maps": ("location", "Google", False, False),
    }
    rows = Integration.objects.values_list("slug", "category", "provider", "requires_oauth", "has_webhooks")
    assert {slug: tuple(rest) for slug, *rest in rows} == table
    assert [provider.slug for provider in providers.PROVIDERS] == list(table)


def test_the_receivers_are_where_the_customer_wants_them():
    assert dict(Webhook.objects.values_list("webhook_url", "verification_method")) == {
        "/api/webhooks/zoho/crm": "body_token",
        "/api/webhooks/zoho/sign": "hmac_sha256",
        "/api/webhooks/zoho/billing": "hmac_sha256",
        "/api/webhooks/zoho/desk": "jwt",
        "/api/webhooks/didit/kyc": "hmac_sha256",
        "/api/webhooks/netcash": "md5_hash",
        "/api/webhooks/clickatell": "header_secret",
        "/api/webhooks/resend": "standard_webhooks",
    }


def test_the_jobs_are_the_customers_and_beat_follows_those_that_can_run():
    assert dict(CronJob.objects.values_list("job_name", "schedule")) == {
        "integrations-health-check": "*/15 * * * *",
        "cleanup-webhook-logs": "0 3 * * 0",
        "oauth-auto-refresh": "*/5 * * * *",
        "webhooks-process-due": "* * * * *",
        "metrics-rollup": "5 * * * *",
        "zoho-sync": "0 0 * * *",
        "activity-retention": "30 2 * * *",
    }
    able = {job.name for job in schedule.JOBS if job.work}
    assert set(PeriodicTask.objects.filter(task="cron.run").values_list("name", flat=True)) == able
    assert set(CronJob.objects.filter(is_active=True).values_list("job_name", flat=True)) == able
    often = {name for name, timing in CronJob.objects.values_list("job_name", "schedule") if timing.startswith("*")}
    assert all(task.expire_seconds < 900 for task in PeriodicTask.objects.filter(task="cron.run", name__in=often))


def test_doing_it_again_changes_nothing(django_assert_max_num_queries):
    def everything():
        return [
            list(model.objects.order_by("pk").values())
            for model in (Integration, Webhook, Group, PeriodicTask)
        ] + [list(CronJob.objects.order_by("pk").values("job_name", "schedule", "updated_at"))]  # fmt: skip

    before = everything()
    declared.sync()
    assert everything() == before


def test_what_an_admin_changed_survives():
    Integration.objects.filter(slug="resend").update(is_active=False, name="Mail", health_check_interval_minutes=30)
    Webhook.objects.filter(webhook_url="/api/webhooks/resend").update(retention_days=7, event_types=["email.bounced"])
    CronJob.objects.filter(job_name="integrations-health-check").update(schedule="*/30 * * * *", is_active=False)
    declared.sync()
    row = Integration.objects.get(slug="resend")
    assert (row.is_active, row.name, row.health_check_interval_minutes) == (False, "Mail", 30)
    webhook = Webhook.objects.get(webhook_url="/api/webhooks/resend")
    assert (webhook.retention_days, webhook.event_types) == (7, ["email.bounced"])
    job = CronJob.objects.get(job_name="integrations-health-check")
    assert (job.schedule, job.is_active) == ("*/30 * * * *", False)
    assert PeriodicTask.objects.get(name=job.job_name).enabled is False


def test_what_nobody_changed_follows_the_code():
    row = Integration.objects.get(slug="resend")
    declared.carry_over(row, {**row.declared, "health_check_interval_minutes": 20, "name": "Resend"})
    row.refresh_from_db()
    assert (row.health_check_interval_minutes, row.name) == (20, "Resend")
    Integration.objects.filter(slug="resend").update(name="Mail")
    row.refresh_from_db()
    declared.carry_over(row, {**row.declared, "health_check_interval_minutes": 25, "name": "Resend 2"})
    row.refresh_from_db()
    assert (row.health_check_interval_minutes, row.name) == (25, "Mail")


def test_roles_are_kept_as_declared_and_other_permissions_left_alone():
    group = Group.objects.get(name="Support Agent")
    own, other = Permission.objects.get(codename="manage"), Permission.objects.get(codename="view_activity")
    group.permissions.add(own, other)
    declared.sync()
    assert list(group.permissions.all()) == [other]


def test_a_row_that_was_deleted_comes_back():
    Integration.objects.filter(slug="resend").delete()
    declared.sync()
    assert Webhook.objects.filter(integration__slug="resend").exists()


def test_every_provider_can_be_told_from_reserved_words():
    from integrations.models import RESERVED_SLUGS

    assert not set(RESERVED_SLUGS) & {provider.slug for provider in providers.PROVIDERS}
