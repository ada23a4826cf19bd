"""What entries of the activity log say, in words: a sentence for each action, and its details as people read them."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format

from integrations.models import Activity

# `{it}` is the integration's name, anything else a key of the details; what isn't there is left out.
DONE: dict[str, str] = {
    "activity_removed": "removed {rows} old entries of this log, #{from} to #{to}",
    "admin_added": "added “{object}” in the Django admin",
    "admin_changed": "changed “{object}” in the Django admin",
    "admin_deleted": "deleted “{object}” in the Django admin",
    "alert_test": "sent a test alert",
    "api_called": "called {operation} of {it}",
    "api_token_created": "made an API token for {for}",
    "crm_channel_opened": "opened a notification channel of {it}",
    "crm_channel_renewed": "renewed a notification channel of {it}",
    "cron_added": "added the job {job}",
    "cron_cancelled": "ended a run of the job {job}",
    "cron_changed": "changed the job {job}",
    "cron_removed": "removed the job {job}",
    "cron_triggered": "started the job {job}",
    "forward_resumed": "let {it} be forwarded again",
    "forward_retried": "had an event of {it} forwarded again",
    "forward_stopped": "stopped forwarding {it}: {reason}",
    "health_check": "checked {it}: {status}",
    "health_check_all": "had {integrations} integrations checked",
    "incident_noted": "wrote a note to an incident of {it}",
    "integration_changed": "changed the settings of {it}",
    "login": "signed in",
    "logout": "signed out",
    "maintenance_declared": "planned work on {it}",
    "maintenance_ended": "ended planned work on {it}",
    "oauth_all_refreshed": "renewed all tokens that expire soon",
    "oauth_changed": "changed how the token of {it} is renewed",
    "oauth_connect_started": "set out to connect {it}",
    "oauth_connected": "connected {it}",
    "oauth_imported": "took over the token of {it} from an older system",
    "oauth_refreshed": "renewed the token of {it}",
    "oauth_revoke_asked": "revoked the token of {it}",
    "oauth_revoked": "wiped the revoked token of {it}",
    "password_changed": "changed their password",
    "permission_denied": "was refused {method} {path} {permission}",
    "retry_queue_run": "ran the retry queue of Zoho",
    "token_key_forgotten": "took the encryption key {key} out of use",
    "token_keys_rotated": "encrypted {resealed} secrets anew with the key {key}",
    "webhook_backfill_asked": "asked {it} for events that never came",
    "webhook_backfilled": "took over {events} events of {it} that never came",
    "webhook_changed": "changed the webhook of {it}",
    "webhook_registrations_checked": "compared what {it} has registered",
    "webhook_replayed": "replayed an event of {it}",
    "webhook_reverified": "judged refused events of {it} again: {released} released",
    "webhook_tested": "sent a test event to {it}",
    "webhook_verification_failed": "had a delivery to {it} refused: {reason}",
    "webhooks_replay_cancelled": "cancelled a replay of many events",
    "webhooks_replayed": "had {events} events replayed",
}
FAILED = {
    "api_called": "could not call {operation} of {it}",
    "login": "could not sign in",
    "oauth_all_refreshed": "could not renew the tokens that expire soon",
    "oauth_connected": "could not connect {it}",
    "oauth_refreshed": "could not renew the token of {it}",
    "webhook_backfill_asked": "could not ask {it} for events that never came",
    "webhook_registrations_checked": "could not compare what {it} has registered",
}
_SWITCHED = {True: "switched {it} on", False: "switched {it} off"}
_RENEWAL = {True: "let the token of {it} renew itself", False: "stopped the token of {it} from renewing itself"}
_NAMES = {"is_active": "switched on", "health_check_interval_minutes": "minutes between checks"}
_EMPTY = "–"


def sentence(row: Activity, name: str) -> str:
    """What the actor did, such as "switched Didit KYC off"; "" for an action that this version has no words for."""
    pattern = FAILED.get(row.action, "") if row.outcome == "failure" else ""
    pattern = pattern or _switch(row) or DONE.get(row.action, "")
    told = {key: told for key, value in row.details.items() if (told := text(value)) != _EMPTY}
    words = pattern.format_map(_Told(told, it=name or "everything"))
    return " ".join(words.split()).rstrip(":")


def _switch(row: Activity) -> str:
    after = row.details.get("after")
    if not isinstance(after, dict):
        return ""
    if row.action == "integration_changed" and len(after) == 1:
        return _SWITCHED.get(after.get("is_active", ""), "")
    return _RENEWAL.get(after.get("auto_refresh", ""), "") if row.action == "oauth_changed" else ""


class _Told(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def label(action: str) -> str:
    """An action's name in a list to choose from: "oauth_refreshed" → "OAuth refreshed"."""
    words = action.replace("_", " ").capitalize()
    return words.replace("Oauth", "OAuth").replace("Api", "API").replace("Crm", "CRM")


# --- Details ---------------------------------------------------------------------------------------------------------


def changes(details: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """What was changed from what to what; of objects each key for itself."""
    before, after = (_flat(details.get(name)) for name in ("before", "after"))
    keys = [*before, *(key for key in after if key not in before)]
    return tuple((key, text(before.get(key)), text(after.get(key))) for key in keys)


def facts(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Everything else."""
    return tuple((_name(key), text(value)) for key, value in details.items() if key not in ("before", "after"))


def text(value: Any) -> str:
    """A value of the details: times in the reader's zone, lists with commas."""
    match value:
        case None | "" | [] | {}:
            return _EMPTY
        case bool():
            return "yes" if value else "no"
        case list() if not any(isinstance(one, dict | list) for one in value):
            return ", ".join(text(one) for one in value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case str():
            return _moment(value)
    return str(value)


def _moment(value: str) -> str:
    try:
        moment = parse_datetime(value) if value[4:5] == "-" else None
        return date_format(timezone.localtime(moment), "j M Y, H:i:s T") if moment and moment.tzinfo else value
    except (ValueError, OverflowError):  # in the shape of a time, but none, or none here: people type what they like
        return value


def _flat(value: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, one in value.items() if isinstance(value, dict) else ():
        inner = one if isinstance(one, dict) else {"": one}
        flat |= {f"{_name(key)}: {sub}" if sub else _name(key): kept for sub, kept in inner.items()}
    return flat


def _name(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))
