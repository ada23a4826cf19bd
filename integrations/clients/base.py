"""What every client shares: authenticate, keep the provider's rate, judge the answer, try again where that is safe."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from integrations import credentials, http, limiter
from integrations.models import Integration
from integrations.providers.answers import json_of
from integrations.providers.payloads import at, text
from integrations.providers.spec import Answer, ApiKey, Json, Limit, OAuth2, Provider, ProviderError, Reading

RETRIES = 2
BACKOFF = 0.3
"""Seconds before the first retry; twice as long before the next."""
LONGEST_WAIT = 5.0
"""Seconds that a call waits to be tried again, if the provider asks for no more; else its caller is told at once."""
OUTAGE_PAUSE = 60.0
PAUSE = 30.0
"""How long nobody calls a provider that said "slow down" without saying for how long."""

LOOK = "It may have been obeyed all the same: look there before you send it again."

SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})

REFUSED, THROTTLED, FAILED, INVALID = "credentials_refused", "throttled", "failed", "invalid"
"""`ProviderError.code` of what a provider answered, unless its own code says more (`Refusal.provider_code`); and of
what was not asked, since it can't be right."""


class Refusal(ProviderError):
    """The provider answered, and said no. `provider_code`: its own word for it ("DUPLICATE_DATA"), "" without one."""

    def __init__(
        self,
        words: str,
        *,
        permanent: bool,
        code: str,
        status: int,
        provider_code: str = "",
        wait: float = 0.0,
    ) -> None:
        super().__init__(words, permanent=permanent, code=code, status=status)
        self.provider_code, self.wait = provider_code, wait


# --- What more than one client gives ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of many, each as the provider has it. `more`: there are others; `token`: what to ask for them with, where
    a page number doesn't do."""

    rows: list[dict[str, Json]] = field(repr=False)
    more: bool
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A webhook as the provider has it registered: whom it calls, and about what. `id` is the provider's own."""

    id: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    expires_at: datetime | None = None


