"""The lane without a server: ASGI in, ASGI out, on an event loop of its own."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from integrations.providers import spec
from webhooks.lane import Lane

RESEND = "/api/webhooks/resend"

T = TypeVar("T")


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sender:
    """Speaks ASGI to a lane on a loop of its own. `wakes` counts how often it wanted the workers woken."""

    def __init__(self) -> None:
        self.wakes = 0
        self.lane = Lane(wake=self._wake)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        self.run(self.lane.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _wake(self) -> None:
        self.wakes += 1

    def post(self, delivery: spec.Delivery, path: str = RESEND, **changes: Any) -> Got:
        return self.run(self.send(delivery, path, **changes))

    def post_all(self, deliveries: list[spec.Delivery], path: str = RESEND) -> list[Got]:
        async def together() -> list[Got]:
            return await asyncio.gather(*(self.send(one, path) for one in deliveries))

        return self.run(together())

    async def send(
        self,
        delivery: spec.Delivery,
        path: str = RESEND,
        *,
        method: str = "POST",
        chunk: int = 65536,
        leave: bool = False,
    ) -> Got:
        headers = {"content-length": str(len(delivery.body)), **delivery.headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": delivery.query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("192.0.2.1", 4711),
        }
        pieces = [delivery.body[at : at + chunk] for at in range(0, len(delivery.body), chunk)] or [b""]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages[-1]["more_body"] = False
        if leave:
            messages = [messages[0] | {"more_body": True}, {"type": "http.disconnect"}]
        feed, sent = iter(messages), []

        async def receive_() -> Any:
            return next(feed)

        async def send_(message: Any) -> None:
            sent.append(message)

        await self.lane(scope, receive_, send_)
        if not sent:
            return Got(0, {}, b"")
        start, body = sent
        return Got(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"])
