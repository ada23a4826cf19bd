"""Tokens are planted, everything is done with them that can be done, and then they are looked for in all that people,
files and other processes get to see."""

import logging
import subprocess
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from django.views import debug

from config import celery, logs, vault
from integrations import crypto
from integrations.actor import SYSTEM, Actor
from integrations.models import Activity
from integrations.providers.spec import Answer, ProviderError
from oauth import flow, services
from oauth.models import AuthorizationRequest, Grant, Token, TokenEvent
from oauth.services import authorize, refresh
from tests import quick
from tests.config.test_access import ask, routes
from tests.oauth.test_authorize import begin, consent, with_pkce

pytestmark = pytest.mark.django_db(transaction=True)

ACCESS, REFRESH = "1000.canary-access-0123456789", "1000.canary-refresh-0123456789"
FAULTS = ("fail", "refuse", "throttle", "reset", "garbage")


def plant(integration) -> None:
    given = flow.Tokens(
        access_token=ACCESS, refresh_token=REFRESH, issued_at=timezone.now() - timedelta(hours=2),
        expires_at=timezone.now() - timedelta(hours=1), metadata={"sandbox": "yes"},
    )  # fmt: skip
    services.connect(integration, given, actor=SYSTEM)


def look_into(secrets: set[str], text: str) -> None:
    """Fails without repeating what it found."""
    hexed = text.lower()
    found = [secret[:8] for secret in secrets if secret in text or secret.encode().hex() in hexed]
    assert found == [], f"{len(found)} secrets show"


@pytest.fixture
def lived(sandbox, registry, caplog, monkeypatch, alice):
    """Connected with PKCE, cancelled, used, renewed, refused and failed in every way, with every logger at its most
    talkative. Gives the secrets there were, and what was sent to workers."""
    caplog.set_level(logging.DEBUG)
    for name in ("django.db.backends", "django.request", "celery"):
        caplog.set_level(logging.DEBUG, logger=name)
    connection.force_debug_cursor = True  # every statement with its values
    messages: list[str] = []
    monkeypatch.setattr(celery.app, "send_task", lambda *args, **kwargs: messages.append(repr((args, kwargs))))
    secrets = {ACCESS, REFRESH, sandbox.state.value("ZOHO_CLIENT_SECRET")}

    def gather() -> None:
        for token in Token.objects.exclude(access_sealed=""):
            secrets.update({token.access_token(), token.refresh_token()} - {""})

    plant(registry["zoho-crm"])
    with pytest.raises(ProviderError):
        services.access_token(registry["zoho-crm"])  # a refresh token that the sandbox never gave: the grant dies
    for slug in ("zoho-sign", "zoho-desk", "zoho-billing"):
        services.connect_sandbox(registry[slug])
    gather()
    client = Client()
    client.force_login(alice)
    with_pkce(monkeypatch)
    for decision in ("accept", "reject"):  # the road that a person's browser takes
        back = consent(begin(registry["zoho-crm"], Actor(username="alice", user_id=alice.pk), session=""), decision)
        asked = AuthorizationRequest.objects.latest("created_at")
        secrets.update({asked.verifier(), back["state"], *([back["code"]] if "code" in back else [])})
        assert client.get(authorize.CALLBACK, back).status_code == 302
    assert services.access_token(registry["zoho-crm"])
    gather()
    for fault in FAULTS:
        sandbox.set_fault("zoho-accounts", fault)
        Grant.objects.exclude(state__in=Grant.ENDED).update(state="connected", next_try_at=None, error_code="")
        with pytest.raises(ProviderError):
            services.refresh_now(registry["zoho-sign"], actor=SYSTEM)
    sandbox.clear_fault("zoho-accounts")
    services.refresh_now(registry["zoho-desk"], actor=SYSTEM)
    sandbox.set_fault("zoho-accounts", "invalid_code")
    with pytest.raises(ProviderError):
        services.refresh_now(registry["zoho-billing"], actor=SYSTEM)
    sandbox.clear_fault("zoho-accounts")
    services.refresh_expiring()
    gather()
    client.post("/admin/integrations/check")
    yield secrets, messages
    connection.force_debug_cursor = False


