"""One suite for every bus: what `bus.py` promises, tried on Kafka and in memory."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from headwater.errors import InvalidInput, NotFound, Unavailable
from headwater.events.bus import Bus, Delivery, Gap, Message, Partition, Record, Source, Start
from headwater.events.kafka import KafkaBus
from headwater.events.kafka_link import KafkaSettings
from headwater.events.memory import MemoryBus
from headwater.wire.topics import TOPICS, Direction, Topic

if TYPE_CHECKING:
    from headwater.local.broker import Broker

pytestmark = pytest.mark.asyncio(loop_scope="session")
NUMBERS = itertools.count(1)
WAIT_S = 60.0


class Bed(Protocol):
    """A bus, and the faults that a test wants of it."""

    @property
    def bus(self) -> Bus: ...

    async def drop_before(self, partition: Partition, offset: int) -> None: ...

    async def remake(self, topic: Topic) -> None: ...


@dataclass
class MemoryBed:
    bus: MemoryBus

    async def drop_before(self, partition: Partition, offset: int) -> None:
        await self.bus.drop_before(partition, offset)

    async def remake(self, topic: Topic) -> None:
        await self.bus.remake_topic(topic.name)


@dataclass
class KafkaBed:
    bus: KafkaBus
    admin: Any

    async def drop_before(self, partition: Partition, offset: int) -> None:
        await self.admin.delete_records({TopicPartition(*partition): RecordsToDelete(before_offset=offset)})

    async def remake(self, topic: Topic) -> None:
        await self.admin.delete_topics([topic.name])
        while topic.name in await self.bus.topic_ids():
            pass  # deleting is asked for, not done, when the broker answers
        await self.bus.ensure_topics([topic])


@pytest.fixture(params=["memory", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def bed(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    if kind == "memory":
        yield MemoryBed(MemoryBus())
        return
    broker: Broker = request.getfixturevalue("broker")
    bus = KafkaBus(settings_for(broker))
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    yield KafkaBed(bus, admin)
    await admin.close()
    await bus.close()


def settings_for(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap=broker.bootstrap, deadline_s=60.0, topics_every_s=0.2)


def a_topic(partitions: int = 1, max_message_bytes: int = 1 << 20, name: str = "") -> Topic:
    return Topic(
        name=name or f"test.bus.{next(NUMBERS)}",
        direction=Direction.INBOUND,
        owner="a test",
        key="any",
        partitions=partitions,
        max_message_bytes=max_message_bytes,
    )


async def made(bed: Bed, partitions: int = 1) -> Topic:
    topic = a_topic(partitions)
    await bed.bus.ensure_topics([topic])
    return topic


async def sent(bed: Bed, topic: Topic, *values: bytes, key: bytes = b"k") -> None:
    producer = bed.bus.producer()
    await producer.send_many([Message(topic.name, key, value) for value in values])
    await producer.close()


async def read(source: Source, count: int) -> list[Delivery]:
    """The next `count` deliveries; fewer fail the test."""
    found: list[Delivery] = []
    while len(found) < count:
        batch = await source.next_batch(count - len(found), WAIT_S)
        assert batch, f"{count} were due and {found} came"
        found += batch
    return found


def records(deliveries: list[Delivery]) -> list[Record]:
    assert all(isinstance(one, Record) for one in deliveries), deliveries
    return [one for one in deliveries if isinstance(one, Record)]


async def test_what_was_sent_arrives_as_it_was(bed: Bed) -> None:
    topic = await made(bed)
    headers = (("ce_id", b"1"), ("empty", None))
    landed = await bed.bus.producer().send(topic.name, b"k", b"v", headers)
    source = bed.bus.source(Start((topic.name,)))
    (record,) = records(await read(source, 1))
    assert (record.topic, record.partition, record.offset) == (topic.name, *landed)
    assert (record.key, record.value, record.headers, record.previous) == (b"k", b"v", headers, None)


async def test_a_null_value_stays_null(bed: Bed) -> None:
    topic = await made(bed)
    await bed.bus.producer().send(topic.name, b"k", None)
    (record,) = records(await read(bed.bus.source(Start((topic.name,))), 1))
    assert record.value is None


async def test_messages_of_one_key_stay_in_order(bed: Bed) -> None:
    topic = await made(bed, partitions=3)
    messages = [Message(topic.name, b"%d" % (n % 5), b"%d" % n) for n in range(200)]
    landed = await bed.bus.producer().send_many(messages)
    found = records(await read(bed.bus.source(Start((topic.name,))), 200))
    for key in {message.key for message in messages}:
        assert [r.value for r in found if r.key == key] == [m.value for m in messages if m.key == key]
    assert {(r.partition, r.offset): r.value for r in found} == {
        tuple(place): message.value for place, message in zip(landed, messages, strict=True)
    }


async def test_a_record_names_the_offset_after_the_one_before_it(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a", b"b", b"c")
    found = records(await read(bed.bus.source(Start((topic.name,))), 3))
    assert [(r.offset, r.previous) for r in found] == [(0, None), (1, 1), (2, 2)]


async def test_a_source_begins_at_its_position(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a", b"b", b"c")
    source = bed.bus.source(Start((topic.name,), {Partition(topic.name, 0): 2}))
    (record,) = records(await read(source, 1))
    assert (record.value, record.previous) == (b"c", 2)


async def test_a_record_that_comes_while_waiting_is_given_at_once(bed: Bed) -> None:
    topic = await made(bed)
    source = bed.bus.source(Start((topic.name,)))
    assert await source.next_batch(10, 0.3) == []
    await sent(bed, topic, b"a")
    assert len(await source.next_batch(10, WAIT_S)) == 1


async def test_a_batch_is_never_larger_than_asked_for(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, *[b"%d" % n for n in range(10)])
    source = bed.bus.source(Start((topic.name,)))
    sizes = [len(await source.next_batch(4, WAIT_S)) for _ in range(3)]
    assert sizes == [4, 4, 2]


async def test_much_in_one_partition_keeps_what_lies_in_another_no_longer(bed: Bed) -> None:
    topic = await made(bed, partitions=2)
    await sent(bed, topic, *[b"many"] * 50, key=b"k")
    for number in range(10):  # not all of these lie beside the many
        await sent(bed, topic, b"few", key=b"%d" % number)
    batch = records(await bed.bus.source(Start((topic.name,))).next_batch(10, WAIT_S))
    assert {record.partition for record in batch} == {0, 1}


async def test_seeking_back_reads_again(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a", b"b", b"c")
    source = bed.bus.source(Start((topic.name,)))
    await read(source, 3)
    await source.seek(Partition(topic.name, 0), 1)
    assert [(r.value, r.previous) for r in records(await read(source, 2))] == [(b"b", 1), (b"c", 2)]


async def test_seeking_nowhere_reads_from_the_first(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a")
    source = bed.bus.source(Start((topic.name,), {Partition(topic.name, 0): 1}))
    await source.seek(Partition(topic.name, 0), None)
    assert [(r.value, r.previous) for r in records(await read(source, 1))] == [(b"a", None)]


async def test_seeking_a_topic_that_is_not_read_is_refused(bed: Bed) -> None:
    topic = await made(bed)
    source = bed.bus.source(Start((topic.name,)))
    with pytest.raises(InvalidInput, match="is not read by this source"):
        await source.seek(Partition("other", 0), 1)


async def test_a_paused_partition_waits_while_the_others_flow(bed: Bed) -> None:
    slow, fast = await made(bed), await made(bed)
    source = bed.bus.source(Start((slow.name, fast.name)))
    source.pause([Partition(slow.name, 0)])
    await sent(bed, slow, b"slow")
    await sent(bed, fast, b"fast")
    assert [r.value for r in records(await read(source, 1))] == [b"fast"]
    assert await source.next_batch(10, 0.3) == []
    source.resume([Partition(slow.name, 0)])
    assert [r.value for r in records(await read(source, 1))] == [b"slow"]


async def test_partitions_that_appear_later_are_read_from_their_beginning(bed: Bed) -> None:
    topic = await made(bed)
    source = bed.bus.source(Start((topic.name,)))
    await source.next_batch(1, 0.0)
    assert await bed.bus.ensure_topics([a_topic(4, name=topic.name)]) == [topic.name]
    producer = bed.bus.producer()
    landed = await producer.send_many([Message(topic.name, b"%d" % n, b"%d" % n) for n in range(40)])
    found = records(await read(source, 40))
    assert {r.partition for r in found} == {place.partition for place in landed}
    assert len({r.value for r in found}) == 40
    assert len({place.partition for place in landed}) > 1


async def test_a_topic_that_appears_later_is_read(bed: Bed) -> None:
    topic = a_topic()
    source = bed.bus.source(Start((topic.name,)))
    assert await source.next_batch(1, 0.1) == []
    await bed.bus.ensure_topics([topic])
    await sent(bed, topic, b"a")
    assert [r.value for r in records(await read(source, 1))] == [b"a"]


async def test_a_position_that_retention_passed_is_a_gap_and_halts_its_partition(bed: Bed) -> None:
    old, other = await made(bed), await made(bed)
    at = Partition(old.name, 0)
    await sent(bed, old, b"a", b"b", b"c", b"d")
    await bed.drop_before(at, 3)
    source = bed.bus.source(Start((old.name, other.name), {at: 1}))
    assert await read(source, 1) == [Gap(old.name, 0, wanted=1, first=3, end=4, topic_id_changed=False)]
    await sent(bed, other, b"flows")
    assert [r.value for r in records(await read(source, 1))] == [b"flows"]
    assert await source.next_batch(10, 0.3) == []
    await source.seek(at, 3)
    assert [(r.value, r.previous) for r in records(await read(source, 1))] == [(b"d", 3)]


async def test_a_position_past_the_end_is_a_gap(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a")
    source = bed.bus.source(Start((topic.name,), {Partition(topic.name, 0): 9}))
    assert await read(source, 1) == [Gap(topic.name, 0, wanted=9, first=0, end=1, topic_id_changed=False)]


async def test_a_topic_made_again_under_a_reader_is_a_gap(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a")
    source = bed.bus.source(Start((topic.name,)))
    await read(source, 1)
    before = source.topic_ids()
    await bed.remake(topic)
    await sent(bed, topic, b"x", b"y", b"z")
    (gap,) = await read(source, 1)
    assert isinstance(gap, Gap)
    assert (gap.wanted, gap.topic_id_changed) == (1, True)
    assert source.topic_ids() != before
    await source.seek(Partition(topic.name, 0), None)
    assert [r.value for r in records(await read(source, 3))] == [b"x", b"y", b"z"]


async def test_a_topic_made_again_while_nobody_read_is_a_gap(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a")
    known = {topic.name: (await bed.bus.topic_ids())[topic.name]}
    await bed.remake(topic)
    await sent(bed, topic, b"x", b"y")
    source = bed.bus.source(Start((topic.name,), {Partition(topic.name, 0): 1}, known))
    (gap,) = await read(source, 1)
    assert gap == Gap(topic.name, 0, wanted=1, first=0, end=2, topic_id_changed=True)


async def test_lag_counts_what_was_not_delivered(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a", b"b", b"c")
    source = bed.bus.source(Start((topic.name,)))
    assert await source.lag() == {Partition(topic.name, 0): 3}
    await read(source, 1)
    assert await source.lag() == {Partition(topic.name, 0): 2}


async def test_a_committed_offset_moves_nobody(bed: Bed) -> None:
    topic = await made(bed)
    await sent(bed, topic, b"a")
    source = bed.bus.source(Start((topic.name,), group="test"))
    await source.commit({Partition(topic.name, 0): 1})
    assert [r.value for r in records(await read(source, 1))] == [b"a"]


async def test_committing_without_a_group_is_refused(bed: Bed) -> None:
    topic = await made(bed)
    with pytest.raises(InvalidInput, match="no group"):
        await bed.bus.source(Start((topic.name,))).commit({Partition(topic.name, 0): 1})


async def test_making_topics_again_changes_nothing(bed: Bed) -> None:
    topic = await made(bed, partitions=2)
    ids = await bed.bus.topic_ids()
    assert await bed.bus.ensure_topics([topic]) == []
    assert await bed.bus.topic_ids() == ids


async def test_a_message_over_the_topics_bound_is_refused(bed: Bed) -> None:
    topic = a_topic(max_message_bytes=100_000)
    await bed.bus.ensure_topics([topic])
    producer = bed.bus.producer()
    with pytest.raises(InvalidInput, match="200,000 bytes"):
        await producer.send(topic.name, None, b"x" * 200_000)
    assert (await producer.send(topic.name, None, b"small")).offset == 0


async def test_our_topics_carry_an_event_that_is_too_large_so_that_it_can_be_answered(bed: Bed) -> None:
    await bed.bus.ensure_topics(TOPICS)
    await bed.bus.producer().send("headwater.events", b"k", b"x" * (5 << 20))
    (record,) = records(await read(bed.bus.source(Start(("headwater.events",))), 1))
    assert len(record.value or b"") == 5 << 20


async def test_the_memory_bus_comes_back_and_everything_goes_on() -> None:
    bus = MemoryBus()
    topic = a_topic()
    await bus.ensure_topics([topic])
    producer, source = bus.producer(), bus.source(Start((topic.name,)))
    await bus.go_down()
    with pytest.raises(Unavailable):
        await producer.send(topic.name, None, b"a")
    with pytest.raises(Unavailable):
        await source.next_batch(1, 0.0)
    await bus.come_back()
    await producer.send(topic.name, None, b"b")
    assert [r.value for r in records(await read(source, 1))] == [b"b"]


async def test_sending_to_a_topic_that_is_not_there_is_refused(kind: str, bed: Bed, broker: Broker) -> None:
    bus = bed.bus
    if kind == "kafka":
        bus = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap, request_timeout_s=1.0))
    with pytest.raises(NotFound, match=r"test\.nowhere"):
        await bus.producer().send("test.nowhere", None, b"a")
    await bus.close()
