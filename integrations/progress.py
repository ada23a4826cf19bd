"""How far long work has come, told while it goes on; whoever runs the work says where that is kept.

Told outside of any transaction of the work's own: inside one nobody would see it before its end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Told = Callable[[dict[str, Any]], None]

_told: ContextVar[Told | None] = ContextVar("progress", default=None)


def tell(words: str, **figures: Any) -> None:
    """`words` for people, such as "3 of 40 hours rolled up."; nothing happens where nobody listens. Never raises."""
    if (told := _told.get()) is not None:
        told({"message": words, **figures})


@contextmanager
def told_to(told: Told) -> Iterator[None]:
    """What is told within, in this thread, goes to `told`, which must not raise."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)
