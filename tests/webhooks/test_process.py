"""Claim, handle, finish."""

from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.utils import timezone

from integrations.models import Integration
from integrations.providers.spec import ProviderError
from tests.webhooks.conftest import signed
from webhooks.models import Attempt, Webhook, WebhookLog
from webhooks.services import process, receive

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored(route):
    def make(slug: str = "resend", **kwargs) -> WebhookLog:
        (row,) = receive.admit(route(slug), signed(slug, **kwargs), now=timezone.now())
        receive.store([row])
        return row

    return make


def handled_by(handler, slug: str = "resend") -> process.Table:
    return process.Table(handlers={(slug, "*"): handler})


def refuse(error: Exception):
    def handler(event):
        raise error

    return handler


def test_an_event_without_a_handler_is_processed_as_recorded(stored):
    row = stored()
    assert process.drain(process.Table()).processed == 1
    row.refresh_from_db()
    assert (row.status, row.due_at, row.attempts, row.retry_count) == ("processed", None, 1, 0)
    assert row.processed_at is not None
    assert row.processing_time_ms is not None
    assert not Attempt.objects.exists()


def test_a_handler_sees_the_event_and_what_it_returns_is_written(stored):
    row, seen, written = stored(), [], []

    def handler(event: process.Event):
        seen.append((event.integration.slug, event.type, event.payload["type"], event.key))
        return lambda: written.append(event.log_id)

    process.drain(handled_by(handler))
    assert seen == [("resend", "email.sent", "email.sent", row.idempotency_key)]
    assert written == [row.pk]
    assert Attempt.objects.get().error == ""


def test_a_handler_for_one_type_comes_before_one_for_all(stored):
    stored()
    called = []
    table = process.Table(
        handlers={
            ("resend", "*"): lambda event: called.append("any"),
            ("resend", "email.sent"): lambda event: called.append("sent"),
            ("netcash", "email.sent"): lambda event: called.append("other"),
        }
    )
    process.drain(table)
    assert called == ["sent"]


def test_a_failure_shows_at_once_with_the_time_of_the_next_try(stored):
    row = stored()
    before = timezone.now()
    process.drain(handled_by(refuse(ProviderError("The mail system is away."))))
    row.refresh_from_db()
    assert row.status == "failed"
    assert row.error_message == "The mail system is away."
    assert timedelta(seconds=4) < row.due_at - before < timedelta(seconds=8)
    assert Attempt.objects.get().error == "The mail system is away."


def test_a_success_after_a_failure_is_a_success(stored):
    row = stored()
    process.drain(handled_by(refuse(ProviderError("away"))))
    WebhookLog.objects.update(due_at=timezone.now())
    process.drain(process.Table())
    row.refresh_from_db()
    assert (row.status, row.error_message, row.retry_count) == ("processed", "", 1)


def test_waits_grow_and_then_it_gives_up(stored, settings):
    row = stored()
    waits = []
    for _ in range(8):
        WebhookLog.objects.update(due_at=timezone.now())
        started = timezone.now()
        process.drain(handled_by(refuse(ValueError("no such customer"))))
        row.refresh_from_db()
        waits.append(round((row.due_at - started).total_seconds()) if row.due_at else None)
    assert waits == [*settings.WEBHOOK_RETRY_WAITS, None]
    assert row.status == "failed"
    assert row.retry_count == 7
    assert row.error_message == "ValueError: no such customer"
    assert "no such customer" in row.traceback
    assert "Traceback" in row.traceback


def test_an_error_that_no_database_takes_as_it_is_holds_up_nothing(stored):
    row = stored()
    assert process.drain(handled_by(refuse(ProviderError("It says: a\x00b\ud800.")))).failed == 1
    row.refresh_from_db()
    assert (row.status, row.error_message) == ("failed", "It says: a\ufffdb\ufffd.")


def test_a_permanent_failure_is_not_tried_again(stored):
    row = stored()
    process.drain(handled_by(refuse(ProviderError("never", permanent=True))))
    row.refresh_from_db()
    assert (row.status, row.due_at) == ("failed", None)