def test_logs_and_messages_to_workers_hold_none(lived, caplog):
    secrets, messages = lived
    records = caplog.get_records("setup")
    assert any("v1.t1." in record.getMessage() for record in records)  # the statements, with what is sealed
    written = [logs.Line().format(record) for record in records]
    assert messages
    for text in (*written, *messages):
        look_into(secrets, text)
    # At DEBUG it writes every address with its query, where some providers want their key.
    assert logging.getLogger("urllib3.connectionpool").getEffectiveLevel() > logging.DEBUG


def test_no_page_no_answer_and_no_export_holds_one(lived, person):
    secrets, _ = lived
    clients = [Client(), Client()]
    clients[0].force_login(person("root", is_superuser=True, is_staff=True))
    clients[1].force_login(person("dana", role="Super Admin"))
    seen: list[str] = []

    class Listening(Client):
        def generic(self, *args, **kwargs):
            response = self.inner.generic(*args, **kwargs)
            seen.append("".join(f"{name}: {value}" for name, value in response.headers.items()))
            content = b"".join(response.streaming_content) if response.streaming else response.content
            seen.append(content.decode(errors="replace"))
            return response

    for client in clients:
        listening = Listening()
        listening.inner = client
        for route in routes():
            ask(listening, route, "GET")
        for slug in ("zoho-crm", "zoho-sign", "zoho-billing"):
            listening.generic("GET", f"/api/admin/integrations/{slug}")
            listening.generic("GET", f"/admin/integrations/{slug}")
    listening = Listening()
    listening.inner = clients[0]
    for model in site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listening.generic("GET", reverse(f"{name}_changelist"))
        # Django itself warns of an address in a form (webhooks.Forward), which here would be an error.
        for row in model._default_manager.all()[: 0 if model._meta.model_name == "forward" else 20]:
            listening.generic("GET", reverse(f"{name}_change", args=[row.pk]))
    assert sum("zoho-crm" in text for text in seen) > 3
    for text in seen:
        look_into(secrets, text)
        assert "v1.t1." not in text, "sealed values aren't shown either"


def test_the_story_holds_none(lived):
    secrets, _ = lived
    assert TokenEvent.objects.filter(kind="refresh_failed").count() > len(FAULTS)
    for model in (Activity, TokenEvent, Grant):
        look_into(secrets, str(list(model.objects.values())))


# --- At rest ---------------------------------------------------------------------------------------------------------


def test_in_the_whole_database_only_the_known_columns_hold_anything_sealed(lived):
    secrets, _ = lived
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(quick.PREFIX):  # the tests' own
                continue
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    text = bytes(value).decode(errors="replace") if isinstance(value, memoryview) else str(value)
                    look_into(secrets, text)
                    if "v1.t1." in text:
                        found.add(f"{table}.{column}")
    known = {str(column) for column in vault.COLUMNS} | {f"{model._meta.db_table}.sealed" for model in vault.BY_KEY}
    assert {"integration_oauth_tokens.access_token", "integration_oauth_tokens.refresh_token"} <= found <= known


def test_a_dump_holds_none(lived):
    secrets, _ = lived
    if connection.vendor == "sqlite":
        text = "\n".join(connection.connection.iterdump())
    else:
        params = connection.get_connection_params()
        url = f"postgresql://{params['user']}@{params['host']}:{params['port']}/{params['dbname']}"
        dump = subprocess.run(
            ["pg_dump", "--no-owner", url], capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/usr/local/bin:/bin", "PGPASSWORD": params.get("password") or ""},
        )  # fmt: skip
        if "server version mismatch" in dump.stderr:
            pytest.skip("this pg_dump is older than the server")
        assert dump.returncode == 0, dump.stderr
        text = dump.stdout
    assert "zoho-crm" in text
    look_into(secrets, text)


