"""What entries of the activity log say, in words: a sentence for each action, and its details as people read them."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations.models import Activity

# `{it}` is the integration's name, anything else a key of the details; what isn't there is left out.
DONE: dict[str, str] = {
    "activity_removed": gettext_noop("removed {rows} old entries of this log, #{from} to #{to}"),
    "admin_added": gettext_noop("added “{object}” in the Django admin"),
    "admin_changed": gettext_noop("changed “{object}” in the Django admin"),
    "admin_deleted": gettext_noop("deleted “{object}” in the Django admin"),
    "alert_test": gettext_noop("sent a test alert"),
    "api_called": gettext_noop("called {operation} of {it}"),
    "api_token_created": gettext_noop("made an API token for {for}"),
    "api_token_revoked": gettext_noop("revoked an API token of {for}"),
    "api_tokens_revoked": gettext_noop("revoked all API tokens of {for}: {tokens}"),
    "crm_channel_opened": gettext_noop("opened a notification channel of {it}"),
    "crm_channel_renewed": gettext_noop("renewed a notification channel of {it}"),
    "cron_added": gettext_noop("added the job {job}"),
    "cron_cancelled": gettext_noop("ended a run of the job {job}"),
    "cron_changed": gettext_noop("changed the job {job}"),
    "cron_removed": gettext_noop("removed the job {job}"),
    "cron_triggered": gettext_noop("started the job {job}"),
    "forward_resumed": gettext_noop("let {it} be forwarded again"),
    "forward_retried": gettext_noop("had an event of {it} forwarded again"),
    "forward_stopped": gettext_noop("stopped forwarding {it}: {reason}"),
    "grant_given": gettext_noop("gave {for} {permission} on {it}"),
    "grant_taken": gettext_noop("took {permission} on {it} from {for}"),
    "health_check": gettext_noop("checked {it}: {status}"),
    "health_check_all": gettext_noop("had {integrations} integrations checked"),
    "incident_noted": gettext_noop("wrote a note to an incident of {it}"),
    "integration_changed": gettext_noop("changed the settings of {it}"),
    "login": gettext_noop("signed in"),
    "login_besieged": gettext_noop("is one of many who guess the password of {username}"),
    "logout": gettext_noop("signed out"),
    "maintenance_declared": gettext_noop("planned work on {it}"),
    "maintenance_ended": gettext_noop("ended planned work on {it}"),
    "oauth_all_refreshed": gettext_noop("renewed all tokens that expire soon"),
    "oauth_changed": gettext_noop("changed how the token of {it} is renewed"),
    "oauth_connect_started": gettext_noop("set out to connect {it}"),
    "oauth_connected": gettext_noop("connected {it}"),
    "oauth_imported": gettext_noop("took over the token of {it} from an older system"),
    "oauth_refreshed": gettext_noop("renewed the token of {it}"),
    "oauth_revoke_asked": gettext_noop("revoked the token of {it}"),
    "oauth_revoked": gettext_noop("wiped the revoked token of {it}"),
    "password_changed": gettext_noop("changed their password"),
    "session_ended": gettext_noop("was signed out"),
    "recovery_codes_made": gettext_noop("made new recovery codes for {for}"),
    "roles_followed": gettext_noop("had the roles of {for} follow the company's groups"),
    "company_connected": gettext_noop("handed the account of {for} over to the company's sign-in"),
    "password_reset": gettext_noop("gave {for} a new password"),
    "second_factor": gettext_noop("gave a wrong code as second step"),
    "second_factor_added": gettext_noop("added a second factor to the account of {for}: {factor}"),
    "second_factor_removed": gettext_noop("removed a second factor of {for}: {factor}"),
    "second_factor_reset": gettext_noop("took all second factors off the account of {for}"),
    "permission_denied": gettext_noop("was refused {method} {path} {permission} {what}"),
    "person_added": gettext_noop("added {for}"),
    "person_disabled": gettext_noop("disabled {for}"),
    "person_enabled": gettext_noop("enabled {for}"),
    "retry_queue_run": gettext_noop("ran the retry queue of Zoho"),
    "roles_changed": gettext_noop("changed the roles of {for}"),
    "token_key_forgotten": gettext_noop("took the encryption key {key} out of use"),
    "token_keys_rotated": gettext_noop("encrypted {resealed} secrets anew with the key {key}"),
    "webhook_backfill_asked": gettext_noop("asked {it} for events that never came"),
    "webhook_backfilled": gettext_noop("took over {events} events of {it} that never came"),
    "webhook_changed": gettext_noop("changed the webhook of {it}"),
    "webhook_personal_dropped": gettext_noop("dropped what is personal from {events} events of {it}"),
    "webhook_personal_shown": gettext_noop("looked at the personal fields of an event of {it}"),
    "webhook_registrations_checked": gettext_noop("compared what {it} has registered"),
    "webhook_replayed": gettext_noop("replayed an event of {it}"),
    "webhook_reverified": gettext_noop("judged refused events of {it} again: {released} released"),
    "webhook_tested": gettext_noop("sent a test event to {it}"),
    "webhook_verification_failed": gettext_noop("had a delivery to {it} refused: {reason}"),
    "webhooks_replay_cancelled": gettext_noop("cancelled a replay of many events"),
    "webhooks_replayed": gettext_noop("had {events} events replayed"),
    "work_stopped": gettext_noop("could not go on with {what} on {it}"),
}
FAILED = {
    "api_called": gettext_noop("could not call {operation} of {it}"),
    "login": gettext_noop("could not sign in"),
    "oauth_all_refreshed": gettext_noop("could not renew the tokens that expire soon"),
    "oauth_connected": gettext_noop("could not connect {it}"),
    "oauth_refreshed": gettext_noop("could not renew the token of {it}"),
    "webhook_backfill_asked": gettext_noop("could not ask {it} for events that never came"),
    "webhook_registrations_checked": gettext_noop("could not compare what {it} has registered"),
}
_SWITCHED = {True: gettext_noop("switched {it} on"), False: gettext_noop("switched {it} off")}
_RENEWAL = {
    True: gettext_noop("let the token of {it} renew itself"),
    False: gettext_noop("stopped the token of {it} from renewing itself"),
}
LABELS: dict[str, str] = {
    "activity_removed": gettext_noop("Activity removed"),
    "admin_added": gettext_noop("Admin added"),
    "admin_changed": gettext_noop("Admin changed"),
    "admin_deleted": gettext_noop("Admin deleted"),
    "alert_test": gettext_noop("Alert test"),
    "api_called": gettext_noop("API called"),
    "api_token_created": gettext_noop("API token created"),
    "api_token_revoked": gettext_noop("API token revoked"),
    "api_tokens_revoked": gettext_noop("API tokens revoked"),
    "crm_channel_opened": gettext_noop("CRM channel opened"),
    "crm_channel_renewed": gettext_noop("CRM channel renewed"),
    "cron_added": gettext_noop("Cron added"),
    "cron_cancelled": gettext_noop("Cron cancelled"),
    "cron_changed": gettext_noop("Cron changed"),
    "cron_removed": gettext_noop("Cron removed"),
    "cron_triggered": gettext_noop("Cron triggered"),
    "forward_resumed": gettext_noop("Forward resumed"),
    "forward_retried": gettext_noop("Forward retried"),
    "forward_stopped": gettext_noop("Forward stopped"),
    "grant_given": gettext_noop("Grant given"),
    "grant_taken": gettext_noop("Grant taken"),
    "health_check": gettext_noop("Health check"),
    "health_check_all": gettext_noop("Health check all"),
    "incident_noted": gettext_noop("Incident noted"),
    "integration_changed": gettext_noop("Integration changed"),
    "login": gettext_noop("Login"),
    "login_besieged": gettext_noop("Login besieged"),
    "logout": gettext_noop("Logout"),
    "maintenance_declared": gettext_noop("Maintenance declared"),
    "maintenance_ended": gettext_noop("Maintenance ended"),
    "oauth_all_refreshed": gettext_noop("OAuth all refreshed"),
    "oauth_changed": gettext_noop("OAuth changed"),
    "oauth_connect_started": gettext_noop("OAuth connect started"),
    "oauth_connected": gettext_noop("OAuth connected"),
    "oauth_imported": gettext_noop("OAuth imported"),
    "oauth_refreshed": gettext_noop("OAuth refreshed"),
    "oauth_revoke_asked": gettext_noop("OAuth revoke asked"),
    "oauth_revoked": gettext_noop("OAuth revoked"),
    "password_changed": gettext_noop("Password changed"),
    "session_ended": gettext_noop("Session ended"),
    "permission_denied": gettext_noop("Permission denied"),
    "recovery_codes_made": gettext_noop("Recovery codes made"),
    "roles_followed": gettext_noop("Roles followed"),
    "company_connected": gettext_noop("Account handed over to the company"),
    "password_reset": gettext_noop("Password reset"),
    "second_factor": gettext_noop("Second factor"),
    "second_factor_added": gettext_noop("Second factor added"),
    "second_factor_removed": gettext_noop("Second factor removed"),
    "second_factor_reset": gettext_noop("Second factor reset"),
    "person_added": gettext_noop("Person added"),
    "person_disabled": gettext_noop("Person disabled"),
    "person_enabled": gettext_noop("Person enabled"),
    "retry_queue_run": gettext_noop("Retry queue run"),
    "roles_changed": gettext_noop("Roles changed"),
    "token_key_forgotten": gettext_noop("Token key forgotten"),
    "token_keys_rotated": gettext_noop("Token keys rotated"),
    "webhook_backfill_asked": gettext_noop("Webhook backfill asked"),
    "webhook_backfilled": gettext_noop("Webhook backfilled"),
    "webhook_changed": gettext_noop("Webhook changed"),
    "webhook_personal_dropped": gettext_noop("Webhook personal fields dropped"),
    "webhook_personal_shown": gettext_noop("Webhook personal fields shown"),
    "webhook_registrations_checked": gettext_noop("Webhook registrations checked"),
    "webhook_replayed": gettext_noop("Webhook replayed"),
    "webhook_reverified": gettext_noop("Webhook reverified"),
    "webhook_tested": gettext_noop("Webhook tested"),
    "webhook_verification_failed": gettext_noop("Webhook verification failed"),
    "webhooks_replay_cancelled": gettext_noop("Webhooks replay cancelled"),
    "webhooks_replayed": gettext_noop("Webhooks replayed"),
    "work_stopped": gettext_noop("Work stopped"),
}
"""The actions' names in a list to choose from."""
_NAMES = {
    "is_active": gettext_noop("switched on"),
    "health_check_interval_minutes": gettext_noop("minutes between checks"),
}
_EMPTY = "–"


def sentence(row: Activity, name: str) -> str:
    """What the actor did, such as "switched Didit KYC off"; "" for an action that this version has no words for."""
    pattern = FAILED.get(row.action, "") if row.outcome == "failure" else ""
    pattern = pattern or _switch(row) or DONE.get(row.action, "")
    told = {key: told for key, value in row.details.items() if (told := text(value)) != _EMPTY}
    words = _(pattern).format_map(_Told(told, it=name or _("everything"))) if pattern else ""
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
    return _(LABELS[action]) if action in LABELS else action.replace("_", " ").capitalize()


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
            return _("yes") if value else _("no")
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
    return _(_NAMES[key]) if key in _NAMES else key.replace("_", " ")
