"""Zoho's authorisation server: consent page, token endpoint, revocation (PROVIDERS, "Zoho OAuth").

Tokens are bound to the scopes that were asked for, so each opens only the products they name. Besides the codes of the
consent page, ``sandbox:<slug>`` is a code too: it connects an integration without a browser, in this sandbox alone.
"""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from integrations import providers
from integrations.providers.spec import Json
from integrations.sandbox import page, tokens
from integrations.sandbox.faults import ACCOUNTS
from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Reply, Route, answer, same, text

CODE_SECONDS = 60
TOKENS_PER_GRANT, GRANT_WINDOW = 10, 600  # access tokens by one refresh token
_SCOPE = re.compile(r"[A-Za-z]+(\.[A-Za-z_]+){1,2}")


def scopes(token: str, state: State, now: float) -> str | None:
    """The scopes of a valid access token, comma-separated; None when it isn't valid."""
    claims = tokens.unseal("access", token, state.value(tokens.KEY), now)
    if claims is None or claims["grant"] in state.spent:
        return None
    return str(claims["scope"])


# --- Consent ---------------------------------------------------------------------------------------------------------


def consent(call: Call, state: State) -> Reply:
    """GET shows the page."""
    if trouble := _unfit(call.query, state):
        return text(page.refusal(trouble), status=400, headers=page.security())
    target = urlsplit(call.query["redirect_uri"])
    origin = f"{target.scheme}://{target.netloc}"
    asked = call.query["scope"].replace(" ", ",").split(",")
    fields = {name: value for name, value in call.query.items() if name != "decision"}  # that is for the buttons
    shown = page.consent(fields=fields, scopes=[scope for scope in asked if scope], back_to=origin)
    return text(shown, headers=page.security(form_action=origin))


def decide(call: Call, state: State) -> Reply:
    """POST of the page's buttons: back to the app with a code, or with its refusal."""
    form = call.form()
    if trouble := _unfit(form, state):
        return text(page.refusal(trouble), status=400, headers=page.security())
    outcome = {"state": form.get("state", ""), "location": "us", "accounts-server": f"{state.url}/accounts"}
    if form.get("decision") != "accept":
        outcome = {"error": "access_denied", "state": form.get("state", "")}
    else:
        outcome["code"] = tokens.seal(
            "code",
            {
                "scope": form["scope"].replace(" ", ","),
                "redirect": form["redirect_uri"],
                "offline": form.get("access_type") == "offline",
                "challenge": form.get("code_challenge", ""),
                "until": call.now + CODE_SECONDS,
                "grant": secrets.token_hex(8),
            },
            state.value(tokens.KEY),
        )
    joint = "&" if urlsplit(form["redirect_uri"]).query else "?"
    return Reply(302, b"", {"Location": form["redirect_uri"] + joint + urlencode(outcome)})


def _unfit(asked: Mapping[str, str], state: State) -> str:
    """Why Zoho would show an error page instead of asking for consent; "" when it would ask."""
    target = urlsplit(asked.get("redirect_uri", ""))
    if not same(asked.get("client_id", ""), state.value("ZOHO_CLIENT_ID")):
        return "Invalid client: no application has this client_id."
    if target.scheme not in ("http", "https") or not target.netloc or not asked["redirect_uri"].isprintable():
        return "Invalid redirect_uri: it must be a complete address."
    if asked.get("response_type") != "code":
        return "Invalid response_type: only “code” is known."
    wanted = [scope for scope in asked.get("scope", "").replace(" ", ",").split(",") if scope]
    if not wanted or not all(_SCOPE.fullmatch(scope) for scope in wanted):
        return "Invalid scope: " + (", ".join(s for s in wanted if not _SCOPE.fullmatch(s)) or "none was asked for.")
    return ""


# --- Tokens ----------------------------------------------------------------------------------------------------------


