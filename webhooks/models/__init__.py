"""Webhooks, every delivery received, and every attempt to do something with it."""

from webhooks.models.deliveries import Attempt, Forward, ForwardQuerySet, Webhook, WebhookLog, WebhookLogQuerySet
from webhooks.models.refusals import Refusal, RefusalTally, Reverification, SecretUse
from webhooks.models.registrations import Registration, RegistrationCheck
from webhooks.models.upkeep import LaneMinute, ReplayBatch, Rhythm, Silence

__all__ = [
    "Attempt",
    "Forward",
    "ForwardQuerySet",
    "LaneMinute",
    "Refusal",
    "RefusalTally",
    "Registration",
    "RegistrationCheck",
    "ReplayBatch",
    "Reverification",
    "Rhythm",
    "SecretUse",
    "Silence",
    "Webhook",
    "WebhookLog",
    "WebhookLogQuerySet",
]
