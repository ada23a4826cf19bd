"""Values as people type them, read by a function's annotations; and results as they can be printed."""

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from django.utils import timezone

from integrations.clients.operations import Argument
from integrations.providers.spec import Json

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
MOST_BYTES = 64 * 1024 * 1024


def read(argument: Argument, typed: str) -> Any:
    """The value that `typed` gives `argument`. Raises ValueError in words.

    Texts as they are; lists comma-separated, or as JSON; files by their paths; what has parts as JSON, or as "@FILE"
    with JSON in it; times as ISO 8601, in our own zone unless they name one.
    """
    try:
        return _typed(argument.hint, typed)
    except ValueError as error:
        raise ValueError(f"{argument.name}: {error}") from error


def plain(result: Any) -> Json:
    """`result` as JSON takes it; of bytes their number."""
    if is_dataclass(result) and not isinstance(result, type):
        return {field.name: plain(getattr(result, field.name)) for field in fields(result)}
    match result:
        case bytes():
            return {"bytes": len(result)}
        case Decimal():
            return str(result)
        case datetime():
            return result.isoformat()
        case Mapping():
            return {str(name): plain(value) for name, value in result.items()}
        case list() | tuple():
            return [plain(value) for value in result]
    return result


# --- By annotation ---------------------------------------------------------------------------------------------------


def _typed(hint: Any, typed: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _typed(next(one for one in inner if one is not type(None)), typed)
    if origin is Sequence and inner[0] is str:
        return _texts(typed)
    if origin is Mapping and inner[1] is bytes:
        return _files(_texts(typed))
    if origin is not None or is_dataclass(hint):
        return _built(hint, _json(typed))
    return _simple(hint, typed)


def _simple(hint: Any, typed: str) -> Any:
    try:
        if hint is bool:
            return _truth(typed)
        if hint is datetime:
            moment = datetime.fromisoformat(typed)
            return moment if moment.tzinfo else timezone.make_aware(moment)
        return hint(typed)
    except (ValueError, InvalidOperation) as error:
        wanted = {
            int: "a whole number",
            float: "a number",
            Decimal: "an amount such as 899.00",
            bool: "true or false",
            datetime: "a time such as 2026-11-22T08:00",
        }[hint]
        raise ValueError(f"{typed[:40]!r} is not {wanted}.") from error


def _truth(typed: str) -> bool:
    if typed.lower() not in (*TRUE, *FALSE):
        raise ValueError(typed)
    return typed.lower() in TRUE


def _texts(typed: str) -> list[str]:
    if not typed.startswith("["):
        return [part for part in (piece.strip() for piece in typed.split(",")) if part]
    listed = _json(typed)
    if not all(isinstance(item, str) for item in listed):
        raise ValueError("a list of texts is wanted.")
    return list(listed)


def _files(paths: Sequence[str]) -> dict[str, bytes]:
    """Name → content. Two files of the same name would become one, so they are refused."""
    found: dict[str, bytes] = {}
    for path in map(Path, paths):
        if path.name in found:
            raise ValueError(f"two files are called {path.name}.")
        found[path.name] = _content(path)
    return found


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} is larger than {MOST_BYTES:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}.") from error


def _json(typed: str) -> Json:
    content: str | bytes = _content(Path(typed[1:])) if typed.startswith("@") else typed
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"JSON is wanted, or @FILE with JSON in it: {error}.") from error


def _built(hint: Any, value: Json) -> Any:
    """JSON as what `hint` says. Raises ValueError where it is something else."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Sequence:
        if not isinstance(value, list):
            raise ValueError("a JSON list is wanted.")
        return [_built(inner[0], item) for item in value]
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ValueError("a JSON object is wanted.")
        return value
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, inner))}.")
        return value
    if is_dataclass(hint):
        return _object(hint, value)
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise ValueError(f"{str(value)[:40]!r} is not of type {hint.__name__}.")


def _object(kind: Any, value: Json) -> Any:
    if not isinstance(value, dict):
        raise ValueError("a JSON object is wanted.")
    hints = get_type_hints(kind)
    if unknown := set(value) - set(hints):
        raise ValueError(f"{', '.join(sorted(unknown))[:60]}: no such field. There are {', '.join(hints)}.")
    try:
        return kind(**{name: _built(hints[name], item) for name, item in value.items()})
    except TypeError as error:  # a field that must be there is not
        raise ValueError(f"{', '.join(hints)} are the fields; {error}.") from error
