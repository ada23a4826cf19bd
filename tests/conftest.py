"""Fixtures for every test: the declared rows are there (post_migrate made them), and three people.

alice may everything, bob may look, charlie is a stranger.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.cache import cache, caches
from django.db import connection
from servestatic.middleware import ServeStaticMiddleware

from integrations import triggers
from integrations.accounts.models import User
from integrations.models import Integration
from integrations.sandbox import values
from integrations.sandbox.server import Sandbox
from tests import quick, services

PASSWORD = "correct horse battery"


DATABASE = {"db", "transactional_db", "live_server", "django_db_setup"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL only what asks a database: all the rest has just run beside SQLite."""
    if os.environ.get("TEST_ENGINE") != "postgresql":
        return
    others = [one for one in items if not (one.get_closest_marker("django_db") or DATABASE & set(_fixtures(one)))]
    config.hook.pytest_deselected(items=others)
    left_out = set(others)
    items[:] = [one for one in items if one not in left_out]


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Take off the activity log's guard: the runner empties tables between tests. Its own tests put it back."""
    with django_db_blocker.unblock():
        triggers.remove(connection)
        quick.remember(connection)


@pytest.fixture(scope="session", autouse=True)
def static_files_are_looked_for_once() -> Iterator[None]:
    """Each client's first request would look through all folders of static files: a third of all time."""
    look, found = ServeStaticMiddleware.add_files_from_finders, dict[Any, dict[str, Any]]()

    def once(self: ServeStaticMiddleware) -> None:
        where = (settings.STATIC_URL, settings.SECURE_HSTS_SECONDS, *settings.STATICFILES_DIRS)
        if where not in found:
            look(self)
            found[where] = dict(self.files)
        self.files.update(found[where])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServeStaticMiddleware, "add_files_from_finders", once)
        yield


@pytest.fixture(autouse=True)
def at_the_second() -> Iterator[None]:
    """With CLOCK=2026-11-30T21:59:58Z each test begins at that second: what fails then hangs on the time of day."""
    if not (start := os.environ.get("CLOCK")):
        yield
        return
    with time_machine.travel(start, tick=True):
        yield


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    for one in (cache, caches["alone"]):
        one.clear()
    yield
    for one in (cache, caches["alone"]):
        one.clear()


@pytest.fixture
def registry(db: None) -> dict[str, Integration]:
    """The ten integrations, as declared, by slug."""
    return {row.slug: row for row in Integration.objects.all()}


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Makes a user with a role: `person("dana", role="IT Manager")`."""

    def make(
        username: str, *, role: str | None = None, first_name: str = "", last_name: str = "", **extra: object
    ) -> User:
        user = User.objects.create_user(
            username, f"{username}@example.com", PASSWORD, first_name=first_name, last_name=last_name, **extra
        )
        if role:
            user.groups.add(Group.objects.get(name=role))
        return user

    return make


@pytest.fixture
def alice(person: Callable[..., User]) -> User:
    return person("alice", role="Super Admin", first_name="Alice", last_name="Example")


@pytest.fixture
def bob(person: Callable[..., User]) -> User:
    return person("bob", role="Operations Manager", first_name="Bob", last_name="Example")


@pytest.fixture
def charlie(person: Callable[..., User]) -> User:
    return person("charlie", role="Support Agent", first_name="Charlie", last_name="Example")


@pytest.fixture(scope="session")
def lent() -> dict[str, str]:
    """What a sandbox lends, the same at every run."""
    return values.lend(lambda name: hashlib.sha256(f"test-{name}".encode()).hexdigest())


@pytest.fixture
def sandbox(lent: dict[str, str], settings: Any) -> Iterator[Sandbox]:
    """The ten providers, played on loopback; the app knows them to be there. No webhooks come by themselves."""
    with Sandbox(values=lent) as running:
        settings.SANDBOX_URL, settings.SANDBOX_VALUES = running.url, lent
        yield running


def pytest_report_header() -> list[str]:
    return services.report()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Where every test is promised to run, one that was skipped is a failure."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("REQUIRE_REAL") == "1":
        terminalreporter.write_line(
            f"{len(skipped)} skipped, but REQUIRE_REAL=1 promises that all of them run.", red=True
        )
        terminalreporter._session.exitstatus = 1
