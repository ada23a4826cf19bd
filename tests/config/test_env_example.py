"""`.env.example` names every variable that is read, with the default it really has, and none that nobody reads."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations import credentials, providers
from webhooks.services import forward

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("config", "healthchecks", "integrations", "oauth", "webhooks")
READERS = re.compile(
    r"(environment\.)?env\.(str|bool|int|float|list|json|url)|(environment\.)?(secret|required)|os\.environ\.get"
)
EXAMPLE = (ROOT / ".env.example").read_text()
NAMED = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))


def reads(source: str) -> Iterator[tuple[str, object]]:
    """Every variable that `source` asks the environment for, with its default where that is a literal, else None."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *rest], keywords=keywords):
                if READERS.fullmatch(ast.unparse(func)):
                    yield name, literal([*rest, *(k.value for k in keywords if k.arg == "default")])
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))) if ast.unparse(value) == "os.environ":
                yield name, None


def literal(nodes: list[ast.expr]) -> object:
    try:
        return ast.literal_eval(nodes[0]) if nodes else None
    except ValueError:
        return None


def read_by_the_code() -> dict[str, object]:
    paths = (path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    found: dict[str, object] = {}
    for path in sorted(paths):
        for name, default in reads(path.read_text()):
            found[name] = found.get(name) if default is None else default
    return found


def declared_by_the_providers() -> dict[str, object]:
    found: dict[str, object] = {forward.DEFAULT_SECRET_ENV: None}
    for provider in providers.PROVIDERS:
        found[provider.base_url_env] = provider.base_url
        found |= {host.env: host.url for host in provider.hosts.values()}
        found |= dict.fromkeys([*credentials.names(provider), *provider.settings])
        if provider.webhook:
            found[provider.webhook.secret_env] = None
        if provider.oauth:
            found[provider.oauth.base_url_env] = provider.oauth.base_url
        if provider.probe:
            found |= dict.fromkeys(provider.probe.params_env.values())
    return found


def read_by_compose() -> set[str]:
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", (ROOT / "docker-compose.yml").read_text()))


READ = {
    **read_by_the_code(),
    **declared_by_the_providers(),
    **dict.fromkeys(read_by_compose() - set(read_by_the_code())),
}


def shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)


def test_the_search_finds_each_way_of_reading():
    known = {
        "DATABASE_URL", "SECRET_KEY", "DEBUG", "PORT", "ALLOWED_HOSTS", "ENV_FILE", "WEB_WORKERS", "ZOHO_REGION",
        "DJANGO_SUPERUSER_EMAIL", "ZOHO_ACCOUNTS_URL", "MTN_PROBE_LAYER", "RESEND_WEBHOOK_SECRET", "POSTGRES_PASSWORD",
    }  # fmt: skip
    assert known <= set(READ)
    assert dict(reads('env.int("A", 3); secret("B"); os.environ["C"]; other.get("D")')) == {
        "A": 3,
        "B": None,
        "C": None,
    }


def test_every_variable_that_is_read_is_named():
    assert set(READ) - set(NAMED) == set()


def test_it_names_none_that_nobody_reads():
    assert set(NAMED) - set(READ) == set()


@pytest.mark.parametrize("name", sorted(name for name, default in READ.items() if default not in (None, "", [])))
def test_the_default_it_gives_is_the_codes(name):
    assert NAMED[name] == shown(READ[name])


def test_nothing_is_set_and_everything_is_explained():
    lines = EXAMPLE.splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    groups = re.split(r"\n\s*\n", EXAMPLE)
    assert [group for group in groups if re.match(r"# [A-Z][A-Z0-9_]*=", group)] == []
