"""Figures, times and permissions as templates write them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.template import engines
from guardian.shortcuts import assign_perm

from integrations.accounts.models import User
from integrations.models import Integration
from integrations.templatetags import integrations as tags

NOW = datetime(2026, 11, 4, 12, 2, 11, tzinfo=UTC)


def rendered(source: str, **context: object) -> str:
    return engines["django"].from_string(source).render(context)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "< 1 ms"), (311.6, "312 ms"), (1240, "1,240 ms"), (12_400, "12.4 s")]
)
def test_ms(value: float | None, text: str) -> None:
    assert tags.ms(value).replace("\xa0", " ") == text


@pytest.mark.parametrize(("status", "word"), [("down", "Down"), ("unknown", "Unknown"), ("odd", "Odd")])
def test_health_in_a_word(status: str, word: str) -> None:
    assert tags.health(status) == word


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (100, "100%"), (99.999, "99.99%"), (98.5, "98.5%"), (0, "0%")]
)
def test_percent_is_cut_not_rounded(value: float | None, text: str) -> None:
    assert tags.percent(value) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (None, "–"),
        (45, "45 s"),
        (timedelta(seconds=89), "89 s"),
        (timedelta(minutes=89), "89 min"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=5), "5 d"),
    ],
)
def test_duration(span: timedelta | float | None, text: str) -> None:
    assert tags.duration(span).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=7), "7 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(minutes=-5), "in 5 min"),
        (timedelta(seconds=-3), "now"),
        (timedelta(days=20), "15 Oct 2026"),
    ],
)
def test_ago(span: timedelta, text: str) -> None:
    assert tags.ago(NOW - span, NOW).replace("\xa0", " ") == text


@pytest.mark.parametrize(("seconds", "text"), [(3, "just now"), (3 * 3600, "for 3 h")])
def test_lasting(seconds: int, text: str) -> None:
    assert tags.lasting(NOW - timedelta(seconds=seconds), NOW).replace("\xa0", " ") == text


def test_a_moment_carries_its_very_second_in_local_time() -> None:
    html = rendered("{% when at now %}", at=NOW - timedelta(minutes=7), now=NOW).replace("\xa0", " ")
    assert html == '<time datetime="2026-11-04T11:55:11+00:00" title="4 Nov 2026, 13:55:11 SAST">7 min ago</time>'
    assert rendered("{% when at %}", at=None) == "never"


def test_an_icon_is_hidden_from_screen_readers_and_escapes_what_it_is_given() -> None:
    html = rendered('{% icon "zap" size=14 class=name %}', name='"><script>')
    assert 'aria-hidden="true"' in html
    assert 'width="14"' in html
    assert "<script>" not in html


def test_an_icon_that_does_not_exist_is_no_error() -> None:
    assert "<svg" in rendered('{% icon "no-such-icon" %}')


def test_templates_ask_for_a_permission_by_the_customers_name(
    alice: User, bob: User, charlie: User, registry: dict[str, Integration]
) -> None:
    everywhere = '{% if user|may:"oauth:refresh" %}yes{% else %}no{% endif %}'
    assert [rendered(everywhere, user=user) for user in (alice, bob, charlie)] == ["yes", "no", "no"]
    assign_perm("integrations.oauth:refresh", charlie, registry["zoho-crm"])
    on_one = '{% may user "oauth:refresh" integration as allowed %}{{ allowed }}'
    charlie = User.objects.get(pk=charlie.pk)  # Django keeps a user's permissions for the object's life
    told = {slug: rendered(on_one, user=charlie, integration=registry[slug]) for slug in ("zoho-crm", "resend")}
    assert told == {"zoho-crm": "True", "resend": "False"}


def test_a_permission_that_does_not_exist_is_an_error(alice: User) -> None:
    with pytest.raises(ValueError, match="typo"):
        rendered('{{ user|may:"typo" }}', user=alice)


def test_names_are_read_as_words() -> None:
    assert tags.words("webhook_failures") == "webhook failures"
