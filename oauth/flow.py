"""OAuth 2 as requests and answers (RFC 6749, 7636): pure, no ORM, no network. Provider quirks are data: `spec.OAuth2`.

`authorization_url` is where the browser is sent and `read_callback` what it brings back. The others build an
`http.Request`; `read_tokens` turns the answer into `Tokens` or raises ProviderError.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from integrations.http import Request
from integrations.providers.spec import Answer, OAuth2, ProviderError

DEAD, THROTTLED = "dead_grant", "throttled"
"""`ProviderError.code`: the grant is gone for good; or: too many requests, the grant is fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Our registration with the authorisation server at `base_url`."""

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a token endpoint gave. `refresh_token` "" means: none came, keep the one you have."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name
    scope: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


# --- The browser's way -----------------------------------------------------------------------------------------------


def authorization_url(oauth: OAuth2, client: Client, *, redirect_uri: str, state: str, verifier: str = "") -> str:
    """Where somebody with an account there says yes or no. With `verifier`, only who knows it can use the code."""
    asked = {
        **oauth.authorize_params,
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": oauth.scope_separator.join(oauth.scopes),
        "state": state,
    }
    if verifier:
        asked |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    return f"{client.base_url}{oauth.authorize_path}?{urlencode(asked)}"


def challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What the browser brought back. `error` is a word of the provider's, "" without one; `server`: where it says that
    the code is to be exchanged (Zoho's ``accounts-server``), "" where it doesn't."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    error: str
    server: str

    @property
    def cancelled(self) -> bool:
        """Somebody said no, which is no fault. Zoho has written it both ways."""
        return self.error.lower().replace(" ", "_") == "access_denied"


def read_callback(query: Mapping[str, str]) -> Callback:
    """Anybody may have written `query`: nothing in it is to be believed before the state is known."""
    error = query.get("error", "")
    return Callback(
        state=query.get("state", ""),
        code=query.get("code", ""),
        error=error if error.isprintable() and len(error) <= 60 else "an unreadable error",
        server=query.get("accounts-server", ""),
    )


def same_server(one: str, other: str) -> bool:
    """Whether both are the same address of a server: scheme, host, port and path, nothing else in them."""
    normal = _normal(one)
    return normal is not None and normal == _normal(other)


def _normal(url: str) -> tuple[str, str, int, str] | None:
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\?#@%"):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if usual is None or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or usual, parts.path.rstrip("/")


# --- Asking for tokens -----------------------------------------------------------------------------------------------


def exchange(oauth: OAuth2, client: Client, *, code: str, redirect_uri: str, verifier: str = "") -> Request:
    """Trade an authorisation code for tokens."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return _token_request(oauth, client, {**form, "code_verifier": verifier} if verifier else form)


