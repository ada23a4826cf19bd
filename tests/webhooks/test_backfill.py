"""What Zoho Billing's webhooks never brought, taken in from its own list: all of it, and once."""

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.db import DataError, connection
from django.utils import timezone

from config import handlers
from integrations.actor import SYSTEM
from integrations.clients import billing
from integrations.models import Activity, Integration, RateWindow
from integrations.providers import get, samples
from integrations.providers.payloads import compact
from integrations.providers.spec import Delivery, ProviderError, Verified
from oauth import services as oauth
from webhooks import timeline
from webhooks.models import RegistrationCheck, Webhook, WebhookLog
from webhooks.services import backfill, process, receive, silence

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def books(registry, sandbox):
    """Zoho Billing, connected, its clock ours."""
    oauth.connect_sandbox(registry["zoho-billing"])
    return sandbox


def happened(sandbox, name: str, *, ago: timedelta = HOUR, kind: str = "payment_thankyou") -> dict:
    """An event in Zoho's list; returns what its webhook would bring."""
    at = (timezone.now() - ago).timestamp()
    payload = get("zoho-billing").webhook.fresh(samples.load("zoho-billing", kind), at, name)
    sandbox.state.remember("zoho-billing", payload)
    return payload


def hook() -> Webhook:
    return Webhook.objects.select_related("integration").get(integration__slug="zoho-billing")


def arrives(payload: dict) -> None:
    """Its webhook does come."""
    route = receive.routes()[hook().webhook_url]
    receive.store(
        receive.rows_of(route, Delivery(body=compact(payload)), Verified(detail="signed"), now=timezone.now())
    )


def run(**given: object) -> backfill.Filled:
    return backfill.run(now=timezone.now(), **given)


def rows() -> list[WebhookLog]:
    return list(WebhookLog.objects.order_by("created_at", "pk"))


# --- Taking in -------------------------------------------------------------------------------------------------------


def test_what_never_came_is_taken_in_and_processed_like_any_other(books):
    missed, came = happened(books, "e-1"), happened(books, "e-2")
    arrives(came)
    filled = run()
    assert (filled.number, filled.left, filled.failed) == (1, 0, False)
    assert filled.words == "1 missed event of Zoho Billing taken in (payment_thankyou)."
    (row,) = WebhookLog.objects.filter(verification=backfill.WORDS)
    assert row.payload == missed
    assert json.loads(row.raw_body()) == missed
    assert (row.status, row.verified, row.claims_key, row.event_type) == ("pending", True, True, "payment_thankyou")
    process.drain(handlers.TABLE)
    row.refresh_from_db()
    assert row.status == "processed"


def test_again_takes_in_nothing_and_its_late_delivery_is_a_duplicate(books):
    missed = happened(books, "e-1")
    run()
    assert run().number == 0
    arrives(missed)
    assert Counter(row.status for row in rows()) == {"pending": 1, "duplicate": 1}


def test_where_it_is_from_is_told_and_people_are_not_told_that_it_came(books):
    happened(books, "e-1")
    run()
    (row,) = rows()
    assert timeline.of(row, [], None)[0].what == "Fetched from the provider's own list"
    assert silence.newest(hook()) is None
    entry = Activity.objects.get(action="webhook_backfilled")
    assert entry.details["by_type"] == {"payment_thankyou": 1}


@pytest.mark.parametrize("ago", [timedelta(minutes=5), timedelta(hours=25)])
def test_what_may_still_be_on_its_way_or_is_older_than_the_first_look_is_left(books, ago):
    happened(books, "e-1", ago=ago)
    assert run().number == 0


def test_after_a_gap_it_looks_back_to_where_it_ended(books):
    run()
    RegistrationCheck.objects.update(backfilled_to=timezone.now() - timedelta(days=10))
    happened(books, "e-1", ago=timedelta(days=9))
    assert run().number == 1


def test_what_retention_has_removed_is_not_missing(books):
    RegistrationCheck.objects.create(
        webhook=hook(), checked_at=timezone.now(), backfilled_to=timezone.now() - 99 * 24 * HOUR
    )
    Webhook.objects.update(retention_days=3)
    happened(books, "e-1", ago=timedelta(days=4))
    happened(books, "e-2", ago=timedelta(days=2))
    assert run().number == 1


def test_events_that_nobody_wants_are_left_out(books):
    Webhook.objects.filter(pk=hook().pk).update(event_types=["payment_declined"])
    happened(books, "e-1")
    happened(books, "e-2", kind="payment_declined")
    assert run().fetched == Counter(payment_declined=1)


def test_the_oldest_come_first(books):
    for number, hours in enumerate((2, 5, 3)):
        happened(books, f"e-{number}", ago=hours * HOUR)
    run()
    times = [row.payload["event_time"] for row in rows()]
    assert times == sorted(times)


def test_what_the_list_leaves_out_is_asked_for_one_by_one(books, monkeypatch):
    missed = happened(books, "e-1")
    listed = billing.events

    def bare(client, *, since, keep):
        return [replace(one, body="") for one in listed(client, since=since, keep=keep)]

    monkeypatch.setattr(billing, "events", bare)
    assert run().number == 1
    assert rows()[0].payload == missed


