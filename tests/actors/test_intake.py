"""What waits in one topic holds up no other: a schema registry that hangs, replays that keep their pace."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headwater.actors import intake as intakes
from headwater.actors.intake import Intake
from headwater.config import Events, load
from headwater.core.inbox import Inbox
from headwater.core.ledger import Book
from headwater.errors import Unavailable
from headwater.events.bus import Gap, Message, Record
from headwater.events.ingest import BATCH_MAX, Parsed
from headwater.events.memory import MemoryBus
from headwater.events.schema_registry import SchemaRegistry
from headwater.events.schemas import Schemas
from headwater.wire.calls import Order
from headwater.wire.envelope import Rejected
from headwater.wire.topics import EVENTS, RUN_COMMANDS, TOPICS, Direction, Topic

pytestmark = pytest.mark.asyncio(loop_scope="session")
WITHIN_S = 60


class Owner:
    """Takes all; tells what it took, and when."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []
        self.came = asyncio.Condition()

    async def take(self, records: list[Parsed]) -> None:
        async with self.came:
            ids = [parsed.said.id for parsed in records if not isinstance(parsed.said, Rejected)]
            self.taken += [(one, time.monotonic()) for one in ids]
            self.came.notify_all()

    async def gap(self, gap: Gap, topic_id: str) -> None:
        raise AssertionError(gap)

    def room(self) -> int:
        return BATCH_MAX

    async def has(self, *ids: str, count: int = 0) -> list[str]:
        """All that was taken, once these are among it, and so many."""
        async with asyncio.timeout(WITHIN_S), self.came:
            await self.came.wait_for(lambda: len(self.taken) >= count and set(ids) <= {one for one, _ in self.taken})
        return [one for one, _ in self.taken]


class Careless:
    careful = False

    async def attempt(self, record: Record) -> Rejected | None:
        raise AssertionError(record)

    def survived(self, count: int) -> None: ...


def settings(**flags: Any) -> Events:
    return load(environment={}, flags={f"events.{name}": value for name, value in flags.items()}).events


@asynccontextmanager
async def reading(bus: MemoryBus, owner: Owner, events: Events) -> AsyncIterator[Intake]:
    intake = Intake(bus, owner, Inbox(Book(), "conductor"), events, Careless())
    tasks = [asyncio.create_task(each) for each in intake.runs()]
    try:
        yield intake
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def a_bus(*foreign: str) -> MemoryBus:
    bus = MemoryBus()
    others = [Topic(name=name, direction=Direction.INBOUND, owner="a test", key="any") for name in foreign]
    await bus.ensure_topics([*TOPICS, *others])
    return bus


def said(topic: str, event_id: str, event_type: str = "x", **data: Any) -> Message:
    headers = (("ce_specversion", "1.0"), ("ce_source", "s"), ("ce_type", event_type), ("ce_id", event_id))
    return Message(topic, b"k", json.dumps(data).encode(), tuple((name, text.encode()) for name, text in headers))


async def test_a_registry_that_hangs_holds_up_its_own_topic_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setattr(intakes, "schemas_of", lambda url: Schemas(SchemaRegistry(url, timeout_s=2 * WITHIN_S)))
    bus, owner = await a_bus("pay", "plant"), Owner()
    async with reading(bus, owner, settings(foreign_topics=["pay:avro", "plant:bytes"], schema_registry=url)):
        await bus.producer().send("pay", b"k", bytes(5) + b"avro")
        await asyncio.wait_for(asked.wait(), WITHIN_S)
        await bus.producer().send_many([said(EVENTS.name, "e1"), said(RUN_COMMANDS.name, "c1", "run.start")])
        await bus.producer().send("plant", b"k", b"raw")
        assert len(await owner.has("e1", "c1", count=3)) == 3
        released.set()
    server.close()


async def test_commands_of_the_topic_that_replay_wait_for_those_before_them() -> None:
    bus, owner = await a_bus(), Owner()
    async with reading(bus, owner, settings(replays_per_s=1_000.0)) as intake:
        ids = [f"l{number}" for number in range(100)]
        replays = [said(RUN_COMMANDS.name, f"c{number}", "letter.replay", ids=ids) for number in range(3)]
        began_s = time.monotonic()
        intake.count(Order(source="api", id="d", kind="event.replay", principal="p", project="", data={"type": "x"}))
        await bus.producer().send_many([said(RUN_COMMANDS.name, "c", "run.cancel"), *replays])
        await bus.producer().send_many([said(EVENTS.name, "e")])
        order = await owner.has("c2", "e")
    assert [one for one in order if one != "e"] == ["c", "c0", "c1", "c2"]
    assert order.index("e") < order.index("c2")
    waited = [at - began_s for one, at in owner.taken if one in ("c0", "c1", "c2")]
    assert all(wait >= 0.09 * turn for turn, wait in enumerate(waited, 1)), waited


async def test_a_replay_that_could_not_be_taken_is_read_again() -> None:
    class Away(Owner):
        async def take(self, records: list[Parsed]) -> None:
            if not self.taken:
                self.taken.append(("failed", 0.0))
                raise Unavailable("The database is away")
            await super().take(records)

    bus, owner = await a_bus(), Away()
    async with reading(bus, owner, settings(replays_per_s=1_000.0)):
        await bus.producer().send_many([said(RUN_COMMANDS.name, "c", "letter.replay", ids=["a"])])
        assert await owner.has("c") == ["failed", "c"]
