"""Following the log: every entry once, in order, whatever way it came.

The Conductor's hub pushes what it commits and what it reads of others' commits. A push that
continues the cursor is taken as it is; any other makes the follower read the database. One slow
tick covers a push that was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..errors import Unavailable
from ..store.reader import Reader
from ..wire.types import Entry

SLOW_TICK_S = 2.0

log = logging.getLogger("headwater.follower")


class Follower:
    """Hands contiguous stretches of the log to `take(entries, upto)`. One task calls `run`."""

    def __init__(
        self, reader: Reader, cursor: int, take: Callable[[list[Entry], int], None], *, tick_s: float = SLOW_TICK_S
    ) -> None:
        self._reader, self._take, self._tick_s = reader, take, tick_s
        self.cursor = cursor
        self._behind = asyncio.Event()

    def offer(self, after: int, upto: int, entries: list[Entry]) -> None:
        """A push: all entries of interest with after < position <= upto."""
        if upto <= self.cursor:
            return
        if after <= self.cursor:
            self._advance([entry for entry in entries if entry.position > self.cursor], upto)
        else:
            self._behind.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._tick_s):
                    await self._behind.wait()
            except TimeoutError:
                pass
            self._behind.clear()
            try:
                await self.catch_up()
            except Unavailable as error:  # nothing is lost: the next tick reads from the same place
                log.warning("The log cannot be read: %s", error)

    async def catch_up(self) -> None:
        """Reads the database until nothing is left behind."""
        while True:
            before = self.cursor
            entries, upto = await asyncio.to_thread(self._read, before)
            if upto <= self.cursor:
                return
            if self.cursor == before:
                self._advance(entries, upto)

    def _read(self, after: int) -> tuple[list[Entry], int]:
        head = self._reader.position()
        if head <= after:
            return [], after
        upto = min(head, after + 1_000)
        return self._reader.entries(after, upto=upto), upto

    def _advance(self, entries: list[Entry], upto: int) -> None:
        self.cursor = upto
        self._take(entries, upto)
