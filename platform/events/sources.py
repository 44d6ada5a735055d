"""Events from elsewhere, by packages: a queue, a folder, a feed, read in order from where the database says.

A package brings a kind of source by an entry point of the group `headwater.sources`, whose object is a `SourceKind`;
`events.sources` names which are read, as `KIND:WHERE`. Each is read like a topic, `source/KIND:WHERE`: its position
advances in the transaction that takes an event in, so that an event counts once however often it is read. `check`
proves in a test what a kind promises.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from ..errors import HeadwaterError, InvalidInput, Unavailable, did_you_mean
from ..extensions import installed
from ..wire.envelope import Event, encode_structured
from .bus import Partition, Record

GROUP: Final = "headwater.sources"
PREFIX: Final = "source/"
EMPTY_S: Final = 0.1  # of rest, where a source does not wait by itself


class Read(msgspec.Struct, frozen=True):
    """An event at a place. `number` grows from one to the next, and means the same place for ever."""

    number: int
    event: Event


class EventSource(Protocol):
    """Where events are read; opened once, read by one task."""

    async def read(self, after: int | None, limit: int) -> Sequence[Read]:
        """The events after the place `after` (None: from the first there is), at most `limit`, in order.

        It may wait a while for one, in which it may be cancelled, and gives none where none came. Raises Unavailable
        where it cannot be read now.
        """

    async def close(self) -> None: ...


@runtime_checkable
class SourceKind(Protocol):
    @property
    def name(self) -> str: ...

    def open(self, where: str) -> EventSource:
        """The source that `where` names; raises InvalidInput where that is none."""


class PlacedSource:
    """An `EventSource` as the `bus.Source` that `Ingest` reads: one topic, one partition, numbers as offsets."""

    def __init__(self, topic: str, source: EventSource, position: int | None) -> None:
        self._partition, self._source = Partition(topic, 0), source
        self._next = position
        self._is_paused = False

    async def next_batch(self, max_records: int, timeout_s: float) -> list[Any]:
        if self._is_paused:
            await asyncio.sleep(timeout_s)
            return []
        after = None if self._next is None else self._next - 1
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._source.read(after, max_records)
        except TimeoutError:
            return []
        except HeadwaterError:
            raise
        except Exception as error:  # a package's own
            what = f"{self._partition.topic} cannot be read: {type(error).__name__}: {error}"
            raise Unavailable(what, remedy="It is tried again; look at the package that brings it.") from error
        if not found:
            await asyncio.sleep(EMPTY_S)
        return [self._record(read) for read in found]

    def _record(self, read: Read) -> Record:
        if read.number < (self._next or 0):
            what = f"{self._partition.topic} gave place {read.number} after {(self._next or 0) - 1}"
            raise Unavailable(what, remedy="Its places must grow; mend the package that brings it.")
        value, headers = encode_structured(read.event)
        previous, self._next = self._next, read.number + 1
        return Record(*self._partition, read.number, previous, None, value, tuple(headers), 0)

    async def seek(self, partition: Partition, offset: int | None) -> None:
        self._next = offset

    def pause(self, partitions: Iterable[Partition]) -> None:
        self._is_paused = True

    def resume(self, partitions: Iterable[Partition]) -> None:
        self._is_paused = False

    async def lag(self) -> dict[Partition, int]:
        return {}

    async def commit(self, positions: Mapping[Partition, int]) -> None: ...

    def topic_ids(self) -> dict[str, str]:
        return {self._partition.topic: ""}

    async def close(self) -> None:
        await self._source.close()


def opened(written: Iterable[str], positions: Mapping[str, int]) -> list[PlacedSource]:
    """The sources that `KIND:WHERE` name, each from its position; raises InvalidInput where there is no such kind."""
    kinds: dict[str, SourceKind] = {kind.name: kind for kind in installed(GROUP, SourceKind, "kind of source")}
    found = []
    for one in written:
        name, _, where = one.partition(":")
        if name not in kinds:
            near = did_you_mean(name, kinds) or "Install the package that brings it"
            raise InvalidInput(f"events.sources names {one!r}, and there is no kind of source {name!r}", remedy=near)
        topic = f"{PREFIX}{one}"
        found.append(PlacedSource(topic, kinds[name].open(where), positions.get(topic)))
    return found


async def check(kind: SourceKind, where: str, expected: Sequence[Event]) -> None:
    """Proves, in a test, what a kind promises of a source that holds these events: all of them, in order, from any
    place again."""
    assert isinstance(kind, SourceKind)
    assert kind.name
    source = kind.open(where)
    read: list[Read] = []
    while len(read) < len(expected):
        found = await source.read(read[-1].number if read else None, 2)
        assert 0 < len(found) <= 2, f"{len(expected)} events were due, and {len(read)} came"
        read += found
    assert [one.event for one in read] == list(expected)
    assert all(before.number < after.number for before, after in itertools.pairwise(read))
    again = kind.open(where)
    for place, one in enumerate(read):
        rest = await again.read(one.number, len(expected))
        assert list(rest) == read[place + 1 :][: len(rest)], f"after place {one.number} it reads other events"
        assert rest or place == len(read) - 1
    await source.close()
    await again.close()
