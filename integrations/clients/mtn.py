"""MTN coverage: a GeoServer without public documentation [all C] (PROVIDERS §7)."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from integrations.clients.base import Client, Refusal
from integrations.providers import mtn

SOUTH, NORTH, WEST, EAST = -35.0, -22.0, 16.0, 33.0
EQUATOR = 20037508.34
"""Half of it, in Web Mercator's metres."""
BOX = 200
"""Metres from the point to the edges of the box that is asked for; the point is in its middle."""
GAP_SECONDS = 0.25
"""Between two calls, as those do who aren't taken for robots."""
MOST_LAYERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    layer: str
    covered: bool


def covered(
    client: Client, *, latitude: float, longitude: float, layers: Sequence[str] | None = None
) -> list[Coverage]:
    """Whether a point is covered, for each layer: by default those of MTN_LAYERS, else of the provider's declaration.
    GET GetFeatureInfo, a call for each (PROVIDERS §7 [C]).

    `latitude` −35 to −22, `longitude` 16 to 33: South Africa. An unknown layer, which GeoServer reports as XML in a
    200, is a permanent error that names it.
    """
    if not (SOUTH <= latitude <= NORTH and WEST <= longitude <= EAST):
        raise client.invalid("the point is not in South Africa: latitude −35 to −22, longitude 16 to 33.")
    asked = list(dict.fromkeys(named() if layers is None else layers))
    if not 1 <= len(asked) <= MOST_LAYERS:
        raise client.invalid(f"ask for 1 to {MOST_LAYERS} layers.")
    found = []
    for number, layer in enumerate(asked):
        if number:
            time.sleep(GAP_SECONDS)
        found.append(Coverage(layer=layer, covered=_is_covered(client, layer, latitude, longitude)))
    return found


def named() -> list[str]:
    """The layers to ask for unless somebody says otherwise."""
    told = [name.strip() for name in os.environ.get("MTN_LAYERS", "").split(",")]
    return [name for name in told if name] or list(mtn.LAYERS)


def mercator(latitude: float, longitude: float) -> tuple[float, float]:
    """The point in Web Mercator's metres (EPSG:900913)."""
    y = math.degrees(math.log(math.tan(math.radians((90 + latitude) / 2))))
    return longitude * EQUATOR / 180, y * EQUATOR / 180


def _is_covered(client: Client, layer: str, latitude: float, longitude: float) -> bool:
    x, y = mercator(latitude, longitude)
    box = ",".join(f"{edge:.2f}" for edge in (x - BOX, y - BOX, x + BOX, y + BOX))
    try:
        answer = client.call("GET", "", endpoint="GetFeatureInfo", params=mtn.feature_info(layer, box))
    except Refusal as error:
        if error.provider_code in mtn.UNKNOWN_LAYER:
            error.explain(layer[:80], "Set MTN_LAYERS to the names that MTN uses now.")
        raise
    return bool(client.rows(answer, "features"))
