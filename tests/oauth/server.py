"""An authorisation server that isn't ours: authlib's, on loopback, in a process of its own.

with server.running(rotates=True) as provider:
    brought = provider.consent("alice", state="…")
    provider.families("alice")[-1]["refreshes"]

It is as strict as the strictest real ones: with rotation a refresh token is good for one use, and one that is
presented again takes the whole grant with it (RFC 9700, 4.14.2). Who gives an authorisation is told by `login_hint`;
counters go by that name. `Habits` are how it behaves; they can be changed while it runs.
"""

import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import requests
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    ClientMixin,
    InvalidRequestError,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

CLIENT_ID, CLIENT_SECRET = "our-client", "our-client-secret"
REDIRECT_URI = "http://localhost:8000/oauth/callback"
NOBODY = "nobody"
"""Who says no when asked."""

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Habits:
    """`rotates`: each refresh brings a new refresh token and spends the old one. `pkce`: no code without a challenge.
    `trouble`: "" | "503" | "deaf" (takes the request and does nothing for `seconds`) | "mute" (obeys, but the
    connection breaks before the answer) | "throttled" (429, Retry-After `seconds`). `answer_after`: seconds between
    obeying and answering. `expires_in`: seconds that an access token lives."""

    rotates: bool = True
    pkce: bool = False
    trouble: str = ""
    seconds: float = 30
    answer_after: float = 0
    expires_in: int = 3600


@dataclass
class Family:
    """All that came of one authorisation: refreshes that gave a token, refresh tokens that were presented again."""

    refreshes: int = 0
    reuses: int = 0
    revoked: str = ""


@dataclass
class Issued(TokenMixin):
    family: Family
    user: str
    scope: str
    expires_at: float
    spent: bool = False

    def check_client(self, client: "Client") -> bool:
        return client.get_client_id() == CLIENT_ID

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    user: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Store:
    habits: Habits
    lock: threading.RLock = field(default_factory=threading.RLock)
    codes: dict[str, Code] = field(default_factory=dict)
    access: dict[str, Issued] = field(default_factory=dict)
    refresh: dict[str, Issued] = field(default_factory=dict)
    families: dict[str, list[Family]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)


class Client(ClientMixin):
    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return REDIRECT_URI

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, CLIENT_SECRET)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_post", "client_secret_basic")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


# --- What authlib leaves to the server: where things are kept --------------------------------------------------------


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic"]

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        asked = request.payload.data
        self.server.store.codes[code] = Code(
            code, request.user, request.payload.redirect_uri or "", request.scope or "",
            asked.get("code_challenge", ""), asked.get("code_challenge_method", ""),
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return self.server.store.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.store.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> str:
        return authorization_code.user


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic"]

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:
        return self.server.store.habits.rotates

    def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
        issued = self.server.store.refresh.get(refresh_token)
        if issued is not None and issued.spent:
            issued.family.reuses += 1
            issued.family.revoked = issued.family.revoked or "reuse"
        return issued if issued is not None and not issued.family.revoked else None

    def authenticate_user(self, refresh_token: Issued) -> str:
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Issued) -> None:
        refresh_token.family.refreshes += 1
        refresh_token.spent = self.server.store.habits.rotates


class _Challenge(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        if self.store.habits.pkce and not grant.request.payload.data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge'")
        super().validate_code_challenge(grant, redirect_uri)


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_post", "client_secret_basic"]

    def query_token(self, token_string: str, token_type_hint: str | None) -> Issued | None:
        store = self.server.store
        return store.refresh.get(token_string) or store.access.get(token_string)

    def revoke_token(self, token: Issued, request: OAuth2Request) -> None:
        token.family.revoked = "asked"


class Server(AuthorizationServer):
    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.register_grant(_CodeGrant, [_Challenge(store)])
        self.register_grant(_RefreshGrant)
        self.register_endpoint(_Revocation)
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **told: f"at-{secrets.token_urlsafe(32)}", lambda **told: f"rt-{secrets.token_urlsafe(32)}",
                lambda client, grant_type: store.habits.expires_in,
            ),
        )  # fmt: skip

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        before = request.refresh_token
        family = before.family if before else Family()
        if not before:
            self.store.families.setdefault(request.user, []).append(family)
        issued = Issued(family, request.user, token.get("scope", ""), time.time() + token["expires_in"])
        self.store.access[token["access_token"]] = issued
        if "refresh_token" in token:
            self.store.refresh[token["refresh_token"]] = issued

    def create_oauth2_request(self, request: dict[str, Any]) -> OAuth2Request:
        return request["oauth2"]

    def handle_response(self, status: int, body: Any, headers: Iterable[tuple[str, str]]) -> "Reply":
        return Reply(status, body, tuple(headers))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""


# --- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass
class Reply:
    status: int
    body: Any = ""
    headers: tuple[tuple[str, str], ...] = ()


class _Request(OAuth2Request):
    """`uri` says https, as behind the proxy that every real one stands behind: authlib speaks nothing else."""

    def __init__(self, environ: dict[str, Any], path: str) -> None:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        self._form = dict(parse_qsl(environ["wsgi.input"].read(length).decode()))
        self._args = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        headers = {"Authorization": environ.get("HTTP_AUTHORIZATION", "")} if "HTTP_AUTHORIZATION" in environ else {}
        super().__init__(environ["REQUEST_METHOD"], f"https://127.0.0.1{path}", headers=headers)
        self.payload = BasicOAuth2Payload({**self._args, **self._form})

    @property
    def form(self) -> dict[str, str]:
        return self._form

    @property
    def args(self) -> dict[str, str]:
        return self._args


