"""The log, published: in order of position, durably, then marked. What is published again is the same event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ..errors import Unavailable
from ..wire import topics
from ..wire.entries.events import EventPublished
from ..wire.envelope import Event, encode_structured
from ..wire.labels import HEADER
from ..wire.types import Entry
from .bus import Message, Producer

BATCH_MAX: Final = 1_000
HELD_MAX: Final = 50_000
LINGER_S: Final = 0.02  # what is said within it leaves together: a broker pays by the request, not by the record
MARK_EVERY_S: Final = 0.5
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0

TOPIC_OF: Final = {
    "run": topics.RUNS.name,
    "step": topics.RUNS.name,
    "event": topics.RUNS.name,
    "data": topics.RUNS.name,
    "trigger": topics.RUNS.name,
    "command": topics.RUNS.name,
    "flow": topics.MODELS.name,
    "model": topics.MODELS.name,
    "deployment": topics.MODELS.name,
    "table": topics.TABLES.name,
    "quota": topics.QUOTA.name,
    "node": topics.GPUS.name,
    "device": topics.GPUS.name,
}

log = logging.getLogger("headwater.relay")


def topic_of(entry: Entry) -> str:
    """Where an entry is published."""
    if isinstance(entry.body, EventPublished):
        return topics.PUBLISHED.name
    return TOPIC_OF[entry.type.partition(".")[0]]


def message_of(entry: Entry) -> Message:
    """The entry as a CloudEvent. Its id is made from facts: run and seq, or the position.

    Its run's labels are a header of their own, so that a consumer can choose without reading the rest.
    """
    body = entry.body
    if isinstance(body, EventPublished):
        event = Event(
            id=body.event_id,
            source=f"headwater/{entry.project}",
            type=body.event_type,
            subject=entry.subject,
            time_us=entry.time_us,
            project=entry.project or None,
            extensions={
                "hwposition": str(entry.position),
                "hwdepth": str(body.depth),
                "hwroot": body.root_id or entry.subject,
            },
            data=body.data,
        )
    else:
        event = Event(
            id=f"{entry.run_id}/{entry.seq}" if entry.run_id else f"log/{entry.position}",
            source="headwater",
            type=f"headwater.{entry.type}",
            subject=entry.subject,
            time_us=entry.time_us,
            project=entry.project or None,
            extensions={"hwposition": str(entry.position)},
            data=msgspec.to_builtins(entry),
        )
    value, headers = encode_structured(event)
    if entry.labels:
        headers = [*headers, (HEADER, msgspec.json.encode(entry.labels))]
    return Message(topic_of(entry), entry.subject.encode(), value, tuple(headers))


class Relay:
    """Publishes the log after `start`, one batch at a time; `mark(position)` makes durable how far it came.

    What is handed over and continues what is held needs no read; everything else comes from `read(after)`,
    the log after a position in order.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        read: Callable[[int], Awaitable[list[Entry]]],
        mark: Callable[[int], Awaitable[None]],
        start: int,
    ) -> None:
        self._producer, self._read, self._mark = producer, read, mark
        self._held: list[Entry] = []
        self._more = asyncio.Event()
        self._behind = True
        self.published = self.marked = self._seen = start

    def take(self, entries: list[Entry]) -> None:
        last = self._held[-1].position if self._held else self.published
        self._seen = max(self._seen, entries[-1].position)
        if self._behind or entries[0].position != last + 1 or len(self._held) >= HELD_MAX:
            self._behind = True
        else:
            self._held.extend(entries)
        self._more.set()

    async def run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            await self._wait()
            if len(self._held) < BATCH_MAX:
                await asyncio.sleep(LINGER_S)
            try:
                await self._publish()
                backoff_s = BACKOFF_MIN_S
            except Unavailable as error:
                log.warning("%s; trying again in %.2f s", error, backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _publish(self) -> None:
        if not self._held and self._behind:
            await self._catch_up()
        batch = self._held[:BATCH_MAX]
        if batch:
            await self._producer.send_many([message_of(entry) for entry in batch])
            self.published = batch[-1].position
            del self._held[: len(batch)]
        if self.published > self.marked and (not batch or self.published - self.marked > BATCH_MAX):
            await self._mark(self.published)
            self.marked = self.published

    async def _catch_up(self) -> None:
        """What is handed over during the read may lie beyond it: then there is more to read."""
        read = await self._read(self.published)
        come = read[-1].position if read else self.published
        self._behind = len(read) >= BATCH_MAX or self._seen > come
        self._held = read

    async def _wait(self) -> None:
        """Until there is something to publish, or nothing came for a while and the mark is behind."""
        if self._held or self._behind:
            return
        self._more.clear()
        try:
            async with asyncio.timeout(MARK_EVERY_S if self.published > self.marked else None):
                await self._more.wait()
        except TimeoutError:
            pass
