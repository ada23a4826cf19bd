"""The lane as a server calls it: ASGI in, ASGI out, with the real writer thread and the real database."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import DataError, OperationalError, connection
from django.utils import timezone
from jwt.algorithms import RSAAlgorithm

from integrations import http, ids
from integrations.models import Activity
from integrations.providers import samples, spec
from integrations.providers.signatures import desk_signer
from tests.headers import told_amiss
from tests.webhooks.conftest import SECRETS, raw, signed
from tests.webhooks.sender import RESEND, Sender
from webhooks import book, insert, lane, writer
from webhooks.models import LaneMinute, Refusal, RefusalTally, SecretUse, Webhook, WebhookLog
from webhooks.services import figures, keys, quarantine, receive
from webhooks.sources import Sources
from webhooks.writer import Busy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("secrets")]

T = TypeVar("T")


@pytest.fixture
def sender() -> Iterator[Sender]:
    one = Sender()
    yield one
    one.stop()


def test_a_genuine_delivery_is_answered_after_it_is_durable(sender):
    got = sender.post(signed("resend"))
    row = WebhookLog.objects.get()
    assert got.status == 200
    assert got.json == {"received": True, "logId": str(row.pk)}
    assert got.headers["content-type"] == "application/json"
    assert got.headers["cache-control"] == "no-store"
    sender.run(sender.lane._writer.drain())  # the workers are woken after the answer, not before it
    assert sender.wakes == 1


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize(
    ("status", "how"),
    [
        (200, {}),
        (401, {"delivery": spec.Delivery(body=b"{}", headers={})}),
        (404, {"path": "/api/webhooks/nobody"}),
        (405, {"method": "PUT"}),
        (413, {"delivery": spec.Delivery(body=b"x" * 1_048_577, headers={})}),
        (415, {"delivery": spec.Delivery(body=b"{}", headers={"content-encoding": "gzip"})}),
        (429, {"delivery": spec.Delivery(body=b"{}", headers={})}),
        (503, {"path": "/api/webhooks/clickatell"}),
    ],
)
def test_every_answer_is_guarded(sender, settings, monkeypatch, https, status, how):
    settings.SECURE_HSTS_SECONDS = 31_536_000 if https else 0
    if status == 503:
        monkeypatch.delenv("CLICKATELL_WEBHOOK_SECRET")
    if status == 429:
        sender.lane._sources = Sources(1)
        monkeypatch.setattr(lane.timezone, "now", lambda: datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC))
        sender.post(**how)
    got = sender.post(**{"delivery": signed("resend")} | how)
    assert (got.status, told_amiss(got.headers, https=https)) == (status, [])


def test_the_same_again_is_a_duplicate_and_still_200(sender):
    first = sender.post(signed("resend")).json["logId"]
    second = sender.post(signed("resend"))
    assert second.status == 200
    assert second.json["duplicateOf"] == first
    assert second.json["logId"] != first


def test_a_forgery_is_401_without_a_word_and_leaves_one_entry(sender):
    delivery = signed("resend")
    forged = spec.Delivery(body=delivery.body + b" ", headers=delivery.headers)
    answers = [sender.post(forged) for _ in range(5)]
    assert [(got.status, got.body) for got in answers] == [(401, b"")] * 5
    assert not WebhookLog.objects.exists()
    entry = Activity.objects.get()
    assert entry.action == "webhook_verification_failed"
    assert entry.details["reason"] == "mismatch"
    assert entry.ip_address == "192.0.2.1"
    assert sender.wakes == 0


def test_a_flood_of_forgeries_leaves_bounded_traces_and_harms_no_genuine_delivery(sender, monkeypatch):
    monkeypatch.setattr(quarantine, "KEPT_PER_HOUR", 20)
    genuine = signed("resend")
    flood = [spec.Delivery(body=b'{"n": %d}' % n, headers=genuine.headers) for n in range(2000)]
    answers = sender.post_all([*flood[:1000], genuine, *flood[1000:]])
    sender.run(sender.lane._book.write())
    refused = Counter(got.status for got in answers)
    assert refused.pop(200) == 1
    assert 120 <= refused[401] <= 240  # a minute's worth for one source; two, if the minute turned
    assert refused.total() == refused[401] + refused[429] == 2000
    hours = RefusalTally.objects.count()  # two, if the clock struck in the middle
    assert Refusal.objects.count() <= 20 * hours
    assert sum(sum(tally.reasons.values()) for tally in RefusalTally.objects.all()) == 2000
    assert Activity.objects.filter(action="webhook_verification_failed").count() <= 2
    assert WebhookLog.objects.count() == 1
    minutes = LaneMinute.objects.all()
    assert sum(minute.refused for minute in minutes) == 2000
    assert sum(minute.received for minute in minutes) == 1


def test_a_source_that_keeps_failing_is_told_to_wait_but_what_is_genuine_is_taken(sender, monkeypatch):
    sender.lane._sources = Sources(3)
    noon = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)
    monkeypatch.setattr(lane.timezone, "now", lambda: noon)
    delivery = signed("resend", now=noon)
    forged = spec.Delivery(body=delivery.body + b" ", headers=delivery.headers)
    answers = [sender.post(forged) for _ in range(5)]
    assert [got.status for got in answers] == [401, 401, 401, 429, 429]
    assert (answers[-1].headers["retry-after"], answers[-1].body) == ("40", b"")
    assert sender.post(delivery).status == 200
    assert sender.post(raw(b"{}"), path="/api/webhooks/zoho/sign").status == 401  # another receiver, another count
    assert Refusal.objects.filter(webhook__webhook_url=RESEND).count() == 3
    sender.run(sender.lane._book.write())
    tally = RefusalTally.objects.get(webhook__webhook_url=RESEND)
    assert (tally.kept, tally.reasons) == (3, {"mismatch": 5})
    monkeypatch.setattr(lane.timezone, "now", lambda: noon + timedelta(minutes=1))
    assert sender.post(forged).status == 401


def test_who_keeps_failing_takes_no_room_from_others_when_large_bodies_are_judged(sender, monkeypatch):
    sender.lane._sources = Sources(1)
    body = json.dumps({"type": "email.sent", "text": "x" * 100_000}).encode()
    genuine = raw(body)
    monkeypatch.setattr(lane, "JUDGING_LIMIT_SUSPECT", 0)
    assert sender.post(genuine).status == 200
    assert sender.post(spec.Delivery(body=body + b" ", headers=genuine.headers)).status == 401
    assert sender.post(raw(body, delivery_id="msg_2")).status == 503
    assert sender.post(signed("resend", delivery_id="small")).status == 200


def test_the_secret_that_proved_a_delivery_is_noted(sender, monkeypatch):
    older = signed("resend")
    old, new = SECRETS["RESEND_WEBHOOK_SECRET"], "whsec_bmV3LXNpZ25pbmcta2V5LTI0Ynl0ZXMh"
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", f"{new},{old}")
    assert sender.post(older).status == 200
    sender.run(sender.lane._book.write())
    assert SecretUse.objects.get().fingerprint == figures.fingerprint(old)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"svix-id": "msg_1"},
        {"svix-id": "msg_1", "svix-timestamp": "1", "svix-signature": "v1,AAAA"},
        {"svix-id": "msg_1", "svix-timestamp": "x", "svix-signature": "\xff"},
        {"svix-id": "msg_1", "svix-timestamp": "9" * 400, "svix-signature": ",,, v1 v1, v2,"},
    ],
)
def test_all_refusals_look_the_same(sender, headers):
    got = sender.post(spec.Delivery(body=b"{}", headers=headers))
    plain = sender.post(spec.Delivery(body=signed("resend").body))
    assert (got.status, got.body, got.headers) == (plain.status, plain.body, plain.headers) == (401, b"", got.headers)


def test_without_a_secret_the_answer_is_503_and_the_log_says_which(sender, monkeypatch):
    delivery = signed("resend")
    monkeypatch.delenv("RESEND_WEBHOOK_SECRET")
    got = sender.post(delivery)
    assert got.status == 503
    assert int(got.headers["retry-after"]) > 0
    assert Activity.objects.get().details["detail"] == "RESEND_WEBHOOK_SECRET is not set."


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_a_mebibyte_is_413(sender, announced):
    delivery = spec.Delivery(body=b"x" * (1_048_576 + 1), headers={} if announced else {"content-length": "1"})
    assert sender.post(delivery).status == 413
    assert not WebhookLog.objects.exists()


def test_a_body_of_exactly_a_mebibyte_is_judged_by_its_signature(sender):
    assert sender.post(spec.Delivery(body=b"x" * 1_048_576)).status == 401


def test_an_unknown_path_is_404(sender):
    assert sender.post(signed("resend"), path="/api/webhooks/stripe").status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_post_is_taken(sender, method):
    got = sender.post(spec.Delivery(body=b""), method=method)
    assert (got.status, got.headers["allow"]) == (405, "POST")


def test_the_probe_of_zoho_desk_is_answered(sender):
    got = sender.post(spec.Delivery(body=b""), path="/api/webhooks/zoho/desk", method="GET")
    assert got.status == 200


def test_a_compressed_body_is_refused(sender):
    assert sender.post(spec.Delivery(body=b"x", headers={"content-encoding": "gzip"})).status == 415


def test_a_sender_that_leaves_in_mid_sentence_leaves_nothing(sender):
    assert sender.post(signed("resend"), leave=True).status == 0
    assert not WebhookLog.objects.exists()


def test_a_body_in_small_pieces_is_whole(sender):
    assert sender.post(signed("resend"), chunk=7).status == 200


def test_many_at_once_are_all_kept_and_share_commits(sender):
    answers = sender.post_all([signed("resend", delivery_id=f"msg_{n}") for n in range(300)])
    assert Counter(got.status for got in answers) == {200: 300}
    acknowledged = {got.json["logId"] for got in answers}
    assert acknowledged == {str(pk) for pk in WebhookLog.objects.values_list("pk", flat=True)}
    assert sender.wakes < 300


def test_five_hundred_times_the_same_is_one_event(sender):
    again = 500
    for _ in range(5):  # on a busy machine a commit may take too long; whoever hears 503 sends it again
        answers = sender.post_all([signed("resend") for _ in range(again)])
        assert {got.status for got in answers} <= {200, 503}
        again = sum(got.status == 503 for got in answers)
        if not again:
            break
    assert not again
    rows = Counter(WebhookLog.objects.values_list("status", flat=True))
    assert rows.pop("pending") == 1
    assert set(rows) == {"duplicate"}
    assert rows["duplicate"] >= 499


def refusing(monkeypatch, refuse: Callable[[Sequence[WebhookLog]], Exception | None]) -> list[int]:
    """Let the database raise what `refuse` says, whichever way the rows come; returns the sizes of what was tried."""
    tried: list[int] = []
    quick, careful = insert.Inserter.insert, receive.store

    def look(rows: Sequence[WebhookLog]) -> None:
        tried.append(len(rows))
        if error := refuse(rows):
            raise error

    async def picky_insert(self: insert.Inserter, rows: Sequence[WebhookLog]) -> set[UUID]:
        look(rows)
        return await quick(self, rows)

    def picky_store(rows: Sequence[WebhookLog]) -> None:
        look(rows)
        careful(rows)

    monkeypatch.setattr(insert.Inserter, "insert", picky_insert)
    monkeypatch.setattr(receive, "store", picky_store)
    return tried


def test_one_poisonous_row_harms_nobody_else(sender, monkeypatch):
    """Whatever a database may refuse in a row, its neighbours in the same commit are kept, and so are its bytes."""

    def poison(rows):
        if any(row.payload and row.idempotency_key.endswith("poison") for row in rows):
            return DataError("unsupported Unicode escape sequence: a person's name")
        return None

    refusing(monkeypatch, poison)
    answers = sender.post_all([signed("resend", delivery_id=name) for name in ("a", "b", "poison", "c")])
    assert [got.status for got in answers] == [200] * 4
    poisoned = WebhookLog.objects.get(idempotency_key__endswith="poison")
    assert (poisoned.status, poisoned.payload) == ("failed", None)
    assert bytes(poisoned.body)
    assert "person" not in poisoned.error_message
    assert WebhookLog.objects.filter(status="pending").count() == 3


def test_while_the_database_is_away_senders_are_told_to_come_again(sender, monkeypatch):
    sender.post(signed("resend", delivery_id="before"))
    monkeypatch.setattr(writer, "BACK_OFF_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        refusing(patch, lambda rows: OperationalError("server closed the connection unexpectedly"))
        got = sender.post(signed("resend", delivery_id="during"))
        assert got.status == 503
        assert got.headers["retry-after"]
    assert sender.post(signed("resend", delivery_id="during")).status == 200


def test_once_the_database_is_known_to_be_away_nobody_waits_for_it(sender, monkeypatch):
    sender.post(signed("resend", delivery_id="before"))
    tried = refusing(monkeypatch, lambda rows: OperationalError("connection refused"))
    answers = [sender.post(signed("resend", delivery_id=f"m{n}")).status for n in range(5)]
    assert answers == [503] * 5
    assert len(tried) == 2  # the first, and once more on a new connection


def test_a_database_that_hangs_is_a_503_in_time_for_the_sender(sender, monkeypatch):
    gate = threading.Event()
    sender.post(signed("resend", delivery_id="before"))

    async def hang(self: insert.Inserter, rows: Sequence[WebhookLog]) -> set[UUID]:
        await asyncio.to_thread(gate.wait, 10)
        return set()

    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(insert.Inserter, "insert", hang)
    monkeypatch.setattr(receive, "store", lambda rows: gate.wait(10))
    assert sender.post(signed("resend")).status == 503
    gate.set()


def test_a_connection_that_broke_is_replaced_without_losing_a_delivery(sender, monkeypatch):
    tried = refusing(monkeypatch, lambda rows: OperationalError("connection lost") if len(tried) == 1 else None)
    assert sender.post(signed("resend")).status == 200
    assert WebhookLog.objects.count() == 1


def test_a_backend_that_was_ended_is_replaced(sender):
    """PostgreSQL restarted between two deliveries."""
    sender.post(signed("resend", delivery_id="before"))
    if connection.vendor == "postgresql":  # SQLite has no backends to end
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'webhook-lane' AND datname = current_database()"
            )
            assert cursor.fetchone()[0] >= 1
    assert sender.post(signed("resend", delivery_id="after")).status == 200


def test_a_full_queue_is_503_not_a_wait(sender, monkeypatch):
    """Full in number, or in bytes."""
    gate = threading.Event()
    sender.post(signed("resend", delivery_id="before"))

    async def hang(self: insert.Inserter, rows: Sequence[WebhookLog]) -> set[UUID]:
        await asyncio.to_thread(gate.wait, 10)
        return {row.pk for row in rows}

    monkeypatch.setattr(insert.Inserter, "insert", hang)
    monkeypatch.setattr(receive, "store", lambda rows: gate.wait(10))

    async def fill(size: int) -> int:
        one, refused, futures = sender.lane._writer, 0, []
        for _ in range(10):
            try:
                futures.append(one.store([WebhookLog(webhook_id=ids.new())], size))
            except Busy:
                refused += 1
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*futures)
        return refused

    sender.lane._writer.capacity = 2
    assert sender.run(fill(1)) >= 7
    gate.clear()
    sender.lane._writer.capacity, sender.lane._writer.capacity_bytes = 1000, 250
    assert sender.run(fill(100)) >= 7


def test_what_was_queued_is_committed_before_the_lane_ends(route):
    one = Sender()

    rows = [
        receive.admit(route("resend"), signed("resend", delivery_id=str(n)), now=timezone.now()) for n in range(20)
    ]

    async def leave() -> list[asyncio.Future[None]]:
        done = [one.lane._writer.store(row, 100) for row in rows]
        await one.lane.stop()
        return done

    done = one.run(leave())
    assert all(future.done() and future.exception() is None for future in done)
    assert WebhookLog.objects.count() == 20


def test_both_ways_into_the_table_write_the_same(sender, route):
    """The quick one knows the columns by heart; here is where it shows if one was forgotten."""
    delivery = signed("resend")
    sender.post(delivery)
    quick = WebhookLog.objects.get()
    WebhookLog.objects.all().delete()
    receive.store(receive.admit(route("resend"), delivery, now=quick.created_at))
    careful = WebhookLog.objects.get()
    differing = {
        field.attname
        for field in WebhookLog._meta.concrete_fields
        if _comparable(getattr(quick, field.attname)) != _comparable(getattr(careful, field.attname))
    }
    assert differing <= {"id", "stored_at", "headers"}  # a server adds the length of the body
    assert quick.headers.items() >= careful.headers.items()
    assert quick.sent_at is not None


def _comparable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def test_a_large_body_is_judged_beside_the_loop_and_only_so_many_at_once(sender, monkeypatch):
    body = json.dumps({"type": "email.sent", "text": "x" * 100_000}).encode()
    genuine = raw(body)
    assert sender.post(genuine).status == 200
    monkeypatch.setattr(lane, "JUDGING_LIMIT", 0)
    assert sender.post(raw(body, delivery_id="msg_2")).status == 503
    assert sender.post(signed("resend", delivery_id="small")).status == 200


def test_a_delivery_of_many_events_keeps_its_bytes_once(sender, desk):
    events = [{**samples.load("zoho-desk", "Ticket_Add"), "eventTime": str(n)} for n in range(3)]
    delivery = desk.new_key("k1", payload=events)
    got = sender.post(delivery, DESK)
    first, *others = WebhookLog.objects.order_by("id")
    assert got.json["logIds"] == [str(first.pk), *(str(row.pk) for row in others)]
    assert bytes(first.body) == delivery.body
    assert {bytes(row.body) for row in others} == {b""}
    assert {row.raw_body() for row in others} == {delivery.body}


def test_an_inactive_webhook_still_stores(sender):
    Webhook.objects.update(is_active=False)
    assert sender.post(signed("resend")).status == 200
    assert WebhookLog.objects.get().status == "pending"


# --- Zoho Desk: judged by keys that the provider publishes -----------------------------------------------------------

DESK = "/api/webhooks/zoho/desk"


class Desk:
    """Plays Zoho Desk: signs with `kid`, publishes `keys`, counts who asked for them."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.away = False

    def new_key(self, kid: str, payload: Any = None) -> spec.Delivery:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        self.keys = [{**public, "kid": kid, "use": "sig", "alg": "RS256"}]
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        payload = payload or samples.load("zoho-desk", "Ticket_Add")
        sign = desk_signer(pem, kid=kid)
        return sign(payload, SECRETS["ZOHO_ORG_ID"], now=timezone.now().timestamp(), delivery_id=kid)

    def publish(self, request: http.Request, **_: Any) -> spec.Answer:
        self.asked += 1
        if self.away:
            raise http.Unreachable("no answer")
        return spec.Answer(status=200, headers={}, body=json.dumps({"keys": self.keys}).encode(), elapsed_ms=1)


