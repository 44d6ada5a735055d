"""Records into an owner: in order, held back while it is busy, sought again where it could not take them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headwater.errors import Conflict
from headwater.events.bus import Gap, Message, Partition, Record, Start
from headwater.events.ingest import BATCH_MAX, Ingest, Parsed
from headwater.events.memory import MemoryBus
from headwater.wire.envelope import Event, Reason, Rejected
from headwater.wire.topics import Direction, Topic

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOPIC = Topic(name="in", direction=Direction.INBOUND, owner="conductor", key="any", partitions=1)
P0 = Partition("in", 0)


class Owner:
    """Takes what it is given, unless told to fail; a record that does not continue is a mistake of ingest."""

    def __init__(self) -> None:
        self.taken: list[Parsed] = []
        self.counts: list[int] = []
        self.gaps: list[tuple[Gap, str]] = []
        self.failures = 0
        self.free = BATCH_MAX
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, records: list[Parsed]) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise Conflict("The database is away")
        self.taken += records
        self.counts.append(len(records))

    async def gap(self, gap: Gap, topic_id: str) -> None:
        self.gaps.append((gap, topic_id))

    def room(self) -> int:
        return self.free

    def offsets(self) -> list[int]:
        return [parsed.record.offset for parsed in self.taken]


class Scene:
    def __init__(self, bus: MemoryBus, position: int | None = None) -> None:
        self.bus, self.owner = bus, Owner()
        positions = {} if position is None else {P0: position}
        self.source = bus.source(Start(topics=("in",), positions=positions))
        self.ingest = Ingest(self.source, self.owner)

    async def send(self, *ids: str) -> None:
        headers = (("ce_specversion", b"1.0"), ("ce_source", b"s"), ("ce_type", b"t"))
        messages = [Message("in", None, b"{}", (*headers, ("ce_id", one.encode()))) for one in ids]
        await self.bus.producer().send_many(messages)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Scene]:
    task = asyncio.create_task(scene.ingest.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_bus() -> MemoryBus:
    bus = MemoryBus()
    await bus.ensure_topics([TOPIC])
    return bus


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


async def test_records_are_parsed_and_taken_in_order() -> None:
    scene = Scene(await a_bus())
    await scene.send("e1", "e2")
    await scene.bus.producer().send("in", None, b"not an event")
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 3)
    said = [parsed.said for parsed in scene.owner.taken]
    assert [one.id for one in said if isinstance(one, Event)] == ["e1", "e2"]
    assert isinstance(said[2], Rejected)
    assert all(parsed.topic_id for parsed in scene.owner.taken)


async def test_a_record_of_somebody_elses_topic_becomes_an_event_by_where_it_lies() -> None:
    scene = Scene(await a_bus())
    scene.ingest = Ingest(scene.bus.source(Start(topics=("in",))), scene.owner, formats={"in": "json"})
    for key, value in ((b"k1", b'{"n": 1}'), (b"\xff", b'{"n": 2}'), (None, b"{")):
        await scene.bus.producer().send("in", key, value)
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 3)
    first, second, bad = scene.owner.taken
    assert isinstance(first.said, Event)
    assert isinstance(second.said, Event)
    assert (first.said.type, first.said.source, first.said.subject) == ("in", "kafka/in", "k1")
    assert (first.said.data, second.said.subject) == ({"n": 1}, None)
    assert (first.said.id, second.said.id) == (f"{first.topic_id}/0/0", f"{first.topic_id}/0/1")
    assert isinstance(bad.said, Rejected)
    assert ("ce_type", b"in") in bad.record.headers


async def test_raw_bytes_of_somebody_elses_topic_stay_bytes() -> None:
    scene = Scene(await a_bus())
    scene.ingest = Ingest(scene.bus.source(Start(topics=("in",))), scene.owner, formats={"in": "bytes"})
    await scene.bus.producer().send("in", None, b"\x00\x01")
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 1)
    (one,) = scene.owner.taken
    assert isinstance(one.said, Event)
    assert one.said.data == b"\x00\x01"


async def test_reading_begins_where_the_rows_say() -> None:
    scene = Scene(await a_bus(), position=1)
    await scene.send("e1", "e2")
    async with running(scene):
        await until(lambda: scene.owner.offsets() == [1])
    assert scene.owner.taken[0].record.previous == 1


async def test_records_wait_while_the_owner_is_busy() -> None:
    scene = Scene(await a_bus())
    scene.owner.free = 0
    await scene.send("e1")
    async with running(scene):
        await asyncio.sleep(0.01)
        assert scene.owner.taken == []
        scene.owner.free = BATCH_MAX
        await until(lambda: scene.owner.offsets() == [0])


async def test_what_could_not_be_taken_is_read_again() -> None:
    scene = Scene(await a_bus())
    scene.owner.failures = 2
    await scene.send("e1", "e2", "e3")
    async with running(scene):
        await until(lambda: len(scene.owner.taken) >= 3)
        await scene.send("e4")
        await until(lambda: scene.owner.offsets() == [0, 1, 2, 3])


async def test_a_machine_that_misses_records_sends_ingest_back() -> None:
    scene = Scene(await a_bus())
    await scene.send("e1", "e2", "e3")
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 3)
        scene.ingest.seek("in", 0, 1)
        await scene.send("e4")
        await until(lambda: scene.owner.offsets()[-3:] == [1, 2, 3])
    assert scene.owner.taken[-3].record.previous == 1


async def test_a_bus_that_comes_back_is_read_on() -> None:
    scene = Scene(await a_bus())
    await scene.send("e1")
    async with running(scene):
        await until(lambda: scene.owner.offsets() == [0])
        await scene.bus.go_down()
        await asyncio.sleep(0.01)
        await scene.bus.come_back()
        await scene.send("e2")
        await until(lambda: scene.owner.offsets() == [0, 1])


async def test_records_that_are_gone_are_handed_over_as_a_gap() -> None:
    scene = Scene(await a_bus(), position=0)
    await scene.send("e1", "e2", "e3")
    await scene.bus.drop_before(P0, 2)
    async with running(scene):
        await until(lambda: len(scene.owner.gaps) == 1)
        ((gap, topic_id),) = scene.owner.gaps
        assert (gap.wanted, gap.first, gap.topic_id_changed, bool(topic_id)) == (0, 2, False, True)
        assert scene.owner.taken == []
        scene.ingest.seek("in", 0, 2)
        await until(lambda: scene.owner.offsets() == [2])


async def test_reading_goes_on_at_the_earliest_record_that_is_kept() -> None:
    scene = Scene(await a_bus(), position=0)
    await scene.send("e1", "e2", "e3")
    await scene.bus.drop_before(P0, 1)
    async with running(scene):
        await until(lambda: len(scene.owner.gaps) == 1)
        await scene.bus.drop_before(P0, 2)  # retention goes on while a person thinks
        scene.ingest.seek("in", 0, None)
        await until(lambda: scene.owner.offsets() == [2])
    assert scene.owner.taken[0].record.previous is None
    assert len(scene.owner.gaps) == 1


async def test_no_more_is_brought_at_once_than_the_owner_has_room_for() -> None:
    scene = Scene(await a_bus())
    scene.owner.free = 3
    await scene.send(*(f"e{number}" for number in range(8)))
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 8)
    assert scene.owner.offsets() == list(range(8))
    assert max(scene.owner.counts) == 3


async def test_the_next_full_batch_is_read_while_one_is_being_taken_in() -> None:
    scene = Scene(await a_bus())
    scene.owner.gate.clear()
    await scene.send(*(f"e{number}" for number in range(2 * BATCH_MAX)))
    async with running(scene):
        async with asyncio.timeout(60):
            while (await scene.source.lag())[P0]:
                await asyncio.sleep(0.001)
        assert scene.owner.taken == []
        scene.owner.gate.set()
        await until(lambda: scene.owner.offsets() == list(range(2 * BATCH_MAX)))


async def test_what_was_read_ahead_is_dropped_where_one_could_not_be_taken() -> None:
    scene = Scene(await a_bus())
    scene.owner.failures = 1
    count = 2 * BATCH_MAX + 1
    await scene.send(*(f"e{number}" for number in range(count)))
    async with running(scene):
        await until(lambda: len(scene.owner.taken) >= count)
    assert scene.owner.offsets() == list(range(count))


class Caution:
    """Notes what is about to be parsed, and refuses one offset."""

    def __init__(self, owner: Owner, refused: int) -> None:
        self.owner, self.refused, self.left = owner, refused, 3
        self.noted: list[tuple[int, int]] = []

    @property
    def careful(self) -> bool:
        return self.left > 0

    async def attempt(self, record: Record) -> Rejected | None:
        self.noted.append((record.offset, len(self.owner.taken)))
        return Rejected(Reason.CRASH_LOOP, "it kills") if record.offset == self.refused else None

    def survived(self, count: int) -> None:
        self.left -= count


async def test_a_careful_owner_notes_each_record_before_it_is_parsed_and_then_reads_as_ever() -> None:
    scene = Scene(await a_bus())
    caution = Caution(scene.owner, refused=1)
    scene.ingest = Ingest(scene.source, scene.owner, caution=caution)
    await scene.send("e1", "e2", "e3", "e4", "e5")
    async with running(scene):
        await until(lambda: len(scene.owner.taken) == 5)
    assert scene.owner.offsets() == [0, 1, 2, 3, 4]
    assert caution.noted == [(0, 0), (1, 1), (2, 2)]
    refused = [parsed.record.offset for parsed in scene.owner.taken if isinstance(parsed.said, Rejected)]
    assert refused == [1]
