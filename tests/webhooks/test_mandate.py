"""Replays, tests, releases, second forwards: whoever asked is asked again whether they may, when it is done."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm, remove_perm

from integrations.accounts import tokens
from integrations.accounts.models import ApiToken, User
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity, Integration
from integrations.permissions import Perm
from tests.api.conftest import Caller
from tests.webhooks.conftest import signed
from webhooks import bulk
from webhooks.models import Forward, Refusal, Reverification, Webhook, WebhookLog
from webhooks.services import forward, process, quarantine, replay, reverify, trial
from webhooks.services.selection import Selection

pytestmark = pytest.mark.django_db

NOW = timezone.now()
REPLAY = Perm.WEBHOOKS_REPLAY.django_name


@pytest.fixture
def webhook(registry: dict[str, Integration]) -> Webhook:
    return Webhook.objects.get(integration__slug="resend")


@pytest.fixture
def it(person: Callable[..., User]) -> User:
    return person("it", role="IT Manager")


@pytest.fixture
def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK", 2)
    monkeypatch.setattr(replay, "AHEAD", 2)


def by(user: User) -> Actor:
    return Actor(username=user.username, user_id=user.pk)


def events(webhook: Webhook, number: int) -> list[WebhookLog]:
    made = [
        WebhookLog(
            webhook=webhook, status="failed", payload={"type": "email.sent"}, body=b"{}", event_type="email.sent",
            created_at=NOW - timedelta(hours=1, seconds=n),
        )
        for n in range(number)
    ]  # fmt: skip
    return WebhookLog.objects.bulk_create(made)


def disable(user: User) -> str:
    User.objects.filter(pk=user.pk).update(is_active=False)
    return f"Stopped: {user.username} was disabled."


def strip(user: User) -> str:
    user.groups.clear()
    return f"Stopped: {user.username} no longer has the permission integrations:webhooks:replay for it."


def process_all(handled: list[object] | None = None) -> process.Summary:
    """Everything is due now; with `handled` there is a handler, which writes down what it was given."""
    WebhookLog.objects.exclude(due_at=None).update(due_at=timezone.now())
    if handled is None:
        return process.drain(process.Table())
    return process.drain(process.Table(handlers={("resend", "*"): lambda event: handled.append(event.log_id)}))


def told() -> list[tuple[str, str, str]]:
    rows = Activity.objects.filter(action="work_stopped").order_by("seq")
    return [(row.username, row.outcome, row.details["words"]) for row in rows]


# --- Replays of many -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lose", [disable, strip])
def test_a_replay_of_many_goes_no_further_and_says_why(
    webhook: Webhook, it: User, in_twos: None, client: Client, alice: User, lose: Callable[[User], str]
) -> None:
    events(webhook, 6)
    batch = replay.many(Selection(webhook=webhook.pk), actor=by(it), now=NOW)
    assert batch
    replay.run_due()
    process_all()  # the first two were run while they still might
    words = lose(it)
    batch.refresh_from_db()
    type(batch).objects.filter(pk=batch.pk).update(due_at=timezone.now())
    assert replay.run_due().queued == 0
    batch.refresh_from_db()
    assert (batch.status, batch.due_at, batch.queued, batch.stopped_why) == ("stopped", None, 2, words)
    assert replay.progress(batch)["status"] == "stopped"
    assert told() == [("it", "refused", words)]
    client.force_login(alice)
    assert words in client.get(f"/admin/integrations/webhooks/replays/{batch.pk}").content.decode()
    shown = Caller(alice).get(f"/webhooks/replays/{batch.pk}").json()
    assert (shown["status"], shown["stoppedBecause"]) == ("stopped", words)
    with pytest.raises(replay.NothingToCancel):
        replay.cancel(batch, actor=by(alice), now=NOW)


@pytest.mark.parametrize("with_handler", [True, False])
def test_rows_that_were_made_already_are_not_run_and_nothing_is_called_done(
    webhook: Webhook, it: User, with_handler: bool
) -> None:
    events(webhook, 3)
    batch = replay.many(Selection(webhook=webhook.pk), actor=by(it), now=NOW)
    assert batch
    replay.run_due()
    batch.refresh_from_db()
    assert batch.status == "done"  # all rows are made, none is tried
    words, handled = disable(it), list[object]()
    process_all(handled if with_handler else None)
    assert handled == []
    rows = WebhookLog.objects.filter(batch_id=batch.pk)
    assert {(row.status, row.due_at, row.error_message) for row in rows} == {("failed", None, words)}
    batch.refresh_from_db()
    assert (batch.status, bulk.progress(batch).tone) == ("stopped", "down")
    assert told() == [("it", "refused", words)]  # once, not for each


def test_what_was_never_tried_is_taken_back(webhook: Webhook, it: User, in_twos: None) -> None:
    events(webhook, 6)
    batch = replay.many(Selection(webhook=webhook.pk), actor=by(it), now=NOW)
    assert batch
    replay.run_due()
    disable(it)
    type(batch).objects.filter(pk=batch.pk).update(due_at=timezone.now())
    replay.run_due()
    batch.refresh_from_db()
    assert (batch.status, batch.queued) == ("stopped", 0)
    assert not WebhookLog.objects.filter(batch_id=batch.pk).exists()


def test_a_grant_lost_on_one_of_two_stops_it(
    charlie: User, registry: dict[str, Integration], webhook: Webhook
) -> None:
    for slug in ("resend", "netcash"):
        assign_perm(REPLAY, charlie, registry[slug])
    events(webhook, 1)
    chosen = Selection(scope=bulk.scope(charlie))
    first, second = (replay.many(chosen, actor=by(charlie), now=NOW) for _ in range(2))
    assert first
    assert second
    type(first).objects.filter(pk=second.pk).update(due_at=NOW + timedelta(hours=1))
    replay.run_due()
    first.refresh_from_db()
    assert first.status == "done"
    remove_perm(REPLAY, charlie, registry["netcash"])
    type(first).objects.filter(pk=second.pk).update(due_at=timezone.now())
    replay.run_due()
    second.refresh_from_db()
    assert second.status == "stopped"


def test_nobodys_and_the_command_lines_go_on(webhook: Webhook, it: User) -> None:
    events(webhook, 2)
    batch = replay.many(Selection(webhook=webhook.pk), actor=Actor(username="command line"), now=NOW)
    assert batch
    disable(it)
    replay.run_due()
    assert process_all().processed == 2
    batch.refresh_from_db()
    assert batch.status == "done"
    assert told() == []


# --- By a token ------------------------------------------------------------------------------------------------------


def bearer(user: User, **limits: Any) -> ApiToken:
    fields = {"name": "x", "scopes": [], "only_on": [], "days": 30} | limits
    return tokens.make(user=user, actor=SYSTEM, now=timezone.now(), **fields)[0]


def test_the_limits_of_a_token_hold_for_what_it_asked_for(webhook: Webhook, it: User) -> None:
    """Its person may still do it; what they handed the token may not."""
    events(webhook, 1)
    token = bearer(it, only_on=["resend"], scopes=[Perm.WEBHOOKS_REPLAY.public_name])
    asked = Actor(username="it", user_id=it.pk, token_id=token.pk)
    for limits, status in (
        ({}, "done"),
        ({"only_on": ["netcash"]}, "stopped"),
        ({"scopes": ["integrations:read"]}, "stopped"),
    ):
        ApiToken.objects.filter(pk=token.pk).update(**limits)
        batch = replay.many(Selection(webhook=webhook.pk), actor=asked, now=NOW)
        assert batch
        replay.run_due()
        batch.refresh_from_db()
        assert batch.status == status, limits


def test_a_token_that_is_revoked_stops_what_it_asked_for_and_one_that_ran_out_does_not(
    webhook: Webhook, it: User
) -> None:
    events(webhook, 1)
    token = bearer(it)
    asked = Actor(username="it", user_id=it.pk, token_id=token.pk)
    batches = [replay.many(Selection(webhook=webhook.pk), actor=asked, now=NOW) for _ in range(2)]
    first, second = (batch for batch in batches if batch)
    type(first).objects.filter(pk=second.pk).update(due_at=NOW + timedelta(hours=1))
    ApiToken.objects.filter(pk=token.pk).update(expires_at=NOW - timedelta(days=1))
    replay.run_due()
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=NOW)
    type(first).objects.filter(pk=second.pk).update(due_at=timezone.now())
    replay.run_due()
    for batch in (first, second):
        batch.refresh_from_db()
    assert (first.status, second.status) == ("done", "stopped")
    assert second.stopped_why == "Stopped: the API token of it was revoked."


def test_the_api_keeps_the_token_and_the_pages_keep_none(webhook: Webhook, it: User, client: Client) -> None:
    [event] = events(webhook, 1)
    caller = Caller(it)
    caller.send("POST", f"/webhooks/{webhook.pk}/replay", {"logId": str(event.pk)})
    made = WebhookLog.objects.exclude(replay_of=None).get()
    assert made.mandate == {"user": str(it.pk), "name": "it", "token": str(ApiToken.objects.get().pk)}
    client.force_login(it)
    client.post(f"/admin/integrations/webhooks/{event.pk}/replay", {"sure": "yes"})
    made = WebhookLog.objects.exclude(replay_of=None).exclude(pk=made.pk).get()
    assert made.mandate == {"user": str(it.pk), "name": "it"}


# --- One, and tests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a replay", "a test event"])
def test_one_that_waits_for_its_next_try_is_tried_no_more(
    webhook: Webhook, it: User, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(webhook.secret_env_var, "whsec_" + "c2VjcmV0" * 4)
    if what == "a replay":
        row = replay.one(events(webhook, 1)[0], actor=by(it), now=NOW)
    else:
        [row] = trial.send(webhook, event_type="email.sent", payload=None, forwards=False, actor=by(it), now=NOW)
    words, handled = strip(it), list[object]()
    process_all(handled)
    row.refresh_from_db()
    assert (row.status, row.due_at, row.error_message, handled) == ("failed", None, words, [])
    entry = Activity.objects.get(action="work_stopped")
    assert (entry.username, entry.integration_slug, entry.details["what"]) == ("it", "resend", what)


def test_what_a_provider_sent_runs_whoever_is_disabled(webhook: Webhook, it: User) -> None:
    row = WebhookLog.objects.create(webhook=webhook, payload={}, body=b"{}", due_at=timezone.now())
    disable(it)
    handled: list[object] = []
    process_all(handled)
    assert handled == [row.pk]


# --- What was refused, and forwards ----------------------------------------------------------------------------------


@pytest.fixture
def refused(route: Any) -> list[Refusal]:
    now, rows = timezone.now(), []
    for number in range(4):
        at = now - timedelta(minutes=number + 1)
        one = quarantine.Refused(
            route=route("resend"), delivery=dataclasses.replace(signed("resend", delivery_id=f"m{number}", now=at)),
            reason="mismatch", detail="", at=at, caller=SYSTEM, keep=True, note=False,
        )  # fmt: skip
        rows.append(quarantine._row(one))
    return Refusal.objects.bulk_create(rows)


def test_releasing_goes_no_further(
    refused: list[Refusal], route: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverify, "CHUNK", 2)
    row = reverify.ask(route("resend"), actor=by(alice), now=timezone.now(), budget_seconds=0)
    assert row.due_at is not None
    assert row.released == 1
    words = disable(alice)
    reverify.run_due()
    row.refresh_from_db()
    assert (row.released, row.due_at, row.stopped_why) == (1, None, words)
    assert words in reverify.words(Reverification.objects.get())
    assert Refusal.objects.filter(released_at=None).count() == 3
    last = Activity.objects.filter(action="webhook_reverified").latest("seq")
    assert last.details["finished"] is False
    assert told() == [("alice", "refused", words)]


@pytest.mark.parametrize("gave_up", [True, False])
def test_another_forward_is_theirs_and_what_waits_by_itself_is_not(
    webhook: Webhook, it: User, gave_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Webhook.objects.filter(pk=webhook.pk).update(forward_url="https://target.example.com/in")
    sent: list[object] = []
    monkeypatch.setattr(forward, "_post", sent.append)
    monkeypatch.setattr(forward, "_judge", lambda _answer: None)
    [event] = events(webhook, 1)
    due = None if gave_up else timezone.now() + timedelta(hours=1)
    row = Forward.objects.create(
        log=event, webhook=webhook, url="https://target.example.com/in", status="failed", due_at=due
    )
    forward.again(row, actor=by(it), now=timezone.now())
    words = strip(it)
    row.refresh_from_db()
    row.webhook.refresh_from_db()
    forward.send(row, forward.Summary())
    row.refresh_from_db()
    if gave_up:
        assert (row.status, row.due_at, row.error_message, sent) == ("failed", None, words, [])
        assert told() == [("it", "refused", words)]
    else:
        assert (row.status, len(sent)) == ("delivered", 1)