@pytest.fixture
def desk(monkeypatch) -> Iterator[Desk]:
    one = Desk()
    monkeypatch.setattr(http, "send", one.publish)
    keys._kept.clear()
    yield one
    keys._kept.clear()


def test_a_desk_delivery_is_judged_by_the_published_keys_which_are_kept(sender, desk):
    delivery = desk.new_key("k1")
    assert [sender.post(delivery, DESK).status for _ in range(3)] == [200] * 3
    assert desk.asked == 1
    assert WebhookLog.objects.filter(status="pending").count() == 1


def test_a_new_key_is_fetched_when_it_is_first_seen(sender, desk, monkeypatch):
    sender.post(desk.new_key("k1"), DESK)
    rotated = desk.new_key("k2")
    monkeypatch.setattr(keys, "REFETCH_SECONDS", 0.0)
    assert sender.post(rotated, DESK).status == 200
    assert desk.asked == 2


def test_made_up_key_names_do_not_make_us_call_the_provider_at_will(sender, desk):
    sender.post(desk.new_key("k1"), DESK)
    published = desk.keys
    forged = [desk.new_key(f"forged-{n}") for n in range(3)]
    desk.keys = published
    assert [sender.post(one, DESK).status for one in forged] == [401] * 3
    assert desk.asked == 1


