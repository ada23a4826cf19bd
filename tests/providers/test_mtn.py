"""MTN coverage: what a GeoServer behind a robot guard answers."""

from math import log, pi, tan
from typing import Any

import pytest

from integrations.providers.mtn import PROVIDER
from tests.providers.answers import answer

REPORT = b"""<?xml version="1.0" encoding="UTF-8"?>
<ServiceExceptionReport version="1.1.1"><ServiceException code="LayerNotDefined" locator="layers">
      Could not find layer mtnsi:Gone
</ServiceException></ServiceExceptionReport>"""


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (200, {"type": "FeatureCollection", "features": [{"type": "Feature"}]}, "ok", ""),
        (200, {"type": "FeatureCollection", "features": []}, "ok", ""),
        (200, REPORT, "failed", "Could not find layer mtnsi:Gone"),
        (200, b"<ows:ExceptionReport><ows:ExceptionText>No</ows:ExceptionText>", "failed", "but: No"),
        (200, {"exceptions": []}, "failed", "no GeoJSON"),
        (204, b"", "failed", "no GeoJSON"),
        (418, b"I'm a teapot", "throttled", "HTTP 418"),
        (429, b"", "throttled", "HTTP 429"),
        (403, b"", "refused", "HTTP 403"),
        (502, b"<html>", "failed", "HTTP 502: Bad Gateway"),
    ],
)
def test_answers_are_read_for_what_they_are(status: int, body: Any, finding: str, words: str) -> None:
    reading = PROVIDER.read(answer(status, body))
    assert reading.finding == finding
    assert words in reading.words


def test_the_probe_asks_for_one_point_in_johannesburg() -> None:
    assert PROVIDER.probe is not None
    west, south, east, north = map(int, PROVIDER.probe.params["bbox"].split(","))
    x, y = 28.0473 * 20037508.34 / 180, log(tan((90 - 26.2041) * pi / 360)) / (pi / 180) * 20037508.34 / 180
    assert abs((west + east) / 2 - x) < 100
    assert abs((south + north) / 2 - y) < 100
    assert east - west == north - south == 400


def test_the_layer_may_be_set() -> None:
    assert PROVIDER.probe is not None
    query = PROVIDER.probe.query({"MTN_PROBE_LAYER": "mtnsi:Other"}.get)  # type: ignore[arg-type]
    assert query["layers"] == query["query_layers"] == "mtnsi:Other"
