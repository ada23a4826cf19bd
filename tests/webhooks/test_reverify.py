"""Judging again what was refused: chunk by chunk, whoever is killed, and one bad one keeps back no other."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone

from integrations.accounts.models import User
from integrations.actor import Actor
from integrations.models import Activity
from integrations.providers import spec
from tests.webhooks.conftest import SECRETS, signed
from webhooks.models import Refusal, Reverification, Webhook, WebhookLog
from webhooks.services import keys, process, quarantine, receive, reverify

pytestmark = pytest.mark.django_db

WRONG = "whsec_d3Jvbmctc2lnbmluZy1rZXktMjRieXRl"
ALICE = Actor(username="alice", ip_address="192.0.2.7")


@pytest.fixture
def kept(route, monkeypatch) -> Callable[..., list[Refusal]]:
    """`kept(5, forged=2)`: genuine deliveries that were refused while the secret was wrong, and forged ones."""

    def make(genuine: int = 0, *, forged: int = 0) -> list[Refusal]:
        now, rows = timezone.now(), []
        for number in range(genuine + forged):
            at = now - timedelta(minutes=genuine + forged - number)
            delivery = signed("resend", delivery_id=f"msg_{number}", now=at)
            if number >= genuine:
                delivery = dataclasses.replace(delivery, body=delivery.body + b" ")
            one = quarantine.Refused(
                route=route("resend"), delivery=delivery, reason="mismatch", detail="No secret fits.", at=at,
                caller=Actor(username="anonymous"), keep=True, note=False,
            )  # fmt: skip
            rows.append(quarantine._row(one))
        return Refusal.objects.bulk_create(rows)

    return make


def again(route: Callable[[str], receive.Route], **more: Any) -> Reverification:
    return reverify.ask(route("resend"), actor=ALICE, now=timezone.now(), **more)


def test_what_is_genuine_is_released_in_the_order_in_which_it_came(kept, route, monkeypatch):
    monkeypatch.setattr(reverify, "CHUNK", 2)
    rows = kept(5, forged=2)
    done = again(route)
    assert (done.total, done.released, done.refused, done.unreadable, done.due_at) == (7, 5, 2, 0, None)
    assert done.finished_at is not None
    released = WebhookLog.objects.order_by("due_at", "pk")
    assert [bytes(row.body) for row in released] == [bytes(row.body) for row in rows[:5]]
    entry = Activity.objects.get()
    assert (entry.action, entry.username, entry.ip_address) == ("webhook_reverified", "alice", "192.0.2.7")
    assert entry.details["released"] == 5
    assert entry.details["finished"] is True


def test_only_those_asked_for(kept, route):
    rows = kept(3)
    done = again(route, chosen=[rows[1].pk])
    assert (done.total, done.released) == (1, 1)
    assert list(Refusal.objects.exclude(released_at=None)) == [rows[1]]


def test_a_preview_releases_nothing(kept, route):
    kept(3, forged=1)
    found = reverify.preview(route("resend"), now=timezone.now())
    assert (found.genuine, found.refused, found.judged) == (3, 1, 4)
    assert not WebhookLog.objects.exists()
    assert not Refusal.objects.exclude(released_at=None).exists()
    assert reverify.preview(route("resend"), now=timezone.now(), budget_seconds=-1).judged == 0


def test_what_takes_long_goes_on_in_the_background_under_the_name_of_who_asked(kept, route, alice):
    kept(4, forged=1)
    done = reverify.ask(
        route("resend"), actor=Actor(username="alice", user_id=alice.pk), now=timezone.now(), budget_seconds=-1
    )
    assert done.released == 1  # one is begun before anybody looks at the clock
    assert done.due_at is not None
    assert done.due_at <= timezone.now()
    assert Activity.objects.get().details["finished"] is False
    summary = reverify.run_due()
    done.refresh_from_db()
    assert (summary.released, summary.next_due_at) == (3, None)
    assert (done.released, done.refused, done.due_at) == (4, 1, None)
    last = Activity.objects.order_by("-seq")[0]
    assert (last.username, last.admin_user_id, last.details["released"]) == ("alice", alice.pk, 4)
    assert not reverify.due(now=timezone.now())


def test_who_is_killed_is_followed_by_one_who_goes_on_and_counts_right(kept, route, monkeypatch):
    monkeypatch.setattr(reverify, "CHUNK", 3)
    kept(6, forged=2)
    judged: list[Refusal] = []

    def die(route_: Any, delivery: spec.Delivery, at: Any) -> Any:
        judged.append(delivery)
        if len(judged) == 5:
            raise KeyboardInterrupt
        return receive.admit(route_, delivery, now=at)

    with monkeypatch.context() as patch:
        patch.setattr(keys, "admit", die)
        with pytest.raises(KeyboardInterrupt):
            again(route)
    assert WebhookLog.objects.count() == 4
    assert reverify.run_due().released == 0  # the lease of the dead one
    Reverification.objects.update(due_at=timezone.now())
    assert reverify.run_due().released == 2
    row = Reverification.objects.get()
    assert (row.released, row.refused, row.due_at) == (6, 2, None)
    assert WebhookLog.objects.filter(status="duplicate").count() == 0


def test_two_at_once_release_each_once(kept, route):
    kept(4)
    first = again(route, budget_seconds=-1)
    second = again(route)
    reverify.run_due()
    first.refresh_from_db()
    assert (first.released, second.released) == (1, 3)
    assert WebhookLog.objects.count() == 4


def test_one_that_can_not_be_stored_keeps_back_no_other(kept, route, monkeypatch):
    rows = kept(3)
    store = receive.store

    def refuse(made: Any) -> None:
        if bytes(made[0].body) == bytes(rows[1].body):
            raise DataError("no such character")
        store(made)

    monkeypatch.setattr(receive, "store", refuse)
    done = again(route)
    assert (done.released, done.unreadable, done.due_at) == (2, 1, None)
    assert Refusal.objects.get(released_at=None) == rows[1]


def test_what_was_released_is_processed(kept, route):
    kept(3)
    again(route)
    assert process.drain(process.Table()).processed == 3


def test_without_keys_nothing_is_promised_and_what_was_promised_waits(route, monkeypatch):
    def away(route_: receive.Route) -> Any:
        raise keys.KeysUnavailable("gone")

    monkeypatch.setattr(keys, "fetched", away)
    with pytest.raises(keys.KeysUnavailable):
        reverify.ask(route("zoho-desk"), actor=ALICE, now=timezone.now())
    assert not Reverification.objects.exists()
    desk, now = Webhook.objects.get(integration__slug="zoho-desk"), timezone.now()
    row = Refusal(webhook=desk, reason="unknown_key", body=b"[]", created_at=now - timedelta(minutes=1))
    row.sealed = quarantine.crypto.seal(
        '{"headers": {"x-zdesk-jwt": "a.b.c"}, "query": ""}', context=f"refusal:{row.pk}"
    )
    row.save()
    Reverification.objects.create(webhook=desk, total=1, username="alice", created_at=now, due_at=now)
    summary = reverify.run_due()
    assert summary.next_due_at is not None
    assert summary.next_due_at > now + timedelta(seconds=50)
    assert Reverification.objects.get().refused == 0


def test_a_new_key_is_asked_for_once_the_old_ones_do_not_fit(route, monkeypatch):
    asked: list[str] = []

    def admit(route_: Any, delivery: Any, *, now: Any, options: Any) -> list[WebhookLog]:
        if options["jwks"] == "old":
            raise spec.Refused("unknown_key")
        return [WebhookLog()]

    monkeypatch.setattr(receive, "admit", admit)
    monkeypatch.setattr(keys, "fetched", lambda route_: "old")
    monkeypatch.setattr(keys, "fetched_anew", lambda route_: asked.append("anew") or "new")
    delivery = spec.Delivery(body=b"[]", headers={"x-zdesk-jwt": "a.b.c"})
    assert len(keys.admit(route("zoho-desk"), delivery, timezone.now())) == 1
    assert asked == ["anew"]


def test_the_secret_in_use_decides(kept, route, monkeypatch):
    kept(1)
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", WRONG)
    assert again(route).released == 0
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{WRONG},{SECRETS['RESEND_WEBHOOK_SECRET']}")
    assert again(route).released == 1


def test_what_a_person_who_is_gone_asked_for_ends_and_says_so(kept, route, alice):
    kept(2)
    reverify.ask(
        route("resend"), actor=Actor(username="alice", user_id=alice.pk), now=timezone.now(), budget_seconds=-1
    )
    User.objects.all().delete()
    assert reverify.run_due().released == 0
    assert Reverification.objects.get().stopped_why == "Stopped: alice was removed."
    assert Activity.objects.latest("seq").details["finished"] is False
