"""The public keys with which a provider signs its JWTs (JWKS), kept in memory and fetched again when a key is new."""

import json
import threading
import time
from datetime import datetime
from typing import Any

from django.db import connection

from integrations import credentials, http
from integrations.models import Integration
from integrations.providers.spec import Delivery, ProviderError, Refused
from webhooks.models import WebhookLog
from webhooks.services import receive
from webhooks.services.receive import Route

LIFE_SECONDS = 3600.0
REFETCH_SECONDS = 60.0
"""Between two fetches that an unknown `kid`, or a provider that gives no keys, can cause: outsiders must not make us
call the provider at will."""

_lock = threading.Lock()
_kept: dict[str, tuple[dict[str, Any] | None, float]] = {}


class KeysUnavailable(Exception):
    """There are no keys and the provider can't be asked: nothing can be judged, so the sender should come again."""


def require_header(route: Route, delivery: Delivery) -> None:
    """Raises Refused for what carries no token at all: no keys are needed to judge that."""
    if not any("jwt" in name for name in delivery.headers):
        raise Refused("missing_header", "There is no JWT.")


def at_hand(route: Route) -> dict[str, Any] | None:
    """The keys if they were fetched within the hour: no waiting, fit for the event loop."""
    keys, at = _kept.get(_url(route), (None, float("-inf")))
    return keys if time.monotonic() - at < LIFE_SECONDS else None


def fetched(route: Route) -> dict[str, Any]:
    """The keys, asked of the provider if need be, else the last that could be had. Raises KeysUnavailable."""
    return _get(route, LIFE_SECONDS)


def fetched_anew(route: Route) -> dict[str, Any]:
    """The keys after another look, for a `kid` we don't know; at most once a minute."""
    return _get(route, REFETCH_SECONDS)


def admit(route: Route, delivery: Delivery, at: datetime) -> list[WebhookLog]:
    """As `receive.admit` by the clock of `at`, with the provider's keys where those are what proves it.

    Raises KeysUnavailable besides.
    """
    if route.webhook.method != "jwt":
        return receive.admit(route, delivery, now=at)
    require_header(route, delivery)
    try:
        return receive.admit(route, delivery, now=at, options={**route.options, "jwks": fetched(route)})
    except Refused as refusal:
        if refusal.reason != "unknown_key":
            raise
    return receive.admit(route, delivery, now=at, options={**route.options, "jwks": fetched_anew(route)})


def _get(route: Route, life: float) -> dict[str, Any]:
    url = _url(route)
    with _lock:
        keys, at = _kept.get(url, (None, float("-inf")))
        if keys is not None and time.monotonic() - at < life:
            return keys
        if keys is None and time.monotonic() - at < REFETCH_SECONDS:
            raise KeysUnavailable(f"{url} gave no keys a moment ago")
        try:
            fresh = _fetch(route, url)
        except (ProviderError, ValueError) as error:
            if keys is None:
                _kept[url] = (None, time.monotonic())
                raise KeysUnavailable(str(error)) from error
            fresh = keys  # better yesterday's keys than none; the time below spaces out the next try
        _kept[url] = (fresh, time.monotonic())
        return fresh


def _url(route: Route) -> str:
    return credentials.base_url(route.provider) + route.webhook.jwks_path


def _fetch(route: Route, url: str) -> dict[str, Any]:
    request = http.Request(url=url, endpoint=route.webhook.jwks_path, timeout_s=5, max_bytes=256 * 1024)
    try:
        answer = http.send(request, integration=Integration(pk=route.integration_id, slug=route.slug))
    finally:
        connection.close()  # this thread's own, used to record the call
    keys = json.loads(answer.body) if answer.status == 200 else None
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise ValueError(f"{url} answered {answer.status} without keys")
    return keys
