"""Forwarding, to a real server that hangs, resets, redirects, refuses."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook as Standard

from integrations.actor import Actor
from integrations.models import Activity, Integration
from integrations.providers.spec import ProviderError
from tests.webhooks.conftest import signed
from webhooks.models import Attempt, Forward, Webhook, WebhookLog
from webhooks.services import forward, process, receive

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("secrets")]

SECRET = "whsec_Zm9yd2FyZC1zZWNyZXQtMjQtYnl0ZXMh"
OLD_SECRET = "whsec_b2xkLWZvcndhcmQtc2VjcmV0LTI0Ynk="


@dataclass
class Target:
    """Answers by path: /ok, /hang, /reset, /redirect, /nul, /gone, /busy, or /<status>. `got` is what reached /ok."""

    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def target(settings, monkeypatch) -> Iterator[Target]:
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setenv("WEBHOOK_FORWARD_SECRET", SECRET)
    one = Target()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.partition("?")[0]
            one.asked.append(path)
            if path == "/hang":
                one.released.wait(20)
            if path == "/reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            if path == "/ok":
                one.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            known = {"/ok": 200, "/redirect": 302, "/nul": 302, "/gone": 410, "/busy": 429, "/hang": 200}
            status = known.get(path, 500)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/a\x00b" if path == "/nul" else one.url("/ok"))
            if status == 429:
                self.send_header("Retry-After", "1800")
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"a\x00b\xffc")

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    one.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield one
    one.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def event(route) -> Callable[..., WebhookLog]:
    """A processed event whose webhook forwards to `url`."""

    def make(url: str, slug: str = "resend", number: int = 0, **changes: Any) -> WebhookLog:
        Webhook.objects.filter(integration__slug=slug).update(forward_url=url, **changes)
        (row,) = receive.admit(route(slug), signed(slug, delivery_id=f"msg_{number}"), now=timezone.now())
        receive.store([row])
        process.drain(process.Table())
        return row

    return make


def test_an_event_reaches_the_target_as_it_came_and_any_standard_webhooks_library_can_verify_it(target, event):
    row = event(target.url("/ok"))
    assert forward.run_due().as_dict() == {"forwarded": 1, "forwards_failed": 0, "forwards_stopped": 0}
    ((headers, body),) = target.got
    assert body == bytes(WebhookLog.objects.get(pk=row.pk).body)
    assert Standard(SECRET).verify(body, headers) == json.loads(body)
    assert headers["webhook-id"] == str(row.pk)
    assert (headers["x-integration"], headers["x-event-type"]) == ("resend", row.event_type)
    sent = Forward.objects.get()
    assert (sent.status, sent.status_code, sent.due_at) == ("delivered", 200, None)
    attempt = Attempt.objects.get(log=row)
    assert (attempt.target, attempt.status_code, attempt.error) == (target.url("/ok"), 200, "")
    assert attempt.answer == "a\ufffdb\ufffdc"


def test_while_the_secret_is_rotated_both_verify(target, event, monkeypatch):
    monkeypatch.setenv("WEBHOOK_FORWARD_SECRET", f"{SECRET},{OLD_SECRET}")
    event(target.url("/ok"))
    forward.run_due()
    ((headers, body),) = target.got
    for secret in (SECRET, OLD_SECRET):
        Standard(secret).verify(body, headers)


def test_a_form_is_forwarded_as_what_it_says(target, event):
    event(target.url("/ok"), slug="netcash")
    forward.run_due()
    ((headers, body),) = target.got
    assert json.loads(body)["RequestTrace"]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "words"),
    [("/500", "HTTP 500"), ("/redirect", "redirects are not followed"), ("/reset", ""), ("/busy", "HTTP 429")],
)
def test_what_is_not_taken_is_told_and_tried_again(target, event, path, words):
    row = event(target.url(path))
    summary = forward.run_due()
    one = Forward.objects.get()
    assert (one.status, one.attempts) == ("failed", 1)
    assert one.due_at is not None
    assert summary.next_due_at == one.due_at
    assert words in Attempt.objects.get(log=row).error
    assert target.asked == [path]
    if path == "/busy":
        assert one.due_at > timezone.now() + timezone.timedelta(minutes=29)


def test_location_nul(target, event):
    row = event(target.url("/nul"))
    assert forward.run_due().failed == 1
    one = Forward.objects.get()
    assert (one.status, one.due_at is None) == ("failed", False)
    assert "it points to /a\ufffdb;" in one.error_message
    assert Attempt.objects.get(log=row, target=target.url("/nul")).error == one.error_message


def test_a_target_of_which_nothing_can_be_written_down_holds_up_no_other(target, event, monkeypatch, caplog):
    for number in range(3):
        event(target.url("/500"), number=number)
    event(target.url("/ok"), slug="didit-kyc")
    before = forward._settle

    def settle(row: Forward, *told: Any) -> None:
        if row.url.endswith("/500"):
            raise RuntimeError("no room on the disk")
        before(row, *told)

    monkeypatch.setattr(forward, "_settle", settle)
    assert forward.run_due().delivered == 1
    assert len(target.asked) <= 1 + forward.AT_ONCE
    assert "could not be written down" in caplog.text


def test_one_whose_workers_died_at_every_try_is_given_up(target, event, settings):
    settings.WEBHOOK_RETRY_WAITS = [0]
    event(target.url("/ok"))
    Forward.objects.update(attempts=2)
    assert forward.run_due().as_dict() == {"forwarded": 0, "forwards_failed": 1, "forwards_stopped": 0}
    one = Forward.objects.get()
    assert (target.asked, one.status, one.due_at) == ([], "failed", None)
    assert one.error_message == "A worker died while sending it, 2 times."


def test_the_last_try_is_the_last(target, event, settings):
    settings.WEBHOOK_RETRY_WAITS = [0]
    event(target.url("/500"))
    forward.run_due()
    one = Forward.objects.get()
    assert (one.status, one.attempts, one.due_at) == ("failed", 2, None)


def test_410_stops_it_until_somebody_resumes(target, event):
    event(target.url("/gone"))
    forward.run_due()
    webhook = Webhook.objects.get(integration__slug="resend")
    assert webhook.forward_stopped_at is not None
    assert Forward.objects.get().status == "stopped"
    assert Activity.objects.filter(action="forward_stopped").count() == 1
    event(target.url("/ok"), number=2)
    assert Forward.objects.count() == 1
    webhook.refresh_from_db()
    assert forward.resume(webhook, actor=Actor(username="alice"), now=timezone.now()) == 1
    assert forward.run_due().delivered == 1
    assert Activity.objects.filter(action="forward_resumed").count() == 1


def test_two_410_at_once(target, event, monkeypatch, caplog):
    """The first goes on only when the second is as far, or waits for it."""
    for number in range(2):
        event(target.url("/gone"), number=number)
    arrived: list[str] = []
    before = forward._stop

    def together(webhook: Webhook, now: datetime) -> int:
        arrived.append("one")
        ends = time.monotonic() + 10
        while connection.vendor == "postgresql" and len(arrived) < 2 and not somebody_waits_for_us():
            assert time.monotonic() < ends
            time.sleep(0.01)
        return before(webhook, now)

    monkeypatch.setattr(forward, "_stop", together)
    assert forward.run_due().stopped == 2
    assert "could not be written down" not in caplog.text
    assert set(Forward.objects.values_list("status", "due_at")) == {("stopped", None)}
    assert Activity.objects.filter(action="forward_stopped").count() == 1


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        waiting = "select 1 from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
        cursor.execute(f"select exists({waiting})")
        return bool(cursor.fetchone()[0])


def test_a_dead_target_holds_up_nobody(target, event, monkeypatch):
    monkeypatch.setattr(forward, "TIMEOUT_SECONDS", 1.0)
    for number in range(20):
        event(target.url("/hang"), number=number)
    for number in range(10):
        event(target.url("/ok"), slug="didit-kyc", number=number)
    started = time.monotonic()
    summary = forward.run_due()
    assert summary.delivered == 10
    assert summary.failed <= forward.AT_ONCE
    assert time.monotonic() - started < 15
    waiting = Forward.objects.filter(webhook__integration__slug="resend")
    assert not waiting.filter(due_at__lte=timezone.now()).exists()
    assert waiting.exclude(due_at=None).count() == 20


def test_order_is_kept_where_it_is_asked_for(target, event, settings):
    settings.WEBHOOK_RETRY_WAITS = [60]
    first = event(target.url("/500"), number=1, forward_in_order=True)
    event(target.url("/500"), number=2, forward_in_order=True)
    forward.run_due()
    assert target.asked == ["/500"]
    Forward.objects.update(url=target.url("/ok"))
    forward.run_due()
    assert target.got == []  # the first waits for its next try, and the second for the first
    Forward.objects.filter(log=first).update(due_at=timezone.now())
    forward.run_due()
    assert target.got[0][0]["webhook-id"] == str(first.pk)
    assert len(target.got) == 2


@pytest.mark.parametrize(("wanted", "number"), [(["email.bounced"], 0), ([], 1)])
def test_only_the_chosen_event_types_go(target, event, wanted, number):
    event(target.url("/ok"), forward_event_types=wanted)
    assert forward.run_due().delivered == number


def test_a_test_is_not_forwarded(target, route):
    Webhook.objects.update(forward_url=target.url("/ok"))
    (row,) = receive.admit(route("resend"), signed("resend"), now=timezone.now())
    row.forwards = False
    receive.store([row])
    process.drain(process.Table())
    assert not Forward.objects.exists()


def test_an_event_with_a_handler_is_forwarded_once_it_is_handled(target, route):
    Webhook.objects.update(forward_url=target.url("/ok"))
    (row,) = receive.admit(route("resend"), signed("resend"), now=timezone.now())
    receive.store([row])

    def fail(seen: process.Event) -> None:
        raise ProviderError("not now")

    process.drain(process.Table(handlers={("resend", "*"): fail}))
    assert not Forward.objects.exists()
    WebhookLog.objects.update(due_at=timezone.now())
    assert process.drain(process.Table(handlers={("resend", "*"): lambda seen: None})).planned == 1
    assert forward.run_due().delivered == 1


def test_without_a_secret_nothing_leaves_and_the_reason_names_it(target, event, monkeypatch):
    monkeypatch.delenv("WEBHOOK_FORWARD_SECRET")
    event(target.url("/ok"))
    forward.run_due()
    assert target.asked == []
    assert "WEBHOOK_FORWARD_SECRET is not set" in Forward.objects.get().error_message


def test_a_private_address_is_refused_for_good_unless_it_is_in_a_network_of_ours(target, event, settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    event(target.url("/ok"))
    forward.run_due()
    one = Forward.objects.get()
    assert (one.status, one.due_at) == ("failed", None)
    assert "not a public address" in one.error_message


def test_a_worker_that_died_after_the_answer_is_followed_by_one_that_sends_it_again(target, event, monkeypatch):
    event(target.url("/ok"))

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forward, "_settle", die)
        with pytest.raises(KeyboardInterrupt):
            forward.send(Forward.objects.get(), forward.Summary())
    assert forward.run_due().delivered == 0  # the lease of the dead one
    Forward.objects.update(due_at=timezone.now())
    assert forward.run_due().delivered == 1
    assert len({headers["webhook-id"] for headers, _ in target.got}) == 1


def test_two_workers_send_each_once(target, event):
    for number in range(10):
        event(target.url("/ok"), number=number)

    def work() -> None:
        try:
            forward.run_due()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(target.got) == 10
    assert len({headers["webhook-id"] for headers, _ in target.got}) == 10


@pytest.mark.parametrize("switch", [Webhook, Integration])
def test_what_is_switched_off_is_held(target, event, switch):
    event(target.url("/ok"))
    chosen = {"webhook_url": "/api/webhooks/resend"} if switch is Webhook else {"slug": "resend"}
    switch.objects.filter(**chosen).update(is_active=False)
    assert forward.run_due().delivered == 0
    switch.objects.filter(**chosen).update(is_active=True)
    assert forward.run_due().delivered == 1


def test_what_a_url_hides_is_not_written_down(target, event):
    row = event(target.url("/500?token=canary").replace("127.0.0.1", "user:canary@127.0.0.1"))
    forward.run_due()
    assert "canary" not in Attempt.objects.get(log=row).target