class App:
    """The WSGI application."""

    def __init__(self, habits: Habits) -> None:
        self.store = Store(habits)
        self.server = Server(self.store)
        self.doors: dict[str, Callable[[_Request], Reply]] = {
            "/authorize": self.authorize, "/token": self.token, "/revoke": self.revoke, "/whoami": self.whoami,
            "/_habits": self.habits, "/_counters": self.counters,
        }  # fmt: skip

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        path, habits = environ["PATH_INFO"], self.store.habits
        request = _Request(environ, path)
        reply = self._troubled(path) or self.doors.get(path, lambda request: Reply(404))(request)
        if path in ("/token", "/revoke"):
            self.store.asked.append({"path": path, "at": time.time(), "status": reply.status, **self._what(request)})
            time.sleep(habits.answer_after)
            if habits.trouble == "mute":
                with suppress(OSError):
                    environ["tests.connection"].shutdown(socket.SHUT_RDWR)
        body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        headers = [("Content-Type", "application/json"), *(h for h in reply.headers if h[0] != "Content-Type")]
        start_response(f"{reply.status} {'OK' if reply.status < 400 else 'Trouble'}", headers)
        return [body.encode()]

    def _troubled(self, path: str) -> Reply | None:
        habits = self.store.habits
        if path not in ("/token", "/revoke") or habits.trouble in ("", "mute"):
            return None
        if habits.trouble == "deaf":
            time.sleep(habits.seconds)
        if habits.trouble == "throttled":
            return Reply(429, {"error": "slow_down"}, (("Retry-After", str(int(habits.seconds))),))
        return Reply(503, "<h1>Service Unavailable</h1>")

    def _what(self, request: _Request) -> dict[str, str]:
        issued = self.store.refresh.get(request.form.get("refresh_token", ""))
        return {"grant_type": request.form.get("grant_type", ""), "user": issued.user if issued else ""}

    def authorize(self, request: _Request) -> Reply:
        user = request.args.get("login_hint", "somebody")
        with self.store.lock:
            try:
                grant = self.server.get_consent_grant({"oauth2": request}, end_user=user)
            except OAuth2Error as error:
                return self.server.handle_error_response(request, error)
            answered = None if user == NOBODY else user
            return self.server.create_authorization_response(request, grant_user=answered, grant=grant)

    def token(self, request: _Request) -> Reply:
        with self.store.lock:
            return self.server.create_token_response({"oauth2": request})

    def revoke(self, request: _Request) -> Reply:
        with self.store.lock:
            return self.server.create_endpoint_response("revocation", {"oauth2": request})

    def whoami(self, request: _Request) -> Reply:
        """What a token opens: who gave it."""
        issued = self.store.access.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if issued is None or issued.family.revoked or issued.expires_at < time.time():
            return Reply(401, {"error": "invalid_token"})
        return Reply(200, {"user": issued.user})

    def habits(self, request: _Request) -> Reply:
        for name, value in request.form.items():
            setattr(self.store.habits, name, json.loads(value))
        return Reply(200, asdict(self.store.habits))

    def counters(self, request: _Request) -> Reply:
        with self.store.lock:
            families = {user: [asdict(one) for one in given] for user, given in self.store.families.items()}
            return Reply(200, {"families": families, "asked": list(self.store.asked)})


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "tests.connection": self.connection}

    def log_message(self, *args: object) -> None:
        """Silent."""


# --- From outside ----------------------------------------------------------------------------------------------------


class Provider:
    """The server as tests see it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def behave(self, **habits: object) -> None:
        told = {name: json.dumps(value) for name, value in habits.items()}
        requests.post(f"{self.url}/_habits", data=told, timeout=5).raise_for_status()

    def families(self, user: str) -> list[dict[str, Any]]:
        """What came of each authorisation by `user`: `refreshes`, `reuses`, `revoked`; the newest last."""
        return requests.get(f"{self.url}/_counters", timeout=5).json()["families"].get(user, [])

    def asked(self, grant_type: str = "refresh_token") -> list[dict[str, Any]]:
        """Each request for tokens that came, answered or not: `at`, `status`, `user`."""
        asked = requests.get(f"{self.url}/_counters", timeout=5).json()["asked"]
        return [one for one in asked if one["grant_type"] == grant_type]

    def reuses(self) -> int:
        told = requests.get(f"{self.url}/_counters", timeout=5).json()["families"]
        return sum(family["reuses"] for families in told.values() for family in families)

    def follow(self, url: str, user: str) -> dict[str, str]:
        """What the browser that was sent to `url` brings back when `user` says yes (NOBODY says no)."""
        answer = requests.get(url, {"login_hint": user}, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}

    def consent(self, user: str, **asked: str) -> dict[str, str]:
        """Likewise, for what our engine would not ask."""
        query = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": REDIRECT_URI, **asked}
        return self.follow(f"{self.url}/authorize?{urlencode(query)}", user)

    def take_back(self, token: str) -> None:
        """As its owner could in the provider's own pages."""
        told = {"token": token, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        requests.post(f"{self.url}/revoke", told, timeout=5).raise_for_status()

    def whoami(self, access_token: str) -> str:
        """Who gave the token; "" when it isn't good."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.url}/whoami", headers=headers, timeout=5).json().get("user", "")


@contextmanager
def running(**habits: object) -> Iterator[Provider]:
    """A server of one's own, with `Habits` as given."""
    command = [sys.executable, "-m", "tests.oauth.server", json.dumps(habits)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the authorisation server did not start"
        yield Provider(url)
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.set_app(App(Habits(**json.loads(sys.argv[1]))))
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
