"""The verdict: pure rules over what a check saw (SPEC §6). Every status names the rule that decided it.

Its words are kept and read at any time later: they name moments, and never how long ago or how soon that is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from integrations.moments import clock

Status = Literal["healthy", "degraded", "down", "unknown"]
WORST_FIRST: tuple[Status, ...] = ("down", "degraded", "healthy", "unknown")

WEBHOOK_FAILURE_PERCENT = 20
WEBHOOK_FAILURE_MINIMUM = 5
TOKEN_DIES_WITHIN = timedelta(hours=24)
QUOTA_LEFT_PERCENT = 20


# --- What was seen ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSeen:
    """`trouble` is why no valid token could be had, "" when one was. `dead`: only reconnecting helps.

    `absent`: never connected, or our client isn't configured, so nothing was tried. `grant` names the grant, which may
    be shared with others.
    """

    trouble: str = ""
    grant: str = ""
    dead: bool = False
    absent: bool = False
    expires_at: datetime | None = None
    renews_itself: bool = True
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSeen:
    """One probe. `finding` is as in `spec.Reading`, or "unreachable" (no answer) or "skipped" (nothing to try)."""

    finding: Literal["ok", "refused", "throttled", "failed", "unreachable", "skipped"]
    words: str = ""
    status_code: int | None = None
    elapsed_ms: int | None = None
    slow_ms: int = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksSeen:
    """The last 24 hours' deliveries; with `silence_hours` their rhythm stands for the API (NetCash)."""

    received: int = 0
    failed: int = 0
    last_processed_at: datetime | None = None
    silence_hours: int = 0
    secret_missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSeen:
    remaining: int
    limit: int
    reset_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one check of one integration saw; None: this integration has no such thing."""

    grant: GrantSeen | None = None
    api: ApiSeen | None = None
    webhooks: WebhooksSeen | None = None
    quota: QuotaSeen | None = None


# --- What it means ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's own verdict: what was seen, and the rule that makes it so."""

    layer: Literal["grant", "api", "webhooks", "quota"]
    status: Status
    rule: str
    seen: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    status: Status
    rule: str
    reason: str
    layers: tuple[Layer, ...]


def judge(seen: Seen, *, now: datetime) -> Verdict:
    """The first that holds: down, degraded, healthy (some check passed), unknown (nothing could be checked)."""
    layers = [
        layer
        for layer in (
            _grant(seen.grant, now) if seen.grant else None,
            _api(seen.api) if seen.api else None,
            _webhooks(seen.webhooks, now) if seen.webhooks else None,
            _quota(seen.quota) if seen.quota else None,
        )
        if layer
    ]
    if not layers:
        return Verdict("unknown", "nothing_to_check", "This integration has nothing that could be checked.", ())
    worst = min(layers, key=lambda layer: WORST_FIRST.index(layer.status))
    return Verdict(worst.status, worst.rule, _reason(worst, layers), tuple(layers))


def _reason(worst: Layer, layers: Sequence[Layer]) -> str:
    """The deciding layer in words; when all is well or nothing is known, every layer that says the same."""
    if worst.status in ("down", "degraded"):
        return worst.seen
    return " ".join(layer.seen for layer in layers if layer.status == worst.status)


def _grant(seen: GrantSeen, now: datetime) -> Layer:
    if seen.absent:
        return Layer("grant", "unknown", "nothing_to_check", _sentence(seen.trouble))
    if seen.dead:
        return Layer("grant", "down", "grant_dead", _sentence(seen.trouble))
    expired = seen.expires_at is not None and seen.expires_at <= now
    if seen.trouble and (expired or seen.expires_at is None):
        return Layer(
            "grant", "down", "token_expired", f"The token has expired and could not be renewed: {seen.trouble}"
        )
    if seen.trouble or seen.last_error:
        trouble = seen.trouble or seen.last_error
        return Layer(
            "grant", "degraded", "refresh_failed", f"The token still lives, but its last renewal failed: {trouble}"
        )
    if seen.expires_at and not seen.renews_itself and seen.expires_at - now < TOKEN_DIES_WITHIN:
        return Layer(
            "grant",
            "degraded",
            "token_dying",
            f"The token ends at {clock(seen.expires_at, now=now)} and nothing renews it.",
        )
    life = f" until {clock(seen.expires_at, now=now)}" if seen.expires_at else ""
    return Layer("grant", "healthy", "checks_passed", f"The token is valid{life}.")


