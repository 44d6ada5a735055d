"""Old runs leave the database for the lake, in the TableWriter's process.

    the oldest that ended long ago ─► files ─► commit to runs_history, to events_history ─► the Conductor forgets them

A pass that died after the first commit is finished before the next begins: the newest commit of an archive to
runs_history says by its own rows which runs it holds, and where the database still has them, they go on from there,
under the same key. So each run is in either table once, and nothing leaves the database that is not in both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from ...core.inventory import CommitKey
from ...data.write import Target, WrittenFile, write_files
from ...errors import HeadwaterError
from ...store.aged import aged_runs, any_run_of, words_of
from ...store.reader import Reader
from ...wire.ids import digest_of
from .history import EVENTS_HISTORY, RUNS_HISTORY, events_table, runs_table
from .lake_desk import LastCommit

PROJECT, PRINCIPAL = "headwater", "headwater"
PREFIX: Final = "archive/"
RETRY_S = 60.0

log = logging.getLogger("headwater.archiver")


class Batch(NamedTuple):
    """Runs that leave together, under the commit key of both tables."""

    key: str
    ids: list[str]


class Tables(Protocol):
    """The TableWriter, as far as an archive needs it."""

    async def prepare(self, table: str, schema: pa.Schema) -> Target: ...
    async def append(
        self, table: str, files: Sequence[WrittenFile], key: str, project: str, principal: str
    ) -> object: ...
    def spent(self, table: str, key: str) -> CommitKey | None: ...
    def last_commit(self, table: str, prefix: str, column: str) -> LastCommit | None: ...


class Archiver:
    """`forget` takes the ids of runs that are in the lake, and gives back how many have left the database."""

    def __init__(
        self, reader: Reader, tables: Tables, forget: Callable[[list[str]], Awaitable[int]], *, batch: int
    ) -> None:
        self._reader, self._tables, self._forget, self._batch = reader, tables, forget, batch
        self._finished = False

    async def run(self, *, after_s: float, every_s: float) -> None:
        """For ever: all that is older than `after_s`, then a rest."""
        await go_on(self.archive, "Old runs", after_s=after_s, every_s=every_s)

    async def archive(self, before_us: int) -> int:
        """Carries one batch of runs that ended before a time over; how many have left."""
        batch = await self._begun() or await self._next(before_us)
        if batch is None:
            return 0
        await carry(self._tables, EVENTS_HISTORY, batch.key, lambda: events_table(words_of(self._reader, batch.ids)))
        count = await self._forget(batch.ids)
        self._finished = True
        return count

    async def _begun(self) -> Batch | None:
        """The batch that is in the lake and in the database as well, where there is one."""
        if self._finished:
            return None
        last = await asyncio.to_thread(self._tables.last_commit, RUNS_HISTORY, PREFIX, "id")
        ids = [] if last is None else sorted(last.values)
        left = last is not None and await asyncio.to_thread(any_run_of, self._reader, ids)
        return Batch(last.key, ids) if last is not None and left else None

    async def _next(self, before_us: int) -> Batch | None:
        runs = await asyncio.to_thread(aged_runs, self._reader, before_us, self._batch)
        if not runs:
            return None
        ids = [run.id for run in runs]
        batch = Batch(f"{PREFIX}{digest_of(*ids)}", ids)
        self._finished = False
        await carry(self._tables, RUNS_HISTORY, batch.key, lambda: runs_table(runs))
        return batch


async def go_on(archive: Callable[[int], Awaitable[int]], what: str, *, after_s: float, every_s: float) -> None:
    """For ever: archives batch by batch what is older than `after_s`, then rests; what fails is tried again."""
    while True:
        try:
            while await archive(time.time_ns() // 1_000 - int(after_s * 1e6)):
                pass
            await asyncio.sleep(every_s)
        except (HeadwaterError, OSError, ValueError) as error:  # the same batch is tried again
            log.error("%s could not be archived: %s", what, error)
            await asyncio.sleep(min(every_s, RETRY_S))


async def carry(tables: Tables, table: str, key: str, rows: Callable[[], pa.Table]) -> None:
    """Commits the rows to the table, unless that was done under this key before."""
    if await asyncio.to_thread(tables.spent, table, key) is not None:
        return
    data = await asyncio.to_thread(rows)
    target = await tables.prepare(table, data.schema)
    known = [name for name in data.column_names if name in target.schema.names]  # a table of an older version
    files = await asyncio.to_thread(write_files, target, data.select(known).to_batches())
    await tables.append(table, files, key, PROJECT, PRINCIPAL)
