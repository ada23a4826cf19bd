"""Commits deliveries in company: whatever arrived while the last commit was in flight goes into the next one.

No timer and no lock: under little load a delivery is committed alone and at once, under much load commits are shared.
It lives on the server's event loop. Queue and batch are bounded in number and in bytes; a full queue is the caller's
to answer (503). What fails together is tried apart, so that a poisonous row harms only itself.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from webhooks.insert import Inserter
from webhooks.models import WebhookLog
from webhooks.services import receive

log = logging.getLogger(__name__)

T = TypeVar("T")

AWAY = (OperationalError, InterfaceError)
BACK_OFF_SECONDS = 1.0
PATIENCE_SECONDS = 4.5
"""Providers wait five seconds; whose delivery isn't stored by then is told to come again."""
WATCH_SECONDS = 0.25


class Busy(Exception):
    """More is coming in than can be committed, or the database was away a moment ago."""


class Insert(Protocol):
    async def insert(self, rows: Sequence[WebhookLog]) -> set[UUID]: ...
    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Job:
    rows: Sequence[WebhookLog]
    size: int
    done: "asyncio.Future[None]"
    apart: bool
    until: float


@dataclass(slots=True)
class Figures:
    """What happened since they were last taken."""

    commits: int = 0
    commit_ms_total: int = 0
    commit_ms_max: int = 0
    queue_max: int = 0


