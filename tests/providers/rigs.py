"""Each webhook as the contract tests need it: how it is signed, and how its proof is taken away or replaced."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from integrations.providers import PROVIDERS, generic, samples
from integrations.providers.signatures import BodyHmac, SharedSecret, StandardWebhooks, desk_signer
from integrations.providers.spec import Delivery, Refused, Sign, Unverified, Verified, Webhook

NOW = 1_700_000_000.0

Replaced = Callable[[Delivery, str | None], Delivery]
"""The delivery with another proof, or with none."""


@dataclass(frozen=True, kw_only=True)
class Rig:
    name: str
    webhook: Webhook
    samples: Mapping[str, Any]
    secrets: tuple[str, str] = ("the-new-secret-0123456789", "the-old-secret-0123456789")
    sign: Sign
    replaced: Replaced
    covers_body: bool = True
    tolerance: int | None = None
    ahead: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def delivery(self, *, secret: int = 0, now: float = NOW, event_type: str | None = None) -> Delivery:
        payload = self.samples[event_type or next(iter(self.samples))]
        return self.sign(payload, self.secrets[secret], now=now, delivery_id="msg_1")

    def verify(self, delivery: Delivery, secrets: tuple[str, ...] | None = None, *, now: float = NOW) -> Any:
        used = self.secrets if secrets is None else secrets
        return self.webhook.verify(delivery, used, now=now, options=self.options)

    def judged(self, delivery: Delivery, *secrets: str, now: float = NOW) -> Verified | Unverified | Refused:
        try:
            return self.webhook.verify(delivery, secrets or self.secrets, now=now, options=self.options)
        except Refused as refused:
            return refused

    def verdict(self, delivery: Delivery, *secrets: str, now: float = NOW) -> str:
        """The reason for which it is refused, or "taken"."""
        judged = self.judged(delivery, *secrets, now=now)
        return judged.reason if isinstance(judged, Refused) else "taken"


def with_headers(delivery: Delivery, **headers: str | None) -> Delivery:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    merged = {**delivery.headers, **named}
    return replace(delivery, headers={name: value for name, value in merged.items() if value is not None})


def didit_delivery(body: bytes, **headers: str) -> Delivery:
    stamp = json.loads(body)["timestamp"]
    return with_headers(Delivery(body=body, headers={"x-timestamp": str(stamp)}), **headers)


def in_headers(*names: str) -> Replaced:
    def replaced(delivery: Delivery, proof: str | None) -> Delivery:
        kept = {name: value for name, value in delivery.headers.items() if name not in names}
        return replace(delivery, headers={**kept, **dict.fromkeys(names if proof is not None else (), proof)})

    return replaced


def in_body(delivery: Delivery, proof: str | None) -> Delivery:
    payload = {name: value for name, value in json.loads(delivery.body).items() if name != "token"}
    return replace(delivery, body=json.dumps(payload if proof is None else {**payload, "token": proof}).encode())


def in_form(delivery: Delivery, proof: str | None) -> Delivery:
    fields = {name: value for name, value in parse_qsl(delivery.body.decode(), True) if name != "Hash"}
    return replace(delivery, body=urlencode(fields if proof is None else {**fields, "Hash": proof}).encode())


# --- Zoho Desk, with a key of our own --------------------------------------------------------------------------------

KID = "desk-test-key"
_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DESK_PRIVATE_KEY = _key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
_public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_key.public_key()))
JWKS = {"keys": [{**_public, "kid": KID, "use": "sig", "alg": "RS256"}]}
ORG_IDS = ("700000042", "700000043")

# --- All of them -----------------------------------------------------------------------------------------------------

WHSEC = ("whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
_TELLING: dict[str, dict[str, Any]] = {
    "zoho-crm": {"replaced": in_body, "covers_body": False},
    "zoho-sign": {"replaced": in_headers("x-zs-webhook-signature")},
    "zoho-billing": {"replaced": in_headers("x-zoho-webhook-signature")},
    "zoho-desk": {
        "replaced": in_headers("x-zdesk-jwt"),
        "covers_body": False,
        "secrets": ORG_IDS,
        "sign": desk_signer(DESK_PRIVATE_KEY, kid=KID),
        "options": {"jwks": JWKS},
        "tolerance": 300 + 60,  # the JWT's own life, and the leeway
        "ahead": 60,
    },
    "didit-kyc": {"replaced": in_headers("x-signature", "x-signature-v2", "x-signature-simple"), "tolerance": 600},
    "netcash": {"replaced": in_form},
    "clickatell": {"replaced": in_headers("x-webhook-secret"), "covers_body": False},
    "resend": {"replaced": in_headers("svix-signature"), "tolerance": 300, "secrets": WHSEC},
}


def of_provider(slug: str, webhook: Webhook, **telling: Any) -> Rig:
    found = {event_type: samples.load(slug, event_type) for event_type in webhook.event_types}
    return Rig(name=slug, webhook=webhook, samples=found, **{"sign": webhook.sign, **telling})


def _generic(name: str, scheme: generic.Scheme, **telling: Any) -> Rig:
    webhook = generic.webhook(
        path=f"/api/webhooks/{name}", secret_env="WEBHOOK_ACME_SECRET", scheme=scheme, event_types=("order.paid",),
        type_at="event", id_at="order.id", time_at="sent_at", personal=("customer",),
    )  # fmt: skip
    sample = {
        "event": "order.paid",
        "sent_at": "2023-11-14T22:13:20.000Z",
        "order": {"id": 42},
        "customer": "Thandi Example",
    }
    return Rig(name=name, webhook=webhook, samples={"order.paid": sample}, sign=webhook.sign, **telling)


PROVIDER_RIGS = [of_provider(p.slug, p.webhook, **_TELLING[p.slug]) for p in PROVIDERS if p.webhook]
GENERIC_RIGS = [
    _generic("acme-hex", BodyHmac(header="X-Acme", prefix="sha256="), replaced=in_headers("x-acme")),
    _generic("acme-base64", BodyHmac(header="X-Acme", encodings=("base64",)), replaced=in_headers("x-acme")),
    _generic(
        "acme-secret", SharedSecret(header="X-Acme", basic=False), replaced=in_headers("x-acme"), covers_body=False
    ),
    _generic(
        "acme-standard", StandardWebhooks(), replaced=in_headers("webhook-signature"), tolerance=300, secrets=WHSEC
    ),
]
OLDER_SHAPES = {
    "clickatell": [
        {
            "integrationName": "Example SMS", "messageId": "02ca", "requestId": "77", "clientMessageId": "notice-1042",
            "to": "27820000001", "from": "27820000009", "statusCode": 5, "status": "DEVICE_ACK",
            "statusDescription": "Received by recipient", "timestamp": 1_700_000_000_000, "apiKey": "the-api-key",
        },
        {
            "integrationId": "ff80", "messageId": "7b1c", "replyMessageId": "02ca", "apiKey": "the-api-key",
            "fromNumber": "27820000001", "toNumber": "27820000009", "timestamp": 1_700_000_000_000,
            "text": "Yes", "charset": "UTF-8", "udh": "", "network": "65501", "keyword": "",
        },
    ]
}  # fmt: skip
"""Clickatell's Platform callbacks: [status, reply]."""

RIGS = [*PROVIDER_RIGS, *GENERIC_RIGS]
BY_NAME = {rig.name: rig for rig in RIGS}