def test_what_a_handler_wrote_is_undone_when_its_effect_fails(stored):
    row = stored()

    def handler(event):
        def effect():
            Integration.objects.filter(pk=event.integration.pk).update(name="changed")
            raise RuntimeError("half way")

        return effect

    process.drain(handled_by(handler))
    row.refresh_from_db()
    assert row.status == "failed"
    assert Integration.objects.get(slug="resend").name == "Resend Email"


def test_a_worker_that_was_killed_leaves_an_event_that_falls_due_again(stored):
    row = stored()
    now = timezone.now()
    assert WebhookLog.objects.claim(row, now=now, lease=timedelta(seconds=30))  # and then: kill -9
    assert process.drain(process.Table()).processed == 0
    WebhookLog.objects.filter(pk=row.pk).update(due_at=now)  # the lease runs out
    assert process.drain(process.Table()).processed == 1
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("processed", 2)


def test_an_event_that_kills_its_workers_is_given_up(stored):
    row = stored()
    WebhookLog.objects.filter(pk=row.pk).update(attempts=8)
    process.drain(handled_by(lambda event: None))
    row.refresh_from_db()
    assert (row.status, row.due_at) == ("failed", None)
    assert row.error_message == "A worker died while processing it, 8 times."


def test_who_outstayed_the_lease_writes_nothing(stored):
    row, effects = stored(), []

    def slow(event):
        WebhookLog.objects.filter(pk=event.log_id).update(
            due_at=timezone.now() + timedelta(hours=1)
        )  # somebody else's
        return lambda: effects.append("mine")

    process.drain(handled_by(slow))
    row.refresh_from_db()
    assert row.status == "pending"
    assert effects == []


@pytest.mark.parametrize("switch", [Webhook, Integration])
def test_events_of_what_is_switched_off_are_held_and_run_afterwards(stored, switch):
    stored()
    chosen = {"webhook_url": "/api/webhooks/resend"} if switch is Webhook else {"slug": "resend"}
    switch.objects.filter(**chosen).update(is_active=False)
    assert process.drain(process.Table()).processed == 0
    switch.objects.filter(**chosen).update(is_active=True)
    assert process.drain(process.Table()).processed == 1


def test_what_is_switched_off_in_the_middle_of_a_batch_is_held_at_once(stored):
    for _ in range(3):
        stored()
    handled = []

    def switch_off(event):
        handled.append(event.log_id)
        Integration.objects.filter(slug="resend").update(is_active=False)

    process.drain(handled_by(switch_off))
    assert len(handled) == 1


def test_events_that_nobody_handles_are_finished_together(stored, django_assert_max_num_queries):
    for number in range(50):
        stored(delivery_id=f"msg_{number}")
    with django_assert_max_num_queries(12):
        summary = process.drain(process.Table())
    assert (summary.processed, summary.heard_from) == (50, {"resend"})
    row = WebhookLog.objects.first()
    assert (row.status, row.attempts, row.retry_count, row.due_at) == ("processed", 1, 0, None)
    assert row.processed_at is not None


def test_a_provider_that_says_nothing_holds_up_only_what_it_must_vouch_for(stored, unverified):
    asked = []

    def hang(event):
        asked.append(event.log_id)
        raise ProviderError("NetCash did not answer.")

    for _ in range(5):
        unverified()
    stored()
    summary = process.drain(process.Table(confirmers={"netcash": hang}))
    assert len(asked) == 1
    assert WebhookLog.objects.filter(verified=True, status="processed").count() == 1
    assert summary.processed == 1


def test_only_so_many_questions_are_asked_in_a_minute(unverified, monkeypatch):
    monkeypatch.setattr(process, "CONFIRM_PER_MINUTE", 3)
    cache.clear()
    for _ in range(6):
        unverified()
    table = process.Table(confirmers={"netcash": refuse(ProviderError("never heard of it", permanent=True))})
    with time_machine.travel(timezone.now(), tick=False):
        assert [process.drain(table).failed for _ in range(2)] == [3, 0]


