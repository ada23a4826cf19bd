"""Secrets for every receiver, and deliveries signed as the providers would sign them."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

import pytest
from django.utils import timezone

from integrations.providers import get, samples, spec
from webhooks.services import receive

SECRETS = {
    "ZOHO_CRM_WEBHOOK_TOKEN": "crm-channel-token",
    "ZOHO_SIGN_WEBHOOK_SECRET": "sign-secret-0123456789",
    "ZOHO_BILLING_WEBHOOK_SECRET": "billingsecret12",
    "ZOHO_ORG_ID": "4242",
    "DIDIT_WEBHOOK_SECRET": "didit-secret-0123456789",
    "NETCASH_WEBHOOK_SECRET": "netcash-secret",
    "CLICKATELL_WEBHOOK_SECRET": "clickatell-secret",
    "RESEND_WEBHOOK_SECRET": "whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5",
}


@pytest.fixture
def secrets(monkeypatch) -> dict[str, str]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return SECRETS


@pytest.fixture
def route(db, secrets) -> Callable[[str], receive.Route]:
    """`route("resend")`: the receiver as the lane knows it, with the secrets of now."""
    return lambda slug: next(one for one in receive.routes().values() if one.slug == slug)


def signed(
    slug: str, event_type: str | None = None, *, now: datetime | None = None, delivery_id: str = "msg_1"
) -> spec.Delivery:
    """A sample event as its provider would send it: signed now, an event of its own for each `delivery_id`."""
    webhook = get(slug).webhook
    at = (now or timezone.now()).timestamp()
    payload = webhook.fresh(samples.load(slug, event_type or webhook.event_types[0]), at, delivery_id)
    return webhook.sign(payload, SECRETS[webhook.secret_env], now=at, delivery_id=delivery_id)


def raw(body: bytes, *, delivery_id: str = "msg_1") -> spec.Delivery:
    """Any bytes, genuinely signed for Resend."""
    key = base64.b64decode(SECRETS["RESEND_WEBHOOK_SECRET"].removeprefix("whsec_"))
    timestamp = str(int(timezone.now().timestamp()))
    signature = hmac.new(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "svix-id": delivery_id,
        "svix-timestamp": timestamp,
        "svix-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
    return spec.Delivery(body=body, headers=headers)
