"""Every spelling of an address that must not be called, through the real door, with somebody who would hear it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from integrations import http, outbound

pytestmark = pytest.mark.django_db

PUBLIC = "93.184.216.34"

LOOPBACK = [
    # Short, octal, hexadecimal, whole, mixed: all of them 127.0.0.1 to a resolver.
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0X7F.0.0.1", "0177.0.0.1", "0177.1", "00000177.0.0.1",
    "017700000001", "2130706433", "127.0x0.0.01", "0x7f.0.0x1", "127.127", "127.255.255.254", "0", "0.0.0.0", "00",
    "0x0",
    # Names.
    "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "loopback.rebind.example", "ip6-localhost",
    # Digits that only look different.
    "①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ",
    # Escaped.
    "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "%6cocalhost", "127.0.0.1%00.example.com", "127.0.0.1%2f.example.com",
    # IPv6, and IPv4 in it.
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::]", "[::1%25lo]", "[::1%lo]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2002:7f00:1::1]", "[2001:0:7f00:1::]", "[2001::ffff:80ff:fffe]",
    # Who one says one is, before and after.
    f"{PUBLIC}@127.0.0.1", f"{PUBLIC}:80@127.0.0.1", "user:secret@127.0.0.1", "example.com%40127.0.0.1@127.0.0.1",
    "example.com#@127.0.0.1", "@127.0.0.1", "a@b@127.0.0.1", "example.com\\@127.0.0.1", "127.0.0.1\\@localhost",
    # White space and controls.
    "127.0.0.1\t", "\t127.0.0.1", "127.0.\n0.1", "127.0.0.1\r\nHost: example.com", " 127.0.0.1", "127.0.0.1\x00",
]  # fmt: skip
OTHERS = [
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.257", "0xc0a80001",
    "3232235521",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::169.254.169.254]", "100.64.0.1",
    "100.127.255.254", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "0.1.2.3", "[fe80::1]", "[fe80::1%25eth0]",
    "[fe80::a9fe:a9fe%251]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]",
    "[2001:10::1]", "[2001:20::1]", "[100::1]", "[3fff::1]", "[5f00::1]", "[2002:a00:1::1]", "[64:ff9b::10.0.0.1]",
    "[2001:0:4136:e378:8000:63bf:f5ff:fffe]", "metadata.rebind.example", "mixed.rebind.example",
]  # fmt: skip
NAMES = {
    "loopback.rebind.example": ["127.0.0.1"],
    "metadata.rebind.example": ["169.254.169.254"],
    "mixed.rebind.example": [PUBLIC, "10.0.0.7"],
    "ip6-localhost": ["::1"],
}
"""What the world's name servers would say: this machine may not be able to ask them."""


