"""The whole system as a person starts it: `manage.py up` with a folder of its own, on free ports."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import requests
from psycopg import sql

from tests import services

ROOT = Path(__file__).resolve().parent.parent.parent
RESEND_SECRET = "whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5"


class System:
    """`env` as a person would set it; `api` calls with a Super Admin's token."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.port = _free_pair()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox_url = f"http://127.0.0.1:{self.port + 1}"
        self.log = folder / "up.log"
        own = ("ZOHO_", "DIDIT_", "NETCASH_", "CLICKATELL_", "RESEND_", "GOOGLE_", "MTN_", "DJANGO_", "TEST_")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(own)},
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(folder / "data"),
            "SANDBOX": "1",
            "PUBLIC_URL": self.url,
            "RESEND_WEBHOOK_SECRET": RESEND_SECRET,
            "WEBHOOK_LEASE_SECONDS": "3",
            "DJANGO_SUPERUSER_PASSWORD": "flow-test-password",
            **env,
        }
        self.token = ""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port)],
                cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait_until(lambda: requests.get(f"{self.url}/healthz", timeout=2).ok, seconds=90, what="the web server")
        self.token = self.token or self.manage("create_api_token", "admin", "--scope", "dangerous").strip()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def manage(self, *args: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *args], cwd=ROOT, env=self.env, check=True, capture_output=True, text=True
        ).stdout

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    # --- Asking ------------------------------------------------------------------------------------------------------

    def api(self, path: str, **query: Any) -> Any:
        response = requests.get(
            f"{self.url}/api/admin/integrations{path}",
            query,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=20,
        )
        response.raise_for_status()
        return response.json()

    def logs(self, **query: Any) -> list[dict[str, Any]]:
        return self.api("/webhooks/logs", limit=200, **query)["logs"]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Straight from the database, past all of our code."""
        if "DATABASE_URL" in self.env:
            with psycopg.connect(self.env["DATABASE_URL"]) as connection:
                return connection.execute(query).fetchall()
        import sqlite3

        with sqlite3.connect(f"file:{self.env['DATA_DIR']}/db.sqlite3?mode=ro", uri=True, timeout=20) as connection:
            return connection.execute(query).fetchall()

    def wait_until(self, holds: Callable[[], Any], *, seconds: float, what: str) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if found := holds():
                    return found
            if self.process.poll() is not None:
                raise AssertionError(f"`up` ended while we waited for {what}:\n{self.said()[-3000:]}")
            time.sleep(0.1)
        raise AssertionError(f"{what} did not come within {seconds} s:\n{self.said()[-3000:]}")

    # --- Hurting -----------------------------------------------------------------------------------------------------

    def child(self, word: str) -> int:
        """The pid of the child of `up` whose command line holds `word`; 0 when there is none just now."""
        # -ww: without it COLUMNS, which some terminals and runners set, cuts the command line short.
        listing = subprocess.run(
            ["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
        for line in listing.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            if int(parent) == self.process.pid and word in command:
                return int(pid)
        return 0

    def kill_child(self, word: str) -> int:
        """kill -9 for that child and all that it started."""
        pid: int = self.wait_until(lambda: self.child(word), seconds=30, what=f"a child {word!r}")
        assert pid > 1, "0 is our own process group"
        os.killpg(pid, signal.SIGKILL)
        return pid

    def fault(self, provider: str, fault: str) -> None:
        requests.post(
            f"{self.sandbox_url}/_sandbox/faults", json={"provider": provider, "fault": fault}, timeout=5
        ).raise_for_status()

    def post_all(self, path: str, deliveries: list[tuple[dict[str, str], bytes]]) -> list[tuple[int, bytes]]:
        """All at the same time, each over a connection of its own."""
        return asyncio.run(_post_all(self.port, path, deliveries))


async def _post_all(port: int, path: str, deliveries: list[tuple[dict[str, str], bytes]]) -> list[tuple[int, bytes]]:
    return await asyncio.gather(*(_post(port, path, headers, body) for headers, body in deliveries))


async def _post(port: int, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    lines = {"host": "localhost", "content-length": str(len(body)), "connection": "close", **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0, b""
    start, _, rest = answer.partition(b"\r\n\r\n")
    return (int(start.split()[1]) if start else 0), rest


def _free_pair() -> int:
    """A port that is free and whose neighbour, the sandbox's, is free too. Below the range from which Linux takes
    ports for outgoing connections: there, another test's could have it before the server does."""
    for _ in range(200):
        port = secrets.randbelow(10_000) * 2 + 12_000  # not `random`: it is seeded alike in every test
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise RuntimeError("no two neighbouring free ports")


@contextmanager
def running(folder: Path, engine: str, **env: str) -> Iterator[System]:
    """On SQLite alone, or on a PostgreSQL database of its own with Redis; `env` is what else is set."""
    with database(engine) as own:
        system = System(folder, own | env)
        system.start()
        try:
            yield system
        finally:
            system.stop()


@contextmanager
def database(engine: str) -> Iterator[dict[str, str]]:
    if engine == "sqlite":
        yield {}
        return
    services.need(services.postgres(), "PostgreSQL")
    services.need(services.redis(), "Redis")
    name = f"flow_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(services.DATABASE_URL, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = urlsplit(services.DATABASE_URL)._replace(path=f"/{name}").geturl()
            keys = {key: secrets.token_urlsafe(40) for key in ("SECRET_KEY", "TOKEN_ENCRYPTION_KEYS", "ACTIVITY_KEY")}
            yield {"DATABASE_URL": url, "REDIS_URL": services.REDIS_URL, **keys}
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def as_json(body: bytes) -> Any:
    return json.loads(body)
