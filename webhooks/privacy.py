"""Personal fields of a payload, hidden before it is shown. Pure: no ORM, and the payload itself is left alone."""

from collections.abc import Iterable, Sequence

from integrations.providers.spec import Json, Provider

MASK = "•••"


def personal(provider: Provider | None) -> tuple[str, ...]:
    """The paths of what is personal in this provider's payloads."""
    return tuple(provider.webhook.personal) if provider and provider.webhook else ()


def mask(payload: Json, paths: Iterable[str]) -> Json:
    """A copy of `payload` with whatever lies at the dotted `paths` replaced; a path through a list means each item."""
    for path in paths:
        payload = _masked(payload, path.split("."))
    return payload


def _masked(value: Json, path: Sequence[str]) -> Json:
    if not path:
        return value if value is None else MASK  # that a field is empty gives nobody away
    if isinstance(value, list):
        return [_masked(item, path) for item in value]
    if isinstance(value, dict) and path[0] in value:
        return value | {path[0]: _masked(value[path[0]], path[1:])}
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
