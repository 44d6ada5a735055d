"""A table of the lake, as a value: `Table("lake.flights").where("month <= 9").select("dep_delay", "distance")`.

Nothing is read until rows are asked for. A table says by name what it means until it is pinned;
from then on it means one snapshot. Reading pins for that one reading; pickling (being passed to a
step) pins for good, so that both sides see the same rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ..data.lake import Batches, active_lake, current_reader
from ..data.query import Query, Reader
from ..data.snapshot import Snapshot
from ..errors import Conflict, InvalidInput, NotFound
from ..governance.access import Action, authorize
from .context import current

if TYPE_CHECKING:
    import pyarrow as pa

    from ..data.commit import Committed
    from ..data.plan import Plan, Position
    from ..data.stream import Stream


@dataclass(frozen=True, slots=True)
class Table:
    """`asked` and `snapshot` are set by the methods; `at_id` is a snapshot asked for by number."""

    name: str
    asked: Query = field(default=Query(), kw_only=True)
    at_id: int | None = field(default=None, kw_only=True)
    snapshot: Snapshot | None = field(default=None, kw_only=True)

    @staticmethod
    def pinned(snapshot: Snapshot) -> Table:
        """The whole table as one snapshot shows it."""
        return Table(snapshot.table, at_id=snapshot.snapshot_id, snapshot=snapshot)

    def where(self, condition: str) -> Table:
        """The rows that satisfy a small SQL condition as well. Raises InvalidInput where it does not parse."""
        from ..data import filters

        filters.parse(condition)
        return replace(self, asked=replace(self.asked, where=filters.both(self.asked.where, condition)))

    def select(self, *columns: str) -> Table:
        """These columns, in this order."""
        if not columns:
            raise InvalidInput(f"select() of {self.name} names no column", remedy="Name at least one")
        return replace(self, asked=replace(self.asked, columns=columns))

    def since(self, snapshot_id: int) -> Table:
        """Only what was appended after that snapshot. Reading raises Conflict where rows were also changed."""
        return replace(self, asked=replace(self.asked, since=snapshot_id))

    def at(self, snapshot_id: int) -> Table:
        """The table as that snapshot shows it."""
        return replace(self, at_id=snapshot_id, snapshot=None)

    def pin(self) -> Table:
        """The same table, meaning from now on the snapshot that is current. Raises NotFound."""
        if self.snapshot is not None:
            return self
        snapshot = active_lake().resolve(self.name, self.at_id)
        return replace(self, at_id=snapshot.snapshot_id, snapshot=snapshot)

    def stream(
        self,
        batch_rows: int = 65_536,
        *,
        shard: tuple[int, int] | Literal["gang"] = (0, 1),
        seed: int | None = None,
        epoch: int = 0,
        position: Position | None = None,
    ) -> Stream:
        """Arrow batches with bounded memory, in order, or shuffled where a seed is given.

        `shard` is (rank, world): each rank gets its own splits; "gang" means this step's place in its gang. `position`
        resumes after the rows that an earlier stream of the same table, options and snapshot had delivered.
        """
        from ..data.plan import Delivery
        from ..data.stream import stream

        rank, world = _place_in_gang() if shard == "gang" else shard
        delivery = Delivery(batch_rows=batch_rows, rank=rank, world=world, seed=seed, epoch=epoch)
        return stream(self._plan(), delivery, position)

    def schema(self) -> pa.Schema:
        """The Arrow schema of what is read."""
        return self._plan().schema

    def count(self) -> int:
        """The number of rows, from the metadata where no filter stands in the way."""
        table = self.pin()
        plan = table._plan()
        if plan.exact:
            return plan.rows
        narrow = table.select(plan.schema.names[0])._plan()
        return sum(batch.num_rows for batch in _batches(narrow, 65_536))

    def head(self, rows: int = 10) -> pa.Table:
        """The first rows."""
        import pyarrow as pa

        plan = self._plan()
        with contextlib.closing(_batches(plan, max(rows, 1))) as batches:
            first = next(batches, None) if rows > 0 else None
        return pa.Table.from_batches([] if first is None else [first], schema=plan.schema)

    def to_arrow(self) -> pa.Table:
        """All rows, in memory."""
        import pyarrow as pa

        plan = self._plan()
        return pa.Table.from_batches(list(_batches(plan, 65_536)), schema=plan.schema)

    def append(self, rows: pa.Table | Batches | Iterable[pa.RecordBatch], *, key: str = "") -> Committed:
        """The snapshot that holds the rows; a table that is not there is created from their schema.

        The same key again changes nothing. Within a step the key is made from the step, so that a
        repeated attempt appends once. An iterable is read batch by batch and never held.
        """
        batches = _as_batches(rows, self.name)
        _may_append(self.name, tuple(batches.schema.names))
        return active_lake().append(self.name, batches, key)

    def __reduce__(self) -> tuple[Callable[..., Table], tuple[object, ...]]:
        table = self
        with contextlib.suppress(NotFound):  # a table yet to be made travels by its name
            table = self.pin()
        return _table, (table.name, table.asked, table.at_id, table.snapshot)

    def __content__(self) -> tuple[object, ...] | None:
        """Which rows it holds, whoever wrote the metadata last; None for a table yet to be made."""
        with contextlib.suppress(NotFound):
            return self.name, self.asked, self.pin().at_id
        return None

    def _plan(self) -> Plan:
        from ..data.scan import plan

        snapshot = self.pin().snapshot
        assert snapshot is not None
        return plan(snapshot, self.asked, reader=current_reader.get())


def _table(name: str, asked: Query, at_id: int | None, snapshot: Snapshot | None) -> Table:
    return Table(name, asked=asked, at_id=at_id, snapshot=snapshot)


def _place_in_gang() -> tuple[int, int]:
    here = current()
    return here.rank, here.world_size


def _batches(plan: Plan, batch_rows: int) -> Generator[pa.RecordBatch]:
    from ..data.plan import Delivery
    from ..data.stream import quietly

    return quietly(plan, Delivery(batch_rows=batch_rows))


def _may_append(name: str, columns: tuple[str, ...]) -> None:
    reader = current_reader.get() or Reader()
    decision = authorize(reader.principal, Action.APPEND, name, columns, reader.purpose)
    if not decision.allowed:
        what = f"{reader.principal} may not append to {name}"
        raise Conflict(what, remedy=decision.reason or "Ask the table's owner")


def _as_batches(rows: pa.Table | Batches | Iterable[pa.RecordBatch], name: str) -> Batches:
    import pyarrow as pa

    if isinstance(rows, Batches):
        return rows
    if isinstance(rows, pa.Table):
        return Batches(rows.schema, rows.to_batches())
    batches = iter([rows] if isinstance(rows, pa.RecordBatch) else rows)
    first = next(batches, None)
    if not isinstance(first, pa.RecordBatch):
        what = f"an append to {name} needs Arrow batches, not {type(rows).__name__} of {type(first).__name__}"
        raise InvalidInput(what, remedy="Give a pyarrow.Table, or an iterable of at least one RecordBatch")
    return Batches(first.schema, _chain(first, batches))


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
