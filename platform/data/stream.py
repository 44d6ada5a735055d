"""Delivers a plan as Arrow batches, in order, with bounded memory, resumable to the row.

    splits ──► decode threads (W) ──► queue of W + 1 units in order ──► blocks ──► batches ──► consumer

At most W + 1 units are decoded or being decoded ahead of the consumer, fewer where their bytes
exceed the cap, and one block (a unit, or a window of units where they are shuffled) is being cut
into batches. Cutting is without copies, save where a batch spans two units. Nothing is decoded
before the first batch is asked for; when the consumer stops, waiting units are dropped and the
threads end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa

from .plan import Delivery, Plan, Position, Split, UnitSource, blocks, checked, permutation, start

Progress = Callable[[int, int | None], None]
"""Told after each batch: rows delivered in this epoch, and rows in all (None where a filter hides it)."""

on_progress: ContextVar[Progress | None] = ContextVar("on_progress", default=None)


def stream(plan: Plan, delivery: Delivery | None = None, position: Position | None = None) -> Stream:
    """The batches of the plan, from the position on. Raises InvalidInput for a position of another stream."""
    delivery = delivery or Delivery()
    first = start(plan, delivery) if position is None else checked(position, plan, delivery)
    return Stream(plan, delivery, first)


def quietly(plan: Plan, delivery: Delivery) -> Generator[pa.RecordBatch]:
    """The same batches from the start, without telling anyone's progress."""
    first = start(plan, delivery)
    with closing(_rows(plan, delivery, first)) as rows:
        for batch, _ in _cut(rows, delivery.batch_rows, first):
            yield batch


class Stream:
    """Iterable of RecordBatches of exactly `batch_rows` rows, the last one shorter.

    Each iteration begins where the stream was opened; `position` is that of the newest iteration and
    counts what was handed out. An iterator left early ends its threads when it is closed or dropped.
    """

    def __init__(self, plan: Plan, delivery: Delivery, first: Position) -> None:
        self._plan, self._delivery, self._first = plan, delivery, first
        self.position = first

    @property
    def rows_total(self) -> int:
        """Rows of this rank's share in the whole epoch: exact where `rows_exact`, otherwise no more than that."""
        if self._delivery.world == 1:
            return self._plan.rows
        return sum(split.rows for block in blocks(self._plan, self._delivery) for split in block)

    @property
    def rows_exact(self) -> bool:
        return self._plan.exact and self._delivery.world == 1

    def schema(self) -> pa.Schema:
        return self._plan.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.position = self._first
        return self._batches(on_progress.get())

    def _batches(self, progress: Progress | None) -> Iterator[pa.RecordBatch]:
        total = self.rows_total if self._plan.exact else None
        with closing(_rows(self._plan, self._delivery, self._first)) as rows:
            for batch, position in _cut(rows, self._delivery.batch_rows, self._first):
                self.position = position
                if progress is not None:
                    progress(position.rows, total)
                yield batch


@dataclass(frozen=True, slots=True)
class _Block:
    """The rows of one block that are still to be delivered; `skipped` rows of it were delivered before."""

    number: int
    batches: list[pa.RecordBatch]
    skipped: int

    @property
    def rows(self) -> int:
        return self.skipped + sum(int(batch.num_rows) for batch in self.batches)


def _rows(plan: Plan, delivery: Delivery, first: Position) -> Generator[_Block]:
    """The blocks from the position on, decoded and, with a seed, shuffled."""
    todo = blocks(plan, delivery)[first.block :]
    units = decoded(plan.source, chain.from_iterable(todo), delivery)
    try:
        for number, block in enumerate(todo, first.block):
            batches = [batch for _ in block for batch in next(units)]
            if delivery.seed is not None:
                batches = _shuffled(batches, delivery, number)
            skipped = first.offset if number == first.block else 0
            yield _Block(number, _without(batches, skipped), skipped)
    finally:
        units.close()


def decoded(source: UnitSource, splits: Iterator[Split], delivery: Delivery) -> DecodedUnits:
    """The decoded splits, in order, read ahead within the bounds."""
    return DecodedUnits(source, splits, delivery)


class DecodedUnits:
    """The threads, and the queue of what they decode; `close` ends both."""

    def __init__(self, source: UnitSource, splits: Iterator[Split], delivery: Delivery) -> None:
        self._source, self._splits, self._delivery = source, splits, delivery
        self._pool = ThreadPoolExecutor(delivery.threads, thread_name_prefix="decode")
        self._queue: deque[tuple[Split, Future[list[pa.RecordBatch]]]] = deque()
        self._next = next(splits, None)
        self._ahead_bytes = 0

    def __next__(self) -> list[pa.RecordBatch]:
        self._fill()
        if not self._queue:
            raise StopIteration
        split, unit = self._queue.popleft()
        batches = unit.result()
        self._ahead_bytes -= split.size_bytes
        self._fill()
        return batches

    def close(self) -> None:
        for _, unit in self._queue:
            unit.cancel()
        self._queue.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while self._next is not None and self._has_room(self._next):
            self._queue.append((self._next, self._pool.submit(self._source.decode, self._next)))
            self._ahead_bytes += self._next.size_bytes
            self._next = next(self._splits, None)

    def _has_room(self, split: Split) -> bool:
        if not self._queue:
            return True
        fits = self._ahead_bytes + split.size_bytes <= self._delivery.ahead_bytes
        return fits and len(self._queue) <= self._delivery.threads


def _cut(source: Iterator[_Block], batch_rows: int, first: Position) -> Iterator[tuple[pa.RecordBatch, Position]]:
    """Batches of `batch_rows` rows, each with the position after it."""
    pieces: list[pa.RecordBatch] = []
    held, position = 0, first
    for block in source:
        used, rows = block.skipped, block.rows
        for batch in block.batches:
            taken = 0
            while taken < batch.num_rows:
                piece = batch.slice(taken, batch_rows - held)
                pieces.append(piece)
                taken, held, used = taken + piece.num_rows, held + piece.num_rows, used + piece.num_rows
                if held == batch_rows:
                    position = _after(position, block.number, used, held, rows)
                    yield _joined(pieces), position
                    pieces, held = [], 0
        last = replace(position, block=block.number + 1, offset=0)
        position = position if pieces else last
    if pieces:
        yield _joined(pieces), replace(last, rows=position.rows + held)


def _after(position: Position, block: int, used: int, delivered: int, rows: int) -> Position:
    block, offset = (block + 1, 0) if used == rows else (block, used)
    return replace(position, block=block, offset=offset, rows=position.rows + delivered)


def _joined(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)


def _shuffled(batches: list[pa.RecordBatch], delivery: Delivery, block: int) -> list[pa.RecordBatch]:
    if not batches:
        return []
    table = pa.Table.from_batches(batches)
    shuffled: list[pa.RecordBatch] = table.take(pa.array(permutation(delivery, block, table.num_rows))).to_batches()
    return shuffled


def _without(batches: list[pa.RecordBatch], skipped: int) -> list[pa.RecordBatch]:
    """The batches after their first `skipped` rows."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        start_row = min(skipped, batch.num_rows)
        skipped -= start_row
        if start_row < batch.num_rows:
            kept.append(batch.slice(start_row))
    return kept
