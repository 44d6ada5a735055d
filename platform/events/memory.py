"""The bus in memory: one process, nothing kept. It keeps every promise of `bus.py` but durability.

For unit tests, notebooks and flows that run in one process. Faults are part of it, so that what Kafka does only
on a bad day can be tried on a good one: `go_down`, `come_back`, `drop_before`, `remake_topic`, `grow_topic`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidInput, NotFound, Unavailable
from ..wire.topics import Topic
from .bus import Delivery, Gap, Headers, Landed, Message, Partition, Record, Start


@dataclass(slots=True)
class _Log:
    """One partition: the records kept, of which the first has offset `first`."""

    first: int = 0
    records: list[tuple[bytes | None, bytes | None, Headers, int]] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


@dataclass(slots=True)
class _MemoryTopic:
    topic_id: str
    max_message_bytes: int
    logs: list[_Log]


class MemoryBus:
    """A `Bus` whose topics live as long as it does."""

    def __init__(self) -> None:
        self._topics: dict[str, _MemoryTopic] = {}
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()
        self._is_down = False
        self.committed: dict[tuple[str, Partition], int] = {}

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    def source(self, start: Start) -> MemorySource:
        return MemorySource(self, start)

    async def ensure_topics(self, topics: Iterable[Topic]) -> list[str]:
        self.require_up()
        changed = []
        for topic in topics:
            there = self._topics.setdefault(topic.name, _MemoryTopic(self._new_id(), topic.max_message_bytes, []))
            if len(there.logs) < topic.partitions:
                there.logs += [_Log() for _ in range(topic.partitions - len(there.logs))]
                changed.append(topic.name)
        await self._tell()
        return changed

    async def topic_ids(self) -> dict[str, str]:
        self.require_up()
        return {name: topic.topic_id for name, topic in self._topics.items()}

    async def close(self) -> None:
        self._topics.clear()
        await self._tell()

    # Faults

    async def go_down(self) -> None:
        self._is_down = True
        await self._tell()

    async def come_back(self) -> None:
        self._is_down = False
        await self._tell()

    async def drop_before(self, partition: Partition, offset: int) -> None:
        """What retention does: the records before `offset` are gone."""
        log = self.log(partition)
        dropped = max(0, min(offset, log.end) - log.first)
        del log.records[:dropped]
        log.first += dropped
        await self._tell()

    async def remake_topic(self, name: str) -> None:
        """What a deletion followed by a creation does: the same name, another id, no records."""
        old = self._topics[name]
        self._topics[name] = _MemoryTopic(self._new_id(), old.max_message_bytes, [_Log() for _ in old.logs])
        await self._tell()

    # For producers and sources

    def require_up(self) -> None:
        if self._is_down:
            raise Unavailable("The bus in memory is down", remedy="Let it come back")

    def topic(self, name: str) -> _MemoryTopic | None:
        return self._topics.get(name)

    def log(self, partition: Partition) -> _Log:
        return self._topics[partition.topic].logs[partition.number]

    async def append(self, messages: Sequence[Message]) -> list[Landed]:
        self.require_up()
        for message in messages:
            self._require_fits(message)
        landed = [self._append(message) for message in messages]
        await self._tell()
        return landed

    async def changed(self, timeout_s: float) -> None:
        """Returns when anything changed, or after the time."""
        async with self._changed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _append(self, message: Message) -> Landed:
        logs = self._topics[message.topic].logs
        number = 0 if message.key is None else zlib.crc32(message.key) % len(logs)
        log = logs[number]
        log.records.append((message.key, message.value, message.headers, time.time_ns() // 1_000_000))
        return Landed(number, log.end - 1)

    def _require_fits(self, message: Message) -> None:
        topic = self._topics.get(message.topic)
        if topic is None:
            raise NotFound(f"The topic '{message.topic}' does not exist", remedy="Make it with `ensure_topics`")
        size = len(message.value or b"")
        if size > topic.max_message_bytes:
            raise InvalidInput(f"A message of {size:,} bytes is over the topic's bound", remedy="Send less")

    def _new_id(self) -> str:
        return f"{next(self._ids):032x}"


class MemoryProducer:
    """A `Producer`."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Landed:
        return (await self.send_many([Message(topic, key, value, headers)]))[0]

    async def send_many(self, messages: Sequence[Message]) -> list[Landed]:
        return await self._bus.append(messages)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class _Cursor:
    position: int | None
    paused: bool = False
    halted: bool = False


