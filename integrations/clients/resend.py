"""Resend: github resend/resend-openapi [A], package resend 2.52.0 [A] (PROVIDERS §9)."""

from collections.abc import Sequence

from integrations.clients.base import Client, Registered, words
from integrations.providers import payloads
from integrations.providers.resend import read_call as read
from integrations.providers.spec import Json

MOST_RECIPIENTS = 50  # [C]
LONGEST_KEY = 256


def send_email(
    client: Client,
    *,
    sender: str,
    to: Sequence[str],
    subject: str,
    text: str,
    html: str = "",
    idempotency_key: str = "",
) -> str:
    """Send one e-mail; returns Resend's id of it, which its webhooks carry as ``data.email_id``.

    `sender`: "CircleTel <noreply@example.com>", of a domain that is verified there. With an `idempotency_key` (256
    characters, remembered for 24 h [C]) it is tried again when no answer came, and sent once all the same; without one
    it isn't. POST /emails (PROVIDERS §9 [A]).
    """
    recipients = [to] if isinstance(to, str) else list(to)
    if not 1 <= len(recipients) <= MOST_RECIPIENTS:
        raise client.invalid(f"an e-mail goes to 1 to {MOST_RECIPIENTS} addresses, this one to {len(recipients)}.")
    if not all("@" in address for address in (sender, *recipients)):
        raise client.invalid("an address lacks its @.")
    if len(idempotency_key) > LONGEST_KEY or not (idempotency_key.isascii() and idempotency_key.isprintable()):
        raise client.invalid(f"an idempotency key has at most {LONGEST_KEY} printable ASCII characters.")
    content = {"from": sender, "to": recipients, "subject": subject, "text": text}
    if html:
        content["html"] = html
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    answer = client.call("POST", "/emails", json=content, headers=headers, safe=bool(idempotency_key), read=read)
    return client.text(answer, "id")


def email(client: Client, *, id: str) -> dict[str, Json]:  # noqa: A002 - what Resend calls it
    """One e-mail as Resend has it, with ``last_event`` ("delivered"). GET /emails/{id} (PROVIDERS §9 [A])."""
    answer = client.call("GET", f"/emails/{client.part(id, 'e-mail id')}", endpoint="/emails/{id}", read=read)
    return client.found(answer, "")


def domains(client: Client) -> list[dict[str, Json]]:
    """The domains that may send, with their ``status``. GET /domains (PROVIDERS §9 [A]).

    A key that may only send e-mails is refused [C].
    """
    return client.rows(client.call("GET", "/domains", read=read), "data")


def webhooks(client: Client) -> list[Registered]:
    """The webhooks that are registered. GET /webhooks (PROVIDERS §9 [A])."""
    rows = client.rows(client.call("GET", "/webhooks", read=read), "data")
    return [
        Registered(
            id=payloads.text(row.get("id")),
            url=payloads.text(row.get("endpoint")),
            events=words(row.get("events")),
            enabled=row.get("status", "enabled") == "enabled",
        )
        for row in rows
    ]
