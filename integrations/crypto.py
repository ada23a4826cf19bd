"""The vault: secrets at rest, authenticated, and bound to the place where they lie.

AES-256-GCM. Each ciphertext names the key that sealed it, and is bound (as associated data) to a `context` such as
``oauth_tokens:<row id>:refresh_token``: moved to another row or column it no longer opens.
"""

import base64
import hashlib
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VERSION = "v1"
LONGEST_ID = 60
"""Of a key's id, in characters."""


class CannotDecrypt(Exception):
    """A stored secret does not open: wrong or missing key, or it was altered or moved. Never holds the value."""


def seal(text: str, *, context: str) -> str:
    """Encrypt with the newest key. Returns ``v1.<key id>.<base64url nonce + ciphertext>``."""
    key_id = newest()
    key = _keys(settings.TOKEN_ENCRYPTION_KEYS)[key_id]
    nonce = os.urandom(12)
    sealed = nonce + AESGCM(key).encrypt(nonce, text.encode(), _bound(key_id, context))
    return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def unseal(sealed: str, *, context: str) -> str:
    """Decrypt what `seal` made for the same `context`; raises CannotDecrypt."""
    try:
        version, key_id, body = sealed.split(".")
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError as error:
        raise CannotDecrypt("The stored value is not something this vault wrote.") from error
    key = _keys(settings.TOKEN_ENCRYPTION_KEYS).get(key_id)
    if version != VERSION or key is None:
        raise CannotDecrypt(f"It was sealed with key {key_id!r}, which TOKEN_ENCRYPTION_KEYS does not hold.")
    try:
        return AESGCM(key).decrypt(raw[:12], raw[12:], _bound(key_id, context)).decode()
    except (InvalidTag, ValueError) as error:
        raise CannotDecrypt(
            f"It does not open with key {key_id!r}: the key differs, or the value was altered or moved."
        ) from error


def newest() -> str:
    """The id of the key that seals."""
    return next(iter(_keys(settings.TOKEN_ENCRYPTION_KEYS)))


def key_ids() -> list[str]:
    """The ids of all keys that there are, newest first."""
    return list(_keys(settings.TOKEN_ENCRYPTION_KEYS))


def key_of(sealed: str) -> str:
    """The id of the key that sealed it; "" for what this vault never wrote. It is not opened."""
    version, _, rest = sealed.partition(".")
    key_id, dot, _ = rest.partition(".")
    return key_id if version == VERSION and dot else ""


def _bound(key_id: str, context: str) -> bytes:
    return f"{VERSION}|{key_id}|{context}".encode()


@lru_cache(maxsize=4)
def _keys(setting: str) -> dict[str, bytes]:
    """``id:key,id:key``, newest first → {id: 32 bytes}. Any text serves as a key; a bare one is named by its own hash,
    so that it keeps its name wherever it stands in the list. What could never be opened again is refused before it
    seals anything.
    """
    keys: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        key_id, _, text = entry.rpartition(":")
        key = hashlib.sha256(text.encode()).digest()
        key_id = key_id or hashlib.sha256(b"name of " + key).hexdigest()[:8]
        if not text or "." in key_id or len(key_id) > LONGEST_ID:
            raise ImproperlyConfigured(
                f"TOKEN_ENCRYPTION_KEYS: a key has text, and an id no full stop and at most {LONGEST_ID} characters."
            )
        if keys.get(key_id, key) != key:
            raise ImproperlyConfigured(f"TOKEN_ENCRYPTION_KEYS gives two keys the id {key_id!r}.")
        keys.setdefault(key_id, key)
    if not keys:
        raise ImproperlyConfigured("TOKEN_ENCRYPTION_KEYS holds no key.")
    return keys
