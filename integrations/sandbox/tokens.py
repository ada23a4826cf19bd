"""Tokens that carry what they mean, sealed with a key: they stay good when the sandbox is started anew.

They look like Zoho's: ``1000.<claims>.<seal>``.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Literal

from integrations.providers.spec import Json

Kind = Literal["code", "access", "refresh"]

KEY = "SANDBOX_TOKEN_KEY"
"""The name of the value that seals them (`values.lend`)."""


def seal(kind: Kind, claims: Mapping[str, Json], key: str) -> str:
    content = json.dumps({**claims, "kind": kind}, separators=(",", ":")).encode()
    body = base64.urlsafe_b64encode(content).decode().rstrip("=")
    return f"1000.{body}.{_mac(body, key)}"


def unseal(kind: Kind, token: str, key: str, now: float) -> dict[str, Json] | None:
    """The claims of a token that was sealed here as `kind` and has not run out (claim ``until``), else None."""
    head, _, rest = token.partition(".")
    body, _, mac = rest.partition(".")
    if head != "1000" or not key or not hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(body, key).encode()):
        return None
    try:
        claims: dict[str, Json] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return None
    if claims["kind"] != kind or now >= claims.get("until", now + 1):
        return None
    return claims


def _mac(body: str, key: str) -> str:
    return hmac.new(key.encode(), body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
