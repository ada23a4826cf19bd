"""The dead man's switch: called at each turn, and nobody is harmed if it can't be."""

import logging

import pytest

from config import schedule, wakeup
from healthchecks import deadman, services
from tests.healthchecks.alerts.receivers import Target

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outside(settings, monkeypatch):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    monkeypatch.setattr(wakeup, "_send", lambda *_: None)
    with Target() as running:
        settings.DEADMAN_URL = f"http://127.0.0.1:{running.port}/ping/secret-id"
        running.answer = 200
        yield running


def test_the_sweep_at_its_turn_calls_it(registry, sandbox, outside):
    schedule.check_health()
    assert outside.asked == 1


def test_a_sweep_between_turns_proves_nothing_of_beat_and_does_not(registry, sandbox, outside):
    schedule.sweep()
    assert outside.asked == 0


def test_a_sweep_that_broke_does_not(registry, outside, monkeypatch):
    def broken():
        raise RuntimeError

    monkeypatch.setattr(services, "sweep", broken)
    with pytest.raises(RuntimeError):
        schedule.check_health()
    assert outside.asked == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret-id", "http://no.such.host.invalid/secret-id", "secret-id"])
def test_one_that_can_not_be_reached_is_logged_without_its_address(settings, outside, caplog, url):
    settings.DEADMAN_URL = url
    caplog.set_level(logging.DEBUG)
    assert deadman.call() is False
    assert "DEADMAN_URL was not reached" in caplog.text
    assert "secret-id" not in caplog.text


def test_one_that_says_no_is_logged(outside, caplog):
    outside.answer = 404
    assert deadman.call() is False
    assert "DEADMAN_URL answers HTTP 404" in caplog.text


def test_without_one_nobody_is_called(settings, outside):
    settings.DEADMAN_URL = ""
    assert deadman.call() is False
    assert outside.asked == 0
