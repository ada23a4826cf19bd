"""One delivery as its page and its row in the feed tell it: what it says, what proved it, what became of it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from integrations import credentials, permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from integrations.providers.spec import Json
from integrations.seek import Place
from webhooks import curl, timeline, tree
from webhooks.feed import Row, row_of
from webhooks.models import Forward, Webhook, WebhookLog
from webhooks.privacy import mask, personal, without
from webhooks.services import backfill
from webhooks.services.listing import Wanted

SHOWN_CHARACTERS = 65_536
COMPARED_WITH = 5
"""So many events of the same kind are looked at for one that a provider sent."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

Status = WebhookLog.Status


@dataclass(frozen=True, slots=True)
class Previous:
    """The event of the same type before this one at the same receiver, and what differs."""

    row: Row
    compared: tree.Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A delivery with everything that is known of it. `fetched`: what the provider's API says of it, empty where
    nobody asked. `replay` and `retry` are where to ask for another run and another forward, "" for who may not, or
    where there is nothing to run."""

    row: Row
    log: WebhookLog
    method: str
    folded: tuple[tree.Line, ...]
    payload: str
    payload_note: str
    fetched: tuple[tree.Line, ...]
    headers: tuple[tuple[str, str], ...]
    curl: str
    steps: tuple[timeline.Step, ...]
    forward: Forward | None
    previous: Previous | None
    replay: str
    retry: str


def body(log: WebhookLog, user: User) -> Body:
    webhook, payload = log.webhook, _shown(log)
    text, note = _payload(log)
    forward = getattr(log, "forward", None)
    headers = {str(name): str(value) for name, value in sorted(log.headers.items())}
    may = permissions.may(user, Perm.WEBHOOKS_REPLAY, webhook.integration)
    return Body(
        row=row_of(log),
        log=log,
        method="" if log.verification == backfill.WORDS else webhook.get_verification_method_display(),
        folded=() if log.payload is None else tree.fold(payload),
        payload=text,
        payload_note=note,
        fetched=() if log.fetched is None else tree.fold(cleaned(log.fetched, webhook)),
        headers=tuple(headers.items()),
        curl=_command(log, headers, payload, text),
        steps=tuple(timeline.of(log, log.attempt_rows.all(), forward)),
        forward=forward,
        previous=_previous(log, payload),
        replay=reverse("replay-event", args=[log.pk]) if may and runs(log) else "",
        retry=reverse("retry-forward", args=[webhook.pk, forward.pk]) if may and forward and goes(forward) else "",
    )


def runs(log: WebhookLog) -> bool:
    """Whether it can be replayed."""
    return log.verified and log.payload is not None and log.status != Status.PENDING


def goes(forward: Forward) -> bool:
    """Whether it can be sent once more."""
    return forward.status in (Forward.Status.PENDING, Forward.Status.FAILED)


def raw(log: WebhookLog) -> tuple[bytes, str, str]:
    """What may be taken away of it: bytes, content type, file name. Where fields are personal, what it says with
    those masked; else what came, byte for byte."""
    name = _UNSAFE.sub("-", log.event_type or "event")
    if guarded(log.webhook):
        content = b"" if log.payload is None else _pretty(_shown(log)).encode()
        return content, "application/json", f"{name[:80]}-{log.pk}.json"
    return log.raw_body(), "application/octet-stream", f"{name[:80]}-{log.pk}.bin"


def guarded(webhook: Webhook) -> bool:
    """Whether raw bytes may hold what nobody is to see: personal fields, or a token that proves deliveries."""
    return bool(personal(webhook.integration.spec)) or webhook.verification_method == Webhook.Method.BODY_TOKEN


def _payload(log: WebhookLog) -> tuple[str, str]:
    """The payload as text, personal fields masked and cut to what a browser bears; and what to say about it."""
    if log.payload is None:
        if guarded(log.webhook):
            return "", _("It could not be read as an event, and may hold personal data: its raw bytes are not shown.")
        text = log.raw_body().decode("utf-8", "replace")
        note = _("The raw bytes: they could not be read as an event.")
    else:
        masked = mask(log.payload, personal(log.webhook.integration.spec))
        text, note = _pretty(_shown(log)), _("Personal fields are masked.") if masked != log.payload else ""
    if len(text) > SHOWN_CHARACTERS:
        cut = _("The first 64 KB of {size} KB.").format(size=f"{len(text) // 1024:,}")
        note = f"{note} {cut}".strip()
    return text[:SHOWN_CHARACTERS], note


def _shown(log: WebhookLog) -> Json:
    return cleaned(log.payload, log.webhook)


def cleaned(payload: Json, webhook: Webhook) -> Json:
    """Without what is personal, and without the receiver's secrets, should they stand in it."""
    by_key = webhook.verification_method == Webhook.Method.JWT  # then what stands in the variable is no secret
    secrets = [] if by_key else credentials.secrets(webhook.secret_env_var)
    try:
        return without(mask(payload, personal(webhook.integration.spec)), secrets)
    except RecursionError:
        return _("(nested too deeply to be shown)")


def _pretty(payload: Any) -> str:
    try:
        return json.dumps(payload, indent=2, ensure_ascii=False)
    except RecursionError:  # indenting is written in Python and gives up where the parser did not
        return _("(nested too deeply to be shown)")


def _command(log: WebhookLog, headers: dict[str, str], payload: Json, text: str) -> str:
    if not text or len(text) >= SHOWN_CHARACTERS:
        return ""
    told = text if log.payload is None else json.dumps(payload, ensure_ascii=False)
    return curl.command(settings.PUBLIC_URL + log.webhook.webhook_url, headers, payload, told)


def _previous(log: WebhookLog, payload: Json) -> Previous | None:
    """The newest one before it that its provider sent; tests and replays would only repeat something."""
    if log.event_type is None or log.payload is None:
        return None
    wanted = Wanted(webhooks=[log.webhook_id], event_types=[log.event_type], is_test=log.is_test or None)
    older = wanted.listing().older(Place(log.created_at, log.pk))
    for found in older.fetch(older.places(0, COMPARED_WITH)):
        if found.payload is not None and found.replay_of is None and found.duplicate_of is None:
            found.webhook = log.webhook
            return Previous(row_of(found), tree.compare(_shown(found), payload))
    return None
