"""How Zoho's APIs say no: with a status, with a ``code`` inside a 200, or with both."""

from collections.abc import Callable, Mapping

from integrations.providers.answers import OK, by_status, code_at, json_of, not_json, said
from integrations.providers.payloads import at, text
from integrations.providers.spec import Answer, Json, Reading
from integrations.providers.zoho.oauth import throttled

# CRM's and Desk's names [C]; 57 and 14 are the Billing family's "not authorized" and "invalid token" [C].
REFUSED = {
    "INVALID_TOKEN", "AUTHENTICATION_FAILURE", "OAUTH_SCOPE_MISMATCH", "NO_PERMISSION", "INVALID_OAUTH", "57", "14",
}  # fmt: skip
# Concurrency and credits of CRM and Desk; Billing: per minute 44, per day 45, concurrent 1070 [B]. With each how long
# to wait, where the answer doesn't say: what is over for the day is asked again once an hour.
THROTTLED: Mapping[str, float | None] = {
    "TOO_MANY_REQUESTS": None, "THRESHOLD_EXCEEDED": 3600.0, "44": 60.0, "45": 3600.0, "1070": 2.0,
}  # fmt: skip


def reader(*, code: str, success: frozenset[str] = frozenset(), items: str = "data") -> Callable[[Answer], Reading]:
    """A product's `read`. `code` names the field with its code; `success` are the codes that mean success; in `items`
    writes report each record for itself, "" if nobody is to look there."""

    def read(answer: Answer) -> Reading:
        body = json_of(answer)
        told = code_at(body, code)
        words = said(body, code, "message") or said(body, "error", "error_description")
        if throttled(answer.status, body) or told in THROTTLED:
            said_so = f"HTTP {answer.status}: {words or 'too many requests'}"
            return Reading("throttled", said_so, told, wait=THROTTLED.get(told))
        if told in REFUSED:
            return Reading("refused", f"HTTP {answer.status}: {words}", told)
        if verdict := by_status(answer, words, code=told):
            return verdict
        if body is None:
            return not_json(answer)
        if told not in {"", *success} or text(at(body, "status")) in ("error", "failure"):
            return Reading("failed", f"HTTP {answer.status}, but: {words or 'an error without a code'}", told)
        return _items(at(body, items)) if items else OK

    return read


def _items(items: Json) -> Reading:
    """CRM's writes report each record for itself, inside a 2xx."""
    found = items if isinstance(items, list) else []
    errors = [item for item in found if at(item, "status") == "error" and at(item, "code")]
    if not errors:
        return OK
    told = f"{len(errors)} of {len(found)} records: {said(errors[0], 'code', 'message')}"
    return Reading("failed", told, code_at(errors[0], "code"))
