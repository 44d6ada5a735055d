"""What every owner's shell does alike: epoch, picture, loop, inbox, and following the log.

    start: take the epoch ► load the picture ► run the loop ► follow the Conductor's hub ► read the command topic

An owner is made of a machine (pure) and this. A subclass says how the machine is loaded and what its
effects do. A part that cannot go on ends the process: Ray starts it again, and the rows are the truth.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import RayError

from ..core.inbox import Arrived, Ordered, SeekTo, TopicGap
from ..core.records.inbox import InboxRow, Offset
from ..errors import HeadwaterError, Unavailable
from ..events.bus import Gap, Partition, Start
from ..events.ingest import Ingest, Parsed
from ..events.kafka import KafkaBus
from ..events.kafka_link import KafkaSettings
from ..store.inbox import known_inbox
from ..store.reader import Picture, Reader
from ..store.schema import OFFSETS
from ..store.writer import Writer
from ..wire.calls import Order
from ..wire.envelope import Event
from ..wire.types import Entry
from ..wire.voucher import vouched
from .careful import Careful
from .courtesy import BESIDE, settle_in
from .describe import Described
from .follower import Follower
from .journal import Journal
from .lines.directory import Directory
from .lines.switchboard import Address, Switchboard
from .loop import Loop, Machine, wall_clock_us
from .names import find, forget
from .oblivion import forget_for_ever
from .wiring import Wiring

ATTACH_EVERY_S: Final = 2.0
TOLD_WITHIN_S: Final = 0.5
TOLD_MAX: Final = 100

T = TypeVar("T")

log = logging.getLogger("headwater.owner")


class OwnerActor:
    """The base of Scheduler, GpuPool, Registry and TableWriter. `owner` is its name as an actor and in the store."""

    owner: str
    command_topic: str | None = None
    niceness = BESIDE

    def __init__(self, wiring: Wiring) -> None:
        settle_in(self.niceness)
        self.wiring = wiring
        self.lines = Directory(wiring.secret)
        self._switchboard = Switchboard(self, wiring.secret)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # What a subclass says.

    def load(self, picture: Picture, offsets: list[Offset]) -> Machine:
        """The machine, rebuilt from the rows. Runs on a thread."""
        raise NotImplementedError

    def heard(self, entries: list[Entry], upto: int) -> None:
        """Entries of the log, once each, in order, from the picture's position on."""

    def carry_out(self, effect: Any) -> None:
        """Must not block: slow work is `spawn`ed and answers with an event."""

    async def look_up(self, order: Order) -> None:
        """What the answer to an order tells beside what it does."""

    async def started(self) -> None:
        """After the loop runs: effects of a start."""

    # Life.

    @ray.method
    async def start(self) -> None:
        """Returns once commands are taken in. Idempotent; after a restart the process starts itself."""
        await self.begun()

    async def begun(self) -> None:
        if self._starting is None:
            self._starting = asyncio.create_task(start_or_end(self.owner, self._start()))
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self.reader = Reader(self.wiring.engine(read_only=True))
        self.journal = Journal(Writer(self.wiring.engine(), self.owner, instance=self.wiring.instance))
        self.epoch = await self.journal.take_epoch()
        machine, position = await asyncio.to_thread(self._load)
        await self.care.begin(self.journal, wall_clock_us())
        self.machine = machine
        self.loop = Loop(machine, self.journal, carry_out=self._carry_out, published=self._published)
        self._described = Described(self.owner, self.loop, trouble=lambda: self.journal.trouble)
        self.follower = Follower(self.reader, position, self.heard)
        self.must(self.loop.run())
        self.must(self.follower.run())
        self.must(forget_for_ever(self.journal, self.reader, self.owner, self.wiring.settings.store))
        self.spawn(self._attach())
        await self.started()
        if self.command_topic is not None:
            self._start_ingest(self.command_topic)

    def _load(self) -> tuple[Machine, int]:
        with self.reader.picture() as picture:
            offsets = picture.rows("offsets", OFFSETS.c.owner == self.owner)
            self.care = Careful(self.owner, picture)
            self._offsets: list[Offset] = offsets
            return self.load(picture, offsets), picture.position

    async def _attach(self) -> None:
        """Keeps this owner among the hub's followers, over restarts of the Conductor too."""
        while True:
            try:
                cursor = await find("conductor").attach.remote(self.owner)
                self.follower.offer(cursor, cursor + 1, []) if cursor > self.follower.cursor else None
            except (RayError, Unavailable):
                forget("conductor")
            await asyncio.sleep(ATTACH_EVERY_S)

    @ray.method
    async def stop(self) -> None:
        """What comes after this stays where it is: the next start need not be careful."""
        if self._starting is not None:
            await self.begun()
            await self.care.end()

    def must(self, work: Coroutine[Any, Any, Any]) -> None:
        self.spawn(or_end(self.owner, work))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Work beside the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: %s", self.owner, error, exc_info=error)

    def _published(self, entries: list[Entry]) -> None:
        told = entries if len(entries) <= TOLD_MAX else entries[-1:]  # of many the last: then the hub reads the rest
        self.lines.line("conductor").tell("notice", told)

    def _carry_out(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            if isinstance(effect, SeekTo):
                self._ingest.seek(effect.topic, effect.partition, effect.offset)
            else:
                self.carry_out(effect)

    # What comes in.

    def _start_ingest(self, topic: str) -> None:
        self._secret = self.wiring.secret()
        self._bus = KafkaBus(KafkaSettings(bootstrap=self.wiring.bootstrap, client_id=self.owner))
        source = self._bus.source(start_of(self.owner, (topic,), self._offsets))
        self._ingest = Ingest(source, self, caution=self.care)
        self.must(self._ingest.run())

    async def take(self, records: list[Parsed]) -> None:
        known = await known_inbox(self.reader, self.owner, [parsed.said for parsed in records])
        await self.loop.ask_all([arrived(parsed, known, self._secret) for parsed in records])

    async def gap(self, gap: Gap, topic_id: str) -> None:
        await self.loop.ask(gap_of(gap, topic_id))

    def room(self) -> int:
        return self.loop.room

    @ray.method
    async def order(self, order: Order) -> dict[str, Any]:
        """The direct door of commands: `{"done": …}` or `{"refused": {"code", "reason"}}`. Waits for the start."""
        await self.begun()
        await self.look_up(order)
        identity = (order.source, order.id)
        known = await known_inbox(self.reader, self.owner, [identity])
        answer: dict[str, Any] = await self.loop.ask(Ordered(order=order, known=known.get(identity)))
        return answer

    @ray.method
    async def line(self) -> Address:
        """Where others speak to this owner, once it has started."""
        await self.begun()
        return await self._switchboard.address()

    def follow(self, after: int, upto: int, entries: list[Entry]) -> None:
        """A push of the Conductor's hub."""
        self.follower.offer(after, upto, entries)

    @ray.method
    async def describe(self) -> dict[str, Any]:
        return self._described.now()


async def start_or_end(owner: str, work: Awaitable[T]) -> T:
    """A start that fails is told to whoever asked for it and ends the process: the next one begins afresh."""
    try:
        return await work
    except Exception as error:
        log.exception("The %s cannot start", owner)
        asyncio.get_running_loop().call_later(TOLD_WITHIN_S, os._exit, 1)
        if isinstance(error, HeadwaterError):
            raise
        remedy = "It is started again; `headwater doctor` looks at what it needs."
        raise Unavailable(f"The {owner} did not start: {first_line(error)}", remedy=remedy) from error


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


async def or_end(owner: str, work: Awaitable[Any]) -> None:
    """A part that cannot go on ends the process: a restart rebuilds the truth."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        log.exception("The %s cannot go on", owner)
        logging.shutdown()
        os._exit(1)


def start_of(owner: str, names: tuple[str, ...], offsets: list[Offset]) -> Start:
    """Where ingest begins: at the positions in the rows."""
    kept = [offset for offset in offsets if offset.topic in names]
    return Start(
        topics=names,
        positions={Partition(offset.topic, offset.partition): offset.next for offset in kept},
        topic_ids={offset.topic: offset.topic_id for offset in kept if offset.topic_id},
        group=f"headwater-{owner}",
    )


def arrived(parsed: Parsed, known: dict[tuple[str, str], InboxRow], secret: bytes) -> Arrived:
    """The record for the machine. Its principal is whom the API vouches for, otherwise its topic."""
    record, said = parsed.record, parsed.said
    identity, principal = ("", ""), None
    if isinstance(said, Event):
        identity, principal = (said.source, said.id), vouched(secret, record.headers, said)
    return Arrived(
        topic=record.topic,
        topic_id=parsed.topic_id,
        partition=record.partition,
        offset=record.offset,
        previous=record.previous,
        parsed=said,
        raw=record.value or b"",
        headers=record.headers,
        principal=principal or f"topic:{record.topic}",
        known=known.get(identity),
    )


def gap_of(gap: Gap, topic_id: str) -> TopicGap:
    return TopicGap(
        topic=gap.topic,
        topic_id=topic_id,
        partition=gap.partition,
        wanted=gap.wanted or 0,
        first=gap.first,
        reason="topic_id_changed" if gap.topic_id_changed else "data_gap",
    )
