"""Resend e-mail: github resend/resend-openapi fd6f395f [A], package resend 2.52.0 [A], resend.com/docs [A] (PROVIDERS
§9)."""

from dataclasses import replace

from integrations.providers.answers import OK, by_status, code_at, json_of, not_json, said
from integrations.providers.payloads import at, changed, iso, json_object, key, new_uuid, word
from integrations.providers.signatures import StandardWebhooks
from integrations.providers.spec import Answer, ApiKey, Delivery, Event, Json, Limit, Probe, Provider, Reading, Webhook

SCHEME = StandardWebhooks(brands=("svix", "webhook"))


# 429s that no waiting of seconds helps: asked again once an hour [A names].
QUOTAS = frozenset({"daily_quota_exceeded", "monthly_quota_exceeded"})


def read(answer: Answer) -> Reading:
    """For the probe: a key that may only send can't be asked for anything, but a 401 that says so proves that it lives
    [C]."""
    if answer.status == 401 and at(json_of(answer), "name") == "restricted_api_key":
        return Reading("ok", "The key is alive; it may only send e-mails, so nothing more can be checked with it.")
    return read_call(answer)


def read_call(answer: Answer) -> Reading:
    """For everything else, where such a key is refused like another."""
    body = json_of(answer)
    name = code_at(body, "name")
    verdict = by_status(answer, said(body, "name", "message"), code=name)
    if verdict is not None:
        return replace(verdict, wait=3600.0) if name in QUOTAS else verdict
    return not_json(answer) if body is None else OK


def parse(delivery: Delivery) -> list[Json]:
    return [json_object(delivery.body)]


def event(payload: Json, delivery: Delivery) -> Event:
    """The body has no event id: the delivery's id, the same at every attempt and manual replay, is the key."""
    return Event(word(at(payload, "type")), key(SCHEME.message_id(delivery)), payload)


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    return changed(
        payload,
        {
            "created_at": iso(now),
            "data.created_at": iso(now),
            "data.email_id": new_uuid(delivery_id, "email"),
            "data.id": new_uuid(delivery_id, "thing"),
        },
    )


PROVIDER = Provider(
    slug="resend",
    name="Resend Email",
    vendor="Resend",
    category="communication",
    icon="mail",
    base_url_env="RESEND_API_URL",
    base_url="https://api.resend.com",
    auth=ApiKey(env="RESEND_API_KEY", header="Authorization", prefix="Bearer "),
    probe=Probe(path="/domains"),
    read=read,
    # For the whole team, all keys together; `ratelimit-reset` counts seconds from now [A].
    limit=Limit(
        requests=2,
        seconds=1,
        limit_header="ratelimit-limit",
        remaining_header="ratelimit-remaining",
        reset_header="ratelimit-reset",
        reset="delta",
    ),
    webhook=Webhook(
        path="/api/webhooks/resend",
        method="standard_webhooks",
        secret_env="RESEND_WEBHOOK_SECRET",  # noqa: S106 - a name
        # SDK 2.52 [A]; its newer topic.* and inbox.* are recorded without being declared.
        event_types=(
            "email.sent",
            "email.scheduled",
            "email.delivered",
            "email.delivery_delayed",
            "email.complained",
            "email.bounced",
            "email.opened",
            "email.clicked",
            "email.received",
            "email.failed",
            "email.suppressed",
            "contact.created",
            "contact.updated",
            "contact.deleted",
            "contact.topics.updated",
            "domain.created",
            "domain.updated",
            "domain.deleted",
            "suppression.added",
            "suppression.removed",
        ),
        verify=SCHEME.verify,
        sign=SCHEME.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=(
            "data.from",
            "data.to",
            "data.cc",
            "data.bcc",
            "data.subject",
            "data.email",
            "data.first_name",
            "data.last_name",
            "data.click.ipAddress",
            "data.click.userAgent",
        ),
    ),
    docs_url="https://resend.com/docs",
)
