"""Routes that lead somewhere, and integrations that are unwell."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from healthchecks.alerts import alarms, outbox
from healthchecks.models import StatusChange
from integrations.models import Integration
from tests.factories import CheckResultFactory
from tests.healthchecks.alerts.receivers import MailServer, Target

NOON = datetime(2031, 11, 26, 10, 0, tzinfo=UTC)  # a Wednesday; later than any day on which these rows were made


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as moving:
        yield moving


@pytest.fixture
def phone() -> Iterator[Target]:
    with Target() as running:
        yield running


@pytest.fixture
def pager() -> Iterator[Target]:
    with Target() as running:
        yield running


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def to_phone(settings: Any, phone: Target) -> Target:
    """Alerts go there, and nowhere else."""
    settings.ALERT_TO = phone.url
    return phone


@pytest.fixture
def turn() -> Callable[[], Any]:
    """One turn of the worker: look, then send what is due."""

    def go() -> Any:
        from django.utils import timezone

        done = alarms.watch(now=timezone.now())
        outbox.run_due()
        return done

    return go


def unwell(
    integration: Integration, *, status: str = "down", rule: str = "api_unreachable", failures: int = 3,
    reason: str = "The API can't be reached: nobody answers.",
) -> None:  # fmt: skip
    """As the third check in a row leaves it."""
    from django.utils import timezone

    now = timezone.now()
    CheckResultFactory(integration=integration, status=status, rule=rule, reason=reason, created_at=now)
    row = Integration.objects.get(pk=integration.pk)
    if row.health_status != status:
        StatusChange.objects.create(
            integration=row, old_status=row.health_status, new_status=status, reason=reason, at=now
        )
    Integration.objects.filter(pk=row.pk).update(
        health_status=status, health_reason=reason, health_since=now - timedelta(minutes=30),
        consecutive_failures=failures, last_health_check_at=now,
    )  # fmt: skip


def well(integration: Integration) -> None:
    unwell(integration, status="healthy", rule="checks_passed", failures=0, reason="The API answered in 90 ms.")
