"""What a platform has left behind: its rows as of one moment, and then what lies in Kafka."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headwater.core.records.attempts import Attempt
from headwater.core.records.inbox import DeadLetter, InboxRow, Offset
from headwater.core.records.leases import Lease
from headwater.core.records.runs import CommandRow, Run
from headwater.core.records.steps import Step
from headwater.core.records.triggers import Gathering
from headwater.store.engine import open_engine
from headwater.store.reader import Picture
from headwater.store.rows import codecs
from headwater.store.schema import LOG
from headwater.wire.topics import TOPICS
from headwater.wire.types import Entry

POLL_MS = 1_000
WITHIN_S = 120.0
AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record as any consumer sees it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


Place = tuple[str, int]
Kept = tuple[dict[Place, list[Recorded]], dict[Place, int]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """`numbers` are (position, run, seq) of the log, `topics` the records of each partition in order.

    `begins` are the partitions whose first records are gone (retention took them), with their first offset.
    """

    position: int
    numbers: list[tuple[int, str | None, int | None]]
    entries: list[Entry]
    runs: list[Run]
    commands: list[CommandRow]
    steps: list[Step]
    attempts: list[Attempt]
    leases: list[Lease]
    gatherings: list[Gathering]
    inbox: list[InboxRow]
    dead_letters: list[DeadLetter]
    offsets: list[Offset]
    topics: dict[Place, list[Recorded]] = field(default_factory=dict)
    begins: dict[Place, int] = field(default_factory=dict)

    def next_of(self, topic: str) -> int:
        """How far the Conductor has read an ordered source of one partition: the first that it has not taken."""
        return next((one.next for one in self.offsets if (one.owner, one.topic) == ("conductor", topic)), 0)


def rows_of(store: str) -> Evidence:
    """The rows alone, as one read transaction sees them."""
    engine = open_engine(store, read_only=True)
    try:
        with engine.connect() as connection, connection.begin():
            return _rows(connection)
    finally:
        engine.dispose()


def evidence_of(store: str, bootstrap: str) -> Evidence:
    """The rows, and after them the topics: what the rows speak of is there, and perhaps more."""
    rows = rows_of(store)
    names = {topic.name for topic in TOPICS} | {offset.topic for offset in rows.offsets}
    topics, begins = asyncio.run(_once_it_answers(bootstrap, names))
    return replace(rows, topics=topics, begins=begins)


def _rows(connection: sa.Connection) -> Evidence:
    picture = Picture(connection, dict(codecs()))
    numbers = sa.select(LOG.c.position, LOG.c.run_id, LOG.c.seq).order_by(LOG.c.position)
    tables = ("runs", "commands", "steps", "attempts", "leases", "gatherings", "inbox", "dead_letters", "offsets")
    found: dict[str, Any] = {table: picture.rows(table) for table in tables}
    return Evidence(
        position=picture.position,
        numbers=[(row.position, row.run_id, row.seq) for row in connection.execute(numbers)],
        entries=picture.entries(),
        **found,
    )


async def _once_it_answers(bootstrap: str, names: set[str]) -> Kept:
    """A broker that has been killed comes back."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            with suppress(KafkaError):
                return await _records(bootstrap, names)
            await asyncio.sleep(AGAIN_S)


async def _records(bootstrap: str, names: set[str]) -> Kept:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        await consumer.start()
        places = [TopicPartition(*place) for place in await _places(bootstrap, names)]
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        found: dict[Place, list[Recorded]] = {(place.topic, place.partition): [] for place in places}
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                found[place.topic, place.partition] += [
                    Recorded(one.offset, one.key, one.value, tuple(one.headers)) for one in records
                ]
    finally:
        await consumer.stop()
    return found, {(place.topic, place.partition): begin for place, begin in begins.items() if begin}


async def _places(bootstrap: str, names: set[str]) -> list[Place]:
    """The partitions of those topics that there are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        described = await admin.describe_topics(sorted(names))
    finally:
        await admin.close()
    return [(topic["topic"], one["partition"]) for topic in described for one in topic["partitions"]]
