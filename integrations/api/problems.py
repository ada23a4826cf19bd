"""Errors as RFC 9457 problem details: `type`, `title`, `status`, `detail`, `code`, and on 400 `errors`."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"


class Problem(exceptions.APIException):
    """A refusal with a code of its own: `raise Problem(409, "already_running", "It runs since 12:03.")`.

    `field` is what a 400 is about, `wait` how many seconds a 429 asks for.
    """

    def __init__(self, status: int, code: str, detail: str, *, field: str = "", wait: int = 0) -> None:
        super().__init__(detail, code)
        self.status_code, self.field, self.wait = status, field, wait


def body(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {**problem, "errors": errors} if errors is not None else problem


def handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None (not one of ours) lets Django log it and answer 500 (`server_error`).

    The answer is JSON whatever the request accepts: a document in YAML says no in JSON too.
    """
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if not isinstance(exc, exceptions.APIException):
        return None
    set_rollback()
    given = {"WWW-Authenticate": getattr(exc, "auth_header", None), "Retry-After": getattr(exc, "wait", None)}
    headers = {name: str(value) for name, value in given.items() if value}
    if isinstance(exc, exceptions.ValidationError):
        content = body(400, "invalid", "The request is not valid; `errors` says where.", _flat(exc.get_full_details()))
    else:
        content = _content(exc.status_code, _code(exc), str(exc.detail), getattr(exc, "field", ""))
    return JsonResponse(content, status=exc.status_code, headers=headers, content_type=CONTENT_TYPE)


def response(status: int, code: str, detail: str) -> JsonResponse:
    """The same outside DRF."""
    return JsonResponse(_content(status, code, detail), status=status, content_type=CONTENT_TYPE)


def _content(status: int, code: str, detail: str, field: str = "") -> dict[str, Any]:
    """Every 400 says where."""
    errors = [{"field": field, "code": code, "message": detail}] if status == HTTPStatus.BAD_REQUEST else None
    return body(status, code, detail, errors)


def bad_request(request: HttpRequest) -> JsonResponse:
    return response(400, "bad_request", "The request itself is malformed: its host, its headers or its size.")


def not_found(request: HttpRequest) -> JsonResponse:
    return response(404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> JsonResponse:
    return response(
        500, "server_error", "Something broke on our side; it has been logged under this request's X-Request-ID."
    )


def _code(exc: exceptions.APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else exc.default_code


def _flat(details: Any, field: str = "") -> list[dict[str, str]]:
    """DRF's nested errors as one list; the field is a dotted path, "" for the whole."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        return [{"field": field, "code": str(details["code"]), "message": str(details["message"])}]
    if isinstance(details, dict):
        return [error for name, item in details.items() for error in _flat(item, _path(field, str(name)))]
    return [error for item in details for error in _flat(item, field)]


def _path(field: str, name: str) -> str:
    if name == "non_field_errors":
        return field
    return f"{field}.{name}" if field else name
