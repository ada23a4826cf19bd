"""Zoho's data centres and its OAuth 2, which every product shares (PROVIDERS §0).

Sources: package zohocrmsdk8-0 7.0.0 ``util/constants.py`` [A] for US to SA; several repositories for UK [B]; third
parties for AE, SG [C]; hosts "by analogy" are [?]. No source knows a South African data centre.

Quirks: scopes are separated by commas; refusals come as HTTP 200 with ``error``; a refresh answer brings no new
refresh token; with ``expires_in_sec`` in the answer, ``expires_in`` counts milliseconds; too many requests is a 400.
"""

from collections.abc import Mapping
from datetime import timedelta

from integrations.providers.payloads import at, text
from integrations.providers.spec import Json, OAuth2

ACCOUNTS = {
    "us": "https://accounts.zoho.com",
    "eu": "https://accounts.zoho.eu",
    "in": "https://accounts.zoho.in",
    "au": "https://accounts.zoho.com.au",
    "jp": "https://accounts.zoho.jp",
    "cn": "https://accounts.zoho.com.cn",
    "ca": "https://accounts.zohocloud.ca",  # sic [A]
    "sa": "https://accounts.zoho.sa",
    "uk": "https://accounts.zoho.uk",
    "ae": "https://accounts.zoho.ae",
    "sg": "https://accounts.zoho.sg",
}
API = {
    "us": "https://www.zohoapis.com",
    "eu": "https://www.zohoapis.eu",
    "in": "https://www.zohoapis.in",
    "au": "https://www.zohoapis.com.au",
    "jp": "https://www.zohoapis.jp",
    "cn": "https://www.zohoapis.com.cn",
    "ca": "https://www.zohoapis.ca",
    "sa": "https://www.zohoapis.sa",
    "uk": "https://www.zohoapis.uk",
    "ae": "https://www.zohoapis.ae",  # by analogy
    "sg": "https://www.zohoapis.sg",  # by analogy
}


def hosts(product: str) -> dict[str, str]:
    """Where a product with a host of its own ("sign", "desk") is, by region: .com [A]; eu, in, au, jp, sa and ca [B];
    the others by analogy with the accounts server [?]."""
    return {region: accounts.replace("//accounts.", f"//{product}.") for region, accounts in ACCOUNTS.items()}


def first_organisation(values: Mapping[str, str]) -> str:
    """The organisation to name in requests: ZOHO_ORG_ID may list several, as the "secrets" of Desk's webhook."""
    return values.get("ZOHO_ORG_ID", "").partition(",")[0].strip()


def throttled(status: int, body: Json) -> bool:
    """Whether we asked too often. Zoho's usual form is a 400 "Access Denied" whose description speaks of too many
    requests [B, eight repositories]: it says nothing about the grant."""
    if status == 429:
        return True
    return text(at(body, "error")) == "Access Denied" and "too many requests" in text(at(body, "error_description"))


def _token_refused(status: int, code: str) -> bool:
    """CRM's, Desk's and the Billing family's words for a token that is no good, not a missing scope [C]."""
    return code in {"INVALID_TOKEN", "AUTHENTICATION_FAILURE", "INVALID_OAUTH", "14"} or (status == 401 and not code)


def oauth2(*scopes: str) -> OAuth2:
    """Zoho's OAuth 2 for a product that needs `scopes`."""
    return OAuth2(
        base_url_env="ZOHO_ACCOUNTS_URL",
        base_url=ACCOUNTS["us"],
        regions=ACCOUNTS,
        authorize_path="/oauth/v2/auth",
        token_path="/oauth/v2/token",  # noqa: S106 - a path
        revoke_path="/oauth/v2/token/revoke",  # the SDK's; one repository has /oauth/v2/revoke/token [?]
        client_id_env="ZOHO_CLIENT_ID",
        client_secret_env="ZOHO_CLIENT_SECRET",  # noqa: S106 - a name
        scopes=scopes,
        scope_separator=",",
        header_prefix="Zoho-oauthtoken ",
        # Without offline there is no refresh token; without consent only the first authorisation brings one.
        authorize_params={"access_type": "offline", "prompt": "consent"},
        pkce=False,  # not documented for server applications
        rotates=False,
        # Ten access tokens by one refresh token in ten minutes, then none for the rest of them [A]; two are left over.
        budget=(8, timedelta(minutes=10)),
        throttle_wait=timedelta(minutes=10),
        lifetime=timedelta(hours=1),
        # On the token endpoint: a refresh token that is revoked, pushed out by the 21st, or of another data centre.
        dead_grant=frozenset({"invalid_code", "invalid_grant"}),
        token_refused=_token_refused,
        throttled=throttled,
        # Documented is the token alone, and only this word in the answer: an error may come with a 200 as well [A].
        revoke_signed=False,
        revoked=lambda status, body: text(at(body, "status")) == "success",
    )
