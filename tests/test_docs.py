"""The documentation keeps up with the code: links lead somewhere, commands, settings and API routes exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
every_page = pytest.mark.parametrize("doc", PAGES, ids=lambda doc: doc.name)
every_doc = pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)

FENCE = re.compile(r"^(```).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:manage\.py|\bmanage) ([a-z_]+)")
SETTING = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w(])")
NAMED = set(re.findall(r"^# ([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
# Capitals that are no settings: what providers answer, and systemd's names of address families.
NO_SETTINGS = {
    "LC_MESSAGES",
    "LIVE_ZOHO_REFRESH_TOKEN",
    "INVALID_TOKEN",
    "REQUEST_DENIED",
    "OVER_QUERY_LIMIT",
    "AF_INET",
    "AF_INET6",
    "AF_UNIX",
}
MADE_UP = re.compile(r"WEBHOOK_ACME_\w+|NAME_FILE")


def prose(doc: Path) -> str:
    return FENCE.sub("", doc.read_text())


def anchors(doc: Path) -> set[str]:
    """The ids that Git hosts make of a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(doc), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(anchor if anchor not in found else f"{anchor}-1")
    return found


def links(doc: Path) -> Iterator[tuple[str, Path, str]]:
    """Every link within the repository: as written, the file and the anchor it means."""
    for target in LINK.findall(re.sub(r"`[^`\n]+`", "`code`", prose(doc))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield target, (doc.parent / path).resolve() if path else doc, anchor


@every_page
def test_every_link_leads_to_a_file_and_a_heading(doc: Path) -> None:
    broken = [
        target
        for target, path, anchor in links(doc)
        if not path.exists() or (anchor and anchor not in anchors(path)) or not path.is_relative_to(ROOT)
    ]
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    assert {path for _, path, _ in links(ROOT / "docs" / "index.md")} >= set(DOCS) - {ROOT / "docs" / "index.md"}


@every_page
def test_every_management_command_exists(doc: Path) -> None:
    mentioned = {name for code in CODE.findall(doc.read_text()) for name in COMMAND.findall(code)}
    assert mentioned - set(get_commands()) == set()


@every_doc
def test_every_setting_stands_in_the_example(doc: Path) -> None:
    mentioned = {name for code in CODE.findall(doc.read_text()) for name in SETTING.findall(code)}
    unknown = {
        name
        for name in mentioned - NAMED - NO_SETTINGS
        if name.removesuffix("_FILE") not in NAMED and not MADE_UP.fullmatch(name)
    }
    assert unknown == set() or doc.name == "providers.md"  # which quotes what providers call their errors


@every_doc
def test_every_route_of_the_api_exists(doc: Path) -> None:
    """As far as a route is written out: those of "not there yet" are written with "…"."""
    from django.urls import Resolver404, resolve

    missing = []
    for path in set(re.findall(r"(?<![\w}])/api/(?:admin/integrations|schema|docs)[\w/{}-]*", doc.read_text())):
        try:
            resolve(path.replace("{slug}", "resend").replace("{id}", "00000000-0000-0000-0000-000000000000"))
        except Resolver404:
            missing.append(path)
    assert missing == []


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    doc = tmp_path / "doc.md"
    doc.write_text(
        "# A heading, with `code`\n\n[good](#a-heading-with-code) [bad](#nowhere)\n\n```\n[no link](x)\n# no\n```\n"
    )
    assert anchors(doc) == {"a-heading-with-code"}
    assert [target for target, _, _ in links(doc)] == ["#a-heading-with-code", "#nowhere"]
    assert COMMAND.findall("manage.py no_such --x; manage nor_this") == ["no_such", "nor_this"]
    assert SETTING.findall("NO_SUCH_THING=1 ZOHO_ X-Y_Z not_this") == ["NO_SUCH_THING"]
