"""Ending a job's work from outside: when its time is up, or when somebody cancelled it."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, connection

from integrations.cron import services as cron

LOOK_SECONDS = 2.0


def within(work: cron.Work, seconds: float, cancelled_by: Callable[[], str]) -> cron.Work:
    """`work`, interrupted wherever it is. For a worker's own process and main thread: a signal does it, which wakes it
    from any wait. `cancelled_by` is asked every two seconds, from a thread of its own.
    """

    def timed(**arguments: Any) -> dict[str, Any]:
        who: list[str] = []

        def over(*_: object) -> None:
            if who:
                raise cron.Cancelled(f"Cancelled by {who[0]}.")
            raise cron.TimedOut(f"It was ended after {seconds:g} s, which is all the time it has.")

        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(done, who, cancelled_by), name="cancelled?", daemon=True)
        before = signal.signal(signal.SIGALRM, over)
        watcher.start()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return work(**arguments)
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # a signal that is late must neither raise here nor kill us
            signal.setitimer(signal.ITIMER_REAL, 0)
            done.set()
            watcher.join()
            signal.signal(signal.SIGALRM, before)

    return timed


def _watch(done: threading.Event, who: list[str], cancelled_by: Callable[[], str]) -> None:
    try:
        while not done.wait(LOOK_SECONDS):
            with suppress(DatabaseError):  # asked again in two seconds
                if name := cancelled_by():
                    who.append(name)
                    os.kill(os.getpid(), signal.SIGALRM)
                    return
    finally:
        connection.close()
