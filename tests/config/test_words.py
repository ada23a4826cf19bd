"""A job's summary is a sentence, not a row of numbers."""

import pytest

from config import words

QUIET = {"alarms_opened": 0, "alarms_closed": 0, "alerts": 0}
OVER = {"alarms_closed": 2}
SWEPT = {"checked": 10, "changed": [], "suspects": [], "broken": [], **QUIET}
DRAINED = (
    dict.fromkeys(
        ("processed", "failed", "duplicates", "slots_missed", "slots_unknown", "silences_opened", "silences_ended"), 0
    )
    | QUIET
)


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (SWEPT | {"healthy": 9, "down": 1}, "10 checked: 1 down, 9 healthy."),
        (SWEPT | {"checked": 0}, "None was due."),
        (SWEPT | {"checked": 0, "broken": ["a", "b"]}, "The check itself broke: a, b."),
        (SWEPT | {"checked": 1, "down": 1, "broken": ["a"]}, "1 checked: 1 down. The check itself broke: a."),
        (
            SWEPT | {"healthy": 10, "changed": ["a: now down"], "suspects": ["b"], **OVER},
            "10 checked: 10 healthy. Changed: a: now down. First failure, looked at again soon: b. 2 alarms over.",
        ),
    ],
)
def test_a_sweep(done, told):
    assert words.of_sweep(done) == told


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ({}, "There was nothing to do."),
        ({"processed": 1200, "failed": 1, "duplicates": 1}, "1,200 events processed, 1 failed, 1 duplicate."),
        ({"slots_missed": 7, "alarms_opened": 1}, "7 slots missed. 1 alarm raised."),
        ({"slots_unknown": 1, "silences_opened": 2}, "1 slot passed while nothing ran. 2 webhooks fell silent."),
    ],
)
def test_a_drain(done, told):
    assert words.of_drain(DRAINED | done) == told


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ({"removed": {}}, "Nothing was old enough to be removed."),
        ({"removed": {"didit": 1}, "dry_run": True}, "1 row would be removed: 1 didit."),
        (
            {"removed": {"zoho-crm": 1200}, "runs_forgotten": 4, "finished": False},
            "1,204 rows removed: 1,200 zoho-crm, 4 runs. Time was up: the rest goes next time.",
        ),
    ],
)
def test_a_cleaning(done, told):
    assert words.of_cleaning({"dry_run": False, "finished": True} | done) == told


def test_a_roll_up():
    assert words.of_roll_up("1 hour rolled up.", {}) == "1 hour rolled up."
    assert words.of_roll_up("1 hour rolled up.", {"calls": 5000, "hours": 0}) == (
        "1 hour rolled up. Removed as too old: 5,000 calls."
    )
