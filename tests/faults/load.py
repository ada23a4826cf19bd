"""Senders: a steady one that writes down how each delivery was answered, and a flood."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import requests
from svix.webhooks import Webhook

from tests.flows.system import RESEND_SECRET, System

RECEIVER = "/api/webhooks/resend"

Delivery = tuple[dict[str, str], bytes]


def signed(delivery_id: str, *, secret: str = RESEND_SECRET) -> Delivery:
    """A Resend event with the headers that `svix` makes for it."""
    body = json.dumps({"type": "email.delivered", "data": {"email_id": delivery_id, "subject": "x" * 600}})
    now = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "svix-id": delivery_id,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(secret).sign(delivery_id, now, body),
    }
    return headers, body.encode()


@dataclass
class Answers:
    """`ms`: how long each took, in milliseconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        told = sorted(self.ms) or [0.0]
        p50, p95, p99 = (told[min(len(told) - 1, int(len(told) * part))] for part in (0.5, 0.95, 0.99))
        statuses = ", ".join(f"{number} x {status}" for status, number in sorted(self.statuses.items()))
        return f"{statuses}; p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, longest {told[-1]:.0f} ms"


@contextmanager
def steadily(system: System, *, per_second: int, prefix: str, threads: int = 4) -> Iterator[Answers]:
    """Genuine deliveries, so many a second, for as long as the block lasts."""
    answers, over, lock, numbers = Answers(), threading.Event(), threading.Lock(), count()

    def send() -> None:
        with requests.Session() as session:
            while not over.is_set():
                headers, body = signed(f"{prefix}_{next(numbers):06}")
                began = time.perf_counter()
                try:
                    status = session.post(system.url + RECEIVER, data=body, headers=headers, timeout=30).status_code
                except requests.RequestException:
                    status = 0
                took = time.perf_counter() - began
                with lock:
                    answers.statuses[status] += 1
                    answers.ms.append(took * 1000)
                over.wait(max(0.0, threads / per_second - took))

    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield answers
    finally:
        over.set()
        for sender in senders:
            sender.join()


def flood(system: System, deliveries: Iterator[Delivery], *, path: str = RECEIVER, connections: int = 32) -> Answers:
    """All of them, as fast as they are answered, over connections that are kept."""
    answers = Answers()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
        for headers, body in deliveries:
            lines = {"host": "localhost", "content-length": str(len(body)), **headers}
            head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            began = time.perf_counter()
            writer.write(head.encode() + b"\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length[15:]))
            answers.statuses[int(answer.split(b" ", 2)[1])] += 1
            answers.ms.append((time.perf_counter() - began) * 1000)
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(connections)))

    asyncio.run(all_of_them())
    return answers


def processed(system: System, prefix: str) -> int:
    """How many events of that prefix are done."""
    return int(
        system.rows(
            "SELECT COUNT(*) FROM integration_webhook_logs "
            f"WHERE idempotency_key LIKE '%{prefix}\\_%' ESCAPE '\\' AND status = 'processed'"
        )[0][0]
    )
