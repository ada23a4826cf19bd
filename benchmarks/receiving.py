"""Receiving: our lane, a plain Django view, and what PostgreSQL itself can do (pgbench), in alternating rounds."""

import base64
import hashlib
import hmac
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.place import Place, free_port, wait_for

SECRET = "whsec_ZXhhbXBsZS1zaWduaW5nLWtleS0yNGJ5"
PATH = "/api/webhooks/resend"
THREADS = 2


@dataclass(frozen=True)
class Round:
    """Per second and in milliseconds; CPU in microseconds for each row, everything but the client that sends."""

    rate: float
    p50: float
    p95: float
    p99: float
    cpu: float
    lost: int = 0
    turned_away: int = 0


def run(place: Place, *, rounds: int = 5, seconds: int = 6, connections: tuple[int, ...] = (64, 32)) -> None:
    with tempfile.TemporaryDirectory() as folder, serving(place, "lane") as lane, serving(place, "plain") as plain:
        script = Path(folder, "insert.sql")
        script.write_text(insert_statement(place))
        for count in connections:
            results: dict[str, list[Round]] = {"pgbench": [], "lane": [], "plain": []}
            for number in range(rounds):
                print(f"  {count} connections, round {number + 1} of {rounds}", flush=True)
                place.clean()
                results["pgbench"].append(pgbench(place, script, count, seconds))
                for name, port in (("lane", lane), ("plain", plain)):
                    place.clean()
                    results[name].append(wrk(place, Path(folder), port, count, seconds))
            report(count, results)


def report(connections: int, results: dict[str, list[Round]]) -> None:
    print(f"\nReceiving at {connections} connections: each round's ratio to pgbench in the same round")
    print(
        f"{'':10} {'rows/s':>8} {'ratio':>6}  {'each round':34} {'p50':>6} {'p95':>6} {'p99':>6} ms  CPU µs  lost  503"
    )
    limit = [one.rate for one in results["pgbench"]]
    for name, rounds in results.items():
        ratios = [one.rate / most for one, most in zip(rounds, limit, strict=True)]
        names = ("rate", "p50", "p95", "p99", "cpu")
        middle = [statistics.median(getattr(one, what) for one in rounds) for what in names]
        lost, turned_away = sum(one.lost for one in rounds), sum(one.turned_away for one in rounds)
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"{name:10} {middle[0]:8.0f} {statistics.median(ratios):6.2f}  {each:34}"
            f" {middle[1]:6.1f} {middle[2]:6.1f} {middle[3]:6.1f}     {middle[4]:6.0f}  {lost:4} {turned_away:4}"
        )
    lane = statistics.median(a.rate / b.rate for a, b in zip(results["lane"], results["plain"], strict=True))
    print(f"the lane is {lane:.1f} × the plain view\n", flush=True)


# --- One round -------------------------------------------------------------------------------------------------------


def wrk(place: Place, folder: Path, port: int, connections: int, seconds: int) -> Round:
    for thread in range(THREADS):
        write_deliveries(folder / f"deliveries-{thread}", count=seconds * 4000)
    command = [
        "wrk", f"-t{THREADS}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
        "-s", str(Path(__file__).parent / "senders.lua"), f"http://127.0.0.1:{port}", "--",
        str(folder / "deliveries-"), PATH,
    ]  # fmt: skip
    with measured() as spent:
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    stored = place.count()
    if told["other"] or told["twice"]:
        raise RuntimeError(f"not what was asked: {told}")
    # Those in flight when wrk stopped are stored and not counted; fewer than were acknowledged would be a loss.
    return Round(
        told["ok"] / told["seconds"], told["p50"], told["p95"], told["p99"], spent.rest * 1e6 / max(1, stored),
        max(0, told["ok"] - stored), told["turned_away"],
    )  # fmt: skip