def test_without_any_key_the_sender_is_told_to_come_again(sender, desk, monkeypatch):
    delivery = desk.new_key("k1")
    desk.away = True
    assert [sender.post(delivery, DESK).status for _ in range(3)] == [503] * 3
    assert desk.asked == 1  # a provider that gives no keys is asked once a minute, whoever knocks here
    desk.away = False
    monkeypatch.setattr(keys, "REFETCH_SECONDS", 0.0)
    assert sender.post(delivery, DESK).status == 200


def test_yesterdays_keys_serve_while_the_provider_is_away(sender, desk, monkeypatch):
    delivery = desk.new_key("k1")
    sender.post(delivery, DESK)
    desk.away = True
    monkeypatch.setattr(keys, "LIFE_SECONDS", 0.0)
    assert sender.post(delivery, DESK).status == 200
    assert desk.asked == 2


# --- The pulse -------------------------------------------------------------------------------------------------------


def test_a_lane_that_was_started_says_again_and_again_that_it_is_there(sender, monkeypatch):
    monkeypatch.setattr(book, "WRITE_SECONDS", 0)
    monkeypatch.setattr(book, "PULSE_SECONDS", 0.05)

    async def until_it_is_said() -> list[tuple[int, int, int]]:
        for _ in range(200):
            await asyncio.sleep(0.02)
            if said := await asyncio.to_thread(_taken_away):
                return said
        return []

    async def idle() -> list[list[tuple[int, int, int]]]:
        sender.lane.start()
        return [await until_it_is_said(), await until_it_is_said()]

    first, again = sender.run(idle())
    assert set(first) == set(again) == {(0, 0, 0)}


def _taken_away() -> list[tuple[int, int, int]]:
    try:
        said = list(LaneMinute.objects.values_list("received", "refused", "commits"))
        LaneMinute.objects.all().delete()
        return said
    finally:
        connection.close()


def test_the_server_starts_the_lane_and_stops_it(monkeypatch):
    from config import asgi

    called, said = [], []

    class Played:
        def start(self) -> None:
            called.append("start")

        async def stop(self) -> None:
            called.append("stop")

    async def receive_() -> dict[str, str]:
        return {"type": "lifespan.shutdown" if said else "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        said.append(message["type"])

    monkeypatch.setattr(asgi, "lane", Played())
    asyncio.run(asgi.application({"type": "lifespan"}, receive_, send))
    assert called == ["start", "stop"]
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
