"""Ending a job's work from outside: when its time is up, when somebody cancelled it, or when whoever started it may
no longer."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, connection

from integrations.cron import services as cron

LOOK_SECONDS = 2.0


def within(work: cron.Work, seconds: float, ended_by: Callable[[], str]) -> cron.Work:
    """`work`, interrupted wherever it is. For a worker's own process and main thread: a signal does it, which wakes it
    from any wait. `ended_by` is asked every two seconds, from a thread of its own: why it is to end, "" while it may
    go on.
    """

    def timed(**arguments: Any) -> dict[str, Any]:
        why: list[str] = []

        def over(*_: object) -> None:
            if why:
                raise cron.Cancelled(why[0])
            raise cron.TimedOut(f"It was ended after {seconds:g} s, which is all the time it has.")

        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(done, why, ended_by), name="cancelled?", daemon=True)
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


def _watch(done: threading.Event, why: list[str], ended_by: Callable[[], str]) -> None:
    try:
        while not done.wait(LOOK_SECONDS):
            with suppress(DatabaseError):  # asked again in two seconds
                if words := ended_by():
                    why.append(words)
                    os.kill(os.getpid(), signal.SIGALRM)
                    return
    finally:
        connection.close()
