"""Django system checks of this layer: what would go wrong quietly says so at start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from integrations import credentials, providers


@register(Tags.compatibility)
def declared_providers_are_sound(**_: Any) -> list[CheckMessage]:
    """Slugs and receiver paths are unique, and every variable a provider names may be read."""
    problems: list[CheckMessage] = []
    seen: set[str] = set()
    for provider in providers.PROVIDERS:
        places = [provider.slug, *([provider.webhook.path] if provider.webhook else [])]
        for place in places:
            if place in seen:
                problems.append(Error(f"Two providers claim {place!r}.", id="integrations.E001"))
            seen.add(place)
        named = [*credentials.names(provider), *([provider.webhook.secret_env] if provider.webhook else [])]
        problems += [
            Error(
                f"{provider.slug} reads {name}, which begins with none of {', '.join(settings.SECRET_ENV_PREFIXES)}.",
                hint="Rename the variable, or add its prefix to SECRET_ENV_PREFIXES.",
                id="integrations.E002",
            )
            for name in named
            if not credentials.allowed(name)
        ]
    return problems
