"""A caller with a token, as other systems call."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integrations.accounts.models import ApiToken, User
from integrations.permissions import DANGEROUS

BASE = "/api/admin/integrations"


class Caller:
    """`caller.get("/health")`: requests with a bearer token of `user`, JSON in and out; it may what is dangerous."""

    def __init__(self, user: User, **token: Any) -> None:
        self.row, self.token = ApiToken.issue(
            user=user, name="test", scopes=token.get("scopes", [DANGEROUS]), expires_at=token.get("expires_at")
        )
        self._client = Client()

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(BASE + path, query, headers={"Authorization": f"Bearer {self.token}"})

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> Any:
        import json

        data = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        return self._client.generic(
            method, BASE + path, data, content_type=content_type, headers={"Authorization": f"Bearer {self.token}"}
        )

    def patch(self, path: str, body: Any) -> Any:
        return self.send("PATCH", path, body)

    def post(self, path: str, body: Any = None) -> Any:
        return self.send("POST", path, body)


@pytest.fixture
def calling(db: None) -> Callable[..., Caller]:
    return Caller


@pytest.fixture
def api(alice: User) -> Caller:
    """Alice may everything."""
    return Caller(alice)


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """An RFC 9457 problem with these; returns it."""
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"]
    return problem
