"""Where a provider's base URL, credentials and webhook secrets come from. The database holds their names only.

A variable's value comes from the environment (``NAME`` or ``NAME_FILE``). While the sandbox runs it stands in for each
provider whose API credentials and base URL are unset, and lends the webhook secrets that are unset.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from integrations.providers.spec import ApiKey, OAuth2, Provider


class NotConfigured(Exception):
    """A credential that is needed is not set. `names` are the variables to set."""

    def __init__(self, *names: str) -> None:
        self.names = names
        super().__init__(f"{' and '.join(names)} not set")


def allowed(name: str) -> bool:
    """Whether a row may name this variable: only those that begin like a provider's, never SECRET_KEY."""
    return _allowed(name, tuple(settings.SECRET_ENV_PREFIXES))


@lru_cache(maxsize=256)  # asked for every delivery
def _allowed(name: str, prefixes: tuple[str, ...]) -> bool:
    return name.startswith(prefixes) and name.replace("_", "").isalnum() and name.isupper()


def real(name: str) -> str:
    """The value from the environment alone, "" when unset or when the name isn't one that rows may use."""
    if not allowed(name):
        return ""
    value = os.environ.get(name, "")
    path = os.environ.get(f"{name}_FILE", "")
    return value.strip() or (_file(path, _mtime(path)) if path else "")


def value(name: str) -> str:
    """The value from the environment, or what the running sandbox lends; "" when there is neither."""
    return real(name) or (settings.SANDBOX_VALUES.get(name, "") if settings.SANDBOX_URL else "")


def secrets(name: str) -> tuple[str, ...]:
    """The webhook secrets in variable `name`: comma-separated, so that one can be rotated; newest first."""
    return _split(value(name))


@lru_cache(maxsize=256)
def _split(listed: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in listed.split(",")) if part)


def names(provider: Provider) -> tuple[str, ...]:
    """The variables with the API credentials without which `provider` can't be called."""
    match provider.auth:
        case ApiKey(env=env):
            return (env,)
        case OAuth2(client_id_env=client_id, client_secret_env=client_secret):
            return (client_id, client_secret)
    return ()


def missing(provider: Provider) -> tuple[str, ...]:
    """Those of `names` that are not set (and not lent by the sandbox)."""
    return tuple(name for name in names(provider) if not api_value(provider, name))


def sandboxed(provider: Provider) -> bool:
    """Whether the simulator plays `provider`: it runs, and no credential or base URL of the real one is set."""
    told = [*names(provider), provider.base_url_env, *(host.env for host in provider.hosts.values())]
    return bool(settings.SANDBOX_URL) and not any(os.environ.get(n) or os.environ.get(f"{n}_FILE") for n in told)


def api_value(provider: Provider, name: str) -> str:
    return settings.SANDBOX_VALUES.get(name, "") if sandboxed(provider) else real(name)


def base_url(provider: Provider, *, region: str = "", host: str = "") -> str:
    """Where `provider`'s API is: its variable, the sandbox, its region (`region`, else ZOHO_REGION), its default; with
    `host`, where that other part of it is. No final slash."""
    override = os.environ.get(provider.hosts[host].env if host else provider.base_url_env, "")
    if not override and sandboxed(provider):
        return f"{settings.SANDBOX_URL}/{provider.slug}"
    default = provider.hosts[host].url if host else _regional(provider.base_url, provider.regions, region)
    return (override or default).rstrip("/")


def oauth_url(provider: Provider, oauth: OAuth2) -> str:
    """Where `provider`'s authorisation server is."""
    override = os.environ.get(oauth.base_url_env, "")
    if not override and sandboxed(provider):
        return f"{settings.SANDBOX_URL}/accounts"
    return (override or _regional(oauth.base_url, oauth.regions)).rstrip("/")


def _regional(default: str, regions: Mapping[str, str], region: str = "") -> str:
    return regions.get(region or os.environ.get("ZOHO_REGION", "").lower(), default)


def _mtime(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


@lru_cache(maxsize=64)
def _file(path: str, mtime: float) -> str:  # `mtime` is there for the cache: a rotated secret is read anew
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
