"""What an alert says at three in the morning."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.alerts import quiet, words
from healthchecks.models import Alarm, Alert

ZONE = ZoneInfo("Africa/Johannesburg")
NOW = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)


@pytest.fixture
def alarm() -> Alarm:
    return Alarm(
        key="health:resend", kind="health", severity="critical", slugs=["resend"], title="Resend Email is down",
        text="Since 2026-11-25 02:14 SAST. The API can't be reached.\nWhat to do: look.", opened_at=NOW,
    )  # fmt: skip


def test_it_says_what_since_when_what_to_do_and_where_to_look(alarm):
    assert words.subject(alarm, Alert.Kind.OPENED, ["Resend Email"], NOW) == "[CircleTel] Resend Email is down"
    assert words.text(alarm, Alert.Kind.OPENED, ["Clickatell is degraded"], NOW) == (
        "Resend Email is down.\n\n"
        "Since 2026-11-25 02:14 SAST. The API can't be reached.\nWhat to do: look.\n\n"
        "Noticed: 2026-11-25 03:00 SAST.\n\n"
        "Also open: Clickatell is degraded.\n\n"
        "Look: http://localhost:8000/admin/integrations/resend\n"
        "All alerts: http://localhost:8000/admin/integrations/alerts"
    )


def test_its_end_says_how_long_it_lasted(alarm):
    later = NOW + timedelta(hours=2, minutes=5)
    assert words.subject(alarm, Alert.Kind.RECOVERED, ["Resend Email"], later).endswith(
        "Resend Email is healthy again"
    )
    assert "lasted 2 h 5 min" in words.text(alarm, Alert.Kind.RECOVERED, [], later)


def test_a_subject_never_outgrows_its_column(alarm):
    alarm.title = "x" * 200
    for kind in Alert.Kind:
        assert len(words.subject(alarm, kind, ["y" * 300], NOW)) <= 200


def test_a_text_message_holds_subject_reason_and_address(alarm):
    subject = words.subject(alarm, Alert.Kind.OPENED, [], NOW)
    told = words.sms(subject, words.text(alarm, Alert.Kind.OPENED, [], NOW))
    assert told.startswith("(CircleTel) Resend Email is down: Since 2026-11-25 02:14 SAST. The API")
    assert told.endswith("http://localhost:8000/admin/integrations/alerts")
    assert len(told) <= 160


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_text_message_is_one_of_the_basic_alphabet(subject, text):
    told = words.sms(subject, f"x\n\n{text}")
    assert len(told) <= words.SMS_LENGTH
    assert set(told) <= words._GSM


def test_many_names_are_counted():
    assert words.together([]) == ""
    assert words.together(["A"]) == "A"
    assert words.together(["A", "B"]) == "A and B"
    assert words.together([f"N{n}" for n in range(9)]) == "N0, N1, N2, N3, N4 and 4 more"


# --- Quiet hours -----------------------------------------------------------------------------------------------------

NIGHT = {"quietHours": {"from": "22:00", "to": "06:00"}}
LUNCH = {"quietHours": {"from": "12:00", "to": "13:30"}}


@pytest.mark.parametrize(
    ("thresholds", "at", "until"),
    [
        (NIGHT, "2026-11-25 23:00", "2026-11-26 06:00"),
        (NIGHT, "2026-11-25 22:00", "2026-11-26 06:00"),
        (NIGHT, "2026-11-25 05:59", "2026-11-25 06:00"),
        (NIGHT, "2026-11-25 06:00", None),
        (NIGHT, "2026-11-25 21:59", None),
        (LUNCH, "2026-11-25 12:30", "2026-11-25 13:30"),
        (LUNCH, "2026-11-25 13:30", None),
        ({}, "2026-11-25 03:00", None),
        ({"quietHours": None}, "2026-11-25 03:00", None),
        ({"quietHours": {"from": "22:00"}}, "2026-11-25 03:00", None),
        ({"quietHours": {"from": "03:00", "to": "03:00"}}, "2026-11-25 03:00", None),
        ({"quietHours": {"from": 22, "to": "6"}}, "2026-11-25 03:00", None),
    ],
)
def test_quiet_hours(thresholds, at, until):
    moment = datetime.fromisoformat(at).replace(tzinfo=ZONE)
    ends = quiet.until(thresholds, moment, ZONE)
    assert (ends.strftime("%Y-%m-%d %H:%M") if ends else None) == until


def test_they_are_local_where_clocks_are_changed():
    berlin = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)  # the night in which 3:00 comes twice
    assert quiet.until(NIGHT, night, berlin) == datetime(2026, 10, 25, 6, 0, tzinfo=berlin)


def test_their_length_goes_over_midnight():
    assert quiet.span("22:00", "06:00") == timedelta(hours=8)
    assert quiet.span("06:00", "06:00") == timedelta(0)
    assert quiet.clock("06:00") == time(6)
    assert quiet.clock("24:00") is None
