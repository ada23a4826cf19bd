"""What a provider is: frozen data that everything else reads.

One `Provider` describes one product (Zoho CRM, Resend …). It never touches the database or the network: it names
environment variables, builds requests and reads answers. `integrations/http.py` sends them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

Json = Any  # what json.loads gives

# --- Errors ----------------------------------------------------------------------------------------------------------


class ProviderError(Exception):
    """A provider said no, or nothing. `permanent`: trying again can't help; `words`: what the operator should do."""

    def __init__(self, words: str, *, permanent: bool = False, code: str = "", status: int | None = None) -> None:
        super().__init__(words)
        self.words, self.permanent, self.code, self.status = words, permanent, code, status

    def explain(self, name: str, advice: str = "") -> None:
        """Let its words begin with whose error it is, and end with what to do."""
        self.words = f"{name}: {self.words} {advice}".rstrip()
        self.args = (self.words,)


Finding = Literal["ok", "refused", "throttled", "failed"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means, whatever its HTTP status said.

    ``ok``: it worked. ``refused``: our credentials were (401/403, `INVALID_TOKEN`, `REQUEST_DENIED`). ``throttled``:
    we were told to slow down. ``failed``: anything else that isn't success. `words` is for people, `code` the
    provider's own word for it, "" where it has none. `passing`: it is likely to pass by itself, whatever the status
    says. `wait`: seconds to leave it alone, where its words say so and its headers don't.
    """

    finding: Finding
    words: str = ""
    code: str = ""
    passing: bool = False
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole: `headers` lower-case, `body` at most the door's cap, `elapsed_ms` to its last byte."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    elapsed_ms: int


# --- How a request is authenticated ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A static credential. `env` names the variable that holds it; one of `header` and `query` says where it goes.

    `prefix` stands before the key in the header ("Bearer "). With neither, it is part of what a request says
    (NetCash's ``m1``), so only the client that builds the request puts it in.
    """

    env: str
    header: str = ""
    query: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """An OAuth 2 authorisation server and how ours differs from the RFC.

    `header_prefix` stands before the access token ("Zoho-oauthtoken "). `lifetime` is assumed when the token answer
    has no ``expires_in``. `rotates`: a refresh answer brings a new refresh token; None: nobody knows. `dead_grant`
    lists the ``error`` codes that mean the grant is gone for good; `throttled(status, body)` recognises "too many
    requests", which is over after `throttle_wait` where the answer doesn't say. `budget`: so many token requests by
    one refresh token within a span, as we allow ourselves. `revoke_path` "": tokens can't be revoked there.
    `revoke_signed`: whether that request names our client (RFC 7009); `revoked(status, body)` recognises that it was
    obeyed. `revoke_ends_all`: it ends whatever the same account ever granted our client, not that grant alone (RFC
    7009 leaves it open). `token_refused(status, code)` recognises that the API refused the access token itself, rather
    than what it asked for.
    """

    base_url_env: str
    base_url: str
    authorize_path: str
    token_path: str
    revoke_path: str
    client_id_env: str
    client_secret_env: str
    scopes: tuple[str, ...]
    scope_separator: str = " "
    header_prefix: str = "Bearer "
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    pkce: bool = True
    rotates: bool | None = None
    lifetime: timedelta = timedelta(hours=1)
    budget: tuple[int, timedelta] | None = None
    throttle_wait: timedelta = timedelta(minutes=1)
    dead_grant: frozenset[str] = frozenset({"invalid_grant"})
    throttled: Callable[[int, Json], bool] = lambda status, body: status == 429
    revoke_signed: bool = True
    revoked: Callable[[int, Json], bool] = lambda status, body: status == 200
    revoke_ends_all: bool = False
    token_refused: Callable[[int, str], bool] = lambda status, code: status == 401
    # Base URL by region; a callback may name one of these, and no other, as the place to exchange the code.
    regions: Mapping[str, str] = field(default_factory=dict)


# --- Health and limits -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The cheapest request that proves that the API answers and takes our credentials.

    `path` is relative to the provider's base URL and is also the endpoint's name in the metrics, unless `endpoint`
    gives a better one (a WMS has a single URL). `params_env` names variables that, when set, stand in for a param.
    `slow_ms` makes it degraded. `note` tells people what it costs (a geocode is billed).
    """

    path: str
    endpoint: str = ""
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    params_env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    authenticated: bool = True
    slow_ms: int = 5000
    timeout_s: float = 10.0
    note: str = ""

    def query(self, value: Callable[[str], str]) -> dict[str, str]:
        """The params to send; `value` gives a variable's value, "" when unset (`credentials.value`)."""
        return {**self.params, **{name: told for name, env in self.params_env.items() if (told := value(env))}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A provider's rate limit: `requests` per `seconds`, and the response headers that tell where we stand.

    `reset` says how the reset header counts: seconds from now ("delta") or Unix time ("epoch"). `each`: whether it is
    for all that one key asks, or for each endpoint apart (Zoho Sign).
    """

    requests: int
    seconds: int
    each: Literal["key", "endpoint"] = "key"
    limit_header: str = ""
    remaining_header: str = ""
    reset_header: str = ""
    reset: Literal["delta", "epoch"] = "delta"


# --- Webhooks --------------------------------------------------------------------------------------------------------

Method = Literal["hmac_sha256", "md5_hash", "header_secret", "body_token", "standard_webhooks", "jwt"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request as it arrived: `headers` lower-case, `query` without "?", `body` the very bytes."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Verified:
    """Genuine. `secret` is the position of the secret that matched; `detail` says by what, in words.

    `hint`: the proof covers the sender, not the content (Zoho Desk): refetch before acting on it. `sent_at` is the
    Unix time that the proof covers, where it covers one.
    """

    secret: int = 0
    detail: str = ""
    hint: bool = False
    sent_at: int | None = None


@dataclass(frozen=True, slots=True)
class Unverified:
    """Can't be judged from the delivery alone (a NetCash post without a hash): stored, but acted on only once the
    provider itself has confirmed it."""

    detail: str = ""


class Refused(Exception):
    """Not genuine. `reason` is a stable word for counting, `detail` for the operator; neither gives a secret away."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Verify(Protocol):
    def __call__(
        self, delivery: Delivery, secrets: Sequence[str], *, now: float, options: Mapping[str, Json]
    ) -> "Verified | Unverified":
        """Judge the raw bytes at Unix time `now`. Raises Refused. `options` is the webhook row's metadata."""


class Sign(Protocol):
    def __call__(self, payload: Json, secret: str, *, now: float, delivery_id: str) -> Delivery:
        """The delivery the provider would send for `payload`: for tests and the sandbox."""


@dataclass(frozen=True, slots=True)
class Event:
    """What one delivery says. `key` is what makes it the same event when it comes again; None claims no key."""

    type: str | None
    key: str | None
    payload: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """How a provider calls us.

    `secret_env` names the variable with the secret(s), comma-separated. `parse` turns verified bytes into payload(s):
    one event each (Zoho Desk sends arrays); it raises ValueError with words when the bytes make no sense.
    `fresh` gives a sample payload new ids and times, so that it is an event of its own. `personal` lists payload paths
    ("decision.id_verifications") masked in pages and exports; a path through a list means each of its items. They are
    dropped after `personal_days`, None: after PERSONAL_RETENTION_DAYS.
    `answers_get`: a GET is a liveness probe and gets 200. `jwks_path`: where the keys are published, relative to the
    base URL, for the method ``jwt``.
    """

    path: str
    method: Method
    secret_env: str
    event_types: tuple[str, ...]
    verify: Verify
    sign: Sign
    parse: Callable[[Delivery], Sequence[Json]]
    event: Callable[[Json, Delivery], Event]
    fresh: Callable[[Json, float, str], Json]
    personal: tuple[str, ...] = ()
    personal_days: int | None = None
    answers_get: bool = False
    jwks_path: str = ""


# --- All of it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A base URL besides the main one; the variable `env` overrides it."""

    env: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One product of one vendor. `slug` is also the name of its sample folder and of its row in the registry.

    `base_url_env` overrides `base_url`; `regions` holds it by ZOHO_REGION. `hosts` are its other base URLs, by what
    they are for. `settings` names further variables that its requests need (an organisation id), `headers(values)`
    puts them into request headers. `read` judges an answer;
    errors inside a 200 are errors. `silence_hours` above 0: no API is worth polling, so its webhooks' rhythm decides
    (NetCash). `check_minutes` is the health check's interval when the row is first made.
    """

    slug: str
    name: str
    vendor: str
    category: str
    icon: str
    base_url_env: str
    base_url: str
    read: Callable[[Answer], Reading]
    auth: ApiKey | OAuth2 | None = None
    probe: Probe | None = None
    limit: Limit | None = None
    webhook: Webhook | None = None
    settings: tuple[str, ...] = ()
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None
    silence_hours: int = 0
    regions: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    check_minutes: int = 15
    docs_url: str = ""

    @property
    def oauth(self) -> OAuth2 | None:
        return self.auth if isinstance(self.auth, OAuth2) else None
