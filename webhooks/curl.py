"""A delivery as a command that sends it again, without anything that would prove it genuine. Pure."""

import shlex
from collections.abc import Mapping

from integrations.providers.spec import Json

PLACEHOLDER = "REPLACE_ME"
_REDACTED = "[redacted]"
_OF_THE_ROAD = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding", "forwarded", "via")
_OF_PROXIES = ("x-forwarded-", "x-real-", "cf-")
"""What the way set and not the sender."""
_PROOFS = ("signature", "secret", "token", "authorization", "jwt", "cookie", "api-key")
"""What stands in a header with such a name proves who sends: it stays here."""


def command(url: str, headers: Mapping[str, str], payload: Json, text: str) -> str:
    """`headers` redacted, `payload` masked; `text` is its JSON. What was redacted becomes a placeholder."""
    parts = [f"curl -X POST {shlex.quote(url)}"]
    parts += [
        f"-H {shlex.quote(f'{name}: {_filled(name, value)}')}" for name, value in sorted(_of_sender(headers).items())
    ]
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if form and isinstance(payload, dict):
        parts += [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in payload.items()]
    else:
        parts.append(f"--data-raw {shlex.quote(text)}")
    return " \\\n  ".join(parts)


def _of_sender(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    return {
        name: value for name, value in lower.items() if name not in _OF_THE_ROAD and not name.startswith(_OF_PROXIES)
    }


def _filled(name: str, value: str) -> str:
    return PLACEHOLDER if value == _REDACTED or any(word in name for word in _PROOFS) else value
