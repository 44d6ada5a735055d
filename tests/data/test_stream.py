"""Order, bounds and resuming, on sources in memory: no time is measured, only units are counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.data.plan import Delivery, Plan, Position, Split, blocks, digest
from headwater.data.snapshot import Snapshot
from headwater.data.stream import on_progress, quietly, stream
from headwater.errors import InvalidInput

SCHEMA = pa.schema([pa.field("id", pa.int64())])


@dataclass
class Memory:
    """A source of numbers: split `path` holds the rows of that index. Counts what is decoded and not yet let go."""

    units: list[list[int]]
    fails_at: str = ""
    decoded: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def decode(self, split: Split) -> list[pa.RecordBatch]:
        with self.lock:
            self.decoded.append(split.path)
        if split.path == self.fails_at:
            raise OSError(f"cannot read {split.path}")
        rows = self.units[int(split.path)]
        middle = len(rows) // 2
        parts = [part for part in (rows[:middle], rows[middle:]) if part]
        return [pa.record_batch([pa.array(part, pa.int64())], schema=SCHEMA) for part in parts]


def a_plan(sizes: list[int], size_bytes: int = 1) -> Plan:
    units, begin = [], 0
    for size in sizes:
        units.append(list(range(begin, begin + size)))
        begin += size
    snapshot = Snapshot("lake.numbers", "memory", 7, (), begin)
    splits = tuple(Split(str(i), 0, 0, size, size_bytes) for i, size in enumerate(sizes))
    return Plan(snapshot, SCHEMA, splits, begin, True, digest(snapshot, (), splits), Memory(units))


def ids(batches: list[pa.RecordBatch]) -> list[int]:
    return [value for batch in batches for value in batch.column("id").to_pylist()]


sizes = st.lists(st.integers(0, 12), max_size=12)
deliveries = st.builds(
    Delivery,
    batch_rows=st.integers(1, 9),
    threads=st.integers(1, 3),
    seed=st.none() | st.integers(0, 5),
    epoch=st.integers(0, 3),
    window=st.integers(1, 4),
    ahead_bytes=st.integers(1, 5),
)


@given(sizes, deliveries)
@settings(max_examples=150, deadline=None)
def test_every_row_comes_once_in_batches_of_the_size_asked_for(sizes: list[int], delivery: Delivery) -> None:
    batches = list(stream(a_plan(sizes), delivery))
    assert sorted(ids(batches)) == list(range(sum(sizes)))
    assert all(batch.num_rows == delivery.batch_rows for batch in batches[:-1])
    assert all(0 < batch.num_rows <= delivery.batch_rows for batch in batches[-1:])


@given(sizes, deliveries, st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_resumes_exactly_where_it_was_left(sizes: list[int], delivery: Delivery, data: st.DataObject) -> None:
    plan = a_plan(sizes)
    opened = stream(plan, delivery)
    whole, positions = [], [opened.position]
    for batch in opened:
        whole.append(batch)
        positions.append(opened.position)
    left_at = data.draw(st.integers(0, len(whole)))
    resumed = stream(plan, delivery, positions[left_at])
    assert [batch.to_pylist() for batch in resumed] == [batch.to_pylist() for batch in whole[left_at:]]
    assert resumed.position == opened.position


@given(sizes, deliveries, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_ranks_share_the_rows_without_overlap(sizes: list[int], delivery: Delivery, world: int) -> None:
    plan = a_plan(sizes)
    shares = [ids(list(stream(plan, replace(delivery, rank=rank, world=world)))) for rank in range(world)]
    assert sorted(value for share in shares for value in share) == list(range(sum(sizes)))


@given(sizes, deliveries, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_order_does_not_depend_on_the_threads(sizes: list[int], delivery: Delivery, threads: int) -> None:
    plan = a_plan(sizes)
    other = replace(delivery, threads=threads, ahead_bytes=100)
    assert ids(list(stream(plan, delivery))) == ids(list(stream(plan, other)))


def test_without_a_seed_the_order_is_that_of_the_table() -> None:
    assert ids(list(stream(a_plan([5, 0, 3, 9]), Delivery(batch_rows=4)))) == list(range(17))


def test_a_seed_and_an_epoch_make_one_order() -> None:
    plan = a_plan([40, 40, 40, 40])
    once, again, other_epoch, other_seed = (
        ids(list(stream(plan, Delivery(seed=seed, epoch=epoch)))) for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert once == again
    assert len({tuple(order) for order in (once, other_epoch, other_seed, list(range(160)))}) == 4


@given(st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_no_more_than_the_threads_and_one_are_decoded_ahead(threads: int, cap: int) -> None:
    plan = a_plan([1] * 30, size_bytes=2)
    source = plan.source
    assert isinstance(source, Memory)
    for delivered, _ in enumerate(stream(plan, Delivery(batch_rows=1, threads=threads, ahead_bytes=cap)), start=1):
        assert len(source.decoded) <= delivered + threads + 1
        assert len(source.decoded) <= delivered + max(1, cap // 2)


def test_nothing_is_decoded_before_the_first_batch_is_asked_for() -> None:
    plan = a_plan([3, 3])
    iterator = iter(stream(plan))
    assert isinstance(plan.source, Memory)
    assert plan.source.decoded == []
    next(iterator)
    assert plan.source.decoded != []


def decode_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_a_consumer_that_stops_early_leaves_no_thread_behind() -> None:
    for _ in stream(a_plan([10] * 50), Delivery(batch_rows=3)):
        break
    assert decode_threads() == []


def test_a_unit_that_cannot_be_read_fails_the_stream_and_ends_its_threads() -> None:
    plan = a_plan([4] * 6)
    source = plan.source
    assert isinstance(source, Memory)
    source.fails_at = "3"
    got: list[pa.RecordBatch] = []
    with pytest.raises(OSError, match="cannot read 3"):
        got.extend(stream(plan, Delivery(batch_rows=4)))
    assert decode_threads() == []


def test_batches_within_a_unit_share_its_memory() -> None:
    first, second = list(stream(a_plan([8]), Delivery(batch_rows=2)))[:2]
    assert first.column("id").buffers()[1].address == second.column("id").buffers()[1].address


def test_progress_is_told_on_delivery() -> None:
    told: list[tuple[int, int | None]] = []
    token = on_progress.set(lambda done, total: told.append((done, total)))
    try:
        list(stream(a_plan([5, 5]), Delivery(batch_rows=4)))
        list(quietly(a_plan([5, 5]), Delivery(batch_rows=4)))
        filtered = replace(a_plan([5]), exact=False)
        list(stream(filtered, Delivery(batch_rows=5)))
    finally:
        on_progress.reset(token)
    assert told == [(4, 10), (8, 10), (10, 10), (5, None)]


def test_iterating_again_begins_again() -> None:
    opened = stream(a_plan([5, 5]), Delivery(batch_rows=3))
    assert ids(list(opened)) == ids(list(opened)) == list(range(10))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"snapshot_id": 8}, "its snapshot_id is 8, this one's is 7"),
        ({"plan": "other"}, "its plan is other"),
        ({"seed": 3}, "its seed is 3"),
        ({"world": 2}, "its world is 2"),
    ],
)
def test_a_position_of_another_stream_is_refused(change: dict[str, object], says: str) -> None:
    plan = a_plan([3])
    position = stream(plan).position
    foreign = Position(**({name: getattr(position, name) for name in Position.__slots__} | change))
    with pytest.raises(InvalidInput) as caught:
        stream(plan, Delivery(), foreign)
    assert says in str(caught.value)


def test_a_position_survives_a_checkpoint() -> None:
    opened = stream(a_plan([4, 4]), Delivery(batch_rows=3, seed=1))
    next(iter(opened))
    assert msgspec.json.decode(msgspec.json.encode(opened.position), type=Position) == opened.position


def test_a_delivery_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidInput, match="rank 2 of a world of 2"):
        Delivery(rank=2, world=2)
    with pytest.raises(InvalidInput, match="batch_rows is 0"):
        Delivery(batch_rows=0)


def test_the_share_of_a_rank_is_known_beforehand() -> None:
    plan = a_plan([4, 6, 5])
    shares = [stream(plan, Delivery(rank=rank, world=2)).rows_total for rank in range(2)]
    assert shares == [9, 6]
    assert [len(blocks(plan, Delivery(rank=rank, world=2))) for rank in range(2)] == [2, 1]
