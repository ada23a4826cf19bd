"""What was refused: kept within bounds, told once a minute, released when it proves genuine after all."""

import dataclasses
from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations.actor import Actor
from integrations.models import Activity
from integrations.providers import spec
from tests.webhooks.conftest import SECRETS, signed
from webhooks.models import LaneMinute, Refusal, RefusalTally, SecretUse, WebhookLog
from webhooks.services import figures, quarantine, receive, reverify

pytestmark = pytest.mark.django_db

ALICE = Actor(username="alice")
WRONG = "whsec_d3Jvbmctc2lnbmluZy1rZXktMjRieXRl"


@pytest.fixture
def refuse(route):
    """Refuse a delivery as the lane would."""

    def go(delivery: spec.Delivery, *, slug: str = "resend", at=None, keep: bool = True) -> None:
        at = at or timezone.now()
        with pytest.raises((spec.Refused, receive.NoSecret)):
            receive.admit(route(slug), delivery, now=at)
        one = quarantine.Refused(
            route=route(slug), delivery=delivery, reason="mismatch", detail="No secret fits.", at=at,
            caller=Actor(username="anonymous", ip_address="192.0.2.1"), keep=keep, note=True,
        )  # fmt: skip
        quarantine.keep([one], {one.place: {"mismatch": 1}})

    return go


def forged(number: int) -> spec.Delivery:
    genuine = signed("resend", delivery_id=f"forged_{number}")
    return dataclasses.replace(genuine, body=genuine.body.replace(b"{", b'{"x": 1,', 1))


def test_after_the_secret_is_mended_what_was_genuine_is_released_and_nothing_else(route, refuse, monkeypatch):
    genuine = [signed("resend", delivery_id=f"msg_{n}") for n in range(5)]
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", WRONG)
    for delivery in genuine:
        refuse(delivery)
    for number in range(5):
        refuse(forged(number))
    assert not WebhookLog.objects.exists()

    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", SECRETS["RESEND_WEBHOOK_SECRET"])
    with time_machine.travel(timezone.now() + timedelta(hours=1)):  # judged by the clock of then
        done = reverify.ask(route("resend"), actor=ALICE, now=timezone.now())
        again = reverify.ask(route("resend"), actor=ALICE, now=timezone.now())
    assert (done.released, done.refused, done.duplicates) == (5, 5, 0)
    assert (again.released, again.refused) == (0, 5)
    rows = WebhookLog.objects.all()
    assert {bytes(row.body) for row in rows} == {delivery.body for delivery in genuine}
    assert all(row.status == "pending" and row.due_at and "then released" in row.verification for row in rows)
    assert set(Refusal.objects.exclude(log_id=None).values_list("log_id", flat=True)) == {row.pk for row in rows}
    assert Activity.objects.filter(action="webhook_reverified").count() == 2


def test_what_came_another_way_meanwhile_becomes_a_duplicate(route, refuse, monkeypatch):
    delivery = signed("resend")
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", WRONG)
    refuse(delivery)
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", SECRETS["RESEND_WEBHOOK_SECRET"])
    receive.store(receive.admit(route("resend"), delivery, now=timezone.now()))
    assert reverify.ask(route("resend"), actor=ALICE, now=timezone.now()).duplicates == 1
    assert WebhookLog.objects.filter(status="duplicate").count() == 1


def test_a_flood_is_counted_and_only_the_first_of_an_hour_are_kept(refuse, route, monkeypatch):
    monkeypatch.setattr(quarantine, "KEPT_PER_HOUR", 3)
    now = timezone.now().replace(minute=5)
    for number in range(6):
        refuse(forged(number), at=now)
    refuse(forged(7), at=now + timedelta(hours=1))
    assert Refusal.objects.count() == 4
    assert [(t.kept, t.reasons) for t in RefusalTally.objects.order_by("hour")] == [
        (3, {"mismatch": 6}),
        (1, {"mismatch": 1}),
    ]
    assert Activity.objects.filter(action="webhook_verification_failed").count() == 2


def test_headers_are_sealed_since_they_may_carry_a_secret(refuse):
    delivery = signed("clickatell")
    wrong = {name: "canary" if "secret" in name else value for name, value in delivery.headers.items()}
    refuse(dataclasses.replace(delivery, headers={**wrong, "authorization": "Basic canary"}), slug="clickatell")
    kept = Refusal.objects.get()
    assert "canary" not in kept.sealed
    assert quarantine.opened(kept).headers["authorization"] == "Basic canary"


def test_of_a_large_body_only_the_beginning_is_kept_and_it_can_not_be_released(refuse, route):
    refuse(spec.Delivery(body=b"x" * 100_000))
    kept = Refusal.objects.get()
    assert (len(kept.body), kept.truncated) == (quarantine.KEPT_BYTES, True)
    assert reverify.ask(route("resend"), actor=ALICE, now=timezone.now()).unreadable == 1


def test_what_is_older_than_a_week_stays_where_it_is(refuse, route):
    refuse(forged(1))
    done = reverify.ask(route("resend"), actor=ALICE, now=timezone.now() + quarantine.LIFE)
    assert (done.total, done.released, done.refused, done.finished_at is None) == (0, 0, 0, False)


def test_the_command_says_what_it_released(refuse, monkeypatch, capsys):
    delivery = signed("resend")
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", WRONG)
    refuse(delivery)
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", SECRETS["RESEND_WEBHOOK_SECRET"])
    call_command("reverify_webhooks", "/api/webhooks/resend")
    assert "1 released" in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is no receiver"):
        call_command("reverify_webhooks", "/api/webhooks/stripe")


def test_figures_add_up_and_the_largest_stays(route):
    minute, webhook_id = timezone.now().replace(second=0, microsecond=0), route("resend").webhook_id
    for largest in (7, 3):
        counts = {"received": 2, "commit_ms_max": largest}
        figures.write(process="a:1", minutes={minute: counts}, uses={(webhook_id, "f" * 16): minute})
    row = LaneMinute.objects.get()
    assert (row.received, row.commit_ms_max) == (4, 7)
    assert SecretUse.objects.get().last_matched_at == minute


def test_a_fingerprint_names_a_secret_and_does_not_tell_it():
    assert figures.fingerprint("a") != figures.fingerprint("b")
    assert "canary" not in figures.fingerprint("canary")
