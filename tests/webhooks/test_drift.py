"""What a provider has registered against what we have: each thing that can be wrong, and what isn't."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.clients.base import Registered
from webhooks import drift

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OURS = "https://ops.example.com/api/webhooks/zoho-crm"
RECEIVER = drift.Receiver(
    name="Zoho CRM", address=OURS, path="/api/webhooks/zoho-crm", wanted=("Leads.insert", "Deals.update")
)


def registered(id="1", url=OURS, events=("Leads.insert", "Deals.update"), *, enabled=True, hours=None):  # noqa: A002
    ends = NOW + timedelta(hours=hours) if hours is not None else None
    return Registered(id=id, url=url, events=tuple(events), enabled=enabled, expires_at=ends)


def judged(*found, receiver=RECEIVER, **more):
    return drift.judge(found, receiver, now=NOW, **more)


def codes(*found, **more):
    return [one.code for one in judged(*found, **more)]


def test_as_it_should_be():
    (one,) = judged(registered(hours=72))
    assert (one.ours, one.code, one.finding) == (True, "", "")


def test_nothing_registered_is_missing_and_says_where_it_should_call():
    (one,) = judged()
    assert (one.registered, one.code) == (None, "missing")
    assert OURS in one.finding
    assert "isn't told to us" in one.finding


def test_what_others_registered_for_themselves_is_none_of_our_business():
    other = registered("2", "https://hooks.elsewhere.example/zoho")
    assert codes(registered(), other) == ["", ""]
    assert codes(other) == ["", "missing"]


@pytest.mark.parametrize(
    "url",
    [
        "https://OPS.example.com/api/webhooks/zoho-crm",
        "https://ops.example.com:443/api/webhooks/zoho-crm",
        "https://ops.example.com./api/webhooks/zoho-crm",
        "https://ops.example.com/api/webhooks/zoho%2Dcrm",
        "https://user:secret@ops.example.com/api/webhooks/zoho-crm?token=secret#top",
        "  https://ops.example.com/api/webhooks/zoho-crm ",
    ],
)
def test_the_same_address_written_otherwise(url):
    assert codes(registered(url=url)) == [""]


@pytest.mark.parametrize(
    "url",
    [
        "https://old.example.com/api/webhooks/zoho-crm",
        "http://ops.example.com/api/webhooks/zoho-crm",
        "https://ops.example.com/api/webhooks/zoho-crm/",
        "https://ops.example.com/api/webhooks/zoho",
        "https://ops.example.com:8443/api/webhooks/zoho-crm",
    ],
)
def test_an_address_that_was_ours_once_or_nearly_is(url):
    one, missing = judged(registered(url=url))
    assert (one.ours, one.code, missing.code) == (False, "foreign", "missing")
    assert url in one.finding
    assert OURS in one.finding


def test_no_secret_of_an_address_is_told():
    one, _ = judged(registered(url="https://user:geheim@old.example.com/api/webhooks/zoho-crm?key=geheim#geheim"))
    assert "geheim" not in one.finding
    assert drift.bare("no address at all?key=geheim") == "no address at all"


def test_switched_off_and_nothing_else_does_its_work():
    (one,) = judged(registered(enabled=False))
    assert (one.code, one.ours) == ("disabled", True)
    assert codes(registered("1", enabled=False), registered("2")) == ["", ""]


def test_events_that_it_does_not_tell_us_of():
    (one,) = judged(registered(events=["Leads.insert"]))
    assert one.code == "events"
    assert "Deals.update" in one.finding
    assert "Leads.insert" not in one.finding


def test_two_of_ours_make_up_for_each_other():
    assert codes(registered("1", events=["Leads.insert"]), registered("2", events=["Deals.update"])) == ["", ""]


def test_what_does_not_say_its_events_lacks_none():
    assert codes(registered(events=())) == [""]


@pytest.mark.parametrize(
    ("hours", "code", "words"),
    [
        (49, "", ""),
        (47, "expiring", "was not renewed: nobody renews it."),
        (0, "expiring", "It ended at 2026-03-01 12:00 UTC"),
        (-1, "expiring", "nothing is sent"),
    ],
)
def test_what_ends(hours, code, words):
    (one,) = judged(registered(hours=hours))
    assert one.code == code
    assert words in one.finding


def test_why_it_could_not_be_renewed_is_told():
    (one,) = judged(registered(hours=1), troubles={"1": "Zoho answered HTTP 503."})
    assert one.finding.endswith("was not renewed: Zoho answered HTTP 503.")


def test_nothing_need_call_what_nothing_is_expected_at():
    receiver = drift.Receiver(name="x", address=OURS, path=RECEIVER.path, wanted=("a",), expected=False)
    assert codes(receiver=receiver) == []
    assert codes(registered(events=["b"], hours=1), receiver=receiver) == [""]


def test_one_channel_told_module_by_module_is_one():
    rows = [registered("7", events=["Leads.all"], hours=30), registered("7", events=["Deals.all"], hours=20)]
    (one,) = drift.merged([rows[0], rows[1]])
    assert one.events == ("Leads.all", "Deals.all")
    assert one.expires_at == NOW + timedelta(hours=20)


def test_many_names_are_cut_and_counted():
    assert drift.listed(f"e{number:02}" for number in range(14)).endswith("e11 and 2 more")


@given(st.text(max_size=80))
def test_no_address_is_too_odd_to_be_judged(url):
    assert len(judged(registered(url=url))) in (1, 2)
    drift.bare(url)
