"""The main job, end to end, with real processes: a signed webhook comes in and is seen, while all ten are checked.

Each test runs on SQLite alone (what `make run` gives) and on PostgreSQL with Redis. Events are signed by the package
`svix`, not by our own code.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from svix.webhooks import Webhook

from tests.flows.system import RESEND_SECRET, System, as_json, running

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("flows")]

RECEIVER = "/api/webhooks/resend"
LOGS = "integration_webhook_logs"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp(request.param), request.param) as one:
        yield one


def signed(delivery_id: str, body: bytes | None = None) -> tuple[dict[str, str], bytes]:
    """A Resend event with the headers that `svix` makes for it."""
    payload = {"type": "email.delivered", "created_at": "2026-11-22T10:00:00.000Z", "data": {"email_id": delivery_id}}
    content = body if body is not None else json.dumps(payload).encode()
    now = datetime.now(UTC)
    signature = Webhook(RESEND_SECRET).sign(delivery_id, now, content.decode())
    return {
        "content-type": "application/json",
        "svix-id": delivery_id,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": signature,
    }, content


def post(system: System, headers: dict[str, str], body: bytes) -> requests.Response:
    return requests.post(system.url + RECEIVER, data=body, headers=headers, timeout=10)


def minutes_of_refusals(system: System) -> list[str]:
    """In which minute each delivery came whose wrong signature has an entry, whose `createdAt` can be in the next."""
    found = system.rows(
        "SELECT once_key FROM integration_activity_log"
        " WHERE action = 'webhook_verification_failed' AND integration_slug = 'resend'"
    )
    return [key.rpartition(":")[2] for (key,) in found if ":mismatch:" in key]


def test_all_ten_get_a_status_and_events_flow_in_as_processed(system):
    def settled() -> bool:
        health = system.api("/health")
        return health["summary"]["unknown"] == 0 and len(health["integrations"]) == 10

    system.wait_until(settled, seconds=60, what="a status for each of the ten")
    system.wait_until(lambda: system.logs(status="processed"), seconds=60, what="a processed event")
    assert {token["status"] for token in system.api("/oauth/tokens")["tokens"]} == {"valid"}


def test_a_signed_event_is_acknowledged_stored_and_processed_within_five_seconds(system):
    started = time.monotonic()
    answer = post(system, *signed("msg_first"))
    assert answer.status_code == 200
    assert set(answer.json()) == {"received", "logId"}
    log_id = answer.json()["logId"]

    def processed() -> bool:
        return any(row["id"] == log_id and row["status"] == "processed" for row in system.logs(search="msg_first"))

    system.wait_until(processed, seconds=5, what="the event as processed")
    assert time.monotonic() - started < 6


def test_the_same_event_again_is_a_duplicate(system):
    headers, body = signed("msg_twice")
    first, second = post(system, headers, body).json(), post(system, headers, body)
    assert second.status_code == 200
    assert second.json()["duplicateOf"] == first["logId"]
    rows = {row["id"]: row for row in system.logs(search="msg_twice")}
    assert rows[second.json()["logId"]]["status"] == "duplicate"
    assert rows[second.json()["logId"]]["duplicateOf"] == first["logId"]


def test_one_changed_byte_is_refused_without_a_trace_but_one_entry(system):
    headers, body = signed("msg_forged")
    minutes = {f"{datetime.now(UTC):%Y%m%d%H%M}"}
    answers = [post(system, headers, body.replace(b"delivered", b"delayed")) for _ in range(3)]
    minutes |= {f"{datetime.now(UTC):%Y%m%d%H%M}"}
    assert [(answer.status_code, answer.content) for answer in answers] == [(401, b"")] * 3
    assert system.logs(search="msg_forged") == []
    told = system.api("/activity", action="webhook_verification_failed", integration="resend")["activities"]
    assert "mismatch" in {entry["details"]["reason"] for entry in told}
    assert 1 <= len([minute for minute in minutes_of_refusals(system) if minute in minutes]) <= len(minutes)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("two mebibytes", b"x" * 2 * 1024 * 1024, 413),
        ("nul", rb'{"type": "email.sent", "note": "\u0000"}', 200),
        ("nested", b"[" * 10_000 + b"]" * 10_000, 200),
        ("endless number", b'{"n": ' + b"9" * 100_000 + b"}", 200),
        ("half a surrogate", rb'{"type": "\ud800"}', 200),
        ("empty", b"", 200),
    ],
)
def test_hostile_bytes_are_answered_and_never_break_anything(system, name, body, status):
    delivery_id = f"msg_hostile_{name.replace(' ', '_')}"
    answer = post(system, *signed(delivery_id, body))
    assert answer.status_code == status
    if status == 200:
        kept = system.rows(f"SELECT body FROM integration_webhook_logs WHERE id = '{_stored(system, answer)}'")
        assert bytes(kept[0][0]) == body


def test_broken_utf8_is_refused_or_kept_but_never_a_failure_of_ours(system):
    headers, _ = signed("msg_utf8")
    assert post(system, headers, b"\xff\xfe\x00").status_code == 401


def test_every_one_of_2000_posts_at_once_that_was_acknowledged_is_there(system):
    deliveries = [signed(f"storm_{number:04}") for number in range(2000)]
    answers = system.post_all(RECEIVER, deliveries)
    statuses = Counter(status for status, _ in answers)
    acknowledged = [as_json(body)["logId"] for status, body in answers if status == 200]
    stored = system.rows(
        "SELECT CAST(id AS VARCHAR(36)), status FROM integration_webhook_logs WHERE idempotency_key LIKE '%storm_%'"
    )
    assert set(statuses) <= {200, 503}, statuses
    assert statuses[200] >= 1900, statuses
    assert {_plain(row_id) for row_id, _ in stored} == {_plain(row_id) for row_id in acknowledged}
    assert len(acknowledged) == len(stored)

    def all_processed() -> bool:
        done = f"SELECT COUNT(*) FROM {LOGS} WHERE idempotency_key LIKE '%storm_%' AND status = 'processed'"
        return system.rows(done)[0][0] == len(acknowledged)

    system.wait_until(all_processed, seconds=90, what="all of them as processed")


def test_five_hundred_times_the_same_at_once_is_one_event_and_one_effect(system):
    answers = system.post_all(RECEIVER, [signed("same_500")] * 500)
    told = [as_json(body) for status, body in answers if status == 200]
    assert len(told) == 500
    (first,) = {answer["logId"] for answer in told if "duplicateOf" not in answer}
    assert {answer["duplicateOf"] for answer in told if "duplicateOf" in answer} == {first}
    assert len({answer["logId"] for answer in told}) == 500
    same = f"FROM {LOGS} WHERE idempotency_key LIKE '%same_500%'"
    system.wait_until(
        lambda: (
            dict(system.rows(f"SELECT status, COUNT(*) {same} GROUP BY status")) == {"processed": 1, "duplicate": 499}
        ),
        seconds=30,
        what="one processed and 499 duplicates",
    )
    assert system.rows(f"SELECT MAX(attempts), SUM(attempts) {same}") == [(1, 1)]


def test_a_failed_attempt_shows_at_once_with_its_next_time_and_as_processed_after_the_retry(system):
    system.fault("netcash", "fail")
    order = {"provider": "netcash", "count": 8}
    requests.post(f"{system.sandbox_url}/_sandbox/send", json=order, timeout=5).raise_for_status()
    failed = system.wait_until(
        lambda: system.logs(integration="netcash", status="failed"), seconds=30, what="a failed event"
    )[0]
    assert failed["nextAttemptAt"] > failed["createdAt"]
    assert failed["errorMessage"]
    system.fault("netcash", "")
    system.wait_until(
        lambda: not system.logs(integration="netcash", status="failed"), seconds=60, what="all of them as processed"
    )
    (log,) = (log for log in system.logs(integration="netcash") if log["id"] == failed["id"])
    assert (log["status"], log["nextAttemptAt"]) == ("processed", None)
    assert log["retryCount"] >= 1


def test_kill_9_of_the_worker_that_holds_an_event_loses_nothing(system):
    """The worker asks NetCash about a payment, NetCash hangs, and the worker is killed in the middle."""
    system.fault("netcash", "hang")
    # One that came earlier may have had its answer before NetCash began to hang.
    earlier = {row_id for (row_id,) in system.rows(f"SELECT CAST(id AS VARCHAR(36)) FROM {LOGS} WHERE NOT verified")}
    # Several, since the simulated NetCash adds a hash to some, and those need no asking.
    order = {"provider": "netcash", "count": 8}
    requests.post(f"{system.sandbox_url}/_sandbox/send", json=order, timeout=5).raise_for_status()
    held = f"SELECT CAST(id AS VARCHAR(36)) FROM {LOGS} WHERE NOT verified AND attempts = 1 AND status = 'pending'"

    def in_hand() -> set[str]:
        return {row_id for (row_id,) in system.rows(held)} - earlier

    row_id = system.wait_until(in_hand, seconds=30, what="an event in the worker's hands").pop()

    killed = system.kill_child(" worker ")
    system.fault("netcash", "")
    system.wait_until(lambda: system.child(" worker ") not in (0, killed), seconds=30, what="a new worker")

    state = f"SELECT status, attempts FROM integration_webhook_logs WHERE id = '{row_id}'"
    system.wait_until(lambda: system.rows(state)[0][0] == "processed", seconds=90, what="the event as processed")
    assert system.rows(state)[0][1] >= 2
    attempts = f"SELECT COUNT(*) FROM integration_webhook_attempts WHERE log_id = '{row_id}' AND error = ''"
    assert system.rows(attempts)[0][0] <= 1
    assert "killed by SIGKILL" in system.said()
    assert "worker is running again" in system.said()


def test_the_activity_chain_still_holds(system):
    assert "is whole" in system.manage("verify_activity")


def _stored(system: System, answer: requests.Response) -> str:
    log_id: str = answer.json()["logId"]
    return log_id if "DATABASE_URL" in system.env else log_id.replace("-", "")


def _plain(row_id: str) -> str:
    return row_id.replace("-", "")