def test_the_wait_begins_when_the_attempt_has_ended(stored, settings):
    settings.WEBHOOK_RETRY_WAITS = [5]
    row = stored()

    def hang(event):
        clock.shift(10)
        raise ProviderError("away")

    with time_machine.travel(timezone.now() + timedelta(seconds=1), tick=False) as clock:
        process.drain(handled_by(hang))
        row.refresh_from_db()
        assert row.due_at == timezone.now() + timedelta(seconds=5)


def test_a_drain_comes_back_for_what_failed_in_it_and_for_nothing_else(stored):
    """Or each delivery would start a chain of wake-ups of its own while anything at all waits."""
    waits = stored()
    WebhookLog.objects.filter(pk=waits.pk).update(status="failed", due_at=timezone.now() + timedelta(seconds=20))
    stored()
    assert process.drain(process.Table()).next_due_at is None
    assert process.next_due(timezone.now()) is not None
    Webhook.objects.update(is_active=False)
    assert process.next_due(timezone.now()) is None


def test_the_next_due_time_is_known(stored):
    stored()
    summary = process.drain(handled_by(refuse(ProviderError("away"))))
    assert summary.next_due_at is not None
    assert summary.as_dict() == {"processed": 0, "failed": 1, "duplicates": 0}


# --- Deliveries that only the provider can vouch for -----------------------------------------------------------------


@pytest.fixture
def unverified(route):
    def make() -> WebhookLog:
        row = WebhookLog(
            webhook_id=route("netcash").webhook_id,
            body=b"RequestTrace=t-1",
            payload={"RequestTrace": "t-1"},
            verified=False,
            idempotency_key="t-1:true",
            due_at=timezone.now(),
        )
        receive.store([row])
        return row

    return make


def test_of_what_the_provider_denied_the_newest_are_kept_and_of_the_rest_all(unverified, monkeypatch, settings):
    monkeypatch.setattr(process, "DENIED_KEPT", 2)
    settings.WEBHOOK_RETRY_WAITS = []

    def confirm(answer):
        process.drain(process.Table(confirmers={"netcash": refuse(answer)}))

    never_answered = unverified()
    confirm(ProviderError("NetCash is away."))
    denied = []
    for _ in range(4):
        denied.append(unverified())
        confirm(ProviderError("NetCash knows of no such payment.", permanent=True))
    kept = set(WebhookLog.objects.values_list("pk", flat=True))
    assert kept == {never_answered.pk, *(row.pk for row in denied[-2:])}


def test_a_confirmed_delivery_claims_its_key(unverified):
    row = unverified()
    process.drain(
        process.Table(
            confirmers={"netcash": lambda event: process.Confirmation(words="NetCash says yes.", key="t-1:true")}
        )
    )
    row.refresh_from_db()
    assert (row.status, row.verified, row.claims_key) == ("processed", True, True)
    assert row.verification == "NetCash says yes."


def test_a_second_confirmed_delivery_is_a_duplicate_and_has_no_effect(unverified):
    first, second, effects = unverified(), unverified(), []
    table = process.Table(
        handlers={("netcash", "*"): lambda event: lambda: effects.append(event.log_id)},
        confirmers={"netcash": lambda event: process.Confirmation(words="yes", key="t-1:true")},
    )
    summary = process.drain(table)
    second.refresh_from_db()
    assert (summary.processed, summary.duplicates) == (1, 1)
    assert effects == [first.pk]
    assert (second.status, second.duplicate_of) == ("duplicate", first.pk)


def test_what_the_provider_denies_fails_for_good_and_claims_nothing(unverified):
    row = unverified()
    denied = refuse(ProviderError("NetCash doesn't know it.", permanent=True))
    process.drain(process.Table(confirmers={"netcash": denied}))
    row.refresh_from_db()
    assert (row.status, row.due_at, row.verified, row.claims_key) == ("failed", None, False, False)


def test_while_the_provider_can_not_be_asked_it_waits(unverified):
    row = unverified()
    process.drain(process.Table(confirmers={"netcash": refuse(ProviderError("no answer"))}))
    row.refresh_from_db()
    assert row.status == "failed"
    assert row.due_at is not None
    assert not row.verified
