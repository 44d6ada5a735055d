"""Records of an owner's inbound topics, into its loop: parsed first, looked up, then decided in order.

The position belongs to the owner's rows. What cannot be read in order is sought again from there, so
nothing is skipped and nothing is taken twice. Records wait in Kafka while the owner has enough to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

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


class Ingest:
    """Reads a source for an owner until it is cancelled. `formats` names topics whose records are no CloudEvents."""

    def __init__(self, source: Source, owner: Owner, *, formats: Mapping[str, str] | None = None) -> None:
        self._source, self._owner, self._formats = source, owner, dict(formats or {})
        self._to_seek: dict[Partition, int | None] = {}

    def seek(self, topic: str, partition: int, offset: int | None) -> None:
        """Before the next batch, go back (or on) to `offset`; None: to the earliest record that is kept."""
        self._to_seek[Partition(topic, partition)] = offset

    async def run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            try:
                await self._round()
                backoff_s = BACKOFF_MIN_S
            except HeadwaterError as error:  # the bus is away, or the owner could not take them
                log.warning("%s; trying again in %.2f s", error, backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _round(self) -> None:
        for partition, offset in list(self._to_seek.items()):
            await self._source.seek(partition, offset)
            if self._to_seek[partition] == offset:  # otherwise another place was asked for meanwhile
                del self._to_seek[partition]
        while self._owner.busy():
            await asyncio.sleep(BACKOFF_MIN_S)
        batch = await self._source.next_batch(BATCH_MAX, WAIT_S)
        ids = self._source.topic_ids()
        for gap in [delivery for delivery in batch if isinstance(delivery, Gap)]:
            await self._owner.gap(gap, ids.get(gap.topic, ""))
        records = [delivery for delivery in batch if isinstance(delivery, Record)]
        if records:
            await self._take([self._parsed(record, ids.get(record.topic, "")) for record in records])

    def _parsed(self, record: Record, topic_id: str) -> Parsed:
        """A record of somebody else's topic has the headers that make it an event, for its dead letter too."""
        form, key = self._formats.get(record.topic), record.key
        if form is not None:
            place = f"{topic_id}/{record.partition}/{record.offset}"
            headers = headers_of(record.topic, place, record.key, form=form)
            record, key = msgspec.structs.replace(record, headers=headers), None
        return Parsed(record, parse(record.value, record.headers, key=key), topic_id)

    async def _take(self, records: list[Parsed]) -> None:
        try:
            await self._owner.take(records)
        except Exception:
            for parsed in reversed(records):  # the first of each partition is where to read again
                self.seek(parsed.record.topic, parsed.record.partition, parsed.record.offset)
            raise


async def gather_in_order(asked: Iterable[Awaitable[Any]]) -> list[Any]:
    """All answers; the first error, if there was one, once all have ended."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
