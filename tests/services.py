"""Which real services there are to test against; `make test` says so, and CI insists on all (REQUIRE_REAL=1)."""

import os
import shutil
from functools import cache
from urllib.parse import urlsplit

import pytest

DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


@cache
def postgres() -> bool:
    import psycopg

    try:
        psycopg.connect(DATABASE_URL, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@cache
def redis() -> bool:
    import redis as client

    try:
        with client.Redis.from_url(REDIS_URL, socket_connect_timeout=2) as connection:
            return bool(connection.ping())
    except client.RedisError:
        return False


def need(there: bool, what: str) -> None:
    """Skip the test when a real service is missing; fail instead where all of them are promised."""
    if there:
        return
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(f"{what} is not reachable, and this run promised to test against it.")
    pytest.skip(f"{what} is not reachable.")


def report() -> list[str]:
    """One line for each, for the head of a test run."""
    return [
        f"database:   {os.environ.get('TEST_ENGINE', 'sqlite')}",
        f"PostgreSQL: {'yes' if postgres() else 'NOT REACHABLE'}, {_shown(DATABASE_URL)}",
        f"Redis:      {'yes' if redis() else 'NOT REACHABLE'}, {_shown(REDIS_URL)}",
        f"Chromium:   {CHROMIUM or 'NOT INSTALLED'}",
    ]


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}{parts.path}"
