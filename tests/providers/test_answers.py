"""What every provider's `read` makes of answers that are no provider's in particular."""

import pytest

from integrations.providers import PROVIDERS
from integrations.providers.answers import rest, said, shown
from integrations.providers.spec import Provider
from tests.providers.answers import answer

every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.slug)


@every_provider
@pytest.mark.parametrize(
    ("status", "finding"),
    [(401, "refused"), (403, "refused"), (429, "throttled"), (400, "failed"), (404, "failed"), (500, "failed"),
     (502, "failed"), (503, "failed"), (301, "failed"), (799, "failed")],
)  # fmt: skip
def test_the_status_tells_when_the_body_says_nothing(provider: Provider, status: int, finding: str) -> None:
    for body in (b"", b"<html>Bad gateway</html>", b"{}", b"null", b"[" * 5000, b"\xff"):
        reading = provider.read(answer(status, body))
        assert reading.finding == finding
        assert reading.words.startswith(f"HTTP {status}")


@every_provider
@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b"\xff", b"{", b"[" * 5000, b"NaN", b"null"])
def test_a_200_that_is_not_json_is_a_failure(provider: Provider, body: bytes) -> None:
    reading = provider.read(answer(200, body, content_type="text/html"))
    assert reading.finding == "failed"
    assert "holds no JSON (text/html)" in reading.words


ODD = [
    *(None, [], [1], {}, 1, "x"),
    *({"error": 1}, {"error": []}, {"error": {"details": [1]}}),
    *({"code": None}, {"code": [1]}, {"data": {}}, {"data": [None]}, {"status": 1}),
    *({"messages": {}}, {"messages": [None]}, {"message": "\ud800\x00"}),
]


@every_provider
def test_odd_json_is_judged_and_never_an_exception(provider: Provider) -> None:
    for body in ODD:
        for status in (200, 207, 400, 401, 429, 500):
            assert provider.read(answer(status, body)).finding in {"ok", "refused", "throttled", "failed"}


@pytest.mark.parametrize("slug", ["zoho-crm", "zoho-desk", "didit-kyc", "resend", "clickatell"])
def test_no_content_is_an_answer(slug: str) -> None:
    provider = next(provider for provider in PROVIDERS if provider.slug == slug)
    assert provider.read(answer(204)).finding == "ok"


def test_a_providers_words_are_made_fit_to_show() -> None:
    assert shown("one\ntwo\x00 \x1b[31mthree\u202e") == "one two [31mthree"
    assert shown("x " * 500) == "x " * 100
    assert shown("The key re_AbCdEfGh12345678901234567 is invalid") == "The key … is invalid"
    assert shown("Token 1000.0123456789abcdef0123456789abcdef.x") == "Token 1000.….x"
    assert shown("only to lerato.dlamini@example.com; +27821234567, id 8001015009087") == "only to …; …, id …"
    assert shown("code 12345678 at 10:00") == "code 12345678 at 10:00"
    assert shown("INVALID_TOKEN_OR_SOMETHING_LONG") == "INVALID_TOKEN_OR_SOMETHING_LONG"


def test_what_was_said_is_joined() -> None:
    assert said({"code": 57, "message": "not allowed"}, "code", "message") == "57: not allowed"
    assert said({"message": "not allowed"}, "code", "message") == "not allowed"
    assert said(None, "code") == ""


def test_an_api_that_means_its_status_is_read_in_one_line() -> None:
    read = rest("error.message")
    assert read(answer(200, {"error": {"message": "ignored"}})).finding == "ok"
    assert read(answer(422, {"error": {"message": "no such plan"}})).words == "HTTP 422: no such plan"
