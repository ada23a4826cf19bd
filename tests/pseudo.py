"""A language that is not one: ⟦each text stands in such brackets and is longer than in English~~~~ ~~⟧."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from django.utils import translation
from django.utils.html import strip_tags

OPEN, CLOSE = "⟦", "⟧"


def spoken() -> ExitStack:
    """While it is entered, all that is marked for translation comes in that language."""
    stack = ExitStack()
    for name in ("gettext", "ngettext", "pgettext", "npgettext"):
        stack.enter_context(patch.object(translation._trans, name, _longer(getattr(translation._trans, name))))
    return stack


def _longer(said: Callable[..., str]) -> Callable[..., str]:
    def say(*asked: Any) -> str:
        text = said(*asked)
        return f"{OPEN}{text}{_more(len(strip_tags(text)) // 3)}{CLOSE}" if text else text

    return say


def _more(length: int) -> str:
    """So many characters of words that can be parted."""
    return ("~" * 4 + " ~~~~" * (length // 5))[:length]
