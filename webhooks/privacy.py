"""Personal fields of a payload: hidden before it is shown, dropped when they have had their time, struck from what is
said about it. Pure: no ORM, and the payload itself is left alone."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from integrations.providers.spec import Json, Provider

MASK = "•••"
DROPPED = "[dropped]"
"""What stands in a payload where something personal stood. It hides nothing, so it is shown."""

_WORD = 4
"""Shorter values are struck only where they stand alone: "Li" is a name, and a part of many words."""


def personal(provider: Provider | None) -> tuple[str, ...]:
    """The paths of what is personal in this provider's payloads."""
    return tuple(provider.webhook.personal) if provider and provider.webhook else ()


def mask(payload: Json, paths: Iterable[str]) -> Json:
    """A copy of `payload` with whatever lies at the dotted `paths` replaced; a path through a list means each item."""
    return _replaced(payload, paths, MASK)


def drop(payload: Json, paths: Iterable[str]) -> Json:
    """The same, for good: what is to be stored."""
    return _replaced(payload, paths, DROPPED)


def _replaced(payload: Json, paths: Iterable[str], by: str) -> Json:
    for path in paths:
        payload = _at(payload, path.split("."), by)
    return payload


def _at(value: Json, path: Sequence[str], by: str) -> Json:
    if not path:  # that a field is empty gives nobody away
        return value if value is None or value == DROPPED else by
    if isinstance(value, list):
        return [_at(item, path, by) for item in value]
    if isinstance(value, dict) and path[0] in value:
        return value | {path[0]: _at(value[path[0]], path[1:], by)}
    return value


def without(value: Json, words: Sequence[str]) -> Json:
    """A copy of `value` in which none of `words` stands, not even inside a longer text."""
    if isinstance(value, str):
        for word in words:
            value = value.replace(word, MASK)
        return value
    if isinstance(value, list):
        return [without(item, words) for item in value]
    if isinstance(value, dict):
        return {without(name, words): without(item, words) for name, item in value.items()}
    return value


def struck(text: str, payload: Json, paths: Iterable[str]) -> str:
    """`text` without what is personal in `payload`, however it got there: as it is, or as JSON or Python write it.

    For errors, tracebacks and answers, which like to repeat what they were given.
    """
    if not text:
        return text
    for value in sorted(_values(payload, paths), key=len, reverse=True):
        for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}:
            if form not in text:
                continue
            if len(form) >= _WORD:
                text = text.replace(form, MASK)
            else:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def _values(payload: Json, paths: Iterable[str]) -> set[str]:
    found = {str(leaf) for path in paths for value in _found(payload, path.split(".")) for leaf in _leaves(value)}
    return {value for value in found if len(value.strip()) > 1} - {DROPPED}


def _found(value: Json, path: Sequence[str]) -> Iterator[Json]:
    if not path:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _found(item, path)
    elif isinstance(value, dict) and path[0] in value:
        yield from _found(value[path[0]], path[1:])


def _leaves(value: Json) -> Iterator[str | int | float]:
    """Texts and numbers, and lines of texts; however deep."""
    todo = [value]
    while todo:
        match todo.pop():
            case bool() | None:
                continue
            case str() as text:
                yield text
                yield from text.split("\n") if "\n" in text else ()
            case int() | float() as number:
                yield number
            case dict() as inner:
                todo += inner.values()
            case list() as inner:
                todo += inner
