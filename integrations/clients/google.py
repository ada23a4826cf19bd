"""Google Maps: Geocoding, and Places (New) (PROVIDERS §10). Both are billed by the call.

Autocomplete is that of Places (New): the older one can't be switched on in new projects any more [C].
"""

from collections.abc import Sequence
from dataclasses import dataclass

from integrations.clients.base import Client
from integrations.providers.payloads import at, text
from integrations.providers.spec import ApiKey, Json

MOST_COUNTRIES = 15
_KEY = ApiKey(env="GOOGLE_MAPS_API_KEY", header="X-Goog-Api-Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address and where it is. `precision`: ROOFTOP, RANGE_INTERPOLATED, GEOMETRIC_CENTER or APPROXIMATE."""

    place_id: str
    address: str
    latitude: float
    longitude: float
    precision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    place_id: str
    text: str


def geocode(client: Client, *, address: str, country: str = "ZA") -> list[Place]:
    """Where an address is, the best first; none is no error. `country` "": anywhere. GET /maps/api/geocode/json
    (PROVIDERS §10 [A]). It answers 200 whatever happens; its own status decides."""
    if not address.strip():
        raise client.invalid("an address says something.")
    within = {"components": f"country:{country}", "region": country.lower()} if country else {}
    answer = client.call("GET", "/maps/api/geocode/json", params={"address": address, **within})
    return [place for row in client.rows(answer, "results") if (place := _place(row))]


def autocomplete(
    client: Client, *, text: str, session: str = "", countries: Sequence[str] = ("za",)
) -> list[Suggestion]:
    """What somebody who typed `text` may mean. POST /v1/places:autocomplete (PROVIDERS §10 [B/C]).

    `session`: a UUID for all that is typed until one is chosen: these are then billed as one. It only reads, so it is
    tried again when no answer came.
    """
    if not text.strip() or len(countries) > MOST_COUNTRIES:
        raise client.invalid(f"there must be some text, and at most {MOST_COUNTRIES} countries.")
    content: dict[str, Json] = {"input": text}
    if countries:
        content["includedRegionCodes"] = [country.lower() for country in countries]
    if session:
        content["sessionToken"] = session
    answer = client.call("POST", "/v1/places:autocomplete", host="places", auth=_KEY, json=content, safe=True)
    if not client.found(answer, ""):  # nothing fits: an empty object
        return []
    rows = [at(row, "placePrediction") for row in client.rows(answer, "suggestions")]
    return [_suggestion(row) for row in rows if isinstance(row, dict)]


def _place(row: dict[str, Json]) -> Place | None:
    latitude, longitude = at(row, "geometry.location.lat"), at(row, "geometry.location.lng")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return None
    return Place(
        place_id=text(row.get("place_id")),
        address=text(row.get("formatted_address")),
        latitude=float(latitude),
        longitude=float(longitude),
        precision=text(at(row, "geometry.location_type")),
    )


def _suggestion(row: dict[str, Json]) -> Suggestion:
    return Suggestion(place_id=text(row.get("placeId")), text=text(at(row, "text.text")))
