"""What is written into the log: one JSON object a line, whatever somebody wants it to be, and nothing secret."""

import json
import logging
import sys
import threading
from typing import Any

import pytest
import structlog
from celery import Celery
from celery.contrib.testing.worker import start_worker
from structlog.contextvars import bound_contextvars, get_contextvars

from config import celery, logs
from config.middleware import RequestIdMiddleware
from integrations import http, redaction
from integrations.models import Integration
from webhooks.wake import Waker

FORGED = (
    '\r\n{"at": "now", "level": "info", "message": "all is well"}'
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u2028\u2029\u202e\u2066\x85"
)
TROUBLE = set("\r\n\x1b\x07\x9b\u2028\u2029\u202e\u2066\x85\x00\u200b")
KEY = "sk_live_4f9a8b7c6d5e4f3a2b1c"


def record(message: object = "x", *args: object, name: str = "a.logger", exc_info: Any = None, **extra: Any) -> Any:
    row = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, exc_info)  # type: ignore[arg-type]
    row.__dict__.update(extra)
    return row


def written(row: logging.LogRecord) -> dict[str, Any]:
    line = logs.Line().format(row)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    told: dict[str, Any] = json.loads(line)
    return told


def raised(error: BaseException) -> Any:
    try:
        raise error
    except type(error):
        return sys.exc_info()


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in strings(one))]
    return [text for one in value for text in strings(one)] if isinstance(value, list) else [str(value)]


def test_a_line_says_when_how_bad_who_and_what():
    with bound_contextvars(request_id="req-12345678"):
        told = written(record("%d of %s", 3, "ten"))
    assert list(told) == ["at", "level", "logger", "message", "request_id"]
    assert told | {"at": ""} == {
        "at": "", "level": "warning", "logger": "a.logger", "message": "3 of ten", "request_id": "req-12345678"
    }  # fmt: skip
    assert told["at"].endswith("+00:00")
    assert "request_id" not in written(record())


# --- Hostile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        record(FORGED),
        record("asked for %s", FORGED),
        record("x", name=f"app{FORGED}"),
        record("x", **{FORGED: FORGED}),
        record("x", deep={FORGED: [FORGED, {FORGED}]}),
        record("broke", exc_info=raised(ValueError(FORGED))),
        record("broke", exc_info=raised(type(f"E{FORGED}", (Exception,), {})(FORGED))),
        record("broke", exc_info=raised(ExceptionGroup(FORGED, [ValueError(FORGED)]))),
        record("%s and %s", "too few"),
        record("%d", FORGED),
        record({"event": FORGED}),
        record("lone \ud800 half \x00 NUL"),
    ],
    ids=lambda row: str(row.msg)[:8].strip(),
)
def test_nothing_in_it_can_forge_a_line_or_steer_a_terminal(row):
    told = written(row)
    for name, value in told.items():
        for text in strings(value):
            assert not TROUBLE & set(text.replace("\n", "") if name == "traceback" else text)
    frames = [line for line in told.get("traceback", "").split("\n") if '"all is well"' in line]
    assert all(line.lstrip("| ").startswith(("E", "ValueError", "  ")) for line in frames), "an error is one line"


def test_own_keys_are_nobody_elses_to_give():
    given = {"at": "then", "level": "info", "logger": "other", "event": "y", "request_id": "z", "traceback": "w"}
    told = written(record("x", **given))
    assert (told["message"], told["level"], told["logger"]) == ("x", "warning", "a.logger")
    assert not {"request_id", "traceback", "event"} & set(told)
    assert told["at"] != "then"


def test_what_can_not_be_said_is_told_without_its_arguments():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(KEY)

    assert written(record("%s", Broken()))["message"] == "A line could not be written (RuntimeError)"
    assert written(record("%d %d", KEY))["message"] == "A line could not be written (TypeError)"
    assert (
        "(it can't be told)"
        in written(record("x", exc_info=raised(type("E", (Exception,), {"__str__": lambda _: 1 / 0})())))["traceback"]
    )


def test_a_text_of_any_length_ends():
    assert len(written(record("x" * 10**6))["message"]) == logs.LONGEST


