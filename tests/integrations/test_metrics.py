"""Recorded calls between those who make them and the database: nobody waits, nothing is lost, nothing grows."""

import logging
import threading
import time

import pytest
from django.db import OperationalError, connection, transaction

from integrations import http, ids, metrics
from integrations.metrics import Buffer
from integrations.models import ApiMetric, Integration
from integrations.providers.spec import Answer, Limit

PATIENCE = 10.0


def call(integration: Integration | None = None, **fields) -> ApiMetric:
    fields = {"endpoint": "/v1/things/{id}", "method": "GET", "status_code": 200, "response_time_ms": 12, **fields}
    return ApiMetric(integration=integration, **fields)


class Shelf:
    """Stands for the database: keeps what is written, or is away, or hangs."""

    def __init__(self) -> None:
        self.kept: list[ApiMetric] = []
        self.batches: list[int] = []
        self.away = False
        self.free = threading.Event()
        self.free.set()

    def write(self, rows):
        self.free.wait()
        if self.away:
            return rows
        self.kept += rows
        self.batches.append(len(rows))
        return ()


@pytest.fixture
def shelf(monkeypatch) -> Shelf:
    monkeypatch.setattr(metrics, "AWAY_SECONDS", 0.01)
    return Shelf()


@pytest.fixture
def buffered(settings, monkeypatch):
    """As in an installation: what is recorded goes through a buffer of its own."""
    settings.METRICS_BUFFERED = True
    monkeypatch.setattr(metrics, "AWAY_SECONDS", 0.01)
    buffer = Buffer(pause=0.01)
    monkeypatch.setattr(metrics, "_buffer", buffer)
    yield buffer
    assert buffer.flush(PATIENCE) == 0


# --- The buffer ------------------------------------------------------------------------------------------------------


def test_what_is_added_is_written_soon_and_in_order(shelf):
    buffer = Buffer(shelf.write, pause=0.01)
    rows = [call() for _ in range(7)]
    for row in rows:
        buffer.add(row)
    assert buffer.flush(PATIENCE) == 0
    assert shelf.kept == rows


def test_it_is_written_without_anybody_asking(shelf):
    Buffer(shelf.write, pause=0.01).add(call())
    ends = time.monotonic() + PATIENCE
    while not shelf.kept:
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_many_share_a_write_and_none_has_too_many(shelf):
    shelf.free.clear()
    buffer = Buffer(shelf.write, pause=0.0, batch=20)
    for _ in range(100):
        buffer.add(call())
    shelf.free.set()
    assert buffer.flush(PATIENCE) == 0
    assert sum(shelf.batches) == 100
    assert max(shelf.batches) == 20
    assert len(shelf.batches) <= 6


def test_a_batch_does_not_wait_for_its_time(shelf):
    buffer = Buffer(shelf.write, pause=3600, batch=3)
    for _ in range(3):
        buffer.add(call())
    ends = time.monotonic() + PATIENCE
    while not shelf.kept:
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_whoever_adds_does_not_wait_for_a_database_that_hangs(shelf):
    shelf.free.clear()
    buffer = Buffer(shelf.write, pause=0.0)
    began = time.monotonic()
    for _ in range(1000):
        buffer.add(call())
    assert time.monotonic() - began < 30  # it hangs for good
    assert buffer.flush(0.01) == 1000
    shelf.free.set()
    assert buffer.flush(PATIENCE) == 0
    assert len(shelf.kept) == 1000


def test_while_the_database_is_away_they_are_kept_and_tried_again(shelf):
    shelf.away = True
    buffer = Buffer(shelf.write, pause=0.0)
    rows = [call() for _ in range(50)]
    for row in rows:
        buffer.add(row)
    assert buffer.flush(0.05) == 50
    shelf.away = False
    assert buffer.flush(PATIENCE) == 0
    assert shelf.kept == rows


def test_of_too_many_the_oldest_go_and_one_line_tells_of_it(shelf, caplog):
    shelf.free.clear()
    buffer = Buffer(shelf.write, pause=0.0, capacity=10, batch=4)
    rows = [call() for _ in range(40)]
    for row in rows:
        buffer.add(row)
    told = [record for record in caplog.records if "dropped" in record.getMessage()]
    assert len(told) == 1, "one line a minute, not one for each"
    assert told[0].levelno == logging.ERROR
    shelf.free.set()
    assert buffer.flush(PATIENCE) == 0
    assert shelf.kept[-10:] == rows[-10:]
    assert len(shelf.kept) <= 10 + 4, "what fits, and what was in hand"


def test_what_comes_back_from_a_database_that_is_away_keeps_the_bound_too(shelf):
    shelf.away = True
    shelf.free.clear()
    buffer = Buffer(shelf.write, pause=0.0, capacity=10, batch=10)
    rows = [call() for _ in range(25)]
    for row in rows[:10]:
        buffer.add(row)
    ends = time.monotonic() + PATIENCE
    while buffer.flush(0.001) and not buffer._in_hand:
        assert time.monotonic() < ends
    for row in rows[10:]:
        buffer.add(row)
    shelf.free.set()
    assert buffer.flush(0.05) == 10
    shelf.away = False
    assert buffer.flush(PATIENCE) == 0
    assert shelf.kept == rows[-10:]


