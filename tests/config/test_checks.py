"""What would go wrong quietly says so at start."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from config import checks
from integrations import providers
from integrations.checks import declared_providers_are_sound


def test_this_installation_is_sound(db):
    assert run_checks(databases=["default"]) == []


def test_every_host_allowed_is_an_error(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert [found.id for found in checks.hosts_are_named()] == ["config.E001"]


def test_plain_http_is_a_warning_when_deploying(settings):
    assert [found.id for found in checks.people_come_over_https()] == ["config.W001"]
    settings.HTTPS = True
    assert checks.people_come_over_https() == []


def test_several_web_processes_need_redis(settings):
    settings.REDIS_URL, settings.WEB_WORKERS = "", 3
    assert [found.id for found in checks.counts_are_shared()] == ["config.W002"]


def test_a_route_that_can_not_be_read_is_a_warning_that_shows_nothing_of_it(settings):
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = "mailto:ops@example.com,sms:hidden", "json://127.0.0.1"
    (found,) = checks.alerts_lead_somewhere()
    assert (found.id, "route 2 (sms:…)" in found.msg, "hidden" in found.msg) == ("config.W003", True, False)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_forgets_is_an_error():
    off, on = {
        "sqlite": ("PRAGMA synchronous=OFF", "PRAGMA synchronous=FULL"),
        "postgresql": ("SET synchronous_commit TO off", "SET synchronous_commit TO on"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(off)
        try:
            assert [found.id for found in checks.a_commit_is_durable(databases=["default"])] == ["config.E002"]
        finally:
            cursor.execute(on)
    assert checks.a_commit_is_durable(databases=["default"]) == []


def test_two_providers_with_one_path_are_an_error(monkeypatch):
    monkeypatch.setattr(providers, "PROVIDERS", (providers.PROVIDERS[0], providers.PROVIDERS[0]))
    assert {found.id for found in declared_providers_are_sound()} == {"integrations.E001"}


def test_a_variable_that_no_row_may_name_is_an_error(settings):
    settings.SECRET_ENV_PREFIXES = ("ZOHO_",)
    assert "integrations.E002" in {found.id for found in declared_providers_are_sound()}
