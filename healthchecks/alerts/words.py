"""What an alert says: what, since when, by which rule, what to do, and where to look. Pure but for addresses."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from healthchecks.models import Alarm, Alert

SMS_LENGTH = 160

ADVICE = {
    "api_unreachable": gettext_noop(
        "Look at the provider's status page, then at DNS and firewall of the worker's machine."
    ),
    "credentials_refused": gettext_noop(
        "The key is wrong, revoked or restricted: compare it with the provider's console."
    ),
    "api_failing": gettext_noop("Look at the provider's status page. A 404, or no JSON: is a base URL overridden?"),
    "silence": gettext_noop("Ask the provider whether it sends, and whether our address is still registered there."),
    "throttled": gettext_noop("Find out who else uses this key, and call less."),
    "api_slow": gettext_noop("Wait; then look at the provider's status page."),
    "webhook_failures": gettext_noop("Open its failed events: each says why it failed."),
    "quota_low": gettext_noop("Call less, or buy more."),
}
"""By the rule that decided (docs/health.md)."""


# --- Pieces ----------------------------------------------------------------------------------------------------------


def moment(at: datetime) -> str:
    """ "2026-11-25 10:45 SAST", in the installation's time zone."""
    return f"{timezone.localtime(at, timezone.get_default_timezone()):%Y-%m-%d %H:%M %Z}"


def span(delta: timedelta) -> str:
    """ "12 min", "3 h 5 min", "2 d 4 h"."""
    minutes = max(0, int(delta.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def together(names: Sequence[str], *, most: int = 6) -> str:
    """ "Zoho CRM, Zoho Desk and Zoho Sign"; of many the first few, and how many more."""
    if len(names) > most:
        names = [*names[: most - 1], _("{n} more").format(n=len(names) - most + 1)]
    if len(names) < 2:
        return "".join(names)
    return _("{others} and {last}").format(others=", ".join(names[:-1]), last=names[-1])


def sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) or not text else f"{text}."


# --- Where to look ---------------------------------------------------------------------------------------------------


def place(kind: str, slugs: Sequence[str], key: str = "") -> str:
    """The path of the page that shows what an alarm is about. Events whose forward failed are processed."""
    first = slugs[0] if slugs else ""
    match kind:
        case Alarm.Kind.GRANT if first:
            return reverse("oauth:story", args=[first])
        case Alarm.Kind.WEBHOOKS if first and key.startswith(("forwards:", "stopped:")):
            return f"{reverse('webhooks:feed')}?{urlencode({'integration': first})}"
        case Alarm.Kind.WEBHOOKS if first:
            return f"{reverse('webhooks:feed')}?{urlencode({'integration': first, 'status': 'failed'})}"
        case Alarm.Kind.SILENCE | Alarm.Kind.DRIFT if first:
            return f"{reverse('webhooks:feed')}?{urlencode({'integration': first})}"
        case Alarm.Kind.HEALTH | Alarm.Kind.QUOTA | Alarm.Kind.TARGET if first:
            return reverse("detail", args=[first])
        case Alarm.Kind.JOB if key.startswith("job:"):
            return reverse("cron:named", args=[key.removeprefix("job:")])
        case Alarm.Kind.SLOTS:
            return reverse("cron:index")
    return reverse("alerts:index")


# --- Messages --------------------------------------------------------------------------------------------------------


def subject(alarm: Alarm, kind: str, names: Sequence[str], now: datetime) -> str:
    match kind:
        case Alert.Kind.RECOVERED:
            told = _over(alarm, names)
        case Alert.Kind.LASTS:
            told = f"Still so after {span(now - alarm.opened_at)}: {alarm.title}"
        case _:
            told = alarm.title
    return " ".join(f"[{settings.BRAND_NAME}] {told}".split())[:200]  # a line end would be a header of its own


def text(alarm: Alarm, kind: str, also: Sequence[str], now: datetime) -> str:
    """`also`: the titles of what else is amiss with the same integrations."""
    address = f"{settings.PUBLIC_URL}{place(alarm.kind, alarm.slugs, alarm.key)}"
    if kind == Alert.Kind.RECOVERED:
        lasted = f"It began {moment(alarm.opened_at)} and lasted {span(now - alarm.opened_at)}."
        parts = [f"Over: {sentence(alarm.title)}", lasted]
    else:
        parts = [sentence(alarm.title), alarm.text, f"Noticed: {moment(alarm.opened_at)}."]
    if also:
        parts.append("Also open: " + " ".join(sentence(title) for title in also))
    return "\n\n".join([*parts, f"Look: {address}\nAll alerts: {settings.PUBLIC_URL}{reverse('alerts:index')}"])


def trial(username: str) -> tuple[str, str]:
    """Subject and text of a test alert."""
    where = f"{settings.PUBLIC_URL}{reverse('alerts:index')}"
    told = f"{username} asked for it, to see that alerts arrive by every route. Nothing is wrong and nothing is to do."
    return f"[{settings.BRAND_NAME}] Test alert", f"This is a test alert.\n\n{told}\n\n{where}"


def _over(alarm: Alarm, names: Sequence[str]) -> str:
    about = together(names)
    match alarm.kind:
        case Alarm.Kind.HEALTH if about:
            return f"{about} is healthy again"
        case Alarm.Kind.GRANT if about:
            return f"The token of {about} is in order again"
        case Alarm.Kind.JOB:
            return f"Runs again: {alarm.title}"
    return f"Over: {alarm.title}"


# --- Text messages ---------------------------------------------------------------------------------------------------

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_INSTEAD = str.maketrans(
    {"–": "-", "—": "-", "…": "...", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "→": "->", "×": "x",
     "[": "(", "]": ")", "{": "(", "}": ")", "|": "/", "\\": "/", "~": "-", "^": "'", "`": "'", "€": "EUR",
     "\n": " ", "\r": " ", "\t": " "}
)  # fmt: skip


def gsm(text: str) -> str:
    """`text` in GSM 7-bit's basic alphabet, in which 160 characters are one message."""
    told = []
    for letter in text.translate(_INSTEAD):
        if letter in _GSM:
            told.append(letter)
            continue
        plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if part in _GSM)
        told.append(plain or "?")
    return "".join(told)


def sms(subject: str, text: str) -> str:
    """One text message: the subject, as much of what follows as fits, and where to look if that fits too."""
    where = gsm(f"{settings.PUBLIC_URL}{reverse('alerts:index')}")
    room = SMS_LENGTH - len(where) - 1
    head = gsm(subject)
    if room < min(len(head), 80):
        where, room = "", SMS_LENGTH
    body = gsm(" ".join(text.partition("\n\n")[2].partition("\n\n")[0].split()))
    told = _cut(f"{head}: {body}" if body else head, room)
    return f"{told} {where}".strip()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3].rstrip()}..."