# --- Secrets and payloads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"Authorization: Bearer {KEY}",
        "password=hunter2",
        "{'client_secret': 'hunter2'}",
        '{"token": "hunter2"}',
        "GET https://api.example.com/x?key=hunter2&a=b",
        "redis://:hunter2@host:6379/0",
        "Cookie: hunter2",
        "thandi@example.com called from +27821234567 about hunter2@example.com",
    ],
)
@pytest.mark.parametrize("where", ["message", "args", "extra", "list", "error", "cause", "structlog"])
def test_what_looks_like_a_secret_is_not_written(text, where, capsys):
    match where:
        case "message":
            row = record(text)
        case "args":
            row = record("said %s", text)
        case "extra":
            row = record("x", what=text)
        case "list":
            row = record("x", what=[{"deep": text}])
        case "error":
            row = record("x", exc_info=raised(ValueError(text)))
        case "cause":
            error = RuntimeError("over")
            error.__cause__ = ValueError(text)
            row = record("x", exc_info=raised(error))
        case "structlog":
            row = record({"event": "x", "what": text}, _logger=None, _name="warning")
    line = json.dumps(written(row))
    assert not [word for word in ("hunter2", KEY, "thandi", "7821234567") if word in line]


@pytest.mark.parametrize("name", ["payload", "body", "headers", "Payload", "access_token", "apiKey", "client_secret"])
def test_what_is_called_a_payload_or_a_secret_is_left_out(name):
    told = written(record("x", **{name: "canary"}, deep={name: {"a": "canary"}}))
    assert (told[name], told["deep"]) == (logs.LEFT_OUT, {name: logs.LEFT_OUT})


@pytest.mark.parametrize(
    ("message", "args", "told"),
    [
        ("could not do %s", ({"name": "canary"},), "could not do <dict>"),
        ("%s of %s", ([{"name": "canary"}], b"canary"), "<list> of <bytes>"),
        ("%(name)s of %(all)s", ({"name": "three", "all": {"x": "canary"}},), "three of <dict>"),
        ("100 %% of %d", (3,), "100 % of 3"),
    ],
)
def test_an_object_among_the_arguments_is_no_words(message, args, told):
    assert written(logging.LogRecord("a", logging.INFO, __file__, 1, message, args, None))["message"] == told


def test_of_an_object_the_type_is_told(rf):
    told = written(record("x", request=rf.get("/x?code=canary"), number=3, rate=0.5, yes=True, none=None))
    assert told["request"] == "<WSGIRequest>"
    assert (told["number"], told["rate"], told["yes"], told["none"]) == (3, 0.5, True, None)


