"""What every answer carries: of each route (tests/config/test_access.py asks them all over plain http), of each error,
of static files; and the same with an https PUBLIC_URL. The receivers': tests/webhooks/test_lane.py."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.test import Client

from config import views
from integrations.accounts.login import guessing
from tests.config import test_access
from tests.config.test_access import TABLE, address, send, undone
from tests.conftest import PASSWORD
from tests.headers import amiss, cookies_amiss

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLIC = {"brand.css"}
nobody_is_called = test_access.nobody_is_called


@pytest.fixture(params=[False, True], ids=["http", "https"])
def https(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The settings themselves say what an https PUBLIC_URL changes."""
    if request.param:
        monkeypatch.setenv("PUBLIC_URL", "https://integrations.example.com")
        for name, value in runpy.run_path(str(ROOT / "config" / "settings.py")).items():
            if name.startswith(("SESSION_COOKIE", "CSRF_", "SECURE_", "ALLOWED_HOSTS", "PUBLIC_URL", "HTTPS")):
                setattr(settings, name, value)
        monkeypatch.setattr(guessing, "COOKIE", "__Host-device")  # named when it is imported
    return request.param


@pytest.fixture
def visitor(https: bool) -> Client:
    host = "integrations.example.com" if https else "localhost"
    return Client(raise_request_exception=False, headers={"Host": host})


@pytest.mark.parametrize("https", [True], indirect=True)
@pytest.mark.parametrize("route", TABLE)
def test_every_route_is_guarded_over_https_too(visitor, https, person, route):
    path, wrong = address()(route), {}
    for who in ("stranger", "superuser"):
        if who == "superuser":
            visitor.force_login(person("root", is_superuser=True))
        for method in ("GET", "HEAD", "POST", "DELETE"):
            with undone():
                answer = send(visitor, path, method)
            kept = route in PUBLIC and answer.status_code == 200
            if found := amiss(answer, https=https, public=kept):
                wrong[f"{who} {method} {answer.status_code}"] = found
    assert wrong == {}


@pytest.mark.parametrize("path", ["", "integrations/activity/", "oauth/token/", "accounts/user/add/", "nothing/"])
def test_the_django_admin_is_guarded_too(visitor, https, person, path):
    assert amiss(visitor.get(f"/django-admin/{path}"), https=https) == []
    visitor.force_login(person("root", is_superuser=True))
    answer = visitor.get(f"/django-admin/{path}")
    assert (answer.status_code, amiss(answer, https=https)) == (404 if path == "nothing/" else 200, [])


@pytest.mark.parametrize(
    ("error", "status"),
    [(SuspiciousOperation, 400), (PermissionDenied, 403), (RuntimeError, 500)],
)
def test_every_error_is_guarded(visitor, https, person, monkeypatch, error, status):
    def broken(*args: object) -> None:
        raise error

    visitor.force_login(person("root", is_superuser=True))
    monkeypatch.setattr(views.palette, "options", broken)
    answer = visitor.get("/admin/integrations/palette")
    assert (answer.status_code, amiss(answer, https=https)) == (status, [])


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing", "/static/nothing.css", "/admin/integrations/none/none"])
def test_what_is_not_there_is_guarded(visitor, https, person, path):
    visitor.force_login(person("root", is_superuser=True))
    answer = visitor.get(path)
    assert (answer.status_code, amiss(answer, https=https)) == (404, [])


@pytest.mark.parametrize("path", ["/admin/integrations", "/api/admin/integrations", "/static/icon.svg"])
def test_a_host_that_is_not_ours_is_guarded(https, path):
    answer = Client(headers={"Host": "elsewhere.example"}).get(path)
    static = path.startswith("/static/")
    assert (answer.status_code, amiss(answer, https=https, public=static)) == (200 if static else 400, [])


@pytest.mark.parametrize("path", ["/accounts/login/", "/api/admin/integrations", "/nothing"])
def test_while_closed_for_planned_work_it_is_guarded(visitor, https, settings, path):
    settings.MAINTENANCE = "yes"
    answer = visitor.get(path)
    assert (answer.status_code, amiss(answer, https=https)) == (503, [])


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/integrations/check"])
def test_a_forged_form_is_guarded(https, person, path):
    host = "integrations.example.com" if https else "localhost"
    visitor = Client(enforce_csrf_checks=True, headers={"Host": host})
    visitor.force_login(person("root", is_superuser=True))
    answer = visitor.post(path)
    assert (answer.status_code, amiss(answer, https=https)) == (403, [])


@pytest.mark.parametrize("path", ["dist/app.css", "dist/app.js", "icon.svg"])
def test_static_files_are_guarded_and_may_be_kept(visitor, https, path):
    answer = visitor.get(f"/static/{path}")
    assert (answer.status_code, amiss(answer, https=https, public=True)) == (200, [])
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_cookies_of_a_login_are_out_of_reach(visitor, https, alice):
    assert amiss(visitor.get("/accounts/login/"), https=https) == []
    answer = visitor.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert answer.status_code == 302
    session, csrf = django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME
    assert set(answer.cookies) == {session, csrf, guessing.COOKIE}
    assert cookies_amiss(answer.cookies, https=https) == []
    assert session.startswith("__Host-") == csrf.startswith("__Host-") == https


def test_the_request_id_of_a_proxy_is_kept_if_it_is_sane(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abc-123.def"}).headers["X-Request-ID"] == "abc-123.def"
    for forged in ("x", "a b", 'a"\nb', "y" * 65):
        assert client.get("/healthz", headers={"X-Request-ID": forged}).headers["X-Request-ID"] not in {forged, ""}