def token(call: Call, state: State) -> Reply:
    """Errors come with status 200, as Zoho's do; only "too many requests" is a 400."""
    form = {**call.query, **call.form()}
    if not same(form.get("client_id", ""), state.value("ZOHO_CLIENT_ID")):
        return answer({"error": "invalid_client"})
    if not same(form.get("client_secret", ""), state.value("ZOHO_CLIENT_SECRET")):
        return answer({"error": "invalid_client_secret"})
    match form.get("grant_type"):
        case "authorization_code":
            grant = _redeemed(form, state, call.now)
        case "refresh_token":
            grant = tokens.unseal("refresh", form.get("refresh_token", ""), state.value(tokens.KEY), call.now)
        case _:
            return answer({"error": "unsupported_grant_type"})
    if grant is None or grant["grant"] in state.spent or call.fault == "invalid_code":
        return answer({"error": "invalid_code"})
    if form["grant_type"] == "authorization_code" and grant["redirect"] not in ("", form.get("redirect_uri", "")):
        return answer({"error": "invalid_redirect_uri"})
    return _handed_out(grant, state, call.now, first=form["grant_type"] == "authorization_code")


def _redeemed(form: Mapping[str, str], state: State, now: float) -> dict[str, Json] | None:
    """The grant behind a code, which is used up by this."""
    code = form.get("code", "")
    if code.startswith("sandbox:"):
        provider = providers.get(code.removeprefix("sandbox:"))
        if provider is None or provider.oauth is None:
            return None
        asked = ",".join(provider.oauth.scopes)
        return {"scope": asked, "redirect": "", "offline": True, "challenge": "", "grant": secrets.token_hex(8)}
    claims = tokens.unseal("code", code, state.value(tokens.KEY), now)
    if claims is None or not state.spend(code):
        return None
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    if claims["challenge"] and urlsafe_b64encode(digest).decode().rstrip("=") != claims["challenge"]:
        return None
    return claims


def _handed_out(grant: Mapping[str, Json], state: State, now: float, *, first: bool) -> Reply:
    window = state.meter.hit((ACCOUNTS, grant["grant"]), limit=TOKENS_PER_GRANT, seconds=GRANT_WINDOW, now=now)
    if window.over:
        return too_many()
    claims = {"grant": grant["grant"], "scope": grant["scope"]}
    content = {
        "access_token": tokens.seal(
            "access",
            {**claims, "until": now + state.token_lifetime, "n": secrets.token_hex(4)},
            state.value(tokens.KEY),
        ),
        "scope": str(grant["scope"]).replace(",", " "),
        "api_domain": state.url,
        "token_type": "Bearer",
        "expires_in": state.token_lifetime,
    }
    if first and grant["offline"]:
        content["refresh_token"] = tokens.seal("refresh", claims, state.value(tokens.KEY))
    return answer(content)


def revoke(call: Call, state: State) -> Reply:
    """Either token ends the grant. Revoking what is revoked already succeeds."""
    given = {**call.query, **call.form()}.get("token", "")
    key = state.value(tokens.KEY)
    claims = tokens.unseal("refresh", given, key, call.now) or tokens.unseal("access", given, key, call.now)
    if claims is None:
        return answer({"error": "invalid_token"}, 400)
    state.spend(str(claims["grant"]))
    return answer({"status": "success"})


def server_info(_: Call, state: State) -> Reply:
    return answer({"result": "success", "locations": {"us": f"{state.url}/accounts"}})


def too_many() -> Reply:
    """No Retry-After, and a 400: so it stands in eight public repositories."""
    return answer(
        {
            "error_description": "You have made too many requests continuously. Please try again after some time.",
            "error": "Access Denied",
            "status": "failure",
        },
        400,
    )


API = Api(
    slug=ACCOUNTS,
    routes=(
        Route("GET", "/oauth/v2/auth", consent, open=True),
        Route("POST", "/oauth/v2/auth", decide, open=True),
        Route("POST", "/oauth/v2/token", token, open=True),
        Route("POST", "/oauth/v2/token/revoke", revoke, open=True),
        Route("GET", "/oauth/serverinfo", server_info, open=True),
    ),
    admit=lambda call, state: None,
    refused=lambda call: answer({"error": "invalid_client"}),
    throttled=lambda call, seconds: too_many(),
    failed=lambda call: answer({"error": "general_error"}, 500),
    missing=lambda call: text("<h1>404</h1>", status=404),
)
