"""Google Maps: geocoding and places. The older APIs answer 200 whatever happens, the newer use real statuses."""

from typing import Any

from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, same

_PLACE = "ChIJsandbox0000000000000001"
_ADDRESS = "1 Sandbox Street, Centurion, 0157, South Africa"


def _is_new(call: Call) -> bool:
    return call.path.startswith("/v1/")


def _error(call: Call, status: int, code: str, message: str, legacy: str, legacy_status: int = 200) -> Reply:
    """`code` is what the newer API calls it, `legacy` the older."""
    if _is_new(call):
        return answer({"error": {"code": status, "message": message, "status": code, "details": []}}, status)
    return answer({"status": legacy, "error_message": message, "results": []}, legacy_status)


def _admit(call: Call, state: State) -> Reply | None:
    given = call.headers.get("x-goog-api-key", "") if _is_new(call) else ""
    return None if same(given or call.query.get("key", ""), state.value("GOOGLE_MAPS_API_KEY")) else _refused(call)


def _refused(call: Call) -> Reply:
    words = "API key not valid. Please pass a valid API key."
    if not _is_new(call):
        return answer({"status": "REQUEST_DENIED", "error_message": words, "results": []})
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    return answer({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT", "details": details}}, 400)


def geocode(call: Call, _: State) -> Reply:
    address = call.query.get("address", call.query.get("latlng", ""))
    if not address:
        return answer(
            {"status": "INVALID_REQUEST", "error_message": "Missing the 'address' parameter.", "results": []}
        )
    if "nowhere" in address.lower():
        return answer({"status": "ZERO_RESULTS", "results": []})
    result: dict[str, Any] = {
        "formatted_address": _ADDRESS, "place_id": _PLACE, "types": ["street_address"], "address_components": [],
        "geometry": {"location": {"lat": -25.8603, "lng": 28.1894}, "location_type": "ROOFTOP"},
    }  # fmt: skip
    return answer({"status": "OK", "results": [result]})


def autocomplete(call: Call, _: State) -> Reply:
    if not call.query.get("input"):
        return answer({"status": "INVALID_REQUEST", "predictions": []})
    return answer({"status": "OK", "predictions": [{"description": _ADDRESS, "place_id": _PLACE}]})


def places_autocomplete(call: Call, _: State) -> Reply:
    if not call.json().get("input"):
        return _error(call, 400, "INVALID_ARGUMENT", "input is required", "")
    if "nowhere" in str(call.json()["input"]).lower():
        return answer({})
    prediction = {"placeId": _PLACE, "place": f"places/{_PLACE}", "text": {"text": _ADDRESS}}
    return answer({"suggestions": [{"placePrediction": prediction}]})


def place(call: Call, _: State) -> Reply:
    if not call.headers.get("x-goog-fieldmask"):
        return _error(call, 400, "INVALID_ARGUMENT", "FieldMask is a required parameter.", "")
    location = {"latitude": -25.8603, "longitude": 28.1894}
    return answer({"id": call.params["id"], "formattedAddress": _ADDRESS, "location": location})


API = Api(
    slug="google-maps",
    routes=(
        Route("GET", "/maps/api/geocode/json", geocode),
        Route("GET", "/maps/api/place/autocomplete/json", autocomplete),
        Route("POST", "/v1/places:autocomplete", places_autocomplete),
        Route("GET", "/v1/places/{id}", place),
    ),
    admit=_admit,
    refused=_refused,
    throttled=lambda call, seconds: _error(
        call, 429, "RESOURCE_EXHAUSTED", "You have exceeded your rate-limit for this API.", "OVER_QUERY_LIMIT"
    ),
    failed=lambda call: _error(call, 500, "INTERNAL", "Internal error encountered.", "UNKNOWN_ERROR", 500),
    missing=lambda call: _error(call, 404, "NOT_FOUND", "Not found.", "NOT_FOUND", 404),
    quota=lambda call: Quota(3000, 60),
)
