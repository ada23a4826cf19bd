"""What the sandbox lends for the variables that nobody has set: stand-ins in each provider's own format."""

import base64
import hashlib
import uuid
from collections.abc import Callable, Mapping

from integrations import credentials, providers
from integrations.providers.spec import Provider
from integrations.sandbox import keys, tokens


def lend(generated: Callable[[str], str]) -> dict[str, str]:
    """A value for every variable that a provider names, made from `generated(name)`: a random text, stable for a name.

    Besides those it holds the sandbox's own two keys, which no variable can override and no API shows: the one that
    seals its OAuth tokens, and Zoho Desk's signing key.
    """
    lent = {name: form(generated(name)) for provider in providers.PROVIDERS for name, form in _named(provider).items()}
    return {**lent, tokens.KEY: generated(tokens.KEY), keys.DESK: keys.derive(generated(keys.DESK))}


Format = Callable[[str], str]


def _named(provider: Provider) -> dict[str, Format]:
    """The variables that `provider` needs, with their formats: API credentials, settings, and the webhook's secret."""
    names = [*credentials.names(provider), *provider.settings]
    found = {name: _FORMATS.get(name, _plain) for name in names}
    if provider.webhook and provider.webhook.secret_env not in found:
        form = _whsec if provider.webhook.method == "standard_webhooks" else _plain
        found[provider.webhook.secret_env] = _FORMATS.get(provider.webhook.secret_env, form)
    return found


def _plain(text: str) -> str:
    return text


def _hex(text: str, length: int = 40) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _whsec(text: str) -> str:
    return "whsec_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _number(text: str) -> str:
    return str(600_000_000 + int(_hex(text), 16) % 100_000_000)


# What isn't here is taken as it comes: any text will do.
_FORMATS: Mapping[str, Format] = {
    "ZOHO_CLIENT_ID": lambda text: f"1000.{_hex(text, 30).upper()}",
    "ZOHO_CLIENT_SECRET": _hex,
    "ZOHO_ORG_ID": _number,
    "ZOHO_CRM_WEBHOOK_TOKEN": lambda text: f"TOKEN_{_hex(text)}",  # at most 50 characters
    "ZOHO_BILLING_WEBHOOK_SECRET": _hex,  # 12 to 50 letters and digits
    "NETCASH_SERVICE_KEY": lambda text: str(uuid.UUID(_hex(text, 32), version=4)),
    "RESEND_API_KEY": lambda text: f"re_sandbox_{_hex(text, 24)}",
    "GOOGLE_MAPS_API_KEY": lambda text: f"AIza{_hex(text, 35)}",
}
