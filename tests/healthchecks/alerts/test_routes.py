"""Routes as the settings write them, and that nothing of them shows that shouldn't."""

import pytest

from healthchecks.alerts import routes


def read(settings, first: str, second: str = "") -> tuple[routes.Route, ...]:
    settings.ALERT_TO, settings.ALERT_FALLBACK_TO = first, second
    return routes.configured()


@pytest.mark.parametrize(
    ("text", "kind", "target", "label"),
    [
        ("mailto:ops@example.com", "mail", "ops@example.com", "mailto:o…@example.com"),
        ("MAILTO:ops@example.com", "mail", "ops@example.com", "mailto:o…@example.com"),
        ("sms:+27820000123", "sms", "27820000123", "sms:…123"),
        ("sms:27820000123", "sms", "27820000123", "sms:…123"),
        ("slack://T0KEN/B0KEN/S3CRET/%23ops", "apprise", "slack://T0KEN/B0KEN/S3CRET/%23ops", "slack://…"),
        ("mailto://user:pass@example.com", "apprise", "mailto://user:pass@example.com", "mailto://…"),
        ("json://user:pass@10.0.0.1:8080/hook", "apprise", "json://user:pass@10.0.0.1:8080/hook", "json://10.0.0.1:8080/…"),
        ("json://[broken", "apprise", "json://[broken", "json://…"),
    ],
)  # fmt: skip
def test_a_route_is_read(settings, text, kind, target, label):
    (route,) = read(settings, text)
    assert (route.kind, route.target, route.label) == (kind, target, label)


@pytest.mark.parametrize("text", ["ops@example.com", "mailto:ops", "sms:0", "sms:+27 82 000", "mailto:a@b <c@d>", "x"])
def test_what_is_none_says_so_and_shows_nothing_of_itself(settings, text):
    (route,) = read(settings, text)
    assert route.kind == "broken"
    assert "mailto:name@example.com" in route.trouble
    assert text.partition(":")[2][:3] not in route.label or not text.partition(":")[2]


def test_they_have_places_and_fallbacks_come_last(settings):
    found = read(settings, " mailto:a@example.com ,\nsms:+27820000001,, ", "slack://a/b/c")
    assert [(route.position, route.kind, route.fallback) for route in found] == [
        (1, "mail", False), (2, "sms", False), (3, "apprise", True),
    ]  # fmt: skip
    assert read(settings, "") == ()


def test_a_delivery_finds_its_route_again_though_others_were_put_before_it(settings):
    read(settings, "mailto:a@example.com,sms:+27820000001")
    assert routes.find(2, "sms:…001").target == "27820000001"
    read(settings, "slack://a/b/c,mailto:a@example.com,sms:+27820000001")
    assert routes.find(2, "sms:…001").position == 3
    assert routes.find(9, "sms:…999") is None


def test_no_piece_of_a_route_is_left_in_a_text(settings):
    url = "json://robot:pa55word@10.0.0.1/hidden/p%40th?token=abcdef"
    (route,) = read(settings, url)
    told = f"{url} robot pa55word hidden p@th abcdef 10.0.0.1"
    shown = route.scrubbed(told)
    for secret in ("robot", "pa55word", "hidden", "p@th", "p%40th", "abcdef"):
        assert secret not in shown
    assert "10.0.0.1" in shown
    assert "robot" not in repr(route)