# --- The way to a provider -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One integration's way to its provider. `token` gives an access token that is good for minutes, `region` where it
    is from; both are asked for each call, and for providers with an API key not at all. `another` gives a token in
    place of one that the API refused, "" without one: the call is made once more with it.

    `retries`: how often a call is tried again where that is safe. `patience`: seconds to wait for its turn under the
    provider's limit. `timeout_s`: seconds for each exchange, where the operation isn't to choose.
    """

    integration: Integration
    token: Callable[[], str] = field(default=lambda: "", repr=False)
    another: Callable[[str], str] = field(default=lambda refused: "", repr=False)
    region: Callable[[], str] = field(default=lambda: "", repr=False)
    retries: int = RETRIES
    patience: float = http.PATIENCE_SECONDS
    timeout_s: float | None = None

    @property
    def provider(self) -> Provider:
        spec = self.integration.spec
        if spec is None:
            raise ProviderError(f"{self.integration.name} has no provider in this version.", permanent=True)
        return spec

    def call(
        self,
        method: str,
        path: str,
        *,
        endpoint: str = "",
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[http.File] = (),
        headers: Mapping[str, str] | None = None,
        host: str = "",
        auth: ApiKey | None = None,
        authenticated: bool = True,
        safe: bool | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = http.MAX_BYTES,
        read: Callable[[Answer], Reading] | None = None,
    ) -> Answer:
        """One call, answered well, or ProviderError. `endpoint` is the path's template, where that isn't `path`.

        `host` chooses one of the provider's other base URLs. `auth` puts the key where the provider otherwise doesn't
        want it; without `authenticated`, none of our credentials is sent or needed. `safe`: doing it twice does no
        harm, so it is tried again when nothing or a 5xx came (by default what HTTP calls idempotent). `read` judges
        the answer instead of the provider's own. A call that the provider throttled was not obeyed, and is tried again
        too, if it asks for a short pause.
        """
        provider = self.provider
        wanted = (auth or provider.auth) if authenticated else None
        if authenticated:
            self._check(provider)
        access = self.token() if isinstance(wanted, OAuth2) else ""

        def call_with(token: str) -> _Call:
            told, asked = dict(headers or {}), dict(params or {})
            if authenticated:
                self._authorise(provider, wanted, token, told, asked)
            request = http.Request(
                method=method, url=self.url(path, host=host), endpoint=endpoint or path, params=asked, json=json,
                form=form, files=files, headers=told, timeout_s=self.timeout_s or timeout_s, max_bytes=max_bytes,
            )  # fmt: skip
            again = safe if safe is not None else method in SAFE
            return _Call(request, read or provider.read, again, self._remedy(provider) if authenticated else "")

        try:
            return self._insist(call_with(access))
        except Refusal as error:
            ended = isinstance(wanted, OAuth2) and wanted.token_refused(error.status or 0, error.provider_code)
            other = self.another(access) if ended else ""
            if not other:
                raise
        return self._insist(call_with(other))  # what was refused was not obeyed

    def url(self, path: str, *, host: str = "") -> str:
        """The whole address of a path."""
        provider = self.provider
        region = self.region() if provider.regions and not host else ""
        return credentials.base_url(provider, region=region, host=host) + path

    def credential(self, name: str) -> str:
        """The value of one of the provider's own variables. Raises ProviderError when it isn't set."""
        if value := credentials.api_value(self.provider, name):
            return value
        raise self._unset(name)

    def rows(self, answer: Answer, path: str) -> list[dict[str, Json]]:
        """The objects in the list at `path`; none for a 204. An answer without that list is no answer."""
        if answer.status == 204:
            return []
        found = at(json_of(answer), path)
        if not isinstance(found, list):
            raise self.without(answer, path)
        return [item for item in found if isinstance(item, dict)]

    def found(self, answer: Answer, path: str) -> dict[str, Json]:
        """The object at `path`, all of it for "". An answer without it is no answer."""
        body = json_of(answer)
        content = at(body, path) if path else body
        if not isinstance(content, dict):
            raise self.without(answer, path or "an object")
        return content

    def text(self, answer: Answer, path: str) -> str:
        """The text or number at `path`, which must say something."""
        told = text(at(json_of(answer), path))
        if not told:
            raise self.without(answer, path)
        return told

    def part(self, value: str, what: str) -> str:
        """`value` as one part of a path, from which it can't lead away; `what` it is, for the words if it can't be.

        A slash is refused, not escaped: servers there are that unescape it before they look where it leads.
        """
        if not value or value in (".", "..") or not value.isprintable() or len(value) > 200 or set(value) & {*"/\\"}:
            raise self.invalid(f"{value[:50]!r} is no {what}.")
        return quote(value, safe="")

    def invalid(self, words: str) -> ProviderError:
        """The error of a call that isn't made, since it can't be right."""
        return ProviderError(f"{self.integration.name}: {words}", permanent=True, code=INVALID)

    def without(self, answer: Answer, what: str) -> Refusal:
        words = f"{self.integration.name} answered HTTP {answer.status}, but without {what}."
        return Refusal(words, permanent=False, code=FAILED, status=answer.status)

    # --- One exchange ------------------------------------------------------------------------------------------------

    def _check(self, provider: Provider) -> None:
        """Raises ProviderError naming what isn't set."""
        needed = (*credentials.names(provider), *provider.settings)
        if unset := [name for name in needed if not _value(provider, name)]:
            raise self._unset(*unset)

    def _authorise(
        self,
        provider: Provider,
        auth: ApiKey | OAuth2 | None,
        token: str,
        told: dict[str, str],
        asked: dict[str, str],
    ) -> None:
        """Put our credentials where the provider wants them: among the headers (`told`) or params (`asked`)."""
        match auth:
            case ApiKey() as key if key.header:
                told[key.header] = key.prefix + _value(provider, key.env)
            case ApiKey() as key if key.query:
                asked[key.query] = _value(provider, key.env)
            case OAuth2() as grant:
                told["Authorization"] = grant.header_prefix + token
        if provider.headers:
            told.update(provider.headers({name: _value(provider, name) for name in provider.settings}))

    def _unset(self, *names: str) -> ProviderError:
        words = f"{' and '.join(names)} not set: {self.integration.name} can't be called."
        return ProviderError(words, permanent=True, code="not_configured")

    def _insist(self, call: "_Call") -> Answer:
        for attempt in range(self.retries + 1):
            last = attempt >= self.retries
            try:
                return self._once(call)
            except http.Unreachable as error:
                hopeless = error.permanent or error.code == http.TOO_LARGE
                unsure = error.maybe_sent and not call.again
                if last or hopeless or unsure:
                    error.explain(self.integration.name, LOOK if unsure else "")
                    raise
                wait = 0.0
            except limiter.TooSoon as error:
                error.explain(self.integration.name)
                raise
            except Refusal as error:
                throttled = error.code == THROTTLED
                if last or error.permanent or not (throttled or call.again) or error.wait > LONGEST_WAIT:
                    raise
                wait = error.wait
            time.sleep(max(wait, BACKOFF * 2**attempt * random.uniform(0.7, 1.3)))  # noqa: S311 - not in step with others
        raise AssertionError("the loop returns or raises")

    def _once(self, call: "_Call") -> Answer:
        answer = http.send(
            call.request, integration=self.integration, limit=self._limit, patience=self.patience, judge=call.trouble
        )
        reading = call.read(answer)
        if reading.finding == "ok":
            return answer
        raise self._refusal(call, answer, reading)

    @property
    def _limit(self) -> Limit:
        return self.provider.limit or limiter.NO_LIMIT

    def _refusal(self, call: "_Call", answer: Answer, reading: Reading) -> Refusal:
        wait = self._pause(call.request.endpoint, answer, reading)
        # What the provider understood and turned down it will turn down again; what it fell over it may not.
        passing = reading.passing or answer.status >= 500 or answer.status in (408, 409, 425)
        code, permanent, advice = {
            "throttled": (THROTTLED, False, f"Nobody calls it for {wait:.0f} s."),
            "refused": (REFUSED, True, call.remedy),
        }.get(reading.finding, (FAILED, not passing, LOOK if passing and not call.again else ""))
        words = f"{self.integration.name}: {reading.words.rstrip('.')}. {advice}".rstrip()
        return Refusal(
            words, permanent=permanent, code=code, status=answer.status, provider_code=reading.code, wait=wait
        )

    def _pause(self, endpoint: str, answer: Answer, reading: Reading) -> float:
        """For how many seconds the provider wants to be left alone; everybody who shares its limit is told.

        After a 5xx for a minute at most: an outage has to be seen while it lasts, and its end too.
        """
        asked = retry_after(answer)
        if reading.finding == "throttled":
            wait = next((seconds for seconds in (asked, reading.wait) if seconds is not None), PAUSE)
        else:
            wait = (asked or 0.0) if answer.status >= 500 else 0.0
        if wait:
            held = wait if reading.finding == "throttled" else min(wait, OUTAGE_PAUSE)
            limiter.hold(limiter.key_of(self.integration.slug, self._limit, endpoint), self._limit, held)
        return wait

    def _remedy(self, provider: Provider) -> str:
        if provider.oauth:
            return "Connect it again, with all the rights that it asks for."
        names = " and ".join(credentials.names(provider))
        return f"Is {names} right, and allowed to do this?" if names else ""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, how its answer is judged, whether it may be made `again`, and what helps when our credentials are
    refused."""

    request: http.Request
    read: Callable[[Answer], Reading]
    again: bool
    remedy: str

    def trouble(self, answer: Answer) -> str:
        reading = self.read(answer)
        return "" if reading.finding == "ok" else reading.words


# --- Parts of requests and answers -----------------------------------------------------------------------------------


def retry_after(answer: Answer) -> float | None:
    """What ``Retry-After`` asks for, in seconds, at most an hour; None where it asks for nothing that can be read.

    A date is compared with the answer's own, so that our clock needn't agree.
    """
    given = answer.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return float(min(int(given[:10]), 3600))
    until, sent = _date(given), _date(answer.headers.get("date", ""))
    if until is None:
        return None
    return min(max(0.0, (until - (sent or datetime.now(UTC))).total_seconds()), 3600.0)


def words(listed: Json) -> tuple[str, ...]:
    """The texts of a list; none where there is no list."""
    return tuple(item for item in listed if isinstance(item, str)) if isinstance(listed, list) else ()


def moment(told: Json) -> datetime | None:
    """A time as ISO 8601 tells it, taken as UTC where it names no zone; None where it is none."""
    try:
        when = datetime.fromisoformat(text(told))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _date(told: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _value(provider: Provider, name: str) -> str:
    return credentials.api_value(provider, name)
