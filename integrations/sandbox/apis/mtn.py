"""MTN coverage: a GeoServer that is asked which features of a layer lie at a point."""

import math

from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, text

_CITIES = ((-26.2, 28.05), (-25.75, 28.19), (-33.93, 18.42), (-29.86, 31.02), (-33.96, 25.6), (-29.12, 26.21))
_REACH = (
    ("5G", 0.25),
    ("SUPERSONIC", 0.15),
    ("FTTB", 0.15),
    ("LTE", 1.5),
    ("Wireless", 1.5),
    ("UMTS", 3.0),
    ("GSM", 6.0),
)


def wms(call: Call, _: State) -> Reply:
    asked = {name.lower(): value for name, value in call.query.items()}
    match asked.get("request", "").lower():
        case "getcapabilities":
            return text('<?xml version="1.0"?><WMT_MS_Capabilities version="1.1.1"/>', "application/vnd.ogc.wms_xml")
        case "getfeatureinfo":
            return _feature_info(asked)
    return _exception("OperationNotSupported", f"No such operation {asked.get('request', '')}")


def _feature_info(asked: dict[str, str]) -> Reply:
    layer = asked.get("query_layers", "")
    try:
        west, south, east, north = (float(edge) for edge in asked.get("bbox", "").split(","))
    except ValueError:
        return _exception("MissingParameterValue", "bbox")
    if not layer.startswith("mtnsi:") and layer != "UncappedWirelessEBU":
        return _exception("LayerNotDefined", "Could not find layer")
    features = []
    if _covered(layer, (south + north) / 2, (west + east) / 2):
        features = [{"type": "Feature", "id": f"{layer}.1", "geometry": None, "properties": {"GRAY_INDEX": 1}}]
    count = len(features)
    return answer({"type": "FeatureCollection", "features": features, "totalFeatures": count, "numberReturned": count})


def _covered(layer: str, y: float, x: float) -> bool:
    """Near enough to a city, by Web Mercator metres; how near depends on the layer's technology."""
    lng = x / 20037508.34 * 180
    lat = math.degrees(2 * math.atan(math.exp(max(-10.0, min(10.0, y / 20037508.34 * math.pi)))) - math.pi / 2)
    reach = next((degrees for word, degrees in _REACH if word in layer), 0.5)
    return any(math.dist((lat, lng), city) < reach for city in _CITIES)


def _exception(code: str, words: str) -> Reply:
    """GeoServer's errors come as XML with status 200, whatever format was asked for."""
    return text(
        '<?xml version="1.0" encoding="UTF-8"?><ServiceExceptionReport version="1.1.1">'
        f'<ServiceException code="{code}">{_escaped(words)}</ServiceException></ServiceExceptionReport>',
        "application/vnd.ogc.se_xml",
    )


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;")


API = Api(
    slug="mtn-coverage",
    routes=(Route("GET", "/", wms),),  # a WMS is a single address
    admit=lambda call, state: None,
    refused=lambda call: text("<h1>403 Forbidden</h1>", status=403),
    throttled=lambda call, seconds: text("<h1>418 I'm a teapot</h1>", status=418),
    failed=lambda call: text("<h1>502 Bad Gateway</h1>", status=502),
    missing=lambda call: text("<h1>404 Not Found</h1>", status=404),
    quota=lambda call: Quota(120, 60),
)