# --- Errors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(registry, sandbox, monkeypatch):
    """An error raised where tokens lie in many variables: as they are being stored."""
    services.connect_sandbox(registry["zoho-crm"])
    token = Token.objects.get()
    secrets = {token.access_token(), token.refresh_token(), sandbox.state.value("ZOHO_CLIENT_SECRET")}
    read = flow.read_tokens

    def fail(oauth, answer: Answer, *, now):
        given = read(oauth, answer, now=now)
        secrets.update({given.access_token})
        raise RuntimeError("broken")

    monkeypatch.setattr(refresh.flow, "read_tokens", fail)
    try:
        services.refresh_now(registry["zoho-crm"], actor=SYSTEM)
    except RuntimeError:
        return secrets, sys.exc_info()
    raise AssertionError("nothing broke")


def a_request():
    code = "?code=canary-code&state=canary-state"
    request = RequestFactory().post(
        f"/api/oauth/callback{code}", {"token": "canary-form"}, headers={"Authorization": "Bearer canary-bearer"}
    )
    request.COOKIES["session"] = "canary-cookie"
    return request


@pytest.mark.parametrize("debugging", [True, False])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_error_pages_hold_none(broken, settings, debugging, accept):
    secrets, error = broken
    settings.DEBUG = debugging
    request = a_request()
    request.META["HTTP_ACCEPT"] = accept
    page = debug.technical_500_response(request, *error).content.decode()
    assert "read_tokens" in page  # the way of the error shows
    assert "broken" in page
    look_into(secrets | {"canary-code", "canary-state", "canary-form", "canary-bearer", "canary-cookie"}, page)


def test_without_our_filter_they_would_show(broken):
    secrets, error = broken
    reporter = debug.ExceptionReporter(a_request(), *error)
    reporter.filter = debug.SafeExceptionReporterFilter()
    page = reporter.get_traceback_html()
    assert sum(secret in page for secret in secrets) >= 2
    with pytest.raises(AssertionError):
        look_into(secrets, page)


@pytest.mark.parametrize("debugging", [True, False])
def test_a_view_that_breaks_shows_none(registry, alice, settings, monkeypatch, caplog, debugging):
    plant(registry["zoho-crm"])

    def fail(token, now):
        if token is None:
            return services.Status.MISSING
        opened = token.access_token()
        raise RuntimeError(f"broken {bool(opened)}")

    monkeypatch.setattr(services, "status", fail)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    client.get("/healthz")  # which loads the middleware; one of them would warn of DEBUG
    settings.DEBUG = debugging
    response = client.get("/api/admin/integrations/oauth/tokens")
    assert response.status_code == 500
    look_into({ACCESS, REFRESH}, response.content.decode() + caplog.text)
    assert ("broken True" in response.content.decode()) is debugging


def test_settings_on_an_error_page_hide_what_carries_a_password(settings):
    settings.DATABASE_URL = settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://:canary-password@host"
    settings.SANDBOX_VALUES = {"WEBHOOK_ANYTHING": "canary-lent"}
    shown = str(debug.get_default_exception_reporter_filter().get_safe_settings())
    look_into({"canary-password", "canary-lent", settings.SECRET_KEY, settings.TOKEN_ENCRYPTION_KEYS}, shown)


def test_what_is_asked_and_answered_has_no_secret_in_its_repr(registry):
    oauth = registry["zoho-crm"].spec.oauth
    client = flow.Client(base_url="https://example.com", client_id="id", client_secret="canary-secret")
    answer = Answer(status=200, headers={"x": "canary-head"}, body=b"canary-body", elapsed_ms=1)
    token = Token(access_sealed=crypto.seal("x", context="c"))
    shown = repr((flow.refresh(oauth, client, refresh_token=REFRESH), client, answer, token, str(token)))
    look_into({REFRESH, "canary-secret", "canary-head", "canary-body", token.access_sealed}, shown)
    assert urlsplit(client.base_url).hostname in shown
