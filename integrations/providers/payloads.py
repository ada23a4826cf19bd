"""What providers send, read: strict about hostile bytes, patient with what a payload does or doesn't hold."""

import copy
import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import accumulate
from urllib.parse import unquote_to_bytes

from integrations.providers.spec import Delivery, Json

MAX_DEPTH = 100
MAX_FIELDS = 1000
MAX_KEY = 255

# --- Bytes to values -------------------------------------------------------------------------------------------------


def json_body(body: bytes) -> Json:
    """The JSON value that `body` holds; of duplicate keys the last wins.

    Raises ValueError, in words, for what Python would take but a database, another language or the stack would not:
    broken UTF-8, NaN and Infinity (also as 1e999), integers beyond 4,300 digits, nesting beyond 100 levels.
    """
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _too_deep(body):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels.")
    try:
        return _decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it isn't UTF-8 (byte {error.start:,}).") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it isn't JSON: {error.msg} (character {error.pos:,}).") from error
    except _NotFiniteError:
        raise
    except ValueError as error:  # Python's own guard: reading longer ones takes time that grows with their square
        raise ValueError("it holds an integer of more than 4,300 digits.") from error


def json_object(body: bytes) -> dict[str, Json]:
    """Like `json_body`, for a provider that always sends an object."""
    value = json_body(body)
    if not isinstance(value, dict):
        raise ValueError("it isn't a JSON object.")
    return value


def pairs(encoded: bytes) -> list[tuple[bytes, bytes]]:
    """The names and values of a query string or form, URL-decoded, in their order. Raises ValueError beyond 1,000."""
    if encoded.count(b"&") >= MAX_FIELDS:
        raise ValueError(f"it has more than {MAX_FIELDS:,} form fields.")
    split = (field.partition(b"=") for field in encoded.replace(b"+", b" ").split(b"&") if field)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in split]


def form_body(body: bytes) -> dict[str, str]:
    """The fields of a form; of duplicates the last wins. Bytes that aren't UTF-8 become U+FFFD, so that no payment
    notice is lost to somebody's accent."""
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs(body)}


def is_form(delivery: Delivery) -> bool:
    return delivery.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded")


def compact(payload: Json) -> bytes:
    """`payload` as JSON on the wire: no spaces, ASCII."""
    return json.dumps(payload, separators=(",", ":")).encode()


class _NotFiniteError(ValueError):
    pass


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotFiniteError("it holds a number too large for any float.")
    return number


def _refuse_constant(name: str) -> None:
    raise _NotFiniteError(f"it holds {name}, which isn't JSON.")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one level down, one level up
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _too_deep(body: bytes) -> bool:
    """Whether the brackets outside strings go deeper than `MAX_DEPTH` before anything else can be wrong."""
    steps = _STRING.sub(b"", body).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > MAX_DEPTH


# --- Values out of payloads ------------------------------------------------------------------------------------------


def at(payload: Json, path: str) -> Json:
    """The value at a dotted path ("requests.request_id"), None where the path leads nowhere."""
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload


def text(value: Json) -> str:
    """An id or time as text, whether it came as a string or a number; "" for anything else."""
    match value:
        case bool():
            return ""
        case str() | int():
            return str(value)
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return repr(value)
    return ""


def word(value: Json) -> str | None:
    """An event type: a string that says something, else None."""
    return value[:200] if isinstance(value, str) and value else None


# --- Idempotency keys ------------------------------------------------------------------------------------------------


def key(*parts: str) -> str | None:
    """One key of several parts, readable when it fits into 255 printable characters, else its SHA-256.

    None when a part is missing: half a key would make different events the same.
    """
    joined = "|".join(parts)
    return joined if all(parts) and len(joined) <= MAX_KEY and joined.isprintable() else digest(*parts)


def digest(*parts: str) -> str | None:
    """The SHA-256 of the parts joined by "|", None when one is missing."""
    if not all(parts):
        return None
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


# --- New events out of samples ---------------------------------------------------------------------------------------


def changed(payload: Json, values: Mapping[str, Json]) -> Json:
    """A deep copy of `payload` with the values at these dotted paths replaced; paths that lead nowhere are skipped."""
    result = copy.deepcopy(payload)
    for path, value in values.items():
        parent, _, name = path.rpartition(".")
        place = at(result, parent) if parent else result
        if isinstance(place, dict) and name in place:
            place[name] = value
    return result


def new_uuid(delivery_id: str, of: str = "") -> str:
    """A UUID that stands for this delivery's `of` ("session"): the same again for the same delivery."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{of}:{delivery_id}"))


def new_number(delivery_id: str, of: str = "", length: int = 18) -> str:
    """A number of `length` digits, likewise; it never begins with 0."""
    seed = int.from_bytes(hashlib.sha256(f"{of}:{delivery_id}".encode()).digest())
    return str(10 ** (length - 1) + seed % (9 * 10 ** (length - 1)))


def iso(now: float) -> str:
    """Unix time as "2026-11-22T20:31:00.000Z"."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
