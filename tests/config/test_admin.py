"""The Django admin: lists open, nothing secret shows, logs can't be touched, what is changed is told."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
import time_machine
from django.contrib.admin import site
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone
from guardian.models import UserObjectPermission

from integrations import activity, adminsite, permissions
from integrations.accounts.models import ApiToken, User
from integrations.actor import Actor
from integrations.cron.models import CronJob
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from oauth.models import Attempt as TokenAttempt
from oauth.models import Grant, Token
from webhooks.models import Webhook, WebhookLog

pytestmark = pytest.mark.django_db

READ_ONLY = {"activity", "activityanchor", "apimetric", "token", "tokenevent", "webhooklog", "attempt", "cronrun",
             "rhythm", "silence", "checkresult", "statuschange", "incident", "metricrollup", "dailyrollup",
             "registration", "alarm", "alert", "delivery", "maintenance"}  # fmt: skip


@pytest.fixture
def root(client, person):
    client.force_login(person("root", is_superuser=True, is_staff=True))
    return client


@pytest.fixture
def lived_in(registry):
    grant = Grant.objects.create()
    TokenAttempt.objects.create(grant=grant, generation=0, started_at=timezone.now())
    Token.objects.create(
        integration=registry["zoho-crm"], grant=grant,
        access_sealed="v1.t1.canary-sealed", refresh_sealed="v1.t1.canary-sealed",
    )  # fmt: skip
    WebhookLog.objects.create(
        webhook=Webhook.objects.first(),
        body=b"canary-body",
        payload={"x": "canary-payload"},
        headers={"a": "canary-head"},
    )
    activity.record(actor=Actor(username="alice"), action="login")


def password_of(user):
    return reverse("admin:auth_user_password_change", args=[user.pk])


OWN = {"password1": "Zebra-crossing-9911", "password2": "Zebra-crossing-9911", "usable_password": "true"}


def test_every_change_wants_a_fresh_login(root, bob):
    with time_machine.travel(timezone.now() + timedelta(minutes=6), tick=True):
        assert root.get("/django-admin/accounts/user/").status_code == 200
        for path in (password_of(bob), reverse("admin:accounts_user_change", args=[bob.pk])):
            assert root.post(path, OWN)["Location"].startswith("/accounts/prove/")
        assert root.post("/django-admin/logout/")["Location"] == "/accounts/login/"
    assert not User.objects.get(pk=bob.pk).check_password(OWN["password1"])


@pytest.mark.parametrize("what", ["an action", "a password"])
def test_what_can_not_be_told_is_not_done(root, bob, monkeypatch, what):
    row, _token = ApiToken.issue(user=bob, name="x", scopes=[], expires_at=None)
    path, form = (password_of(bob), OWN)
    if what == "an action":
        path = "/django-admin/accounts/apitoken/"
        form = {"action": "revoke", "_selected_action": [str(row.pk)]}
    monkeypatch.setattr(activity, "record", Mock(side_effect=RuntimeError))
    with pytest.raises(RuntimeError):
        root.post(path, form)
    row.refresh_from_db()
    assert row.revoked_at is None
    assert not User.objects.get(pk=bob.pk).check_password(OWN["password1"])


@pytest.mark.parametrize("model", list(site._registry), ids=lambda model: model._meta.label)
def test_every_list_and_every_row_opens_without_a_secret(root, lived_in, model):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    page = root.get(reverse(f"{name}_changelist"))
    assert page.status_code == 200
    pages = [page]
    if row := model._default_manager.first():
        pages.append(root.get(reverse(f"{name}_change", args=[row.pk])))
        assert pages[-1].status_code == 200
    assert not any("canary" in page.content.decode() for page in pages)


@pytest.mark.parametrize(
    "model", [m for m in site._registry if m._meta.model_name in READ_ONLY], ids=lambda m: m.__name__
)
def test_logs_can_only_be_read(root, lived_in, model):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert root.get(reverse(f"{name}_add")).status_code == 403
    if row := model._default_manager.first():
        change = reverse(f"{name}_change", args=[row.pk])
        assert root.post(change, {}).status_code == 403
        assert root.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert len({m._meta.model_name for m in site._registry} & READ_ONLY) == len(READ_ONLY)


def test_a_role_that_is_changed_is_told(root):
    group = Group.objects.get(name="Support Agent")
    read = Permission.objects.get(codename="read", content_type__app_label="integrations")
    root.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": group.name, "permissions": [read.pk]})
    assert read in group.permissions.all()
    entry = Activity.objects.get(action="admin_changed")
    assert (entry.username, entry.details["model"], entry.details["object"]) == ("root", "auth.Group", "Support Agent")


def test_a_grant_on_one_integration_is_given_and_taken_and_told(root, charlie, registry):
    manage = Permission.objects.get(codename="manage", content_type__app_label="integrations")
    form = {"user": charlie.pk, "permission": manage.pk, "integration": registry["netcash"].pk}
    root.post(reverse("admin:guardian_userobjectpermission_add"), form)
    assert permissions.may(charlie, Perm.MANAGE, registry["netcash"])
    assert not permissions.may(charlie, Perm.MANAGE, registry["resend"])
    grant = UserObjectPermission.objects.get()
    assert "NetCash" in root.get(reverse("admin:guardian_userobjectpermission_changelist")).content.decode()
    root.post(reverse("admin:guardian_userobjectpermission_delete", args=[grant.pk]), {"post": "yes"})
    assert not UserObjectPermission.objects.exists()
    assert list(Activity.objects.order_by("seq").values_list("action", flat=True)) == ["admin_added", "admin_deleted"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("schedule", "every day", "no cron schedule"),
        ("schedule", "61 * * * *", "no cron schedule"),
        ("schedule", "0 3 1 * 1", "both the day of the month and the weekday"),
        ("timezone", "Mars/Olympus", "no time zone"),
        ("timezone", "../../etc/passwd", "no time zone"),
    ],
)
def test_a_bad_schedule_is_refused_in_words(root, field, value, says):
    job = CronJob.objects.get(job_name="integrations-health-check")
    form = {
        "schedule": job.schedule,
        "timezone": job.timezone,
        "timeout_seconds": 300,
        "is_active": "on",
        "metadata": "{}",
    }
    page = root.post(reverse("admin:cron_cronjob_change", args=[job.pk]), {**form, field: value})
    assert page.status_code == 200
    assert says in page.content.decode()
    job.refresh_from_db()
    assert job.schedule == "*/15 * * * *"


def test_a_job_changed_here_moves_beat(root):
    from django_celery_beat.models import PeriodicTask

    job = CronJob.objects.get(job_name="integrations-health-check")
    form = {
        "schedule": "*/30 * * * *",
        "timezone": job.timezone,
        "timeout_seconds": 300,
        "catch_up": "none",
        "is_active": "on",
        "metadata": "{}",
    }
    root.post(reverse("admin:cron_cronjob_change", args=[job.pk]), form)
    assert str(PeriodicTask.objects.get(name=job.job_name).crontab.minute) == "*/30"


def test_the_only_login_is_the_one_that_is_guarded_and_recorded(client, bob):
    response = client.get("/django-admin/login/?next=/django-admin/oauth/token/")
    assert response.headers["Location"] == "/accounts/login/?next=/django-admin/oauth/token/"
    assert client.post("/django-admin/login/", {"username": "bob", "password": "x"}).status_code == 302
    client.force_login(bob)
    assert client.get("/django-admin/", follow=True).status_code == 403


def test_signing_out_and_a_new_password_are_told(root):
    user = User.objects.get(username="root")
    user.set_password("the-old-password-1")
    user.save(update_fields=["password"])
    root.force_login(user)
    new = {"new_password1": "a-new-one-of-mine-2", "new_password2": "a-new-one-of-mine-2"}
    root.post("/django-admin/password_change/", {"old_password": "wrong", **new})
    assert not Activity.objects.filter(action="password_changed").exists()
    root.post("/django-admin/password_change/", {"old_password": "the-old-password-1", **new})
    root.post("/django-admin/logout/")
    told = list(Activity.objects.order_by("seq").values_list("username", "action"))
    assert told == [("root", "password_changed"), ("root", "logout")]


def test_a_grant_that_exists_is_refused_in_words(root, charlie, registry):
    read = Permission.objects.get(codename="read", content_type__app_label="integrations")
    form = {"user": charlie.pk, "permission": read.pk, "integration": registry["netcash"].pk}
    address = reverse("admin:guardian_userobjectpermission_add")
    assert root.post(address, form).status_code == 302
    assert "has been granted already" in root.post(address, form).content.decode()


def test_beats_own_rows_are_changed_through_the_job_alone(root):
    from django_celery_beat.models import PeriodicTask

    task = PeriodicTask.objects.get(name="integrations-health-check")
    chosen = {"action": "disable_tasks", "_selected_action": [task.pk]}
    root.post(reverse("admin:django_celery_beat_periodictask_changelist"), chosen)
    task.refresh_from_db()
    assert task.enabled
    assert not [m for m in site._registry if m.__name__ in ("CrontabSchedule", "IntervalSchedule", "ClockedSchedule")]


def test_an_integration_is_never_added_by_hand(root):
    assert root.get(reverse("admin:integrations_integration_add")).status_code == 403
    assert Integration.objects.count() == 10


def test_a_log_lists_its_newest_rows_says_so_and_opens_any(root, registry, monkeypatch):
    hook = Webhook.objects.first()
    rows = [WebhookLog.objects.create(webhook=hook, body=b"{}", idempotency_key=f"key-{n}") for n in range(4)]
    page = root.get(reverse("admin:webhooks_webhooklog_changelist"))
    assert page.context["cl"].result_count == 4
    assert not page.context["subtitle"]
    monkeypatch.setattr(adminsite, "LISTED", 2)
    page = root.get(reverse("admin:webhooks_webhooklog_changelist"))
    assert [row.pk for row in page.context["cl"].result_list] == [rows[3].pk, rows[2].pk]
    assert "The newest 2 only" in page.content.decode()
    assert root.get(reverse("admin:webhooks_webhooklog_change", args=[rows[0].pk])).status_code == 200
