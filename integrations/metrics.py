"""Recorded calls on their way to the database: whoever called a provider doesn't wait for it.

`record` only puts a call into memory; one thread of each process writes what is there, many rows at a time. The memory
is bounded: while the database is away calls are kept and tried again, and if there are too many the oldest go, are
counted, and a line in the log says so. A clean stop waits until all is written (`flush`); a kill -9 costs what came in
the last half second.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connections

from integrations.models import ApiMetric

log = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError)
AWAY_SECONDS = 1.0
"""How long a database that is away is left alone."""
PAUSE_SECONDS = 0.5
"""How long a call waits for others to be written with it."""
BATCH = 200
CAPACITY = 10_000
PATIENCE_SECONDS = 5.0
"""How long a stop waits for a database that is away."""
TELL_SECONDS = 60.0


def record(metric: ApiMetric) -> None:
    """Keep `metric`, to be written soon. Never blocks; without METRICS_BUFFERED it is saved at once."""
    if settings.METRICS_BUFFERED:
        _buffer.add(metric)
    else:
        metric.save(force_insert=True)


def flush(patience: float = PATIENCE_SECONDS) -> int:
    """Wait until all that this process has recorded is written; returns how many calls are not, after `patience` s."""
    left = _buffer.flush(patience)
    if left:
        log.error("%d recorded calls could not be written within %g s: the database is away", left, patience)
    return left


def store(rows: Sequence[ApiMetric]) -> Sequence[ApiMetric]:
    """Write `rows`; returns those to be tried again, since the database is away.

    What is there already is passed over: the commit before may have succeeded without our hearing of it. If one can't
    be written at all (its integration was deleted meanwhile), it alone is lost.
    """
    try:
        ApiMetric.objects.bulk_create(rows, ignore_conflicts=True)
    except AWAY:
        return rows
    except Exception:  # noqa: BLE001 - whatever database and driver raise: one row must not harm the others
        return _one_by_one(rows)
    return ()


def _one_by_one(rows: Sequence[ApiMetric]) -> Sequence[ApiMetric]:
    for position, row in enumerate(rows):
        try:
            ApiMetric.objects.bulk_create([row], ignore_conflicts=True)
        except AWAY:
            return rows[position:]
        except Exception as error:  # noqa: BLE001 - likewise
            where = f"{row.method} {row.endpoint} of integration {row.integration_id}"
            log.warning("A call could not be recorded: %s (%s)", where, type(error).__name__)
    return ()


class Buffer:
    """At most `capacity` calls between those who make them and the one thread that writes them.

    `write` takes some and returns those to be tried again. It is called in that thread only, which has a database
    connection of its own: never in somebody's transaction.
    """

    def __init__(
        self,
        write: Callable[[Sequence[ApiMetric]], Sequence[ApiMetric]] = store,
        *,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._write, self._capacity, self._batch, self._pause = write, capacity, batch, pause
        self.begin_anew()

    def begin_anew(self) -> None:
        """Empty, without a thread: as it must be in a process that was forked. What it inherited is its parent's, and
        so may be the lock."""
        self._changed = threading.Condition()
        self._rows: deque[ApiMetric] = deque()
        self._in_hand = self._hurried = self._dropped = 0
        self._tell_at = 0.0
        self._thread: threading.Thread | None = None

    def add(self, metric: ApiMetric) -> None:
        with self._changed:
            if len(self._rows) >= self._capacity:
                self._rows.popleft()
                self._dropped += 1
            self._rows.append(metric)
            if len(self._rows) in (1, self._batch):
                self._changed.notify_all()
            self._start()
        self._tell()

    def flush(self, patience: float) -> int:
        """Hurry, and wait until nothing is left; returns how many calls are, after `patience` seconds."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._rows and not self._in_hand, timeout=patience)
            self._hurried -= 1
            return len(self._rows) + self._in_hand

    # --- The thread --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is on its way out
            log.warning("Recorded calls wait: they can't be written (%s)", error)
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            taken = self._take()
            left: Sequence[ApiMetric] = ()
            try:
                left = self._write(taken)
            except Exception:
                log.exception("%d recorded calls are lost", len(taken))
            with suppress(Error):  # of a connection that broke
                connections.close_all()  # this thread's own; between two batches others may need it more
            self._put_back(left)
            if left:
                self._tell(waits=True)
                time.sleep(AWAY_SECONDS)

    def _take(self) -> Sequence[ApiMetric]:
        with self._changed:
            self._changed.wait_for(lambda: self._rows)
            self._changed.wait_for(lambda: self._hurried or len(self._rows) >= self._batch, timeout=self._pause)
            taken = [self._rows.popleft() for _ in range(min(self._batch, len(self._rows)))]
            self._in_hand = len(taken)
            return taken

    def _put_back(self, left: Sequence[ApiMetric]) -> None:
        with self._changed:
            room = self._capacity - len(self._rows)
            kept = left[max(0, len(left) - room) :]
            self._rows.extendleft(reversed(kept))
            self._dropped += len(left) - len(kept)
            self._in_hand = 0
            self._changed.notify_all()

    def _tell(self, *, waits: bool = False) -> None:
        """Once a minute, if there is something to tell."""
        if not (self._dropped or waits):
            return
        with self._changed:
            now = time.monotonic()
            if now < self._tell_at:
                return
            dropped, self._dropped, waiting = self._dropped, 0, len(self._rows)
            self._tell_at = now + TELL_SECONDS
        log.error("The database is away: %d recorded calls wait, %d were dropped, the oldest first", waiting, dropped)


_buffer = Buffer()
os.register_at_fork(after_in_child=_buffer.begin_anew)
atexit.register(flush)
