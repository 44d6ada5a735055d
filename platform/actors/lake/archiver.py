"""Old runs leave the database for the lake, in the TableWriter's process.

    the oldest that ended long ago ─► files ─► commit to runs_history, to events_history ─► the Conductor forgets them

Each batch has the commit key `archive/FIRST RUN`, so a pass that died between two of these goes on with the very
batch that it began: as many runs as the first commit holds. Nothing leaves the database that is not in the lake.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pyarrow as pa

from ...core.inventory import CommitKey
from ...data.write import Target, WrittenFile, write_files
from ...errors import HeadwaterError
from ...store.aged import aged_runs, words_of
from ...store.reader import Reader
from .history import EVENTS_HISTORY, RUNS_HISTORY, events_table, runs_table

PROJECT, PRINCIPAL = "headwater", "headwater"
RETRY_S = 60.0

log = logging.getLogger("headwater.archiver")


class Tables(Protocol):
    """The TableWriter, as far as an archive needs it."""

    async def prepare(self, table: str, schema: pa.Schema) -> Target: ...
    async def append(
        self, table: str, files: Sequence[WrittenFile], key: str, project: str, principal: str
    ) -> object: ...
    def spent(self, table: str, key: str) -> CommitKey | None: ...


class Archiver:
    """`forget` takes the ids of runs that are in the lake, and gives back how many have left the database."""

    def __init__(
        self, reader: Reader, tables: Tables, forget: Callable[[list[str]], Awaitable[int]], *, batch: int
    ) -> None:
        self._reader, self._tables, self._forget, self._batch = reader, tables, forget, batch

    async def run(self, *, after_s: float, every_s: float) -> None:
        """For ever: all that is older than `after_s`, then a rest."""
        while True:
            try:
                while await self.archive(time.time_ns() // 1_000 - int(after_s * 1e6)):
                    pass
                await asyncio.sleep(every_s)
            except (HeadwaterError, OSError, ValueError) as error:  # the same batch is tried again
                log.error("Old runs could not be archived: %s", error)
                await asyncio.sleep(min(every_s, RETRY_S))

    async def archive(self, before_us: int) -> int:
        """Carries one batch of runs that ended before a time over; how many have left."""
        runs = await asyncio.to_thread(aged_runs, self._reader, before_us, self._batch)
        if not runs:
            return 0
        key = f"archive/{runs[0].id}"
        begun = await asyncio.to_thread(self._tables.spent, RUNS_HISTORY, key)
        if begun is not None:
            runs = runs[: begun.rows_added]
        ids = [run.id for run in runs]
        await self._carry(RUNS_HISTORY, key, lambda: runs_table(runs))
        await self._carry(EVENTS_HISTORY, key, lambda: events_table(words_of(self._reader, ids)))
        return await self._forget(ids)

    async def _carry(self, table: str, key: str, rows: Callable[[], pa.Table]) -> None:
        if await asyncio.to_thread(self._tables.spent, table, key) is not None:
            return
        data = await asyncio.to_thread(rows)
        target = await self._tables.prepare(table, data.schema)
        known = [name for name in data.column_names if name in target.schema.names]  # a table of an older version
        files = await asyncio.to_thread(write_files, target, data.select(known).to_batches())
        await self._tables.append(table, files, key, PROJECT, PRINCIPAL)
