"""The TableWriter's shell: the only one that opens the catalog for writing, one table at a time.

    append: key spent? ─► yes: the first answer ─ no ─► commit the files ─► announce ─► answer
    announce (T5): look at the table ─► say every snapshot since the announced head, as compare-and-set on it

Tables are announced on start, after each commit and by one slow poll, since a foreign engine tells nobody.
A commit that was made and not announced (a crash in between) is found again by its key or by the next look.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import ray
from ray.exceptions import RayError

from ... import crash
from ...core.inbox import DEFAULT_PROJECT
from ...core.inventory import CommitKey
from ...core.records.inbox import Offset
from ...core.storage import REMEDY
from ...core.table_writer import OWNER, Author, Seen, SnapshotFact, TableWriter
from ...data.commit import Append, Committed
from ...data.write import Target, WrittenFile
from ...errors import Conflict, HeadwaterError, InvalidInput, Unavailable
from ...store.reader import Picture
from ...store.schema import COMMIT_KEYS
from ...wire.entries.tables import TableCommitted
from ..loop import Machine
from ..names import find, forget
from ..owner import OwnerActor
from .archiver import Archiver
from .lake_desk import LakeDesk, LastCommit, catalog_of
from .rooms import Rooms
from .word_archiver import WordArchiver

LOOKS_MAX: Final = 5

log = logging.getLogger("headwater.table_writer")


class TableWriterActor(OwnerActor):
    """See the module. Work on the catalog runs on threads; what is asked of one table is done in order."""

    owner = OWNER

    def load(self, picture: Picture, offsets: list[Offset]) -> Machine:
        self.desk = LakeDesk(catalog_of(self.wiring.folder, self.wiring.settings.data))
        self._turns: dict[str, asyncio.Lock] = {}
        self._making = asyncio.Lock()
        self.rooms = Rooms(self.reader)
        self._measuring = asyncio.Lock()
        self._under_way: Counter[str] = Counter()  # bytes by project that have room and are not announced
        self.state = TableWriter(picture.rows("table_heads"), offsets, picture.rows("table_shares"))
        return self.state

    async def _attach(self) -> None:
        """This owner follows nobody."""

    async def started(self) -> None:
        self.must(self._poll())
        store = self.wiring.settings.store
        mine: Any = self  # Ray's types have no word for a method that is called plainly
        if store.archive_after_s:
            runs = Archiver(self.reader, mine, lambda ids: _forget("forget", ids), batch=store.archive_batch)
            self.spawn(runs.run(after_s=store.archive_after_s, every_s=store.archive_every_s))
        if store.log_keep_s:
            words = WordArchiver(self.reader, mine, lambda at: _forget("forget_words", at), batch=store.archive_batch)
            self.spawn(words.run(after_s=store.log_keep_s, every_s=store.archive_every_s))

    @ray.method
    async def prepare(self, table: str, schema: pa.Schema, project: str | None = None, key: str = "") -> Target:
        """Where and how to write data files for the table, which is made where it is not there. A project that may
        store nothing more is told so before it writes any, unless what it asks for under `key` was done before."""
        await self.begun()
        spent = await asyncio.to_thread(self.spent, table, key) if key else None
        if project is not None and spent is None:
            await self._make_sure_of_room(table, project, 1)
        async with self._making:  # two that make one namespace at once fail in pyiceberg
            return await asyncio.to_thread(self.desk.prepare, table, schema)

    @ray.method
    async def append(
        self, table: str, files: Sequence[WrittenFile], key: str, project: str, principal: str
    ) -> dict[str, Any]:
        """The fields of `table.committed` and `already`, which says that the key was committed before."""
        await self.begun()
        author = Author(key=key, project=project, principal=principal)
        made = Append(table, tuple(files), key, project=project)
        return await self._append(author, made)

    async def announce(self, table: str, author: Author | None = None) -> Seen:
        """Says what the table holds beyond its announced head. Whoever calls holds the table's turn."""
        for _ in range(LOOKS_MAX):
            seen = await asyncio.to_thread(self.desk.look, table, self.state.announced(table), author)
            if await self.loop.ask(seen):
                return seen
        raise Unavailable(f"Table {table} changed at each of {LOOKS_MAX} looks", remedy="Ask again with the same key.")

    async def announce_all(self) -> None:
        """Every table of the catalog, and those that have vanished from it. One that cannot be read is logged."""
        names = {*await asyncio.to_thread(self.desk.tables), *self.state.heads}
        for name in sorted(names):
            try:
                async with self._turn(name):
                    await self.announce(name)
            except (HeadwaterError, OSError, ValueError) as error:
                log.error("Table %s cannot be announced: %s", name, error)

    async def _poll(self) -> None:
        while True:
            await self.announce_all()
            await asyncio.sleep(self.wiring.settings.tables.announce_poll_s)

    async def _append(self, author: Author, append: Append) -> dict[str, Any]:
        table, size_bytes = append.table, sum(file.size_bytes for file in append.files)
        if not author.key:
            raise InvalidInput(f"The append to {table} has no key", remedy="Give each append a key of its own")
        async with self._turn(table):
            spent = await asyncio.to_thread(self.spent, table, author.key)
            if spent is not None:
                return await asyncio.to_thread(self.desk.answer_again, spent, self.state.heads.get(table))
            async with self._measuring:
                await self._make_sure_of_room(table, author.project, size_bytes)
                self._under_way[author.project] += size_bytes
            try:
                based = replace(append, announced_head=self.state.announced(table))
                committed = await asyncio.to_thread(self.desk.commit, based)
                crash.at("t5.before")
                seen = await self.announce(table, author)
            finally:
                self._under_way[author.project] -= size_bytes
        return _answer(committed, seen, author.key, self.state.heads[table].rows_total)

    async def _make_sure_of_room(self, table: str, project: str, size_bytes: int) -> None:
        """Raises Conflict where the project's storage quota does not hold so much more."""
        wanted = size_bytes + self._under_way[project]
        charged = project or DEFAULT_PROJECT
        why = await asyncio.to_thread(self.rooms.refusal, charged, f"rows of table {table}", wanted)
        if why:
            raise Conflict(why, remedy=REMEDY)

    def _turn(self, table: str) -> asyncio.Lock:
        return self._turns.setdefault(table, asyncio.Lock())

    def spent(self, table: str, key: str) -> CommitKey | None:
        """The commit that was made under a key. Blocking."""
        with self.reader.picture() as picture:
            rows: list[CommitKey] = picture.rows("commit_keys", COMMIT_KEYS.c.table == table, COMMIT_KEYS.c.key == key)
        return rows[0] if rows else None

    def last_commit(self, table: str, prefix: str, column: str) -> LastCommit | None:
        """The newest commit whose key begins so, announced or not. Blocking."""
        return self.desk.last_commit(table, prefix, column)


async def _forget(method: str, keys: Sequence[Any]) -> int:
    """The Conductor's rows are the Conductor's to take away."""
    try:
        count: int = await getattr(find("conductor"), method).remote(keys)
    except RayError as error:
        forget("conductor")
        raise Unavailable(f"The Conductor does not answer now ({type(error).__name__})", remedy="Wait.") from None
    return count


def _answer(committed: Committed, seen: Seen, key: str, rows_total: int) -> dict[str, Any]:
    facts: tuple[SnapshotFact, ...] = (*(seen.line or ()), *seen.keyed)
    fact = next((each for each in facts if each.id == committed.snapshot_id), None)
    body = TableCommitted(
        table=committed.table,
        snapshot_id=committed.snapshot_id,
        previous_snapshot_id=committed.parent_id,
        metadata_location=committed.metadata_location,
        operation=fact.operation if fact else "append",
        rows_added=committed.rows,
        rows_total=fact.rows_total if fact and fact.rows_total is not None else rows_total,
        commit_key=key,
    )
    fields: dict[str, Any] = {name: getattr(body, name) for name in body.__struct_fields__}
    return {**fields, "already": committed.already}
