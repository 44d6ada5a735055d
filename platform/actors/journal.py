"""Group commit off the event loop: one dedicated thread writes, the loop is told when it is durable."""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from .. import crash
from ..core import turn
from ..core.records.attempts import Attempt, AttemptState
from ..errors import Unavailable
from ..store.guards import guard_of
from ..store.writer import Changes, CommitFailed, Guard, Writer
from ..wire.types import Entry, Said
from .courtesy import started_first

T = TypeVar("T")
PATIENCE_S: Final = 300.0
AGAIN_S: Final = 0.5

log = logging.getLogger("headwater.journal")


class Journal:
    """An owner's transactions, one after another, on a thread of their own."""

    def __init__(self, writer: Writer, *, patience_s: float = PATIENCE_S) -> None:
        self.writer, self._patience_s = writer, patience_s
        self.trouble = ""  # why nothing can be written now
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = started_first(self._run, "commits")

    async def commit(self, changes: Changes, said: Sequence[Said], guards: Sequence[turn.Guard]) -> list[Entry]:
        """The entries as they stand in the log; none where it landed and only the database's answer was lost.

        Raises what `Writer.commit` raises. A doubt is settled before anything else is written, and before the error
        is told: after CommitFailed nothing is there.
        """
        asked = [guard_of(guard) for guard in guards] + _crashes_in(changes)
        return await self.do(lambda: self._settled(lambda: self.writer.commit(changes, said, asked)) or [])

    async def commit_chosen(self, choose: Callable[[], tuple[Changes, Sequence[Said]]]) -> list[Entry]:
        """Like `commit`, of what is chosen once everything that was asked for before is there."""

        def work() -> list[Entry]:
            changes, said = choose()
            return self._settled(lambda: self.writer.commit(changes, said)) or []

        return await self.do(work)

    async def forget(self, forget: Callable[[sa.Connection], int]) -> int:
        """What `Writer.forget` gives; none where it landed and only the answer was lost."""
        return await self.do(lambda: self._settled(lambda: self.writer.forget(forget)) or 0)

    async def take_epoch(self) -> int:
        """Waits for a database that is away, as long as `patience_s`; then Unavailable."""
        return await self.do(lambda: self._patiently(self.writer.take_epoch))

    async def patiently(self, work: Callable[[], T]) -> T:
        """What blocking work gives once the database answers, after all commits that were asked for before it."""
        return await self.do(lambda: self._patiently(work))

    def _settled(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except CommitFailed:
            if not self._patiently(self.writer.landed):
                raise
        return None

    def _patiently(self, work: Callable[[], T]) -> T:
        """On the journal's thread: until this is told, nothing can be written or decided."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                done = work()
                self.trouble = ""
                return done
            except Unavailable as error:
                self.trouble = error.what
                if time.monotonic() > deadline:
                    raise
                log.warning("%s; trying again in %.1f s", error, AGAIN_S)
                time.sleep(AGAIN_S)

    async def do(self, work: Callable[[], T]) -> T:
        """The result of blocking work on the journal's thread, in the order it was asked for."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = work()
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, done, error)
            else:
                loop.call_soon_threadsafe(_succeed, done, result)

        self._work.put(job)
        return await done

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            job()


def _crashes_in(changes: Changes) -> list[Guard]:
    """The points that lie inside a transaction, as guards that never object."""
    if crash.armed_folder() is None:
        return []
    states = {row.state for row in changes.get("attempts", {}).values() if isinstance(row, Attempt)}
    passed: list[tuple[crash.Point, bool]] = [
        ("t1.inside", "inbox" in changes),
        ("t2.inside", AttemptState.LEASED in states),
        ("t4.inside", any(not state.live for state in states)),
    ]
    return [_crash_at(point) for point, is_passed in passed if is_passed]


def _crash_at(point: crash.Point) -> Guard:
    def pass_by(connection: sa.Connection) -> str:
        crash.at(point)
        return ""

    return pass_by


def _succeed(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