@dataclass(slots=True)
class Writer:
    """`after_commit` is called once a batch and must not block. `quick` None: the careful way for everything."""

    after_commit: Callable[[], None]
    quick: Insert | None = field(default_factory=lambda: Inserter() if connection.vendor == "postgresql" else None)
    capacity: int = 2000
    capacity_bytes: int = 64 * 2**20
    batch: int = 250
    batch_bytes: int = 8 * 2**20
    figures: Figures = field(default_factory=Figures)
    _waiting: deque[_Job] = field(default_factory=deque)
    _bytes: int = 0
    _flight: "asyncio.Task[None] | None" = None
    _flying: Sequence[_Job] = ()
    _watch: "asyncio.Task[None] | None" = None
    _away_until: float = 0.0
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook-writer")
    )

    def store(self, rows: Sequence[WebhookLog], size: int) -> "asyncio.Future[None]":
        """Queue the rows of one delivery of `size` bytes. The future is done once they are durable; it fails with Busy
        when that takes too long. Raises Busy."""
        if self._bytes + size > self.capacity_bytes or len(self._waiting) >= self.capacity or self._away():
            raise Busy
        # What nobody has vouched for yet is counted against a limit of its own, so it never shares a commit.
        apart = self.quick is not None and any(not row.verified for row in rows)
        loop = asyncio.get_running_loop()
        job = _Job(rows, size, loop.create_future(), apart, loop.time() + PATIENCE_SECONDS)
        self._waiting.append(job)
        self._bytes += size
        self.figures.queue_max = max(self.figures.queue_max, len(self._waiting))
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watch())
        return job.done

    async def _keep_watch(self) -> None:
        """Let nobody wait for ever: one clock for all, since a timer for each would cost more than its commit."""
        try:
            while self._flight is not None:
                await asyncio.sleep(WATCH_SECONDS)
                now = asyncio.get_running_loop().time()
                _fail(
                    [job for job in (*self._flying, *self._waiting) if job.until < now and not job.done.done()], Busy()
                )
        finally:
            self._watch = None

    async def in_thread(self, chore: Callable[[], T]) -> T:
        """Run a small piece of database work between two careful commits."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _clean, chore)

    async def drain(self) -> None:
        """Wait until what is queued is committed."""
        if self._flight is not None:
            await asyncio.wait([self._flight], timeout=10)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self.quick is not None:
            await self.quick.close()
        await asyncio.get_running_loop().run_in_executor(self._threads, _hang_up)
        self._threads.shutdown(wait=False)

    def take_figures(self) -> Figures:
        taken, self.figures = self.figures, Figures()
        return taken

    # --- in flight ---------------------------------------------------------------------------------------------------

    async def _fly(self) -> None:
        jobs: list[_Job] = []
        try:
            while self._waiting:
                jobs = self._flying = self._gather()
                started = time.monotonic()
                await self._commit([job for job in jobs if not job.apart])
                for job in (job for job in jobs if job.apart):
                    await self._commit([job])
                self._count(started)
                if any(job.done.done() and not job.done.cancelled() and not job.done.exception() for job in jobs):
                    self._announce()
        except BaseException as error:
            log.exception("The webhook writer stumbled")
            _fail([*jobs, *self._waiting], Busy() if isinstance(error, asyncio.CancelledError) else error)
            self._waiting.clear()
            self._bytes = 0
            if not isinstance(error, Exception):
                raise
        finally:
            self._flight, self._flying = None, ()

    def _gather(self) -> list[_Job]:
        jobs: list[_Job] = []
        size = 0
        while (
            self._waiting and len(jobs) < self.batch and (not jobs or size + self._waiting[0].size <= self.batch_bytes)
        ):
            job = self._waiting.popleft()
            self._bytes -= job.size
            if not job.done.done():  # else its sender has left, or was told to come again
                jobs.append(job)
                size += job.size
        return jobs

    async def _commit(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            await self._store(jobs)
        except AWAY as error:  # true for all of them
            self._away_until = time.monotonic() + BACK_OFF_SECONDS
            _fail(jobs, error)
        except Exception as error:  # noqa: BLE001 - whatever a row brings
            if len(jobs) == 1:
                await self._store_alone(jobs[0], error)
                return
            for job in jobs:
                await self._commit([job])
        else:
            for job in jobs:
                if not job.done.done():
                    job.done.set_result(None)

    async def _store(self, jobs: list[_Job]) -> None:
        rows = [row for job in jobs for row in job.rows]
        if self.quick is not None and not jobs[0].apart:
            try:
                stored = await self.quick.insert(rows)
            except AWAY:  # perhaps only this connection: once more on a new one
                stored = await self.quick.insert(rows)
            rows = [row for row in rows if row.pk not in stored]
        if rows:
            await self.in_thread(lambda: receive.store(rows))

    async def _store_alone(self, job: _Job, error: Exception) -> None:
        """The careful way; as the last resort without the readable copy, rather than lose a genuine delivery."""
        if not isinstance(error, DatabaseError):
            _fail([job], error)
            return
        try:
            await self.in_thread(lambda: receive.store(job.rows))
        except Exception as again:  # noqa: BLE001 - whatever the row brings
            await self._store_bytes(job, again)
        else:
            if not job.done.done():
                job.done.set_result(None)

    async def _store_bytes(self, job: _Job, error: Exception) -> None:
        if not isinstance(error, DatabaseError) or isinstance(error, AWAY):
            _fail([job], error)
            return
        for row in job.rows:
            row.payload = row.due_at = None
            row.as_it_came = False
            row.status = WebhookLog.Status.FAILED
            # Not the database's own words: they may quote the row.
            row.error_message = f"Genuine, but the database refuses its content ({type(error).__name__})."
        try:
            await self.in_thread(lambda: receive.store(job.rows))
        except Exception as again:  # noqa: BLE001 - likewise
            _fail([job], again)
        else:
            if not job.done.done():
                job.done.set_result(None)

    def _away(self) -> bool:
        return time.monotonic() < self._away_until

    def _announce(self) -> None:
        try:
            self.after_commit()
        except Exception:
            log.exception("The workers could not be woken; the next sweep will find the events")

    def _count(self, started: float) -> None:
        took = int((time.monotonic() - started) * 1000)
        self.figures.commits += 1
        self.figures.commit_ms_total += took
        self.figures.commit_ms_max = max(self.figures.commit_ms_max, took)


def _fail(jobs: Sequence[_Job], error: BaseException) -> None:
    if jobs:
        log.error("%d deliveries could not be stored: %s", len(jobs), type(error).__name__)
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error if isinstance(error, Exception) else Busy())


def _hang_up() -> None:
    connection.close()  # that of the thread which runs this


def _clean(chore: Callable[[], T]) -> T:
    """On the writer's thread: a connection that broke is thrown away, and the chore tried once more on a new one."""
    try:
        return chore()
    except AWAY:
        connection.close()
        return chore()
    finally:
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()  # back into the pool