def test_one_whose_payload_nobody_tells_is_taken_in_with_what_is_known(books, monkeypatch):
    at = timezone.now() - HOUR
    one = billing.Event(id="42", type="payment_declined", at=at, body="")
    monkeypatch.setattr(billing, "events", lambda client, *, since, keep: [one])
    assert run().number == 1  # its own page says 404
    (row,) = rows()
    assert row.payload["event_id"] == "42"
    assert row.event_type == "payment_declined"
    assert row.idempotency_key


# --- Going wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["fail", "reset", "throttle"])
def test_a_zoho_that_is_away_loses_nothing(books, fault):
    happened(books, "e-1")
    books.set_fault("zoho-billing", fault)
    filled = backfill.run(now=timezone.now(), budget_seconds=2)
    assert filled.error
    assert filled.failed
    assert (filled.number, rows()) == (0, [])
    assert RegistrationCheck.objects.get(webhook=hook()).backfilled_to is None
    books.clear_fault("zoho-billing")
    RateWindow.objects.all().delete()  # the pause that it asked for is over
    assert run().number == 1


def test_without_a_token_there_is_nothing_to_ask_with(registry, sandbox):
    filled = run()
    assert filled.held
    assert filled.error
    assert not filled.failed


def test_switched_off_it_is_not_asked(books):
    Integration.objects.filter(slug="zoho-billing").update(is_active=False)
    assert run().words == "Zoho Billing is switched off."
    assert books.state.counters.of("zoho-billing") == {}


def test_killed_half_way_it_goes_on_where_it_was(books, monkeypatch):
    monkeypatch.setattr(backfill, "CHUNK", 2)
    for number in range(5):
        happened(books, f"e-{number}", ago=(10 - number) * HOUR)
    store, calls = backfill._store, []

    def dies(*given):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(1)
        store(*given)

    monkeypatch.setattr(backfill, "_store", dies)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(rows()) == 2
    monkeypatch.setattr(backfill, "_store", store)
    assert run().number == 3
    assert len({row.idempotency_key for row in rows()}) == 5


def test_more_than_one_run_takes_in_are_finished_by_the_next(books, monkeypatch):
    monkeypatch.setattr(backfill, "MOST", 3)
    for number in range(5):
        happened(books, f"e-{number}", ago=(10 - number) * HOUR)
    first = run()
    assert (first.number, first.left) == (3, 2)
    assert "2 more come in with the next run" in first.words
    monkeypatch.setattr(backfill, "MOST", 1)
    assert "1 more comes in with the next run" in run().words
    assert run().number == 1


def test_one_that_no_database_takes_does_not_hold_up_the_others(books, monkeypatch):
    happenings = [happened(books, f"e-{number}", ago=(10 - number) * HOUR) for number in range(4)]
    poison, store = happenings[2]["event_id"], receive.store

    def picky(made):
        if any(row.payload["event_id"] == poison for row in made):
            raise DataError("no such character")
        return store(made)

    monkeypatch.setattr(receive, "store", picky)
    filled = run()
    assert (filled.number, filled.refused, filled.failed) == (3, 1, True)
    assert "1 could not be stored" in filled.words


def test_a_list_that_is_too_long_is_read_as_far_as_it_goes_and_said_so(books, monkeypatch):
    listed = billing.events

    def long(client, *, since: datetime, keep):
        if timezone.now() - since > timedelta(hours=7):
            raise ProviderError("more than 20,000 events", permanent=True, code=billing.TOO_MANY)
        return listed(client, since=since, keep=keep)

    monkeypatch.setattr(billing, "events", long)
    happened(books, "e-1", ago=20 * HOUR)
    happened(books, "e-2", ago=2 * HOUR)
    filled = run()
    assert (filled.number, filled.failed) == (1, True)
    assert "too much happened to be compared" in filled.words


def test_deliveries_without_an_id_make_it_impossible_to_say_what_is_missing(books):
    payload = happened(books, "e-1")
    arrives({name: value for name, value in payload.items() if name != "event_id"})
    filled = run()
    assert filled.number == 0
    assert "put event_id into the payload" in filled.error
    assert filled.failed


def test_time_that_is_up_ends_it_between_two_pages(books):
    happened(books, "e-1")
    filled = run(budget_seconds=0)
    assert "took too long" in filled.error
    assert run().number == 1


def test_two_runs_at_once_take_in_each_once(books):
    for number in range(6):
        happened(books, f"e-{number}", ago=(10 - number) * HOUR)
    together, done = Barrier(2), []

    def work():
        together.wait()
        try:
            done.append(run(actor=SYSTEM).number)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 6
    assert Counter(row.status for row in rows()) == {"pending": 6}
    assert len({row.idempotency_key for row in rows()}) == 6


def test_a_clock_that_was_ahead_does_not_hide_what_is_missing(books):
    RegistrationCheck.objects.create(
        webhook=hook(), checked_at=timezone.now(), backfilled_to=timezone.now() + timedelta(days=30)
    )
    happened(books, "e-1")
    assert run().number == 1
    assert RegistrationCheck.objects.get(webhook=hook()).backfilled_to < timezone.now()


def test_of_a_long_list_only_what_is_missing_is_kept(books, monkeypatch):
    for number in range(6):
        arrives(happened(books, f"e-{number}"))
    missed = happened(books, "e-7")
    listed, held = billing.events, []

    def watched(client, *, since, keep):
        held.extend(found := listed(client, since=since, keep=keep))
        return found

    monkeypatch.setattr(billing, "events", watched)
    assert run().number == 1
    assert [one.id for one in held] == [missed["event_id"]]