def _api(seen: ApiSeen) -> Layer:
    code = f" (HTTP {seen.status_code})" if seen.status_code and not seen.words.startswith("HTTP") else ""
    if seen.finding == "skipped":
        return Layer("api", "unknown", "nothing_to_check", _sentence(f"The API was not probed: {seen.words}"))
    if seen.finding == "unreachable":
        return Layer("api", "down", "api_unreachable", _sentence(f"The API can't be reached: {seen.words}"))
    if seen.finding == "refused":
        return Layer(
            "api", "down", "credentials_refused", _sentence(f"The API refuses our credentials{code}: {seen.words}")
        )
    if seen.finding == "failed":
        return Layer("api", "down", "api_failing", _sentence(f"The API fails{code}: {seen.words}"))
    if seen.finding == "throttled":
        return Layer("api", "degraded", "throttled", _sentence(f"The API tells us to slow down{code}: {seen.words}"))
    elapsed = seen.elapsed_ms or 0
    if elapsed > seen.slow_ms:
        return Layer(
            "api",
            "degraded",
            "api_slow",
            f"The API took {elapsed / 1000:.1f} s; over {seen.slow_ms / 1000:g} s is slow.",
        )
    words = f" {_sentence(seen.words)}" if seen.words else ""
    return Layer("api", "healthy", "checks_passed", f"The API answered in {elapsed} ms.{words}")


def _webhooks(seen: WebhooksSeen, now: datetime) -> Layer | None:
    percent = 100 * seen.failed / seen.received if seen.received else 0
    if seen.received >= WEBHOOK_FAILURE_MINIMUM and percent > WEBHOOK_FAILURE_PERCENT:
        text = f"{seen.failed} of {seen.received} webhooks failed in the last 24 h ({percent:.0f} %)"
        text += f"; over {WEBHOOK_FAILURE_PERCENT} % is too many."
        layer = Layer("webhooks", "degraded", "webhook_failures", text)
    elif seen.secret_missing:
        text = f"Webhooks are turned away: {seen.secret_missing} is not set."
        layer = Layer("webhooks", "unknown", "nothing_to_check", text)
    elif seen.received:
        count = f"{seen.received} webhook{'s' if seen.received > 1 else ''} in the last 24 h"
        layer = Layer("webhooks", "healthy", "checks_passed", f"{count}, {seen.failed or 'none'} failed.")
    else:
        layer = Layer("webhooks", "unknown", "nothing_to_check", "No webhook came in the last 24 h.")
    return _rhythm(seen, now) or layer if layer.status != "degraded" else layer


def _rhythm(seen: WebhooksSeen, now: datetime) -> Layer | None:
    """Where no API is worth polling, silence is the symptom."""
    if not seen.silence_hours:
        return None
    last = seen.last_processed_at
    if last is None:
        return Layer("webhooks", "unknown", "nothing_to_check", "No payment notice has ever come.")
    if now - last > timedelta(hours=seen.silence_hours):
        text = f"No payment notice since {clock(last, now=now)}; more than {seen.silence_hours} h is too long."
        return Layer("webhooks", "down", "silence", text)
    return Layer("webhooks", "healthy", "checks_passed", f"The last payment notice came at {clock(last, now=now)}.")


def _quota(seen: QuotaSeen) -> Layer:
    left = 100 * seen.remaining / seen.limit if seen.limit else 100
    text = f"{seen.remaining} of {seen.limit} requests are left ({left:.0f} %)."
    if left < QUOTA_LEFT_PERCENT:
        return Layer("quota", "degraded", "quota_low", f"{text} Under {QUOTA_LEFT_PERCENT} % is low.")
    return Layer("quota", "healthy", "checks_passed", text)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def span(delta: timedelta) -> str:
    """A length of time as people say it: "52 min", "3 h", "2 days"."""
    minutes = max(0, round(delta.total_seconds() / 60))
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{round(minutes / 60)} h"
    return f"{round(minutes / 1440)} days"