def refresh(oauth: OAuth2, client: Client, *, refresh_token: str) -> Request:
    """Ask for a new access token."""
    return _token_request(oauth, client, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def revoke(oauth: OAuth2, client: Client, *, token: str, hint: str) -> Request:
    """Ask to take a token back (RFC 7009). `hint`: "access_token", or "refresh_token", with which a whole grant
    ends."""
    form = {"token": token}
    if oauth.revoke_signed:
        form |= {"token_type_hint": hint, "client_id": client.client_id, "client_secret": client.client_secret}
    return Request(
        method="POST",
        url=client.base_url + oauth.revoke_path,
        endpoint=oauth.revoke_path,
        form=form,
        timeout_s=10,
        max_bytes=64 * 1024,
    )


def read_revoked(oauth: OAuth2, answer: Answer) -> None:
    """Return if the token is good for nothing at the provider: now, or already before (RFC 7009, 2.2).

    Raises ProviderError otherwise; Throttled when we are to ask later.
    """
    body = _json(answer)
    if oauth.throttled(answer.status, body):
        wait = _retry_after(answer) or oauth.throttle_wait
        raise Throttled("The provider says that it was asked for too much.", wait=wait, status=answer.status)
    error = _word(body, "error", 100)
    if _gone(oauth, error) or (not error and oauth.revoked(answer.status, body)):
        return
    words = f"The provider did not confirm that the token is revoked: {error or f'HTTP {answer.status}'}."
    raise ProviderError(words, code=error or "not_revoked", status=answer.status)


def revoke_error_in(answer: Answer, oauth: OAuth2) -> str:
    """What to record as the call's error; "" when the token is gone."""
    try:
        read_revoked(oauth, answer)
    except ProviderError as error:
        return error.words[:200]
    return ""


def _gone(oauth: OAuth2, error: str) -> bool:
    return error == "invalid_token" or error in oauth.dead_grant


def _token_request(oauth: OAuth2, client: Client, form: dict[str, str]) -> Request:
    return Request(
        method="POST",
        url=client.base_url + oauth.token_path,
        endpoint=oauth.token_path,
        form={**form, "client_id": client.client_id, "client_secret": client.client_secret},
        timeout_s=10,
        max_bytes=64 * 1024,
    )


class Throttled(ProviderError):
    """We asked for tokens too often, and must not for `wait`. It says nothing about the grant."""

    def __init__(self, words: str, *, wait: timedelta, status: int | None = None) -> None:
        super().__init__(words, code=THROTTLED, status=status)
        self.wait = wait


def read_tokens(oauth: OAuth2, answer: Answer, *, now: datetime) -> Tokens:
    """The tokens in `answer`; success is the presence of an access token, never the status (Zoho errs with 200).

    Raises ProviderError: permanent with code DEAD when the grant is gone; Throttled when we asked too often.
    """
    body = _json(answer)
    if oauth.throttled(answer.status, body):
        wait = _retry_after(answer) or oauth.throttle_wait
        raise Throttled("The provider says that tokens were asked for too often.", wait=wait, status=answer.status)
    access_token = _token(body, "access_token")
    if not access_token:
        raise _refusal(oauth, answer, body)
    return Tokens(
        access_token=access_token,
        refresh_token=_token(body, "refresh_token"),
        issued_at=now,
        expires_at=now + _lifetime(oauth, body),
        token_type=_word(body, "token_type", 30) or "Bearer",
        scope=_word(body, "scope", 4000),
        metadata={"api_domain": domain} if (domain := _word(body, "api_domain", 200)) else {},
    )


def error_in(answer: Answer, oauth: OAuth2) -> str:
    """What to record as the call's error; "" when tokens came."""
    body = _json(answer)
    return "" if _token(body, "access_token") else _word(body, "error", 200) or f"HTTP {answer.status}"


def _refusal(oauth: OAuth2, answer: Answer, body: dict[str, Any]) -> ProviderError:
    error = _word(body, "error", 100)
    if error in oauth.dead_grant:
        words = f"The provider says that the grant is gone ({error}): connect it again."
        return ProviderError(words, permanent=True, code=DEAD, status=answer.status)
    words = f"The provider refused to give a token: {error or f'HTTP {answer.status}'}."
    if error.startswith("invalid_client"):
        words += f" Check {oauth.client_id_env} and {oauth.client_secret_env}, and the region."
    return ProviderError(words, code=error or "no_token", status=answer.status)


def _lifetime(oauth: OAuth2, body: dict[str, Any]) -> timedelta:
    """How long the token lives; what the provider usually gives when it doesn't say or says nonsense."""
    try:
        seconds = float(body["expires_in"])
    except (KeyError, TypeError, ValueError):
        return oauth.lifetime
    if "expires_in_sec" in body:  # Zoho's older form: then `expires_in` counts milliseconds
        seconds /= 1000
    return timedelta(seconds=seconds) if 0 < seconds < 10 * 365 * 86400 else oauth.lifetime


def _retry_after(answer: Answer) -> timedelta | None:
    given = answer.headers.get("retry-after", "")
    return timedelta(seconds=min(int(given[:6]), 3600)) if given.isascii() and given.isdigit() else None


def _token(body: dict[str, Any], name: str) -> str:
    """A token is made of visible ASCII (RFC 6749, appendix A); "" for anything else."""
    value = body.get(name)
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else ""


def _word(body: dict[str, Any], name: str, most: int) -> str:
    """What the provider says, fit to be stored and shown: nothing odd in it may cost us the tokens beside it."""
    value = body.get(name)
    return "".join(filter(str.isprintable, value))[:most] if isinstance(value, str) else ""


def _json(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body, parse_int=float)  # a number of any length: an int of 10**400 is no float
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
