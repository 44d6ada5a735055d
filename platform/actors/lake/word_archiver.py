"""Old entries of the log that speak of no run leave the database for `headwater.events_history`: deploys, commands,
what triggers, nodes and quota have said.

As with runs, nothing leaves that is not in the lake, and each entry is there once: a pass that died after its commit is
finished before the next begins, with the positions that its own commit holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...store.aged import any_word_at, words_of_no_run
from ...store.reader import Reader
from ...wire.ids import digest_of
from .archiver import Tables, carry, go_on
from .history import EVENTS_HISTORY, events_table

PREFIX: Final = "archive-log/"


class WordArchiver:
    """`forget` takes the positions of entries that are in the lake, and gives back how many have left the database."""

    def __init__(
        self, reader: Reader, tables: Tables, forget: Callable[[list[int]], Awaitable[int]], *, batch: int
    ) -> None:
        self._reader, self._tables, self._forget, self._batch = reader, tables, forget, batch
        self._finished = False

    async def run(self, *, after_s: float, every_s: float) -> None:
        """For ever: all that is older than `after_s`, then a rest."""
        await go_on(self.archive, "Old entries of the log", after_s=after_s, every_s=every_s)

    async def archive(self, before_us: int) -> int:
        """Carries one batch of entries from before a time over; how many have left."""
        positions = await self._begun() or await self._next(before_us)
        count = await self._forget(positions) if positions else 0
        self._finished = True
        return count

    async def _begun(self) -> list[int]:
        """The entries that are in the lake and in the database as well, where there are some."""
        if self._finished:
            return []
        last = await asyncio.to_thread(self._tables.last_commit, EVENTS_HISTORY, PREFIX, "position")
        positions: list[int] = [] if last is None else sorted(last.values)
        return positions if await asyncio.to_thread(any_word_at, self._reader, positions) else []

    async def _next(self, before_us: int) -> list[int]:
        rows = await asyncio.to_thread(words_of_no_run, self._reader, before_us, self._batch)
        if len(rows) < self._batch and all(_is_of_archives(row) for row in rows):
            return []
        positions = [int(row.position) for row in rows]
        self._finished = False
        key = f"{PREFIX}{digest_of(*map(str, positions))}"
        await carry(self._tables, EVENTS_HISTORY, key, lambda: events_table(rows))
        return positions


def _is_of_archives(row: Any) -> bool:
    """What archives said of themselves waits for company: otherwise each would lead to one more, for ever."""
    return str(row.causation or "").startswith("archive")
