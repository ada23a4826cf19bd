"""Every route × every method × every kind of caller. A route that isn't in the table fails the first test."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from guardian.shortcuts import assign_perm

from config import probes, wakeup
from healthchecks.models import Incident, Maintenance
from integrations import http, ids
from integrations.accounts import fresh
from integrations.accounts.models import ApiToken, User
from integrations.cron.models import CronJob, CronRun
from integrations.models import Integration
from tests.headers import amiss
from tests.matrix import (
    ANYBODY,
    CALLERS,
    ELSEWHERE,
    HERE,
    HIDDEN,
    LET_IN,
    MANAGE,
    MEANING,
    METHODS,
    NO_SUCH,
    OWN_SECRET,
    READ,
    REFRESH,
    REFUSED,
    REPLAY,
    ROLES,
    SIGNED_IN,
    STRANGER,
    TRIGGER,
    UNPROVED,
    UNSET,
    Caller,
    expected,
)  # fmt: skip
from webhooks.models import Forward, Refusal, ReplayBatch, Webhook, WebhookLog

pytestmark = pytest.mark.django_db

SUPERUSER = "superuser"

API = "api/admin/integrations"
# route → {method: who}. {slug}, {webhook} and {log} are filled in with things that exist.
TABLE: dict[str, dict[str, str]] = {
    "": {"GET": SIGNED_IN},
    "brand.css": {"GET": ANYBODY},
    "healthz": {"GET": ANYBODY},
    "readyz": {"GET": ANYBODY},
    "metrics": {"GET": OWN_SECRET},
    "api/cron/integrations-health-check": {"GET": OWN_SECRET, "POST": OWN_SECRET},
    "api/cron/cleanup-webhook-logs": {"GET": OWN_SECRET, "POST": OWN_SECRET},
    "accounts/login/": {"GET": ANYBODY, "POST": ANYBODY},
    "accounts/prove/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    # who has not given a password yet is sent to where one does
    "accounts/second-factor/": {"GET": ANYBODY, "POST": ANYBODY},
    "accounts/passkey/": {"GET": ANYBODY, "POST": ANYBODY},
    "accounts/company/": {"GET": UNSET},
    "accounts/company/callback/": {"GET": UNSET},
    "accounts/factors/": {"GET": SIGNED_IN},
    "accounts/factors/app/add/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "accounts/factors/app/remove/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "accounts/factors/keys/add/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "accounts/factors/keys/<int:pk>/remove/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "accounts/factors/codes/": {"GET": SIGNED_IN},
    "accounts/factors/codes/make/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "accounts/logout/": {"POST": ANYBODY},
    "admin/integrations": {"GET": READ},
    "admin/integrations/palette": {"GET": SIGNED_IN},
    "admin/integrations/account": {"GET": SIGNED_IN},
    "admin/integrations/account/password": {"POST": SIGNED_IN},
    "admin/integrations/account/sessions/end": {"POST": SIGNED_IN},
    "admin/integrations/account/sessions/<int:pk>/end": {"POST": SIGNED_IN},
    "admin/integrations/account/tokens": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "admin/integrations/account/tokens/<uuid:pk>/revoke": {"POST": SIGNED_IN},
    "admin/integrations/account/preferences": {"POST": SIGNED_IN},
    # Of these four lines "manage" means everywhere: tests/accounts/test_people_pages.py
    "admin/integrations/people": {"GET": MANAGE},
    "admin/integrations/people/add": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/people/<uuid:person_id>": {"GET": MANAGE},
    **{
        f"admin/integrations/people/<uuid:person_id>/{change}": {"POST": MANAGE}
        for change in ("disable", "enable", "tokens", "password", "factors", "roles", "grants/give", "grants/take")
    },
    "admin/integrations/check": {"POST": MANAGE},
    "admin/integrations/activity": {"GET": READ},
    "admin/integrations/incidents/<uuid:pk>": {"GET": READ, "POST": MANAGE},
    "admin/integrations/<slug:slug>": {"GET": READ},
    "admin/integrations/<slug:slug>/switch": {"POST": MANAGE},
    "admin/integrations/<slug:slug>/check": {"POST": MANAGE},
    "admin/integrations/<slug:slug>/connect": {"POST": MANAGE},
    "admin/integrations/oauth": {"GET": READ},
    "admin/integrations/oauth/<slug:slug>": {"GET": READ},
    "admin/integrations/oauth/<slug:slug>/renewal": {"POST": MANAGE},
    "admin/integrations/oauth/<slug:slug>/revoke": {"POST": MANAGE},
    "admin/integrations/oauth/refresh": {"POST": REFRESH},
    "oauth/callback": {"GET": SIGNED_IN},
    "oauth/result": {"GET": SIGNED_IN},
    "admin/integrations/<slug:slug>/refresh": {"POST": REFRESH},
    "admin/integrations/apis": {"GET": READ},
    "admin/integrations/apis/maintenance": {"GET": READ},
    "admin/integrations/apis/maintenance/declare": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/apis/maintenance/<uuid:maintenance_id>/end": {"POST": MANAGE},
    "admin/integrations/apis/<slug:slug>/thresholds": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/webhooks": {"GET": READ},
    "admin/integrations/webhooks/logs.csv": {"GET": READ},
    "admin/integrations/webhooks/<uuid:pk>/body": {"GET": READ},
    "admin/integrations/webhooks/<uuid:pk>/raw": {"GET": READ},
    "admin/integrations/webhooks/<uuid:pk>/reveal": {"POST": MANAGE},
    "admin/integrations/webhooks/replays": {"GET": REPLAY, "POST": REPLAY},
    "admin/integrations/webhooks/replays/<uuid:batch_id>": {"GET": REPLAY},
    "admin/integrations/webhooks/replays/<uuid:batch_id>/cancel": {"POST": REPLAY},
    "admin/integrations/webhooks/test": {"GET": REPLAY, "POST": REPLAY},
    "admin/integrations/webhooks/retry-queue": {"GET": READ, "POST": TRIGGER},
    "admin/integrations/webhooks/receivers": {"GET": READ},
    "admin/integrations/webhooks/<uuid:webhook_id>": {"GET": READ},
    "admin/integrations/webhooks/<uuid:webhook_id>/refusals.csv": {"GET": READ},
    "admin/integrations/webhooks/<uuid:webhook_id>/forwards.csv": {"GET": READ},
    "admin/integrations/webhooks/<uuid:webhook_id>/change": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/switch": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/judge": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/look": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/fetch": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/resume": {"POST": MANAGE},
    "admin/integrations/webhooks/<uuid:webhook_id>/forwards/<uuid:forward_id>/retry": {"POST": REPLAY},
    "admin/integrations/webhooks/<uuid:webhook_id>/refusals/<uuid:refusal_id>": {"GET": READ},
    "admin/integrations/webhooks/<uuid:pk>/replay": {"POST": REPLAY},
    "admin/integrations/cron": {"GET": READ},
    "admin/integrations/cron/add": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/cron/check": {"GET": READ},
    "admin/integrations/cron/named/<str:name>": {"GET": READ},
    "admin/integrations/cron/<uuid:job_id>": {"GET": READ},
    "admin/integrations/cron/<uuid:job_id>/edit": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/cron/<uuid:job_id>/remove": {"GET": MANAGE, "POST": MANAGE},
    "admin/integrations/cron/<uuid:job_id>/switch": {"POST": MANAGE},
    "admin/integrations/cron/<uuid:job_id>/start": {"POST": TRIGGER},
    "admin/integrations/cron/<uuid:job_id>/runs/<uuid:run_id>": {"GET": READ},
    "admin/integrations/cron/<uuid:job_id>/runs/<uuid:run_id>/cancel": {"POST": TRIGGER},
    "admin/integrations/alerts": {"GET": READ},
    "admin/integrations/alerts/bell": {"GET": SIGNED_IN},
    "admin/integrations/alerts/seen": {"POST": READ},
    "admin/integrations/alerts/test": {"POST": MANAGE},
    "api/schema": {"GET": READ},
    "api/docs": {"GET": READ},
    API: {"GET": READ},
    f"{API}.csv": {"GET": READ},
    f"{API}/activity": {"GET": READ},
    f"{API}/activity.csv": {"GET": READ},
    f"{API}/alerts.csv": {"GET": READ},
    f"{API}/oauth/tokens.csv": {"GET": READ},
    f"{API}/alerts": {"GET": READ},
    f"{API}/alerts/test": {"POST": MANAGE},
    f"{API}/alerts/seen": {"POST": READ},
    f"{API}/oauth/tokens": {"GET": READ},
    f"{API}/oauth/<slug:slug>/authorize": {"POST": MANAGE},
    f"{API}/oauth/refresh": {"POST": REFRESH},
    f"{API}/oauth/<slug:slug>": {"PATCH": MANAGE},
    f"{API}/oauth/<slug:slug>/refresh": {"POST": REFRESH},
    f"{API}/oauth/<slug:slug>/revoke": {"DELETE": MANAGE},
    f"{API}/oauth/<slug:slug>/events": {"GET": READ},
    f"{API}/oauth/<slug:slug>/events.csv": {"GET": READ},
    f"{API}/webhooks": {"GET": READ},
    f"{API}/webhooks.csv": {"GET": READ},
    f"{API}/webhooks/logs": {"GET": READ},
    f"{API}/webhooks/logs.csv": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>": {"GET": READ, "PATCH": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/rhythm": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/registrations": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/registrations/check": {"POST": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/backfill": {"POST": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/logs": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/logs/<uuid:log_id>": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/logs/<uuid:log_id>/reveal": {"POST": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/forwards": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/forwards/resume": {"POST": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/forwards/<uuid:forward_id>/retry": {"POST": REPLAY},
    f"{API}/webhooks/<uuid:webhook_id>/refusals": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/refusals/hours": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/refusals/<uuid:refusal_id>": {"GET": READ},
    f"{API}/webhooks/<uuid:webhook_id>/refusals/reverify": {"POST": MANAGE},
    f"{API}/webhooks/<uuid:webhook_id>/replay": {"POST": REPLAY},
    f"{API}/webhooks/<uuid:webhook_id>/test": {"POST": REPLAY},
    f"{API}/webhooks/<uuid:webhook_id>/samples": {"GET": READ},
    f"{API}/webhooks/replay": {"POST": REPLAY},
    f"{API}/webhooks/replays/<uuid:batch_id>": {"GET": REPLAY, "DELETE": REPLAY},
    f"{API}/zoho/retry-queue": {"GET": READ, "POST": TRIGGER},
    f"{API}/zoho/retry-queue.csv": {"GET": READ},
    f"{API}/health": {"GET": READ},
    f"{API}/health.csv": {"GET": READ},
    f"{API}/health/<slug:slug>": {"GET": READ},
    f"{API}/health/<slug:slug>/check": {"POST": MANAGE},
    f"{API}/health/<slug:slug>/series": {"GET": READ},
    f"{API}/health/<slug:slug>/endpoints": {"GET": READ},
    f"{API}/health/<slug:slug>/errors": {"GET": READ},
    f"{API}/health/<slug:slug>/metrics.csv": {"GET": READ},
    f"{API}/health/<slug:slug>/incidents": {"GET": READ},
    f"{API}/incidents": {"GET": READ},
    f"{API}/incidents.csv": {"GET": READ},
    f"{API}/incidents/<uuid:incident_id>": {"GET": READ},
    f"{API}/incidents/<uuid:incident_id>/notes": {"POST": MANAGE},
    f"{API}/maintenance": {"GET": READ, "POST": MANAGE},
    f"{API}/maintenance.csv": {"GET": READ},
    f"{API}/maintenance/<uuid:maintenance_id>": {"DELETE": MANAGE},
    f"{API}/cron": {"GET": READ, "POST": MANAGE},
    f"{API}/cron.csv": {"GET": READ},
    f"{API}/cron/<uuid:job_id>": {"GET": READ, "PATCH": MANAGE, "DELETE": MANAGE},
    f"{API}/cron/<uuid:job_id>/trigger": {"POST": TRIGGER},
    f"{API}/cron/<uuid:job_id>/logs": {"GET": READ},
    f"{API}/cron/<uuid:job_id>/logs.csv": {"GET": READ},
    f"{API}/cron/<uuid:job_id>/runs/<uuid:run_id>/cancel": {"POST": TRIGGER},
    f"{API}/cron/validate": {"POST": READ},
    f"{API}/<slug:slug>": {"GET": READ, "PATCH": MANAGE},
    f"{API}/<slug:slug>/health": {"POST": MANAGE},
}
DANGEROUS = {
    ("admin/integrations/oauth/<slug:slug>/revoke", "POST"),
    ("admin/integrations/webhooks/replays", "GET"),
    ("admin/integrations/webhooks/replays", "POST"),
    (f"{API}/oauth/<slug:slug>/revoke", "DELETE"),
    (f"{API}/webhooks/replay", "POST"),
    ("admin/integrations/webhooks/<uuid:pk>/reveal", "POST"),
    (f"{API}/webhooks/<uuid:webhook_id>/logs/<uuid:log_id>/reveal", "POST"),
    *product(
        (
            "accounts/factors/app/add/",
            "accounts/factors/keys/add/",
            "accounts/factors/keys/<int:pk>/remove/",
            "accounts/factors/codes/make/",
        ),
        ("GET", "POST"),
    ),
    ("admin/integrations/people/add", "GET"),
    ("admin/integrations/people/add", "POST"),
    *((route, "POST") for route in TABLE if route.startswith("admin/integrations/people/<uuid:person_id>/")),
}
"""What wants a fresh login besides: all callers that hold no fresh one are asked for it here, and nowhere else."""


DOORS_OF_THEIR_OWN = {
    "", "brand.css", "healthz", "readyz", "metrics", "accounts/login/", "accounts/logout/", "oauth/callback",
    "oauth/result", "api/schema", "api/cron/integrations-health-check", "api/cron/cleanup-webhook-logs",
    # django-allauth's (tests/accounts)
    "accounts/second-factor/", "accounts/passkey/", "accounts/company/", "accounts/company/callback/",
    "accounts/factors/app/add/", "accounts/factors/app/remove/", "accounts/factors/keys/add/",
    "accounts/factors/keys/<int:pk>/remove/", "accounts/factors/codes/", "accounts/factors/codes/make/",
}  # fmt: skip
"""Neither pages behind `pages.requires` nor API views with `permissions`: each has tests of its own."""


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    """Every address of the Django side, the superusers' admin as one."""
    yield from (path for path, _entry in entries(resolver, prefix))


