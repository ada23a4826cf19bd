"""Who owns the time that deliveries take, in words and as the parts of a bar (`services/latency.py` measures it)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.templatetags.integrations import ms
from webhooks.models import Webhook
from webhooks.services import latency
from webhooks.services.latency import Part, Split

SPAN = timedelta(hours=24)
THINNEST = 0.01
"""Of the bar: what takes next to no time is still to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of the way. Milliseconds, None where nothing is known; `start` and `share` are where it lies in the bar
    and how long, in percent. `note`: what is left out of it, and why."""

    key: str
    what: str
    whose: str
    p50: float | None
    p95: float | None
    counted: int
    start: float
    share: float
    words: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`counted` 0: nothing came. `capped`: more did, and the newest were looked at. Not each has a time for each part:
    the `stretches` say of how many they are."""

    counted: int
    capped: bool
    headline: str
    words: str
    stretches: tuple[Stretch, ...]

    @property
    def drawn(self) -> tuple[Stretch, ...]:
        return tuple(one for one in self.stretches if one.share)

    @property
    def of_fewer(self) -> str:
        """Of how many events the parts are, "" where each is of all: "38", or "38 to 41"."""
        known = sorted({one.counted for one in self.stretches if one.counted})
        if known in ([], [self.counted]):
            return ""
        fewest, most = f"{known[0]:,}", f"{known[-1]:,}"
        return fewest if fewest == most else _("{fewest} to {most}").format(fewest=fewest, most=most)


def tell(webhook: Webhook, *, now: datetime) -> Told:
    return of(latency.split(webhook.pk, since=now - SPAN), webhook.integration.name)


def of(found: Split, name: str) -> Told:
    """`name`: what to call the provider."""
    parts = {"provider": found.provider, "commit": found.commit, "pickup": found.pickup, "work": found.work}
    widths, start, stretches = _widths(parts), 0.0, []
    for key, part in parts.items():
        stretches.append(_stretch(key, part, name, start, widths[key]))
        start += widths[key]
    return Told(
        counted=found.counted,
        capped=found.capped,
        headline=_headline(parts, name),
        words=" ".join(one.words for one in stretches if one.words),
        stretches=tuple(stretches),
    )


def _widths(parts: dict[str, Part]) -> dict[str, float]:
    total = sum(part.p50 or 0 for part in parts.values())
    seen = {key: max(part.p50, total * THINNEST) if part.p50 else 0.0 for key, part in parts.items()}
    whole = sum(seen.values())
    return {key: round(100 * width / whole, 2) if whole else 0.0 for key, width in seen.items()}


def _headline(parts: dict[str, Part], name: str) -> str:
    theirs, ours = parts["provider"].p50, sum(part.p50 or 0 for key, part in parts.items() if key != "provider")
    if theirs is None:
        return _("When {name} sends is not known: it doesn't sign the time. What is told is our own.").format(
            name=name
        )
    if not theirs + ours:
        return ""
    share = round(100 * theirs / (theirs + ours))
    words = _("{theirs} of the time is {name}'s and the network's, {ours} is ours.")
    return words.format(theirs=f"{share} %", ours=f"{100 - share} %", name=name)


def _stretch(key: str, part: Part, name: str, start: float, share: float) -> Stretch:
    match key:
        case "provider":
            what, whose, words = _("Sent → received"), name, _("{name} took {span} to send it.")
        case "commit":
            what, whose, words = _("Received → stored"), _("ours: web, database"), _("We took {span} to store it.")
        case "pickup":
            what, whose, words = _("Stored → picked up"), _("ours: queue"), _("A worker took it up {span} later.")
        case _other:
            what, whose, words = _("Picked up → done"), _("ours: handler"), _("It took {span} to handle it.")
    return Stretch(
        key=key,
        what=what,
        whose=whose,
        p50=part.p50,
        p95=part.p95,
        counted=part.counted,
        start=start,
        share=share,
        words=words.format(name=name, span=ms(part.p50)) if part.counted else "",
        note=_left_out(part),
    )


def _left_out(part: Part) -> str:
    if not part.backwards:
        return ""
    words = ngettext(
        "{n} event is left out: it ended before it began, by {span}. Two clocks disagree.",
        "{n} events are left out: they ended before they began, by {span} at most. Two clocks disagree.",
        part.backwards,
    )
    return words.format(n=f"{part.backwards:,}", span=ms(part.backwards_max))
