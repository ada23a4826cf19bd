"""What the import linter can't say: read from the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ["config", "healthchecks", "integrations", "oauth", "webhooks"]
SOURCES = sorted(
    path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts
)  # fmt: skip
SERVICES = [path for path in SOURCES if path.stem == "services" or path.parent.name == "services"]
PURE = [
    ROOT / "healthchecks/histogram.py",
    ROOT / "healthchecks/status.py",
    ROOT / "oauth/flow.py",
    ROOT / "webhooks/privacy.py",
    ROOT / "webhooks/rhythm.py",
    *(path for path in SOURCES if "providers" in path.parts),
]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, at the top and within functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SERVICES, ids=named)
def test_services_never_see_a_request(path):
    assert not {name for name in imported(path) if name.startswith(("django.http", "django.shortcuts"))}


@pytest.mark.parametrize("path", PURE, ids=named)
def test_pure_modules_know_no_orm(path):
    assert not {name for name in imported(path) if name.startswith("django.db")}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_signals_of_our_own_and_no_naked_clock(path):
    text = path.read_text()
    assert "datetime.now()" not in text
    assert "utcnow(" not in text
    allowed = {"config/apps.py", "config/celery.py", "config/tasks.py"}  # Django's and Celery's own hooks
    if named(path) not in allowed:
        assert ".connect(" not in text.replace("self.connect(", "").replace("sock.connect(", "").replace(
            "psycopg.connect(", ""
        ).replace("AsyncConnection.connect(", "").replace("services.connect(", "").replace(
            "oauth.connect(", ""
        ).replace("sociallogin.connect(", "")


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 480, "is there a noun to split by?"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.stem == "views" or path.parent.name == "views"], ids=named
)
def test_a_view_is_at_most_fifteen_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and any(arg.arg == "request" for arg in node.args.args):
            first = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - first[0].lineno + 1 if first else 0
            assert length <= 15, f"{node.name} has {length} lines"


def test_every_ignored_warning_carries_its_code():
    for path in SOURCES:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if "# type: ignore" in line:
                assert "# type: ignore[" in line, f"{named(path)}:{number}"
            if "# noqa" in line:
                assert "# noqa: " in line, f"{named(path)}:{number}"


@pytest.mark.parametrize(
    "code",
    [
        "import urllib.request", "from http.client import HTTPSConnection", "from socket import create_connection",
        "import socket\n\nsocket.socket().connect()", "import smtplib\n\nsmtplib.SMTP('mail')", "import ftplib",
        "import asyncio\n\nasyncio.open_connection('x', 1)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("app", APPS)
def test_there_is_no_other_door_out(app, code):
    """Of the standard library; that packages are told too is import-linter's contract "One door out"."""
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "TID251", "--stdin-filename", f"{app}/x.py"]
    done = subprocess.run([*ruff, "-"], input=code, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "TID251" in done.stdout) == (1, True), done.stderr