class MemorySource:
    """A `Source`."""

    def __init__(self, bus: MemoryBus, start: Start) -> None:
        self._bus, self._start = bus, start
        self._cursors = {
            partition: _Cursor(offset)
            for partition, offset in start.positions.items()
            if partition.topic in start.topics
        }
        self._ids = {topic: topic_id for topic, topic_id in start.topic_ids.items() if topic in start.topics}
        self._turn = 0

    async def next_batch(self, max_records: int, timeout_s: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            self._bus.require_up()
            taken = self._take(max_records)
            if taken or loop.time() >= deadline:
                return taken
            await self._bus.changed(deadline - loop.time())

    async def seek(self, partition: Partition, offset: int | None) -> None:
        if partition.topic not in self._start.topics:
            known = ", ".join(self._start.topics)
            raise InvalidInput(f"'{partition.topic}' is not read by this source", remedy=f"It reads {known}")
        cursor = self._cursors.setdefault(partition, _Cursor(offset))
        cursor.position, cursor.halted = offset, False

    def pause(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._cursors.setdefault(partition, _Cursor(None)).paused = True

    def resume(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._cursors.setdefault(partition, _Cursor(None)).paused = False

    async def lag(self) -> dict[Partition, int]:
        self._bus.require_up()
        self._gaps()
        found = {}
        for partition, cursor in self._cursors.items():
            log = self._bus.log(partition)
            found[partition] = max(0, log.end - (log.first if cursor.position is None else cursor.position))
        return found

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        self._bus.require_up()
        if self._start.group is None:
            raise InvalidInput("This source has no group to commit for", remedy="Name one in Start(group=...)")
        self._bus.committed.update({(self._start.group, partition): at for partition, at in positions.items()})

    def topic_ids(self) -> dict[str, str]:
        return dict(self._ids)

    async def close(self) -> None:
        self._cursors.clear()

    def _take(self, max_records: int) -> list[Delivery]:
        taken: list[Delivery] = list(self._gaps())
        self._turn += 1
        cursors = [(p, c) for p, c in self._cursors.items() if not (c.paused or c.halted or p.topic not in self._ids)]
        shift = self._turn % max(1, len(cursors))
        for share in (max_records // max(1, len(cursors)), max_records):
            for partition, cursor in cursors[shift:] + cursors[:shift]:
                taken += self._read(partition, cursor, min(share, max_records - len(taken)))
        return taken

    def _read(self, partition: Partition, cursor: _Cursor, count: int) -> list[Record]:
        log = self._bus.log(partition)
        begin = log.first if cursor.position is None else cursor.position
        taken = []
        for offset in range(begin, min(log.end, begin + max(0, count))):
            key, value, headers, timestamp_ms = log.records[offset - log.first]
            taken.append(Record(*partition, offset, cursor.position, key, value, headers, timestamp_ms))
            cursor.position = offset + 1
        return taken

    def _gaps(self) -> list[Gap]:
        found = []
        for name in self._start.topics:
            topic = self._bus.topic(name)
            if topic is None:
                continue
            changed = self._ids.get(name, topic.topic_id) != topic.topic_id
            self._ids[name] = topic.topic_id
            for number, log in enumerate(topic.logs):
                cursor = self._cursors.setdefault(Partition(name, number), _Cursor(None))
                at = cursor.position
                if at is None or (cursor.halted and not changed) or (not changed and log.first <= at <= log.end):
                    continue
                cursor.halted = True
                found.append(Gap(name, number, at, log.first, log.end, changed))
        return found