class Listener:
    """All of this machine's own addresses, of both families, on one port. It answers, and remembers who came."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server(("0.0.0.0", 0))]
        self.port: int = self.sockets[0].getsockname()[1]
        if socket.has_ipv6:
            with suppress(OSError):  # a kernel without it
                self.sockets.append(socket.create_server(("::", self.port), family=socket.AF_INET6))
        self.heard: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        for sock in self.sockets:
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, where = sock.accept()
                self.heard.append(where[0])
                with closing(connection):
                    connection.recv(65536)
                    connection.sendall(self.answer)

    def close(self) -> None:
        for sock in self.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
            sock.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.close()


@pytest.fixture
def tried(monkeypatch) -> list[str]:
    """All that the door connects to. Only this machine is let through; the rest is away, as without a network."""
    places: list[str] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def seen(self: socket.socket, where: Any) -> None:
        places.append(where[0])
        if not where[0].startswith(("127.", "0.", "::1", "::ffff:127.")):
            raise ConnectionRefusedError
        connect(self, where)

    def named(host: str, port: int, **kwargs: Any) -> list[Any]:
        if host not in NAMES:
            return resolve(host, port, **kwargs)
        return [found for address in NAMES[host] for found in resolve(address, port, **kwargs)]

    monkeypatch.setattr(outbound.socket.socket, "connect", seen)
    monkeypatch.setattr(outbound.socket, "getaddrinfo", named)
    return places


def get(url: str, **how: Any) -> http.Answer:
    return http.send(http.Request(url=url, endpoint="/x", timeout_s=3), **how)


def test_who_is_allowed_is_heard(listener, tried):
    """The control: this listener would notice, and these names lead to it."""
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "017700000001", "user:secret@127.0.0.1"):
        tried.clear()
        assert get(f"http://{host}:{listener.port}/", networks=["127.0.0.0/8", "::1/128"]).status == 200
        assert set(tried) <= {"127.0.0.1", "::1"}
    assert len(listener.heard) == 7


@pytest.mark.parametrize("host", [*LOOPBACK, *OTHERS])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_it_reaches_anybody(listener, tried, scheme, host):
    with pytest.raises(http.Unreachable) as refused:
        get(f"{scheme}://{host}:{listener.port}/latest/meta-data")
    assert (tried, listener.heard) == ([], [])
    assert "secret" not in refused.value.words


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "2130706433", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
             "[fec0::1]", "100.64.0.1", f"{PUBLIC}@127.0.0.1", "metadata.rebind.example", "localhost."],
)  # fmt: skip
def test_it_is_refused_for_what_it_is_and_for_good(tried, host):
    with pytest.raises(http.AddressRefused, match="not a public address") as refused:
        get(f"http://{host}/")
    assert refused.value.permanent
    assert not refused.value.maybe_sent


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/", "unix:///run/x",
     "http+unix://%2frun%2fx/", "data:,x", "//127.0.0.1/", "127.0.0.1", "http:127.0.0.1", "http:///127.0.0.1", "http://",
     "", "jar:http://127.0.0.1!/"],
)  # fmt: skip
def test_another_scheme_or_none_leads_nowhere(listener, tried, url):
    with pytest.raises(http.Unreachable) as refused:
        get(url)
    assert refused.value.permanent
    assert tried == []


@pytest.mark.parametrize("url", ["http://user:secret@:x/", "secret", "http://a b/?key=secret", "s3://u:secret@x/"])
def test_what_is_no_url_is_not_repeated(url):
    with pytest.raises(http.Unreachable) as refused:
        get(url)
    assert refused.value.permanent
    assert "secret" not in refused.value.words


def test_a_name_that_says_something_else_the_second_time_is_believed_once(listener, tried, monkeypatch):
    asked: list[str] = []

    def fickle(host: str, port: int, **kwargs: Any) -> list[Any]:
        asked.append(host)
        where = (PUBLIC if len(asked) == 1 else "127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where)]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", fickle)
    url = f"http://rebind.example:{listener.port}/"
    with pytest.raises(http.Unreachable, match="refuses connections"):
        get(url)
    assert tried == [PUBLIC]
    with pytest.raises(http.AddressRefused):
        get(url)
    assert (tried, listener.heard, len(asked)) == ([PUBLIC], [], 2)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_private_address_is_not_followed(listener, tried, status):
    target = f"http://127.0.0.1:{listener.port}/secret"
    listener.answer = f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    answer = get(f"http://127.0.0.2:{listener.port}/", networks=["127.0.0.2/32"])
    assert (answer.status, answer.headers["location"]) == (status, target)
    assert (tried, len(listener.heard)) == (["127.0.0.2"], 1)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_in_the_environment_is_not_asked(listener, tried, monkeypatch, name):
    monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    with pytest.raises(http.Unreachable):
        get(f"http://{PUBLIC}/")
    assert (tried, listener.heard) == ([PUBLIC], [])


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}@127.0.0.2:{port}/", "http://127.0.0.1:{port}%5c@127.0.0.2:{port}/",
     "http://127.0.0.2:{port}/?@127.0.0.1:{port}", "http://127.0.0.2:{port}#@127.0.0.1:{port}/",
     "http://127.0.0.2:{port}/127.0.0.1:{port}", "http://127.0.0.1:1@127.0.0.2:{port}/"],
)  # fmt: skip
def test_nothing_else_passes_for_the_sandbox(listener, tried, settings, url):
    """Loopback is open to the sandbox alone: by what is connected to, not by what the URL holds."""
    settings.SANDBOX_URL = f"http://127.0.0.1:{listener.port}"
    with pytest.raises(http.Unreachable):
        get(url.format(port=listener.port))
    assert tried == []
    assert get(f"{settings.SANDBOX_URL}/").status == 200
