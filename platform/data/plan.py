"""A scan plan: the ordered splits of a pinned snapshot, how ranks share them, and where a reader stands.

A split is the unit of decoding: one row group of one file, or a whole file where only pyiceberg's
own reader understands it. The order of the splits is a function of the plan, the seed and the epoch
alone. Rank r of w takes every w-th split of it. A block is what is shuffled together: one split
without a seed, `window` splits with one. A position is a block and the rows of it already
delivered, so that resuming decodes one block again and nothing before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import InvalidInput
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Split:
    """`row_group` is None for a whole file; `rows` counts before deletes and filters; `size_bytes` is an estimate."""

    path: str
    row_group: int | None
    first_row: int
    rows: int
    size_bytes: int


class UnitSource(Protocol):
    """Decodes splits, from several threads at once."""

    def decode(self, split: Split) -> list[pa.RecordBatch]:
        """The rows of the split that the plan asks for, in file order and in the plan's schema."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows` is exact where `exact`, otherwise no more than that many; `digest` names the plan by value."""

    snapshot: Snapshot
    schema: pa.Schema
    splits: tuple[Split, ...]
    rows: int
    exact: bool
    digest: str
    source: UnitSource


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a plan is delivered.

    `window` is the number of splits shuffled together; `ahead_bytes` caps what is decoded ahead,
    though one split is always let through. Neither `threads` nor `ahead_bytes` changes the order.
    """

    batch_rows: int = 65_536
    threads: int = 2
    rank: int = 0
    world: int = 1
    seed: int | None = None
    epoch: int = 0
    window: int = 4
    ahead_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("batch_rows", "threads", "world", "window", "ahead_bytes"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}", remedy="It must be at least 1")
        if not 0 <= self.rank < self.world:
            raise InvalidInput(f"rank {self.rank} of a world of {self.world}", remedy="Ranks run from 0 to world - 1")


@dataclass(frozen=True, slots=True)
class Position:
    """What has been delivered: `block` whole blocks and `offset` rows of the next; `rows` counts them all."""

    snapshot_id: int | None
    plan: str
    seed: int | None
    epoch: int
    rank: int
    world: int
    window: int
    block: int = 0
    offset: int = 0
    rows: int = 0


def start(plan: Plan, delivery: Delivery) -> Position:
    """The position before the first row."""
    snapshot_id = plan.snapshot.snapshot_id
    shard = (delivery.rank, delivery.world, delivery.window)
    return Position(snapshot_id, plan.digest, delivery.seed, delivery.epoch, *shard)


def checked(position: Position, plan: Plan, delivery: Delivery) -> Position:
    """The position, if it belongs to this plan delivered this way. Raises InvalidInput saying what differs."""
    expected = start(plan, delivery)
    if replace(position, block=0, offset=0, rows=0) == expected:
        return position
    for name in ("snapshot_id", "plan", "seed", "epoch", "rank", "world", "window"):
        theirs, ours = getattr(position, name), getattr(expected, name)
        if theirs != ours:
            what = f"the position is of another stream: its {name} is {theirs}, this one's is {ours}"
            raise InvalidInput(what, remedy="Resume with the table, filter, columns and delivery it was saved with")
    return expected


def blocks(plan: Plan, delivery: Delivery) -> list[tuple[Split, ...]]:
    """The splits of this rank, in delivery order, in the blocks that are shuffled together."""
    order = np.arange(len(plan.splits))
    if delivery.seed is not None:
        order = _generator(delivery, 0).permutation(order)
    mine = [plan.splits[i] for i in order[delivery.rank :: delivery.world]]
    size = 1 if delivery.seed is None else delivery.window
    return [tuple(mine[i : i + size]) for i in range(0, len(mine), size)]


def permutation(delivery: Delivery, block: int, rows: int) -> npt.NDArray[np.int64]:
    """The order of the rows within a shuffled block."""
    return _generator(delivery, 1, delivery.rank, delivery.world, block).permutation(rows)


def digest(snapshot: Snapshot, asked: tuple[object, ...], splits: tuple[Split, ...]) -> str:
    """One short name for everything that decides which rows come in which order."""
    parts = [snapshot.table, snapshot.snapshot_id, asked, [(split.path, split.row_group) for split in splits]]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _generator(delivery: Delivery, *path: int) -> np.random.Generator:
    seed = abs(delivery.seed or 0)
    return np.random.Generator(np.random.PCG64([seed, delivery.epoch, *path]))
