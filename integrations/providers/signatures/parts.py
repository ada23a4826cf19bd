"""What all schemes share: finding headers, decoding signatures, comparing in constant time, saying what went wrong.

An autopsy is for the operator only (the sender gets an empty 401). It may say what is wrong with a secret, never what
the secret is or what the right signature would have been.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Literal

from integrations.providers.spec import Delivery, Refused

Encoding = Literal["hex", "base64"]
Holds = Callable[[bytes, bytes], bool]
"""Whether the delivery is genuine under this key, if this had been the body."""

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_INTEGER = re.compile(r"[0-9]{1,12}")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def same(ours: bytes, theirs: bytes) -> bool:
    """Equal, in a time that tells neither where they differ nor how long ours is."""
    return hmac.compare_digest(hashlib.sha256(ours).digest(), hashlib.sha256(theirs).digest())


def header_bytes(value: str) -> bytes:
    """A header's very bytes: values come decoded as latin-1."""
    return value.encode("latin-1", "backslashreplace")


def secret_bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")  # what the environment held, byte for byte


def as_header(secret: str) -> str:
    """The secret as a header's value looks when it arrives."""
    return secret_bytes(secret).decode("latin-1")


def header(delivery: Delivery, name: str) -> str:
    """The header's value; raises Refused when it is missing or empty."""
    value = delivery.headers.get(name.lower())
    if value is None:
        raise Refused("missing_header", f"The header {name} is missing.")
    if not value.strip(" \t"):  # no other "space": 0xA0 may be half of a secret's "à"
        raise Refused("malformed_header", f"The header {name} is empty.")
    return value.strip(" \t")


def integer(value: str, name: str) -> int:
    """A Unix time in whole seconds; raises Refused for anything else."""
    if not _INTEGER.fullmatch(value):
        raise Refused("malformed_header", f"{name} is not a whole number of seconds.")
    return int(value)


def recent(timestamp: int, now: float, tolerance: int) -> None:
    """Raises Refused when `timestamp` is further than `tolerance` seconds from `now`, either way."""
    age = int(now) - timestamp
    if age > tolerance:
        raise Refused("stale", f"The timestamp is {age:,} s old; {tolerance} s are allowed.")
    if age < -tolerance:
        raise Refused("stale", f"The timestamp is {-age:,} s in the future. Check the clock.")


def from_hex(value: str) -> bytes | None:
    """The 32 bytes of a SHA-256 in hex, else None."""
    return bytes.fromhex(value) if _HEX.fullmatch(value) else None


def from_base64(value: bytes) -> bytes | None:
    """What standard base64 stands for, padded or not; None when it isn't that."""
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return None


def from_base64url(value: bytes) -> bytes | None:
    return from_base64(value.translate(bytes.maketrans(b"-_", b"+/")))


def to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def sha256_from(value: str, encoding: Encoding) -> bytes | None:
    if encoding == "hex":
        return from_hex(value)
    decoded = from_base64(header_bytes(value))
    return decoded if decoded is not None and len(decoded) == 32 else None


def usable(secrets: Sequence[str]) -> list[tuple[int, bytes]]:
    """The secrets with their positions. An empty one is no secret: anybody could sign with it."""
    found = [(position, secret_bytes(secret)) for position, secret in enumerate(secrets) if secret.strip()]
    if not found:
        raise Refused("no_secret", "No secret is configured.")
    return found


def matching(secrets: Sequence[str], body: bytes, holds: Holds) -> int:
    """The position of the first secret under which the delivery is genuine; raises Refused with an autopsy."""
    keys = usable(secrets)
    for position, secret in keys:
        if holds(secret, body):
            return position
    raise Refused("mismatch", _autopsy([secret for _, secret in keys], body, holds))


_SUSPECTS: tuple[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    ("The secret begins or ends with a newline or space: without it, the signature holds.", bytes.strip, bytes),
    ("The secret stands in quotes: without them, the signature holds.", lambda secret: secret.strip(b"\"'"), bytes),
    ("The sender's copy of the secret ends with a newline.", lambda secret: secret + b"\n", bytes),
    ("The body lost its final newline on the way.", bytes, lambda body: body + b"\n"),
    ("The body gained a final newline on the way.", bytes, lambda body: body.rstrip(b"\r\n")),
)


def _autopsy(keys: Sequence[bytes], body: bytes, holds: Holds) -> str:
    for words, of_key, of_body in _SUSPECTS:
        others = ((of_key(key), of_body(body)) for key in keys if (of_key(key), of_body(body)) != (key, body))
        if any(key and holds(key, other) for key, other in others):
            return words
    return "No configured secret gives this signature: the secret is another one, or the body was altered on the way."
