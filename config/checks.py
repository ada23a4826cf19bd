"""System checks of the whole installation: what would go wrong quietly in production says so at start.

Run by `manage.py check`; those of the database by `migrate`, those of deployment by `check --deploy`.
"""

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's names
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections

from healthchecks.alerts import routes
from integrations import vault
from integrations.accounts.login import company, required
from integrations.models import KeyCanary

log = logging.getLogger(__name__)


@register(Tags.security)
def hosts_are_named(**_: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Error(
            "ALLOWED_HOSTS allows every host, so links in pages could be made to point anywhere.",
            hint="Name the host that people use; PUBLIC_URL's is allowed already.",
            id="config.E001",
        )
    ]


@register(Tags.security, deploy=True)
def people_come_over_https(**_: Any) -> list[CheckMessage]:
    if settings.HTTPS:
        return []
    return [
        Warning(
            f"PUBLIC_URL is {settings.PUBLIC_URL}: without https, sessions and tokens travel in the clear.",
            hint="Put a reverse proxy with TLS in front and set PUBLIC_URL to its https address.",
            id="config.W001",
        )
    ]


_KEYS = ("SECRET_KEY", "TOKEN_ENCRYPTION_KEYS", "ACTIVITY_KEY", "CRON_SECRET", "METRICS_TOKEN")
_SHORTEST, _FEWEST = 32, 10
_KNOWN = frozenset({
    "admin", "changeme", "change-me", "circletel", "django", "integrations", "letmein", "pass", "password", "postgres",
    "redis", "root", "secret", "test", "12345678", "qwerty",
})  # fmt: skip
"""What everybody tries first."""


@register(Tags.security, deploy=True)
def keys_are_random(**_: Any) -> list[CheckMessage]:
    """Django looks at SECRET_KEY alone. Nothing of a key is shown."""
    return [
        Warning(
            f"{name} can be guessed: it is shorter than {_SHORTEST} characters, or has hardly any different ones.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(50))".',
            id="config.W004",
        )
        for name in _KEYS
        for value in getattr(settings, name).split(",")
        if (key := value.strip().rpartition(":")[2]) and (len(key) < _SHORTEST or len(set(key)) < _FEWEST)
    ]


@register(Tags.security, deploy=True)
def passwords_are_our_own(**_: Any) -> list[CheckMessage]:
    database = settings.DATABASES["default"]
    given = {
        "DATABASE_URL": (database.get("USER", ""), database.get("PASSWORD", "")),
        "REDIS_URL": (urlsplit(settings.REDIS_URL).username or "", urlsplit(settings.REDIS_URL).password or ""),
    }
    return [
        Warning(
            f"The password in {name} is one that everybody tries first.",
            hint="Give it a long random one.",
            id="config.W005",
        )
        for name, (user, password) in given.items()
        if password and (password.lower() in _KNOWN or password == user)
    ]


@register(Tags.security, deploy=True)
def private_addresses_stay_closed(**_: Any) -> list[CheckMessage]:
    if not settings.OUTBOUND_ALLOW_PRIVATE:
        return []
    return [
        Warning(
            "OUTBOUND_ALLOW_PRIVATE is set: jobs and forwards can reach whatever this machine can.",
            hint="It is for tests. Name the networks that forwards and jobs may reach in OUTBOUND_ALLOWED_NETWORKS.",
            id="config.W006",
        )
    ]


@register(Tags.caches)
def counts_are_shared(**_: Any) -> list[CheckMessage]:
    """Rate limits are counted in the cache, which without Redis is each process's own."""
    if settings.REDIS_URL or settings.WEB_WORKERS == 1:
        return []
    return [
        Warning(
            f"{settings.WEB_WORKERS} web processes without Redis each count requests for themselves.",
            hint="Set REDIS_URL, or WEB_WORKERS=1.",
            id="config.W002",
        )
    ]


@register(Tags.compatibility)
def alerts_lead_somewhere(**_: Any) -> list[CheckMessage]:
    """A route that can't be read would be found out when it is needed."""
    return [
        Warning(
            f"Alerts can't go by route {route.position} ({route.label}). {route.trouble}",
            hint="Mend it in ALERT_TO or ALERT_FALLBACK_TO; then send a test from the page Alerts.",
            id="config.W003",
        )
        for route in routes.configured()
        if route.trouble
    ]


@register(Tags.database)
def a_commit_is_durable(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """A 2xx to a provider says that the row survives a power cut; the database must be set up to keep that promise."""
    problems: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        question = "PRAGMA synchronous" if connection.vendor == "sqlite" else "SHOW synchronous_commit"
        with connection.cursor() as cursor:
            cursor.execute(question)
            answer = str(cursor.fetchone()[0])
        if answer in ("off", "0", "1"):
            problems.append(
                Error(
                    f"The database acknowledges commits before they are durable ({question} answers {answer}).",
                    hint="Set synchronous_commit to on: a webhook that was answered must not be lost in a crash.",
                    id="config.E002",
                )
            )
    return problems


@register(Tags.security, deploy=True)
def a_password_is_not_all(**_: Any) -> list[CheckMessage]:
    if settings.SECOND_FACTOR_FOR != required.NOBODY:
        return []
    return [
        Warning(
            "SECOND_FACTOR_FOR is nobody: whoever learns a password is in.",
            hint="Leave it unset, or set it to acting, everyone, or the roles that must have one.",
            id="config.W007",
        )
    ]


@register(Tags.database)
def sign_in_is_set_up(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """A role that is misspelt would be one that nobody has."""
    if Group._meta.db_table not in (connections["default"].introspection.table_names() if databases else []):
        return []
    roles = [f"SECOND_FACTOR_FOR: there is no role {role!r}." for role in required.unknown_roles()]
    return [Error(sentence, id="config.E005") for sentence in [*roles, *company.amiss()]]


@register(Tags.database)
def what_was_sealed_opens(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """A key that is missing or wrong is noticed at start rather than at the next use of a token."""
    if "default" not in (databases or []):
        return []
    if KeyCanary._meta.db_table not in connections["default"].introspection.table_names():
        return []  # a database that is still to be made
    try:
        found = vault.amiss()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="config.E004")]
    return [Error(sentence, hint=vault.WHAT_TO_DO, id="config.E003") for sentence in found]


def tell_of_keys() -> None:
    """For web and worker, which go on all the same: deliveries are received and processed without a single token."""
    try:
        for found in what_was_sealed_opens(databases=["default"]):
            log.critical("%s %s", found.msg, found.hint or "")
    except (DatabaseError, InterfaceError) as error:
        log.warning("Whether the keys are right could not be seen at start (%s)", type(error).__name__)
    finally:
        connections.close_all()
