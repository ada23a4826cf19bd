"""Test deliveries: signed as the provider would sign them, then through the receiving code, in process.

That an event is a test is known from us, never from a header: whoever could claim it could hide behind it. Each has a
key of its own and claims none, so that no test can pass for an event, or stand in the way of one.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from integrations import activity, ids, mandate
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
        raise UnknownEvent(_("This receiver knows no event type {kind!r}.").format(kind=event_type))
    said = sample(webhook, event_type) if payload is None else payload
    if said is None:
        raise UnknownEvent(_("There is no sample of {kind!r}: give a payload.").format(kind=event_type))
    name = f"test_{ids.new().hex}"
    rows = _received(webhook, said, name, now)
    if rows[0].event_type is None:
        rows[0].event_type = event_type[:200]
    if rows[0].event_type != event_type:
        words = _("By its payload this is {told!r}, not {kind!r}.")
        raise Unfit(words.format(told=rows[0].event_type, kind=event_type))
    for number, row in enumerate(rows):
        row.webhook, row.is_test, row.forwards, row.claims_key = webhook, True, forwards, False
        row.mandate = mandate.of(actor)
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
        raise CannotTest(_("This version doesn't know how its provider signs."))
    fresh = route.webhook.fresh(payload, now.timestamp(), name)
    if route.webhook.method == "jwt":
        unsigned = spec.Delivery(body=payloads.compact([fresh]), headers={"content-type": "application/json"})
        return _unsigned(route, unsigned, now, f"Not signed: {webhook.integration.name.split()[-1]}'s key isn't ours.")
    if not route.secrets and route.webhook.method != "md5_hash":
        words = _("{variable} is not set: there is nothing to sign with, and nothing is accepted.")
        raise CannotTest(words.format(variable=route.secret_env))
    try:
        signed = route.webhook.sign(fresh, next(iter(route.secrets), ""), now=now.timestamp(), delivery_id=name)
        if not route.secrets:
            return _unsigned(route, signed, now, f"Not signed: {route.secret_env} is not set, so posts carry no hash.")
        return receive.admit(route, signed, now=now)
    except spec.Refused as refusal:
        raise CannotTest(_("The receiver refuses it: {why}").format(why=refusal.detail or refusal.reason)) from refusal
    except (ValueError, TypeError) as error:
        words = _("It can't be signed with {variable}: {error}").format(variable=route.secret_env, error=error)
        raise CannotTest(words) from error


def _unsigned(route: receive.Route, delivery: spec.Delivery, now: datetime, words: str) -> list[WebhookLog]:
    return receive.rows_of(route, delivery, spec.Verified(0, words), now=now)
