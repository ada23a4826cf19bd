"""Stable words as people read them: why a delivery was refused, what is wrong with a registration, what changed in a
payload. Pure."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

_NAMES = {
    "no_secret": gettext_noop("no secret"),
    "mismatch": gettext_noop("mismatch"),
    "body_altered": gettext_noop("body altered"),
    "missing_header": gettext_noop("missing header"),
    "missing_token": gettext_noop("missing token"),
    "missing_field": gettext_noop("missing field"),
    "malformed_header": gettext_noop("malformed header"),
    "malformed_body": gettext_noop("malformed body"),
    "malformed_token": gettext_noop("malformed token"),
    "malformed_hash": gettext_noop("malformed hash"),
    "malformed_secret": gettext_noop("malformed secret"),
    "malformed_options": gettext_noop("malformed options"),
    "wrong_encoding": gettext_noop("wrong encoding"),
    "stale": gettext_noop("stale"),
    "timestamp_mismatch": gettext_noop("timestamp mismatch"),
    "simple_only": gettext_noop("simple only"),
    "unknown_key": gettext_noop("unknown key"),
    "wrong_algorithm": gettext_noop("wrong algorithm"),
    "wrong_issuer": gettext_noop("wrong issuer"),
    "wrong_audience": gettext_noop("wrong audience"),
    "missing": gettext_noop("missing"),
    "foreign": gettext_noop("foreign"),
    "disabled": gettext_noop("disabled"),
    "events": gettext_noop("events"),
    "expiring": gettext_noop("expiring"),
    "added": gettext_noop("added"),
    "changed": gettext_noop("changed"),
    "removed": gettext_noop("removed"),
}


def named(word: str) -> str:
    """One that nobody wrote down is read as it stands: "odd_one" → "odd one"."""
    return _(_NAMES[word]) if word in _NAMES else word.replace("_", " ")
