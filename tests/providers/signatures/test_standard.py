"""Standard Webhooks: against the libraries of those who invented it, and in its corners."""

import json
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix

from integrations.providers.signatures import (
    StandardWebhooks,
    standard,
)
from integrations.providers.spec import Delivery, Refused
from tests.providers.rigs import BY_NAME, NOW, WHSEC, with_headers

BODY = '{"type":"email.sent","data":{"subject":"Grüße"}}'


def test_what_svix_signs_is_taken_and_what_we_sign_svix_takes() -> None:
    now = datetime.now(UTC)
    signature = svix.Webhook(WHSEC[0]).sign("msg_1", now, BODY)
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}
    delivery = Delivery(body=BODY.encode(), headers=headers)
    assert BY_NAME["resend"].verdict(delivery, WHSEC[0], now=now.timestamp()) == "taken"
    ours = StandardWebhooks(brands=("svix",)).sign(json.loads(BODY), WHSEC[0], now=time.time(), delivery_id="msg_2")
    svix.Webhook(WHSEC[0]).verify(ours.body, dict(ours.headers))
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(WHSEC[0]).verify(ours.body + b" ", dict(ours.headers))


def test_what_standardwebhooks_signs_is_taken_and_what_we_sign_it_takes() -> None:
    now = datetime.now(UTC)
    signature = standardwebhooks.Webhook(WHSEC[0]).sign("msg_1", now, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    delivery = Delivery(body=BODY.encode(), headers=headers)
    assert BY_NAME["resend"].verdict(delivery, WHSEC[0], now=now.timestamp()) == "taken"
    ours = StandardWebhooks(brands=("webhook",)).sign(json.loads(BODY), WHSEC[0], now=time.time(), delivery_id="msg_2")
    assert standardwebhooks.Webhook(WHSEC[0]).verify(ours.body, dict(ours.headers)) == json.loads(BODY)


@pytest.mark.parametrize("padding", ["", "="])
@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_secret_is_understood_with_or_without_prefix_and_padding(prefix: str, padding: str) -> None:
    secret = prefix + WHSEC[1].removeprefix("whsec_").rstrip("=") + padding
    assert BY_NAME["resend"].verdict(BY_NAME["resend"].delivery(secret=1), secret) == "taken"


@pytest.mark.parametrize(
    "secret", ["whsec_not base64", "whsec_AAAA AAAA", "whsec_", "whsec_a", "żółć", "whsec_AAA\x00"]
)
def test_a_secret_that_is_not_base64_is_named_as_the_trouble(secret: str) -> None:
    assert BY_NAME["resend"].verdict(BY_NAME["resend"].delivery(), secret) == "malformed_secret"
    with pytest.raises(ValueError, match="base64"):
        standard.signature(secret, id="msg_1", timestamp=1, body=b"")


def test_one_malformed_secret_does_not_spoil_the_other() -> None:
    rig = BY_NAME["resend"]
    assert rig.verify(rig.delivery(), secrets=("whsec_not base64", WHSEC[0])).secret == 1


def test_any_of_several_signatures_may_hold() -> None:
    delivery = BY_NAME["resend"].delivery()
    wrong = standard.signature(WHSEC[1], id="msg_9", timestamp=1, body=b"")
    several = with_headers(delivery, svix_signature=f"v1a,AAAA v2,BBBB {wrong}  {delivery.headers['svix-signature']}")
    assert BY_NAME["resend"].verdict(several, WHSEC[0]) == "taken"


@pytest.mark.parametrize(
    "stamp", ["1700000000.0", "1e9", "-1", "+1700000000", " ", "٣", "", "1" * 400, "0x10", "17_0"]
)
def test_only_a_whole_number_of_seconds_is_a_timestamp(stamp: str) -> None:
    delivery = with_headers(BY_NAME["resend"].delivery(), svix_timestamp=stamp)
    assert BY_NAME["resend"].verdict(delivery, WHSEC[0]) == "malformed_header"


@pytest.mark.parametrize("missing", ["svix_id", "svix_timestamp", "svix_signature"])
def test_the_missing_header_is_named(missing: str) -> None:
    delivery = with_headers(BY_NAME["resend"].delivery(), **{missing: None})
    with pytest.raises(Refused, match=missing.replace("_", "-")) as caught:
        BY_NAME["resend"].verify(delivery)
    assert caught.value.reason == "missing_header"


def test_headers_of_two_brands_are_not_put_together() -> None:
    genuine = BY_NAME["resend"].delivery()
    mixed = with_headers(genuine, svix_id=None, webhook_id=genuine.headers["svix-id"])
    assert BY_NAME["resend"].verdict(mixed, WHSEC[0]) == "missing_header"


def test_the_key_comes_from_the_id_that_was_signed() -> None:
    rig = BY_NAME["acme-standard"]
    svix_only = StandardWebhooks(brands=("svix",)).sign(
        rig.samples["order.paid"], WHSEC[0], now=NOW, delivery_id="signed"
    )
    smuggled = with_headers(svix_only, webhook_id="unsigned")
    assert rig.verdict(smuggled, WHSEC[0]) == "taken"
    assert rig.webhook.event(json.loads(smuggled.body), smuggled).key == "signed"