def test_a_write_that_breaks_costs_its_calls_and_not_the_thread(caplog):
    kept = []

    def write(rows):
        if not kept:
            kept.append("broke")
            raise RuntimeError("a bug")
        kept.extend(rows)
        return ()

    buffer = Buffer(write, pause=0.0)
    buffer.add(call())
    assert buffer.flush(PATIENCE) == 0
    buffer.add(row := call())
    assert buffer.flush(PATIENCE) == 0
    assert kept == ["broke", row]
    assert "1 recorded calls are lost" in caplog.text


def test_flushing_what_was_never_used_waits_for_nothing():
    began = time.monotonic()
    assert Buffer().flush(3600) == 0
    assert time.monotonic() - began < 60


# --- With the database -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_calls_are_recorded_through_it(registry, buffered):
    http.save(call(registry["resend"]))
    assert metrics.flush() == 0
    assert ApiMetric.objects.get().integration == registry["resend"]


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_table_that_is_locked(registry, buffered):
    with transaction.atomic():
        with connection.cursor() as cursor:  # SQLite has locked all of it by now (BEGIN IMMEDIATE)
            if connection.vendor == "postgresql":
                cursor.execute("LOCK TABLE integration_api_metrics IN ACCESS EXCLUSIVE MODE")
            else:
                cursor.execute("UPDATE integration_registry SET name = name")
        began = time.monotonic()
        for _ in range(500):
            http.save(call(registry["resend"]))
        assert time.monotonic() - began < 15  # a writer waits for 20 s
        assert buffered.flush(0.05) == 500
    assert buffered.flush(30) == 0
    assert ApiMetric.objects.count() == 500


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_taken_back_takes_no_call_back(registry, buffered):
    """The call was made, whatever became of what it was for."""
    with transaction.atomic():
        http.save(call(registry["resend"]))
        transaction.set_rollback(True)
    assert metrics.flush() == 0
    assert ApiMetric.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_can_not_be_written_harms_no_other(registry, caplog):
    gone = Integration(pk=ids.new(), slug="gone")
    rows = [call(registry["resend"]), call(gone), call(registry["resend"], error_message="it broke")]
    assert metrics.store(rows) == ()
    assert ApiMetric.objects.count() == 2
    assert f"GET /v1/things/{{id}} of integration {gone.pk}" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_what_was_written_before_is_passed_over(registry):
    """The commit succeeded, but the connection broke before we heard of it."""
    rows = [call(registry["resend"]) for _ in range(3)]
    metrics.store(rows[:2])
    assert metrics.store(rows) == ()
    assert ApiMetric.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_in_the_middle_keeps_the_rest(registry, monkeypatch):
    create, asked = ApiMetric.objects.bulk_create, []

    def flaky(rows, **options):
        asked.append(len(rows))
        if asked == [3]:
            raise ValueError("one of them is poisonous")
        if asked == [3, 1, 1]:
            raise OperationalError("server closed the connection")
        return create(rows, **options)

    monkeypatch.setattr(ApiMetric.objects, "bulk_create", flaky)
    rows = [call(registry["resend"]) for _ in range(3)]
    assert metrics.store(rows) == rows[1:]
    assert ApiMetric.objects.get() == rows[0]


@pytest.mark.django_db
def test_without_a_buffer_it_is_there_at_once(registry, settings):
    settings.METRICS_BUFFERED = False
    http.save(call(registry["resend"]))
    assert ApiMetric.objects.count() == 1


# --- What is recorded ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("words", ["a\x00b", "half a \ud83d character", "x" * 5000])
def test_whatever_a_provider_says_can_be_stored(registry, words):
    answer = Answer(status=500, headers={}, body=b"", elapsed_ms=1)
    request = http.Request(url="https://example.com", endpoint="/x")
    metric = http._metric(request, registry["resend"], None, "call", answer, 1, words)
    http.save(metric)
    stored = ApiMetric.objects.get().error_message
    assert stored
    assert "\x00" not in stored
    assert len(stored) <= 1000


def test_what_an_answer_tells_of_a_limit():
    limit = Limit(
        requests=300, seconds=60, limit_header="X-Limit", remaining_header="X-Left", reset_header="X-Reset",
        reset="epoch",
    )  # fmt: skip
    told = {"x-limit": "300", "x-left": "12", "x-reset": "1795600000"}
    rate = http.rate_of(Answer(status=200, headers=told, body=b"", elapsed_ms=1), limit)
    assert (rate.limit, rate.remaining) == (300, 12)
    assert rate.resets_at.timestamp() == 1795600000
    assert http.rate_of(Answer(status=200, headers={}, body=b"", elapsed_ms=1), limit) == http.Rate()
    assert http.rate_of(None, limit) == http.rate_of(None, None) == http.Rate()
