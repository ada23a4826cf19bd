"""Jobs that call an outside URL: what may be one, and one call.

The address is checked again at each connection (`integrations/outbound.py`), redirects are not followed, and the only
secret that goes along is the one that the job names: never CRON_SECRET, which would open our own door to whoever has
the address.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from integrations import credentials, http
from integrations.cron.ledger import NotDone
from integrations.cron.models import CronJob
from integrations.providers.answers import shown
from integrations.providers.spec import ProviderError

LONGEST_CALL = 300.0
READ_BYTES = 64 * 1024
MOST_HEADERS = 20
JOB_NAME = r"^[a-z0-9][a-z0-9-]*[a-z0-9]$"
_STATUS = re.compile(r"[1-5](?:xx|[0-9]{2})")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}")
_OURS = frozenset({"authorization", "host", "content-length", "transfer-encoding", "connection", "cookie"})


class Refused(ValueError):
    """It can't be a job. `field` is what is wrong with it, the text says why."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def check(
    *, url: str, headers: Mapping[str, Any], secret_env: str, expected_status: str, trusted: bool = True
) -> None:
    """Raises Refused. `trusted`: who wants it so may manage all integrations. A secret is of any of them, and goes to
    whatever address the job names."""
    _check_url(url)
    _check_headers(headers)
    if secret_env and not credentials.allowed(secret_env):
        begins = ", ".join(settings.SECRET_ENV_PREFIXES)
        words = _("{name} may not be named here; a variable begins with one of {begins}.")
        raise Refused("secretEnv", words.format(name=repr(secret_env[:50]), begins=begins))
    if secret_env and not trusted:
        raise Refused("secretEnv", _("Only who may manage all integrations may say where a secret is sent."))
    if not _STATUS.fullmatch(expected_status):
        raise Refused("expectedStatus", _("Give a status such as 200, or a group such as 2xx."))


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused("url", _("This is no address: {error}.").format(error=error)) from error
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.OUTBOUND_ALLOW_PRIVATE):
        raise Refused("url", _("It must begin with https://."))
    if not host or not url.isprintable() or any(character.isspace() for character in url):
        raise Refused("url", _("It names no host, or holds a space."))
    if parts.username is not None or parts.password is not None:
        raise Refused("url", _("Leave user and password out: name a secret instead."))


def _check_headers(headers: Mapping[str, Any]) -> None:
    if len(headers) > MOST_HEADERS:
        raise Refused("headers", _("{n} headers are the most.").format(n=MOST_HEADERS))
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            words = _("{name} is no header that a job may set.").format(name=repr(name[:60]))
            raise Refused("headers", words)
        if not isinstance(value, str) or len(value) > 500 or not value.isprintable() or not value.isascii():
            words = _("{name} needs a text of one line, at most 500 characters.").format(name=name)
            raise Refused("headers", words)


def call(job: CronJob) -> dict[str, Any]:
    """One call. Raises NotDone, in words, for anything but the status that is expected."""
    told = {**job.headers, "User-Agent": http.USER_AGENT}
    if job.secret_env:
        if not (secret := credentials.real(job.secret_env)):
            raise NotDone(f"{job.secret_env} is not set: the address was not called.", {})
        told["Authorization"] = f"Bearer {secret.partition(',')[0].strip()}"
    request = http.Request(
        method=job.method, url=job.job_url, endpoint="outside job", headers=told,
        body=b"" if job.method == "POST" else None,
        timeout_s=min(LONGEST_CALL, max(1.0, job.timeout_seconds - 1)), max_bytes=READ_BYTES,
    )  # fmt: skip
    try:
        check(url=job.job_url, headers=job.headers, secret_env=job.secret_env, expected_status=job.expected_status)
        answer = http.send(request, networks=settings.OUTBOUND_ALLOWED_NETWORKS)
    except Refused as error:
        raise NotDone(str(error), {}) from error
    except ProviderError as error:
        raise NotDone(error.words, {}) from error
    done = {"statusCode": answer.status, "elapsedMs": answer.elapsed_ms}
    if not _fits(answer.status, job.expected_status):
        said = shown(answer.body[:500].decode("utf-8", "replace"))
        words = f"HTTP {answer.status} instead of {job.expected_status}: {said or 'without a word'}"
        raise NotDone(words, done)
    return done | {"message": f"HTTP {answer.status} in {answer.elapsed_ms} ms."}


def _fits(status: int, expected: str) -> bool:
    return str(status) == expected or (expected.endswith("xx") and str(status)[0] == expected[0])
