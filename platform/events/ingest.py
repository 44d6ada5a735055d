"""Records of an owner's inbound topics, into its loop: parsed first, looked up, then decided in order.

The position belongs to the owner's rows. What cannot be read in order is sought again from there, so
nothing is skipped and nothing is taken twice. Records wait in Kafka while the owner has enough to do.

While a full batch is being taken in, the next one is read and parsed: the owner's commit and the parsing share the
time. Batches are taken one after another; where one could not be taken, what was read ahead is dropped and read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from .. import crash
from ..errors import HeadwaterError, Unavailable
from ..wire.envelope import Event, Rejected, parse
from ..wire.foreign import headers_of
from .bus import Gap, Partition, Record, Source

BATCH_MAX: Final = 500
WAIT_S: Final = 1.0
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
REST_S: Final = 2.0  # of a partition whose records cannot be read now
CODED: Final = frozenset({"avro", "protobuf"})

log = logging.getLogger("headwater.ingest")


class Parsed(msgspec.Struct, frozen=True):
    """A record with what it says."""

    record: Record
    said: Event | Rejected
    topic_id: str


class Decoder(Protocol):
    def json_of(self, form: str, raw: bytes) -> bytes | Rejected:
        """The record as JSON, or why it is none. Blocking; raises Unavailable where that cannot be said now."""


class Owner(Protocol):
    """Whoever takes the records in."""

    async def take(self, records: list[Parsed]) -> None:
        """Returns when all of them are durable, or raises and has taken none for sure."""

    async def gap(self, gap: Gap, topic_id: str) -> None: ...

    def room(self) -> int:
        """How many records it would take now; none while it has enough to do."""


class Caution(Protocol):
    """How an owner reads that has died before: one record at a time, each after `attempt`."""

    @property
    def careful(self) -> bool: ...

    async def attempt(self, record: Record) -> Rejected | None:
        """None once it is noted that the record is about to be parsed; otherwise why it must not be."""

    def survived(self, count: int) -> None: ...


class Ingest:
    """Reads a source for an owner until it is cancelled. `formats` names topics whose records are no CloudEvents.

    The `decoder` reads those of a format that is its own. While it cannot, their partition rests and the others flow.
    """

    def __init__(
        self,
        source: Source,
        owner: Owner,
        *,
        formats: Mapping[str, str] | None = None,
        decoder: Decoder | None = None,
        caution: Caution | None = None,
    ) -> None:
        self._source, self._owner, self._formats, self._decoder = source, owner, dict(formats or {}), decoder
        self._caution = caution
        self._to_seek: dict[Partition, int | None] = {}
        self._resting: dict[Partition, float] = {}
        self._taking: asyncio.Task[None] | None = None

    def seek(self, topic: str, partition: int, offset: int | None) -> None:
        """Before the next batch, go back (or on) to `offset`; None: to the earliest record that is kept."""
        self._to_seek[Partition(topic, partition)] = offset

    async def run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        try:
            while True:
                try:
                    await self._round()
                    backoff_s = BACKOFF_MIN_S
                except HeadwaterError as error:  # the bus is away, or the owner could not take them
                    log.warning("%s; trying again in %.2f s", error, backoff_s)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        finally:
            if self._taking is not None:
                self._taking.cancel()

    async def _round(self) -> None:
        if self._to_seek:
            await self._all_taken()
            await self._seek_where_asked()
        self._wake_rested()
        while not (room := min(self._owner.room(), BATCH_MAX)):
            await asyncio.sleep(BACKOFF_MIN_S)
        caution = self._caution if self._caution is not None and self._caution.careful else None
        batch = await self._source.next_batch(room if caution is None else 1, WAIT_S)
        ids = self._source.topic_ids()
        records = [delivery for delivery in batch if isinstance(delivery, Record)]
        if caution is None:
            parsed = await self._read(records, ids)
        else:
            parsed = [one for record in records for one in await self._attempted(record, ids, caution)]
        await self._all_taken()
        for gap in [delivery for delivery in batch if isinstance(delivery, Gap)]:
            await self._owner.gap(gap, ids.get(gap.topic, ""))
        if parsed:
            self._taking = asyncio.create_task(self._take(parsed))
        if caution is not None or len(parsed) < room:  # nothing more waits
            await self._all_taken()
        if caution is not None:
            caution.survived(len(parsed))

    async def _all_taken(self) -> None:
        """What was handed over is durable; raises what the owner raised."""
        taking, self._taking = self._taking, None
        if taking is not None:
            await taking

    async def _seek_where_asked(self) -> None:
        for partition, offset in list(self._to_seek.items()):
            await self._source.seek(partition, offset)
            if self._to_seek[partition] == offset:  # otherwise another place was asked for meanwhile
                del self._to_seek[partition]

    async def _attempted(self, record: Record, ids: Mapping[str, str], caution: Caution) -> list[Parsed]:
        try:
            refused = await caution.attempt(record)
        except Exception:
            self.seek(record.topic, record.partition, record.offset)
            raise
        if refused is not None:
            return [Parsed(record, refused, ids.get(record.topic, ""))]
        return await self._read([record], ids)

    async def _read(self, records: list[Record], ids: Mapping[str, str]) -> list[Parsed]:
        """What the records say, as far as it can be told now."""
        return [self._parsed(record, ids.get(record.topic, ""), read) for record, read in await self._decoded(records)]

    async def _decoded(self, records: list[Record]) -> list[tuple[Record, bytes | Rejected | None]]:
        """The records with what their decoder reads in them; without those of a partition that must wait."""
        coded = [record for record in records if self._formats.get(record.topic) in CODED and record.value is not None]
        if not coded or self._decoder is None:
            return [(record, None) for record in records]
        read, waiting = await asyncio.to_thread(_read_all, self._decoder, coded, self._formats)
        for partition, offset in waiting.items():
            self.seek(partition.topic, partition.number, offset)
            self._source.pause([partition])
            self._resting[partition] = asyncio.get_running_loop().time() + REST_S
        kept = [record for record in records if record.offset < waiting.get(_of(record), record.offset + 1)]
        return [(record, read.get((_of(record), record.offset))) for record in kept]

    def _wake_rested(self) -> None:
        now = asyncio.get_running_loop().time()
        for partition in [partition for partition, until in self._resting.items() if until <= now]:
            del self._resting[partition]
            self._source.resume([partition])

    def _parsed(self, record: Record, topic_id: str, read: bytes | Rejected | None) -> Parsed:
        """A record of somebody else's topic has the headers that make it an event, for its dead letter too, which
        holds what was read of it where it could be read."""
        form, key = self._formats.get(record.topic), record.key
        if form is not None:
            place = f"{topic_id}/{record.partition}/{record.offset}"
            headers = headers_of(record.topic, place, record.key, form=form)
            record, key = msgspec.structs.replace(record, headers=headers), None
        crash.at_sight_of(record.value)
        if isinstance(read, Rejected):
            return Parsed(record, read, topic_id)
        if read is not None:
            record = msgspec.structs.replace(record, value=read)
        return Parsed(record, parse(record.value, record.headers, key=key), topic_id)

    async def _take(self, records: list[Parsed]) -> None:
        try:
            await self._owner.take(records)
        except Exception:
            for parsed in reversed(records):  # the first of each partition is where to read again
                self.seek(parsed.record.topic, parsed.record.partition, parsed.record.offset)
            raise


def _of(record: Record) -> Partition:
    return Partition(record.topic, record.partition)


def _read_all(
    decoder: Decoder, records: Iterable[Record], formats: Mapping[str, str]
) -> tuple[dict[tuple[Partition, int], bytes | Rejected], dict[Partition, int]]:
    """What was read of each record, and the partitions that must wait with the first record that they wait with."""
    read: dict[tuple[Partition, int], bytes | Rejected] = {}
    waiting: dict[Partition, int] = {}
    for record in records:
        partition = _of(record)
        if partition in waiting or record.value is None:
            continue
        try:
            read[partition, record.offset] = decoder.json_of(formats[record.topic], record.value)
        except Unavailable as error:
            log.warning("%s; %s/%d rests for %.0f s", error, *partition, REST_S)
            waiting[partition] = record.offset
    return read, waiting
