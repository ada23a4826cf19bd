"""A payload as something to read: folded line by line, and held against another. Pure, and bounded whatever comes."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.providers.spec import Json
from webhooks import reasons

DEPTH = 12
LINES = 400
OPEN_DEPTH = 2
"""So deep folds stand open at first."""
CHARACTERS = 1000
"""Of one value; all of it stands in the raw view."""
PATHS = 2000
"""Values of a payload that are compared."""
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Line:
    """`kind` is open (a fold begins), close (it ends), leaf, or more (what is left out, in words)."""

    kind: str
    name: str = ""
    value: str = ""
    type: str = ""
    unfolded: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is added, removed or changed."""

    path: str
    kind: str
    before: str = ""
    after: str = ""

    @property
    def named(self) -> str:
        return reasons.named(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`changes` are the first; `left` more are not shown. `cut`: more values than were compared."""

    changes: tuple[Change, ...]
    left: int
    cut: bool


def fold(value: Json) -> tuple[Line, ...]:
    """From the outermost object or list inwards; a bare value is one leaf."""
    return tuple(_folded("", value, 0, [LINES]))


def _folded(name: str, value: Json, depth: int, room: list[int]) -> Iterator[Line]:
    room[0] -= 1
    items = _items(value)
    if not items:
        yield Line("leaf", name, _text(value), _type(value))
        return
    if depth >= DEPTH:
        yield Line("leaf", name, _("{size}, nested too deeply to be folded").format(size=_size(items, value)), "more")
        return
    yield Line("open", name, _size(items, value), _type(value), unfolded=depth < OPEN_DEPTH)
    for done, (key, item) in enumerate(items):
        if room[0] <= 0:
            yield Line("more", value=_("{n} more in the raw view").format(n=f"{len(items) - done:,}"))
            break
        yield from _folded(key, item, depth + 1, room)
    yield Line("close")


def compare(old: Json, new: Json) -> Compared:
    """What became of each value from `old` to `new`, in the order of `new`; what was removed comes last."""
    was, is_, cut = dict[str, str](), dict[str, str](), [False]
    for into, payload in ((was, old), (is_, new)):
        for path, text in _flat("", payload, 0):
            if len(into) >= PATHS:
                cut[0] = True
                break
            into[path] = text
    changes = [
        Change(path, "changed" if path in was else "added", _cut(was.get(path, "")), _cut(text))
        for path, text in is_.items()
        if was.get(path) != text
    ]
    changes += [Change(path, "removed", _cut(text)) for path, text in was.items() if path not in is_]
    return Compared(changes=tuple(changes[:SHOWN]), left=max(0, len(changes) - SHOWN), cut=cut[0])


def _flat(path: str, value: Json, depth: int) -> Iterator[tuple[str, str]]:
    items = _items(value)
    if not items or depth >= DEPTH:
        yield path or "(all)", _size(items, value) if items else _text(value, CHARACTERS * 10)
        return
    for key, item in items:
        yield from _flat(f"{path}.{key}" if path else key, item, depth + 1)


def _items(value: Json) -> list[tuple[str, Json]]:
    if isinstance(value, dict):
        return [(str(key), item) for key, item in value.items()]
    return [(str(place), item) for place, item in enumerate(value)] if isinstance(value, list) else []


def _size(items: list[tuple[str, Json]], value: Json) -> str:
    number = len(items)
    if isinstance(value, dict):
        return ngettext("{n} field", "{n} fields", number).format(n=f"{number:,}")
    return ngettext("{n} item", "{n} items", number).format(n=f"{number:,}")


def _type(value: Json) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "boolean", str: "string", dict: "object", list: "list"}
    return names.get(type(value), "number")


def _text(value: Json, most: int = CHARACTERS) -> str:
    if isinstance(value, str):
        return _cut(value, most)
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return {"object": "{}", "list": "[]"}.get(_type(value)) or _cut(str(value), most)


def _cut(text: str, most: int = CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
