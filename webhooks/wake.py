"""Telling the workers that there is something to do, from a side thread that no broker can block.

The message is only a hint: it may be late, lost or doubled. The sweep of every minute finds what no message announced.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context

log = logging.getLogger(__name__)


class Waker:
    """`wake()` never blocks. The first publishes at once, those within `pause_seconds` after it share the next."""

    def __init__(self, publish: Callable[[], object], *, pause_seconds: float = 0.1) -> None:
        self._publish, self._pause_seconds = publish, pause_seconds
        self._wanted = threading.Event()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None
        self._context = Context()

    def wake(self) -> None:
        self._context = copy_context()  # with the id of the request that wants it
        self._wanted.set()
        if self._thread is None:
            with self._started:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="webhook-waker", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._context.run(self._publish)
            except Exception as error:  # noqa: BLE001 - whatever the broker's client raises
                log.warning("The workers could not be woken (%s); the next sweep will find the events", error)
            time.sleep(self._pause_seconds)  # a message costs a millisecond, and ten a second say as much as a hundred
