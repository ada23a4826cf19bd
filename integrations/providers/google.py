"""Google Maps: package googlemaps 4.10 [A], developers.google.com/maps [B] (PROVIDERS §10)."""

from integrations.providers.answers import OK, by_status, code_at, json_of, not_json, said
from integrations.providers.payloads import at, text
from integrations.providers.spec import Answer, ApiKey, Finding, Host, Json, Limit, Probe, Provider, Reading

# The older APIs answer 200 and say in ``status`` how it went. OVER_DAILY_LIMIT is about key, billing or a cap that the
# company set itself: waiting a little doesn't help.
FINDINGS: dict[str, Finding] = {
    "OK": "ok",
    "ZERO_RESULTS": "ok",
    "OVER_QUERY_LIMIT": "throttled",
    "OVER_DAILY_LIMIT": "refused",
    "REQUEST_DENIED": "refused",
}


def read(answer: Answer) -> Reading:
    body = json_of(answer)
    if at(body, "error") is not None:
        return _new_style(answer, body)
    status = text(at(body, "status"))
    words = said(body, "status", "error_message")
    if verdict := by_status(answer, words, code=code_at(body, "status")):
        return verdict
    if body is None:
        return not_json(answer)
    if not status and isinstance(body, dict):
        return OK  # Places (New) has no status when all is well
    finding = FINDINGS.get(status, "failed")
    if finding == "ok":
        return OK
    told = f"HTTP {answer.status}, but: {words or 'an unknown answer'}"
    return Reading(finding, told, code_at(body, "status"), passing=status == "UNKNOWN_ERROR")


def _new_style(answer: Answer, body: Json) -> Reading:
    """Places (New): real statuses, and ``error`` with its own. A bad key is a 400 INVALID_ARGUMENT [C]."""
    words, code = said(body, "error.status", "error.message"), code_at(body, "error.status")
    details = at(body, "error.details")
    reasons = [at(detail, "reason") for detail in details] if isinstance(details, list) else []
    if "API_KEY_INVALID" in reasons:
        return Reading("refused", f"HTTP {answer.status}: {words}", "API_KEY_INVALID")
    return by_status(answer, words, code=code) or Reading("failed", f"HTTP {answer.status}, but: {words}", code)


PROVIDER = Provider(
    slug="google-maps",
    name="Google Maps",
    vendor="Google",
    category="location",
    icon="map-pin",
    base_url_env="GOOGLE_MAPS_URL",
    base_url="https://maps.googleapis.com",
    hosts={"places": Host(env="GOOGLE_PLACES_URL", url="https://places.googleapis.com")},
    auth=ApiKey(env="GOOGLE_MAPS_API_KEY", query="key"),
    probe=Probe(
        path="/maps/api/geocode/json",
        params={"address": "Cape Town", "components": "country:ZA", "region": "za"},
        note="Each check is a geocode, which Google bills: hence once an hour.",
    ),
    check_minutes=60,
    read=read,
    limit=Limit(requests=3000, seconds=60),  # Geocoding's quota per minute [C]; no headers tell
    docs_url="https://developers.google.com/maps/documentation",
)
