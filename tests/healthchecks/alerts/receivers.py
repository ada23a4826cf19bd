"""Those who get alerts: a mail server and a JSON target, real ones on loopback.

with Target() as slack: …  slack.url is a route ("json://127.0.0.1:4711"), slack.got what it took.
"""

import json
import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Running:
    server: Any

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


class Target(_Running):
    """What apprise's json:// speaks to. `answer`: the status it gives, 0 for none at all."""

    def __init__(self) -> None:
        target = self
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        self.answer = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = json.loads(self.rfile.read(length)) if length else {}
                target.asked += 1
                if not target.answer:
                    self.close_connection = True
                    return
                if target.answer < 300:
                    target.got.append(body)
                self.send_response(target.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.got]


class MailServer(_Running):
    """SMTP, as much as is needed. `refuse`: answers every recipient with 550."""

    def __init__(self) -> None:
        server = self
        self.got: list[EmailMessage] = []
        self.refuse = False

        class Handler(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self) -> None:
                self.say("220 loopback")
                while line := self.rfile.readline():
                    match line.decode().split(" ")[0].strip().upper():
                        case "EHLO":
                            self.say("250 loopback")
                        case "RCPT" if server.refuse:
                            self.say("550 5.1.1 no such user here")
                        case "DATA":
                            self.say("354 go on")
                            self.take()
                        case "QUIT":
                            self.say("221 bye")
                            return
                        case _:
                            self.say("250 ok")

            def take(self) -> None:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line.removeprefix(b"."))
                made = message_from_bytes(b"".join(lines), policy=policy.default)
                assert isinstance(made, EmailMessage)
                server.got.append(made)
                self.say("250 queued")

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Django's, as config/settings.py makes them of EMAIL_URL."""
        return {
            "EMAIL_URL": self.url,
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": self.port,
            "EMAIL_USE_TLS": False,
        }
