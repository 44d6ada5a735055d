"""Reads Kafka at explicit positions, by topic id.

`next_batch` never talks to Kafka itself. It starts tasks and takes what they left: one looks at the topics
(new partitions, leaders, changed ids, first positions), and up to two per broker fetch, each on a connection
of its own, because a broker answers one connection's requests in turn and an idle fetch may wait there. So a
partition that was resumed or drained is asked for at once, beside the long wait for the quiet ones. A task is
never cancelled before `close`; what it brings for a partition that was sought meanwhile is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.errors import KafkaError

from ..errors import InvalidInput
from .bus import Delivery, Gap, Partition, Record, Start
from .kafka_batch import decode
from .kafka_link import EARLIEST, FAILURES, LATEST, Link, unavailable
from .kafka_protocol import OFFSET_OUT_OF_RANGE, Fetched, FetchRequest, TopicState, Wanted, fetched_of

LINES = 2  # fetches in flight per broker
RETRY_MAX_S = 1.0
MISSING_S = 0.5  # how soon a topic or leader that is not there is looked for again


@dataclass(slots=True)
class _Cursor:
    """Where one partition stands. `after` is the offset after the last record read, None at the beginning."""

    partition: Partition
    fetch_at: int | None
    after: int | None
    leader: int = -1
    paused: bool = False
    halted: bool = False
    gap: bool | None = None  # a gap that is not yet told; True where the topic's id changed
    ready: deque[Delivery] = field(default_factory=deque)


class _Failure(NamedTuple):
    since: float
    times: int
    error: BaseException


class KafkaSource:
    """A `Source` on a Kafka cluster. Connects at the first `next_batch`."""

    def __init__(self, link: Link, start: Start) -> None:
        self._link, self._settings, self._start = link, link.settings, start
        self._cursors = {
            partition: _Cursor(partition, offset, offset)
            for partition, offset in start.positions.items()
            if partition.topic in start.topics
        }
        self._ids = {topic: topic_id for topic, topic_id in start.topic_ids.items() if topic in start.topics}
        self._looking: asyncio.Task[None] | None = None
        self._look_soon = asyncio.Event()
        self._look_soon.set()
        self._look_again_s = 0.0
        self._fetching: dict[tuple[int, int], tuple[asyncio.Task[None], frozenset[Partition]]] = {}
        self._turn = 0
        self._failing: dict[object, _Failure] = {}

    async def next_batch(self, max_records: int, timeout_s: float) -> list[Delivery]:
        deadline = _now() + timeout_s
        while True:
            taken = self._take(max_records)
            work = self._start_work()
            if taken:
                return taken
            await asyncio.wait(work, timeout=max(0.0, deadline - _now()), return_when=asyncio.FIRST_COMPLETED)
            taken = self._take(max_records)
            if taken:
                self._start_work()
                return taken
            for failure in self._failing.values():
                if _now() - failure.since > self._settings.deadline_s:
                    raise unavailable(self._settings, failure.error)
            if _now() >= deadline:
                return []

    async def seek(self, partition: Partition, offset: int | None) -> None:
        if partition.topic not in self._start.topics:
            known = ", ".join(self._start.topics)
            raise InvalidInput(f"'{partition.topic}' is not read by this source", remedy=f"It reads {known}")
        cursor = self._cursors.setdefault(partition, _Cursor(partition, None, None))
        cursor.fetch_at = cursor.after = offset
        cursor.halted, cursor.gap = False, None
        cursor.ready.clear()
        self._look_soon.set()

    def pause(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._cursors.setdefault(partition, _Cursor(partition, None, None)).paused = True

    def resume(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._cursors.setdefault(partition, _Cursor(partition, None, None)).paused = False

    async def lag(self) -> dict[Partition, int]:
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                if not self._ids or any(cursor.leader < 0 for cursor in self._cursors.values()):
                    await self._look_at_topics()
                leaders = {cursor.partition: cursor.leader for cursor in self._cursors.values()}
                end = await self._link.offsets(leaders, LATEST)
                first = await self._link.offsets(leaders, EARLIEST)
        except FAILURES as error:
            raise unavailable(self._settings, error) from error
        return {partition: max(0, end[partition] - self._next_of(partition, first)) for partition in end}

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        if self._start.group is None:
            raise InvalidInput("This source has no group to commit for", remedy="Name one in Start(group=...)")
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                await self._link.commit(self._start.group, positions)
        except FAILURES as error:
            raise unavailable(self._settings, error) from error

    def topic_ids(self) -> dict[str, str]:
        return dict(self._ids)

    async def close(self) -> None:
        tasks = [task for task, _ in self._fetching.values()] + ([self._looking] if self._looking else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fetching.clear()
        self._looking = None
        await self._link.close()

    # Taking

    def _take(self, max_records: int) -> list[Delivery]:
        """What is ready: an even share of each partition, so that none waits behind another's many, then whatever
        there is; beginning with another partition each time, so that none waits for ever."""
        cursors = [cursor for cursor in self._cursors.values() if cursor.ready and not cursor.paused]
        if not cursors:
            return []
        self._turn += 1
        shift = self._turn % len(cursors)
        taken: list[Delivery] = []
        for share in (max_records // len(cursors), max_records):
            for cursor in cursors[shift:] + cursors[:shift]:
                count = min(share, len(cursor.ready), max_records - len(taken))
                taken += [cursor.ready.popleft() for _ in range(count)]
        return taken

    def _next_of(self, partition: Partition, first: Mapping[Partition, int]) -> int:
        cursor = self._cursors[partition]
        if cursor.ready and isinstance(cursor.ready[0], Record):
            return cursor.ready[0].offset
        return first.get(partition, 0) if cursor.fetch_at is None else cursor.fetch_at

    # Working

    def _start_work(self) -> list[asyncio.Task[None]]:
        if self._looking is None or self._looking.done():
            if self._looking is not None:
                self._looking.result()  # what is not one of FAILURES is a broken promise: out with it
            self._looking = asyncio.create_task(self._look_when_due())
        for ended in [line for line, (task, _) in self._fetching.items() if task.done()]:
            self._fetching.pop(ended)[0].result()
        covered = {partition for _, partitions in self._fetching.values() for partition in partitions}
        for leader, cursors in self._hungry(covered).items():
            free = [number for number in range(LINES) if (leader, number) not in self._fetching]
            if free:
                task = asyncio.create_task(self._fetch(leader, free[0], cursors))
                self._fetching[leader, free[0]] = task, frozenset(cursor.partition for cursor in cursors)
        return [self._looking, *(task for task, _ in self._fetching.values())]

    def _hungry(self, covered: set[Partition]) -> dict[int, list[_Cursor]]:
        found: dict[int, list[_Cursor]] = {}
        for cursor in self._cursors.values():
            idle = not (cursor.ready or cursor.paused or cursor.halted or cursor.partition in covered)
            if idle and cursor.leader >= 0 and cursor.fetch_at is not None and cursor.partition.topic in self._ids:
                found.setdefault(cursor.leader, []).append(cursor)
        return found

    async def _look_when_due(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._look_soon.wait(), self._look_again_s)
        self._look_soon.clear()
        try:
            await self._look_at_topics()
        except FAILURES as error:
            await self._failed("topics", error)
        else:
            self._failing.pop("topics", None)
            missing = len(self._ids) < len(self._start.topics) or any(c.leader < 0 for c in self._cursors.values())
            longest = self._settings.topics_every_s
            self._look_again_s = min(MISSING_S, longest) if missing else longest

    async def _look_at_topics(self) -> None:
        topics = await self._link.topics(self._start.topics)
        for name in self._start.topics:
            self._learn(name, topics.get(name))
        await self._position()
        leaders = {cursor.leader for cursor in self._cursors.values()}
        for gone in [what for what in self._failing if isinstance(what, int) and what not in leaders]:
            del self._failing[gone]

    def _learn(self, name: str, state: TopicState | None) -> None:
        known = [cursor for cursor in self._cursors.values() if cursor.partition.topic == name]
        for cursor in known:
            cursor.leader = -1 if state is None else state.leaders.get(cursor.partition.number, -1)
        if state is None:
            return
        if self._ids.get(name, state.topic_id) != state.topic_id:
            for cursor in known:
                if cursor.fetch_at is not None:
                    cursor.halted, cursor.gap = True, True
        self._ids[name] = state.topic_id
        for number, leader in state.leaders.items():
            partition = Partition(name, number)
            if partition not in self._cursors:
                self._cursors[partition] = _Cursor(partition, None, None, leader)

    async def _position(self) -> None:
        """Finds the first offset of partitions that have no position, and tells the gaps that were found."""
        asked = [cursor for cursor in self._cursors.values() if cursor.fetch_at is None or cursor.gap is not None]
        if not asked:
            return
        leaders = {cursor.partition: cursor.leader for cursor in asked}
        first, end = await self._link.offsets(leaders, EARLIEST), {}
        if any(cursor.gap is not None for cursor in asked):
            end = await self._link.offsets(leaders, LATEST)
        for cursor in asked:
            partition = cursor.partition
            if cursor.gap is not None and (partition in end or cursor.leader < 0):
                at = first.get(partition, 0), end.get(partition, 0)
                cursor.ready.append(Gap(*partition, cursor.fetch_at, *at, cursor.gap))
                cursor.gap = None
            elif cursor.fetch_at is None and not cursor.halted and partition in first:
                cursor.fetch_at = first[partition]

    async def _fetch(self, leader: int, line: int, cursors: list[_Cursor]) -> None:
        settings = self._settings
        wanted = [
            Wanted(self._ids[c.partition.topic], c.partition, c.fetch_at, settings.partition_fetch_bytes)
            for c in cursors
            if c.fetch_at is not None
        ]
        request = FetchRequest(wanted, wait_ms=int(settings.fetch_wait_s * 1000), size_max_bytes=settings.fetch_bytes)
        try:
            answer = await self._link.ask(leader, request, line=("fetch", line))
            by_key = {(one.topic_id, one.partition.number): one for one in wanted}
            troubled = [self._accept(by_key[one.topic_id, one.partition], one) for one in fetched_of(answer)]
        except FAILURES as error:
            await self._failed(leader, error)
            return
        self._failing.pop(leader, None)
        if any(troubled) or answer.error_code:
            self._look_soon.set()
            await asyncio.sleep(settings.retry_s)  # a leader moves or a topic goes: do not ask in a tight loop

    def _accept(self, asked: Wanted, got: Fetched) -> bool:
        """Puts what came where it belongs; True where the topics must be looked at again."""
        cursor = self._cursors[asked.partition]
        stale = cursor.fetch_at != asked.offset or cursor.halted or self._ids[asked.partition.topic] != asked.topic_id
        if stale:
            return False
        if got.error_code == OFFSET_OUT_OF_RANGE:
            cursor.halted, cursor.gap = True, False
            return True
        if got.error_code:
            return True
        try:
            decoded = decode(got.batches, asked.offset, got.aborted)
        except KafkaError as error:
            self._note(asked.partition, error)
            return True
        self._failing.pop(asked.partition, None)
        for raw in decoded.records:
            cursor.ready.append(
                Record(*asked.partition, raw.offset, cursor.after, raw.key, raw.value, raw.headers, raw.timestamp_ms)
            )
            cursor.after = raw.offset + 1
        cursor.fetch_at = decoded.next_offset
        return False

    async def _failed(self, what: object, error: BaseException) -> None:
        count = self._note(what, error)
        self._look_soon.set()
        await asyncio.sleep(min(RETRY_MAX_S, self._settings.retry_s * 2 ** min(count, 10)))

    def _note(self, what: object, error: BaseException) -> int:
        before = self._failing.get(what)
        since, count = (_now(), 0) if before is None else (before.since, before.times)
        self._failing[what] = _Failure(since, count + 1, error)
        return count


def _now() -> float:
    return asyncio.get_running_loop().time()
