"""One delivery as its page and its row in the feed tell it: what it says, what proved it, what became of it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from integrations import credentials, permissions
from integrations.accounts.models import User
from integrations.permissions import Perm
from integrations.providers import payloads
from integrations.providers.spec import ApiKey, Json
from integrations.seek import Place
from webhooks import curl, timeline, tree
from webhooks.feed import Row, row_of
from webhooks.models import Forward, Webhook, WebhookLog
from webhooks.privacy import mask, personal, without
from webhooks.services import backfill, receive
from webhooks.services.listing import Wanted

SHOWN_CHARACTERS = 65_536
COMPARED_WITH = 5
"""So many events of the same kind are looked at for one that a provider sent."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

Status = WebhookLog.Status
Clean = Callable[[Json, Webhook], Json]
"""Makes what an event says fit for a reader: `cleaned` for all, `revealed` for who may see what is personal."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The event of the same type before this one at the same receiver, and what differs."""

    row: Row
    compared: tree.Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A delivery with everything that is known of it. `fetched`: what the provider's API says of it, empty where
    nobody asked. `replay`, `retry` and `reveal` are where to ask for another run, another forward, and what is
    personal in it: "" for who may not, or where there is nothing. `shown`: what is personal is. `dropped_at`: when
    that went."""

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
    reveal: str
    shown: bool
    dropped_at: datetime | None
    size: int
    sha256: str


def body(log: WebhookLog, user: User, clean: Clean | None = None) -> Body:
    """Without `clean` as everybody may see it."""
    webhook = log.webhook
    payload = (clean or cleaned)(log.payload, webhook)
    text, note = _payload(log, payload, clean)
    size, sha256 = log.what_came()
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
        fetched=() if log.fetched is None else tree.fold((clean or cleaned)(log.fetched, webhook)),
        headers=tuple(headers.items()),
        curl=_command(log, headers, payload, text),
        steps=tuple(timeline.of(log, log.attempt_rows.all(), forward)),
        forward=forward,
        previous=_previous(log),
        replay=reverse("replay-event", args=[log.pk]) if may and runs(log) else "",
        retry=reverse("retry-forward", args=[webhook.pk, forward.pk]) if may and forward and goes(forward) else "",
        reveal=reverse("webhooks:reveal", args=[log.pk]) if _may_reveal(log, user) else "",
        shown=clean is not None,
        dropped_at=log.personal_dropped_at,
        size=size,
        sha256=sha256,
    )


def runs(log: WebhookLog) -> bool:
    """Whether it can be replayed."""
    whole = log.payload is not None and log.personal_dropped_at is None
    return log.verified and whole and log.status != Status.PENDING


def goes(forward: Forward) -> bool:
    """Whether it can be sent once more."""
    return forward.status in (Forward.Status.PENDING, Forward.Status.FAILED)


def hides(log: WebhookLog) -> bool:
    """Whether there is something personal in it that isn't shown: where its bytes couldn't be read, there may be."""
    paths = personal(log.webhook.integration.spec)
    if not paths or log.personal_dropped_at:
        return False
    return log.payload is None or any(mask(said, paths) != said for said in (log.payload, log.fetched))


def _may_reveal(log: WebhookLog, user: User) -> bool:
    return permissions.may(user, Perm.MANAGE, log.webhook.integration) and hides(log)


def raw(log: WebhookLog) -> tuple[bytes, str, str]:
    """What may be taken away of it: bytes, content type, file name. Where fields are personal, what it says with
    those masked; else what came, byte for byte."""
    if guarded(log.webhook):
        content = b"" if log.payload is None else _pretty(_shown(log)).encode()
        return content, "application/json", f"{_file_name(log)}.json"
    return log.raw_body(), "application/octet-stream", f"{_file_name(log)}.bin"


def raw_revealed(log: WebhookLog) -> tuple[bytes, str, str]:
    """The same with what is personal: what came, byte for byte, unless it holds a secret; then what it says."""
    if (content := unguarded(log)) is not None:
        return content, "application/octet-stream", f"{_file_name(log)}.bin"
    said = "" if log.payload is None else _pretty(revealed(log.payload, log.webhook))
    return said.encode(), "application/json", f"{_file_name(log)}.json"


def unguarded(log: WebhookLog) -> bytes | None:
    """Its bytes, personal or not; None where they hold, or may hold, a secret.

    What a receiver leaves out of the payload as a secret (a repeated API key) is only in them, and so are the other
    events of a delivery: if they are JSON, they must say the same as the payload.
    """
    if log.webhook.verification_method == Webhook.Method.BODY_TOKEN:
        return None
    content = log.raw_body()
    if any(word.encode() in content for word in _secrets(log.webhook)):
        return None
    if log.payload is None:
        return content
    try:
        said = payloads.json_body(content)
    except ValueError:  # a form
        return content
    return content if receive.storable(said) == log.payload else None


def _file_name(log: WebhookLog) -> str:
    return f"{_UNSAFE.sub('-', log.event_type or 'event')[:80]}-{log.pk}"


def guarded(webhook: Webhook) -> bool:
    """Whether raw bytes may hold what nobody is to see: personal fields, or a token that proves deliveries."""
    return bool(personal(webhook.integration.spec)) or webhook.verification_method == Webhook.Method.BODY_TOKEN


def _payload(log: WebhookLog, said: Json, clean: Clean | None) -> tuple[str, str]:
    """`said`, what is shown of the payload, as text, cut to what a browser bears; and what to say about it."""
    if log.payload is not None:
        text, note = _pretty(said), _("Personal fields are masked.") if clean is None and hides(log) else ""
    elif log.personal_dropped_at:
        return "", ""
    elif (content := _bytes(log, clean)) is None:
        return "", _("It could not be read as an event, and may hold personal data: its raw bytes are not shown.")
    else:
        text, note = content.decode("utf-8", "replace"), _("The raw bytes: they could not be read as an event.")
    if len(text) > SHOWN_CHARACTERS:
        cut = _("The first 64 KB of {size} KB.").format(size=f"{len(text) // 1024:,}")
        note = f"{note} {cut}".strip()
    return text[:SHOWN_CHARACTERS], note


def _bytes(log: WebhookLog, clean: Clean | None) -> bytes | None:
    if clean is None and guarded(log.webhook):
        return None
    return unguarded(log) if clean else log.raw_body()


def _shown(log: WebhookLog) -> Json:
    return cleaned(log.payload, log.webhook)


def cleaned(payload: Json, webhook: Webhook) -> Json:
    """Without what is personal, and without the receiver's secrets, should they stand in it."""
    try:
        return revealed(mask(payload, personal(webhook.integration.spec)), webhook)
    except RecursionError:
        return _("(nested too deeply to be shown)")


def revealed(payload: Json, webhook: Webhook) -> Json:
    """With what is personal, but without the receiver's secrets."""
    return without(payload, _secrets(webhook))


def _secrets(webhook: Webhook) -> list[str]:
    by_key = webhook.verification_method == Webhook.Method.JWT  # then what stands in the variable is no secret
    spec = webhook.integration.spec
    key = credentials.value(spec.auth.env) if spec and isinstance(spec.auth, ApiKey) else ""
    return [*(() if by_key else credentials.secrets(webhook.secret_env_var)), *([key] if key else [])]


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


def _previous(log: WebhookLog) -> Previous | None:
    """The newest one before it that its provider sent; tests and replays would only repeat something."""
    if log.event_type is None or log.payload is None:
        return None
    wanted = Wanted(webhooks=[log.webhook_id], event_types=[log.event_type], is_test=log.is_test or None)
    older = wanted.listing().older(Place(log.created_at, log.pk))
    for found in older.fetch(older.places(0, COMPARED_WITH)):
        if found.payload is not None and found.replay_of is None and found.duplicate_of is None:
            found.webhook = log.webhook
            return Previous(row_of(found), tree.compare(_shown(found), _shown(log)))
    return None
