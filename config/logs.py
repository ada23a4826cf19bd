"""One JSON object a line, on stderr. What a line says may come from strangers: none of it can forge a second line,
move a cursor, or turn the text around, and no secret and no payload stands in it.

The lines are the standard library's; structlog makes them into events and carries the id of the request along.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

from integrations.redaction import GONE, for_a_log

LEFT_OUT = "[left out]"
LONGEST = 16_384
"""Characters of one text; a traceback keeps its end."""

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_CONTENT = re.compile(r"(?i)payload|body|content|headers|cookies|form|params|sql|args|data")
_SECRET = re.compile(r"(?i)secret|token|passw|authorization|cookie|api_?key|signature|credential|verifier|session")
_SECRET_VARIABLE = re.compile(r"(SECRET|TOKEN|KEYS?|PASSWORD)(_FILE)?$")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_OURS = ("at", "level", "logger", "message", "request_id")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_WITNESSES = ("integrations.activity", "integrations.retention")
"""They write the hashes of the activity log, which look like keys and are to be read."""


class Line(structlog.stdlib.ProcessorFormatter):
    """`readable`: for a person at a terminal rather than for `jq`."""

    def __init__(self, *, readable: bool = False) -> None:
        way: list[Processor] = [_for_people, _rendered] if readable else [_as_json]
        super().__init__(processors=[_tell, _neutralise, *way], foreign_pre_chain=[merge_contextvars, _extra])

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(_without_content(record))
        except Exception as error:  # noqa: BLE001 - the library would print the arguments, plain
            said = f"A line could not be written ({type(error).__name__})"
            return _as_json(None, "", _neutralise(None, "", {**_head(record), "message": said}))


def _without_content(record: logging.LogRecord) -> logging.LogRecord:
    """Objects and bytes among its arguments are what somebody sent, or what was read of it: their type is told."""
    if not record.args:
        return record
    if isinstance(record.args, Mapping) and "%(" not in str(record.msg):
        args: Any = (f"<{type(record.args).__name__}>",)
    elif isinstance(record.args, Mapping):
        args = {name: _argument(value) for name, value in record.args.items()}
    else:
        args = tuple(_argument(value) for value in record.args)
    return logging.makeLogRecord({**record.__dict__, "args": args})


def _argument(value: object) -> object:
    content = isinstance(value, Mapping | bytes | bytearray | memoryview | list | tuple | set | frozenset)
    return f"<{type(value).__name__}>" if content else value


def _head(record: logging.LogRecord) -> EventDict:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {"at": at, "level": record.levelname.lower(), "logger": record.name}


def _extra(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    given = event["_record"].__dict__
    return {**{name: value for name, value in given.items() if name not in _STANDARD}, **event}


def _tell(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The line's own keys first, and nothing that somebody gave under their names."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    said, info, stack = event.pop("event", ""), event.pop("exc_info", None), event.pop("stack_info", None)
    line = {**_head(record), "message": said}
    if current := structlog.contextvars.get_contextvars().get("request_id"):
        line["request_id"] = current
    line |= {name: value for name, value in event.items() if name not in (*_OURS, "traceback")}
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        line["traceback"] = Traceback("\n".join(_told(error)))
    elif stack:
        line["traceback"] = Traceback("\n".join(clean(one) for one in str(stack).splitlines()))
    return line


# --- Made harmless ---------------------------------------------------------------------------------------------------


class Traceback(str):
    """Lines, each of which was made harmless."""

    __slots__ = ()


def clean(text: str) -> str:
    """Control characters, line separators and what turns text around, written out: they do nothing any more."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)


def _neutralise(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    witness, database = event["logger"] in _WITNESSES, event["logger"].startswith("django.db")
    line: EventDict = {}
    for name, value in event.items():
        if name in ("at", "level", "request_id"):
            line[name] = clean(str(value))
        elif isinstance(value, Traceback):
            line[name] = str(value)
        elif name == "message" and (witness or database):
            said = str(value)[:LONGEST]
            line[name] = clean(_LITERAL.sub(f"'{GONE}'", said.partition("; args=")[0])) if database else clean(said)
        else:
            line[_name(name)] = _harmless(name, value)
    return line


def _name(name: object) -> str:
    return clean(_without_known(str(name)[:200]))


def _harmless(name: object, value: Any, depth: int = 0) -> Any:
    """Numbers, texts, and lists and objects of them; of anything else its type, for nobody knows what it would say."""
    if name != "message" and (_CONTENT.fullmatch(str(name)) or _SECRET.search(str(name))):
        return LEFT_OUT
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _text(value)
        case dict() if depth < 4:
            return {_name(key): _harmless(key, one, depth + 1) for key, one in list(value.items())[:100]}
        case list() | tuple() | set() | frozenset() if depth < 4:
            return [_harmless("", one, depth + 1) for one in list(value)[:100]]
    return str(value) if type(value).__module__ in ("uuid", "datetime") else f"<{type(value).__name__}>"


def _text(text: str) -> str:
    return clean(for_a_log(_without_known(text[:LONGEST])))


def _without_known(text: str) -> str:
    for secret in known():
        text = text.replace(secret, GONE)
    return text


@cache
def known() -> tuple[str, ...]:
    """Secrets that this process was given, the longest first."""
    found = set[str]()
    for name, value in os.environ.items():
        if not (match := _SECRET_VARIABLE.search(name)):
            continue
        try:
            told = Path(value).read_text(encoding="utf-8") if match[2] else value
        except (OSError, ValueError):
            continue
        found |= {told.strip(), *(part.strip() for part in told.split(","))}
    return tuple(sorted((one for one in found if len(one) >= 8), key=len, reverse=True))


# --- Tracebacks ------------------------------------------------------------------------------------------------------


def _told(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """As Python writes it, the first error first; of variables nothing, of what an error says what is harmless."""
    seen |= {id(error)}
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _told(before, seen)
        direct = "The above exception was the direct cause of the following exception:"
        yield direct if error.__cause__ else "During handling of the above exception, another exception occurred:"
    yield "Traceback (most recent call last):"
    yield from _frames(error.__traceback__)
    yield f"{clean(type(error).__qualname__)}: {_said(error)}".rstrip(": ")
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions[:20]:
            if id(one) not in seen:
                yield from (f"  | {line}" for line in _told(one, seen))


def _frames(trace: TracebackType | None) -> Iterator[str]:
    lines = [line for frame in traceback.format_tb(trace) for line in frame.splitlines()]
    yield from (clean(line) for line in lines[-400:])


def _said(error: BaseException) -> str:
    """A database repeats in its DETAIL the row that it refused."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - an error whose words are broken too
        return "(it can't be told)"
    return _text(said.partition("\nDETAIL:")[0])


# --- Written ---------------------------------------------------------------------------------------------------------


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return json.dumps(event, ensure_ascii=True)


def _for_people(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {"exception" if name == "traceback" else name: value for name, value in event.items()}


_rendered = structlog.dev.ConsoleRenderer(
    event_key="message", timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
)


def _with_error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The error that is on its way now, not one that is when the line is written."""
    return {**event, "exc_info": sys.exc_info()} if event.get("exc_info") is True else event


structlog.configure(  # for whoever asks structlog for a logger: the same way out
    processors=[merge_contextvars, _with_error, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
