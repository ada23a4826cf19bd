"""What every answer carries: pages and API (`config/middleware.py`), static files, receivers (`webhooks/lane.py`).

The rest comes from Django's own middleware, as the settings say.
"""

from collections.abc import MutableMapping

from django.conf import settings

PERMISSIONS_POLICY = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of what is no page."""


def always() -> dict[str, str]:
    """For every answer. With HSTS where people come over https: also when the proxy that ends TLS isn't one of the
    TRUSTED_PROXIES, and this process therefore doesn't know. Over plain http browsers ignore it."""
    found = {"Permissions-Policy": PERMISSIONS_POLICY}
    if settings.SECURE_HSTS_SECONDS:
        found["Strict-Transport-Security"] = (
            f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"  # as the settings have both
        )
    return found


def static(headers: MutableMapping[str, str], path: str, url: str) -> None:
    """servestatic's hook: static files pass by all middleware but Django's SecurityMiddleware."""
    for name, value in always().items():
        headers[name] = value
    headers["Content-Security-Policy"] = NOTHING
    headers["X-Frame-Options"] = settings.X_FRAME_OPTIONS
