"""The seam to Kafka: what a bus, a producer and a source promise. `kafka.py` and `memory.py` keep it.

A source reads at explicit positions, which its caller keeps in the database; it never joins a group, so nothing
rebalances, and it never starts at the latest record. What would be skipped in silence (records that retention
took, a topic that was deleted and made again) arrives as a `Gap` among the records and halts its partition until
the caller seeks. Partitions that appear later are read from their beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from ..wire.topics import Topic

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


class Partition(NamedTuple):
    topic: str
    number: int


class Record(msgspec.Struct, frozen=True):
    """One record as it lay in the topic.

    `previous` is the offset after the record delivered before it: the position that was opened or sought for the
    first one, None where that was the beginning. A header name that is not UTF-8 comes with surrogate escapes.
    """

    topic: str
    partition: int
    offset: int
    previous: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class Gap(msgspec.Struct, frozen=True):
    """The records from `wanted` on are not there: lost to retention, or of a topic that is another one now.

    `first` and `end` are the offsets that the partition holds now, `end` exclusive.
    """

    topic: str
    partition: int
    wanted: int | None
    first: int
    end: int
    topic_id_changed: bool


Delivery: TypeAlias = Record | Gap


class Message(msgspec.Struct, frozen=True):
    """What is to be sent. Messages of one key stay in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Landed(NamedTuple):
    partition: int
    offset: int


class Start(msgspec.Struct, frozen=True):
    """Where a source begins. A partition without a position is read from its first record.

    `topic_ids` are those under which the positions were kept: where a topic has another id now, a `Gap` says so.
    """

    topics: tuple[str, ...]
    positions: Mapping[Partition, int | None] = {}
    topic_ids: Mapping[str, str] = {}
    group: str | None = None


class Producer(Protocol):
    """Sends durably. Raises Unavailable at its deadline: what was sent then may or may not have landed."""

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Landed: ...

    async def send_many(self, messages: Sequence[Message]) -> list[Landed]:
        """Where each message landed, in the order given, once all are durable."""

    async def close(self) -> None: ...


class Source(Protocol):
    """Reads records in the order of each partition. Only one task may call `next_batch`."""

    async def next_batch(self, max_records: int, timeout_s: float) -> list[Delivery]:
        """What came next: at least one as soon as there is one, none after `timeout_s`.

        Raises Unavailable where the bus has not answered for its deadline; calling again tries again.
        """

    async def seek(self, partition: Partition, offset: int | None) -> None:
        """Reads on at `offset` (None: the first that is kept), and lifts the halt of a gap."""

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Delivers nothing of these until `resume`; the others flow."""

    def resume(self, partitions: Iterable[Partition]) -> None: ...

    async def lag(self) -> dict[Partition, int]:
        """How many offsets lie between what was delivered and the end, per partition."""

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tells Kafka's tools how far the group came; advisory, nothing here ever reads it back."""

    def topic_ids(self) -> dict[str, str]:
        """The id of each topic that is being read; to be kept beside the positions."""

    async def close(self) -> None: ...


class Bus(Protocol):
    def producer(self) -> Producer: ...

    def source(self, start: Start) -> Source: ...

    async def ensure_topics(self, topics: Iterable[Topic]) -> list[str]:
        """The names of the topics that were made or grew; those that are there keep their settings."""

    async def topic_ids(self) -> dict[str, str]:
        """The id of each topic there is; a topic that is deleted and made again has another."""

    async def close(self) -> None:
        """Closes every producer and source that this bus made."""
