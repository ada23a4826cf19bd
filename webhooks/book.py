"""What the lane writes down besides the deliveries: counts, secrets used, and what was refused.

Kept in memory and written every few seconds, in the writer's thread. Only a refusal that is to be kept with its bytes
waits for its commit, and those are few: a flood of forged deliveries costs counting.
"""

import asyncio
import logging
import os
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from integrations.actor import Actor
from integrations.providers import spec
from webhooks.models import WebhookLog
from webhooks.services import figures, quarantine, receive
from webhooks.writer import Writer

log = logging.getLogger(__name__)

WRITE_SECONDS = 10.0
PULSE_SECONDS = 300.0
"""So often it is written down that the lane is there, though nothing may come: silence must not be our own absence."""


@dataclass(slots=True, eq=False)
class _Pending:
    refused: quarantine.Refused
    done: "asyncio.Future[None]"


class Book:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._process = f"{socket.gethostname()[:20]}:{os.getpid()}:{int(time.time())}"[:40]
        self._minutes: dict[datetime, Counter[str]] = defaultdict(Counter)
        self._uses: dict[tuple[UUID, str], datetime] = {}
        self._tally: dict[quarantine.Place, Counter[str]] = defaultdict(Counter)
        self._room: dict[quarantine.Place, int] = {}
        self._noted: set[tuple[UUID, str, str]] = set()
        self._pending: list[_Pending] = []
        self._keeper: asyncio.Task[None] | None = None
        self._clock: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on, say that we are there."""
        self._pulse = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            self.count("received", 0)
            await asyncio.sleep(PULSE_SECONDS)

    # --- Counting ----------------------------------------------------------------------------------------------------

    def count(self, name: str, number: int = 1) -> None:
        self._minutes[timezone.now().replace(second=0, microsecond=0)][name] += number
        self._write_soon()

    def took(self, route: receive.Route, verdict: receive.Verdict, rows: Sequence[WebhookLog]) -> None:
        """A delivery was taken in, and `verdict` says by which secret."""
        self.count("received")
        if rows[0].duplicate_of is not None:
            self.count("duplicates")
        if not isinstance(verdict, spec.Verified) or route.webhook.method == "jwt":
            return
        if verdict.secret < len(route.secrets):
            self._uses[route.webhook_id, figures.fingerprint(route.secrets[verdict.secret])] = rows[0].created_at

    # --- Refusals ----------------------------------------------------------------------------------------------------

    async def refused_again(
        self, route: receive.Route, delivery: spec.Delivery, refusal: spec.Refused, *, now: datetime, caller: Actor
    ) -> None:
        """One of too many from one source: counted, not kept; told if it is the first of its reason in this minute."""
        self._tallied(route, refusal, now)
        if self._mark(route, refusal, now) not in self._noted:
            await self._write_down(route, delivery, refusal, now=now, caller=caller, keep=False)

    async def refused(
        self, route: receive.Route, delivery: spec.Delivery, refusal: spec.Refused, *, now: datetime, caller: Actor
    ) -> None:
        """Returns once what is to be kept of it is durable: at once for all but the first of an hour or a minute."""
        place = self._tallied(route, refusal, now)
        keep = self._room.get(place, quarantine.KEPT_PER_HOUR) > 0
        if keep:
            self._room = {kept: room for kept, room in self._room.items() if kept[1] == place[1]}
            self._room[place] = self._room.get(place, quarantine.KEPT_PER_HOUR) - 1
        if keep or self._mark(route, refusal, now) not in self._noted:
            await self._write_down(route, delivery, refusal, now=now, caller=caller, keep=keep)

    def _tallied(self, route: receive.Route, refusal: spec.Refused, now: datetime) -> quarantine.Place:
        self.count("refused")
        place = route.webhook_id, quarantine.hour_of(now)
        self._tally[place][refusal.reason] += 1
        return place

    def _mark(self, route: receive.Route, refusal: spec.Refused, now: datetime) -> tuple[UUID, str, str]:
        return route.webhook_id, refusal.reason, f"{now:%Y%m%d%H%M}"

    async def _write_down(
        self,
        route: receive.Route,
        delivery: spec.Delivery,
        refusal: spec.Refused,
        *,
        now: datetime,
        caller: Actor,
        keep: bool,
    ) -> None:
        mark = self._mark(route, refusal, now)
        note = mark not in self._noted
        self._noted = {kept for kept in self._noted if kept[2] == mark[2]} | {mark}
        one = quarantine.Refused(
            route=route, delivery=delivery, reason=refusal.reason, detail=refusal.detail, at=now, caller=caller,
            keep=keep, note=note,
        )  # fmt: skip
        pending = _Pending(one, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        try:
            await pending.done
        except BaseException:  # also who waited too long: whether it will be written nobody knows
            if note:
                self._noted.discard(mark)
            raise

    async def _keep(self) -> None:
        try:
            while self._pending:
                taken, self._pending = self._pending, []
                counts, self._tally = self._tally, defaultdict(Counter)
                try:
                    room = await self._writer.in_thread(lambda: quarantine.keep([p.refused for p in taken], counts))  # noqa: B023 - awaited here
                except Exception as error:  # noqa: BLE001 - whatever the database raises; counted again next time
                    for place, reasons in counts.items():
                        self._tally[place].update(reasons)
                    _settle(taken, error)
                else:
                    self._room.update(room)
                    _settle(taken, None)
        finally:
            self._keeper = None

    # --- Writing down ------------------------------------------------------------------------------------------------

    def _write_soon(self) -> None:
        if self._clock is None:
            self._clock = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        try:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write()
        finally:
            self._clock = None

    async def write(self) -> None:
        """Everything counted so far. What can't be written is lost, but for what was refused: figures are no
        deliveries, but an attack's size is to be known."""
        taken = self._writer.take_figures()
        minutes, self._minutes = self._minutes, defaultdict(Counter)
        uses, self._uses = self._uses, {}
        counts, self._tally = self._tally, defaultdict(Counter)
        if taken.commits:
            minutes[timezone.now().replace(second=0, microsecond=0)].update(
                commits=taken.commits, commit_ms_total=taken.commit_ms_total, commit_ms_max=taken.commit_ms_max,
                queue_max=taken.queue_max,
            )  # fmt: skip

        def chore() -> None:
            if counts:
                quarantine.keep([], counts)
                counts.clear()
            figures.write(process=self._process, minutes=minutes, uses=uses)

        try:
            await self._writer.in_thread(chore)
        except Exception as error:  # noqa: BLE001 - whatever the database raises
            log.warning("The lane's figures could not be written: %s", type(error).__name__)
            for place, reasons in counts.items():
                self._tally[place].update(reasons)

    async def stop(self) -> None:
        for task in (self._pulse, self._clock):
            if task is not None:
                task.cancel()
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=5)
        await self.write()


def _settle(pending: Sequence[_Pending], error: Exception | None) -> None:
    for one in pending:
        if one.done.done():
            continue
        if error is None:
            one.done.set_result(None)
        else:
            one.done.set_exception(error)