def test_a_secret_that_this_process_was_given_is_known_in_any_shape(monkeypatch, tmp_path):
    guid = "0c9e7f3a-1111-4222-8333-944455556666"
    (tmp_path / "secret").write_text("filed secret\n")
    monkeypatch.setenv("NETCASH_SERVICE_KEY", guid)
    monkeypatch.setenv("WEBHOOK_X_SECRET", "new secret,old secret")
    monkeypatch.setenv("CRON_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("GONE_SECRET_FILE", str(tmp_path / "gone"))
    logs.known.cache_clear()
    try:
        line = json.dumps(written(record(f"{guid}, new secret, old secret, filed secret", **{guid: 1})))
    finally:
        monkeypatch.undo()
        logs.known.cache_clear()
    assert not [word for word in (guid, "new secret", "old secret", "filed secret") if word in line]


def test_ids_of_rows_and_the_witness_of_the_activity_log_are_written():
    row, digest = (
        "01a21de4-adcf-71f6-888f-77a890dbae84",
        "2f34dbb7304d7ca63166c649c7ea509f5646df861599ad85bf80ce345f8a1e46",
    )
    assert written(record("event %s", row))["message"] == f"event {row}"
    assert digest in written(record("Activity #1 %s", digest, name="integrations.activity"))["message"]
    assert digest not in written(record("Activity #1 %s", digest))["message"]


def test_of_a_statement_no_value_is_written():
    told = written(
        record("(0.001) INSERT INTO t VALUES ('can''ary', 'x'); args=('canary',)", name="django.db.backends")
    )
    assert told["message"] == "(0.001) INSERT INTO t VALUES ('…', '…')"


def test_a_traceback_shows_the_way_and_no_variable():
    row = "Failing row contains (canary)."

    def deep(secret: str) -> None:
        local = f"{secret} canary"
        raise LookupError(f"no such row{local[:0]}\nDETAIL:  {row}")

    try:
        try:
            deep("canary")
        except LookupError as error:
            raise RuntimeError("over") from error
    except RuntimeError:
        told = written(record("x", exc_info=sys.exc_info()))["traceback"]
    assert told.index("LookupError: no such row") < told.index("direct cause") < told.index("RuntimeError: over")
    assert "in deep" in told
    assert "Failing row" not in told
    assert "canary" not in told.replace('f"{secret} canary"', "").replace('deep("canary")', "")


def test_at_a_terminal_a_line_is_for_a_person_and_as_harmless():
    line = logs.Line(readable=True).format(record(f"{FORGED} {KEY}", exc_info=raised(ValueError(FORGED))))
    assert not line.startswith("{")
    assert not (TROUBLE - set("\n\x1b")) & set(line)
    assert "\x1b[2J" not in line
    assert KEY not in line
    assert "ValueError: " in line


@pytest.mark.parametrize(
    "text", ["The check of mtn-coverage broke", "3 of 40 hours rolled up.", "integration_webhook_logs"]
)
def test_plain_words_stay(text):
    assert redaction.for_a_log(text) == text


def test_who_asks_structlog_for_a_logger_writes_the_same_way(caplog):
    with bound_contextvars(request_id="req-12345678"), caplog.at_level(logging.INFO):
        try:
            raise ValueError(FORGED)
        except ValueError:
            structlog.get_logger("a.logger").exception("it broke", token="canary")
        told = written(caplog.records[-1])
    assert (told["message"], told["token"], told["request_id"]) == ("it broke", logs.LEFT_OUT, "req-12345678")
    assert told["traceback"].split("\n")[-1].startswith("ValueError: ")


# --- From the click to the provider ----------------------------------------------------------------------------------


def test_a_request_bears_its_id_and_leaves_none_behind(rf):
    seen = []

    def view(request):
        seen.append(get_contextvars().get("request_id"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        RequestIdMiddleware(view)(rf.get("/", headers={"X-Request-ID": "from-the-proxy"}))
    assert seen == ["from-the-proxy"]
    assert "request_id" not in get_contextvars()


@pytest.fixture
def ran():
    """A real worker on a broker in memory; gives a way to send it a task, and what the task saw."""
    app, seen, done = Celery("t", broker="memory://", set_as_current=False), [], threading.Semaphore(0)
    app.conf.update(worker_hijack_root_logger=False, task_ignore_result=True)

    @app.task(name="look")
    def look() -> None:
        seen.append(get_contextvars().get("request_id"))
        done.release()

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):

        def send(**headers: object) -> object:
            sent = app.send_task("look", headers=headers)
            assert done.acquire(timeout=20)
            return sent.id, seen.pop()

        yield send


def test_what_a_click_sets_off_bears_its_id_in_the_worker(ran):
    assert celery.REQUEST_ID == "request_id"
    with bound_contextvars(request_id="req-12345678"):
        assert ran()[1] == "req-12345678"
    task, own = ran()
    assert own == task, "without a click it is the run's own"
    task, own = ran(request_id=f"forged{FORGED}")
    assert own == task
    task, own = ran(request_id=7)
    assert own == task


def test_who_wakes_a_worker_from_a_side_thread_is_known_to_it():
    seen, published = [], threading.Event()

    def publish() -> None:
        seen.append(get_contextvars().get("request_id"))
        published.set()

    with bound_contextvars(request_id="req-12345678"):
        Waker(publish).wake()
    assert published.wait(10)
    assert seen == ["req-12345678"]


def test_a_call_to_a_provider_is_a_line_without_what_was_asked(sandbox, settings, caplog):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    asked = http.Request(
        url=f"{sandbox.url}/canary-path?key=canary", endpoint="/oauth/token", body=b"canary", method="POST"
    )
    with bound_contextvars(request_id="req-12345678"), caplog.at_level(logging.INFO, logger="integrations.http"):
        http.send(asked, integration=Integration(slug="acme"), sink=lambda metric: None)
        told = written(next(row for row in caplog.records if row.name == "integrations.http"))
    assert told["message"].startswith("Called acme: POST /oauth/token, 404 in ")
    assert told["request_id"] == "req-12345678"
    assert "canary" not in json.dumps(told)
