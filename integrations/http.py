"""The one door out: every outbound request of this system is made here.

It refuses private addresses (checked when the connection is made, and the very address that was checked is the one
connected to), follows no redirect, reads no proxy from the environment, keeps no cookie, caps time and bytes, and
records each call as an `ApiMetric` under its endpoint template.
"""

import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from django.utils import timezone
from urllib3.exceptions import NameResolutionError

from integrations import limiter, metrics, outbound
from integrations.models import ApiMetric, Integration
from integrations.outbound import AddressRefused, Unreachable
from integrations.providers.spec import Answer, Limit

__all__ = ["AddressRefused", "Answer", "Rate", "Request", "Sink", "Unreachable", "rate_of", "save", "send"]

log = logging.getLogger(__name__)

USER_AGENT = "circletel-integrations/0.1 (+https://github.com/circletel)"
MAX_BYTES = 5 * 1024 * 1024
PATIENCE_SECONDS = 10.0
TOO_LARGE = "too_large"
"""`ProviderError.code` of an answer that was cut off: the next one would be."""

File = tuple[str, tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `endpoint` is the path's template ("/v3/session/{id}/decision/"), which alone is recorded.

    `body` is sent as it is, with `headers` saying what it is; `json` and `form` are encoded here, and `files`, each a
    field with (name, bytes, content type), make the form a multipart one. What may hold a secret is left out of its
    repr.
    """

    url: str = field(repr=False)
    endpoint: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    files: Sequence[File] = field(default=(), repr=False)
    timeout_s: float = 10.0
    max_bytes: int = MAX_BYTES


Sink = Callable[[ApiMetric], None]

_NO_URL = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)


def save(metric: ApiMetric) -> None:
    """Record it; whoever called doesn't wait for the database (`integrations/metrics.py`)."""
    metrics.record(metric)


def send(
    request: Request,
    *,
    integration: Integration | None = None,
    limit: Limit | None = None,
    source: str = ApiMetric.Source.CALL,
    networks: Iterable[str] = (),
    judge: Callable[[Answer], str] | None = None,
    sink: Sink = save,
    patience: float = PATIENCE_SECONDS,
    turn: limiter.Turn | None = None,
) -> Answer:
    """Make one call and return its answer, whatever its status; raises Unreachable (in words) when none came.

    `timeout_s` bounds the whole exchange, slow drips included. `networks` are CIDRs allowed besides public addresses.
    With `integration`, the call becomes an ApiMetric; `judge` gives the error message to record for an answer ("" when
    it was fine), so that an error inside a 200 is counted as one. With `limit`, it waits up to `patience` seconds for
    its turn and raises limiter.TooSoon if that doesn't come; `turn`: the one that whoever calls has waited for.
    """
    if integration is not None and limit is not None and turn is None:
        key = limiter.key_of(integration.slug, limit, request.endpoint)
        turn = limiter.admit(key, limit, patience=patience, lease=request.timeout_s + 1)
    started = time.monotonic()
    answer: Answer | None = None
    trouble = ""
    try:
        answer = _exchange(request, started, tuple(ipaddress.ip_network(net) for net in networks))
    except Unreachable as error:
        trouble = error.words
        raise
    finally:
        if turn is not None:
            limiter.settle(turn)
        elapsed = int((time.monotonic() - started) * 1000)
        _log(request, integration, answer, elapsed)
        if integration is not None:
            error_message = trouble or (judge(answer) if judge is not None and answer is not None else "")
            sink(_metric(request, integration, limit, source, answer, elapsed, error_message))
    return answer


def _log(request: Request, integration: Integration | None, answer: Answer | None, elapsed: int) -> None:
    """One line a call: by the id of the request in it, a click is followed to the provider."""
    whom, what = integration.slug if integration else "-", answer.status if answer else "no answer"
    log.info("Called %s: %s %s, %s in %d ms", whom, request.method, request.endpoint, what, elapsed)


# --- One exchange ----------------------------------------------------------------------------------------------------


def _exchange(request: Request, started: float, networks: tuple[outbound.IPNetwork, ...]) -> Answer:
    try:
        urlsplit(request.url)
    except ValueError as error:
        raise Unreachable(
            f"This is not an address that can be called: {error}.", permanent=True, maybe_sent=False
        ) from error
    with outbound.deadline(request.timeout_s, networks) as expired:
        try:
            with outbound.session.send(
                _prepared(request),
                stream=True,
                allow_redirects=False,
                timeout=(min(outbound.CONNECT_SECONDS, request.timeout_s), request.timeout_s),
            ) as response:
                body = _read(response, request.max_bytes)
                if expired.is_set():  # cut off by us, which an answer without a length can't tell from its end
                    raise TimeoutError
                headers = {name.lower(): value for name, value in response.headers.items()}
                elapsed = int((time.monotonic() - started) * 1000)
                return Answer(status=response.status_code, headers=headers, body=body, elapsed_ms=elapsed)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise _explained(error, expired.is_set(), request) from error


def _prepared(request: Request) -> requests.PreparedRequest:
    return outbound.session.prepare_request(
        requests.Request(
            request.method,
            request.url,
            params=dict(request.params),
            data=request.body or request.form,
            json=request.json,
            files=list(request.files) or None,
            headers={"Accept": "application/json", "User-Agent": USER_AGENT, **request.headers},
        )
    )


def _read(response: requests.Response, max_bytes: int) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(64 * 1024):
        size += len(chunk)
        if size > max_bytes:
            raise Unreachable(f"The answer is larger than {max_bytes:,} bytes and was cut off.", code=TOO_LARGE)
        chunks.append(chunk)
    return b"".join(chunks)


def _explained(error: Exception, expired: bool, request: Request) -> Unreachable:
    host = urlsplit(request.url).hostname or ""
    causes = list(_causes(error))
    refusal = next((cause for cause in causes if isinstance(cause, Unreachable)), None)
    if refusal:
        return refusal
    if isinstance(error, _NO_URL):  # not shown whole: it may hold a password or a key
        words = f"This is no URL that can be called: it wants http or https, and a host. {host[:100]}".strip()
        return Unreachable(words, permanent=True, maybe_sent=False)
    if expired or isinstance(error, requests.Timeout) or any(isinstance(c, TimeoutError) for c in causes):
        words = f"{host} gave no complete answer within {request.timeout_s:g} s."
        return Unreachable(words, maybe_sent=outbound.sent())
    if any(isinstance(cause, socket.gaierror | NameResolutionError | UnicodeError) for cause in causes):
        return Unreachable(f"The name {host} does not resolve.", maybe_sent=False)
    if isinstance(error, requests.exceptions.SSLError):
        untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
        return Unreachable(f"{host} has no valid TLS certificate: {causes[-1]}", maybe_sent=not untrusted)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Unreachable(f"{host} refuses connections.", maybe_sent=False)
    return Unreachable(f"The connection to {host} broke: {type(causes[-1]).__name__}.")


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    """`error` and all it wraps: requests and urllib3 put causes into args and `reason`, Python into __cause__."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        cause = queue.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            queue += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


# --- Metrics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """Where we stand with a provider's limit, as far as an answer's headers told."""

    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None


def rate_of(answer: Answer | None, limit: Limit | None) -> Rate:
    """What `answer` tells of `limit`; nothing where there is no answer, or no header that tells."""
    if answer is None or limit is None:
        return Rate()
    return Rate(
        limit=_number(answer.headers, limit.limit_header),
        remaining=_number(answer.headers, limit.remaining_header),
        resets_at=_reset(answer.headers, limit),
    )


def _metric(
    request: Request,
    integration: Integration,
    limit: Limit | None,
    source: str,
    answer: Answer | None,
    elapsed: int,
    trouble: str,
) -> ApiMetric:
    rate = rate_of(answer, limit)
    return ApiMetric(
        integration=integration,
        endpoint=request.endpoint[:200],
        method=request.method,
        status_code=answer.status if answer else None,
        response_time_ms=elapsed,
        rate_limit_limit=rate.limit,
        rate_limit_remaining=rate.remaining,
        rate_limit_reset_at=rate.resets_at,
        error_message=_storable(trouble)[:1000],
        source=source,
    )


def _storable(text: str) -> str:
    """A provider's words may hold what no database takes: NUL, and half a character."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name.lower(), "") if name else ""
    return min(int(text), 2_147_483_647) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _reset(headers: Mapping[str, str], limit: Limit) -> datetime | None:
    seconds = _number(headers, limit.reset_header)
    if seconds is None:
        return None
    return (
        timezone.now() + timedelta(seconds=seconds) if limit.reset == "delta" else datetime.fromtimestamp(seconds, UTC)
    )
