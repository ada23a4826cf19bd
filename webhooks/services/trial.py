"""Test deliveries: signed as the provider would sign them, then through the receiving code, in process.

That an event is a test is known from us, never from a header: whoever could claim it could hide behind it. Each has a
key of its own and claims none, so that no test can pass for an event, or stand in the way of one.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from integrations import activity, ids
from integrations.actor import Actor
from integrations.providers import payloads, samples, spec
from webhooks.models import Webhook, WebhookLog
from webhooks.services import receive
from webhooks.services.replay import HEAD_START


class UnknownEvent(Exception):
    """The receiver knows no such event type, or there is no sample of it."""


class Unfit(Exception):
    """The payload given is not of the event type given."""


class CannotTest(Exception):
    """The receiver is not set up for it, or would refuse it. The text says what to do."""


def event_types(webhook: Webhook) -> list[str]:
    declared = webhook.integration.spec
    known = declared.webhook.event_types if declared and declared.webhook else ()
    return sorted({*known, *webhook.event_types})


def sample(webhook: Webhook, event_type: str) -> Any:
    """A payload of this type, None where there is no sample of it."""
    try:
        return samples.load(webhook.integration.slug, event_type)
    except LookupError:
        return None


@transaction.atomic
def send(
    webhook: Webhook, *, event_type: str, payload: dict[str, Any] | None, forwards: bool, actor: Actor, now: datetime
) -> list[WebhookLog]:
    """Store a test of `event_type`, with the sample of it if there is no `payload`, due at once; usually one row.

    `forwards`: pass it on like any other event. Raises UnknownEvent, Unfit, CannotTest.
    """
    if event_type not in event_types(webhook):
        raise UnknownEvent(f"This receiver knows no event type {event_type!r}.")
    said = sample(webhook, event_type) if payload is None else payload
    if said is None:
        raise UnknownEvent(f"There is no sample of {event_type!r}: give a payload.")
    name = f"test_{ids.new().hex}"
    rows = _received(webhook, said, name, now)
    if rows[0].event_type is None:
        rows[0].event_type = event_type[:200]
    if rows[0].event_type != event_type:
        raise Unfit(f"By its payload this is {rows[0].event_type!r}, not {event_type!r}.")
    for number, row in enumerate(rows):
        row.webhook, row.is_test, row.forwards, row.claims_key = webhook, True, forwards, False
        row.idempotency_key = f"{name}.{number}" if number else name
        row.due_at = now + HEAD_START if row.due_at else None
    receive.store(rows)
    activity.record(
        actor=actor,
        action="webhook_tested",
        integration=webhook.integration,
        details={
            "webhook": webhook.webhook_url, "event_type": event_type, "log": rows[0].pk, "forwarded": forwards,
            "own_payload": payload is not None,
        },
    )  # fmt: skip
    return rows


def _received(webhook: Webhook, payload: Any, name: str, now: datetime) -> list[WebhookLog]:
    route = receive.routes().get(webhook.webhook_url)
    if route is None:
        raise CannotTest("This version doesn't know how its provider signs.")
    fresh = route.webhook.fresh(payload, now.timestamp(), name)
    if route.webhook.method == "jwt":
        unsigned = spec.Delivery(body=payloads.compact([fresh]), headers={"content-type": "application/json"})
        return _unsigned(route, unsigned, now, f"Not signed: {webhook.integration.name.split()[-1]}'s key isn't ours.")
    if not route.secrets and route.webhook.method != "md5_hash":
        raise CannotTest(f"{route.secret_env} is not set: there is nothing to sign with, and nothing is accepted.")
    try:
        signed = route.webhook.sign(fresh, next(iter(route.secrets), ""), now=now.timestamp(), delivery_id=name)
        if not route.secrets:
            return _unsigned(route, signed, now, f"Not signed: {route.secret_env} is not set, so posts carry no hash.")
        return receive.admit(route, signed, now=now)
    except spec.Refused as refusal:
        raise CannotTest(f"The receiver refuses it: {refusal.detail or refusal.reason}") from refusal
    except (ValueError, TypeError) as error:
        raise CannotTest(f"It can't be signed with {route.secret_env}: {error}") from error


def _unsigned(route: receive.Route, delivery: spec.Delivery, now: datetime, words: str) -> list[WebhookLog]:
    return receive.rows_of(route, delivery, spec.Verified(0, words), now=now)
