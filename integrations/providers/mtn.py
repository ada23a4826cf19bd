"""MTN coverage (South Africa): a GeoServer without public documentation, known from third-party code only [all C].

Layer names differ between sources and so are configuration (PROVIDERS §7). HTTP 418 is its way of telling robots to
slow down. There are no credentials and no webhooks.
"""

import re

from integrations.providers.answers import OK, by_status, json_of, not_json, shown
from integrations.providers.payloads import at
from integrations.providers.spec import Answer, Limit, Probe, Provider, Reading

_EXCEPTION = re.compile(rb"<(?:\w+:)?(?:ServiceException|ExceptionText)(?:\s[^>]*)?>(.*?)<", re.DOTALL)
_CODE = re.compile(rb"""<[^<>]*\s(?:code|exceptionCode)=["'](\w{1,80})["']""")
_SLOW_DOWN = frozenset({418, 429})

# Consumers' layers; another repository names them otherwise [?]. MTN_LAYERS replaces them (`clients/mtn.py`).
LAYERS = (
    "mtnsi:MTNSA-Coverage-5G-5G",
    "mtnsi:MTNSA-Coverage-LTE",
    "mtnsi:MTNSA-Coverage-FIXLTE-0",
    "mtnsi:MTNSA-Coverage-UMTS-900",
    "mtnsi:MTNSA-Coverage-UMTS-2100",
    "mtnsi:MTNSA-Coverage-GSM",
    "mtnsi:SUPERSONIC-CONSOLIDATED",  # fibre
    "UncappedWirelessEBU",
)
UNKNOWN_LAYER = frozenset({"LayerNotDefined", "LayerNotQueryable"})  # OGC's names

# Johannesburg's city centre in Web Mercator metres, in the middle (pixel 100, 100) of a box 400 m wide.
_X, _Y = 3_122_211, -3_024_382
_BOX = f"{_X - 200},{_Y - 200},{_X + 200},{_Y + 200}"


def read(answer: Answer) -> Reading:
    """No feature at a point is an answer too ("not covered"). Errors come as XML, even inside a 200 and whatever
    ``info_format`` asked for."""
    if verdict := by_status(answer, "", throttled=_SLOW_DOWN):
        return verdict
    if trouble := _EXCEPTION.search(answer.body):
        code = _CODE.search(answer.body[:4000])
        told = f"HTTP {answer.status}, but: {shown(trouble[1].decode(errors='replace'))}"
        return Reading("failed", told, code[1].decode() if code else "")
    body = json_of(answer)
    if body is None:
        return not_json(answer)
    if at(body, "type") != "FeatureCollection":
        return Reading("failed", f"HTTP {answer.status}, but the answer is no GeoJSON.")
    return OK


def feature_info(layer: str, box: str) -> dict[str, str]:
    """The query that asks what of `layer` lies in the middle of `box` (west,south,east,north in metres).

    WMS 1.1.1: with 1.3.0 the names of the axes and of the pixel change, and the sources disagree on them.
    """
    return {
        "service": "WMS",
        "version": "1.1.1",
        "request": "GetFeatureInfo",
        "layers": layer,
        "query_layers": layer,
        "styles": "",
        "srs": "EPSG:900913",
        "bbox": box,
        "width": "200",
        "height": "200",
        "x": "100",
        "y": "100",
        "info_format": "application/json",
        "feature_count": "1",
    }


PROVIDER = Provider(
    slug="mtn-coverage",
    name="MTN Coverage",
    vendor="MTN",
    category="coverage",
    icon="radio-tower",
    base_url_env="MTN_WMS_URL",
    base_url="https://mtnsi.mtn.co.za/cache/geoserver/wms",
    probe=Probe(
        path="",
        endpoint="GetFeatureInfo",
        params=feature_info("mtnsi:MTNSA-Coverage-LTE", _BOX),
        params_env={"layers": "MTN_PROBE_LAYER", "query_layers": "MTN_PROBE_LAYER"},
        authenticated=False,
    ),
    read=read,
    limit=Limit(requests=60, seconds=60),  # our own restraint: real clients keep 250 ms between calls
)
