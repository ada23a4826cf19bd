"""Finds the words of a template that are not marked for translation: `python -m tests.unmarked [TEMPLATE …]`."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

TEMPLATES = Path(__file__).parent.parent / "templates"

WORDS = re.compile(r"[^\W\d_]{2,}")
AS_THEY_ARE = frozenset(  # names and units: the same in every language
    [
        "API",
        "APIs",
        "CSV",
        "cURL",
        "Ctrl",
        "Django",
        "HTML",
        "HTTP",
        "ID",
        "IP",
        "JSON",
        "OAuth",
        "Redoc",
        "Sentry",
        "UTC",
        "URL",
        "max",
        "min",
        "ms",
        "px",
    ]
)
MARKED = re.compile(
    r"{#.*?#}|{%\s*comment\b.*?endcomment\s*%}|{%\s*blocktrans(?:late)?\b.*?endblocktrans(?:late)?\s*%}", re.DOTALL
)
TOKEN = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
TRANSLATED = re.compile(r"^{%\s*trans(?:late)?\s|^{%\s*load\s")
# What a tag or a filter would show: `|default:"none"`, `|yesno:"Yes,No"`, `{% firstof name "All" %}`.
SHOWN_BY_FILTER = re.compile(r"""\|(?:default(?:_if_none)?|yesno|pluralize|add):(["'])(.*?)\1""")
SHOWN_BY_TAG = re.compile(r"""(?<!_\()(?<![\w:=])(["'])([A-Z].*?)\1""")
SHOWN_BY_WITH = re.compile(r"""\b(?:title|label|text|words|hint|heading|help|name)=(["'])(.*?)\1""")
ATTRIBUTES = {"title", "aria-label", "aria-description", "placeholder", "alt", "label", "content", "hint", "text",
              "heading", "words", "detail", "help"}  # fmt: skip
ATTRIBUTES_OF_OURS = re.compile(r"^data-(?:confirm|text|title|label|words)")
UNREAD = {"script", "style", "code", "kbd", "svg"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.within: list[str] = []
        self.found: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNREAD:
            self.within.append(tag)
        self._look_at(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if not self.within:
            self._keep(data)

    def _look_at(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta" and ("name", "description") not in attrs:
            return
        for name, value in attrs:
            if value and (name in ATTRIBUTES or ATTRIBUTES_OF_OURS.match(name)):
                self._keep(value)

    def _keep(self, text: str) -> None:
        if set(WORDS.findall(text)) - AS_THEY_ARE:
            self.found.append((self.getpos()[0], " ".join(text.split())))


def words_of(source: str) -> list[tuple[int, str]]:
    """Each unmarked text with its line. Tags are blanked, so that what they stand in is still read as HTML."""
    source = MARKED.sub(_blank, source)
    reader = _Reader()
    reader.feed(TOKEN.sub(_blank, source))
    reader.close()
    found = list(reader.found)
    for token in TOKEN.finditer(source):
        line = source.count("\n", 0, token.start()) + 1
        found += [(line, text) for text in _shown_by(token.group()) if set(WORDS.findall(text)) - AS_THEY_ARE]
    return sorted(found)


def _shown_by(token: str) -> list[str]:
    if TRANSLATED.match(token):
        return []
    shown = [text for _, text in SHOWN_BY_FILTER.findall(token)]
    if token.startswith("{%"):
        name = token[2:].split(maxsplit=1)[0]
        shown += [text for _, text in SHOWN_BY_WITH.findall(token)] if name in ("include", "with") else []
        shown += [text for _, text in SHOWN_BY_TAG.findall(token)] if name == "firstof" else []
    return shown


def _blank(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n") or " "


def main(names: list[str]) -> int:
    paths = [Path(name) for name in names] or sorted(TEMPLATES.rglob("*.html"))
    total = 0
    for path in paths:
        for line, text in words_of(path.read_text()):
            total += 1
            print(f"{path}:{line}: {text}")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
