"""What only a real broker can do: die, roll back, carry bytes that no client of ours would send."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.record._crc32c import crc
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from headwater.errors import Unavailable
from headwater.events.bus import Message, Partition, Record, Source, Start
from headwater.events.kafka import KafkaBus
from headwater.events.kafka_batch import decode
from headwater.events.kafka_link import KafkaSettings
from headwater.wire.topics import Direction, Topic

if TYPE_CHECKING:
    from headwater.local.broker import Broker

NUMBERS = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="session")
async def bus(broker: Broker) -> AsyncIterator[KafkaBus]:
    one = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap, deadline_s=60.0))
    yield one
    await one.close()


async def made(bus: KafkaBus) -> str:
    name = f"test.kafka.{next(NUMBERS)}"
    await bus.ensure_topics([Topic(name=name, direction=Direction.INBOUND, owner="a test", key="any")])
    return name


async def read(source: Source, count: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < count:
        batch = await source.next_batch(count, 20.0)
        assert batch, f"{count} were due and {found} came"
        found += [one for one in batch if isinstance(one, Record)]
    return found


def a_batch(*headers: str, base_offset: int = 0) -> bytes:
    """One batch of a record per header; `X` in a header's name is the byte 0xff, which is no UTF-8."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for number, header in enumerate(headers):
        builder.append(number, 1_700_000_000_000, None, b"%d" % number, [(header, b"1")])
    body = bytes(builder.build())[21:].replace(b"ce_X", b"ce_\xff")
    head = base_offset.to_bytes(8, "big") + (len(body) + 9).to_bytes(4, "big") + b"\x00\x00\x00\x00\x02"
    return head + int(crc(body)).to_bytes(4, "big") + body


def test_a_header_name_that_is_not_text_spoils_no_record() -> None:
    decoded = decode(a_batch("ce_id", "ce_X", "ce_id") + a_batch("ce_id", base_offset=3), 0, [])
    assert [(r.offset, r.value) for r in decoded.records] == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"0")]
    assert decoded.records[1].headers == (("ce_\udcff", b"1"),)
    assert decoded.next_offset == 4


def test_records_before_the_position_are_left_out_and_half_a_batch_waits() -> None:
    batches = a_batch("a", "b", "c") + a_batch("d", base_offset=3)[:-1]
    decoded = decode(batches, 1, [])
    assert [record.offset for record in decoded.records] == [1, 2]
    assert decoded.next_offset == 3


@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_transaction_rolled_back_is_never_seen(bus: KafkaBus, broker: Broker) -> None:
    topic = await made(bus)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    await producer.start()
    for value, ends in [(b"no", producer.abort_transaction), (b"yes", producer.commit_transaction)]:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, value, partition=0)
        await ends()
    await producer.stop()
    await bus.producer().send(topic, None, b"plain")
    found = await read(bus.source(Start((topic,))), 2)
    assert [record.value for record in found] == [b"yes", b"plain"]
    assert found[1].previous == found[0].offset + 1


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip"])
async def test_compressed_records_are_read(bus: KafkaBus, broker: Broker, compression: str) -> None:
    topic = await made(bus)
    squeezing = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap, compression=compression))
    await squeezing.producer().send_many([Message(topic, b"k", b"v" * 1000) for _ in range(50)])
    await squeezing.close()
    assert len(await read(bus.source(Start((topic,))), 50)) == 50


@pytest.mark.asyncio(loop_scope="session")
async def test_a_killed_broker_is_unavailable_in_time_and_everything_goes_on_when_it_returns(tmp_path: Path) -> None:
    from headwater.local.broker import Broker

    broker = Broker(tmp_path)
    broker.start()
    bus = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap, deadline_s=1.0, request_timeout_s=1.0))
    topic = await made(bus)
    producer, source = bus.producer(), bus.source(Start((topic,)))
    await producer.send(topic, None, b"before")
    assert [record.value for record in await read(source, 1)] == [b"before"]
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="did not answer within 1 s"):
            await producer.send(topic, None, b"lost or late")
        with pytest.raises(Unavailable, match="Start the broker"):
            await until_read(source, b"never")
    await asyncio.to_thread(broker.start)
    async with asyncio.timeout(60):
        await until_sent(producer_of=bus, topic=topic)
        found = await until_read_again(source, b"after")
    assert all(value in (b"lost or late", b"after") for value in found)
    assert await source.lag() == {Partition(topic, 0): 0}
    await bus.close()
    broker.stop()


async def until_sent(*, producer_of: KafkaBus, topic: str) -> None:
    producer = producer_of.producer()
    while True:
        try:
            await producer.send(topic, None, b"after")
            return
        except Unavailable:
            continue


async def until_read(source: Source, last: bytes) -> list[bytes | None]:
    found: list[bytes | None] = []
    while last not in found:
        found += [one.value for one in await source.next_batch(10, 0.2) if isinstance(one, Record)]
    return found


async def until_read_again(source: Source, last: bytes) -> list[bytes | None]:
    while True:
        try:
            return await until_read(source, last)
        except Unavailable:
            continue
