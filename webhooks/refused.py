"""A refused delivery as people may see it, and what its reason means and asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations import credentials, crypto
from integrations.providers.spec import Delivery, Json
from webhooks.models import Refusal
from webhooks.privacy import mask, without
from webhooks.services import quarantine, receive


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """None where nothing is shown; `note` says why."""

    headers: Any = None
    payload: Any = None
    raw: Any = None
    note: str | None = None


def closed() -> Opened:
    return Opened(note=_("Headers and content are for those who may release it (integrations:manage)."))


def opened(row: Refusal) -> Opened:
    """Headers and content, under the rules for a log's: secrets never, personal fields masked, and no raw bytes where
    they may be personal."""
    try:
        delivery = quarantine.kept(row)
        headers: dict[str, str] | None = receive.redacted(delivery.headers)
    except crypto.CannotDecrypt:
        delivery, headers = Delivery(body=bytes(row.body)), None
    spec = row.webhook.integration.spec
    told = spec.webhook if spec else None
    secrets = credentials.secrets(row.webhook.secret_env_var)
    payload, raw, note = None, None, None
    try:
        said = [] if told is None or row.truncated else list(told.parse(delivery))
    except ValueError:
        said = []
    if said:
        payload = _masked(said[0] if len(said) == 1 else said, told.personal if told else (), secrets)
    elif told and told.personal:
        note = _("It could not be read as an event, and may hold personal data: its raw bytes are not shown.")
    else:
        raw = without(delivery.body.decode("utf-8", "replace"), secrets)
    if headers is None:
        undecrypted = _("Its headers can't be decrypted any more.")
        note = f"{undecrypted} {note or ''}".strip()
    return Opened(headers=_masked(headers, (), secrets), payload=payload, raw=raw, note=note)


def _masked(value: Json, personal: tuple[str, ...], secrets: Sequence[str]) -> Json:
    return without(mask(receive.storable(value), personal), secrets)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means, and what to do."""

    means: str
    do: str


_UNSIGNED = Meaning(
    gettext_noop("It was not signed at all: a stranger, a “test” button, or signing is switched off at the provider."),
    gettext_noop("If these are real events, switch signing on at the provider."),
)
_UNREADABLE = Meaning(
    gettext_noop("It was signed in a way that this receiver doesn't read."),
    gettext_noop("The detail says what was expected; compare it."),
)
_OLD = Meaning(
    gettext_noop("Too old, from the future, or repeated by a stranger."),
    gettext_noop("Check this machine's clock first, then the provider's."),
)
_OTHERS = Meaning(
    gettext_noop("Genuine, but of another organisation or another webhook."),
    gettext_noop("Check the organisation's id that is configured here."),
)
_KEY = Meaning(
    gettext_noop("Signed with a key that the provider hasn't published."),
    gettext_noop("Check that the data centre is the right one."),
)
_OTHER = Meaning(
    gettext_noop("Nobody wrote down what this reason means."), gettext_noop("The detail says what was found.")
)

MEANINGS = {
    "no_secret": Meaning(
        gettext_noop("No secret is set here, so nothing can be verified."),
        gettext_noop("Set the variable and restart web."),
    ),
    "mismatch": Meaning(
        gettext_noop("It was signed with another secret, or its body was changed on the way."),
        gettext_noop(
            "Compare the secret with the provider's console. Was it rotated there? Put the new one first: NEW,OLD."
        ),
    ),
    "body_altered": Meaning(
        gettext_noop("The secret is right, but the body was changed on the way."),
        gettext_noop("Find the proxy that rewrites bodies."),
    ),
    "missing_header": _UNSIGNED,
    "missing_token": _UNSIGNED,
    "missing_field": _UNSIGNED,
    "malformed_header": _UNREADABLE,
    "malformed_body": _UNREADABLE,
    "malformed_token": _UNREADABLE,
    "malformed_hash": _UNREADABLE,
    "wrong_encoding": _UNREADABLE,
    "malformed_secret": Meaning(
        gettext_noop("The secret that is set here is not in the provider's format."), gettext_noop("Copy it again.")
    ),
    "malformed_options": Meaning(
        gettext_noop("hash_fields in this receiver's metadata is wrong."), gettext_noop("Mend it in the Django admin.")
    ),
    "stale": _OLD,
    "timestamp_mismatch": _OLD,
    "simple_only": Meaning(
        gettext_noop("Didit sent its weak signature alone, which doesn't cover the decision."),
        gettext_noop("Switch the full signatures on at Didit."),
    ),
    "unknown_key": _KEY,
    "wrong_algorithm": _KEY,
    "wrong_issuer": _OTHERS,
    "wrong_audience": _OTHERS,
}


def meaning(reason: str) -> Meaning:
    found = MEANINGS.get(reason, _OTHER)
    return Meaning(_(found.means), _(found.do))