def entries(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if path.startswith("django-admin/"):
            continue
        if isinstance(entry, URLPattern):
            yield path, entry
        else:
            yield from entries(entry, path)


def test_every_route_is_in_the_table():
    assert set(routes()) == set(TABLE)


def test_every_route_declares_its_permission():
    """A page says it by `pages.requires`, an API view for each method: who forgets it is told here."""
    silent = set()
    for path, entry in entries():
        view = getattr(entry.callback, "view_class", None)
        declared = view and {method for method in TABLE[path] if method in getattr(view, "permissions", {})}
        if not hasattr(entry.callback, "lets_in") and declared != set(TABLE[path]):
            silent.add(path)
    assert silent == DOORS_OF_THEIR_OWN


def test_what_wants_a_fresh_login_is_in_the_table():
    assert {method for route, method in DANGEROUS if method not in TABLE[route]} == set()


@pytest.fixture(autouse=True)
def nobody_is_called(monkeypatch, settings):
    """Checks must decide about access here, not about providers."""

    def no_answer(*args, **kwargs):
        raise http.Unreachable("no answer")

    monkeypatch.setattr(http, "send", no_answer)
    monkeypatch.setattr(wakeup, "_send", lambda *args: None)
    monkeypatch.setattr(probes, "_beat", lambda: True)
    settings.CRON_SECRET = settings.METRICS_TOKEN = "nobody-here-has-it-0123456789"


# --- What the routes are about ---------------------------------------------------------------------------------------


def things() -> dict[str, Any]:
    """Makes one thing of each kind, all of them of the integration HERE; returns what leads to each in a route."""
    webhook = Webhook.objects.get(webhook_url="/api/webhooks/zoho/crm")
    assert webhook.integration.slug == HERE
    log = WebhookLog.objects.get_or_create(webhook=webhook, body=b"{}", headers={}, idempotency_key="k")[0]
    batch = ReplayBatch.objects.get_or_create(selection={"scope": [str(webhook.pk)]}, total=1)[0]
    forward = Forward.objects.get_or_create(log=log, webhook=webhook, url="https://example.com")[0]
    refusal = Refusal.objects.get_or_create(webhook=webhook, reason="mismatch", body=b"", sealed="")[0]
    incident = Incident.objects.get_or_create(
        integration=webhook.integration, closed_at=None,
        defaults={"opened_at": timezone.now(), "worst_status": "down", "cause": "?"},
    )[0]  # fmt: skip
    job = CronJob.objects.get(job_name="zoho-sync")
    CronJob.objects.filter(pk=job.pk).update(integration=webhook.integration)
    run = CronRun.objects.get_or_create(job=job, trigger="manual", status="success")[0]
    now = timezone.now()
    work = Maintenance.objects.get_or_create(
        integration=webhook.integration, reason="x",
        defaults={"starts_at": now, "ends_at": now + timedelta(hours=1), "username": "x"},
    )[0]  # fmt: skip
    return {
        "uuid:incident_id": incident.pk,
        "uuid:maintenance_id": work.pk,
        "slug:slug": HERE,
        "uuid:webhook_id": webhook.pk,
        "uuid:pk": log.pk,
        "uuid:log_id": log.pk,
        "uuid:batch_id": batch.pk,
        "uuid:forward_id": forward.pk,
        "uuid:refusal_id": refusal.pk,
        "uuid:job_id": run.job_id,
        "uuid:run_id": run.pk,
        "int:pk": 10**9,  # of nobody: a key, a session
        "str:name": job.job_name,
        "uuid:person_id": User.objects.get_or_create(username="somebody", email="somebody@example.com")[0].pk,
    }


def address() -> Callable[[str], str]:
    """What fills a route in with things that are there."""
    there = things()

    def of(route: str) -> str:
        mine = {"uuid:pk": there["uuid:incident_id"]} if route.startswith("admin/integrations/incidents/") else {}
        return "/" + re.sub("<([^>]+)>", lambda part: str((there | mine)[part[1]]), route)

    return of


def send(client: Client, path: str, method: str, **headers: str) -> HttpResponseBase:
    body = b"{}" if method == "PATCH" else b""
    return client.generic(method, path, body, content_type="application/json", headers=headers)


def ask(client: Client, route: str, method: str) -> int:
    return send(client, address()(route), method).status_code


# --- Every cell ------------------------------------------------------------------------------------------------------


class Door:
    """Knocks as any of the callers: each has their session or token already."""

    def __init__(self, person: Callable[..., User]) -> None:
        self._client = Client()
        self._headers: dict[str, dict[str, str]] = {}
        chief, off = person("chief", role="Super Admin"), person("off", role="Super Admin")
        one, other = person("one"), person("other")
        assign_perm("integrations.read", one, Integration.objects.get(slug=HERE))
        for perm in ("read", "manage"):
            assign_perm(f"integrations.{perm}", other, Integration.objects.get(slug=ELSEWHERE))
        people = {role: person(role.replace(" ", "-"), role=role) for role in ROLES} | {
            "disabled Super Admin": off, "superuser": person("root", is_superuser=True),
            "Super Admin, signed in an hour ago": chief, "may read one integration": one,
            "may read and manage another one": other,
        }  # fmt: skip
        for name, user in people.items():
            self._sign_in(name, user, hours_ago=1 if name.endswith("an hour ago") else 0)
        now = timezone.now()
        self._hand_out("Super Admin's token", chief)
        self._hand_out("the same, scope dangerous", chief, scopes=["dangerous"])
        self._hand_out("the same, scope read", chief, scopes=["integrations:read"])
        self._hand_out("the same, confined to another integration", chief, only_on=[ELSEWHERE])
        self._hand_out("expired token", chief, expires_at=now - timedelta(seconds=1))
        self._hand_out("revoked token", chief).revoked_at = now
        self._hand_out("token of a disabled user", off)
        ApiToken.objects.filter(name="revoked token").update(revoked_at=now)
        User.objects.filter(pk=off.pk).update(is_active=False)
        assert {caller.name for caller in CALLERS} == {"nobody", *self._headers}

    def _sign_in(self, name: str, user: User, *, hours_ago: int) -> None:
        client = Client()
        client.force_login(user)
        if hours_ago:
            session = client.session
            session[fresh.PROVED] -= hours_ago * 3600
            session.save()
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        self._headers[name] = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"}

    def _hand_out(self, name: str, user: User, **how: Any) -> ApiToken:
        row, token = ApiToken.issue(user=user, name=name, **{"scopes": [], "expires_at": None} | how)
        self._headers[name] = {"Authorization": f"Bearer {token}"}
        return row

    def told(self, caller: Caller, path: str, method: str) -> tuple[str, list[str]]:
        """What the answer says, in the matrix's letters, and what is amiss with its headers; what it did is undone."""
        self._client.cookies.clear()
        with undone():
            answer = send(self._client, path, method, **self._headers.get(caller.name, {}))
        return letter(answer), amiss(answer, public="public" in answer.headers["Cache-Control"])


@contextmanager
def undone() -> Iterator[None]:
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


def letter(answer: HttpResponseBase) -> str:
    where = answer.headers.get("Location", "") if answer.status_code == 302 else ""
    if answer.status_code == 401 or where.startswith("/accounts/login/?next="):
        return STRANGER
    if where.startswith("/accounts/prove/?next="):
        return UNPROVED
    if answer.status_code == 403:
        code = json.loads(answer.content or "{}").get("code") if "json" in answer.headers["Content-Type"] else ""
        return UNPROVED if code == "fresh_login_required" else REFUSED
    if answer.status_code >= 500:
        return f"HTTP {answer.status_code}"
    return {404: HIDDEN, 405: NO_SUCH}.get(answer.status_code, LET_IN)


@pytest.mark.parametrize("route", TABLE)
def test_every_caller_is_told_what_the_table_says_whatever_the_method(person, registry, route):
    door, path, wrong = Door(person), address()(route), []
    for caller, method in product(CALLERS, METHODS):
        right = expected(route, TABLE[route], method, caller, DANGEROUS)
        told, unguarded = door.told(caller, path, method)
        if told not in right or unguarded:
            wrong.append(f"{caller.name}: {method} → {told}, not {' or '.join(right)} {unguarded or ''}")
    assert wrong == []


def test_the_matrix_has_every_kind_of_answer():
    cells = [
        expected(route, methods, method, caller, DANGEROUS)
        for (route, methods), method, caller in product(TABLE.items(), METHODS, CALLERS)
    ]
    assert len(cells) == len(TABLE) * 7 * 18
    assert set().union(*cells) == set(MEANING)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/accounts/login/", "/django-admin/", "/nothing", "/static/nothing.css"])
def test_a_page_knows_no_method_but_get_head_and_post(client, method, path):
    answer = client.generic(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    "path", ["", "integrations/activity/", "oauth/token/", "accounts/user/", "webhooks/webhooklog/"]
)
@pytest.mark.parametrize("role", ROLES)
def test_the_django_admin_is_for_superusers_only(client, person, role, path):
    client.force_login(person("dana", role=role, is_staff=True))
    assert client.get(f"/django-admin/{path}").status_code in {302, 403}
    client.force_login(person("root", is_superuser=True))
    assert client.get(f"/django-admin/{path}").status_code == 200


def test_an_unknown_integration_is_404_for_who_may_look(client, bob):
    client.force_login(bob)
    assert client.get(f"/{API}/{ids.new()}").status_code == 404
