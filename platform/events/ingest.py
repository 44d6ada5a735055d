"""Records of an owner's inbound topics, into its loop: parsed first, looked up, then decided in order.

The position belongs to the owner's rows. What cannot be read in order is sought again from there, so
nothing is skipped and nothing is taken twice. Records wait in Kafka while the owner has enough to do.

While a full batch is being taken in, the next one is read and parsed: the owner's commit and the parsing share the
time. Batches are taken one after another; where one could not be taken, what was read ahead is dropped and read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from .. import crash
from ..errors import HeadwaterError
from ..wire.envelope import Event, Rejected, parse
from ..wire.foreign import headers_of
from .bus import Gap, Partition, Record, Source

BATCH_MAX: Final = 500
WAIT_S: Final = 1.0
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0

log = logging.getLogger("headwater.ingest")


class Parsed(msgspec.Struct, frozen=True):
    """A record with what it says."""

    record: Record
    said: Event | Rejected
    topic_id: str


class Owner(Protocol):
    """Whoever takes the records in."""

    async def take(self, records: list[Parsed]) -> None:
        """Returns when all of them are durable, or raises and has taken none for sure."""

    async def gap(self, gap: Gap, topic_id: str) -> None: ...

    def busy(self) -> bool: ...


class Caution(Protocol):
    """How an owner reads that has died before: one record at a time, each after `attempt`."""

    @property
    def careful(self) -> bool: ...

    async def attempt(self, record: Record) -> Rejected | None:
        """None once it is noted that the record is about to be parsed; otherwise why it must not be."""

    def survived(self, count: int) -> None: ...


class Ingest:
    """Reads a source for an owner until it is cancelled. `formats` names topics whose records are no CloudEvents."""

    def __init__(
        self, source: Source, owner: Owner, *, formats: Mapping[str, str] | None = None, caution: Caution | None = None
    ) -> None:
        self._source, self._owner, self._formats = source, owner, dict(formats or {})
        self._caution = caution
        self._to_seek: dict[Partition, int | None] = {}
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
        while self._owner.busy():
            await asyncio.sleep(BACKOFF_MIN_S)
        caution = self._caution if self._caution is not None and self._caution.careful else None
        batch = await self._source.next_batch(BATCH_MAX if caution is None else 1, WAIT_S)
        ids = self._source.topic_ids()
        records = [delivery for delivery in batch if isinstance(delivery, Record)]
        if caution is None:
            parsed = [self._parsed(record, ids.get(record.topic, "")) for record in records]
        else:
            parsed = [await self._attempted(record, ids.get(record.topic, ""), caution) for record in records]
        await self._all_taken()
        for gap in [delivery for delivery in batch if isinstance(delivery, Gap)]:
            await self._owner.gap(gap, ids.get(gap.topic, ""))
        if parsed:
            self._taking = asyncio.create_task(self._take(parsed))
        if caution is not None or len(parsed) < BATCH_MAX:  # nothing more waits
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

    async def _attempted(self, record: Record, topic_id: str, caution: Caution) -> Parsed:
        try:
            refused = await caution.attempt(record)
        except Exception:
            self.seek(record.topic, record.partition, record.offset)
            raise
        return self._parsed(record, topic_id) if refused is None else Parsed(record, refused, topic_id)

    def _parsed(self, record: Record, topic_id: str) -> Parsed:
        """A record of somebody else's topic has the headers that make it an event, for its dead letter too."""
        form, key = self._formats.get(record.topic), record.key
        if form is not None:
            place = f"{topic_id}/{record.partition}/{record.offset}"
            headers = headers_of(record.topic, place, record.key, form=form)
            record, key = msgspec.structs.replace(record, headers=headers), None
        crash.at_sight_of(record.value)
        return Parsed(record, parse(record.value, record.headers, key=key), topic_id)

    async def _take(self, records: list[Parsed]) -> None:
        try:
            await self._owner.take(records)
        except Exception:
            for parsed in reversed(records):  # the first of each partition is where to read again
                self.seek(parsed.record.topic, parsed.record.partition, parsed.record.offset)
            raise
