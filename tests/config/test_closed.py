"""Pages and API closed for planned work; and pages that stand when nothing else does."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import Client, RequestFactory

from config import asgi, closed, views

PAGE, API, RECEIVER = "/admin/integrations", "/api/admin/integrations", "/api/webhooks/netcash"


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.MAINTENANCE_FILE = tmp_path / "maintenance"
    return tmp_path / "maintenance"


@pytest.fixture
def ruins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No static manifest; and without a `db` fixture, pytest-django lets nobody near the database."""

    def missing(name: str) -> str:
        raise ValueError(f"Missing staticfiles manifest entry for {name!r}")

    monkeypatch.setattr(staticfiles_storage, "url", missing)


# --- Closed: no test of these may touch the database -----------------------------------------------------------------


def test_people_are_told_what_goes_on_and_when_to_come_back(client: Client, file: Path, ruins: None) -> None:
    file.write_text("The database moves to a new disk, until <14:00>.\n")
    response = client.get(PAGE, headers={"X-Request-ID": "abcdef123456"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "300"
    page = response.content.decode()
    assert "Closed for planned work" in page
    assert "until &lt;14:00&gt;." in page
    assert "abcdef123456" in page
    assert "no-store" in response.headers["Cache-Control"]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_api_says_it_as_a_problem(client: Client, file: Path, method: str) -> None:
    file.touch()
    response = getattr(client, method)(API)
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "300"
    assert response.json()["code"] == "maintenance"


def test_health_probes_are_answered_as_ever(client: Client, file: Path) -> None:
    file.touch()
    assert client.get("/healthz").status_code == 200
    assert client.get(f"{PAGE}/healthz").status_code == 503  # not whatever ends like it


def test_it_opens_as_soon_as_the_file_is_gone(client: Client, file: Path) -> None:
    file.touch()
    assert client.get("/accounts/login/").status_code == 503
    file.unlink()
    assert client.get("/accounts/login/").status_code == 200


@pytest.mark.parametrize(
    ("value", "words"), [("true", ""), ("1", ""), ("Back at 14:00.", "Back at 14:00."), ("", None)]
)
def test_a_variable_closes_too(file: Path, settings: Any, value: str, words: str | None) -> None:
    settings.MAINTENANCE = value
    assert closed.reason() == words


def test_a_long_file_is_cut(file: Path) -> None:
    file.write_bytes(b"\xff" + b"x" * 10_000)
    assert len(closed.reason() or "") == 300


def test_receivers_are_never_closed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are answered before Django is asked anything."""
    file.touch()
    answered: list[str] = []

    async def lane(scope: Any, receive: Any, send: Any) -> None:
        answered.append(scope["path"])

    async def django(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a delivery went to Django")

    monkeypatch.setattr(asgi, "lane", lane)
    monkeypatch.setattr(asgi, "django", django)
    asyncio.run(asgi.application({"type": "http", "path": RECEIVER}, None, None))  # type: ignore[arg-type]  # neither is used
    assert answered == [RECEIVER]


# --- Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [(views.server_error, 500, "Something broke on our side"), (views.bad_request, 400, "made no sense")],
)
def test_an_error_is_told_without_database_session_or_static_files(
    rf: RequestFactory, ruins: None, view: Any, status: int, words: str
) -> None:
    request = rf.get("/")
    request.request_id = "abcdef123456"  # type: ignore[attr-defined]  # by the middleware
    response = view(request)
    assert response.status_code == status
    assert words in response.content.decode()
    assert "abcdef123456" in response.content.decode()
    assert "CircleTel" in response.content.decode()


def test_a_host_that_is_not_ours_gets_a_page_of_ours(client: Client) -> None:
    response = client.get("/accounts/login/", headers={"Host": "elsewhere.example"})
    assert response.status_code == 400
    assert b"made no sense" in response.content
    assert client.get(API, headers={"Host": "elsewhere.example"}).json()["code"] == "bad_request"


@pytest.mark.django_db
def test_a_form_out_of_date_is_told_to_htmx_by_a_toast() -> None:
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", headers={"HX-Request": "true"})
    assert response.status_code == 403
    assert b"<hx-partial" in response.content
    assert b"Reload the page" in response.content


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nothing", PAGE])
def test_every_error_page_names_the_request(client: Client, charlie: Any, path: str) -> None:
    client.force_login(charlie)
    response = client.get(path, headers={"X-Request-ID": "abcdef123456"})
    assert response.status_code in (403, 404)
    assert "abcdef123456" in response.content.decode()


@pytest.mark.parametrize("said", ["", "0", "false", "No", " off "])
def test_what_says_no_closes_nothing(settings: Any, file: Path, said: str) -> None:
    settings.MAINTENANCE = said
    assert closed.reason() is None


def test_a_file_that_cannot_be_read_closes_all_the_same(
    settings: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", denied)
    assert closed.reason() == ""
