"""The one door out, against real sockets on loopback."""

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from integrations import http, outbound
from integrations.models import ApiMetric
from integrations.providers.spec import Limit

pytestmark = pytest.mark.django_db

LOOPBACK = ["127.0.0.0/8"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/redirect":
            self.answer(302, b"", {"Location": "/hello"})
        elif path == "/big":
            self.answer(200, b"x" * 200_000)
        elif path == "/cookie":
            self.answer(200, (self.headers.get("Cookie") or "none").encode(), {"Set-Cookie": "a=b; Path=/"})
        elif path == "/limits":
            self.answer(429, b"{}", {"RateLimit-Limit": "120", "RateLimit-Remaining": "7", "RateLimit-Reset": "30"})
        elif path == "/drip-body":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.drip()
        elif path == "/drip-headers":
            self.drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        elif path == "/hang-up":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            echo = {"path": self.path, "agent": self.headers["User-Agent"], "host": self.headers["Host"]}
            self.answer(200, json.dumps(echo).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, self.headers["Content-Type"].encode() + b"|" + body)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, start: bytes = b"") -> None:
        self.close_connection = True
        try:
            self.wfile.write(start)
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.handle_error = lambda *args: None  # callers that hang up are part of the tests
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def get(url: str, **changes: object) -> http.Answer:
    return http.send(http.Request(url=url, endpoint="/x", **changes), networks=LOOPBACK)


def test_an_answer_comes_back_whole(server):
    answer = get(f"{server}/hello", params={"q": "1"})
    assert answer.status == 200
    assert json.loads(answer.body)["path"] == "/hello?q=1"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.elapsed_ms < 2000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"json": {"a": 1}}, b'application/json|{"a": 1}'),
        ({"form": {"a": "1"}}, b"application/x-www-form-urlencoded|a=1"),
        ({"body": b"raw", "headers": {"Content-Type": "text/plain"}}, b"text/plain|raw"),
    ],
)
def test_a_body_is_sent_as_asked(server, given, expected):
    assert get(f"{server}/", method="POST", **given).body == expected


def test_a_redirect_is_an_answer_not_an_order(server):
    assert get(f"{server}/redirect").status == 302


def test_no_cookie_is_kept(server):
    assert get(f"{server}/cookie").body == b"none"
    assert get(f"{server}/cookie").body == b"none"


def test_a_private_address_is_refused(server):
    with pytest.raises(http.AddressRefused, match="not a public address") as refusal:
        http.send(http.Request(url=f"{server}/hello", endpoint="/x"))
    assert refusal.value.permanent


def test_a_name_that_resolves_to_a_private_address_is_refused_too(server):
    with pytest.raises(http.AddressRefused):
        http.send(http.Request(url=server.replace("127.0.0.1", "localhost"), endpoint="/x"))


def test_the_sandbox_and_only_it_is_allowed_on_loopback(server, settings):
    settings.SANDBOX_URL = server
    assert http.send(http.Request(url=f"{server}/hello", endpoint="/x")).status == 200
    settings.SANDBOX_URL = "http://127.0.0.1:1"
    with pytest.raises(http.AddressRefused):
        http.send(http.Request(url=f"{server}/hello", endpoint="/x", headers={"Connection": "close"}))


def test_a_name_that_changes_between_check_and_connection_gains_nothing(server, monkeypatch):
    """DNS rebinding: the resolver is asked once, and what it said is what is connected to."""
    asked = []
    port = int(server.rpartition(":")[2])

    def resolver(host: str, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", resolver)
    connected = []
    monkeypatch.setattr(outbound.socket.socket, "connect", lambda self, where: connected.append(where[0]) or _refuse())
    with pytest.raises(http.Unreachable):
        http.send(http.Request(url=f"http://rebind.example.com:{port}/", endpoint="/x"))
    assert connected == ["93.184.216.34"]


def _refuse() -> None:
    raise ConnectionRefusedError


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("192.88.99.1", False),
        ("192.0.0.8", False),
        ("3fff::1", False),
        ("2620:4f:8000::1", False),
        ("5f00::1", False),
    ],
)
def test_public_addresses_are_told_from_all_others(address, public):
    assert outbound.is_public(ipaddress.ip_address(address)) is public


def test_what_is_no_address_at_all_is_refused_for_good():
    with pytest.raises(http.Unreachable, match="not an address") as refused:
        http.send(http.Request(url="http://[::1/", endpoint="/x"))
    assert refused.value.permanent


def test_a_name_that_takes_longer_than_the_deadline_leads_nowhere(server, monkeypatch):
    resolve = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.6)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(outbound.socket, "getaddrinfo", slow)
    started = time.monotonic()
    with pytest.raises(http.Unreachable, match=r"within 0\.3 s"):
        get(f"{server}/drip-body", timeout_s=0.3)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "①②⑦.0.0.1"])
def test_other_spellings_of_loopback_reach_nothing(host):
    with pytest.raises(http.Unreachable):
        http.send(http.Request(url=f"http://{host}:9/", endpoint="/x", timeout_s=2))


@pytest.mark.parametrize("path", ["/drip-body", "/drip-headers"])
def test_a_slow_drip_is_cut_at_the_deadline(server, path):
    started = time.monotonic()
    with pytest.raises(http.Unreachable, match=r"within 0\.5 s"):
        get(f"{server}{path}", timeout_s=0.5)
    assert time.monotonic() - started < 10


def test_an_answer_that_is_too_large_is_cut_off(server):
    with pytest.raises(http.Unreachable, match="larger than 1,000 bytes"):
        get(f"{server}/big", max_bytes=1000)


def test_who_refuses_is_told_from_who_hangs_up_and_who_has_no_name(server, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(http.Unreachable, match="refuses connections"):
        get(f"http://127.0.0.1:{port}/")
    with pytest.raises(http.Unreachable, match="broke"):
        get(f"{server}/hang-up")

    def no_such_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(outbound.socket, "getaddrinfo", no_such_name)
    with pytest.raises(http.Unreachable, match="does not resolve"):
        get("http://nowhere.example.com/")


def test_each_call_becomes_a_metric_without_its_query(server, registry):
    limit = Limit(
        requests=120, seconds=60, limit_header="RateLimit-Limit", remaining_header="RateLimit-Remaining",
        reset_header="RateLimit-Reset",
    )  # fmt: skip
    request = http.Request(url=f"{server}/limits", endpoint="/limits/{id}", params={"key": "secret"})
    http.send(
        request, integration=registry["resend"], limit=limit, networks=LOOPBACK, judge=lambda answer: "slow down"
    )
    metric = ApiMetric.objects.get()
    assert (metric.endpoint, metric.method, metric.status_code) == ("/limits/{id}", "GET", 429)
    assert (metric.rate_limit_limit, metric.rate_limit_remaining) == (120, 7)
    assert metric.rate_limit_reset_at is not None
    assert metric.error_message == "slow down"
    assert "secret" not in repr(ApiMetric.objects.values().get())


def test_a_call_without_an_answer_becomes_a_metric_too(registry):
    with pytest.raises(http.AddressRefused):
        http.send(http.Request(url="http://127.0.0.1:9/", endpoint="/x"), integration=registry["resend"])
    metric = ApiMetric.objects.get()
    assert metric.status_code is None
    assert "not a public address" in metric.error_message


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", "٣", "99999999999999", "x"])
def test_a_header_that_is_no_number_is_no_number(text):
    assert http._number({"x-remaining": text}, "X-Remaining") is None
