"""The web process: the webhook lane beside Django, in one ASGI application (`granian config.asgi:application`)."""

import asyncio
import os
import threading
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django = get_asgi_application()

from config import checks, wakeup  # noqa: E402 - Django's apps must be ready
from integrations import metrics  # noqa: E402
from webhooks.lane import PREFIX, Lane, Receive, Scope, Send  # noqa: E402
from webhooks.wake import Waker  # noqa: E402

lane = Lane(wake=Waker(wakeup.drain).wake)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"].startswith(PREFIX):
        await lane(scope, receive, send)
    else:
        await django(scope, receive, send)  # type: ignore[arg-type]  # asgiref's finer types of the same things


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: dict[str, Any] = dict(await receive())
        if message["type"] == "lifespan.startup":
            lane.start()
            # Beside it: a database that hangs must not keep the lane from answering.
            threading.Thread(target=checks.tell_of_keys, name="keys", daemon=True).start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await lane.stop()
            await asyncio.to_thread(metrics.flush)
            await send({"type": "lifespan.shutdown.complete"})
            return
