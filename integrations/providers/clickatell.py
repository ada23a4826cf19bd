"""Clickatell SMS: One API and the older Platform API (PROVIDERS §8).

Sources: github clickatell/clickatell-php [A], guides.clickatell.com customer-callbacks [A],
help.clickatell.com one-api-client-callbacks [A].
"""

from integrations.providers.answers import OK, by_status, code_at, json_of, not_json, said
from integrations.providers.payloads import at, changed, json_object, key, new_number, text
from integrations.providers.signatures import SharedSecret
from integrations.providers.spec import Answer, ApiKey, Delivery, Event, Json, Probe, Provider, Reading, Webhook

# Clickatell signs nothing: the callback URL is given with Basic auth [A, archive], or a proxy adds the header.
SCHEME = SharedSecret(header="X-Webhook-Secret", basic=True)

STATUS, REPLY = "messageStatusUpdate", "moText"
EVENT_TYPES = (STATUS, REPLY, "moMedia", "moLocation")


def read(answer: Answer) -> Reading:
    """200, 201, 202 or 207; inside, the whole request (``error``) or single messages may have been turned down."""
    body = json_of(answer)
    trouble = said(body, "error.description") or said(body, "error", "errorDescription") or said(body, "message")
    code = code_at(body, "error.code", "errorCode")
    if verdict := by_status(answer, trouble, code=code):
        return verdict
    if body is None:
        return not_json(answer)
    if at(body, "error"):
        return Reading("failed", f"HTTP {answer.status}, but: {trouble or 'an error without words'}", code)
    messages = at(body, "messages")
    turned_down = [item for item in messages if at(item, "accepted") is False] if isinstance(messages, list) else []
    if turned_down:
        words = said(turned_down[0], "error.description") or said(turned_down[0], "error")
        told = f"{len(turned_down)} of {len(messages)} messages were turned down: {words or 'no reason given'}"
        return Reading("failed", told, code_at(turned_down[0], "error.code"))
    return OK


def parse(delivery: Delivery) -> list[Json]:
    """One payload for each message. One API sends lists ("batch size 1 today but arrays may grow" [A]): each entry
    keeps the envelope around it, so every payload looks as if it had come alone. Platform callbacks are flat.

    Platform callbacks repeat the API key; it is left out.
    """
    body = {name: value for name, value in json_object(delivery.body).items() if name != "apiKey"}
    lists = at(body, "event")
    if not isinstance(lists, dict):
        return [body]
    return [
        {**body, "event": {name: [entry]}}
        for name, entries in lists.items()
        for entry in (entries if isinstance(entries, list) else [entries])
    ]


def event(payload: Json, delivery: Delivery) -> Event:
    """A status may be told twice, and statuses may come out of order: message, status and time are the key [A]."""
    kind, entry = _entry(payload)
    status = text(at(entry, "statusCode")) or kind or "-"
    return Event(kind, key(text(at(entry, "messageId")), status, text(at(entry, "timestamp"))), payload)


def _entry(payload: Json) -> tuple[str | None, Json]:
    """The event's type and fields. A Platform callback names no type: it gets the One API's for the same thing."""
    match at(payload, "event"):
        case dict() as lists if lists:
            kind, entries = next(iter(lists.items()))
            return kind[:200], entries[0] if isinstance(entries, list) and entries else None
    if at(payload, "statusCode") is not None:
        return STATUS, payload
    return (REPLY if at(payload, "fromNumber") is not None else None), payload


def fresh(payload: Json, now: float, delivery_id: str) -> Json:
    kind, entry = _entry(payload)
    values = {"messageId": new_number(delivery_id, "message", 32), "timestamp": int(now * 1000)}
    if entry is payload:
        return changed(payload, values)
    return changed(payload, {f"event.{kind}": [changed(entry, values)]})


PROVIDER = Provider(
    slug="clickatell",
    name="Clickatell SMS",
    vendor="Clickatell",
    category="communication",
    icon="message-square-text",
    base_url_env="CLICKATELL_API_URL",
    base_url="https://platform.clickatell.com",
    auth=ApiKey(env="CLICKATELL_API_KEY", header="Authorization"),  # raw, no "Bearer" [A]
    probe=Probe(path="/v1/balance"),  # [C]
    read=read,
    webhook=Webhook(
        path="/api/webhooks/clickatell",
        method="header_secret",
        secret_env="CLICKATELL_WEBHOOK_SECRET",  # noqa: S106 - a name
        event_types=EVENT_TYPES,
        verify=SCHEME.verify,
        sign=SCHEME.sign,
        parse=parse,
        event=event,
        fresh=fresh,
        personal=(
            "event.moText.from",
            "event.moText.to",
            "event.moText.content",
            "event.moMedia.from",
            "event.moMedia.to",
            "event.moMedia.content",
            "event.moLocation.from",
            "event.moLocation.to",
            "event.moLocation.location",
            # Platform callbacks
            "to",
            "from",
            "fromNumber",
            "toNumber",
            "text",
        ),
    ),
    docs_url="https://docs.clickatell.com/",
)
