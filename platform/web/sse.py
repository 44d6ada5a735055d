"""Server-sent events: the log of a run or a project as a stream that resumes exactly.

    id: EPOCH:POSITION            the cursor: `Last-Event-ID` to resume after it
    event: run.started            the entry's type
    data: {...}                   the entry

`joined` comes first, with the cursor that the stream begins after. `progress` (of running steps; lossy)
has no id. `end` closes the stream of a run that has ended, with its state: a stream that closes without
it was cut, and is to be resumed. `rewound` says that the cursor is of another life of the store. A
comment every few seconds tells that the connection lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from ..store.queries import Queries
from ..store.scope import Scope
from ..wire.cursor import Cursor
from ..wire.types import TERMINAL, Entry
from .direct import Line
from .frames import HEARTBEAT, end_frame, frame, identified, progress_frames
from .live import Hub, Seat


class Streams:
    def __init__(self, queries: Queries, hub: Hub, *, heartbeat_s: float) -> None:
        self._queries, self._hub, self._heartbeat_s = queries, hub, heartbeat_s

    def of_run(self, run_id: str, since: Cursor | None) -> AsyncIterator[bytes]:
        """A run's story from its first entry, or after `since`, to its end."""
        return self._stream(Scope(run_id=run_id), since, after=0)

    def of_scope(self, scope: Scope, since: Cursor | None, line: Line | None = None) -> AsyncIterator[bytes]:
        """What is new of a part of the log, or all of it after `since`. Never ends by itself. What comes while the
        stream has nothing else to send is written to `line` and not handed out here."""
        return self._stream(scope, since, after=None, line=line)

    async def _stream(
        self, scope: Scope, since: Cursor | None, *, after: int | None, line: Line | None = None
    ) -> AsyncIterator[bytes]:
        if since is not None and since.store_epoch != self._hub.store_epoch:
            yield frame("rewound", msgspec.json.encode({"store_epoch": self._hub.store_epoch}))
            return
        with self._hub.seat(scope, after=after if since is None else since.position) as seat:
            joined = Cursor(self._hub.store_epoch, seat.subscription.delivered)
            yield b"retry: 500\n" + identified(joined, "joined", b"{}")
            async for entries in self._backfilled(seat):
                yield self._hub.frames.of(entries)
                if ended := _ended(scope, entries):
                    yield end_frame(ended)
                    return
            if ended := await self._ended_before(seat):
                yield end_frame(ended)
                return
            seat.line = line
            async for chunk in self._live(seat):
                yield chunk

    async def _backfilled(self, seat: Seat) -> AsyncIterator[list[Entry]]:
        subscription = seat.subscription
        while missing := subscription.missing():
            page = await asyncio.to_thread(self._queries.log, subscription.scope, after=missing[0], upto=missing[1])
            if entries := subscription.backfill(page):
                yield entries

    async def _live(self, seat: Seat) -> AsyncIterator[bytes]:
        """What comes from now on; ends after the run's last entry, or where the seat was cut."""
        subscription = seat.subscription
        while not subscription.is_cut:
            seat.bell.clear()
            entries, progress = subscription.take(), subscription.take_progress()
            if entries or progress:
                yield progress_frames(progress) + self._hub.frames.of(entries)
            if ended := _ended(subscription.scope, entries):
                yield end_frame(ended)
                return
            if not await self._ring(seat):
                yield HEARTBEAT

    async def _ring(self, seat: Seat) -> bool:
        """Whether something came before the next heartbeat is due."""
        seat.is_idle = True
        try:
            async with asyncio.timeout(self._heartbeat_s):
                return await seat.bell.wait()
        except TimeoutError:
            return False
        finally:
            seat.is_idle = False

    async def _ended_before(self, seat: Seat) -> str:
        """How the run ended, for a subscriber who had seen its end before; empty where it has not."""
        run_id = seat.subscription.scope.run_id
        last = await asyncio.to_thread(self._queries.last_of_run, run_id) if run_id is not None else None
        seen = last is not None and last.position <= seat.subscription.delivered
        return last.type if last is not None and seen and last.type in TERMINAL else ""


def _ended(scope: Scope, entries: Sequence[Entry]) -> str:
    last = entries[-1].type if entries else ""
    return last if scope.run_id is not None and last in TERMINAL else ""
