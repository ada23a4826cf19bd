"""A run that somebody started is theirs: who may no longer start it ends it, before it begins or while it goes on."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm, remove_perm

from config import interrupting, schedule, tasks
from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.cron import services as cron
from integrations.cron.models import CronJob, CronRun
from integrations.models import Activity, Integration
from integrations.permissions import Perm

pytestmark = pytest.mark.django_db

TRIGGER = Perm.CRON_TRIGGER.django_name


@pytest.fixture
def job(registry: dict[str, Integration], monkeypatch: pytest.MonkeyPatch) -> CronJob:
    """One of Resend's, whose work says that it was done."""
    monkeypatch.setattr(schedule, "work_of", lambda job: lambda: {"message": "done"})
    job = CronJob.objects.get(job_name="zoho-sync")
    job.integration = registry["resend"]
    job.save()
    return job


def start(job: CronJob, user: User | None) -> CronRun:
    who = Actor(username=user.username, user_id=user.pk) if user else Actor(username="external scheduler")
    return cron.ask(job, actor=who, trigger="manual", now=timezone.now())


def ended(entry: CronRun) -> CronRun:
    tasks.start_run(str(entry.pk))
    entry.refresh_from_db()
    return entry


def test_it_is_done_while_they_may(job: CronJob, charlie: User) -> None:
    assign_perm(TRIGGER, charlie, job.integration)
    assert ended(start(job, charlie)).status == "success"


@pytest.mark.parametrize("how", ["disabled", "stripped"])
def test_it_does_not_begin_once_they_may_no_longer(job: CronJob, charlie: User, how: str) -> None:
    assign_perm(TRIGGER, charlie, job.integration)
    entry = start(job, charlie)
    if how == "disabled":
        User.objects.filter(pk=charlie.pk).update(is_active=False)
    else:
        remove_perm(TRIGGER, charlie, job.integration)
    entry = ended(entry)
    words = {
        "disabled": "Stopped: charlie was disabled.",
        "stripped": "Stopped: charlie no longer has the permission integrations:cron:trigger for it.",
    }[how]
    assert (entry.status, entry.error_message, entry.result_summary) == ("failed", words, {})
    told = Activity.objects.get(action="work_stopped")
    assert (told.username, told.outcome, told.integration_slug) == ("charlie", "refused", "resend")
    assert told.details == {"what": "the job zoho-sync", "words": words}


def test_one_that_goes_on_is_ended(job: CronJob, person: Callable[..., User], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the watching thread asks every two seconds."""
    boss = person("boss", role="System Admin")
    entry, asked = start(job, boss), list[str]()

    def work() -> dict[str, Any]:
        asked.append(cron.ended_by(job))
        User.objects.filter(pk=boss.pk).update(is_active=False)
        asked.append(cron.ended_by(job))
        asked.append(cron.ended_by(job))
        raise cron.Cancelled(asked[-1])

    monkeypatch.setattr(schedule, "work_of", lambda _job: work)
    monkeypatch.setattr(interrupting, "LOOK_SECONDS", 60)
    assert ended(entry).error_message == "Stopped: boss was disabled."
    assert asked == ["", *["Stopped: boss was disabled."] * 2]
    assert Activity.objects.filter(action="work_stopped").count() == 1


def test_one_that_no_person_started_goes_on(job: CronJob) -> None:
    assert ended(start(job, None)).status == "success"