def pgbench(place: Place, script: Path, connections: int, seconds: int) -> Round:
    log = script.parent / "pgbench_log"
    for old in script.parent.glob("pgbench_log*"):
        old.unlink()
    command = [
        "pgbench", "-n", "-M", "prepared", f"-c{connections}", f"-j{THREADS}", f"-T{seconds}", "-f", str(script), "-l",
        f"--log-prefix={log}", place.url,
    ]  # fmt: skip
    with measured() as spent:
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([\d.]+)", printed)
    assert found, printed
    logs = script.parent.glob("pgbench_log*")
    times = sorted(int(line.split()[2]) / 1000 for file in logs for line in file.read_text().splitlines())
    p50, p95, p99 = (times[int(len(times) * share)] for share in (0.5, 0.95, 0.99))
    return Round(float(found[1]), p50, p95, p99, spent.rest * 1e6 / max(1, len(times)))


@dataclass
class Spent:
    """CPU seconds of the whole machine but for the client."""

    rest: float = 0.0


@contextmanager
def measured() -> Iterator[Spent]:
    spent, busy, child = Spent(), _busy(), _children()
    yield spent
    spent.rest = (_busy() - busy) - (_children() - child)


def _busy() -> float:
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- What is sent ----------------------------------------------------------------------------------------------------


def payload(number: str) -> bytes:
    """1.4 KB, as Resend sends."""
    return json.dumps(
        {
            "type": "email.delivered",
            "created_at": "2026-11-22T10:00:00.000Z",
            "data": {
                "email_id": number, "from": "CircleTel <hello@example.com>", "to": ["thandi@example.com"],
                "subject": "Your invoice for November", "created_at": "2026-11-22T09:59:58.000Z",
                "tags": [{"name": "invoice", "value": number}],
                "headers": [{"name": f"X-Header-{n}", "value": "v" * 60} for n in range(10)],
            },
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip


def write_deliveries(file: Path, *, count: int) -> None:
    key, now = base64.b64decode(SECRET.removeprefix("whsec_")), str(int(time.time()))
    with file.open("wb") as out:
        for _ in range(count):
            number = uuid.uuid4().hex
            body = payload(number)
            digest = hmac.new(key, f"msg_{number}.{now}.".encode() + body, hashlib.sha256).digest()
            out.write(f"msg_{number} {now} v1,{base64.b64encode(digest).decode()} ".encode() + body + b"\n")


def insert_statement(place: Place) -> str:
    """The row that the lane writes, one at a time, with a key of its own."""
    columns = place.one_row(payload("x" * 32), PATH)
    fixed = {"id": "gen_random_uuid()", "idempotency_key": "'msg_' || gen_random_uuid()"}
    values = [fixed.get(name) or _literal(value) for name, value in columns.items()]
    return f"INSERT INTO integration_webhook_logs ({', '.join(columns)}) VALUES ({', '.join(values)});\n"


def _literal(value: Any) -> str:
    return psycopg.sql.Literal(value).as_string(None)


# --- Servers ---------------------------------------------------------------------------------------------------------


@contextmanager
def serving(place: Place, what: str) -> Iterator[int]:
    """Two processes each, as we deploy; the plain view gets four threads in each."""
    port = free_port()
    granian = [sys.executable, "-m", "granian", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
               "--workers", "2", "--no-ws", "--http", "1"]  # fmt: skip
    how = {
        "lane": ["--interface", "asgi", "config.asgi:application"],
        "plain": ["--interface", "wsgi", "--blocking-threads", "2", "benchmarks.plain:application"],
    }[what]
    env = {**place.env, "RESEND_WEBHOOK_SECRET": SECRET, "DATABASE_POOL": "1" if what == "lane" else "0"}
    with (place.folder / f"{what}.log").open("wb") as log:
        process = subprocess.Popen([*granian, *how], cwd=place.root, env=env, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}{PATH}", process)
            yield port
        finally:
            process.terminate()
            process.wait(20)
