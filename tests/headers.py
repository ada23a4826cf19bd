"""What every answer must carry, whoever gives it: what is amiss with one, in words."""

from collections.abc import Mapping
from http.cookies import SimpleCookie

from django.http import HttpResponseBase

EXACTLY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
}
HSTS = "max-age=31536000; includeSubDomains; preload"
COOKIES = {False: {"session", "csrf", "device"}, True: {"__Host-session", "__Host-csrf", "__Host-device"}}


def amiss(answer: HttpResponseBase, *, https: bool = False, public: bool = False) -> list[str]:
    """`https`: as with an https PUBLIC_URL; `public`: anybody may keep it (static files, the brand's colour)."""
    return told_amiss(answer.headers, https=https, public=public) + cookies_amiss(answer.cookies, https=https)


def told_amiss(given: Mapping[str, str], *, https: bool, public: bool = False) -> list[str]:
    told = {name.lower(): value for name, value in given.items()}
    wrong = [f"{name}: {told.get(name)}" for name, value in EXACTLY.items() if told.get(name) != value]
    if told.get("referrer-policy") not in {"same-origin", "no-referrer"}:  # the latter where the address has a code
        wrong.append(f"referrer-policy: {told.get('referrer-policy')}")
    policy = [part.strip() for part in told.get("content-security-policy", "").split(";")]
    if not {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy) or "unsafe" in " ".join(policy):
        wrong.append(f"content-security-policy: {policy}")
    kept = told.get("cache-control", "")
    if ("no-store" in kept) == public or (not public and "public" in kept):
        wrong.append(f"cache-control: {kept}")
    if told.get("strict-transport-security") != (HSTS if https else None):
        wrong.append(f"strict-transport-security: {told.get('strict-transport-security')}")
    return wrong + [f"{name} tells too much" for name in ("server", "x-powered-by") if name in told]


def cookies_amiss(cookies: SimpleCookie, *, https: bool) -> list[str]:
    wrong = []
    for name, cookie in cookies.items():
        flags = (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"], cookie["domain"])
        if cookie["max-age"] == 0:  # being deleted: flags are as Django's own `delete_cookie` has them
            flags = (True, *flags[1:])
        if name not in COOKIES[https] or flags != (True, True if https else "", "Lax", "/", ""):
            wrong.append(f"cookie {name}: {flags}")
    return wrong
