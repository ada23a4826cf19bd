"""A PostgreSQL database of our own for a benchmark, made by our migrations, dropped afterwards."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
SERVER = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")


@dataclass(frozen=True)
class Place:
    url: str
    env: dict[str, str]
    folder: Path
    connection: "psycopg.Connection[Any]"
    root: Path = ROOT

    def manage(self, *args: str) -> str:
        command = [sys.executable, "manage.py", *args]
        return subprocess.run(command, cwd=ROOT, env=self.env, check=True, capture_output=True, text=True).stdout

    def clean(self) -> None:
        self.connection.execute("TRUNCATE integration_webhook_logs CASCADE")
        self.connection.execute("CHECKPOINT")

    def count(self) -> int:
        row = self.connection.execute("SELECT count(*) FROM integration_webhook_logs").fetchone()
        return int(row[0]) if row else 0

    def one_row(self, body: bytes, path: str) -> dict[str, Any]:
        """The values of a row as the lane would write it; keys are columns."""
        found = self.connection.execute("SELECT id FROM integration_webhooks WHERE webhook_url = %s", [path])
        webhook = found.fetchone()
        now = self.connection.execute("SELECT now()").fetchone()
        assert webhook
        assert now
        headers = {
            "host": "localhost", "content-type": "application/json", "user-agent": "Svix-Webhooks/1.62.0",
            "svix-id": f"msg_{uuid.uuid4().hex}", "svix-timestamp": "1795395431", "svix-signature": "v1," + "x" * 44,
            "content-length": str(len(body)),
        }  # fmt: skip
        return {
            "id": uuid.uuid4(), "webhook_id": webhook[0], "event_type": "email.delivered", "payload": body.decode(),
            "body": body, "query_string": "", "headers": json.dumps(headers), "status": "pending", "verified": True,
            "verification": "Standard Webhooks v1 in svix-signature", "denied": False, "idempotency_key": "",
            "claims_key": True, "error_message": "", "traceback": "", "created_at": now[0], "due_at": now[0],
            "sent_at": now[0], "stored_at": now[0], "is_test": False, "forwards": True, "attempts": 0,
            "retry_count": 0,
        }  # fmt: skip


@contextmanager
def place() -> Iterator[Place]:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER, autocommit=True) as server, tempfile.TemporaryDirectory() as folder:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = urlsplit(SERVER)._replace(path=f"/{name}").geturl()
            env = {
                **os.environ, "ENV_FILE": os.devnull, "DATA_DIR": folder, "DATABASE_URL": url, "REDIS_URL": REDIS,
                "LOG_LEVEL": "ERROR", "SECOND_FACTOR_FOR": "nobody",
                **{key: secrets.token_urlsafe(40) for key in ("SECRET_KEY", "TOKEN_ENCRYPTION_KEYS", "ACTIVITY_KEY")},
            }  # fmt: skip
            with psycopg.connect(url, autocommit=True) as connection:
                made = Place(url, env, Path(folder), connection)
                made.manage("migrate", "--verbosity", "0")
                yield made
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    """Until something answers, whatever it says."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"{url} did not come up")
