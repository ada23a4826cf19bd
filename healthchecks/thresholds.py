"""The form of what an integration is to keep. What may stand in it the API's own rules say (`Judge`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from healthchecks.alerts.targets import DEFAULTS
from integrations.models import Integration

Judge = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
"""Of what was typed: what may be written down, and by field what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    label: str
    unit: str
    hint: str
    value: str
    kind: str = "number"
    errors: tuple[str, ...] = ()


_AT_MOST = gettext_noop("At most. Left empty: {default} %.")
_NUMBERS = (
    ("responseTimeMs", gettext_noop("Average response"), "ms", gettext_noop("Without one, slowness raises no alert.")),
    ("errorRate", gettext_noop("Error rate"), "%", _AT_MOST),
    ("uptime", gettext_noop("Uptime"), "%", gettext_noop("At least, over 7 days. Left empty: {default} %.")),
    ("webhookFailureRate", gettext_noop("Webhooks that fail"), "%", _AT_MOST),
)
_DEFAULTS = {
    "errorRate": DEFAULTS.error_rate, "uptime": DEFAULTS.uptime, "webhookFailureRate": DEFAULTS.webhook_failure_rate
}  # fmt: skip
_HOURS = (
    (
        "from",
        gettext_noop("Quiet from"),
        gettext_noop("Warnings wait until these hours are over. Left empty: none."),
    ),
    ("to", gettext_noop("Quiet until"), gettext_noop("Times are those of {zone}; 16 hours at most.")),
)


def asked(given: Mapping[str, str]) -> dict[str, Any]:
    """As the API takes it: an empty field takes the default back."""
    typed = {name: given.get(name, "").strip() for name, *_rest in _NUMBERS}
    hours = {name: given.get(name, "").strip()[:5] for name, *_rest in _HOURS}
    return {
        **{name: text or None for name, text in typed.items()},
        "quietHours": hours if any(hours.values()) else None,
    }


def form(
    integration: Integration, given: Mapping[str, str] | None, wrong: Mapping[str, Any]
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """The targets and the quiet hours, as they are or as they were just typed, with what is wrong."""
    kept: Any = integration.thresholds if isinstance(integration.thresholds, dict) else {}
    hours, trouble = kept.get("quietHours"), wrong.get("quietHours", {})
    hours = hours if isinstance(hours, dict) else {}
    trouble = trouble if isinstance(trouble, Mapping) else {"from": trouble}
    at_all = {"from": [*trouble.get("from", ()), *trouble.get("non_field_errors", ())]}

    def value(name: str, known: Mapping[str, Any]) -> str:
        shown = known.get(name) if given is None else given.get(name, "")
        return "" if shown is None else str(shown)

    numbers = tuple(
        Field(
            name=name, label=_(label), unit=unit, hint=_(hint).format(default=f"{_DEFAULTS.get(name, 0):g}"),
            value=value(name, kept), errors=_said(wrong.get(name)),
        )
        for name, label, unit, hint in _NUMBERS
    )  # fmt: skip
    clock = tuple(
        Field(
            name=name, label=_(label), unit="", hint=_(hint).format(zone=settings.TIME_ZONE),
            value=value(name, hours), kind="time", errors=_said({**trouble, **at_all}.get(name)),
        )
        for name, label, hint in _HOURS
    )  # fmt: skip
    return numbers, clock


def _said(errors: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in errors or ())
