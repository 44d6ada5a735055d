"""The log on a bus that goes away: in order, nothing lost, marked only once it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headwater.events.bus import Partition, Record, Start
from headwater.events.memory import MemoryBus
from headwater.events.relay import Relay, message_of, topic_of
from headwater.wire import topics
from headwater.wire.entries.events import CommandDone, EventPublished
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.entries.runs import RunCancelling
from headwater.wire.envelope import Event, parse
from headwater.wire.types import AnyBody, Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


def entry(position: int, body: AnyBody | None = None, **changes: object) -> Entry:
    fields = {"subject": "s", "project": "eta", "principal": "me", "time_us": 1, **changes}
    return Entry(position=position, body=body or CommandDone(command="c"), **fields)  # type: ignore[arg-type]


class Scene:
    """A log in memory, a bus, and a relay from `start`; marks are kept beside what was on the bus by then."""

    def __init__(self, bus: MemoryBus, start: int = 0, log: list[Entry] | None = None) -> None:
        self.bus, self.log = bus, log if log is not None else []
        self.marks: list[tuple[int, int]] = []
        self.before_a_read_ends: Callable[[], None] = lambda: None
        self.relay = Relay(bus.producer(), read=self.read, mark=self.mark, start=start)

    async def read(self, after: int) -> list[Entry]:
        found = [entry for entry in self.log if entry.position > after][:1_000]
        self.before_a_read_ends()
        await asyncio.sleep(0)
        return found

    async def mark(self, position: int) -> None:
        self.marks.append((position, max(self.published(), default=0)))

    def say(self, count: int = 1, *, handed_over: bool = True) -> None:
        said = [entry(len(self.log) + number) for number in range(1, count + 1)]
        self.log += said
        if handed_over:
            self.relay.take(said)

    def published(self) -> list[int]:
        """The positions on the topic of commands, in the order in which they lie there."""
        log = self.bus.log(Partition(topics.RUNS.name, partition_of(self.bus)))
        events = [parse(value, headers) for _, value, headers, _ in log.records]
        return [int(str(event.extensions["hwposition"])) for event in events if isinstance(event, Event)]


def partition_of(bus: MemoryBus) -> int:
    """Where messages of the subject `s` go."""
    logs = bus.topic(topics.RUNS.name)
    assert logs is not None
    return next((number for number, log in enumerate(logs.logs) if log.records), 0)


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Scene]:
    task = asyncio.create_task(scene.relay.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_bus() -> MemoryBus:
    bus = MemoryBus()
    await bus.ensure_topics(topics.TOPICS)
    return bus


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


async def test_the_log_is_published_in_order_and_then_marked() -> None:
    async with running(Scene(await a_bus())) as scene:
        for _ in range(20):
            scene.say(3)
            await asyncio.sleep(0)
        await until(lambda: scene.relay.marked == 60)
        assert scene.published() == list(range(1, 61))
        assert all(mark <= durable for mark, durable in scene.marks)


async def test_what_was_said_before_the_start_is_read() -> None:
    scene = Scene(await a_bus(), start=2, log=[entry(n) for n in range(1, 6)])
    async with running(scene):
        await until(lambda: scene.relay.published == 5)
        assert scene.published() == [3, 4, 5]


async def test_more_than_a_page_is_read_to_the_end() -> None:
    scene = Scene(await a_bus(), log=[entry(n) for n in range(1, 2_501)])
    async with running(scene):
        await until(lambda: scene.relay.marked == 2_500)
        assert scene.published() == list(range(1, 2_501))


async def test_what_others_committed_in_between_is_read() -> None:
    async with running(Scene(await a_bus())) as scene:
        scene.say()
        scene.say(2, handed_over=False)
        scene.say()
        await until(lambda: scene.relay.published == 4)
        assert scene.published() == [1, 2, 3, 4]


async def test_what_is_handed_over_during_a_read_is_not_lost() -> None:
    scene = Scene(await a_bus())
    pending = [1]

    def say() -> None:
        if pending.pop() if pending else 0:
            scene.say()

    scene.before_a_read_ends = say
    async with running(scene):
        await until(lambda: scene.relay.published == 1)
        assert scene.published() == [1]


async def test_nothing_is_lost_or_marked_while_the_bus_is_down() -> None:
    async with running(Scene(await a_bus())) as scene:
        scene.say(2)
        await until(lambda: scene.relay.published == 2)
        await scene.bus.go_down()
        scene.say(3)
        await asyncio.sleep(0.01)
        assert scene.relay.published == 2
        await scene.bus.come_back()
        scene.say()
        await until(lambda: scene.relay.marked == 6)
        assert scene.published() == [1, 2, 3, 4, 5, 6]
        assert all(mark <= durable for mark, durable in scene.marks)


async def test_a_restart_publishes_again_at_most_what_was_not_marked() -> None:
    bus = await a_bus()
    async with running(Scene(bus)) as scene:
        scene.say(4)
        await until(lambda: scene.relay.marked == 4)
        scene.say(3)
        await until(lambda: scene.relay.published == 7)
        marked = scene.relay.marked
    async with running(Scene(bus, start=marked, log=scene.log)) as again:
        again.say()
        await until(lambda: again.relay.marked == 8)
        assert scene.published() == [1, 2, 3, 4, 5, 6, 7, *range(marked + 1, 9)]


# The messages.


async def test_each_entry_goes_to_its_topic_under_its_subject() -> None:
    assert topic_of(entry(1, NodeLeft(node="n", reason="x"))) == topics.GPUS.name
    assert topic_of(entry(1, RunCancelling(flow="f"))) == topics.RUNS.name
    assert message_of(entry(1, subject="run 1")).key == b"run 1"


async def test_ids_are_made_from_facts() -> None:
    def id_of(one: Entry) -> str:
        message = message_of(one)
        event = parse(message.value, message.headers)
        assert isinstance(event, Event)
        return event.id

    assert id_of(entry(7, RunCancelling(flow="f"), run_id="r", seq=3)) == "r/3"
    assert id_of(entry(7)) == "log/7"


async def test_an_event_that_a_flow_publishes_goes_out_as_itself() -> None:
    body = EventPublished(event_id="r/0", event_type="trips.scored", data={"n": 1}, depth=2)
    message = message_of(entry(9, body, subject="r", run_id="r", seq=4))
    event = parse(message.value, message.headers)
    assert isinstance(event, Event)
    assert message.topic == topics.PUBLISHED.name
    assert (event.id, event.type, event.data, event.project) == ("r/0", "trips.scored", {"n": 1}, "eta")


async def test_an_entry_of_no_project_is_an_event_that_readers_take() -> None:
    message = message_of(entry(9, project=""))
    event = parse(message.value, message.headers)
    assert isinstance(event, Event)
    assert event.project is None


async def test_the_labels_of_a_run_are_a_header_of_its_messages() -> None:
    labelled = message_of(entry(1, RunCancelling(flow="f"), run_id="r", seq=1, labels={"team": "a"}))
    assert ("hwlabels", b'{"team":"a"}') in labelled.headers
    event = parse(labelled.value, labelled.headers)
    assert isinstance(event, Event)
    assert isinstance(event.data, dict)
    assert event.data["labels"] == {"team": "a"}
    assert "hwlabels" not in {name for name, _ in message_of(entry(1)).headers}


async def test_every_type_of_entry_has_a_topic() -> None:
    import typing

    from headwater.events.relay import TOPIC_OF

    prefixes = {str(body.__struct_config__.tag).partition(".")[0] for body in typing.get_args(AnyBody)}
    assert prefixes <= set(TOPIC_OF)


async def test_a_source_reads_what_was_relayed() -> None:
    async with running(Scene(await a_bus())) as scene:
        scene.say(3)
        await until(lambda: scene.relay.published == 3)
        batch = await scene.bus.source(Start(topics=(topics.RUNS.name,))).next_batch(10, 1.0)
        assert len([one for one in batch if isinstance(one, Record)]) == 3
